//! One OTLP request over gRPC, by hand: what is answered, with the details that libraries hide.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// A client that keeps its connection.
#[derive(Clone)]
pub struct Grpc {
    client: Client<HttpConnector, Full<Bytes>>,
    url: String,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Status {
    /// The code; 0 is success.
    pub code: u32,
    /// The bytes of `grpc-status-details-bin`: a `google.rpc.Status`.
    pub details: Vec<u8>,
}

impl Status {
    /// Whether the details say when to try again.
    pub fn has_retry_info(&self) -> bool {
        let wanted = b"type.googleapis.com/google.rpc.RetryInfo";
        self.details.windows(wanted.len()).any(|window| window == wanted)
    }
}

impl Grpc {
    /// For the metrics service at `127.0.0.1:port`.
    pub fn metrics(port: u16) -> Grpc {
        let url = format!("http://127.0.0.1:{port}/opentelemetry.proto.collector.metrics.v1.MetricsService/Export");
        Grpc { client: Client::builder(TokioExecutor::new()).http2_only(true).build_http(), url }
    }

    /// Sends a message; `None` if nobody answers.
    pub async fn send(&self, message: &[u8]) -> Option<Status> {
        let mut body = BytesMut::with_capacity(message.len() + 5);
        body.put_u8(0);
        body.put_u32(message.len() as u32);
        body.put_slice(message);
        let request = Request::post(&self.url).header("content-type", "application/grpc").header("te", "trailers");
        let request = request.body(Full::new(body.freeze())).expect("a valid request");
        let (head, body) = self.client.request(request).await.ok()?.into_parts();
        // An answer without a message has its status in the head.
        let trailers = body.collect().await.ok()?.trailers().cloned();
        status(&head.headers).or_else(|| status(&trailers?))
    }
}

fn status(headers: &HeaderMap) -> Option<Status> {
    let code = headers.get("grpc-status")?.to_str().ok()?.parse().ok()?;
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let details = headers.get("grpc-status-details-bin").map(|value| value.as_bytes()).unwrap_or_default();
    let details = GeneralPurpose::new(&STANDARD, config).decode(details).expect("details in base64");
    Some(Status { code, details })
}
