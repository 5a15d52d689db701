//! Applications with OpenTelemetry's own SDKs send through the binary to a backend that is not ours: what arrives is what
//! the SDK would have sent there itself, whatever the languages and transports.

use std::process::Command;

use serde_json::Value;

use crate::common::otlp::OtlpBackend;
use crate::common::process::output;
use crate::common::steadyline::Launch;
use crate::common::tools::{python, root, script, tool};
use crate::common::wait::{free_port, until_true};

#[derive(Debug, Clone, Copy)]
enum Sdk {
    Python,
    Go,
    JavaScript,
}

impl Sdk {
    fn application(self) -> Command {
        match self {
            Sdk::Python => {
                let mut command = Command::new(python());
                command.arg(script("otlp_sender.py"));
                command
            }
            Sdk::Go => Command::new(tool("sdk-go/sender")),
            Sdk::JavaScript => {
                let mut command = Command::new("node");
                command.env("NODE_PATH", tool("sdk-javascript/node_modules"));
                command.arg(root().join("tests/sdk/javascript/sender.js"));
                command
            }
        }
    }

    /// Two exports of metrics (one at the flush, one at the end), and what it has of spans and records.
    fn requests(self) -> usize {
        match self {
            Sdk::Python => 6,
            Sdk::Go | Sdk::JavaScript => 4,
        }
    }

    /// Sends everything by `transport`, whose first word is the protocol.
    async fn send(self, transport: &str, grpc: &str, http: &str) {
        let mut words = transport.split(' ');
        let protocol = words.next().expect("a protocol");
        let endpoint = if protocol == "grpc" { grpc } else { http };
        let (code, _, said) = output(self.application().args([protocol, endpoint]).args(words), None).await;
        assert_eq!(code, 0, "{self:?} {transport}: {said}");
    }
}

/// What a request says without its times, and with its ids as `id` has them.
fn lasting(value: &Value, id: &mut impl FnMut(&str) -> Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.iter().filter(|(key, _)| !key.ends_with("UnixNano")).map(|(key, field)| {
                let is_id = key.ends_with("raceId") || key.ends_with("panId");
                let field = if is_id { id(field.as_str().expect("a text")) } else { lasting(field, id) };
                (key.clone(), field)
            });
            Value::Object(fields.collect())
        }
        Value::Array(items) => items.iter().map(|item| lasting(item, id)).collect(),
        plain => plain.clone(),
    }
}

/// What arrived, in an order that does not depend on which signal was faster. Ids differ from run to run: each stands as
/// its place in the order in which they come up.
fn arrived(backend: &OtlpBackend) -> Vec<String> {
    let mut requests: Vec<Value> = backend.requests().into_iter().map(|mut one| one["request"].take()).collect();
    requests.sort_by_cached_key(|request| {
        let signals = ["resourceSpans", "resourceMetrics", "resourceLogs"];
        let rank = signals.iter().position(|signal| request.get(*signal).is_some());
        (rank, lasting(request, &mut |_| Value::Null).to_string())
    });
    let mut ids: Vec<String> = Vec::new();
    let mut number = |id: &str| {
        let known = ids.iter().position(|known| known == id).unwrap_or_else(|| {
            ids.push(id.into());
            ids.len() - 1
        });
        Value::from(known)
    };
    requests.iter().map(|request| lasting(request, &mut number).to_string()).collect()
}

async fn directly(sdk: Sdk, transport: &str) -> Vec<String> {
    let backend = OtlpBackend::start(&[]).await;
    sdk.send(transport, &backend.grpc, &backend.http).await;
    until_true("what was sent", async || backend.requests().len() >= sdk.requests()).await;
    arrived(&backend)
}

const GRPC: &str = "otlp: {endpoint: GRPC, tls: {insecure: true}}";
const PROTOBUF: &str = "otlphttp: {endpoint: HTTP}";
const JSON: &str = "otlphttp: {endpoint: HTTP, encoding: json}";

