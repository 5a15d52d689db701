//! One batch in the making: tables filled row by row, label values copied from the target's memory as they lie there.

use std::collections::HashMap;

use hashbrown::HashMap as FastMap;
use steadyline_prometheus::MetricKind as PromKind;
use steadyline_telemetry::metrics::{Attributes, Metric, Resource, Scope, Tables};
use steadyline_telemetry::{MetricKind, Metrics, NumberKind, Point, ShapeId, Slot, ValueKind};

use super::{Dot, kind_of};
use crate::report::Report;
use crate::series::{Cache, Origin};
use crate::units::ucum;

/// Which of a target's memories a row is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Generation {
    /// The one in use.
    Now,
    /// The one that was given up.
    Before,
}

/// Where a target is, for its resource.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// Job and instance, as the target's labels have them.
    pub(crate) origin: Origin,
    /// The target's other labels, sorted.
    pub(crate) labels: Vec<(String, String)>,
    /// The host that is scraped.
    pub(crate) host: String,
    /// The port.
    pub(crate) port: String,
    /// `http` or `https`.
    pub(crate) scheme: String,
}

type RowKey = (Generation, u32, u32);

pub(super) struct BatchBuilder<'a> {
    place: &'a Place,
    own: Vec<u8>,
    tables: Tables,
    /// Points with their metric's row.
    points: Vec<(u32, Point)>,
    rows: FastMap<RowKey, u32>,
    last: Option<(RowKey, u32)>,
    scopes: HashMap<Origin, u32>,
    shapes: FastMap<(Generation, u32), ShapeId>,
    last_shape: Option<((Generation, u32), ShapeId)>,
    /// What targets say about themselves, by job and instance.
    infos: Vec<(Origin, Vec<(String, String)>)>,
}

impl<'a> BatchBuilder<'a> {
    pub(super) fn new(place: &'a Place) -> Self {
        BatchBuilder {
            place,
            own: Vec::new(),
            tables: Tables::default(),
            points: Vec::new(),
            rows: FastMap::new(),
            last: None,
            scopes: HashMap::new(),
            shapes: FastMap::new(),
            last_shape: None,
            infos: Vec::new(),
        }
    }

    /// How many points there are.
    pub(super) fn len(&self) -> usize {
        self.points.len()
    }

    /// Series whose labels are attributes of the resource.
    pub(super) fn infos(&mut self, cache: &Cache, infos: &[u32]) {
        for id in infos {
            let series = &cache.series[*id as usize];
            let labels = cache.labels(series.labels).map(|(name, value)| (name.to_string(), value.to_string()));
            self.infos.push((cache.origins.get(series.origin).clone(), labels.collect()));
        }
    }

    /// Keeps the encoded part of a point.
    #[inline]
    pub(super) fn body(&mut self, body: &[u8]) -> Slot {
        if body.is_empty() { Slot::NONE } else { push(&mut self.own, ValueKind::Bytes, body) }
    }

    /// Adds a point.
    #[inline]
    pub(super) fn put(&mut self, generation: Generation, cache: &Cache, dot: Dot) {
        let key = (generation, dot.origin, dot.head);
        let row = match self.last {
            Some((last, row)) if last == key => row,
            _ => self.row(key, cache),
        };
        let shape = match self.last_shape {
            Some((last, shape)) if last == (generation, dot.labels.shape) => shape,
            _ => self.shape((generation, dot.labels.shape), cache),
        };
        let values = self.tables.values.len() as u32;
        let (lens, bytes) = cache.raw_values(dot.labels);
        let mut at = self.own.len();
        self.own.extend_from_slice(bytes);
        for len in lens {
            self.tables.values.push(Slot::own(ValueKind::Str, at, *len as usize));
            at += *len as usize;
        }
        self.points.push((row, Point { values, shape, ..dot.point }));
    }

    /// Adds what the scraper says about the scrape.
    pub(super) fn report(&mut self, report: &Report, time: u64) {
        let place = self.place;
        let scope = self.scope(&place.origin);
        let labels: Vec<(&str, &str)> = place.labels.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let attributes = self.attributes(&labels);
        for line in report.lines() {
            let row = self.metric(scope, (line.name, line.help, line.unit), MetricKind::Gauge, PromKind::Gauge);
            let (number, flags) = match line.value {
                Some(_) => (NumberKind::Double, 0),
                None => (NumberKind::None, steadyline_telemetry::NO_RECORDED_VALUE),
            };
            let bits = line.value.map_or(0, f64::to_bits);
            let Attributes { shape, values } = attributes;
            let point = Point { bits, values, shape, number, flags, ..super::number(time) };
            self.points.push((row, point));
        }
    }

    fn row(&mut self, key: RowKey, cache: &Cache) -> u32 {
        let row = match self.rows.get(&key) {
            Some(row) => *row,
            None => {
                let (_, origin, head) = key;
                let head = cache.heads.get(head);
                let scope = self.scope(cache.origins.get(origin));
                let (help, unit) = head.family.map_or(("", ""), |row| {
                    let family = cache.families.get(row);
                    (family.help.as_str(), family.unit.as_str())
                });
                let row = self.metric(scope, (&head.name, help, ucum(unit)), kind_of(head), head.kind);
                self.rows.insert(key, row);
                row
            }
        };
        self.last = Some((key, row));
        row
    }

    fn metric(&mut self, scope: u32, (name, help, unit): (&str, &str, &str), kind: MetricKind, prom: PromKind) -> u32 {
        let metadata = self.attributes(&[("prometheus.type", type_name(prom))]);
        let [name, description, unit] =
            [name, help, unit].map(|text| push(&mut self.own, ValueKind::Str, text.as_bytes()));
        self.tables.metrics.push(Metric { scope, name, description, unit, kind, metadata, points: 0..0 });
        self.tables.metrics.len() as u32 - 1
    }

