//! The process's own metrics for a scraper, at `/metrics`.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use steadyline_component::StartError;
use steadyline_http::{Server, ServerOptions, Serving};
use steadyline_prometheus::exposition::negotiate;

use super::exposition;
use super::sdk::Collector;
use crate::config::PrometheusReader;

/// Listens where config says.
///
/// # Errors
/// The address cannot be listened on.
pub(super) async fn listen(config: &PrometheusReader, collector: &Arc<Collector>) -> Result<Serving, StartError> {
    let server = Server::bind(ServerOptions::new(format!("{}:{}", config.host, config.port))).await?;
    let (config, collector) = (config.clone(), Arc::clone(collector));
    let serving = server.serve(move |request| {
        let response = answer(&request, &config, &collector);
        async move { response }
    });
    tracing::info!(address = %serving.address(), "own metrics are served at /metrics");
    Ok(serving)
}

fn answer(request: &Request<Bytes>, config: &PrometheusReader, collector: &Collector) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    if request.uri().path() != "/metrics" {
        *response.status_mut() = StatusCode::NOT_FOUND;
        *response.body_mut() = Bytes::from_static(b"own metrics are at /metrics\n");
        return response;
    }
    let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let format = negotiate(accept);
    let Ok(collected) = collector.collect() else {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        return response;
    };
    let mut body = Vec::new();
    exposition::write(&collected, config, format, &mut body);
    let content_type = header::HeaderValue::from_static(format.content_type());
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    *response.body_mut() = body.into();
    response
}
