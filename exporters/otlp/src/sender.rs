//! One attempt: the block's bytes, framed already, as the body of a gRPC call; the status from the trailers.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, TE};
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version, request, response};
use http_body_util::{BodyExt, Full};
use steadyline_component::telemetry::Signal;
use steadyline_component::{
    Attempt, Authenticator, Block, CheckRow, Host, JoinLimit, Outcome, Payload, Sender, StartError, TraceParent,
};
use steadyline_http::error::find;
use steadyline_http::{TransportError, TransportErrorKind, is_refusal, peer_of};
use steadyline_otlp::{Encoding, RequestFormat, answer, grpc};
use tonic::{Code, Status};
use tower_service::Service;

use crate::channel::LazyChannel;

/// No more of an answer is read; a response is a count and a sentence.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

pub(crate) struct GrpcSender {
    channel: LazyChannel,
    peer: String,
    url: Uri,
    format: RequestFormat,
    headers: HeaderMap,
    timeout: Duration,
    auth: Option<Arc<dyn Authenticator>>,
    /// What gRPC prescribes; neither config nor an authenticator changes it.
    fixed: HeaderMap,
}

/// An answer, its trailers joined to its headers.
struct Answer {
    head: response::Parts,
    body: Bytes,
}

impl GrpcSender {
    pub(crate) fn new(
        channel: LazyChannel,
        target: Uri,
        format: RequestFormat,
        headers: HeaderMap,
        timeout: Duration,
        auth: Option<Arc<dyn Authenticator>>,
    ) -> GrpcSender {
        let mut fixed = HeaderMap::new();
        fixed.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        fixed.insert(TE, HeaderValue::from_static("trailers"));
        if let Some(encoding) = format.compression.encoding() {
            fixed.insert("grpc-encoding", HeaderValue::from_static(encoding));
        }
        if let Some(value) = grpc_timeout(timeout) {
            fixed.insert("grpc-timeout", value);
        }
        let peer = peer_of(&target);
        let url = Uri::builder()
            .scheme(target.scheme_str().unwrap_or("http"))
            .authority(peer.as_str())
            .path_and_query(method_path(format.signal))
            .build()
            .unwrap_or(target);
        GrpcSender { channel, peer, url, format, headers, timeout, auth, fixed }
    }

    async fn call(&self, payload: &Payload, items: u64, trace: Option<TraceParent>) -> Outcome {
        let exchange = self.exchange(payload, trace);
        let answer = match self.timeout.is_zero() {
            true => exchange.await,
            false => tokio::time::timeout(self.timeout, exchange).await.unwrap_or_else(|_| Err(self.too_late())),
        };
        answer.map_or_else(Outcome::from, |answer| outcome(answer, items))
    }

    async fn exchange(&self, payload: &Payload, trace: Option<TraceParent>) -> Result<Answer, TransportError> {
        let head = self.head(payload, trace).await?;
        let sent = head.headers.clone();
        let answer = self.once(head, payload).await?;
        if self.auth.is_none() || !is_refusal(&answer.head) {
            return Ok(answer);
        }
        // The authenticator has seen the refusal; if it now says something else, that is worth one more try.
        let head = self.head(payload, trace).await?;
        if head.headers == sent { Ok(answer) } else { self.once(head, payload).await }
    }

    async fn head(&self, payload: &Payload, trace: Option<TraceParent>) -> Result<request::Parts, TransportError> {
        let (mut head, ()) = Request::new(()).into_parts();
        (head.method, head.version, head.uri) = (Method::POST, Version::HTTP_2, self.url.clone());
        head.headers = self.headers.clone();
        if let Some(auth) = &self.auth {
            auth.authenticate(&mut head, payload).await?;
        }
        for (name, value) in &self.fixed {
            head.headers.insert(name, value.clone());
        }
        if let Some(value) = trace.and_then(|parent| HeaderValue::try_from(parent.to_string()).ok()) {
            head.headers.insert("traceparent", value);
        }
        Ok(head)
    }

