//! A small server: bounded in connections, header and body time, body size; stops gracefully.
//! For health checks and pull endpoints; what comes in is small, what goes out is made whole.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use steadyline_component::StartError;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::JoinHandle;

use crate::listen::bind_tcp;

/// Where to listen, and what a peer may ask for.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// `host:port`; an empty host means every interface, port 0 any free port.
    pub endpoint: String,
    /// Further connections wait until one of these ends.
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
    listener: TcpListener,
    address: SocketAddr,
    options: ServerOptions,
}

/// A server that answers. Dropping it closes the door at once, and leaves open connections to themselves.
#[derive(Debug)]
pub struct Serving {
    address: SocketAddr,
    stop: oneshot::Sender<Duration>,
    accepting: JoinHandle<()>,
}

impl Server {
    /// Binds the endpoint.
    ///
    /// # Errors
    /// The endpoint does not read or resolve, or somebody else listens there.
    pub async fn bind(options: ServerOptions) -> Result<Server, StartError> {
        let endpoint = &options.endpoint;
        let failed = |error: std::io::Error| StartError(format!("cannot listen on `{endpoint}`: {error}"));
        let listener = bind_tcp(endpoint).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Server { listener, address, options })
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
        let (stop, stopped) = oneshot::channel();
        let address = self.address;
        let accepting = tokio::spawn(accept(self, Arc::new(handler), stopped));
        Serving { address, stop, accepting }
    }
}

impl Serving {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more connections, lets requests in hand finish for at most `grace`, then closes everything.
    pub async fn stop(self, grace: Duration) {
        // A task that has ended already needs no telling.
        let _ = self.stop.send(grace);
        let _ = self.accepting.await;
    }
}

async fn accept<H, F>(server: Server, handler: Arc<H>, mut stopped: oneshot::Receiver<Duration>)
where
    H: Fn(Request<Bytes>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<Bytes>> + Send + 'static,
{
    let Server { listener, options, address } = server;
    let options = Arc::new(options);
    let connections = Arc::new(Semaphore::new(options.max_connections.max(1)));
    let open = GracefulShutdown::new();
    let grace = loop {
        let next = async {
            let permit = Arc::clone(&connections).acquire_owned().await;
            (listener.accept().await, permit)
        };
        tokio::select! {
            grace = &mut stopped => break grace.ok(),
            (Ok((stream, _)), Ok(permit)) = next => serve(stream, permit, &handler, &options, &open),
            else => {
                tracing::warn!(%address, "cannot take a connection; trying again");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    };
    drop(listener);
    if let Some(grace) = grace {
        // Over time: whoever still waits is cut off with the runtime.
        let _ = tokio::time::timeout(grace, open.shutdown()).await;
    }
}

fn serve<H, F>(
    stream: TcpStream,
    permit: OwnedSemaphorePermit,
    handler: &Arc<H>,
    options: &Arc<ServerOptions>,
    open: &GracefulShutdown,
) where
    H: Fn(Request<Bytes>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<Bytes>> + Send + 'static,
{
    let _ = stream.set_nodelay(true);
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(options.header_timeout);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(options.header_timeout);
    let (handler, options) = (Arc::clone(handler), Arc::clone(options));
    let service = service_fn(move |request| {
        let (handler, options) = (Arc::clone(&handler), Arc::clone(&options));
        async move { Ok::<_, Infallible>(answer(request, &*handler, &options).await.map(Full::new)) }
    });
    let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
    let connection = open.watch(connection);
    tokio::spawn(async move {
        // What a peer does wrong on its connection is its own affair.
        let _ = connection.await;
        drop(permit);
    });
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
