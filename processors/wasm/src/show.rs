//! A batch as the plugin sees it: records that borrow from the batch, and what their places mean.

use steadyline_component::telemetry::metrics::{Attributes, HistogramView, Metric, SummaryView};
use steadyline_component::telemetry::text::put_text;
use steadyline_component::telemetry::{MetricKind, Metrics, NumberKind, Point, Temporality, Value as OurValue};
use steadyline_wasm::bindings::processor::exports::steadyline::plugin::metrics_processor::{
    Attribute, Batch, BatchPoint, Kind, MetricHead, Number,
};
use steadyline_wasm::bindings::processor::steadyline::plugin::types::{Distribution, ValueParam};

/// Which rows of a batch are shown: a place in a list is what the plugin calls them by.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    /// Rows of resources.
    pub(crate) resources: Vec<u32>,
    /// Rows of metrics.
    pub(crate) metrics: Vec<u32>,
    /// Rows of points.
    pub(crate) points: Vec<u32>,
    /// Lists and maps among the values, as JSON, in the order in which they are come by.
    texts: Vec<String>,
}

/// The names that are shown; empty: all.
#[derive(Debug, Clone)]
pub(crate) struct Names(pub(crate) Vec<String>);

impl Names {
    fn has(&self, name: &str) -> bool {
        let is = |pattern: &String| match pattern.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == pattern,
        };
        self.0.is_empty() || self.0.iter().any(is)
    }
}

impl Shown {
    /// What of a batch is shown.
    pub(crate) fn new(metrics: &Metrics, names: &Names) -> Shown {
        let tables = metrics.tables();
        let mut shown = Shown::default();
        for (row, metric) in (0..).zip(&tables.metrics) {
            if metric.points.is_empty() || !names.has(metrics.text(metric.name)) {
                continue;
            }
            let resource = tables.scopes[metric.scope as usize].resource;
            if shown.resources.last() != Some(&resource) {
                shown.resources.push(resource);
                shown.add_texts(metrics, tables.resources[resource as usize].attributes);
            }
            shown.metrics.push(row);
            shown.points.extend(metric.points.clone());
        }
        for row in 0..shown.points.len() {
            let point = tables.points[shown.points[row] as usize];
            shown.add_texts(metrics, point.attributes());
        }
        shown
    }

    fn add_texts(&mut self, metrics: &Metrics, attributes: Attributes) {
        for slot in metrics.values(attributes) {
            if let value @ (OurValue::Array(_) | OurValue::Map(_)) = metrics.value(*slot) {
                let mut text = Vec::new();
                put_text(&mut text, value, |out, double| out.extend_from_slice(double.to_string().as_bytes()));
                self.texts.push(String::from_utf8(text).unwrap_or_default());
            }
        }
    }

    /// Gives the records to `take`.
    pub(crate) fn batch<R>(&self, metrics: &Metrics, time: u64, take: impl FnOnce(Batch<'_>) -> R) -> R {
        let tables = metrics.tables();
        let mut texts = self.texts.iter().map(String::as_str);
        let of_resource = |row: &u32| tables.resources[*row as usize].attributes;
        let resources: Vec<Vec<Attribute<'_>>> =
            self.resources.iter().map(|row| attributes(metrics, of_resource(row), &mut texts).collect()).collect();
        let resources: Vec<&[Attribute<'_>]> = resources.iter().map(Vec::as_slice).collect();
        let all: usize = self.points.iter().map(|row| tables.shapes.width(tables.points[*row as usize].shape)).sum();
        let mut arena = Vec::with_capacity(all);
        for row in &self.points {
            arena.extend(attributes(metrics, tables.points[*row as usize].attributes(), &mut texts));
        }
        let mut heads = Vec::with_capacity(self.metrics.len());
        let mut points = Vec::with_capacity(self.points.len());
        let (mut place, mut rest) = (0, arena.as_slice());
        for (metric, row) in (0..).zip(&self.metrics) {
            let of = &tables.metrics[*row as usize];
            let resource = tables.scopes[of.scope as usize].resource;
            // Metrics are in the order of their resources.
            if self.resources[place as usize] != resource {
                place += 1;
            }
            heads.push(head(metrics, of, place));
            for point in metrics.points_of(of) {
                let (attributes, behind) = rest.split_at(tables.shapes.width(point.shape));
                rest = behind;
                let value = number(metrics, of.kind, point);
                points.push(BatchPoint { metric, attributes, value, time: point.time, start: point.start });
            }
        }
        take(Batch { time, resources: &resources, metrics: &heads, points: &points })
    }
}

fn attributes<'a>(
    metrics: &'a Metrics,
    attributes: Attributes,
    texts: &mut impl Iterator<Item = &'a str>,
) -> impl Iterator<Item = Attribute<'a>> {
    metrics.pairs(attributes).map(move |(key, value)| {
        let value = match value {
            OurValue::Empty => ValueParam::Text(""),
            OurValue::Str(text) => ValueParam::Text(std::str::from_utf8(text).unwrap_or_default()),
            OurValue::Bool(value) => ValueParam::Boolean(value),
            OurValue::Int(value) => ValueParam::Integer(value),
            OurValue::Double(value) => ValueParam::Double(value),
            OurValue::Bytes(bytes) => ValueParam::Bytes(bytes),
            OurValue::Array(_) | OurValue::Map(_) => ValueParam::Structured(texts.next().unwrap_or_default()),
        };
        Attribute { key, value }
    })
}

fn head<'a>(metrics: &'a Metrics, metric: &Metric, resource: u32) -> MetricHead<'a> {
    let scope = &metrics.tables().scopes[metric.scope as usize];
    MetricHead {
        resource,
        scope: metrics.text(scope.name),
        name: metrics.text(metric.name),
        unit: metrics.text(metric.unit),
        description: metrics.text(metric.description),
        kind: match metric.kind {
            MetricKind::Gauge => Kind::Gauge,
            MetricKind::Sum { temporality: Temporality::Cumulative, monotonic: true } => Kind::Counter,
            MetricKind::Sum { temporality: Temporality::Cumulative, monotonic: false } => Kind::UpDown,
            MetricKind::Sum { temporality: Temporality::Delta, monotonic: true } => Kind::Delta,
            _ => Kind::Other,
        },
    }
}

fn number(metrics: &Metrics, kind: MetricKind, point: &Point) -> Number {
    if point.is_no_value() {
        return Number::Ended;
    }
    match point.number {
        NumberKind::Int => Number::Integer(point.bits as i64),
        NumberKind::Double => Number::Double(f64::from_bits(point.bits)),
        NumberKind::None => Number::Unknown,
        NumberKind::Body => {
            // The three messages have count and sum in the same fields.
            let body = metrics.bytes(point.body);
            let (count, sum) = match kind {
                MetricKind::Summary => {
                    let view = SummaryView::new(body);
                    (view.count, Some(view.sum))
                }
                _ => {
                    let view = HistogramView::new(body);
                    (view.count, view.sum)
                }
            };
            Number::Distribution(Distribution { count, sum })
        }
    }
}
