//! The server on a real socket: what it answers, what it refuses, how it stops.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, Uri};
use steadyline_component::{Clock, Payload};
use steadyline_http::server::text;
use steadyline_http::{Client, ClientOptions, Server, ServerOptions, Serving};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

async fn echo(options: ServerOptions) -> (Serving, Uri) {
    let server = Server::bind(options).await.unwrap();
    let url = format!("http://{}/echo", server.address()).parse().unwrap();
    let answer = |request: Request<Bytes>| async move { text(StatusCode::OK, request.into_body()) };
    (server.serve(answer), url)
}

fn client() -> Client {
    Client::build(&ClientOptions::default(), &Clock::manual(0)).unwrap()
}

#[tokio::test]
async fn requests_are_answered_and_large_ones_are_not() {
    for endpoint in ["127.0.0.1:0", "localhost:0"] {
        let (serving, url) = echo(ServerOptions { max_body_bytes: 10, ..ServerOptions::new(endpoint) }).await;
        assert_ne!(serving.address().port(), 0);
        for (body, status, answer) in [("hello", 200, "hello"), ("hello, large world", 413, "body too large\n")] {
            let reply = client().post(&url, &HeaderMap::new(), &Payload::from(body), None).await.unwrap();
            assert_eq!((reply.status.as_u16(), &*reply.body), (status, answer.as_bytes()));
        }
        serving.stop(Duration::from_secs(5)).await;
        assert!(client().get(&url).await.is_err());
    }
}

#[tokio::test]
async fn an_endpoint_without_host_is_every_interface() {
    let (serving, _) = echo(ServerOptions::new(":0")).await;
    let url: Uri = format!("http://127.0.0.1:{}/", serving.address().port()).parse().unwrap();
    assert_eq!(client().get(&url).await.unwrap().status, 200);
}

#[tokio::test]
async fn endpoints_that_cannot_be_bound_are_named() {
    for endpoint in ["nonsense", ":x", "no-such-host.invalid:1"] {
        let error = Server::bind(ServerOptions::new(endpoint)).await.unwrap_err().to_string();
        assert!(error.contains(&format!("cannot listen on `{endpoint}`")), "{error}");
    }
}

#[tokio::test]
async fn slow_heads_and_bodies_are_cut_off() {
    let limits = Duration::from_millis(100);
    let options = ServerOptions { header_timeout: limits, body_timeout: limits, ..ServerOptions::new("127.0.0.1:0") };
    let (serving, _) = echo(options).await;
    for (sent, expected) in [("GET / HT", ""), ("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nab", "408")] {
        let mut stream = TcpStream::connect(serving.address()).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // The server ends the connection; were it not so, this would never return.
        stream.read_to_end(&mut answer).await.unwrap();
        assert!(String::from_utf8_lossy(&answer).contains(expected), "{sent}");
    }
}

#[tokio::test]
async fn stopping_lets_a_request_in_hand_finish() {
    let (entered, released) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let server = Server::bind(ServerOptions::new("127.0.0.1:0")).await.unwrap();
    let url: Uri = format!("http://{}/", server.address()).parse().unwrap();
    let (inside, gate) = (Arc::clone(&entered), Arc::clone(&released));
    let serving = server.serve(move |_| {
        let (inside, gate) = (Arc::clone(&inside), Arc::clone(&gate));
        async move {
            inside.notify_one();
            gate.notified().await;
            text(StatusCode::OK, "done")
        }
    });
    let request = tokio::spawn(async move { client().get(&url).await });
    entered.notified().await;
    let stopping = tokio::spawn(serving.stop(Duration::from_secs(30)));
    released.notify_one();
    assert_eq!(&*request.await.unwrap().unwrap().body, b"done");
    stopping.await.unwrap();
}

#[tokio::test]
async fn silent_connections_up_to_the_limit_keep_nobody_out() {
    let (serving, url) = echo(ServerOptions { max_connections: 1, ..ServerOptions::new("127.0.0.1:0") }).await;
    let _silent = TcpStream::connect(serving.address()).await.unwrap();
    assert_eq!(client().get(&url).await.unwrap().status, 200);
}
