//! Points under their metrics, as far as these are enabled.

use std::collections::HashMap;

use steadyline_component::telemetry::metrics::{MetricDef, MetricRef, NumberValue};
use steadyline_component::telemetry::{MetricKind, MetricsBuilder, Slot, Temporality, Value};

/// A metric of a scraper.
#[derive(Debug)]
pub(crate) struct MetricSpec {
    /// Its name.
    pub(crate) name: &'static str,
    description: &'static str,
    unit: &'static str,
    kind: MetricKind,
    default: bool,
}

impl MetricSpec {
    /// A sum that only grows.
    pub(crate) const fn counter(name: &'static str, unit: &'static str, description: &'static str) -> MetricSpec {
        let kind = MetricKind::Sum { temporality: Temporality::Cumulative, monotonic: true };
        MetricSpec { name, description, unit, kind, default: true }
    }

    /// A sum that grows and falls.
    pub(crate) const fn updown(name: &'static str, unit: &'static str, description: &'static str) -> MetricSpec {
        let kind = MetricKind::Sum { temporality: Temporality::Cumulative, monotonic: false };
        MetricSpec { name, description, unit, kind, default: true }
    }

    /// A gauge.
    pub(crate) const fn gauge(name: &'static str, unit: &'static str, description: &'static str) -> MetricSpec {
        MetricSpec { name, description, unit, kind: MetricKind::Gauge, default: true }
    }

    /// The same, not given unless it is asked for.
    pub(crate) const fn off(self) -> MetricSpec {
        MetricSpec { default: false, ..self }
    }
}

/// Which metrics of a scraper are given.
#[derive(Debug)]
pub(crate) struct Switches {
    specs: &'static [MetricSpec],
    enabled: Vec<bool>,
}

impl Switches {
    pub(crate) fn new(specs: &'static [MetricSpec], chosen: impl Fn(&str) -> Option<bool>) -> Switches {
        let enabled = specs.iter().map(|spec| chosen(spec.name).unwrap_or(spec.default)).collect();
        Switches { specs, enabled }
    }

    /// Whether the metric is given.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.row(name).is_some()
    }

    fn row(&self, name: &str) -> Option<usize> {
        let row = self.specs.iter().position(|spec| spec.name == name);
        debug_assert!(row.is_some(), "the scraper has a metric {name}");
        row.filter(|row| self.enabled[*row])
    }
}

/// A batch that scrapers write on.
pub(crate) struct Sheet {
    builder: MetricsBuilder,
    metrics: HashMap<&'static str, MetricRef>,
    /// When this is, nanoseconds since the Unix epoch.
    pub(crate) time: u64,
    /// When the machine's sums began.
    pub(crate) start: u64,
}

impl Sheet {
    pub(crate) fn new(time: u64, start: u64) -> Sheet {
        Sheet { builder: MetricsBuilder::new(), metrics: HashMap::new(), time, start }
    }

    /// Opens a resource; points that follow belong to it, and count since `start`.
    pub(crate) fn resource(&mut self, attributes: &[(&str, Value<'_>)], start: u64) {
        self.builder.resource(attributes.iter().copied());
        self.metrics.clear();
        self.start = start;
    }

    /// Puts a whole number.
    pub(crate) fn int(&mut self, on: &Switches, name: &'static str, attributes: &[(&str, &str)], value: u64) {
        self.put(on, name, attributes, NumberValue::Int(i64::try_from(value).unwrap_or(i64::MAX)));
    }

    /// Puts a number.
    pub(crate) fn double(&mut self, on: &Switches, name: &'static str, attributes: &[(&str, &str)], value: f64) {
        self.put(on, name, attributes, NumberValue::Double(value));
    }

    fn put(&mut self, on: &Switches, name: &'static str, attributes: &[(&str, &str)], value: NumberValue) {
        let Some(row) = on.row(name) else { return };
        let MetricSpec { description, unit, kind, .. } = on.specs[row];
        let Sheet { builder, metrics, .. } = self;
        let def = MetricDef { name, description, unit, kind };
        let metric = *metrics.entry(name).or_insert_with(|| builder.metric(def));
        let shape = builder.shape(attributes.iter().map(|(key, _)| *key));
        let values: Vec<Slot> = attributes.iter().map(|(_, value)| builder.value(Value::text(value))).collect();
        let start = if kind == MetricKind::Gauge { 0 } else { self.start };
        builder.number(metric, shape, &values, self.time, start, value);
    }

    /// The batch.
    pub(crate) fn finish(self) -> steadyline_component::telemetry::Metrics {
        self.builder.finish()
    }
}
