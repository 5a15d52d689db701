//! A real Prometheus 3 as OTLP receiver and as receiver of both versions of remote write, native histograms, exemplars and
//! metadata included: what it holds, and what it hands on, is what it was sent.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use prost::Message;
use serde_json::Value;

use crate::common::backend::Backend;
use crate::common::http;
use crate::common::prometheus::Prometheus;
use crate::common::remote_write::Series;
use crate::common::steadyline::{Launch, Steadyline};
use crate::common::wait::{free_port, until_true};
use crate::data::{SECOND, distributions, edges, now};
use crate::receiver::{Receiver, lines};

const PROTOBUF: [(&str, &str); 1] = [("content-type", "application/x-protobuf")];

/// Steadyline that takes OTLP, and where.
async fn steadyline(exporter: &str) -> (Steadyline, String) {
    let port = free_port();
    let id = exporter.split(':').next().unwrap();
    let config = format!(
        "
receivers:
  otlp: {{protocols: {{http: {{endpoint: \"127.0.0.1:{port}\"}}}}, wait_for_result: true}}
exporters:
  {exporter}
service:
  pipelines:
    metrics: {{receivers: [otlp], exporters: [{id}]}}
"
    );
    (Launch::new(&config).run().await, format!("http://127.0.0.1:{port}/v1/metrics"))
}

/// Everything of every kind; without a label that starts with two underscores, which Prometheus' own translation keeps, and
/// ours makes legal as the Collector does.
fn everything(now: u64) -> Vec<u8> {
    let mut all = edges(now);
    for metric in &mut all.resource_metrics[0].scope_metrics[0].metrics {
        match metric.data.as_mut().unwrap() {
            Data::Gauge(gauge) => gauge.data_points.iter_mut().for_each(|p| p.attributes.retain(is_unreserved)),
            Data::Histogram(all) => all.data_points.iter_mut().for_each(|p| p.attributes.retain(is_unreserved)),
            _ => {}
        }
    }
    all.resource_metrics[0].scope_metrics[0].metrics.extend(distributions(now));
    all.encode_to_vec()
}

fn is_unreserved(attribute: &KeyValue) -> bool {
    !attribute.key.starts_with("__")
}

async fn post(url: &str, body: Vec<u8>) {
    let answer = http::post(url, &PROTOBUF, body).await.expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// All that it holds by series, its exemplars too. When `target_info` was sent is the sender's choice.
async fn held(prometheus: &Prometheus, now: u64) -> BTreeMap<String, Value> {
    let at = (now / SECOND) as f64 + 10.0;
    let series = prometheus.raw("{__name__=~\".+\"}", 600, at).await.into_iter().map(|mut one| {
        if one["metric"]["__name__"] == "target_info" {
            one["values"] = Value::Null;
        }
        (one["metric"].to_string(), one)
    });
    let mut all: BTreeMap<String, Value> = series.collect();
    for one in prometheus.exemplars("{__name__=~\".+\"}", at - 600.0, at).await {
        all.insert(format!("exemplars of {}", one["seriesLabels"]), one);
    }
    all
}

fn differences(theirs: &BTreeMap<String, Value>, ours: &BTreeMap<String, Value>) -> String {
    let only = |a: &BTreeMap<String, Value>, b: &BTreeMap<String, Value>| {
        a.iter().filter(|(key, one)| b.get(*key) != Some(one)).map(|(_, one)| format!("  {one}\n")).collect::<String>()
    };
    let (missing, more) = (only(theirs, ours), only(ours, theirs));
    if missing.is_empty() && more.is_empty() {
        String::new()
    } else {
        format!("sent directly:\n{missing}by us:\n{more}")
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Prometheus 3, which tests/peers/run.sh builds"]
async fn by_otlp_it_holds_what_it_holds_when_it_is_sent_directly() {
    let (direct, through) = (Prometheus::version_3("global: {}\n").await, Prometheus::version_3("global: {}\n").await);
    let (mut steadyline, url) =
        steadyline(&format!("otlphttp: {{metrics_endpoint: \"{}\"}}", through.otlp_url())).await;
    let now = now();
    post(&direct.otlp_url(), everything(now)).await;
    post(&url, everything(now)).await;
    let (theirs, ours) = (held(&direct, now).await, held(&through, now).await);
    assert_eq!(differences(&theirs, &ours), "");
    assert!(ours.len() > 55, "{}", ours.len());
    let books = steadyline.finish().await;
    assert_eq!(books.of("exporter", "otlphttp").lost(), 0.0);
}

/// Its translation of OTLP is held against ours.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Prometheus 3, which tests/peers/run.sh builds"]
async fn by_remote_write_it_holds_what_it_makes_of_otlp_itself() {
    let now = now();
    let direct = Prometheus::version_3("otlp: {promote_scope_metadata: true}\n").await;
    post(&direct.otlp_url(), everything(now)).await;
    let theirs = held(&direct, now).await;
    for message in ["prometheus.WriteRequest", "io.prometheus.write.v2.Request"] {
        let through = Prometheus::version_3("global: {}\n").await;
        let keys = format!("endpoint: \"{}\", protobuf_message: {message}, send_exemplars: true", through.write_url());
        let (mut steadyline, url) = steadyline(&format!("prometheusremotewrite: {{{keys}}}")).await;
        post(&url, everything(now)).await;
        // By version 1.0 it takes the exemplars of a native histogram only when it knows the series.
        post(&url, everything(now)).await;
        let ours = held(&through, now).await;
        assert_eq!(differences(&theirs, &ours), "", "{message}");
        let books = steadyline.finish().await;
        assert_eq!(books.of("exporter", "prometheusremotewrite").lost(), 0.0);
    }
}

/// Every series as one text. Version 3.7 hands on start times in a field that the specification has taken back.
fn by_series(series: Vec<Series>, now: i64) -> BTreeMap<String, Vec<String>> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for one in series {
        let entry = all.entry(format!("{:?}", one.labels)).or_default();
        entry.extend(lines(&one, now).into_iter().filter(|line| !line.ends_with(" nothing")));
        entry.push(format!("{:?}", one.metadata));
        entry.sort();
        entry.dedup();
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Prometheus 3, which tests/peers/run.sh builds"]
async fn by_remote_write_2_it_hands_on_every_sample_histogram_exemplar_and_metadata() {
    // What it hands on is not held against the specification: it sends exemplars in series without a sample.
    let (direct, behind) = (Backend::willing().await, Receiver::start().await);
    let forward = format!(
        "remote_write: [{{url: \"{}\", protobuf_message: io.prometheus.write.v2.Request, send_exemplars: true, \
         send_native_histograms: true, queue_config: {{batch_send_deadline: 1s}}}}]\n",
        behind.url()
    );
    let prometheus = Prometheus::version_3(&forward).await;
    let exporter = |id: &str, url: &str| {
        format!(
            "{id}: {{endpoint: \"{url}\", protobuf_message: io.prometheus.write.v2.Request, send_exemplars: true, \
             target_info: {{enabled: false}}}}"
        )
    };
    let (mut to_backend, backend_url) = steadyline(&exporter("prometheusremotewrite", &direct.url())).await;
    let (mut to_prometheus, url) = steadyline(&exporter("prometheusremotewrite", &prometheus.write_url())).await;
    // It hands on what is newer than its own start, exemplars too.
    let now = now() + 10 * SECOND;
    post(&backend_url, everything(now)).await;
    let ms = (now / 1_000_000) as i64;
    let expected = by_series(direct.requests().into_iter().flat_map(|one| one.series).collect(), ms);
    assert!(expected.len() > 55, "{}", expected.len());
    // It sends what comes after it has begun to read its log: that is over when the first gets through.
    until_true("everything behind it", async || {
        post(&url, everything(now)).await;
        let seen = by_series(behind.series(), ms);
        expected.keys().all(|series| seen.contains_key(series))
    })
    .await;
    until_true("the rest of it", async || by_series(behind.series(), ms) == expected).await;
    to_backend.finish().await;
    to_prometheus.finish().await;
}
