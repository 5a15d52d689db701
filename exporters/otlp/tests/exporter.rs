//! The exporter as config makes it, against a scripted HTTP/2 backend on a real socket.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsPartialSuccess, ExportMetricsServiceResponse};
use prost::Message;
use steadyline_component::telemetry::{Limits, Metrics};
use steadyline_component::testkit::{self, TestExtensions};
use steadyline_component::{
    Attempt, AuthError, Authenticator, Batch, Block, Clock, Encoded, Exporter, Extension, Meter, Outcome, Payload,
    Sender, Tally, TraceParent, Verdict,
};
use steadyline_exporter_otlp::OtlpFactory;
use steadyline_http::testkit::{Backend, ClientFiles, Recorded, Reply, TestCertificates, no_answer_is_a_retry};

const POINTS: &str = r#"
    resource{env="dev"}
    steps{account="a"} 5 @10
    steps{account="b"} stale @10
"#;
const ATTEMPT: Attempt = Attempt::FIRST;

struct Made {
    block: Block,
    sender: Arc<dyn Sender>,
}

fn make(yaml: &str, extensions: &mut TestExtensions) -> Result<Made, String> {
    let clock = Clock::manual(0);
    let made = testkit::create_with::<OtlpFactory>(yaml, extensions, &clock, &Meter::default())?;
    let Exporter::Queued { mut encoder, sender, .. } = made else { panic!("not queued") };
    let mut blocks = Vec::new();
    let batch = Batch::metrics(testkit::metrics(POINTS));
    encoder.encode(&batch, 1, &mut Encoded { blocks: &mut blocks, tally: &Tally::default() });
    Ok(Made { block: blocks.remove(0), sender })
}

async fn send(yaml: &str) -> Outcome {
    let made = make(yaml, &mut TestExtensions::default()).unwrap();
    made.sender.send(&made.block, &ATTEMPT).await
}

fn framed(message: &[u8]) -> Bytes {
    let mut framed = vec![0];
    framed.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
    framed.extend_from_slice(message);
    framed.into()
}

/// A gRPC answer: an empty message, then the status in the trailers.
fn status(code: i32, message: &str) -> Reply {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from(code));
    trailers.insert("grpc-message", message.replace(' ', "%20").parse().unwrap());
    let body = if code == 0 { framed(&[]) } else { Bytes::new() };
    Reply::Trailers(Response::new(body), trailers).with("content-type", "application/grpc")
}

fn opened(request: &Recorded) -> Vec<u8> {
    let (head, body) = request.body.split_first_chunk::<5>().unwrap();
    assert_eq!(u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize, body.len());
    assert_eq!(head[0] == 1, request.header("grpc-encoding") != "-");
    let mut plain = Vec::new();
    match request.header("grpc-encoding") {
        "gzip" => flate2::read::GzDecoder::new(body).read_to_end(&mut plain).unwrap(),
        "zstd" => zstd::Decoder::new(body).unwrap().read_to_end(&mut plain).unwrap(),
        "deflate" => flate2::read::ZlibDecoder::new(body).read_to_end(&mut plain).unwrap(),
        "-" => body.to_vec().as_slice().read_to_end(&mut plain).unwrap(),
        other => panic!("{other}"),
    };
    plain
}

fn lines(request: &Recorded) -> Vec<String> {
    testkit::render(&Metrics::decode(opened(request).into(), &Limits::default()).unwrap())
}

#[tokio::test]
async fn a_traced_request_says_to_which_trace_it_belongs() {
    let backend = Backend::start(|_, _| status(0, "")).await;
    let yaml = format!("endpoint: {}", backend.url());
    let made = make(&yaml, &mut TestExtensions::default()).unwrap();
    let trace = TraceParent { trace_id: [1; 16], span_id: [2; 8], sampled: true };
    made.sender.send(&made.block, &Attempt { number: 0, trace: Some(trace) }).await;
    made.sender.send(&made.block, &Attempt::FIRST).await;
    let headers: Vec<String> = backend.requests().iter().map(|one| one.header("traceparent").to_string()).collect();
    assert_eq!(headers, [trace.to_string().as_str(), "-"]);
}

