//! The endpoint: takes batches, answers scrapers, forgets by its own timer.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use steadyline_component::{Batch, Clock, Host, Instrument, Meter, Sink, StartError, Tally, async_trait};
use steadyline_http::server::{Server, ServerOptions, Serving, text};
use steadyline_http::{Compression, CompressionParams, Compressor};
use steadyline_prometheus::exposition::{Format, negotiate};
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, spawn_blocking};

use crate::config::{Config, Rules};
use crate::intake::Intake;
use crate::page;
use crate::store::{Age, Store};

/// A page of last values, served over HTTP.
pub struct PullEndpoint {
    config: Config,
    intake: Mutex<Intake>,
    shown: Arc<Shown>,
    running: Mutex<Option<Running>>,
}

/// What batches, scrapers and the timer share.
struct Shown {
    store: Mutex<Store>,
    clock: Clock,
    expiration: Duration,
    timestamps: bool,
    path: String,
    /// Pages in the making: a large one takes its own size in memory.
    pages: Semaphore,
    series: Arc<Instrument>,
    expired: Arc<Instrument>,
    scrapes: Arc<Instrument>,
}

struct Running {
    serving: Serving,
    timer: AbortHandle,
}

/// Pages that are made at one time; further scrapers wait for their turn.
const PAGES: usize = 2;
/// How long scrapes in hand may take when the process stops.
const GRACE: Duration = Duration::from_secs(2);

impl PullEndpoint {
    pub(crate) fn new(config: Config, rules: Rules, clock: Clock, meter: &Meter) -> PullEndpoint {
        let shown = Shown {
            store: Mutex::new(Store::new(config.max_series)),
            clock,
            expiration: config.metric_expiration.get(),
            timestamps: config.send_timestamps,
            path: config.path.clone(),
            pages: Semaphore::new(PAGES),
            series: meter.gauge("exporter_prometheus_series", "Series that the pull endpoint shows.", &[]),
            expired: meter.counter(
                "exporter_prometheus_expired_series",
                "Series that the pull endpoint forgot because nothing was heard of them.",
                &[],
            ),
            scrapes: meter.counter("exporter_prometheus_scrapes", "Pages that scrapers asked for.", &[]),
        };
        PullEndpoint {
            config,
            intake: Mutex::new(Intake::new(rules)),
            shown: Arc::new(shown),
            running: Mutex::default(),
        }
    }

    /// Where it listens, while it runs.
    pub fn address(&self) -> Option<SocketAddr> {
        lock(&self.running).as_ref().map(|running| running.serving.address())
    }

    /// How many series are kept.
    pub fn series(&self) -> usize {
        lock(&self.shown.store).len()
    }

    /// The page as it is now.
    pub fn page(&self, format: Format) -> Vec<u8> {
        self.shown.page(format)
    }
}

#[async_trait]
impl Sink for PullEndpoint {
    async fn start(&self, _host: &Host) -> Result<(), StartError> {
        let mut options = ServerOptions::new(&self.config.endpoint);
        // Each connection may hold a page that its scraper does not read.
        options.max_connections = 16;
        let server = Server::bind(options).await?;
        tracing::info!(address = %server.address(), path = self.shown.path, "metrics can be scraped");
        let shown = Arc::clone(&self.shown);
        let serving = server.serve(move |request| Arc::clone(&shown).answer(request));
        let timer = tokio::spawn(Arc::clone(&self.shown).forget()).abort_handle();
        *lock(&self.running) = Some(Running { serving, timer });
        Ok(())
    }

    async fn consume(&self, batch: Batch, tally: &Tally) {
        let now = self.shown.clock.now();
        let mut store = lock(&self.shown.store);
        lock(&self.intake).take(&batch, &mut store, now, tally);
        self.shown.series.set(store.len() as f64);
    }

    async fn shutdown(&self) {
        let running = lock(&self.running).take();
        if let Some(Running { serving, timer }) = running {
            timer.abort();
            serving.stop(GRACE).await;
        }
    }
}

impl Shown {
    async fn answer(self: Arc<Self>, request: Request<Bytes>) -> Response<Bytes> {
        if request.uri().path() != self.path {
            return text(StatusCode::NOT_FOUND, format!("the metrics are at {}\n", self.path));
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered\n");
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        self.scrapes.add(1.0);
        let format = negotiate(&joined(request.headers(), header::ACCEPT));
        let gzip = takes_gzip(&joined(request.headers(), header::ACCEPT_ENCODING));
        // Fails only if the semaphore is closed, which nobody does.
        let _turn = self.pages.acquire().await;
        let shown = Arc::clone(&self);
        match spawn_blocking(move || compressed(shown.page(format), gzip)).await {
            Ok((page, gzipped)) => page_response(page, format, gzipped),
            Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "the page could not be made\n"),
        }
    }

    fn page(&self, format: Format) -> Vec<u8> {
        page::write(&self.store, format, self.age(), self.timestamps)
    }

    fn age(&self) -> Age {
        Age { now: self.clock.now().mono, most: self.expiration }
    }

    /// Forgets old series, for as long as the endpoint runs. Pages leave them out to the moment; this gives the memory back.
    async fn forget(self: Arc<Self>) {
        let pause = (self.expiration / 10).clamp(Duration::from_secs(1), Duration::from_secs(30));
        loop {
            self.clock.sleep(pause).await;
            let mut store = lock(&self.store);
            let expired = store.expire(self.age());
            self.expired.add(expired as f64);
            self.series.set(store.len() as f64);
        }
    }
}

fn page_response(page: Bytes, format: Format, gzipped: bool) -> Response<Bytes> {
    let mut response = Response::new(page);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    headers.insert(header::VARY, HeaderValue::from_static("accept, accept-encoding"));
    if gzipped {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// The page as it goes over the wire, and whether it is compressed.
fn compressed(page: Vec<u8>, gzip: bool) -> (Bytes, bool) {
    let page = Bytes::from(page);
    if !gzip {
        return (page, false);
    }
    let compressor = Compressor::new(Compression::Gzip, CompressionParams::default());
    match compressor.ok().and_then(|mut compressor| compressor.compress(page.clone()).ok()) {
        Some(compressed) => (compressed, true),
        None => (page, false),
    }
}

/// All headers of a name as one list.
fn joined(headers: &HeaderMap, name: header::HeaderName) -> String {
    let values: Vec<&str> = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
    values.join(",")
}

/// Whether an `Accept-Encoding` header names gzip and does not refuse it by `q=0`.
fn takes_gzip(accept: &str) -> bool {
    accept.split(',').any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let quality = parts.find_map(|part| part.strip_prefix("q=")).map_or(1.0, |q| q.parse().unwrap_or(0.0));
        named && quality > 0.0
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for PullEndpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PullEndpoint").field("endpoint", &self.config.endpoint).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_used_where_it_is_taken() {
        let rows = [
            ("", false),
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip; q=0.0, br", false),
            ("gzip;q=x", false),
            ("*", false),
            ("identity", false),
        ];
        for (accept, taken) in rows {
            assert_eq!(takes_gzip(accept), taken, "{accept}");
        }
    }
}
