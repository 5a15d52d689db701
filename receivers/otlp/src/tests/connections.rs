//! Connections: slow and silent ones, TLS and its renewal, unix sockets, the end.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use steadyline_component::telemetry::Signal;
use steadyline_component::{Board, Clock, Host, Receiver, Shutdown, testkit};
use steadyline_config::Secret;
use steadyline_http::testkit::TestCertificates;
use steadyline_http::{Client, ClientOptions, TlsConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use super::grpc::{call, connect, path};
use super::{BOTH, PROTOBUF, Plain, client, gauges, post, run};

/// Everything that comes until the peer ends the connection; were it not to, this would never return.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A connection that is reset has ended too.
    let _ = stream.read_to_end(&mut bytes).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn heads_and_bodies_that_drip_are_cut_off() {
    let yaml = "protocols: {http: {endpoint: '127.0.0.1:0', read_header_timeout: 100ms, read_timeout: 100ms}}";
    let receiver = run(yaml).await;
    let body = "POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{";
    for (sent, expected) in [("POST /v1/lo", ""), (body, "HTTP/1.1 408")] {
        let mut stream = TcpStream::connect(&receiver.http).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        let answer = rest(&mut stream).await;
        assert!(answer.starts_with(expected), "{sent}: {answer}");
    }
    assert_eq!(receiver.intake.take_refused(), [("slow", 1)]);
}

#[tokio::test]
async fn a_grpc_message_that_drips_is_given_up() {
    let receiver = run("protocols: {grpc: {endpoint: '127.0.0.1:0', read_timeout: 100ms}}").await;
    let stream = TcpStream::connect(&receiver.grpc).await.unwrap();
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post(format!("http://{}{}", receiver.grpc, path(Signal::Logs)))
        .header("content-type", "application/grpc");
    // A body that says it is long, and never ends.
    let body = Full::new(Bytes::from_static(b"\0\0\0\0\x09ab")).map_err(|never| match never {});
    let body = BodyExt::boxed(Endless(BodyExt::boxed(body)));
    let answer = sender.send_request(request.body(body).unwrap()).await.unwrap();
    assert_eq!(answer.headers()["grpc-status"], "4");
    assert_eq!(receiver.intake.take_refused(), [("slow", 1)]);
}

/// A body after which nothing comes, not even the end.
struct Endless(http_body_util::combinators::BoxBody<Bytes, std::io::Error>);

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, std::io::Error>>> {
        match std::pin::Pin::new(&mut self.0).poll_frame(cx) {
            std::task::Poll::Ready(None) => std::task::Poll::Pending,
            other => other,
        }
    }
}

#[tokio::test]
async fn who_promises_a_lot_and_sends_little_holds_little() {
    let receiver = run(BOTH).await;
    let head = "POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\nexpect: 100-continue\r\n\
                content-length: 10000000\r\n\r\n";
    let mut promises = Vec::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(&receiver.http).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut go_on = [0; 25];
        stream.read_exact(&mut go_on).await.unwrap();
        stream.write_all(b"x").await.unwrap();
        promises.push(stream);
    }
    // 200 MB are promised, and the budget is 64 MiB.
    for _ in 0..3 {
        assert_eq!(receiver.post("/v1/metrics", &[PROTOBUF], gauges(100)).await.status, 200);
    }
}

#[tokio::test]
async fn silent_connections_keep_nobody_out() {
    let yaml = "protocols: {grpc: {endpoint: '127.0.0.1:0', max_connections: 4}, \
                http: {endpoint: '127.0.0.1:0', max_connections: 4}}";
    let receiver = run(yaml).await;
    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(TcpStream::connect(&receiver.http).await.unwrap());
        silent.push(TcpStream::connect(&receiver.grpc).await.unwrap());
    }
    for _ in 0..3 {
        assert_eq!(post(&client(), &receiver.url("/v1/metrics"), &[PROTOBUF], gauges(1)).await.status, 200);
        let mut grpc = connect(&receiver.grpc).await;
        call(&mut grpc, path(Signal::Metrics), gauges(1)).await.unwrap();
    }
    assert_eq!(receiver.intake.take().len(), 6);
}

#[tokio::test]
async fn idle_and_old_connections_are_closed() {
    let yaml = "protocols: {http: {endpoint: '127.0.0.1:0', idle_timeout: 100ms}, grpc: {endpoint: '127.0.0.1:0', \
                keepalive: {server_parameters: {max_connection_age: 100ms, max_connection_age_grace: 10ms}}}}";
    let receiver = run(yaml).await;
    for address in [&receiver.http, &receiver.grpc] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        rest(&mut stream).await;
    }
}