#[tokio::test]
async fn every_compression_arrives_as_what_was_sent() {
    let backend = Backend::start(|_, _| status(0, "")).await;
    for compression in ["gzip", "zstd", "deflate", "none"] {
        let outcome = send(&format!("endpoint: {}\ncompression: {compression}", backend.url())).await;
        assert_eq!(outcome, Outcome::DELIVERED, "{compression}");
        assert_eq!(lines(&backend.requests().pop().unwrap()), testkit::render(&testkit::metrics(POINTS)));
    }
}

#[tokio::test]
async fn requests_are_grpc_and_carry_metadata() {
    let backend = Backend::start(|_, _| status(0, "")).await;
    let yaml = format!(
        "endpoint: {}\ntls: {{insecure: true}}\nheaders: {{X-Tenant: t1, trace-bin: AQ}}\nauthority: other.example",
        backend.address
    );
    assert_eq!(send(&yaml).await, Outcome::DELIVERED);
    let request = backend.requests().pop().unwrap();
    assert_eq!(request.line, "POST /opentelemetry.proto.collector.metrics.v1.MetricsService/Export");
    assert_eq!(request.version, http::Version::HTTP_2);
    let expected = [
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("grpc-timeout", "5000m"),
        ("x-tenant", "t1"),
        ("trace-bin", "AQ"),
    ];
    assert_eq!(expected.map(|(name, _)| (name, request.header(name))), expected);
    assert!(request.header("user-agent").starts_with(steadyline_http::USER_AGENT));
    assert_eq!(request.authority, "other.example");
}

#[tokio::test]
async fn partial_success_is_counted_with_the_backends_words() {
    let partial = ExportMetricsPartialSuccess { rejected_data_points: 1, error_message: "too old".into() };
    let message = ExportMetricsServiceResponse { partial_success: Some(partial) }.encode_to_vec();
    let backend = Backend::start(move |_, _| {
        let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from(0))]);
        Reply::Trailers(Response::new(framed(&message)), trailers)
    })
    .await;
    let outcome = send(&format!("endpoint: {}", backend.url())).await;
    assert_eq!(outcome, Outcome::Delivered { dropped: 1, message: "too old".into() });
}

#[tokio::test]
async fn codes_mean_what_otlp_says() {
    let backend = Backend::start(|request, _| status(request.header("x-code").parse().unwrap(), "the words")).await;
    for code in 1..=17 {
        let outcome = send(&format!("endpoint: {}\nheaders: {{x-code: {code}}}", backend.url())).await;
        match (&outcome, code) {
            (Outcome::Retry { message, after: None, .. }, 1 | 4 | 10 | 11 | 14 | 15) => {
                assert!(message.ends_with(": the words"), "{message}");
            }
            (Outcome::Reject { reason, message }, 2 | 3 | 5..=9 | 12 | 13 | 16 | 17) => {
                assert!(reason.starts_with("grpc_") && message.ends_with(": the words"), "{outcome:?}");
            }
            _ => panic!("{code}: {outcome:?}"),
        }
    }
    assert_eq!(backend.requests().len(), 17, "nothing is repeated here");
}

