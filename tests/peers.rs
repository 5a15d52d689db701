//! The Go Collector and this binary, fed by one application with OpenTelemetry's SDK: what both write to Prometheus is
//! compared series by series. Slow to set up: `tests/peers/run.sh` builds the Collector and runs this.
#![allow(clippy::unwrap_used, unreachable_pub, dead_code)]

mod common;

use std::collections::BTreeMap;
use std::process::Command;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList, any_value,
};
use opentelemetry_proto::tonic::metrics::v1::*;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

use common::backend::Backend;
use common::process::{Process, output};
use common::steadyline::Launch;
use common::tools::{python, script, tool};
use common::wait::{free_port, until_true};

/// Series with the last value of each, without what one of the two is meant to do otherwise.
fn lasting(backend: &Backend) -> BTreeMap<String, f64> {
    let taken = backend.taken().into_iter();
    let last = taken.map(|(labels, samples)| (format!("{labels:?}"), samples.last().map_or(f64::NAN, |s| s.value)));
    last.collect()
}

/// The pipeline that both run.
fn config((grpc, http): (u16, u16), url: &str) -> String {
    format!(
        "
receivers:
  otlp: {{protocols: {{grpc: {{endpoint: \"127.0.0.1:{grpc}\"}}, http: {{endpoint: \"127.0.0.1:{http}\"}}}}}}
exporters:
  prometheusremotewrite: {{endpoint: \"{url}\", external_labels: {{zone: eu}}}}
service:
  pipelines:
    metrics: {{receivers: [otlp], exporters: [prometheusremotewrite]}}
"
    )
}

async fn send(port: u16) {
    let endpoint = format!("127.0.0.1:{port}");
    // It has traces and logs as well, which nobody takes here: how it ends says nothing.
    let mut command = Command::new(python());
    let _ = output(command.arg(script("otlp_sender.py")).args(["grpc", &endpoint, "gzip"]), None).await;
}

/// Names, units, labels and values at the edges of what the translation rules say.
fn edges(now: u64) -> ExportMetricsServiceRequest {
    let text = |value: &str| AnyValue { value: Some(any_value::Value::StringValue(value.into())) };
    let pair = |key: &str, value: AnyValue| KeyValue { key: key.into(), value: Some(value), ..KeyValue::default() };
    let of = |value| AnyValue { value: Some(value) };
    let labels = vec![
        pair("http.route", text("/a b\"c\\\n")),
        pair("9lives", text("nine")),
        pair("_private", text("one")),
        pair("__two", text("two")),
        pair("a.b", text("dot")),
        pair("a_b", text("underscore")),
        pair("empty", text("")),
        pair("ünï", text("código")),
        pair("bool", of(any_value::Value::BoolValue(true))),
        pair("int", of(any_value::Value::IntValue(-5))),
        pair("double", of(any_value::Value::DoubleValue(1e21))),
        pair("bytes", of(any_value::Value::BytesValue(vec![1, 2, 255]))),
        pair("list", of(any_value::Value::ArrayValue(ArrayValue { values: vec![text("x"), text("y")] }))),
        pair("map", of(any_value::Value::KvlistValue(KeyValueList { values: vec![pair("k", text("v"))] }))),
    ];
    let number = |value: f64, attributes: &[KeyValue]| NumberDataPoint {
        attributes: attributes.to_vec(),
        time_unix_nano: now,
        value: Some(number_data_point::Value::AsDouble(value)),
        ..NumberDataPoint::default()
    };
    let metric = |name: &str, unit: &str, data| Metric {
        name: name.into(),
        unit: unit.into(),
        description: "words".into(),
        data: Some(data),
        ..Metric::default()
    };
    let gauge = |value: f64| metric::Data::Gauge(Gauge { data_points: vec![number(value, &labels)] });
    let sum = |monotonic: bool| {
        metric::Data::Sum(Sum {
            data_points: vec![number(3.0, &[])],
            aggregation_temporality: 2,
            is_monotonic: monotonic,
        })
    };
    let mut metrics: Vec<Metric> =
        ["", "1", "%", "s", "ms", "By", "KiBy", "MBy", "Cel", "{things}", "By/s", "m/{x}", "Hz"]
            .iter()
            .enumerate()
            .flat_map(|(n, unit)| {
                [
                    metric(&format!("edge.gauge.{n}"), unit, gauge(n as f64)),
                    metric(&format!("edge counter-{n}"), unit, sum(true)),
                    metric(&format!("edge_updown_{n}"), unit, sum(false)),
                ]
            })
            .collect();
    metrics.push(metric("9.starts.with.digit", "", gauge(1.0)));
    metrics.push(metric("ends_total", "", sum(true)));
    metrics.push(metric("infinite", "", gauge(f64::INFINITY)));
    let buckets = HistogramDataPoint {
        time_unix_nano: now,
        count: 10,
        sum: Some(12.5),
        bucket_counts: vec![1, 2, 3, 4],
        explicit_bounds: vec![0.001, 1.0, 1e9],
        attributes: labels.clone(),
        ..HistogramDataPoint::default()
    };
    let histogram = Histogram { data_points: vec![buckets], aggregation_temporality: 2 };
    metrics.push(metric("edge.histogram", "s", metric::Data::Histogram(histogram)));
    let quantile = |quantile, value| summary_data_point::ValueAtQuantile { quantile, value };
    let summary = SummaryDataPoint {
        time_unix_nano: now,
        count: 4,
        sum: 9.0,
        quantile_values: vec![quantile(0.0, 1.0), quantile(0.5, 2.0), quantile(1.0, 3.0)],
        ..SummaryDataPoint::default()
    };
    metrics.push(metric("edge.summary", "By", metric::Data::Summary(Summary { data_points: vec![summary] })));
    let scope = InstrumentationScope {
        name: "scope".into(),
        version: "1".into(),
        attributes: vec![pair("scope.attr", text("x"))],
        ..InstrumentationScope::default()
    };
    let attributes = vec![
        pair("service.name", text("shop")),
        pair("service.namespace", text("ns")),
        pair("service.instance.id", text("i-1")),
        pair("host.name", text("h")),
    ];
    let resource = Resource { attributes, ..Resource::default() };
    let scope_metrics = vec![ScopeMetrics { scope: Some(scope), metrics, ..ScopeMetrics::default() }];
    let resource_metrics =
        vec![ResourceMetrics { resource: Some(resource), scope_metrics, ..ResourceMetrics::default() }];
    ExportMetricsServiceRequest { resource_metrics }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the Go Collector, which tests/peers/run.sh builds"]
async fn the_collector_and_we_write_the_same_series() {
    let (theirs, ours) = (Backend::willing().await, Backend::willing().await);
    let (their_ports, our_ports) = ((free_port(), free_port()), (free_port(), free_port()));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("collector.yaml");
    let telemetry = "  telemetry: {metrics: {level: none}}\n";
    std::fs::write(&path, config(their_ports, &theirs.url()) + telemetry).unwrap();
    let mut command = Command::new(tool("peers/otelcol/otelcol"));
    let collector = Process::start("otelcol", command.arg(format!("--config={}", path.display())));
    let listens = async || tokio::net::TcpStream::connect(("127.0.0.1", their_ports.1)).await.is_ok();
    until_true("the Collector to listen", listens).await;
    let mut steadyline = Launch::new(&config(our_ports, &ours.url())).run().await;

    let edges = edges((common::steadyline::unix_seconds() * 1e9) as u64).encode_to_vec();
    for (grpc, http) in [their_ports, our_ports] {
        send(grpc).await;
        let url = format!("http://127.0.0.1:{http}/v1/metrics");
        let answer = common::http::post(&url, &[("content-type", "application/x-protobuf")], edges.clone()).await;
        assert_eq!(answer.map(|answer| answer.status), Some(200));
    }
    let has_edges = |backend: &Backend| lasting(backend).keys().any(|labels| labels.contains("edge_summary"));
    until_true("both to have written", async || has_edges(&theirs) && has_edges(&ours)).await;
    let (theirs_now, ours_now) = (lasting(&theirs), lasting(&ours));
    let only = |a: &BTreeMap<String, f64>, b: &BTreeMap<String, f64>| {
        a.iter()
            .filter(|(series, value)| b.get(*series) != Some(value))
            .map(|(s, v)| format!("{s} {v}"))
            .collect::<Vec<_>>()
    };
    let (missing, more) = (only(&theirs_now, &ours_now), only(&ours_now, &theirs_now));
    assert!(
        missing.is_empty() && more.is_empty(),
        "only theirs:\n{}\nonly ours:\n{}",
        missing.join("\n"),
        more.join("\n")
    );
    assert!(theirs_now.len() > 10);
    drop(collector);
    steadyline.finish().await;
}
