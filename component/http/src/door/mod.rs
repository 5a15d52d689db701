//! The server side of a receiver: takes connections, bounds how many there are, how long they may idle and how old
//! they get, and ends them in order. What comes over them is the receiver's affair, bodies included.
//!
//! A door that is full shows out who has idled longest, so that thousands of silent connections keep nobody else out.

mod roster;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use steadyline_component::{Shutdown, StartError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::listen::{Listener, Transport, Wire};
use crate::server_tls::{ServerTls, ServerTlsConfig};
use roster::{Guest, Roster, Seldom};

/// What peers may do at a door. Durations of zero mean no limit.
#[derive(Debug, Clone)]
pub struct DoorOptions {
    /// Speaks HTTP/2 alone, as gRPC does; else HTTP/1 as well.
    pub http2_only: bool,
    /// How many connections there may be; at least 1.
    pub max_connections: usize,
    /// How long the head of a request may take; over HTTP/1 alone.
    pub header_timeout: Duration,
    /// When a connection without a request in hand is closed.
    pub idle_timeout: Duration,
    /// When a connection is closed although it is used.
    pub max_age: Duration,
    /// How long requests in hand may take after `max_age`.
    pub max_age_grace: Duration,
    /// How often a silent HTTP/2 peer is pinged.
    pub ping_interval: Duration,
    /// How long it may take to answer a ping.
    pub ping_timeout: Duration,
    /// Requests at once on one HTTP/2 connection; 0 = 200.
    pub max_concurrent_streams: u32,
    /// Whether an HTTP/1 connection may carry more than one request.
    pub keep_alive: bool,
    /// How long requests in hand may take after the shutdown.
    pub shutdown_grace: Duration,
}

impl Default for DoorOptions {
    fn default() -> Self {
        DoorOptions {
            http2_only: false,
            max_connections: 1024,
            header_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(180),
            max_age: Duration::ZERO,
            max_age_grace: Duration::ZERO,
            ping_interval: Duration::from_secs(7200),
            ping_timeout: Duration::from_secs(20),
            max_concurrent_streams: 0,
            keep_alive: true,
            shutdown_grace: Duration::from_secs(2),
        }
    }
}

/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a peer that is shown out may take to notice.
const EVICTION_GRACE: Duration = Duration::from_millis(250);
/// What one stream, and one connection, may send before somebody reads it: memory that no budget counts.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 512 << 10;
/// The head of an HTTP/1 request.
const MAX_HEAD: usize = 64 << 10;

/// A bound door that nobody has come through yet.
pub struct Door {
    listener: Listener,
    tls: Option<ServerTls>,
    options: DoorOptions,
}

impl Door {
    /// Binds an endpoint and reads the files of `tls`.
    ///
    /// # Errors
    /// The endpoint cannot be listened on, or TLS cannot be spoken.
    pub async fn open(
        transport: Transport,
        endpoint: &str,
        tls: Option<&ServerTlsConfig>,
        options: DoorOptions,
    ) -> Result<Door, StartError> {
        let alpn: &[&[u8]] = if options.http2_only { &[b"h2"] } else { &[b"h2", b"http/1.1"] };
        let tls = tls.map(|tls| ServerTls::load(tls.clone(), alpn)).transpose();
        let tls = tls.map_err(|error| StartError(format!("cannot speak TLS on `{endpoint}`: {error}")))?;
        Ok(Door { listener: Listener::bind(transport, endpoint).await?, tls, options })
    }

    /// Where it is: with the port that was found for port 0, or the path of the socket.
    pub fn address(&self) -> String {
        self.listener.address()
    }

    /// Answers every request by `handler` until the shutdown; returns when the last connection has ended, at the
    /// latest after the grace.
    pub async fn serve<H, F, B>(self, handler: H, shutdown: Shutdown)
    where
        H: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
        F: Future<Output = Response<B>> + Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: std::error::Error + Send + Sync,
    {
        let house = Arc::new(House {
            places: Arc::new(Semaphore::new(self.options.max_connections.max(1))),
            roster: Roster::default(),
            builder: builder(&self.options),
            options: self.options,
            tls: self.tls,
            handler,
            shutdown,
            full: Seldom::default(),
            troubled: Seldom::default(),
        });
        tokio::select! {
            () = house.shutdown.wait() => {}
            () = accept(&self.listener, &house) => {}
        }
        drop(self.listener);
        let all = u32::try_from(house.options.max_connections.max(1)).unwrap_or(u32::MAX);
        // Every connection ends by itself within its grace, and gives its place back.
        let _ = house.places.acquire_many(all).await;
    }
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Door({})", self.address())
    }
}

