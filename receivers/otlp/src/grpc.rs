//! OTLP over gRPC: unary calls of three services, framed by hand.
//! Source: gRPC over HTTP/2; OTLP specification, "OTLP/gRPC".

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, request};
use http_body::{Body, Frame};
use hyper::body::Incoming;
use steadyline_component::ServerAuthenticator;
use steadyline_http::Packing;
use steadyline_otlp::Encoding;
use steadyline_otlp::grpc::signal_of_path;

use crate::body::{self, Bounds};
use crate::denial::Denial;
use crate::desk::{Arrival, Desk};
use crate::hold::Hold;

/// The key that sets how large a message may be.
pub(crate) const LIMIT_KEY: &str = "max_recv_msg_size_mib";

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const ENCODING: &str = "grpc-encoding";
const ACCEPT_ENCODING: &str = "grpc-accept-encoding";
const STATUS: &str = "grpc-status";

/// Answers gRPC requests.
pub(crate) struct GrpcService {
    pub(crate) desk: Desk,
    pub(crate) auth: Option<Arc<dyn ServerAuthenticator>>,
    pub(crate) bounds: Bounds,
}

impl GrpcService {
    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Response<GrpcBody> {
        let (head, mut body) = request.into_parts();
        if let Some(refused) = not_grpc(&head) {
            return refused;
        }
        match self.export(&head, &mut body).await {
            Ok(()) => done(),
            Err(denial) => denied(&denial),
        }
    }

    async fn export(&self, head: &request::Parts, body: &mut Incoming) -> Result<(), Denial> {
        let path = head.uri.path();
        let signal = signal_of_path(path)
            .ok_or_else(|| Denial::unwanted(format!("`{path}` is no export method of OTLP 1.x")))?;
        let output = self.desk.output(signal)?;
        let arrival = self.arrive(head, body, Hold::new(output.budget())).await;
        self.desk.take(signal, arrival.map_err(|denial| self.desk.refuse(signal, 1, denial))?).await
    }

    async fn arrive<'a>(
        &self,
        head: &request::Parts,
        body: &mut Incoming,
        mut hold: Hold<'a>,
    ) -> Result<Arrival<'a>, Denial> {
        if let Some(auth) = &self.auth {
            auth.admit(head).await?;
        }
        let packing = packing(&head.headers)?;
        let (limit, limit_key) = Hold::limit(hold.budget(), self.bounds.limit, self.bounds.limit_key);
        let bounds = Bounds { limit, limit_key, ..self.bounds };
        let (is_compressed, body) = body::message(body, bounds, &mut hold).await?;
        if is_compressed && packing == Packing::Identity {
            return Err(Denial::malformed(
                "the message says that it is compressed, and `grpc-encoding` does not say how",
            ));
        }
        let packing = if is_compressed { packing } else { Packing::Identity };
        Ok(Arrival { body, packing, encoding: Encoding::Proto, hold, limit, limit_key })
    }
}

fn packing(headers: &HeaderMap) -> Result<Packing, Denial> {
    let Some(value) = headers.get(ENCODING) else { return Ok(Packing::Identity) };
    let known = value.to_str().ok().and_then(Packing::from_name);
    known.ok_or_else(|| {
        let name = String::from_utf8_lossy(value.as_bytes());
        Denial::unsupported(format!("`grpc-encoding: {name}` is not supported; supported are {}", Packing::NAMES))
    })
}

/// The answer to what is no gRPC request at all, in plain HTTP.
fn not_grpc(head: &request::Parts) -> Option<Response<GrpcBody>> {
    let kind = head.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let rest = kind.strip_prefix(b"application/grpc");
    let mut response = Response::new(GrpcBody::default());
    if !rest.is_some_and(|rest| rest.is_empty() || rest == b"+proto" || rest.starts_with(b";")) {
        *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    } else if head.method != Method::POST {
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
    } else {
        return None;
    }
    Some(response)
}

/// An empty `Export...ServiceResponse`: everything was taken.
fn done() -> Response<GrpcBody> {
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert(STATUS, HeaderValue::from_static("0"));
    let mut response = Response::new(GrpcBody { message: Some(Bytes::from_static(&[0; 5])), trailers: Some(trailers) });
    response.headers_mut().insert(CONTENT_TYPE, GRPC);
    response
}

/// A status instead of a message: headers alone, as "Trailers-Only" has it.
fn denied(denial: &Denial) -> Response<GrpcBody> {
    let mut response = Response::new(GrpcBody::default());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, GRPC);
    if denial.grpc().add_header(headers).is_err() {
        // Words that no header can carry; the code says enough.
        headers.insert(STATUS, HeaderValue::from(denial.code as i32));
    }
    if denial.reason == Some("unsupported") {
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity, gzip, zstd, deflate"));
    }
    if let Some(challenge) = denial.challenge.as_deref().and_then(|text| HeaderValue::from_str(text).ok()) {
        headers.insert(WWW_AUTHENTICATE, challenge);
    }
    response
}

/// At most one message and its trailers.
#[derive(Debug, Default)]
pub(crate) struct GrpcBody {
    message: Option<Bytes>,
    trailers: Option<HeaderMap>,
}

impl Body for GrpcBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let message = self.message.take().map(Frame::data);
        Poll::Ready(message.or_else(|| self.trailers.take().map(Frame::trailers)).map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.message.is_none() && self.trailers.is_none()
    }
}
