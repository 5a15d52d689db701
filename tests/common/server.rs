//! An HTTP server inside the test: it keeps what it was sent, answers by a function, and can hang or break off.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// What is done with a request.
#[derive(Debug)]
pub enum Reply {
    /// It is answered.
    Answer(Response<Bytes>),
    /// It is answered with the first half of the body; then the connection breaks.
    Half(Response<Bytes>),
    /// It is answered after a while.
    Late(std::time::Duration, Response<Bytes>),
    /// It is never answered.
    Hang,
}

impl Reply {
    /// An answer of a status with a text.
    pub fn status(status: u16, body: impl Into<Bytes>) -> Reply {
        let mut response = Response::new(body.into());
        *response.status_mut() = StatusCode::from_u16(status).expect("a status");
        Reply::Answer(response)
    }

    /// The same with one more header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &str) -> Reply {
        if let Reply::Answer(response) | Reply::Late(_, response) | Reply::Half(response) = &mut self {
            response.headers_mut().insert(name, value.parse().expect("a header value"));
        }
        self
    }
}

/// A server on a port of its own; gone, with its connections, when dropped.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    /// Answers on any free port.
    pub async fn start<F>(handle: impl Fn(Request<Bytes>) -> F + Send + Sync + 'static) -> Server
    where
        F: Future<Output = Reply> + Send + 'static,
    {
        Self::start_on(0, handle).await
    }

    /// Answers on this port.
    pub async fn start_on<F>(port: u16, handle: impl Fn(Request<Bytes>) -> F + Send + Sync + 'static) -> Server
    where
        F: Future<Output = Reply> + Send + 'static,
    {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("the port is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let handle = Arc::new(handle);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let handle = Arc::clone(&handle);
                connections.spawn(async move {
                    let service = service_fn(move |request: Request<Incoming>| {
                        let handle = Arc::clone(&handle);
                        async move { respond(request, &*handle).await }
                    });
                    // A client that goes away ends its connection, not the test.
                    let builder = auto::Builder::new(TokioExecutor::new());
                    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Server { address, task }
    }

    /// `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Outgoing = BoxBody<Bytes, io::Error>;

async fn respond<F>(
    request: Request<Incoming>,
    handle: &(impl Fn(Request<Bytes>) -> F + Send + Sync),
) -> Result<Response<Outgoing>, Infallible>
where
    F: Future<Output = Reply>,
{
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    Ok(match handle(Request::from_parts(head, body)).await {
        Reply::Answer(response) => whole(response),
        Reply::Late(pause, response) => {
            tokio::time::sleep(pause).await;
            whole(response)
        }
        Reply::Half(response) => response.map(|body| HalfBody { whole: body, sent: false }.boxed()),
        Reply::Hang => std::future::pending().await,
    })
}

fn whole(response: Response<Bytes>) -> Response<Outgoing> {
    response.map(|body| Full::new(body).map_err(|never| match never {}).boxed())
}

/// Promises the whole, sends a half, and breaks.
struct HalfBody {
    whole: Bytes,
    sent: bool,
}

impl Body for HalfBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if std::mem::replace(&mut self.sent, true) {
            return Poll::Ready(Some(Err(io::Error::other("broken off by the test"))));
        }
        // Polled again at once; the first half has to be written before the break.
        cx.waker().wake_by_ref();
        let half = self.whole.slice(..self.whole.len() / 2);
        Poll::Ready(Some(Ok(Frame::data(half))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.whole.len() as u64)
    }
}