#[tokio::test]
async fn retry_info_says_when_and_broken_details_do_no_harm() {
    // google.rpc.Status{code: 8, details: [Any{RetryInfo{retry_delay: 2s}}]}, written by hand.
    let kind = b"type.googleapis.com/google.rpc.RetryInfo";
    let mut any = vec![0x0a, u8::try_from(kind.len()).unwrap()];
    any.extend_from_slice(kind);
    any.extend_from_slice(&[0x12, 4, 0x0a, 2, 0x08, 2]);
    let mut details = vec![0x08, 8, 0x1a, u8::try_from(any.len()).unwrap()];
    details.extend_from_slice(&any);
    let details = STANDARD_NO_PAD.encode(details);
    let backend = Backend::start(move |_, number| {
        // Trailers-only: the status stands in the headers.
        let text = if number == 0 { details.as_str() } else { "%%%" };
        Reply::status(200, "").with("grpc-status", "8").with("grpc-status-details-bin", text)
    })
    .await;
    let made = make(&format!("endpoint: {}", backend.url()), &mut TestExtensions::default()).unwrap();
    let first = made.sender.send(&made.block, &ATTEMPT).await;
    assert!(matches!(first, Outcome::Retry { after, .. } if after == Some(Duration::from_secs(2))), "{first:?}");
    let second = made.sender.send(&made.block, &ATTEMPT).await;
    assert!(matches!(&second, Outcome::Reject { reason, .. } if reason == "grpc_resource_exhausted"), "{second:?}");
}

#[tokio::test]
async fn a_message_that_is_too_large_is_halved() {
    let too_large = "grpc: received message larger than max (9 vs. 4)";
    let backend = Backend::start(move |_, number| if number == 0 { status(8, too_large) } else { status(0, "") }).await;
    let Made { block, sender } = make(&format!("endpoint: {}", backend.url()), &mut TestExtensions::default()).unwrap();
    assert!(matches!(sender.send(&block, &ATTEMPT).await, Outcome::TooLarge { .. }));
    let (first, second) = sender.split(&block).unwrap();
    for half in [&first, &second] {
        assert_eq!(sender.send(half, &ATTEMPT).await, Outcome::DELIVERED);
        assert!(sender.split(half).is_none());
    }
    let lengths: Vec<usize> = backend.requests().iter().map(|request| lines(request).len()).collect();
    assert_eq!(lengths, [3, 2, 2], "each line is a point, or the resource");
}

#[tokio::test]
async fn no_answer_is_a_retry_that_says_why() {
    no_answer_is_a_retry(send).await;
}

#[tokio::test]
async fn a_backend_that_comes_late_is_found() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    drop(taken);
    let made = make(&format!("endpoint: http://{address}"), &mut TestExtensions::default()).unwrap();
    assert!(matches!(made.sender.send(&made.block, &ATTEMPT).await, Outcome::Retry { .. }));
    let backend = Backend::start_at(address, |_, _| status(0, "")).await;
    assert_eq!(made.sender.send(&made.block, &ATTEMPT).await, Outcome::DELIVERED);
    assert_eq!(backend.requests().len(), 1);
}

#[tokio::test]
async fn what_is_not_grpc_is_said_to_be_so() {
    let backend = Backend::start(|_, _| Reply::status(502, "<html>")).await;
    let outcome = send(&format!("endpoint: {}", backend.url())).await;
    assert!(matches!(&outcome, Outcome::Retry { message, .. } if message.contains("not gRPC")), "{outcome:?}");
}

#[tokio::test]
async fn tls_and_mutual_tls() {
    let certificates = TestCertificates::new();
    let folder = tempfile::tempdir().unwrap();
    let ClientFiles { ca, cert, key } = certificates.client_files(folder.path());
    let plain = Backend::start_tls(certificates.server_config(false), |_, _| status(0, "")).await;
    let mutual = Backend::start_tls(certificates.server_config(true), |_, _| status(0, "")).await;
    let cases = [
        (&plain, format!("{{ca_file: {ca}}}"), true),
        (&plain, "{insecure_skip_verify: true}".to_string(), true),
        (&plain, "{}".to_string(), false),
        (&mutual, format!("{{ca_file: {ca}, cert_file: {cert}, key_file: {key}}}"), true),
        (&mutual, format!("{{ca_file: {ca}}}"), false),
        (&plain, "{ca_file: /nowhere/ca.pem}".to_string(), false),
    ];
    for (backend, tls, works) in cases {
        let outcome = send(&format!("endpoint: {}\ntls: {tls}", backend.address)).await;
        match &outcome {
            Outcome::Delivered { .. } => assert!(works, "{tls}"),
            Outcome::Retry { message, .. } => assert!(!works, "{tls}: {message}"),
            _ => panic!("{tls}: {outcome:?}"),
        }
    }
    assert_eq!((plain.requests().len(), mutual.requests().len()), (2, 1));
}

