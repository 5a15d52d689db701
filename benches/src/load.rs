//! OTLP requests as an SDK would send them, made once; each round only gets new times and values.

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

/// Points in one request.
pub const POINTS: usize = 1000;
/// Metrics in one request; they share its points.
pub const METRICS: usize = 10;

const TIME: u64 = 0x7e57_7e57_7e57_7e57;
const VALUE: u64 = 0x1dea_1dea_1dea_1dea;

/// One request of 1,000 gauge points with 5 attributes each, and where its times and values lie.
#[derive(Debug)]
pub struct Template {
    bytes: Vec<u8>,
    times: Vec<usize>,
    values: Vec<usize>,
}

/// Requests for so many series, 1,000 in each; `series` is rounded up.
pub fn templates(series: usize) -> Vec<Template> {
    (0..series.div_ceil(POINTS)).map(Template::new).collect()
}

impl Template {
    fn new(number: usize) -> Template {
        let metrics = (0..METRICS).map(|at| gauge(number, at)).collect();
        let scope = InstrumentationScope { name: "meter".into(), version: "1.2.3".into(), ..Default::default() };
        let scope_metrics = vec![ScopeMetrics { scope: Some(scope), metrics, schema_url: String::new() }];
        let attributes =
            vec![text("host.name", format!("node-{:03}", number % 100)), text("deployment.environment", "prod")];
        let resource = Some(Resource { attributes, ..Resource::default() });
        let resource_metrics = vec![ResourceMetrics { resource, scope_metrics, schema_url: String::new() }];
        let bytes = ExportMetricsServiceRequest { resource_metrics }.encode_to_vec();
        let (times, values) = (positions(&bytes, TIME), positions(&bytes, VALUE));
        assert_eq!((times.len(), values.len()), (POINTS, POINTS), "the marks stand once in each point");
        Template { bytes, times, values }
    }

    /// The request with all its times and values set.
    pub fn request(&self, time: u64, value: f64) -> Bytes {
        let mut bytes = self.bytes.clone();
        for at in &self.times {
            bytes[*at..at + 8].copy_from_slice(&time.to_le_bytes());
        }
        for at in &self.values {
            bytes[*at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        Bytes::from(bytes)
    }
}

fn positions(bytes: &[u8], mark: u64) -> Vec<usize> {
    let mark = mark.to_le_bytes();
    bytes.windows(8).enumerate().filter(|(_, window)| **window == mark).map(|(at, _)| at).collect()
}

fn gauge(request: usize, metric: usize) -> Metric {
    let count = POINTS / METRICS;
    let data_points = (0..count).map(|at| point(request * count + at)).collect();
    Metric {
        name: format!("queue.consumer.lag.{metric}"),
        description: "how far a consumer is behind".into(),
        unit: "ms".into(),
        data: Some(metric::Data::Gauge(Gauge { data_points })),
        ..Metric::default()
    }
}

fn point(id: usize) -> NumberDataPoint {
    NumberDataPoint {
        attributes: vec![
            text("messaging.system", "kafka"),
            text("messaging.destination.name", format!("orders-{}", id % 50)),
            text("consumer.group", format!("group-{}", id % 7)),
            text("account_id", format!("{:08x}-0000-4000-8000-{id:012x}", id.wrapping_mul(0x9e37_79b9) as u32)),
            text("cloud.region", ["us-east-1", "eu-central-1", "ap-south-1"][id % 3]),
        ],
        time_unix_nano: TIME,
        value: Some(number_data_point::Value::AsDouble(f64::from_bits(VALUE))),
        ..NumberDataPoint::default()
    }
}

fn text(key: &str, value: impl Into<String>) -> KeyValue {
    let value = Some(any_value::Value::StringValue(value.into()));
    KeyValue { key: key.into(), value: Some(AnyValue { value }), ..KeyValue::default() }
}
