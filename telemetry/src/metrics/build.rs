//! Making a batch from nothing: what pollers, timers and tests use.
//! Points may be added in any order; `finish` groups them by metric.

use std::sync::Arc;

use bytes::Bytes;

use super::edit::{push, push_value};
use super::{Attributes, Metric, MetricKind, Metrics, NumberKind, Point, Resource, Scope, Tables};
use crate::shape::ShapeId;
use crate::slot::{Slot, Value, ValueKind};

/// The head of a metric.
#[derive(Debug, Clone, Copy)]
pub struct MetricDef<'a> {
    /// The metric's name.
    pub name: &'a str,
    /// What it means, for people.
    pub description: &'a str,
    /// The unit, in UCUM.
    pub unit: &'a str,
    /// The kind of its points.
    pub kind: MetricKind,
}

impl<'a> MetricDef<'a> {
    /// A gauge with a name and nothing else.
    pub fn gauge(name: &'a str) -> Self {
        MetricDef { name, description: "", unit: "", kind: MetricKind::Gauge }
    }
}

/// A metric of the batch that is being built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricRef(u32);

/// The number of a gauge or sum point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum NumberValue {
    /// An integer.
    Int(i64),
    /// A double.
    Double(f64),
    /// "No value now": the OTLP flag, no number.
    NoValue,
    /// Not data: the source still has the series and could not say its value (see [`Point::held`]).
    Held,
}

/// Builds a batch.
#[derive(Debug, Default)]
pub struct MetricsBuilder {
    own: Vec<u8>,
    tables: Tables,
    points: Vec<Vec<Point>>,
    count: usize,
}

impl MetricsBuilder {
    /// An empty builder.
    pub fn new() -> Self {
        MetricsBuilder::default()
    }

    /// How many points were added.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether no point was added.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Opens a resource; scopes and metrics that follow belong to it.
    pub fn resource<'v>(&mut self, attributes: impl IntoIterator<Item = (&'v str, Value<'v>)>) {
        let attributes = self.attributes(attributes);
        let scopes = self.tables.scopes.len() as u32;
        self.tables.resources.push(Resource {
            present: true,
            attributes,
            scopes: scopes..scopes,
            ..Resource::default()
        });
    }

    /// Opens a scope with a name (and, unless empty, a version); metrics that follow belong to it.
    pub fn scope(&mut self, name: &str, version: &str) {
        if self.tables.resources.is_empty() {
            self.resource([]);
        }
        let name = push(&mut self.own, ValueKind::Str, name.as_bytes());
        let version = push(&mut self.own, ValueKind::Str, version.as_bytes());
        let row = self.tables.scopes.len() as u32;
        let metrics = self.tables.metrics.len() as u32;
        let resource = self.tables.resources.len() - 1;
        self.tables.resources[resource].scopes.end = row + 1;
        self.tables.scopes.push(Scope {
            resource: resource as u32,
            present: true,
            name,
            version,
            metrics: metrics..metrics,
            ..Scope::default()
        });
    }

    /// Opens a metric in the current scope.
    pub fn metric(&mut self, def: MetricDef<'_>) -> MetricRef {
        if self.tables.scopes.len() as u32 == self.tables.resources.last().map_or(0, |r| r.scopes.start) {
            self.scope("", "");
        }
        let row = self.tables.metrics.len() as u32;
        let scope = self.tables.scopes.len() - 1;
        self.tables.scopes[scope].metrics.end = row + 1;
        let [name, description, unit] =
            [def.name, def.description, def.unit].map(|s| push(&mut self.own, ValueKind::Str, s.as_bytes()));
        self.tables.metrics.push(Metric {
            scope: scope as u32,
            name,
            description,
            unit,
            kind: def.kind,
            metadata: Attributes::default(),
            points: 0..0,
        });
        self.points.push(Vec::new());
        MetricRef(row)
    }

    /// The shape with these keys, in this order.
    pub fn shape<'k>(&mut self, keys: impl IntoIterator<Item = &'k str>) -> ShapeId {
        let keys: Vec<Slot> = keys.into_iter().map(|key| push(&mut self.own, ValueKind::Str, key.as_bytes())).collect();
        self.tables.shapes.intern(&keys, &[], &self.own)
    }

    /// Copies one value into the batch, to be used for any number of points.
    pub fn value(&mut self, value: Value<'_>) -> Slot {
        push_value(&mut self.own, value)
    }

    /// Adds a point to a gauge or sum. `values` has one slot for each key of the shape.
    pub fn number(
        &mut self,
        metric: MetricRef,
        shape: ShapeId,
        values: &[Slot],
        time: u64,
        start: u64,
        value: NumberValue,
    ) {
        let (number, bits) = match value {
            NumberValue::Int(value) => (NumberKind::Int, value as u64),
            NumberValue::Double(value) => (NumberKind::Double, value.to_bits()),
            NumberValue::NoValue | NumberValue::Held => (NumberKind::None, 0),
        };
        let flags = if value == NumberValue::NoValue { crate::NO_RECORDED_VALUE } else { 0 };
        let held = value == NumberValue::Held;
        self.point(
            metric,
            shape,
            values,
            Point { time, start, bits, body: Slot::NONE, values: 0, shape, flags, number, held },
        );
    }

    /// Adds a point to a histogram, exponential histogram or summary. `body` is the OTLP data point message;
    /// attributes, times and flags in it are ignored in favour of those given here.
    #[expect(clippy::too_many_arguments, reason = "the columns of a point")]
    pub fn body(
        &mut self,
        metric: MetricRef,
        shape: ShapeId,
        values: &[Slot],
        time: u64,
        start: u64,
        flags: u32,
        body: &[u8],
    ) {
        let body = push(&mut self.own, ValueKind::Bytes, body);
        let number = NumberKind::Body;
        self.point(
            metric,
            shape,
            values,
            Point { time, start, bits: 0, body, values: 0, shape, flags, number, held: false },
        );
    }

    fn point(&mut self, metric: MetricRef, shape: ShapeId, values: &[Slot], mut point: Point) {
        debug_assert_eq!(self.tables.shapes.width(shape), values.len());
        point.values = self.tables.values.len() as u32;
        self.tables.values.extend_from_slice(values);
        self.points[metric.0 as usize].push(point);
        self.count += 1;
    }

    fn attributes<'v>(&mut self, pairs: impl IntoIterator<Item = (&'v str, Value<'v>)>) -> Attributes {
        let (keys, values): (Vec<Slot>, Vec<Slot>) = pairs
            .into_iter()
            .map(|(key, value)| (push(&mut self.own, ValueKind::Str, key.as_bytes()), push_value(&mut self.own, value)))
            .unzip();
        let shape = self.tables.shapes.intern(&keys, &[], &self.own);
        let at = self.tables.values.len() as u32;
        self.tables.values.extend(values);
        Attributes { shape, values: at }
    }

    /// The batch.
    pub fn finish(mut self) -> Metrics {
        self.tables.points.reserve_exact(self.count);
        for (metric, points) in self.tables.metrics.iter_mut().zip(self.points) {
            let start = self.tables.points.len() as u32;
            self.tables.points.extend(points);
            metric.points = start..self.tables.points.len() as u32;
        }
        let (own, tables) = (Arc::new(self.own), Arc::new(self.tables));
        Metrics { wire: Bytes::new(), own, tables, pristine: false, distinct: false }
    }
}