/// Says another word each time it has seen a refusal.
#[derive(Default)]
struct Renewing(AtomicU32);

impl Extension for Renewing {
    fn as_authenticator(self: Arc<Self>) -> Option<Arc<dyn Authenticator>> {
        Some(self)
    }
}

#[async_trait]
impl Authenticator for Renewing {
    async fn authenticate(&self, head: &mut http::request::Parts, _: &Payload) -> Result<(), AuthError> {
        head.headers.insert("authorization", HeaderValue::from(self.0.load(SeqCst)));
        head.headers.insert("te", HeaderValue::from_static("mine"));
        Ok(())
    }

    fn observe(&self, head: &http::response::Parts) {
        if head.headers.get("grpc-status").is_some_and(|code| code == "16") {
            self.0.fetch_add(1, SeqCst);
        }
    }
}

#[tokio::test]
async fn a_refusal_is_answered_once_by_new_credentials() {
    let script = |request: &Recorded, _| status(if request.header("authorization") == "0" { 16 } else { 0 }, "who");
    let backend = Backend::start(script).await;
    let renewing = Arc::new(Renewing::default()) as Arc<dyn Extension>;
    let mut extensions = TestExtensions(BTreeMap::from([("renewing".to_string(), renewing)]));
    let yaml = format!("endpoint: {}\nauth: {{authenticator: renewing}}", backend.url());
    let Made { block, sender } = make(&yaml, &mut extensions).unwrap();
    assert_eq!(sender.send(&block, &ATTEMPT).await, Outcome::DELIVERED);
    let seen: Vec<_> = backend
        .requests()
        .iter()
        .map(|r| (r.header("authorization").to_string(), r.header("te").to_string()))
        .collect();
    assert_eq!(seen, [("0", "trailers"), ("1", "trailers")].map(|(a, b)| (a.to_string(), b.to_string())));
}

#[tokio::test]
async fn check_sends_an_empty_request_and_says_how_it_went() {
    let backend = Backend::start(|_, number| status(if number == 0 { 0 } else { 7 }, "not yours")).await;
    let made = make(&format!("endpoint: {}", backend.url()), &mut TestExtensions::default()).unwrap();
    assert_eq!(made.sender.check().await[0].verdict, Verdict::Pass);
    assert!(opened(&backend.requests()[0]).is_empty());
    let row = made.sender.check().await.remove(0);
    assert_eq!(row.verdict, Verdict::Fail);
    assert!(row.detail.contains("not yours") && row.advice.contains("auth"), "{row:?}");
}

#[test]
fn config_errors_name_key_and_remedy() {
    let cases = [
        ("{}", "otlp.endpoint: must be set"),
        ("endpoint: h", "port is missing"),
        ("endpoint: h:1\ncompression: zlib", "gRPC knows it as `deflate`"),
        ("endpoint: h:1\ncompression: snappy", "otlp.compression"),
        ("endpoint: h:1\nheaders: {grpc-timeout: 1S}", "belongs to gRPC itself"),
        ("endpoint: h:1\nauthority: 'a/b'", "otlp.authority"),
        ("endpoint: h:1\nbalancer_name: round_robin", "load balancer"),
        ("endpoint: h:1\nwait_for_ready: true", "retry_on_failure"),
        ("endpoint: h:1\ntls: {key_pem: x}", "needs its certificate"),
        ("endpoint: h:1\nauth: {authenticator: x}", "there is no extension `x`"),
        ("endpont: h:1", "did you mean"),
    ];
    for (yaml, expected) in cases {
        let text = make(yaml, &mut TestExtensions::default()).err().unwrap_or_else(|| panic!("accepted: {yaml}"));
        assert!(text.contains(expected), "{yaml}\n{text}");
    }
}
