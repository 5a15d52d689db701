//! The door on real sockets: who gets in, who must leave, and when.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use steadyline_component::receiver::ShutdownTrigger;
use steadyline_component::{Clock, Shutdown};
use steadyline_http::{Client, ClientOptions, Door, DoorOptions, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

struct Open {
    address: String,
    /// Told for each request that is in hand.
    entered: Arc<Notify>,
    /// Lets one request go on.
    gate: Arc<Notify>,
    stop: ShutdownTrigger,
    task: JoinHandle<()>,
}

/// A door whose handler answers at once, except that `/wait` waits for the gate.
async fn open(options: DoorOptions) -> Open {
    let door = Door::open(Transport::Tcp, "127.0.0.1:0", None, options).await.unwrap();
    let address = door.address();
    let (entered, gate) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (inside, waiting) = (Arc::clone(&entered), Arc::clone(&gate));
    let handler = move |request: Request<Incoming>| {
        let (inside, waiting) = (Arc::clone(&inside), Arc::clone(&waiting));
        async move {
            if request.uri().path() == "/wait" {
                inside.notify_one();
                waiting.notified().await;
            }
            Response::new(Full::<Bytes>::from("here"))
        }
    };
    let (stop, shutdown) = Shutdown::new();
    let task = tokio::spawn(door.serve(handler, shutdown));
    Open { address, entered, gate, stop, task }
}

fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")
}

async fn connect(open: &Open, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(&open.address).await.unwrap();
    stream.write_all(request(path).as_bytes()).await.unwrap();
    stream
}

/// Reads an answer to its last word.
async fn answer(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    while !text.ends_with("here") {
        let mut some = [0; 256];
        let count = stream.read(&mut some).await.unwrap();
        assert!(count > 0, "it ended after `{text}`");
        text += std::str::from_utf8(&some[..count]).unwrap();
    }
    text
}

/// Whether the server has ended a connection; waits until it has.
async fn ended(stream: &mut TcpStream) -> bool {
    matches!(stream.read(&mut [0; 16]).await, Ok(0) | Err(_))
}

#[tokio::test]
async fn a_newcomer_takes_the_place_of_who_idled_longest_and_of_nobody_who_is_busy() {
    let open = open(DoorOptions { max_connections: 2, ..DoorOptions::default() }).await;
    let mut busy = connect(&open, "/wait").await;
    open.entered.notified().await;
    let mut idle = connect(&open, "/").await;
    answer(&mut idle).await;
    let mut newcomer = connect(&open, "/").await;
    answer(&mut newcomer).await;
    assert!(ended(&mut idle).await);
    open.gate.notify_one();
    answer(&mut busy).await;
}

#[tokio::test]
async fn when_all_are_busy_a_newcomer_waits_for_the_first_who_is_not() {
    let open = open(DoorOptions { max_connections: 1, ..DoorOptions::default() }).await;
    let mut busy = connect(&open, "/wait").await;
    open.entered.notified().await;
    let mut newcomer = connect(&open, "/").await;
    open.gate.notify_one();
    answer(&mut busy).await;
    answer(&mut newcomer).await;
    assert!(ended(&mut busy).await);
}

#[tokio::test]
async fn a_connection_ends_after_one_request_if_told_so() {
    let open = open(DoorOptions { keep_alive: false, ..DoorOptions::default() }).await;
    let mut stream = connect(&open, "/").await;
    answer(&mut stream).await;
    assert!(ended(&mut stream).await);
}

#[tokio::test]
async fn the_end_waits_for_requests_in_hand_as_long_as_the_grace() {
    for (grace, is_let_go) in [(Duration::from_secs(60), true), (Duration::from_millis(20), false)] {
        let open = open(DoorOptions { shutdown_grace: grace, ..DoorOptions::default() }).await;
        let mut busy = connect(&open, "/wait").await;
        let mut silent = TcpStream::connect(&open.address).await.unwrap();
        open.entered.notified().await;
        open.stop.fire();
        assert!(ended(&mut silent).await);
        if is_let_go {
            open.gate.notify_one();
            assert!(answer(&mut busy).await.starts_with("HTTP/1.1 200"));
        }
        open.task.await.unwrap();
        assert!(ended(&mut busy).await);
        assert!(TcpStream::connect(&open.address).await.is_err());
    }
}

#[tokio::test]
async fn a_door_for_http2_alone_does_not_answer_http1() {
    let open = open(DoorOptions { http2_only: true, ..DoorOptions::default() }).await;
    let mut stream = connect(&open, "/").await;
    let mut bytes = Vec::new();
    // It may be reset, for what was sent is not read to its end.
    let _ = stream.read_to_end(&mut bytes).await;
    assert!(!bytes.starts_with(b"HTTP/1"));
}

#[tokio::test]
async fn both_versions_are_spoken_at_one_door() {
    let open = open(DoorOptions::default()).await;
    let client = Client::build(&ClientOptions::default(), &Clock::manual(0)).unwrap();
    let url = format!("http://{}/", open.address).parse().unwrap();
    assert_eq!(&*client.get(&url).await.unwrap().body, b"here");
    let stream = hyper_util::rt::TokioIo::new(TcpStream::connect(&open.address).await.unwrap());
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, stream).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get(format!("http://{}/", open.address)).body(http_body_util::Empty::<Bytes>::new());
    assert_eq!(sender.send_request(request.unwrap()).await.unwrap().version(), http::Version::HTTP_2);
}
