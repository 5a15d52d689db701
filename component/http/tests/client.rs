//! The client against a scripted backend on a real socket: proxies, reading bounds, connections, certificates.
//! What statuses mean, TLS failures and authentication are tested with the exporters.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use http::{HeaderMap, Uri};
use steadyline_component::{Clock, Outcome, Payload};
use steadyline_config::Secret;
use steadyline_http::testkit::{Backend, Reply, TestCertificates};
use steadyline_http::{Client, ClientOptions, TlsConfig, TransportErrorKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn client(options: ClientOptions) -> Client {
    Client::build(&options, &Clock::manual(784_111_777_000_000_000)).unwrap()
}

fn proxied(proxy: &str) -> Client {
    client(ClientOptions { proxy_url: Secret::new(proxy), ..ClientOptions::default() })
}

#[tokio::test]
async fn plain_requests_go_through_a_proxy_by_their_url() {
    let proxy = Backend::start(|_, _| Reply::status(200, "from the proxy")).await;
    let url: Uri = "http://no-such-host.invalid/path".parse().unwrap();
    let answer = proxied(&proxy.url()).get(&url).await.unwrap();
    assert_eq!(&*answer.body, b"from the proxy");
    assert_eq!((&*proxy.requests()[0].authority, &*proxy.requests()[0].line), ("no-such-host.invalid", "GET /path"));
}

/// A proxy that answers one CONNECT, given the text that it must contain, and passes on to `target`.
async fn tunnel(target: std::net::SocketAddr, expected: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut near, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(near.read_u8().await.unwrap());
        }
        if !String::from_utf8_lossy(&head).to_lowercase().contains(&expected.to_lowercase()) {
            near.write_all(b"HTTP/1.1 407 No\r\n\r\n").await.unwrap();
            return;
        }
        near.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        let mut far = TcpStream::connect(target).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
    });
    address.to_string()
}

#[tokio::test]
async fn tls_goes_through_a_proxy_as_a_tunnel() {
    let certificates = TestCertificates::new();
    let backend = Backend::start_tls(certificates.server_config(false), |_, _| Reply::status(200, "inside")).await;
    let url: Uri = format!("https://localhost:{}/", backend.address.port()).parse().unwrap();
    let through = |proxy: String| {
        let tls = TlsConfig { ca_pem: certificates.ca.clone(), ..TlsConfig::default() };
        client(ClientOptions { proxy_url: Secret::new(proxy), tls, ..ClientOptions::default() })
    };
    // base64 of `user:pass`
    let proxy = tunnel(backend.address, "proxy-authorization: Basic dXNlcjpwYXNz").await;
    let answer = through(format!("http://user:pass@{proxy}")).get(&url).await.unwrap();
    assert_eq!(&*answer.body, b"inside");
    let proxy = tunnel(backend.address, "proxy-authorization").await;
    let error = through(format!("http://{proxy}")).get(&url).await.unwrap_err();
    assert_eq!(error.kind, TransportErrorKind::Connect);
    assert!(error.message.contains("through the proxy"), "{error}");
}

#[tokio::test]
async fn no_more_of_an_answer_is_read_than_is_of_use() {
    let backend = Backend::start(|_, _| Reply::status(500, &"x".repeat(1 << 20)).with("retry-after", "3")).await;
    let url = backend.url().parse().unwrap();
    let answer = client(ClientOptions::default()).get(&url).await.unwrap();
    assert_eq!((answer.body.len(), answer.words().len()), (64 * 1024, 500));
    assert_eq!(answer.retry_after, Some(Duration::from_secs(3)));
}

#[tokio::test]
async fn a_hanging_backend_ends_with_the_timeout_and_is_retryable() {
    let backend = Backend::start(|_, _| Reply::Hang).await;
    let url: Uri = backend.url().parse().unwrap();
    let client = client(ClientOptions { timeout: Duration::from_millis(50), ..ClientOptions::default() });
    let error = client.post(&url, &HeaderMap::new(), &Payload::from("x"), None).await.unwrap_err();
    assert_eq!(error.kind, TransportErrorKind::Timeout);
    assert!(matches!(Outcome::from(error), Outcome::Retry { reason, .. } if reason == "timeout"));
}

#[tokio::test]
async fn a_certificate_that_cannot_be_read_stops_the_start() {
    let tls = TlsConfig { ca_file: "/nowhere/ca.pem".into(), ..TlsConfig::default() };
    let client = client(ClientOptions { tls, ..ClientOptions::default() });
    let error = client.start(&"https://host/".parse().unwrap()).unwrap_err();
    assert!(error.message.contains("cannot read `/nowhere/ca.pem` (tls.ca_file)"), "{error}");
    assert!(client.start(&"http://host/".parse().unwrap()).is_ok());
}

#[tokio::test]
async fn renewed_certificates_are_taken_up_and_lost_ones_stay() {
    let (old, new) = (TestCertificates::new(), TestCertificates::new());
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, &old.ca).unwrap();
    let tls = TlsConfig {
        ca_file: ca.display().to_string(),
        reload_interval: steadyline_config::Duration::from(Duration::from_nanos(1)),
        ..TlsConfig::default()
    };
    let client = client(ClientOptions { tls, ..ClientOptions::default() });
    let of_old = Backend::start_tls(old.server_config(false), |_, _| Reply::status(200, "")).await;
    let of_new = Backend::start_tls(new.server_config(false), |_, _| Reply::status(200, "")).await;
    let url = |backend: &Backend| format!("https://localhost:{}/", backend.address.port()).parse::<Uri>().unwrap();
    assert!(client.get(&url(&of_old)).await.is_ok());
    assert_eq!(client.get(&url(&of_new)).await.unwrap_err().kind, TransportErrorKind::Tls);
    std::fs::write(&ca, &new.ca).unwrap();
    assert!(client.get(&url(&of_new)).await.is_ok());
    std::fs::remove_file(&ca).unwrap();
    let again = Backend::start_tls(new.server_config(false), |_, _| Reply::status(200, "")).await;
    assert!(client.get(&url(&again)).await.is_ok());
}