async fn check(sdk: Sdk, transport: &str, exporter: &str) {
    let expected = directly(sdk, transport).await;
    let signals = ["resourceSpans", "resourceMetrics", "resourceLogs"];
    assert!(signals.iter().all(|signal| expected.iter().any(|request| request.contains(signal))), "{expected:?}");
    let backend = OtlpBackend::start(&[]).await;
    let id = exporter.split(':').next().unwrap();
    let (grpc, http) = (free_port(), free_port());
    let config = format!(
        "
receivers:
  otlp: {{protocols: {{grpc: {{endpoint: \"127.0.0.1:{grpc}\"}}, http: {{endpoint: \"127.0.0.1:{http}\"}}}}}}
exporters:
  {}
service:
  pipelines:
    metrics: {{receivers: [otlp], exporters: [{id}]}}
    traces: {{receivers: [otlp], exporters: [{id}]}}
    logs: {{receivers: [otlp], exporters: [{id}]}}
",
        exporter.replace("GRPC", &backend.grpc).replace("HTTP", &backend.http)
    );
    let mut steadyline = Launch::new(&config).run().await;
    sdk.send(transport, &format!("127.0.0.1:{grpc}"), &format!("http://127.0.0.1:{http}")).await;
    until_true("what was sent", async || backend.requests().len() >= sdk.requests()).await;
    let protocol = match exporter {
        GRPC => "grpc",
        PROTOBUF => "http/protobuf",
        _ => "http/json",
    };
    assert!(backend.requests().iter().all(|request| request["protocol"] == protocol));
    assert_eq!(arrived(&backend), expected, "{sdk:?} {transport} -> {protocol}");
    let books = steadyline.finish().await;
    assert_eq!(books.of("exporter", id).lost(), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_sdk_for_python_sends_arrives_as_if_it_had_been_sent_directly() {
    check(Sdk::Python, "grpc gzip", GRPC).await;
    check(Sdk::Python, "http none --delta", JSON).await;
    check(Sdk::Python, "http gzip", PROTOBUF).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_sdk_for_go_sends_arrives_as_if_it_had_been_sent_directly() {
    check(Sdk::Go, "grpc gzip", JSON).await;
    check(Sdk::Go, "grpc none --delta", GRPC).await;
    check(Sdk::Go, "http none", PROTOBUF).await;
    check(Sdk::Go, "http gzip --delta", GRPC).await;
}

/// `http` is JSON, by the exporters of that name.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_sdk_for_javascript_sends_arrives_as_if_it_had_been_sent_directly() {
    check(Sdk::JavaScript, "http none", GRPC).await;
    check(Sdk::JavaScript, "http gzip --delta", JSON).await;
    check(Sdk::JavaScript, "proto gzip", PROTOBUF).await;
    check(Sdk::JavaScript, "grpc none --delta", PROTOBUF).await;
}

/// What the process says of itself goes through the SDK for Rust and its exporter: one sends, one receives and passes on.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_sdk_for_rust_sends_arrives() {
    for protocol in ["grpc", "http/protobuf"] {
        let backend = OtlpBackend::start(&[]).await;
        let (grpc, http) = (free_port(), free_port());
        let receiving = format!(
            "
receivers:
  otlp: {{protocols: {{grpc: {{endpoint: \"127.0.0.1:{grpc}\"}}, http: {{endpoint: \"127.0.0.1:{http}\"}}}}}}
exporters:
  {}
service:
  pipelines:
    metrics: {{receivers: [otlp], exporters: [otlp]}}
",
            GRPC.replace("GRPC", &backend.grpc)
        );
        let mut steadyline = Launch::new(&receiving).run().await;
        let port = if protocol == "grpc" { grpc } else { http };
        let sending = format!(
            "
receivers:
  otlp: {{protocols: {{grpc: {{endpoint: \"127.0.0.1:0\"}}}}}}
exporters:
  debug:
service:
  pipelines:
    metrics: {{receivers: [otlp], exporters: [debug]}}
  telemetry:
    resource: {{service.name: sender}}
    metrics:
      readers:
        - periodic:
            interval: 100
            exporter: {{otlp: {{protocol: {protocol}, endpoint: \"http://127.0.0.1:{port}\"}}}}
"
        );
        let mut sender = Launch::new(&sending).start("run");
        until_true("two of its exports", async || backend.requests().len() >= 2).await;
        sender.signal(rustix::process::Signal::TERM);
        assert!(sender.exit().await.success());
        let told = backend.requests().iter().map(|one| one["request"].to_string()).collect::<String>();
        for words in [
            "otelcol_process_uptime",
            "AGGREGATION_TEMPORALITY_CUMULATIVE",
            "\"isMonotonic\":true",
            "\"gauge\"",
            "\"sender\"",
        ] {
            assert!(told.contains(words), "{protocol}: {words} in {told}");
        }
        let books = steadyline.finish().await;
        assert_eq!(books.of("exporter", "otlp").lost(), 0.0);
    }
}
