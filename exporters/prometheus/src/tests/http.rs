//! Over a real socket: formats, compression, other paths and methods; expiry without a scraper; taken ports.

use std::io::Read;
use std::net::SocketAddr;
use std::time::Duration;

use steadyline_component::receiver::Shutdown;
use steadyline_component::{Host, Sink, status::Board};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Harness;

fn host(harness: &Harness) -> Host {
    Host { clock: harness.clock.clone(), board: Board::new(harness.clock.clone()), shutdown: Shutdown::new().1 }
}

async fn started(yaml: &str) -> (Harness, SocketAddr) {
    let harness = Harness::new(yaml);
    harness.endpoint.start(&host(&harness)).await.unwrap();
    let address = harness.endpoint.address().unwrap();
    (harness, address)
}

/// One exchange; returns the head in lower case, and the body.
async fn ask(address: SocketAddr, request: &str, headers: &str) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let text = format!("{request} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let at = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..at].to_vec()).unwrap().to_lowercase();
    (head, answer[at + 4..].to_vec())
}

#[tokio::test]
async fn scrapers_get_the_format_that_they_ask_for() {
    let (harness, address) = started("").await;
    harness.take("counter hits_total{x=\"1\"} 7 @1", true).await;
    let text = "# TYPE hits_total counter\nhits_total{x=\"1\"} 7\n";
    let open = "# TYPE hits counter\nhits_total{x=\"1\"} 7\n# EOF\n";
    let protobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
    // Request headers, the content type of the answer, its body.
    let rows = [
        ("", "content-type: text/plain; version=0.0.4; charset=utf-8", Some(text)),
        (
            "Accept: application/openmetrics-text;version=1.0.0\r\n",
            "content-type: application/openmetrics-text;",
            Some(open),
        ),
        (
            &format!("Accept: text/plain;q=0.2\r\nAccept: {protobuf}\r\n"),
            "content-type: application/vnd.google.protobuf;",
            None,
        ),
    ];
    for (headers, content_type, body) in rows {
        let (head, answer) = ask(address, "GET /metrics", headers).await;
        assert!(head.starts_with("http/1.1 200") && head.contains(content_type), "{headers}\n{head}");
        match body {
            Some(body) => assert_eq!(String::from_utf8(answer).unwrap(), body),
            None => assert_eq!(answer[1..13], *b"\x0a\x0ahits_total"),
        }
    }
    assert_eq!(harness.instrument("exporter_prometheus_scrapes"), 3.0);
    harness.endpoint.shutdown().await;
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn pages_are_compressed_where_gzip_is_taken() {
    let (harness, address) = started("path: /federate").await;
    let points: String = (0..2000).map(|n| format!("a{{n=\"{n}\"}} {n} @1\n")).collect();
    harness.take(&points, true).await;
    let (_, plain) = ask(address, "GET /federate", "").await;
    let (head, zipped) = ask(address, "GET /federate?x=1", "Accept-Encoding: gzip\r\n").await;
    assert!(head.contains("content-encoding: gzip") && head.contains("vary: accept, accept-encoding"), "{head}");
    assert!(zipped.len() * 2 < plain.len());
    let mut unzipped = Vec::new();
    flate2::read::GzDecoder::new(zipped.as_slice()).read_to_end(&mut unzipped).unwrap();
    assert_eq!(unzipped, plain);
    assert_eq!(plain.iter().filter(|byte| **byte == b'\n').count(), 2001);
}

#[tokio::test]
async fn other_paths_and_methods_are_answered_with_words() {
    let (_harness, address) = started("").await;
    let (head, body) = ask(address, "GET /", "").await;
    assert!(head.starts_with("http/1.1 404"), "{head}");
    assert_eq!(body, b"the metrics are at /metrics\n");
    let (head, _) = ask(address, "POST /metrics", "Content-Length: 0\r\n").await;
    assert!(head.starts_with("http/1.1 405") && head.contains("allow: get, head"), "{head}");
    let (head, body) = ask(address, "HEAD /metrics", "").await;
    assert!(head.starts_with("http/1.1 200") && body.is_empty(), "{head}");
}

#[tokio::test]
async fn a_port_that_is_taken_stops_the_start() {
    let (_first, address) = started("").await;
    let clock = steadyline_component::Clock::manual(0);
    let yaml = format!("{{endpoint: \"{address}\"}}");
    let second = steadyline_component::testkit::create::<crate::tests::Probe>(&yaml).unwrap();
    let host = Host { clock: clock.clone(), board: Board::new(clock), shutdown: Shutdown::new().1 };
    let error = second.start(&host).await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot listen on `{address}`: ")), "{error}");
}

#[tokio::test]
async fn memory_comes_back_without_any_scraper() {
    let (harness, _) = started("metric_expiration: 30s").await;
    harness.take("a{x=\"1\"} 1 @1\na{x=\"2\"} 1 @1", true).await;
    assert_eq!(harness.endpoint.series(), 2);
    let gone = async {
        while harness.endpoint.series() > 0 {
            // The timer sleeps on this clock; it may need to be woken more than once until it is past the age.
            harness.advance(31);
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), gone).await.unwrap();
    assert_eq!(harness.instrument("exporter_prometheus_series"), 0.0);
    assert_eq!(harness.instrument("exporter_prometheus_expired_series"), 2.0);
}
