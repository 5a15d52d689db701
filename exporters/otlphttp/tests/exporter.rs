//! The exporter as config makes it, against a scripted backend on a real socket.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use prost::Message;
use steadyline_component::telemetry::{Limits, Metrics};
use steadyline_component::testkit::{self, TestExtensions};
use steadyline_component::{
    Attempt, AuthError, Authenticator, Batch, Block, Clock, Encoded, Exporter, Extension, Meter, Outcome, Payload,
    Sender, Tally, TraceParent, Verdict,
};
use steadyline_exporter_otlphttp::OtlpHttpFactory;
use steadyline_http::testkit::{Backend, ClientFiles, Recorded, Reply, TestCertificates, no_answer_is_a_retry};

const POINTS: &str = r#"
    resource{env="dev"}
    steps{account="a"} 5 @10
    steps{account="b"} stale @10
"#;

struct Made {
    block: Block,
    sender: Arc<dyn Sender>,
}

fn make(yaml: &str, extensions: &mut TestExtensions) -> Result<Made, String> {
    let clock = Clock::manual(0);
    let made = testkit::create_with::<OtlpHttpFactory>(yaml, extensions, &clock, &Meter::default())?;
    let Exporter::Queued { mut encoder, sender, .. } = made else { panic!("not queued") };
    let mut blocks = Vec::new();
    let batch = Batch::metrics(testkit::metrics(POINTS));
    encoder.encode(&batch, 1, &mut Encoded { blocks: &mut blocks, tally: &Tally::default() });
    Ok(Made { block: blocks.remove(0), sender })
}

async fn send(yaml: &str) -> Outcome {
    let made = make(yaml, &mut TestExtensions::default()).unwrap();
    made.sender.send(&made.block, &Attempt::FIRST).await
}

fn opened(request: &Recorded) -> Vec<u8> {
    let mut plain = Vec::new();
    match request.header("content-encoding") {
        "gzip" => flate2::read::GzDecoder::new(&*request.body).read_to_end(&mut plain).unwrap(),
        "zstd" => zstd::Decoder::new(&*request.body).unwrap().read_to_end(&mut plain).unwrap(),
        "deflate" | "zlib" => flate2::read::ZlibDecoder::new(&*request.body).read_to_end(&mut plain).unwrap(),
        "-" => (&*request.body).read_to_end(&mut plain).unwrap(),
        other => panic!("{other}"),
    };
    plain
}

#[tokio::test]
async fn a_traced_request_says_to_which_trace_it_belongs() {
    let backend = Backend::start(|_, _| Reply::status(200, "")).await;
    let yaml = format!("endpoint: {}", backend.url());
    let made = make(&yaml, &mut TestExtensions::default()).unwrap();
    let trace = TraceParent { trace_id: [1; 16], span_id: [2; 8], sampled: true };
    made.sender.send(&made.block, &Attempt { number: 0, trace: Some(trace) }).await;
    made.sender.send(&made.block, &Attempt::FIRST).await;
    let headers: Vec<String> = backend.requests().iter().map(|one| one.header("traceparent").to_string()).collect();
    assert_eq!(headers, [trace.to_string().as_str(), "-"]);
}

#[tokio::test]
async fn every_compression_and_encoding_arrives_as_what_was_sent() {
    let backend = Backend::start(|_, _| Reply::status(200, "")).await;
    for compression in ["gzip", "zstd", "deflate", "zlib", "none", "\"\""] {
        for encoding in ["proto", "json"] {
            let yaml = format!("endpoint: {}/\ncompression: {compression}\nencoding: {encoding}", backend.url());
            assert_eq!(send(&yaml).await, Outcome::DELIVERED, "{yaml}");
            let request = backend.requests().pop().unwrap();
            let plain = opened(&request);
            let message: ExportMetricsServiceRequest = match request.header("content-type") {
                "application/x-protobuf" => ExportMetricsServiceRequest::decode(&*plain).unwrap(),
                "application/json" => serde_json::from_slice(&plain).unwrap(),
                other => panic!("{other}"),
            };
            let metrics = Metrics::decode(message.encode_to_vec().into(), &Limits::default()).unwrap();
            assert_eq!(testkit::render(&metrics), testkit::render(&testkit::metrics(POINTS)), "{yaml}");
        }
    }
}

#[tokio::test]
async fn headers_are_sent_and_those_of_otlp_stay() {
    let backend = Backend::start(|_, _| Reply::status(200, "")).await;
    let yaml = format!(
        "metrics_endpoint: {}/otlp/metrics?x=1\nheaders: {{Authorization: Bearer t, Content-Type: text/html, user-agent: mine}}",
        backend.url()
    );
    assert_eq!(send(&yaml).await, Outcome::DELIVERED);
    let request = backend.requests().pop().unwrap();
    assert_eq!(request.line, "POST /otlp/metrics");
    assert_eq!(request.header("authorization"), "Bearer t");
    assert_eq!(request.header("content-type"), "application/x-protobuf");
    assert_eq!(request.header("user-agent"), "mine");
    assert_eq!(request.header("content-encoding"), "gzip");
}

