//! OTLP over HTTP: both encodings, every compression, answers in the encoding of the request, CORS.

use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use steadyline_component::receiver::Intake;
use steadyline_component::telemetry::Signal;
use steadyline_component::{Batch, Budget, Data, Output, Outputs, SendError, SettleError, Until, async_trait};
use steadyline_http::Compression;

use super::{ALL, BOTH, JSON, PROTOBUF, compressed, gauges, records, request, run, run_before, run_with};

fn path(signal: Signal) -> String {
    format!("/v1/{signal}")
}

/// The code and words of a failed answer in protobuf.
fn status(body: &[u8]) -> (i32, String) {
    #[derive(Clone, PartialEq, Message)]
    struct Status {
        #[prost(int32, tag = "1")]
        code: i32,
        #[prost(string, tag = "2")]
        message: String,
    }
    let Status { code, message } = Status::decode(body).unwrap();
    (code, message)
}

#[tokio::test]
async fn protobuf_arrives_whatever_its_compression() {
    let receiver = run(BOTH).await;
    for (compression, name) in [
        (Compression::None, None),
        (Compression::None, Some("identity")),
        (Compression::Gzip, Some("gzip")),
        (Compression::Zstd, Some("zstd")),
        (Compression::Deflate, Some("deflate")),
        (Compression::Zlib, Some("zlib")),
    ] {
        for signal in ALL {
            let sent = request(signal, 50);
            let headers: Vec<_> = [PROTOBUF].into_iter().chain(name.map(|name| ("content-encoding", name))).collect();
            let answer = receiver.post(&path(signal), &headers, compressed(compression, &sent)).await;
            assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0), "{name:?} {signal}");
            assert_eq!(answer.headers["content-type"], "application/x-protobuf");
            let batch = receiver.intake.take().pop().unwrap();
            assert_eq!((batch.signal(), batch.items()), (signal, 50));
            match batch.data {
                Data::Metrics(metrics) => assert_eq!(metrics.wire(), sent),
                Data::Opaque(opaque) => assert_eq!(opaque.bytes(), &sent),
            }
        }
    }
}

#[tokio::test]
async fn json_arrives_and_is_answered_in_json() {
    let receiver = run(BOTH).await;
    let point = r#"{"asDouble":1.5,"timeUnixNano":"1700000000000000000","attributes":[{"key":"host","value":{"stringValue":"a"}}]}"#;
    let metrics = format!(
        r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"name":"load","gauge":{{"dataPoints":[{point},{point}]}}}}]}}]}}]}}"#
    );
    let spans = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"0102","name":"x"}]}]}]}"#.to_string();
    let logs = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"hi"}}]}]}]}"#.to_string();
    for (signal, json, items) in [(Signal::Metrics, metrics, 2), (Signal::Traces, spans, 1), (Signal::Logs, logs, 1)] {
        for kind in ["application/json", "application/json; charset=utf-8", "Application/JSON"] {
            let gzip = [("content-type", kind), ("content-encoding", "gzip")];
            let answer = receiver.post(&path(signal), &gzip, compressed(Compression::Gzip, json.as_bytes())).await;
            assert_eq!((answer.status.as_u16(), &*answer.body), (200, &b"{}"[..]), "{answer:?}");
            assert_eq!(answer.headers["content-type"], "application/json");
            let batch = receiver.intake.take().pop().unwrap();
            assert_eq!((batch.signal(), batch.items()), (signal, items));
        }
    }
    let answer = receiver.post("/v1/logs", &[JSON], "{}").await;
    assert_eq!(answer.status, 200);
    assert!(receiver.intake.take().is_empty());
}

#[tokio::test]
async fn what_the_pipelines_say_is_what_the_sender_is_told() {
    let receiver = run(BOTH).await;
    let settle = |error| Some(SendError::NotSettled(error));
    let after = Duration::from_millis(2500);
    for (answer, status_code, retry_after, code) in [
        (Some(SendError::Busy { retry_after: Some(after) }), 503, Some(3), 14),
        (Some(SendError::Busy { retry_after: None }), 503, Some(1), 14),
        (Some(SendError::ShuttingDown), 503, Some(1), 14),
        (settle(SettleError::Retryable("later".into())), 503, Some(1), 14),
        (settle(SettleError::Final("never".into())), 500, None, 13),
    ] {
        receiver.intake.answer(answer.clone());
        let reply = receiver.post("/v1/logs", &[PROTOBUF], records(3)).await;
        assert_eq!(reply.status.as_u16(), status_code, "{answer:?}");
        assert_eq!(reply.retry_after.map(|after| after.as_secs()), retry_after, "{answer:?}");
        assert_eq!(status(&reply.body).0, code);
        let reply =
            receiver.post("/v1/logs", &[JSON], r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{}]}]}]}"#).await;
        let json: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!((reply.status.as_u16(), &json["code"]), (status_code, &code.into()));
    }
}