    fn shape(&mut self, key: (Generation, u32), cache: &Cache) -> ShapeId {
        let shape = match self.shapes.get(&key) {
            Some(shape) => *shape,
            None => {
                let names = cache.shapes.get(key.1).iter();
                let keys: Vec<Slot> = names.map(|name| push(&mut self.own, ValueKind::Str, name.as_bytes())).collect();
                let shape = self.tables.shapes.intern(&keys, &[], &self.own);
                self.shapes.insert(key, shape);
                shape
            }
        };
        self.last_shape = Some((key, shape));
        shape
    }

    /// The scope of an origin; each has a resource of its own.
    fn scope(&mut self, origin: &Origin) -> u32 {
        if let Some(row) = self.scopes.get(origin) {
            return *row;
        }
        let row = self.tables.scopes.len() as u32;
        let attributes = self.resource(origin);
        self.tables.resources.push(Resource { present: true, attributes, scopes: row..row + 1, ..Resource::default() });
        let mut named = Scope { resource: row, present: !origin.scope.is_empty(), ..Scope::default() };
        let mut rest = Vec::new();
        for (key, value) in &origin.scope {
            match key.as_str() {
                "name" => named.name = push(&mut self.own, ValueKind::Str, value.as_bytes()),
                "version" => named.version = push(&mut self.own, ValueKind::Str, value.as_bytes()),
                "schema_url" => named.schema_url = push(&mut self.own, ValueKind::Str, value.as_bytes()),
                key => rest.push((key, value.as_str())),
            }
        }
        named.attributes = self.attributes(&rest);
        self.tables.scopes.push(named);
        self.scopes.insert(origin.clone(), row);
        row
    }

    fn resource(&mut self, origin: &Origin) -> Attributes {
        let place = self.place;
        let mut all: HashMap<&str, &str> = HashMap::from([
            ("server.address", place.host.as_str()),
            ("server.port", place.port.as_str()),
            ("url.scheme", place.scheme.as_str()),
        ]);
        let infos = std::mem::take(&mut self.infos);
        let of_origin = infos.iter().filter(|(of, _)| of.job == origin.job && of.instance == origin.instance);
        for (_, labels) in of_origin {
            all.extend(labels.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        }
        all.insert("service.name", &origin.job);
        all.insert("service.instance.id", &origin.instance);
        let mut all: Vec<(&str, &str)> = all.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        all.sort_unstable();
        let attributes = self.attributes(&all);
        self.infos = infos;
        attributes
    }

    fn attributes(&mut self, pairs: &[(&str, &str)]) -> Attributes {
        let own = &mut self.own;
        let keys: Vec<Slot> = pairs.iter().map(|(name, _)| push(own, ValueKind::Str, name.as_bytes())).collect();
        let values = self.tables.values.len() as u32;
        self.tables.values.extend(pairs.iter().map(|(_, value)| push(own, ValueKind::Str, value.as_bytes())));
        Attributes { shape: self.tables.shapes.intern(&keys, &[], &self.own), values }
    }

    /// The batch. Metrics stand below their scopes and points below their metrics, in the order in which they came.
    pub(super) fn finish(mut self) -> Metrics {
        self.group_metrics();
        self.points.sort_by_key(|(row, _)| *row);
        let tables = &mut self.tables;
        tables.points.reserve_exact(self.points.len());
        let mut points = self.points.iter().peekable();
        for (row, metric) in (0u32..).zip(&mut tables.metrics) {
            let from = tables.points.len() as u32;
            while let Some((_, point)) = points.next_if(|(of, _)| *of == row) {
                tables.points.push(*point);
            }
            metric.points = from..tables.points.len() as u32;
        }
        let mut metrics = Metrics::default();
        let editor = metrics.edit();
        *editor.tables = self.tables;
        let mut editor = metrics.edit();
        editor.push_with(|own| *own = self.own);
        metrics
    }

    /// Brings metrics into the order of their scopes, where several targets' series were mixed up.
    fn group_metrics(&mut self) {
        if !self.tables.metrics.is_sorted_by_key(|metric| metric.scope) {
            let mut order: Vec<u32> = (0..self.tables.metrics.len() as u32).collect();
            order.sort_by_key(|row| self.tables.metrics[*row as usize].scope);
            let mut new_row = vec![0u32; order.len()];
            (0u32..).zip(&order).for_each(|(new, old)| new_row[*old as usize] = new);
            let sorted = order.iter().map(|row| self.tables.metrics[*row as usize].clone()).collect();
            self.tables.metrics = sorted;
            self.points.iter_mut().for_each(|(row, _)| *row = new_row[*row as usize]);
        }
        let mut at = 0;
        for (row, scope) in (0u32..).zip(&mut self.tables.scopes) {
            let from = at;
            while self.tables.metrics.get(at as usize).is_some_and(|metric| metric.scope == row) {
                at += 1;
            }
            scope.metrics = from..at;
        }
    }
}

fn push(own: &mut Vec<u8>, kind: ValueKind, bytes: &[u8]) -> Slot {
    let at = own.len();
    let bytes = &bytes[..bytes.len().min(Slot::MAX_LEN)];
    own.extend_from_slice(bytes);
    Slot::own(kind, at, bytes.len())
}

fn type_name(kind: PromKind) -> &'static str {
    match kind {
        PromKind::Unknown => "unknown",
        PromKind::Counter => "counter",
        PromKind::Gauge => "gauge",
        PromKind::Histogram => "histogram",
        PromKind::GaugeHistogram => "gaugehistogram",
        PromKind::Summary => "summary",
        PromKind::Info => "info",
        PromKind::StateSet => "stateset",
    }
}
