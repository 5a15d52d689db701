//! The `health_check` extension: live and ready, over HTTP, and true.
//!
//! ```yaml
//! extensions:
//!   health_check:                       # listens on localhost:13133
//! service:
//!   extensions: [health_check]
//! ```
//!
//! | request | answer |
//! |---|---|
//! | `GET /` (or `path`), `GET /ready` | 200 if ready, else 503; JSON that names what is wrong |
//! | `GET /live` | 200 as long as the process runs |
//! | `GET /status` | as `/`, in the form of the Collector's second health check; `?verbose` lists every component |
//!
//! * Ready: everything has started, every worker of every pipeline is alive, nothing has been told to stop, and no
//!   exporter has failed for longer than `component_health.recovery_duration`.
//! * A failing backend costs readiness, never liveness: a process that is killed for it loses its memory queue.
//! * A receiver whose source fails is listed and costs nothing: its held values are still true.

mod config;
mod report;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use steadyline_component::factory::Component;
use steadyline_component::{CreateContext, Extension, Factory, Host, Spec, Stability, StartError, async_trait};
use steadyline_http::server::text;
use steadyline_http::{Server, ServerOptions, Serving};
use tokio::sync::Mutex;

pub use config::{ComponentHealth, Config, ResponseBody};
pub use report::Report;

/// The factory.
pub const FACTORY: Factory = Factory::extension::<HealthCheckFactory>();

/// Probes in flight are given so long when the process stops.
const GRACE: Duration = Duration::from_secs(1);

/// Makes `health_check` extensions.
#[derive(Debug)]
pub struct HealthCheckFactory;

impl Component for HealthCheckFactory {
    type Config = Config;
    type Made = Arc<dyn Extension>;
    const SPEC: Spec = Spec {
        name: "health_check",
        aliases: &[],
        stability: Stability::Beta,
        signals: &[],
        summary: "Answers whether the process is live and ready, over HTTP.",
        unsupported: &[
            (
                "check_collector_pipeline",
                "readiness always follows the pipelines; see `component_health`, and remove it",
            ),
            ("use_v2", "`/status` is always there; remove it"),
            ("http", "give `endpoint` and `path` directly; `/status` is always there"),
            ("grpc", "health over gRPC is not supported; probe over HTTP"),
            ("tls", "health is answered in plaintext; keep the endpoint on loopback or in the pod"),
            ("auth", "probes are not authenticated; keep the endpoint on loopback or in the pod"),
        ],
    };

    fn create(config: Config, context: &mut CreateContext<'_>) -> Option<Self::Made> {
        if !config.path.starts_with('/') {
            context.error("path", "must begin with a slash, such as `/healthz`");
            return None;
        }
        if matches!(config.path.as_str(), "/live" | "/status") {
            context.error("path", "`/live` and `/status` have a meaning of their own; choose another path");
            return None;
        }
        if !config.endpoint.contains(':') {
            context.error("endpoint", "expected `host:port`, such as localhost:13133");
            return None;
        }
        Some(Arc::new(HealthCheck::new(config)))
    }
}

/// The extension; it answers from `start` to `shutdown`.
#[derive(Debug)]
pub struct HealthCheck {
    config: Arc<Config>,
    serving: Mutex<Option<Serving>>,
}

impl HealthCheck {
    /// An extension that does not listen yet.
    pub fn new(config: Config) -> Self {
        HealthCheck { config: Arc::new(config), serving: Mutex::new(None) }
    }

    /// Where it listens, once started.
    pub async fn address(&self) -> Option<std::net::SocketAddr> {
        self.serving.lock().await.as_ref().map(Serving::address)
    }
}

#[async_trait]
impl Extension for HealthCheck {
    async fn start(&self, host: &Host) -> Result<(), StartError> {
        let server = Server::bind(ServerOptions::new(self.config.endpoint.as_str())).await?;
        tracing::info!(address = %server.address(), "health is answered");
        let (config, host) = (Arc::clone(&self.config), host.clone());
        let serving = server.serve(move |request| std::future::ready(answer(&request, &config, &host)));
        *self.serving.lock().await = Some(serving);
        Ok(())
    }

    async fn shutdown(&self) {
        if let Some(serving) = self.serving.lock().await.take() {
            serving.stop(GRACE).await;
        }
    }
}

fn answer(request: &Request<Bytes>, config: &Config, host: &Host) -> Response<Bytes> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return text(StatusCode::METHOD_NOT_ALLOWED, "ask with GET\n");
    }
    let report = || Report::new(host, &config.component_health);
    match request.uri().path() {
        "/live" => text(StatusCode::OK, "live\n"),
        "/status" => {
            let is_verbose = request.uri().query().is_some_and(|query| {
                query.split('&').any(|part| matches!(part, "verbose" | "verbose=" | "verbose=true"))
            });
            let report = report();
            json(report.code(), &report.status(is_verbose))
        }
        path if path == config.path || path == "/ready" => {
            let report = report();
            match config.response_body.of(report.is_ready()) {
                "" => json(report.code(), &report.readiness()),
                body => text(report.code(), body.to_string()),
            }
        }
        _ => text(StatusCode::NOT_FOUND, "there are /live, /ready and /status\n"),
    }
}

fn json(status: StatusCode, value: &serde_json::Value) -> Response<Bytes> {
    let mut response = text(status, format!("{value:#}\n"));
    let kind = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    response
}
