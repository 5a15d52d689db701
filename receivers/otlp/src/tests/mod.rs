//! The receiver at its sockets: real clients in front, a test intake behind.

mod auth;
mod bad_requests;
mod config;
mod connections;
mod grpc;
mod http;

use std::sync::Arc;

use ::http::{HeaderMap, HeaderName, Uri};
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, number_data_point,
};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use steadyline_component::factory::Component;
use steadyline_component::receiver::ShutdownTrigger;
use steadyline_component::telemetry::Signal;
use steadyline_component::testkit::{TestExtensions, TestIntake, create_with};
use steadyline_component::{
    Board, Clock, CreateContext, Extension, Host, Meter, Outputs, Payload, Receiver, Shutdown, Spec, StartError,
};
use steadyline_http::{Answer, Client, ClientOptions, Compression, CompressionParams, Compressor};
use tokio::task::JoinHandle;

use crate::receiver::OtlpReceiver;
use crate::{OtlpReceiverConfig, OtlpReceiverFactory};

pub(super) const ALL: [Signal; 3] = [Signal::Metrics, Signal::Traces, Signal::Logs];
pub(super) const BOTH: &str = "protocols: {grpc: {endpoint: '127.0.0.1:0'}, http: {endpoint: '127.0.0.1:0'}}";

/// The factory, with what it makes in plain sight.
struct Plain;

impl Component for Plain {
    type Config = OtlpReceiverConfig;
    type Made = OtlpReceiver;
    const SPEC: Spec = OtlpReceiverFactory::SPEC;

    fn create(config: OtlpReceiverConfig, context: &mut CreateContext<'_>) -> Option<OtlpReceiver> {
        crate::make(config, context)
    }
}

/// A receiver that runs.
pub(super) struct Running {
    pub(super) grpc: String,
    pub(super) http: String,
    pub(super) intake: Arc<TestIntake>,
    pub(super) stop: ShutdownTrigger,
    pub(super) task: JoinHandle<()>,
}

pub(super) async fn run(yaml: &str) -> Running {
    run_with(yaml, TestExtensions::default(), 64 << 20, &ALL).await.unwrap()
}

pub(super) async fn run_with(
    yaml: &str,
    mut extensions: TestExtensions,
    budget: u64,
    signals: &[Signal],
) -> Result<Running, StartError> {
    let intake = TestIntake::new(budget);
    let running = run_before(yaml, &mut extensions, intake.outputs(signals)).await?;
    Ok(Running { intake, ..running })
}

/// The same with any outputs; the intake is nobody's.
pub(super) async fn run_before(
    yaml: &str,
    extensions: &mut TestExtensions,
    outputs: Outputs,
) -> Result<Running, StartError> {
    let clock = Clock::system();
    let mut receiver = create_with::<Plain>(yaml, extensions, &clock, &Meter::default()).map_err(StartError)?;
    let (stop, shutdown) = Shutdown::new();
    let host = Host { board: Board::new(clock.clone()), clock, shutdown: shutdown.clone() };
    receiver.start(&host).await?;
    let address = |door: &Option<steadyline_http::Door>| door.as_ref().map(|door| door.address()).unwrap_or_default();
    let (grpc, http) = (address(&receiver.grpc_door), address(&receiver.http_door));
    let intake = TestIntake::new(1 << 20);
    let task = tokio::spawn(async move { Box::new(receiver).run(outputs, shutdown).await.unwrap() });
    Ok(Running { grpc, http, intake, stop, task })
}

impl Running {
    pub(super) fn url(&self, path: &str) -> Uri {
        format!("http://{}{path}", self.http).parse().unwrap()
    }

    pub(super) async fn post(&self, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
        post(&client(), &self.url(path), headers, body).await
    }
}

pub(super) fn client() -> Client {
    Client::build(&ClientOptions::default(), &Clock::manual(0)).unwrap()
}

pub(super) async fn post(client: &Client, url: &Uri, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
    let headers: HeaderMap =
        headers.iter().map(|(name, value)| (HeaderName::try_from(*name).unwrap(), value.parse().unwrap())).collect();
    client.post(url, &headers, &Payload::from(body.into()), None).await.unwrap()
}

pub(super) fn extensions(id: &str, extension: Arc<dyn Extension>) -> TestExtensions {
    TestExtensions([(id.to_string(), extension)].into())
}

pub(super) fn compressed(compression: Compression, plain: &[u8]) -> Bytes {
    let mut compressor = Compressor::new(compression, CompressionParams::default()).unwrap();
    compressor.compress(Bytes::copy_from_slice(plain)).unwrap()
}

fn attribute(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(any_value::Value::StringValue(value.into())) });
    KeyValue { key: key.into(), value, ..KeyValue::default() }
}

/// A gauge with so many points.
pub(super) fn gauges(points: usize) -> Vec<u8> {
    let point = |at: usize| NumberDataPoint {
        time_unix_nano: 1_700_000_000_000_000_000 + at as u64,
        attributes: vec![attribute("host", "a"), attribute("n", &at.to_string())],
        value: Some(number_data_point::Value::AsDouble(at as f64)),
        ..NumberDataPoint::default()
    };
    let data = Some(Data::Gauge(Gauge { data_points: (0..points).map(point).collect() }));
    metrics_of(vec![Metric { name: "load".into(), data, ..Metric::default() }])
}

pub(super) fn metrics_of(metrics: Vec<Metric>) -> Vec<u8> {
    let scope_metrics = vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }];
    let resource_metrics = vec![ResourceMetrics { scope_metrics, ..ResourceMetrics::default() }];
    ExportMetricsServiceRequest { resource_metrics }.encode_to_vec()
}

pub(super) fn spans(count: usize) -> Vec<u8> {
    let span = Span { name: "work".into(), trace_id: vec![1; 16], span_id: vec![2; 8], ..Span::default() };
    let scope_spans = vec![ScopeSpans { spans: vec![span; count], ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

pub(super) fn records(count: usize) -> Vec<u8> {
    let record = LogRecord { severity_text: "INFO".into(), ..LogRecord::default() };
    let scope_logs = vec![ScopeLogs { log_records: vec![record; count], ..ScopeLogs::default() }];
    let resource_logs = vec![ResourceLogs { scope_logs, ..ResourceLogs::default() }];
    ExportLogsServiceRequest { resource_logs }.encode_to_vec()
}

/// A request of the signal with so many items.
pub(super) fn request(signal: Signal, items: usize) -> Vec<u8> {
    match signal {
        Signal::Metrics => gauges(items),
        Signal::Traces => spans(items),
        Signal::Logs => records(items),
    }
}

pub(super) const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
pub(super) const JSON: (&str, &str) = ("content-type", "application/json");
