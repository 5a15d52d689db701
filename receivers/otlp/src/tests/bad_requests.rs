//! What strangers send: malformed, truncated, hostile, oversized, and the odd that is legal. Each is answered clearly,
//! counted, and leaves nothing behind.

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{Gauge, Metric, NumberDataPoint, number_data_point};
use steadyline_component::telemetry::Signal;
use steadyline_http::Compression::{Deflate, Gzip, Zstd};
use tokio::net::TcpStream;

use super::{ALL, JSON, PROTOBUF, Running, attribute, compressed, gauges, grpc::path, metrics_of, request, run};

/// Both protocols with limits of a MiB.
const SMALL: &str = "protocols: {grpc: {endpoint: '127.0.0.1:0', max_recv_msg_size_mib: 1}, \
                     http: {endpoint: '127.0.0.1:0', max_request_body_size: 1MiB}}";

/// A gRPC request written by hand: the HTTP status, and gRPC's, from wherever it stands.
async fn grpc(address: &str, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> (u16, Option<String>, HeaderMap) {
    let stream = TcpStream::connect(address).await.unwrap();
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    let mut request = Request::post(format!("http://{address}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = sender.send_request(request.body(Full::new(Bytes::from(body))).unwrap()).await.unwrap();
    let (head, body) = answer.into_parts();
    let trailers = body.collect().await.unwrap().trailers().cloned().unwrap_or_default();
    let status = head.headers.get("grpc-status").or(trailers.get("grpc-status"));
    (head.status.as_u16(), status.map(|status| status.to_str().unwrap().to_string()), head.headers)
}

fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
    [&[flag][..], &(message.len() as u32).to_be_bytes(), message].concat()
}

/// After whatever came before, a good request is taken as ever, and no memory is held.
async fn is_well(receiver: &Running) {
    receiver.intake.take();
    receiver.intake.take_refused();
    assert_eq!(receiver.post("/v1/metrics", &[PROTOBUF], gauges(2)).await.status, 200);
    let metrics = path(Signal::Metrics);
    let (_, status, _) = grpc(&receiver.grpc, metrics, &[GRPC], framed(0, &gauges(2))).await;
    assert_eq!(status.as_deref(), Some("0"));
    assert_eq!(receiver.intake.take().len(), 2);
    assert!(receiver.intake.take_refused().is_empty());
    let outputs = receiver.intake.outputs(&ALL);
    assert_eq!(outputs.budget().unwrap().used(), 0);
}

const GRPC: (&str, &str) = ("content-type", "application/grpc");
const NO_METRICS: &[u8] = b"\x0a\x05\x12\xff\xff\xff\xff";

fn bomb(compression: steadyline_http::Compression) -> Bytes {
    compressed(compression, &vec![0; 16 << 20])
}

#[tokio::test]
async fn bad_grpc_requests_are_refused_with_the_right_code() {
    let receiver = run(SMALL).await;
    let encoding = |name: &'static str| [GRPC, ("grpc-encoding", name)];
    let good = gauges(10);
    let half_gzip = compressed(Gzip, &good);
    let half_gzip = &half_gzip[..half_gzip.len() / 2];
    for (what, headers, body, code, reason) in [
        ("nothing", &[GRPC][..], vec![], "3", "malformed"),
        ("half a prefix", &[GRPC], vec![0, 0, 0], "3", "malformed"),
        ("half a message", &[GRPC], framed(0, &good)[..50].to_vec(), "3", "malformed"),
        ("two messages", &[GRPC], framed(0, &good).repeat(2), "3", "malformed"),
        ("a strange flag", &[GRPC], framed(7, &good), "3", "malformed"),
        ("no protobuf", &[GRPC], framed(0, NO_METRICS), "3", "malformed"),
        ("text", &[GRPC], b"GET / HTTP/1.1\r\n\r\n".to_vec(), "3", "malformed"),
        ("compressed, it does not say how", &[GRPC], framed(1, &compressed(Gzip, &good)), "3", "malformed"),
        ("not compressed after all", &encoding("gzip"), framed(1, &good), "3", "malformed"),
        ("half a gzip", &encoding("gzip"), framed(1, half_gzip), "3", "malformed"),
        ("no zstd", &encoding("zstd"), framed(1, b"zstd"), "3", "malformed"),
        ("an unknown compression", &encoding("br"), framed(1, &good), "12", "unsupported"),
        ("a message of 4 GiB, it says", &[GRPC], b"\0\xff\xff\xff\xff".to_vec(), "8", "too_large"),
        ("a large message", &[GRPC], framed(0, &vec![0; (1 << 20) + 1]), "8", "too_large"),
        ("a gzip bomb", &encoding("gzip"), framed(1, &bomb(Gzip)), "8", "too_large"),
        ("a zstd bomb", &encoding("zstd"), framed(1, &bomb(Zstd)), "8", "too_large"),
        ("a deflate bomb", &encoding("deflate"), framed(1, &bomb(Deflate)), "8", "too_large"),
    ] {
        let (status, grpc, _) = grpc(&receiver.grpc, path(Signal::Metrics), headers, body).await;
        assert_eq!((status, grpc.as_deref()), (200, Some(code)), "{what}");
        assert_eq!(receiver.intake.take_refused(), [(reason, 1)], "{what}");
        assert!(receiver.intake.take().is_empty(), "{what}");
    }
    is_well(&receiver).await;
}

#[tokio::test]
async fn what_is_no_grpc_at_all_is_told_so_in_http() {
    let receiver = run(SMALL).await;
    for (kind, expected) in [
        ("application/grpc+proto", 200),
        ("application/grpc;charset=utf-8", 200),
        ("application/grpc-web", 415),
        ("application/grpc+json", 415),
        ("application/x-protobuf", 415),
    ] {
        let headers = [("content-type", kind)];
        let (status, ..) = grpc(&receiver.grpc, path(Signal::Logs), &headers, framed(0, &[])).await;
        assert_eq!(status, expected, "{kind}");
    }
    let (_, code, headers) = grpc(&receiver.grpc, path(Signal::Logs), &[GRPC, ("grpc-encoding", "br")], vec![]).await;
    assert_eq!(
        (code.as_deref(), &headers["grpc-accept-encoding"]),
        (Some("12"), &"identity, gzip, zstd, deflate".parse().unwrap())
    );
}

#[tokio::test]
async fn bad_http_requests_are_refused_with_the_right_status() {
    let receiver = run(SMALL).await;
    let proto = |encoding: &'static str| vec![PROTOBUF, ("content-encoding", encoding)];
    let bytes = |text: &str| Bytes::from(text.to_string());
    let good = gauges(10);
    let cut = Bytes::from(good[..good.len() - 1].to_vec());
    let half_gzip = compressed(Gzip, &good);
    let half_gzip = half_gzip.slice(..half_gzip.len() / 2);
    for (what, headers, body, status, reason) in [
        ("no protobuf", vec![PROTOBUF], Bytes::from_static(NO_METRICS), 400, "malformed"),
        ("cut protobuf", vec![PROTOBUF], cut, 400, "malformed"),
        ("JSON as protobuf", vec![PROTOBUF], bytes("{}"), 400, "malformed"),
        ("no JSON", vec![JSON], bytes("{"), 400, "malformed"),
        ("no JSON body", vec![JSON], bytes(""), 400, "malformed"),
        ("other JSON", vec![JSON], bytes(r#"{"resourceMetrics":5}"#), 400, "malformed"),
        ("deep JSON", vec![JSON], bytes(&"[".repeat(100_000)), 400, "malformed"),
        ("no content type", vec![], bytes("{}"), 415, "unsupported"),
        ("text", vec![("content-type", "text/plain")], bytes("{}"), 415, "unsupported"),
        ("gRPC", vec![GRPC], framed(0, &good).into(), 415, "unsupported"),
        ("an unknown compression", proto("br"), bytes("x"), 415, "unsupported"),
        ("several compressions", proto("gzip, zstd"), bytes("x"), 415, "unsupported"),
        ("not compressed after all", proto("gzip"), good.clone().into(), 400, "malformed"),
        ("half a gzip", proto("gzip"), half_gzip, 400, "malformed"),
        ("a large body", vec![PROTOBUF], vec![0; (1 << 20) + 1].into(), 413, "too_large"),
        ("a very large body", vec![PROTOBUF], vec![0; 8 << 20].into(), 413, "too_large"),
        ("a gzip bomb", proto("gzip"), bomb(Gzip), 413, "too_large"),
        ("a zstd bomb", proto("zstd"), bomb(Zstd), 413, "too_large"),
        ("a deflate bomb", proto("deflate"), bomb(Deflate), 413, "too_large"),
        ("a bomb of JSON", vec![JSON, ("content-encoding", "gzip")], bomb(Gzip), 413, "too_large"),
    ] {
        let answer = receiver.post("/v1/metrics", &headers, body).await;
        assert_eq!(answer.status, status, "{what}: {}", answer.words());
        assert_eq!(answer.retry_after, None, "{what}");
        assert_eq!(receiver.intake.take_refused(), [(reason, 1)], "{what}");
        let kind = headers
            .first()
            .filter(|kind| [PROTOBUF, JSON].contains(kind))
            .map_or("text/plain; charset=utf-8", |kind| kind.1);
        assert_eq!(answer.headers["content-type"], kind, "{what}");
        assert!(!answer.body.is_empty() && receiver.intake.take().is_empty(), "{what}");
    }
    is_well(&receiver).await;
}

#[tokio::test]
async fn wrong_methods_and_paths_are_told_so() {
    let receiver = run(SMALL).await;
    for (line, expected) in [
        ("GET /v1/metrics", "HTTP/1.1 405"),
        ("PUT /v1/metrics", "HTTP/1.1 405"),
        ("GET /", "HTTP/1.1 404"),
        ("POST /v1/profiles", "HTTP/1.1 404"),
        ("POST /v1/metrics/../logs", "HTTP/1.1 404"),
    ] {
        let answer = super::http::raw(&receiver.http, line, &[]).await;
        assert!(answer.starts_with(expected), "{line}: {answer}");
    }
    is_well(&receiver).await;
}

#[tokio::test]
async fn answers_are_short_whatever_was_asked() {
    let receiver = run(SMALL).await;
    let long = format!("/{}", "%".repeat(10_000));
    let (_, status, headers) = grpc(&receiver.grpc, &long, &[GRPC], framed(0, &[])).await;
    assert_eq!(status.as_deref(), Some("12"));
    assert!(headers["grpc-message"].len() < 2000);
    let answer = receiver.post(&long, &[PROTOBUF], "").await;
    assert!(answer.status == 404 && answer.body.len() < 1000);
}

#[tokio::test]
async fn a_body_without_a_size_is_bounded_all_the_same() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let receiver = run(SMALL).await;
    let mut stream = TcpStream::connect(&receiver.http).await.unwrap();
    let head = "POST /v1/metrics HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\n\
                transfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = [b"10000\r\n", &vec![0; 0x10000][..], b"\r\n"].concat();
    let (mut reading, mut writing) = stream.split();
    let mut answer = [0; 12];
    // Sends until it is told to stop; were it not, this would never end.
    let endless = async {
        while writing.write_all(&chunk).await.is_ok() {}
        std::future::pending::<()>().await;
    };
    tokio::select! {
        read = reading.read_exact(&mut answer) => drop(read.unwrap()),
        () = endless => {}
    }
    assert_eq!(&answer, b"HTTP/1.1 413");
    assert_eq!(receiver.intake.take_refused(), [("too_large", 1)]);
    is_well(&receiver).await;
}

#[tokio::test]
async fn odd_values_are_passed_on_as_they_came() {
    use number_data_point::Value::{AsDouble, AsInt};
    let receiver = run(SMALL).await;
    let values =
        [AsDouble(f64::NAN), AsDouble(f64::INFINITY), AsDouble(f64::NEG_INFINITY), AsDouble(-0.0), AsInt(i64::MIN)];
    let times = [0, 1, 4_102_444_800_000_000_000, u64::MAX];
    let points = values.iter().flat_map(|value| times.map(|time| (*value, time)));
    let data_points = points.map(|(value, time_unix_nano)| NumberDataPoint {
        time_unix_nano,
        value: Some(value),
        attributes: vec![attribute("same", "a"), attribute("same", "b"), attribute("", "")],
        ..NumberDataPoint::default()
    });
    let data = Some(Data::Gauge(Gauge { data_points: data_points.collect() }));
    let sent = metrics_of(vec![Metric { name: "odd".into(), data, ..Metric::default() }]);
    assert_eq!(receiver.post("/v1/metrics", &[PROTOBUF], sent.clone()).await.status, 200);
    let batch = receiver.intake.take().pop().unwrap();
    assert_eq!((batch.items(), batch.as_metrics().unwrap().wire()), (20, &sent[..]));
}

#[tokio::test]
async fn text_that_is_no_utf8_is_refused_in_metrics_and_passed_on_inside_spans_and_records() {
    let receiver = run(SMALL).await;
    for (signal, text, expected) in
        [(Signal::Metrics, "load", 400), (Signal::Traces, "work", 200), (Signal::Logs, "INFO", 200)]
    {
        let mut body = request(signal, 1);
        let at = body.windows(4).position(|bytes| bytes == text.as_bytes()).unwrap();
        body[at] = 0xff;
        let answer = receiver.post(&format!("/v1/{signal}"), &[PROTOBUF], body).await;
        assert_eq!(answer.status, expected, "{signal}");
    }
    is_well(&receiver).await;
}