#[tokio::test]
async fn partial_success_is_counted_with_the_backends_words() {
    let partial = ExportMetricsPartialSuccess { rejected_data_points: 1, error_message: "too old".into() };
    let body = ExportMetricsServiceResponse { partial_success: Some(partial) }.encode_to_vec();
    let backend = Backend::start(move |_, _| {
        Reply::Answer(http::Response::new(body.clone().into())).with("content-type", "application/x-protobuf")
    })
    .await;
    let outcome = send(&format!("endpoint: {}", backend.url())).await;
    assert_eq!(outcome, Outcome::Delivered { dropped: 1, message: "too old".into() });
}

#[tokio::test]
async fn statuses_mean_what_otlp_says() {
    let backend = Backend::start(|request, _| {
        let status = request.line.rsplit('/').next().unwrap().parse().unwrap();
        Reply::status(status, "words").with("retry-after", "7").with("location", "http://elsewhere/")
    })
    .await;
    for status in [429, 502, 503, 504] {
        let outcome = send(&format!("metrics_endpoint: {}/{status}", backend.url())).await;
        let Outcome::Retry { reason, message, after } = outcome else { panic!("{status}: {outcome:?}") };
        assert_eq!((reason, after), (format!("http_{status}"), Some(Duration::from_secs(7))));
        assert!(message.ends_with("words"), "{message}");
    }
    for status in [302, 400, 401, 403, 404, 500, 501] {
        let outcome = send(&format!("metrics_endpoint: {}/{status}", backend.url())).await;
        assert!(
            matches!(&outcome, Outcome::Reject { reason, .. } if *reason == format!("http_{status}")),
            "{outcome:?}"
        );
    }
    let seen = backend.requests().len();
    assert_eq!(seen, 11, "no redirect is followed and nothing is repeated");
}

#[tokio::test]
async fn a_request_that_is_too_large_is_halved() {
    let backend = Backend::start(|_, number| Reply::status(if number == 0 { 413 } else { 200 }, "")).await;
    let yaml = format!("endpoint: {}\ncompression: zstd", backend.url());
    let Made { block, sender } = make(&yaml, &mut TestExtensions::default()).unwrap();
    let attempt = Attempt::FIRST;
    assert!(matches!(sender.send(&block, &attempt).await, Outcome::TooLarge { .. }));
    let (first, second) = sender.split(&block).unwrap();
    for half in [&first, &second] {
        assert_eq!(half.items, 1);
        assert_eq!(sender.send(half, &attempt).await, Outcome::DELIVERED);
        assert!(sender.split(half).is_none());
    }
    let requests = backend.requests();
    let points = |request: &Recorded| Metrics::decode(opened(request).into(), &Limits::default()).unwrap().points();
    assert_eq!(requests.iter().map(points).collect::<Vec<_>>(), [2, 1, 1]);
}

#[tokio::test]
async fn no_answer_is_a_retry_that_says_why() {
    no_answer_is_a_retry(send).await;
}

#[tokio::test]
async fn tls_and_mutual_tls() {
    let certificates = TestCertificates::new();
    let folder = tempfile::tempdir().unwrap();
    let ClientFiles { ca, cert, key } = certificates.client_files(folder.path());
    let plain = Backend::start_tls(certificates.server_config(false), |_, _| Reply::status(200, "")).await;
    let mutual = Backend::start_tls(certificates.server_config(true), |_, _| Reply::status(200, "")).await;
    let cases = [
        (&plain, format!("{{ca_file: {ca}}}"), None),
        (&plain, "{insecure_skip_verify: true}".to_string(), None),
        (&plain, format!("{{ca_file: {ca}, min_version: 1.3}}"), None),
        (&plain, "{}".to_string(), Some("tls.ca_file")),
        (&plain, format!("{{ca_file: {ca}, server_name_override: other.example}}"), Some("server_name_override")),
        (&mutual, format!("{{ca_file: {ca}, cert_file: {cert}, key_file: {key}}}"), None),
        (&mutual, format!("{{ca_file: {ca}}}"), Some("")),
    ];
    for (backend, tls, failure) in cases {
        let yaml = format!("endpoint: https://{}\ntls: {tls}", backend.address);
        let outcome = send(&yaml).await;
        match (&outcome, failure) {
            (Outcome::Delivered { .. }, None) => {}
            (Outcome::Retry { message, .. }, Some(advice)) => assert!(message.contains(advice), "{message}"),
            _ => panic!("{yaml}: {outcome:?}"),
        }
    }
    assert!(plain.requests().iter().all(|request| request.version == http::Version::HTTP_2));
    assert_eq!(mutual.requests().len(), 1);
}

/// Says another word each time it has seen a refusal.
#[derive(Default)]
struct Renewing(std::sync::atomic::AtomicU32);

