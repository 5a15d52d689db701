//! The SDK's OTLP exporters over the connections that components use: the same TLS, proxies and words for failures.

use std::collections::HashMap;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, Uri};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{
    Compression, ExporterBuildError, MetricExporter, Protocol, SpanExporter, WithExportConfig, WithHttpConfig,
    WithTonicConfig,
};
use opentelemetry_sdk::error::OTelSdkError;
use steadyline_component::{Clock, Payload, StartError};
use steadyline_http::{Client, ClientOptions, Connector, Versions, headers, peer_of};
use tokio::runtime::Handle;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};

use crate::config::{OtlpCompression, OtlpProtocol, OtlpPush};

/// The same steps on two builders that share names and no trait.
macro_rules! built {
    ($exporter:ident, $config:ident, $target:expr, $clock:ident) => {{
        let (target, builder) = ($target?, $exporter::builder());
        match $config.protocol {
            OtlpProtocol::Grpc => {
                let builder = builder.with_tonic().with_channel(channel($config, &target)?);
                compressed($config, builder.with_metadata(metadata($config)?), WithTonicConfig::with_compression)
                    .with_timeout($config.timeout.get())
                    .build()
            }
            OtlpProtocol::HttpProtobuf => {
                let builder = builder.with_http().with_http_client(HttpTransport::new($config, &target, $clock)?);
                compressed($config, builder.with_headers(HashMap::new()), WithHttpConfig::with_compression)
                    .with_protocol(Protocol::HttpBinary)
                    .with_endpoint(target.to_string())
                    .with_timeout($config.timeout.get())
                    .build()
            }
        }
        .map_err(|error| not_made(&error))
    }};
}

/// An exporter of metrics.
///
/// # Errors
/// The certificates cannot be used, or the endpoint is none (which the check of the config has found before).
pub(super) fn metrics(config: &OtlpPush, clock: &Clock) -> Result<MetricExporter, StartError> {
    built!(MetricExporter, config, target(config, "/v1/metrics"), clock)
}

/// An exporter of spans.
///
/// # Errors
/// As [`metrics`].
pub(super) fn spans(config: &OtlpPush, clock: &Clock) -> Result<SpanExporter, StartError> {
    built!(SpanExporter, config, target(config, "/v1/traces"), clock)
}

/// Why something could not be sent, for people.
pub(super) fn words(error: &OTelSdkError) -> String {
    let text = match error {
        OTelSdkError::InternalFailure(text) => text.clone(),
        other => other.to_string(),
    };
    // A chain of causes tells the last one twice.
    let twice = |&(at, _): &(usize, &str)| text[..at].ends_with(&text[at + 2..]);
    let end = text.match_indices(": ").find(twice).map_or(text.len(), |(at, _)| at);
    text[..end].to_string()
}

fn compressed<B>(config: &OtlpPush, builder: B, with: impl FnOnce(B, Compression) -> B) -> B {
    match config.compression {
        OtlpCompression::None => builder,
        OtlpCompression::Gzip => with(builder, Compression::Gzip),
    }
}

fn not_made(error: &ExporterBuildError) -> StartError {
    StartError(format!("own telemetry cannot be sent: {error}"))
}

fn target(config: &OtlpPush, path: &str) -> Result<Uri, StartError> {
    config.target(path).map_err(|problem| StartError(format!("own telemetry: {problem}")))
}

fn header_map(config: &OtlpPush) -> Result<HeaderMap, StartError> {
    headers::from_config(&config.headers.0).map_err(|problems| {
        let words: Vec<String> = problems.iter().map(ToString::to_string).collect();
        StartError(format!("own telemetry: {}", words.join("; ")))
    })
}

fn metadata(config: &OtlpPush) -> Result<MetadataMap, StartError> {
    Ok(MetadataMap::from_headers(header_map(config)?))
}

/// A channel that connects by itself, when it is first used and again and again.
fn channel(config: &OtlpPush, target: &Uri) -> Result<Channel, StartError> {
    let options = ClientOptions { tls: config.tls.clone(), ..ClientOptions::default() };
    let connector = Connector::new(&options, Versions::Http2).map_err(|problems| {
        let words: Vec<String> = problems.iter().map(ToString::to_string).collect();
        StartError(format!("own telemetry: {}", words.join("; ")))
    })?;
    let connector = connector.to(target.clone());
    connector.load_tls().map_err(StartError::new)?;
    // TLS is the connector's; were the scheme https here, tonic would do it.
    let endpoint = Endpoint::from_shared(format!("http://{}", peer_of(target))).map_err(StartError::new)?;
    let endpoint = endpoint.origin(target.clone()).timeout(config.timeout.get());
    let endpoint = endpoint.user_agent(steadyline_http::USER_AGENT).map_err(StartError::new)?;
    Ok(endpoint.connect_with_connector_lazy(connector))
}

/// The SDK's requests through the client that components use.
#[derive(Debug)]
struct HttpTransport {
    client: Client,
    /// The SDK sends spans from a thread of its own, where there is no runtime.
    runtime: Handle,
}

impl HttpTransport {
    fn new(config: &OtlpPush, target: &Uri, clock: &Clock) -> Result<HttpTransport, StartError> {
        let options = ClientOptions {
            tls: config.tls.clone(),
            headers: config.headers.0.clone(),
            timeout: config.timeout.get(),
            ..ClientOptions::default()
        };
        let client = Client::build(&options, clock).map_err(|problems| {
            let words: Vec<String> = problems.iter().map(ToString::to_string).collect();
            StartError(format!("own telemetry: {}", words.join("; ")))
        })?;
        client.start(target).map_err(StartError::new)?;
        Ok(HttpTransport { client, runtime: Handle::current() })
    }
}

#[async_trait]
impl HttpClient for HttpTransport {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (mut head, body) = request.into_parts();
        // The client has its own, from config.
        head.headers.remove(http::header::USER_AGENT);
        let client = self.client.clone();
        let exchange = async move { client.post(&head.uri, &head.headers, &Payload::from(body), None).await };
        let answer = self.runtime.spawn(exchange).await??;
        let mut response = Response::new(answer.body);
        (*response.status_mut(), *response.headers_mut()) = (answer.status, answer.headers);
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        let words = |text: &str| words(&OTelSdkError::InternalFailure(text.into()));
        assert_eq!(words("export failed: transport error: no: no"), "export failed: transport error: no");
        assert_eq!(words("export failed: a: b: a: b"), "export failed: a: b");
        assert_eq!(words("export failed: 503"), "export failed: 503");
    }
}
