//! From the mapping's points to a batch: one shape for each set of labels that occurs, label values copied once.

use std::borrow::Cow;

use steadyline_telemetry::metrics::{MetricDef, MetricRef, NumberValue};
use steadyline_telemetry::{MetricKind, Metrics, MetricsBuilder, ShapeId, Slot, Temporality, Value};

use crate::mapping::{Duplicate, Output, OutputKind, Sink, Skip};
use crate::number::Number;

/// Who is told of what gave no point.
pub trait Report {
    /// An item, or one point of it, was skipped.
    fn skipped(&mut self, skip: &Skip<'_>);
    /// Two items of one pass have the same identity.
    fn duplicate(&mut self, duplicate: &Duplicate<'_>);
}

/// Builds the batch of one page.
pub struct Batcher<'a, R> {
    outputs: &'a [Output],
    resource: &'a [(String, String)],
    time: u64,
    reporter: &'a mut R,
    builder: MetricsBuilder,
    metrics: Vec<Option<MetricRef>>,
    /// For each output, the shapes met so far by which of its labels are there.
    shapes: Vec<Vec<(u64, ShapeId)>>,
    /// The last value at each place, as an item's points share their first labels.
    last: Vec<(String, Slot)>,
    values: Vec<Slot>,
}

/// How many labels a metric may have: a set of those that are there fits a word.
pub const MAX_LABELS: usize = 64;

impl<'a, R: Report> Batcher<'a, R> {
    /// A batcher of points at `time`, nanoseconds since the Unix epoch.
    pub fn new(outputs: &'a [Output], resource: &'a [(String, String)], time: u64, reporter: &'a mut R) -> Self {
        Self {
            outputs,
            resource,
            time,
            reporter,
            builder: builder(resource),
            metrics: vec![None; outputs.len()],
            shapes: vec![Vec::new(); outputs.len()],
            last: Vec::new(),
            values: Vec::new(),
        }
    }

    /// The batch so far; the batcher begins a new one.
    pub fn take(&mut self) -> Metrics {
        self.metrics.fill(None);
        self.shapes.iter_mut().for_each(Vec::clear);
        self.last.clear();
        std::mem::replace(&mut self.builder, builder(self.resource)).finish()
    }

    /// Points that follow are at this time, nanoseconds since the Unix epoch.
    pub fn set_time(&mut self, time: u64) {
        self.time = time;
    }

    /// Who is told of what gave no point.
    pub fn reporter(&mut self) -> &mut R {
        self.reporter
    }

    fn point(&mut self, output: usize, labels: &[Option<Cow<'_, str>>], value: NumberValue) {
        let metric = self.metric(output);
        let shape = self.shape(output, labels);
        self.values.clear();
        for (place, label) in labels.iter().enumerate() {
            if let Some(text) = label {
                let slot = self.slot(place, text);
                self.values.push(slot);
            }
        }
        self.builder.number(metric, shape, &self.values, self.time, 0, value);
    }

    fn metric(&mut self, output: usize) -> MetricRef {
        let outputs = self.outputs;
        *self.metrics[output].get_or_insert_with(|| {
            let Output { name, description, unit, kind, .. } = &outputs[output];
            self.builder.metric(MetricDef { name, description, unit, kind: metric_kind(*kind) })
        })
    }

    fn shape(&mut self, output: usize, labels: &[Option<Cow<'_, str>>]) -> ShapeId {
        let present =
            labels.iter().enumerate().fold(0u64, |set, (place, label)| set | u64::from(label.is_some()) << place);
        if let Some((_, shape)) = self.shapes[output].iter().find(|(set, _)| *set == present) {
            return *shape;
        }
        let names = self.outputs[output].labels.iter().zip(labels);
        let shape = self.builder.shape(names.filter(|(_, label)| label.is_some()).map(|(name, _)| name.as_str()));
        self.shapes[output].push((present, shape));
        shape
    }

    fn slot(&mut self, place: usize, text: &str) -> Slot {
        if self.last.len() <= place {
            self.last.resize_with(place + 1, || (String::new(), Slot::NONE));
        }
        let (known, slot) = &mut self.last[place];
        if known != text || *slot == Slot::NONE {
            known.clear();
            known.push_str(text);
            *slot = self.builder.value(Value::text(text));
        }
        *slot
    }
}

impl<R: Report> Sink for Batcher<'_, R> {
    fn number(&mut self, output: usize, labels: &[Option<Cow<'_, str>>], value: Number) {
        self.point(output, labels, number_value(value));
    }

    fn held(&mut self, output: usize, labels: &[Option<Cow<'_, str>>]) {
        self.point(output, labels, NumberValue::Held);
    }

    fn skipped(&mut self, skip: &Skip<'_>) {
        self.reporter.skipped(skip);
    }

    fn duplicate(&mut self, duplicate: &Duplicate<'_>) {
        self.reporter.duplicate(duplicate);
    }
}

/// A batch of gauges without labels.
pub fn gauges(resource: &[(String, String)], time: u64, gauges: &[(&str, &str, Number)]) -> Metrics {
    let mut builder = builder(resource);
    for (name, description, value) in gauges {
        let metric = builder.metric(MetricDef { description, ..MetricDef::gauge(name) });
        let shape = builder.shape([]);
        builder.number(metric, shape, &[], time, 0, number_value(*value));
    }
    builder.finish()
}

fn builder(resource: &[(String, String)]) -> MetricsBuilder {
    let mut builder = MetricsBuilder::new();
    builder.resource(resource.iter().map(|(key, value)| (key.as_str(), Value::text(value))));
    builder
}

fn number_value(number: Number) -> NumberValue {
    match number {
        Number::Int(int) => NumberValue::Int(int),
        Number::Float(float) => NumberValue::Double(float),
    }
}

fn metric_kind(kind: OutputKind) -> MetricKind {
    match kind {
        OutputKind::Gauge => MetricKind::Gauge,
        OutputKind::Cumulative { monotonic } => MetricKind::Sum { temporality: Temporality::Cumulative, monotonic },
        OutputKind::Delta { monotonic } => MetricKind::Sum { temporality: Temporality::Delta, monotonic },
    }
}