/// What all connections of a door share.
struct House<H> {
    places: Arc<Semaphore>,
    roster: Roster,
    builder: auto::Builder<TokioExecutor>,
    options: DoorOptions,
    tls: Option<ServerTls>,
    handler: H,
    shutdown: Shutdown,
    full: Seldom,
    troubled: Seldom,
}

fn builder(options: &DoorOptions) -> auto::Builder<TokioExecutor> {
    let limit = |duration: Duration| Some(duration).filter(|duration| !duration.is_zero());
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limit(options.header_timeout))
        .keep_alive(options.keep_alive)
        .max_buf_size(MAX_HEAD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(match options.max_concurrent_streams {
            0 => 200,
            streams => streams,
        })
        .keep_alive_interval(limit(options.ping_interval))
        .keep_alive_timeout(options.ping_timeout);
    if options.http2_only { builder.http2_only() } else { builder }
}

/// Takes connections for ever.
async fn accept<H, F, B>(listener: &Listener, house: &Arc<House<H>>)
where
    H: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: std::error::Error + Send + Sync,
{
    loop {
        match listener.accept().await {
            Ok(wire) => {
                let place = house.place(listener).await;
                tokio::spawn(receive(Arc::clone(house), wire, place));
            }
            Err(error) => {
                // Out of file descriptors, most likely: whoever idles gives his back.
                house.roster.show_out(house.options.max_connections / 64 + 1);
                if house.troubled.pass() {
                    tracing::warn!(address = listener.address(), "cannot take a connection, trying again: {error}");
                }
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

impl<H> House<H> {
    /// A place for one more connection; if there is none, those that idled longest make room.
    async fn place(&self, listener: &Listener) -> OwnedSemaphorePermit {
        loop {
            if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
                return place;
            }
            if self.full.pass() {
                tracing::warn!(
                    address = listener.address(),
                    limit = self.options.max_connections,
                    "as many connections as there may be: for each new one the one that idled longest is closed; \
                     if all of them are wanted, raise the limit"
                );
            }
            self.roster.show_out(self.options.max_connections / 64 + 1);
            let next = Arc::clone(&self.places).acquire_owned();
            if let Ok(Ok(place)) = timeout(Duration::from_millis(100), next).await {
                return place;
            }
        }
    }
}

/// One connection from its first byte to its last.
async fn receive<H, F, B>(house: Arc<House<H>>, wire: Box<dyn Wire>, place: OwnedSemaphorePermit)
where
    H: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: std::error::Error + Send + Sync,
{
    let guest = house.roster.enter();
    let secured = tokio::select! {
        secured = secure(house.tls.as_ref(), wire) => secured,
        _ = guest.shown_out() => return,
        () = house.shutdown.wait() => return,
    };
    match secured {
        Ok(wire) => converse(&house, wire, &guest).await,
        Err(error) => tracing::debug!("a connection did not get through its TLS handshake: {error}"),
    }
    drop(place);
}

async fn secure(tls: Option<&ServerTls>, wire: Box<dyn Wire>) -> io::Result<Box<dyn Wire>> {
    let Some(tls) = tls else { return Ok(wire) };
    let handshake = tokio_rustls::TlsAcceptor::from(tls.current()).accept(wire);
    match timeout(HANDSHAKE_TIMEOUT, handshake).await {
        Ok(stream) => Ok(Box::new(stream?)),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

async fn converse<H, F, B>(house: &Arc<House<H>>, wire: Box<dyn Wire>, guest: &Arc<Guest>)
where
    H: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: std::error::Error + Send + Sync,
{
    let service = service_fn(|request| {
        let busy = guest.busy();
        let answer = (house.handler)(request);
        async move {
            let answer = answer.await;
            drop(busy);
            Ok::<_, Infallible>(answer)
        }
    });
    let mut connection = pin!(house.builder.serve_connection(TokioIo::new(wire), service));
    let options = &house.options;
    let mut look_again = Instant::now();
    let grace = loop {
        tokio::select! {
            biased;
            // What a peer does wrong on its connection is its own affair.
            _ = connection.as_mut() => return,
            () = house.shutdown.wait() => break options.shutdown_grace,
            grace = guest.shown_out() => break grace,
            () = sleep_until(look_again) => match guest.may_stay(options) {
                Ok(until) => look_again = until,
                Err(grace) => break grace,
            }
        }
    };
    connection.as_mut().graceful_shutdown();
    // Over time: what is still in hand breaks off with the connection.
    let _ = timeout(grace, connection).await;
}