impl Extension for Renewing {
    fn as_authenticator(self: Arc<Self>) -> Option<Arc<dyn Authenticator>> {
        Some(self)
    }
}

#[async_trait]
impl Authenticator for Renewing {
    async fn authenticate(&self, head: &mut http::request::Parts, _: &Payload) -> Result<(), AuthError> {
        let word = self.0.load(std::sync::atomic::Ordering::SeqCst).to_string();
        head.headers.insert("authorization", word.parse().unwrap());
        head.headers.insert("content-type", "text/html".parse().unwrap());
        Ok(())
    }

    fn observe(&self, head: &http::response::Parts) {
        if head.status == 403 {
            self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        }
    }

    fn validate(&self, url: &http::Uri) -> Result<(), String> {
        if url.path().contains("nowhere") { Err("no region for this host".into()) } else { Ok(()) }
    }
}

fn with_renewing() -> TestExtensions {
    TestExtensions(BTreeMap::from([("renewing".to_string(), Arc::new(Renewing::default()) as Arc<dyn Extension>)]))
}

#[tokio::test]
async fn a_refusal_is_answered_once_by_new_credentials() {
    let backend =
        Backend::start(|request, _| Reply::status(if request.header("authorization") == "0" { 403 } else { 200 }, ""))
            .await;
    let yaml = format!("endpoint: {}\nauth: {{authenticator: renewing}}", backend.url());
    let Made { block, sender } = make(&yaml, &mut with_renewing()).unwrap();
    assert_eq!(sender.send(&block, &Attempt::FIRST).await, Outcome::DELIVERED);
    let words: Vec<String> = backend.requests().iter().map(|r| r.header("authorization").to_string()).collect();
    assert_eq!(words, ["0", "1"]);
    assert!(backend.requests().iter().all(|request| request.header("content-type") == "application/x-protobuf"));

    let stubborn = Backend::start(|_, _| Reply::status(403, "never")).await;
    let yaml = format!("endpoint: {}\nauth: {{authenticator: renewing}}", stubborn.url());
    let Made { block, sender } = make(&yaml, &mut with_renewing()).unwrap();
    assert!(matches!(sender.send(&block, &Attempt::FIRST).await, Outcome::Reject { .. }));
    assert_eq!(stubborn.requests().len(), 2);
}

#[tokio::test]
async fn check_sends_an_empty_request_and_says_how_it_went() {
    let backend = Backend::start(|_, _| Reply::status(200, "")).await;
    let made = make(&format!("endpoint: {}", backend.url()), &mut TestExtensions::default()).unwrap();
    let row = made.sender.check().await.remove(0);
    assert_eq!((row.verdict, row.detail.as_str()), (Verdict::Pass, "accepted"));
    assert!(opened(&backend.requests()[0]).is_empty());

    let refusing = Backend::start(|_, _| Reply::status(401, "who are you")).await;
    let made = make(&format!("endpoint: {}", refusing.url()), &mut TestExtensions::default()).unwrap();
    let row = made.sender.check().await.remove(0);
    assert_eq!(row.verdict, Verdict::Fail);
    assert!(row.advice.contains("auth") && row.detail.contains("who are you"), "{row:?}");
}

#[test]
fn config_errors_name_key_and_remedy() {
    let cases = [
        ("{}", "otlphttp.endpoint: must be set"),
        ("endpoint: localhost:4318", "begins with http:// or https://"),
        ("endpoint: 'ftp://x'", "begins with http:// or https://"),
        ("metrics_endpoint: nonsense", "otlphttp.metrics_endpoint"),
        ("endpoint: http://x\ncompression: snappy", "otlphttp.compression"),
        ("endpoint: http://x\ncompression_params: {level: 30}", "gzip has no level 30"),
        ("endpoint: http://x\nheaders: {'a b': c}", "not a name that a header can have"),
        ("endpoint: http://x\ntls: {cert_file: c.pem}", "needs its private key"),
        ("endpoint: http://x\ntls: {min_version: 1.3, max_version: 1.2}", "below `min_version`"),
        ("endpoint: http://x\ntls: {min_version: 1.0}", "otlphttp.tls.min_version"),
        ("endpoint: http://x\ntls: {ca_pem: nonsense}", "no PEM certificate"),
        ("endpoint: http://x\nproxy_url: 'https://p'", "otlphttp.proxy_url"),
        ("endpoint: http://x\nwrite_buffer_size: 524288", "buffers size themselves"),
        ("endpoint: http://x\ntls: {cipher_suites: [a]}", "only safe suites"),
        ("endpoint: http://x\nauth: {authenticator: renwing}", "did you mean"),
        ("endpoint: http://x/nowhere\nauth: {authenticator: renewing}", "no region for this host"),
    ];
    for (yaml, expected) in cases {
        let text = make(yaml, &mut with_renewing()).err().unwrap_or_else(|| panic!("accepted: {yaml}"));
        assert!(text.contains(expected), "{yaml}\n{text}");
    }
}