#[tokio::test]
async fn without_room_or_memory_the_sender_is_told_when_to_try_again() {
    let receiver = run(BOTH).await;
    let outputs = receiver.intake.outputs(&ALL);
    receiver.intake.set_room(false);
    let full = receiver.post("/v1/metrics", &[PROTOBUF], gauges(5)).await;
    receiver.intake.set_room(true);
    let held: Vec<_> = (0..4).map_while(|_| outputs.budget().unwrap().try_acquire(u64::MAX)).collect();
    let spent = receiver.post("/v1/metrics", &[PROTOBUF], gauges(5)).await;
    drop(held);
    for answer in [full, spent] {
        assert_eq!((answer.status.as_u16(), answer.retry_after), (503, Some(Duration::from_secs(1))));
    }
    assert_eq!(receiver.intake.take_refused(), [("queue_full", 5), ("memory", 1)]);
}

#[tokio::test]
async fn paths_are_those_of_the_config_and_only_wanted_signals_are_found() {
    let yaml = "protocols: {http: {endpoint: '127.0.0.1:0', metrics_url_path: /in}}";
    let receiver = run_with(yaml, Default::default(), 64 << 20, &[Signal::Metrics]).await.unwrap();
    for (path, expected) in [("/in", 200), ("/v1/metrics", 404), ("/v1/logs", 404), ("/", 404), ("/in/", 404)] {
        assert_eq!(receiver.post(path, &[PROTOBUF], gauges(1)).await.status, expected, "{path}");
    }
    let (_, words) = status(&receiver.post("/v1/logs", &[PROTOBUF], "").await.body);
    assert_eq!(words, "no pipeline takes logs from this receiver");
}

#[tokio::test]
async fn only_compressions_of_the_list_are_taken() {
    let yaml = "protocols: {http: {endpoint: '127.0.0.1:0', compression_algorithms: [zstd]}}";
    let receiver = run(yaml).await;
    for (compression, name, expected) in [(Compression::Zstd, "zstd", 200), (Compression::Gzip, "gzip", 415)] {
        let body = compressed(compression, &gauges(1));
        let answer = receiver.post("/v1/metrics", &[PROTOBUF, ("content-encoding", name)], body).await;
        assert_eq!(answer.status, expected, "{name}");
    }
    assert_eq!(receiver.post("/v1/metrics", &[PROTOBUF], gauges(1)).await.status, 200);
}

#[tokio::test]
async fn browsers_are_told_whether_they_may() {
    let yaml = "protocols: {http: {endpoint: '127.0.0.1:0', cors: {allowed_origins: ['https://*.example.com']}, \
                response_headers: {x-served-by: us}}}";
    let receiver = run(yaml).await;
    for (origin, leave) in [("https://app.example.com", Some("https://app.example.com")), ("https://evil.org", None)] {
        let headers = [("origin", origin), ("access-control-request-method", "POST")];
        let stream = raw(&receiver.http, "OPTIONS /v1/traces", &headers).await;
        assert!(stream.starts_with("HTTP/1.1 204"), "{stream}");
        let said = stream.lines().find_map(|line| line.strip_prefix("access-control-allow-origin: "));
        assert_eq!(said, leave, "{stream}");
        assert!(stream.contains("x-served-by: us"));
        let answer = receiver.post("/v1/metrics", &[PROTOBUF, ("origin", origin)], gauges(1)).await;
        let said = answer.headers.get("access-control-allow-origin").map(|value| value.to_str().unwrap());
        assert_eq!((answer.status.as_u16(), said), (200, leave));
    }
}

/// Pipelines that take a batch and never come back.
struct Stuck(Budget);

#[async_trait]
impl Intake for Stuck {
    async fn send(&self, _: Batch, _: Until) -> Result<(), SendError> {
        std::future::pending().await
    }

    fn budget(&self) -> &Budget {
        &self.0
    }

    fn refused(&self, reason: &'static str, _: u64) {
        panic!("what was taken is not refused: {reason}");
    }
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_to_try_again() {
    let yaml = "protocols: {http: {endpoint: '127.0.0.1:0', write_timeout: 50ms}}";
    let output = Output::new(Arc::new(Stuck(Budget::new(8 << 20))));
    let receiver = run_before(yaml, &mut Default::default(), Outputs::new([(Signal::Logs, output)])).await.unwrap();
    let answer = receiver.post("/v1/logs", &[PROTOBUF], records(1)).await;
    assert_eq!((answer.status.as_u16(), answer.retry_after), (503, Some(Duration::from_secs(1))));
}

#[tokio::test]
async fn without_cors_a_preflight_is_a_wrong_method() {
    let receiver = run(BOTH).await;
    let headers = [("origin", "https://a"), ("access-control-request-method", "POST")];
    let answer = raw(&receiver.http, "OPTIONS /v1/traces", &headers).await;
    assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
    assert!(answer.contains("allow: POST"), "{answer}");
}

/// One request without a body, written by hand; the whole answer as text.
pub(super) async fn raw(address: &str, line: &str, headers: &[(&str, &str)]) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let request = format!("{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}
