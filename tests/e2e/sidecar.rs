//! An application with OpenTelemetry's own SDK sends through the binary to a backend that is not ours: what arrives is
//! what the SDK would have sent there itself, whatever the transports.

use std::process::Command;

use serde_json::Value;

use crate::common::backend::Backend;
use crate::common::otlp::OtlpBackend;
use crate::common::process::output;
use crate::common::steadyline::Launch;
use crate::common::tools::{python, script};
use crate::common::wait::{free_port, until_true};

/// Two exports of metrics (one at the flush, one at the end), two spans and two records.
const REQUESTS: usize = 6;

async fn send(arguments: &[&str]) {
    let mut command = Command::new(python());
    let (code, _, words) = output(command.arg(script("otlp_sender.py")).args(arguments), None).await;
    assert_eq!(code, 0, "{words}");
}

/// What a request says, without what differs from one run to the next: its times and ids.
fn lasting(mut value: Value) -> Value {
    match &mut value {
        Value::Object(fields) => {
            fields.retain(|key, _| !key.ends_with("UnixNano") && !key.ends_with("raceId") && !key.ends_with("panId"));
            fields.values_mut().for_each(|field| *field = lasting(field.take()));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = lasting(item.take())),
        _ => {}
    }
    value
}

/// What arrived, in an order that does not depend on which signal was faster.
fn arrived(backend: &OtlpBackend) -> Vec<String> {
    let requests = backend.requests().into_iter().map(|mut request| request["request"].take());
    let mut texts: Vec<String> = requests.map(|request| lasting(request).to_string()).collect();
    texts.sort();
    texts
}

async fn directly(arguments: &[&str]) -> Vec<String> {
    let backend = OtlpBackend::start(&[]).await;
    let endpoint = if arguments[0] == "grpc" { &backend.grpc } else { &backend.http };
    send(&[&[arguments[0], endpoint], &arguments[1..]].concat()).await;
    until_true("what was sent", async || backend.requests().len() >= REQUESTS).await;
    arrived(&backend)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_sdk_sends_arrives_as_if_it_had_been_sent_directly() {
    let transports: [(&[&str], &str, &str); 3] = [
        (&["grpc", "gzip"], "otlp: {endpoint: GRPC, tls: {insecure: true}}", "grpc"),
        (&["http", "none", "--delta"], "otlphttp: {endpoint: HTTP, encoding: json}", "http/json"),
        (&["http", "gzip"], "otlphttp: {endpoint: HTTP}", "http/protobuf"),
    ];
    for (arguments, exporter, protocol) in transports {
        let expected = directly(arguments).await;
        let backend = OtlpBackend::start(&[]).await;
        let exporter = exporter.replace("GRPC", &backend.grpc).replace("HTTP", &backend.http);
        let id = exporter.split(':').next().unwrap();
        let (grpc, http) = (free_port(), free_port());
        let config = format!(
            "
receivers:
  otlp: {{protocols: {{grpc: {{endpoint: \"127.0.0.1:{grpc}\"}}, http: {{endpoint: \"127.0.0.1:{http}\"}}}}}}
exporters:
  {exporter}
service:
  pipelines:
    metrics: {{receivers: [otlp], exporters: [{id}]}}
    traces: {{receivers: [otlp], exporters: [{id}]}}
    logs: {{receivers: [otlp], exporters: [{id}]}}
"
        );
        let mut steadyline = Launch::new(&config).run().await;
        let endpoint =
            if arguments[0] == "grpc" { format!("127.0.0.1:{grpc}") } else { format!("http://127.0.0.1:{http}") };
        send(&[&[arguments[0], endpoint.as_str()], &arguments[1..]].concat()).await;
        until_true("what was sent", async || backend.requests().len() >= REQUESTS).await;
        assert!(backend.requests().iter().all(|request| request["protocol"] == protocol));
        assert_eq!(arrived(&backend), expected, "{arguments:?} -> {protocol}");
        steadyline.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deltas_reach_remote_write_as_cumulative_series_and_the_rest_under_the_translated_names() {
    let backend = Backend::willing().await;
    let port = free_port();
    let config = format!(
        "
receivers:
  otlp: {{protocols: {{grpc: {{endpoint: \"127.0.0.1:{port}\"}}}}}}
processors:
  deltatocumulative:
  batch:
exporters:
  prometheusremotewrite: {{endpoint: \"{}\"}}
service:
  pipelines:
    metrics: {{receivers: [otlp], processors: [deltatocumulative, batch], exporters: [prometheusremotewrite]}}
",
        backend.url()
    );
    let mut steadyline = Launch::new(&config).run().await;
    // Two runs of one application: a counter that knows nothing of the run before goes on by its deltas.
    for _ in 0..2 {
        // It has traces and logs as well, and is told that nobody wants them.
        let mut command = Command::new(python());
        let endpoint = format!("127.0.0.1:{port}");
        let arguments = ["grpc", &endpoint, "gzip", "--delta"];
        let (_, _, words) = output(command.arg(script("otlp_sender.py")).args(arguments), None).await;
        assert!(words.contains("UNIMPLEMENTED"), "{words}");
    }
    let last = |name: &str| {
        let taken = backend.taken();
        let series = taken.iter().find(|(labels, _)| labels["__name__"] == name);
        series.map(|(labels, samples)| (labels.clone(), samples.last().unwrap().value))
    };
    until_true("both runs", async || last("requests_total").is_some_and(|(_, value)| value == 6.0)).await;
    let (labels, _) = last("requests_total").unwrap();
    assert_eq!((labels["job"].as_str(), labels["instance"].as_str()), ("shop", "1"));
    assert_eq!((labels["bool"].as_str(), labels["double"].as_str()), ("true", "0.5"));
    assert_eq!(last("latency_seconds_count").unwrap().1, 8.0);
    assert_eq!(last("temperature_celsius").unwrap().1, 21.5);
    assert_eq!(last("open").unwrap().1, -4.0);
    let books = steadyline.finish().await;
    assert_eq!(books.of("exporter", "prometheusremotewrite").lost(), 0.0);
}
