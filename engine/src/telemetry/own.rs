//! A reading as a batch of data, for a receiver that sends the process's own metrics down a pipeline.
//! Nothing in it changes at a restart or an upgrade but the sums' start times, so that no line forks.

use std::sync::OnceLock;

use steadyline_component::OwnMetrics;
use steadyline_telemetry::metrics::{MetricDef, NumberValue};
use steadyline_telemetry::{MetricKind, Metrics, MetricsBuilder, Temporality, Value};

use super::reading::Reading;
use super::resource;

/// The process's own metrics as data.
#[derive(Debug)]
pub struct OwnData {
    reading: Reading,
    /// When sums began, nanoseconds since the Unix epoch.
    start: u64,
    resource: OnceLock<Vec<(String, String)>>,
}

impl OwnData {
    /// Data from a reading of a process that started at `start`, nanoseconds since the Unix epoch.
    pub fn new(reading: Reading, start: u64) -> OwnData {
        OwnData { reading, start, resource: OnceLock::new() }
    }

    /// Says what the resource is, if it is not only the service's name. The first word counts.
    pub fn set_resource(&self, attributes: Vec<(String, String)>) {
        let _ = self.resource.set(attributes);
    }
}

impl OwnMetrics for OwnData {
    fn read(&self, time: u64) -> Metrics {
        let mut batch = MetricsBuilder::new();
        let name = || vec![("service.name".to_string(), resource::SERVICE_NAME.to_string())];
        let resource = self.resource.get_or_init(name);
        batch.resource(resource.iter().map(|(name, value)| (name.as_str(), Value::text(value))));
        batch.scope("", "");
        for (name, family) in self.reading.read().iter() {
            let (kind, start) = match family.counter {
                true => (MetricKind::Sum { temporality: Temporality::Cumulative, monotonic: true }, self.start),
                false => (MetricKind::Gauge, 0),
            };
            let def = MetricDef { name, description: family.help, unit: family.unit, kind };
            let metric = batch.metric(def);
            for series in &family.series {
                let shape = batch.shape(series.labels.iter().map(|(name, _)| name.as_str()));
                let values: Vec<_> = series.labels.iter().map(|(_, value)| batch.value(Value::text(value))).collect();
                batch.number(metric, shape, &values, time, start, NumberValue::Double(series.value));
            }
        }
        batch.finish()
    }
}