    async fn once(&self, head: request::Parts, payload: &Payload) -> Result<Answer, TransportError> {
        let failed = |error: &(dyn std::error::Error + 'static)| match find::<tonic::TimeoutExpired>(error) {
            // tonic keeps to the `grpc-timeout` header as well, and may be a moment earlier.
            Some(_) => self.too_late(),
            None => TransportError::from_chain(error, &self.peer),
        };
        let body = tonic::body::Body::new(Full::new(payload.bytes().clone()));
        let mut channel = self.channel.get();
        std::future::poll_fn(|cx| channel.poll_ready(cx)).await.map_err(|error| failed(&error))?;
        let response = channel.call(Request::from_parts(head, body)).await.map_err(|error| failed(&error))?;
        let (mut head, mut body) = response.into_parts();
        let mut read = BytesMut::new();
        while let Some(frame) = body.frame().await {
            match frame.map_err(|error| failed(&error))?.into_data() {
                Ok(data) => read.extend_from_slice(&data[..data.len().min(MAX_ANSWER_BYTES - read.len())]),
                Err(frame) => head.headers.extend(frame.into_trailers().unwrap_or_default()),
            }
        }
        if let Some(auth) = &self.auth {
            auth.observe(&head);
        }
        Ok(Answer { head, body: read.freeze() })
    }

    fn too_late(&self) -> TransportError {
        let message = format!("no answer from `{}` within {:?}", self.peer, self.timeout);
        TransportError::new(TransportErrorKind::Timeout, message)
    }
}

#[async_trait]
impl Sender for GrpcSender {
    async fn start(&self, _: &Host) -> Result<(), StartError> {
        self.channel.start().map_err(StartError::new)
    }

    async fn send(&self, block: &Block, attempt: &Attempt) -> Outcome {
        match self.format.adopt(block) {
            Some(block) => self.call(&block.payload, block.items, attempt.trace).await,
            None => steadyline_otlp::request::foreign(),
        }
    }

    fn split(&self, block: &Block) -> Option<(Block, Block)> {
        self.format.halve(block)
    }

    fn join_limit(&self) -> JoinLimit {
        steadyline_otlp::request::JOIN_LIMIT
    }

    fn join(&self, blocks: &[Block]) -> Option<Block> {
        self.format.join(blocks)
    }

    async fn check(&self) -> Vec<CheckRow> {
        let outcome = match self.format.empty() {
            Ok(payload) => self.call(&payload, 0, None).await,
            Err(error) => Outcome::Reject { reason: "encode".into(), message: error.to_string() },
        };
        vec![answer::check_row(&format!("send an empty request to {}", self.peer), outcome)]
    }
}

fn outcome(answer: Answer, items: u64) -> Outcome {
    let mut headers = answer.head.headers;
    let details = grpc::status_details(&headers);
    // tonic panics over details that are no base64; they have been read above.
    headers.remove(grpc::STATUS_DETAILS);
    match Status::from_header_map(&headers) {
        None => grpc::http_without_status(answer.head.status),
        Some(status) if status.code() == Code::Ok => {
            answer::delivered(grpc::message_of(&answer.body).unwrap_or_default(), Encoding::Proto, items)
        }
        Some(status) => grpc::status_outcome(status.code().into(), status.message(), &details),
    }
}

fn method_path(signal: Signal) -> &'static str {
    match signal {
        Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    }
}

/// The deadline as gRPC writes it: at most eight digits and a unit.
fn grpc_timeout(timeout: Duration) -> Option<HeaderValue> {
    let millis = timeout.as_millis();
    let text = match millis {
        0 => return None,
        1..=99_999_999 => format!("{millis}m"),
        _ => format!("{}S", (millis / 1000).min(99_999_999)),
    };
    HeaderValue::from_str(&text).ok()
}