#[tokio::test]
async fn a_request_in_hand_is_finished_before_the_end() {
    let receiver = run(BOTH).await;
    let body = gauges(1);
    let mut stream = TcpStream::connect(&receiver.http).await.unwrap();
    let head = format!(
        "POST /v1/metrics HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\ncontent-length: {}\r\n\
         expect: 100-continue\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut go_on = [0; 25];
    // The server has begun to read the body.
    stream.read_exact(&mut go_on).await.unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    let mut grpc = connect(&receiver.grpc).await;
    call(&mut grpc, path(Signal::Metrics), gauges(1)).await.unwrap();
    receiver.stop.fire();
    stream.write_all(&body).await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    receiver.task.await.unwrap();
    assert_eq!(receiver.intake.take().len(), 2);
    assert!(TcpStream::connect(&receiver.http).await.is_err());
}

#[tokio::test]
async fn a_port_that_is_taken_stops_the_start() {
    let receiver = run(BOTH).await;
    let yaml = format!("protocols: {{grpc: {{endpoint: '{}'}}}}", receiver.grpc);
    let mut second = testkit::create::<Plain>(&yaml).unwrap();
    let clock = Clock::manual(0);
    let host = Host { board: Board::new(clock.clone()), clock, shutdown: Shutdown::new().1 };
    let error = second.start(&host).await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot listen on `{}`: ", receiver.grpc)), "{error}");
}

#[tokio::test]
async fn a_unix_socket_is_served_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("otlp.sock");
    let receiver = run(&format!("protocols: {{http: {{endpoint: {}, transport: unix}}}}", path.display())).await;
    let stream = UnixStream::connect(&path).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post("/v1/metrics").header("host", "x").header(PROTOBUF.0, PROTOBUF.1);
    let answer = sender.send_request(request.body(Full::new(Bytes::from(gauges(3)))).unwrap()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(receiver.intake.take().pop().unwrap().items(), 3);
    receiver.stop.fire();
    receiver.task.await.unwrap();
    assert!(!path.exists());
}

/// A client that trusts the authority of `trusted`, with a certificate of its own if given.
fn tls_client(trusted: &TestCertificates, own: Option<&(String, String)>) -> Client {
    let tls = TlsConfig {
        ca_pem: trusted.ca.clone(),
        cert_pem: own.map(|own| own.0.clone()).unwrap_or_default(),
        key_pem: Secret::new(own.map(|own| own.1.clone()).unwrap_or_default()),
        ..TlsConfig::default()
    };
    let options = ClientOptions { tls, timeout: Duration::from_secs(10), ..ClientOptions::default() };
    Client::build(&options, &Clock::manual(0)).unwrap()
}

#[tokio::test]
async fn clients_show_certificates_and_ours_are_renewed() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let write = |certificates: &TestCertificates| {
        std::fs::write(file("cert"), &certificates.server.0).unwrap();
        std::fs::write(file("key"), &certificates.server.1).unwrap();
    };
    let (first, second) = (TestCertificates::new(), TestCertificates::new());
    write(&first);
    std::fs::write(file("clients"), &first.ca).unwrap();
    let tls = format!(
        "{{cert_file: {}, key_file: {}, client_ca_file: {}, client_ca_file_reload: true, reload_interval: 1ms}}",
        file("cert"),
        file("key"),
        file("clients")
    );
    let receiver = run(&format!("protocols: {{http: {{endpoint: '127.0.0.1:0', tls: {tls}}}}}")).await;
    let url: Uri = format!("https://{}/v1/metrics", receiver.http).parse().unwrap();
    let headers = [(http::header::CONTENT_TYPE, PROTOBUF.1.parse().unwrap())].into_iter().collect();
    let send = async |client: Client| client.post(&url, &headers, &gauges(1).into(), None).await;
    assert_eq!(send(tls_client(&first, Some(&first.client))).await.unwrap().status, 200);
    assert!(send(tls_client(&first, None)).await.is_err(), "without a certificate");
    assert!(send(tls_client(&first, Some(&second.client))).await.is_err(), "with a stranger's certificate");
    assert!(send(tls_client(&second, Some(&first.client))).await.is_err(), "the server is somebody else");
    write(&second);
    assert_eq!(send(tls_client(&second, Some(&first.client))).await.unwrap().status, 200);
    // A bad file leaves the old one in force; a new list of clients counts at once.
    std::fs::write(file("cert"), "nonsense").unwrap();
    assert_eq!(send(tls_client(&second, Some(&first.client))).await.unwrap().status, 200);
    write(&second);
    std::fs::write(file("clients"), &second.ca).unwrap();
    assert_eq!(send(tls_client(&second, Some(&second.client))).await.unwrap().status, 200);
    assert!(send(tls_client(&second, Some(&first.client))).await.is_err());
}

#[tokio::test]
async fn grpc_is_spoken_over_tls() {
    let certificates = TestCertificates::new();
    let indent = |pem: &str| pem.lines().map(|line| format!("\n        {line}")).collect::<String>();
    let yaml = format!(
        "protocols:\n  grpc:\n    endpoint: 127.0.0.1:0\n    tls:\n      cert_pem: |{}\n      key_pem: |{}\n",
        indent(&certificates.server.0),
        indent(&certificates.server.1)
    );
    let receiver = run(&yaml).await;
    let tls = tonic::transport::ClientTlsConfig::new()
        .ca_certificate(tonic::transport::Certificate::from_pem(&certificates.ca))
        .domain_name("localhost");
    let endpoint = tonic::transport::Endpoint::new(format!("https://{}", receiver.grpc)).unwrap();
    let channel = endpoint.tls_config(tls).unwrap().connect().await.unwrap();
    call(&mut tonic::client::Grpc::new(channel), path(Signal::Metrics), gauges(4)).await.unwrap();
    assert_eq!(receiver.intake.take().pop().unwrap().items(), 4);
}

#[tokio::test]
async fn tls_files_that_are_not_there_stop_the_start() {
    let yaml =
        "protocols: {grpc: {endpoint: '127.0.0.1:0', tls: {cert_file: /nonexistent/c, key_file: /nonexistent/k}}}";
    let mut receiver = testkit::create::<Plain>(yaml).unwrap();
    let clock = Clock::manual(0);
    let host = Host { board: Board::new(clock.clone()), clock, shutdown: Shutdown::new().1 };
    let error = receiver.start(&host).await.unwrap_err().to_string();
    assert!(error.contains("cannot speak TLS on `127.0.0.1:0`: cannot read `/nonexistent/c`"), "{error}");
}
