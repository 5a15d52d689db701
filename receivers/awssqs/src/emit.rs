//! From events to batches: gauges at their events' times, sums and histograms as config has them, log records with their traces.

use std::collections::HashMap;

use steadyline_component::telemetry::metrics::NumberValue;
use steadyline_component::telemetry::metrics::{MetricDef, MetricRef};
use steadyline_component::telemetry::{MetricKind, Metrics, MetricsBuilder, Opaque, ShapeId, Slot, Temporality, Value};
use steadyline_mapping::number::Number;

use crate::config::{EventTemporality, SpanRelation};
use crate::event::Event;
use crate::ledger::Books;
use crate::logs::logs;
use crate::plan::{Output, OutputKind};
use crate::series::{SeriesId, Total};

/// What goes out for some events together.
#[derive(Debug)]
pub(crate) struct Emission {
    pub(crate) metrics: Option<Metrics>,
    pub(crate) logs: Option<Opaque>,
}

/// An event on its way, and the span that tells of it.
#[derive(Debug)]
pub(crate) struct Sending {
    pub(crate) event: Event,
    /// The trace and the span of its processing; `None` if there is no span.
    pub(crate) span: Option<([u8; 16], [u8; 8])>,
}

/// How events are sent.
#[derive(Clone, Debug)]
pub(crate) struct Manner {
    pub(crate) resource: Vec<(String, String)>,
    pub(crate) temporality: EventTemporality,
    pub(crate) relation: SpanRelation,
    pub(crate) wants_metrics: bool,
    pub(crate) wants_logs: bool,
}

/// Builds what goes out for `sendings` at `now`, nanoseconds since the Unix epoch.
pub(crate) fn emit(sendings: &[Sending], books: &mut Books, manner: &Manner, now: u64) -> Emission {
    let metrics = if manner.wants_metrics { metrics(sendings, books, manner, now) } else { None };
    let records = sendings.iter().filter_map(|sending| {
        let log = sending.event.log.as_ref()?;
        Some((log, place(sending, manner.relation)))
    });
    let logs = if manner.wants_logs { logs(&manner.resource, records) } else { None };
    Emission { metrics, logs }
}

/// Where in a trace an event's log record belongs: to the span of its processing if that is in the producer's trace, else to the producer's.
fn place(sending: &Sending, relation: SpanRelation) -> Option<([u8; 16], [u8; 8], bool)> {
    match (&sending.event.trace, sending.span) {
        (_, Some((trace, span))) if relation == SpanRelation::Parent => Some((trace, span, true)),
        (Some(producer), _) => Some((producer.trace_id, producer.span_id, producer.sampled)),
        (None, Some((trace, span))) => Some((trace, span, true)),
        (None, None) => None,
    }
}

fn metrics(sendings: &[Sending], books: &mut Books, manner: &Manner, now: u64) -> Option<Metrics> {
    let outputs = std::sync::Arc::clone(&books.outputs);
    let mut table = Table::new(&outputs, manner);
    let mut deltas: HashMap<SeriesId, Delta> = HashMap::new();
    let mut sums = Vec::new();
    for sending in sendings {
        for point in &sending.event.points {
            let kind = &outputs[point.output].kind;
            if *kind == OutputKind::Gauge {
                table.number(point.output, &point.labels, (sending.event.time, 0), number(point.value));
                continue;
            }
            let id = books.identifier.of(point.output, &point.labels);
            match manner.temporality {
                EventTemporality::Cumulative => sums.push(id),
                EventTemporality::Delta => {
                    let delta =
                        deltas.entry(id).or_insert_with(|| (point.output, point.labels.clone(), Total::none(kind)));
                    delta.2.add(point.value);
                }
            }
        }
    }
    sums.sort_unstable();
    sums.dedup();
    for id in sums {
        if let Some(series) = books.series.stamped(id, now) {
            table.total(series.output, &series.labels, (series.stamp, series.start), &series.total);
        }
    }
    if !deltas.is_empty() {
        let (start, stamp) = books.next_delta_stamp(now);
        for (output, labels, total) in deltas.into_values() {
            table.total(output, &labels, (stamp, start), &total);
        }
    }
    table.finish()
}

/// What a batch adds to a series: its metric, its labels, how much.
type Delta = (usize, Box<[Option<Box<str>>]>, Total);

fn number(number: Number) -> NumberValue {
    match number {
        Number::Int(int) => NumberValue::Int(int),
        Number::Float(float) => NumberValue::Double(float),
    }
}

/// A batch in the making: one shape for each set of labels that occurs.
struct Table<'a> {
    outputs: &'a [Output],
    temporality: Temporality,
    builder: MetricsBuilder,
    metrics: Vec<Option<MetricRef>>,
    shapes: HashMap<(usize, u64), ShapeId>,
    values: Vec<Slot>,
    scratch: Vec<u8>,
}

impl<'a> Table<'a> {
    fn new(outputs: &'a [Output], manner: &Manner) -> Self {
        let mut builder = MetricsBuilder::new();
        builder.resource(manner.resource.iter().map(|(key, value)| (key.as_str(), Value::text(value))));
        let temporality = match manner.temporality {
            EventTemporality::Cumulative => Temporality::Cumulative,
            EventTemporality::Delta => Temporality::Delta,
        };
        let metrics = vec![None; outputs.len()];
        Self { outputs, temporality, builder, metrics, shapes: HashMap::new(), values: Vec::new(), scratch: Vec::new() }
    }

    fn number(&mut self, output: usize, labels: &[Option<Box<str>>], (time, start): (u64, u64), value: NumberValue) {
        let (metric, shape) = self.place(output, labels);
        self.builder.number(metric, shape, &self.values, time, start, value);
    }

    fn total(&mut self, output: usize, labels: &[Option<Box<str>>], (time, start): (u64, u64), total: &Total) {
        let Total::Histogram(counted) = total else {
            return self.number(output, labels, (time, start), total.number());
        };
        let (metric, shape) = self.place(output, labels);
        self.scratch.clear();
        counted.write(&mut self.scratch);
        self.builder.body(metric, shape, &self.values, time, start, 0, &self.scratch);
    }

    /// The metric and the shape of a point, its values in `self.values`.
    fn place(&mut self, output: usize, labels: &[Option<Box<str>>]) -> (MetricRef, ShapeId) {
        let definition = &self.outputs[output];
        let kind = self.kind(&definition.kind);
        let builder = &mut self.builder;
        let metric = *self.metrics[output].get_or_insert_with(|| {
            let Output { name, description, unit, .. } = definition;
            builder.metric(MetricDef { name, description, unit, kind })
        });
        let there = labels.iter().enumerate().fold(0, |set, (place, label)| set | u64::from(label.is_some()) << place);
        let shape = *self.shapes.entry((output, there)).or_insert_with(|| {
            let present = definition.labels.iter().zip(labels).filter(|(_, value)| value.is_some());
            builder.shape(present.map(|(name, _)| name.as_str()))
        });
        self.values.clear();
        for label in labels.iter().flatten() {
            let slot = builder.value(Value::text(label));
            self.values.push(slot);
        }
        (metric, shape)
    }

    fn kind(&self, kind: &OutputKind) -> MetricKind {
        let temporality = self.temporality;
        match kind {
            OutputKind::Gauge => MetricKind::Gauge,
            OutputKind::Sum { monotonic } => MetricKind::Sum { temporality, monotonic: *monotonic },
            OutputKind::Histogram { .. } => MetricKind::Histogram { temporality },
        }
    }

    fn finish(self) -> Option<Metrics> {
        (!self.builder.is_empty()).then(|| self.builder.finish())
    }
}
