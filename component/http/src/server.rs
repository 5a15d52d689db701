//! A small server: bounded in connections, header and body time, body size; stops gracefully.
//! For health checks and pull endpoints; what comes in is small, what goes out is made whole.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use steadyline_component::receiver::ShutdownTrigger;
use steadyline_component::{Shutdown, StartError};
use tokio::task::JoinHandle;

use crate::door::{Door, DoorOptions};
use crate::listen::Transport;

/// Where to listen, and what a peer may ask for.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// `host:port`; an empty host means every interface, port 0 any free port.
    pub endpoint: String,
    /// A connection beyond takes the place of the one that has idled longest; if none idles, it waits.
    pub max_connections: usize,
    /// How long the head of a request may take, and how long a connection may idle before one.
    pub header_timeout: Duration,
    /// How long the body of a request may take.
    pub body_timeout: Duration,
    /// A larger body is answered 413.
    pub max_body_bytes: usize,
}

impl ServerOptions {
    /// An endpoint with limits that suit small requests.
    pub fn new(endpoint: impl Into<String>) -> Self {
        ServerOptions {
            endpoint: endpoint.into(),
            max_connections: 64,
            header_timeout: Duration::from_secs(60),
            body_timeout: Duration::from_secs(30),
            max_body_bytes: 64 * 1024,
        }
    }
}

/// A bound server that does not answer yet.
#[derive(Debug)]
pub struct Server {
    door: Door,
    address: SocketAddr,
    options: ServerOptions,
}

/// A server that answers. Dropping it stops it, without waiting.
#[derive(Debug)]
pub struct Serving {
    address: SocketAddr,
    stop: ShutdownTrigger,
    task: JoinHandle<()>,
}

impl Server {
    /// Binds the endpoint.
    ///
    /// # Errors
    /// The endpoint does not read or resolve, or somebody else listens there.
    pub async fn bind(options: ServerOptions) -> Result<Server, StartError> {
        let door = DoorOptions {
            max_connections: options.max_connections,
            header_timeout: options.header_timeout,
            idle_timeout: options.header_timeout,
            ping_interval: options.header_timeout,
            ..DoorOptions::default()
        };
        let door = Door::open(Transport::Tcp, &options.endpoint, None, door).await?;
        let address = door.address().parse().map_err(|_| StartError(format!("`{door:?}` has no address")))?;
        Ok(Server { door, address, options })
    }

    /// Where it listens; with the port that was found for port 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers every request by `handler`, until stopped. Needs a tokio runtime around it.
    pub fn serve<H, F>(self, handler: H) -> Serving
    where
        H: Fn(Request<Bytes>) -> F + Send + Sync + 'static,
        F: Future<Output = Response<Bytes>> + Send + 'static,
    {
        let (handler, options) = (Arc::new(handler), Arc::new(self.options));
        let answer = move |request| {
            let (handler, options) = (Arc::clone(&handler), Arc::clone(&options));
            async move { answer(request, &*handler, &options).await.map(Full::new) }
        };
        let (stop, shutdown) = Shutdown::new();
        Serving { address: self.address, stop, task: tokio::spawn(self.door.serve(answer, shutdown)) }
    }
}

impl Serving {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more connections, lets requests in hand finish for at most `grace` and no longer than 2 s, then closes
    /// everything.
    pub async fn stop(self, grace: Duration) {
        self.stop.fire();
        // Over time: what is left ends by itself, beside whatever the caller does next.
        let _ = tokio::time::timeout(grace, self.task).await;
    }
}

async fn answer<H, F>(request: Request<Incoming>, handler: &H, options: &ServerOptions) -> Response<Bytes>
where
    H: Fn(Request<Bytes>) -> F,
    F: Future<Output = Response<Bytes>>,
{
    let (head, body) = request.into_parts();
    let body = Limited::new(body, options.max_body_bytes).collect();
    match tokio::time::timeout(options.body_timeout, body).await {
        Ok(Ok(body)) => handler(Request::from_parts(head, body.to_bytes())).await,
        Ok(Err(error)) if error.is::<LengthLimitError>() => text(StatusCode::PAYLOAD_TOO_LARGE, "body too large\n"),
        Ok(Err(_)) => text(StatusCode::BAD_REQUEST, "the body broke off\n"),
        Err(_) => text(StatusCode::REQUEST_TIMEOUT, "the body took too long\n"),
    }
}

/// A plain text answer.
pub fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let plain = http::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(http::header::CONTENT_TYPE, plain);
    response
}
