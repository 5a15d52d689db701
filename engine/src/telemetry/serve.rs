//! The process's own metrics for a scraper, at `/metrics`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use steadyline_component::StartError;
use steadyline_http::{Server, ServerOptions, Serving};
use steadyline_prometheus::exposition::negotiate;

use super::reading::read;
use crate::build::Shared;
use crate::config::{MetricsLevel, MetricsTelemetry, PrometheusReader};
use crate::delivery::Branch;

/// The listeners of the process's own metrics.
#[derive(Debug, Default)]
pub struct TelemetryServer(Vec<Serving>);

impl TelemetryServer {
    /// Listens where config says.
    ///
    /// # Errors
    /// An address that config names cannot be listened on. The default address is left alone if it is taken:
    /// two processes on one machine are no mistake.
    pub async fn start(
        config: &MetricsTelemetry,
        shared: &Shared,
        branches: &[Arc<Branch>],
    ) -> Result<TelemetryServer, StartError> {
        let mut serving = TelemetryServer::default();
        if config.level == MetricsLevel::None {
            return Ok(serving);
        }
        match &config.readers {
            Some(readers) => {
                for reader in readers {
                    serving.0.push(listen(&reader.pull.exporter.prometheus, shared, branches).await?);
                }
            }
            None => match listen(&PrometheusReader::default(), shared, branches).await {
                Ok(server) => serving.0.push(server),
                Err(error) => tracing::warn!("own metrics are not served: {error}"),
            },
        }
        for server in &serving.0 {
            tracing::info!(address = %server.address(), "own metrics are served at /metrics");
        }
        Ok(serving)
    }

    /// Closes the listeners.
    pub async fn stop(self) {
        for server in self.0 {
            server.stop(Duration::from_secs(1)).await;
        }
    }
}

async fn listen(reader: &PrometheusReader, shared: &Shared, branches: &[Arc<Branch>]) -> Result<Serving, StartError> {
    let server = Server::bind(ServerOptions::new(format!("{}:{}", reader.host, reader.port))).await?;
    let shared = shared.clone();
    let branches: Arc<[Arc<Branch>]> = branches.into();
    Ok(server.serve(move |request| {
        let response = answer(&request, &shared, &branches);
        async move { response }
    }))
}

fn answer(request: &Request<Bytes>, shared: &Shared, branches: &[Arc<Branch>]) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    if request.uri().path() != "/metrics" {
        *response.status_mut() = StatusCode::NOT_FOUND;
        *response.body_mut() = Bytes::from_static(b"own metrics are at /metrics\n");
        return response;
    }
    let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let format = negotiate(accept);
    let mut body = Vec::new();
    read(shared, branches).write(&mut body, format);
    let content_type = header::HeaderValue::from_static(format.content_type());
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    *response.body_mut() = body.into();
    response
}
