//! OTLP over HTTP: three paths, protobuf or JSON, answers in the encoding of the request.
//! Source: OTLP specification, "OTLP/HTTP".

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_TYPE, EXPECT, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, request};
use http_body_util::Full;
use hyper::body::Incoming;
use steadyline_component::ServerAuthenticator;
use steadyline_component::telemetry::Signal;
use steadyline_http::{Cors, Packing};
use steadyline_otlp::Encoding;
use steadyline_otlp::answer::failure;

use crate::body::{self, Bounds};
use crate::denial::Denial;
use crate::desk::{Arrival, Desk};
use crate::hold::Hold;

/// The key that sets how large a body may be.
pub(crate) const LIMIT_KEY: &str = "max_request_body_size";

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// Answers HTTP requests.
pub(crate) struct HttpService {
    pub(crate) desk: Desk,
    pub(crate) auth: Option<Arc<dyn ServerAuthenticator>>,
    pub(crate) bounds: Bounds,
    /// How long answering may take once the body is there; 0 = no limit.
    pub(crate) answer_timeout: Duration,
    pub(crate) paths: [(Signal, String); 3],
    /// The compressions that are taken.
    pub(crate) packings: Vec<Packing>,
    pub(crate) cors: Option<Cors>,
    /// Added to every answer.
    pub(crate) headers: HeaderMap,
}

impl HttpService {
    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, mut body) = request.into_parts();
        let mut response = match &self.cors {
            Some(cors) if Cors::is_preflight(&head) => preflight(cors, &head),
            cors => {
                let mut response = self.respond(&head, &mut body).await;
                if let Some(cors) = cors {
                    cors.decorate(&head.headers, response.headers_mut());
                }
                response
            }
        };
        for (name, value) in &self.headers {
            response.headers_mut().insert(name, value.clone());
        }
        response
    }

    async fn respond(&self, head: &request::Parts, body: &mut Incoming) -> Response<Full<Bytes>> {
        let encoding = encoding(&head.headers);
        let denial = match self.export(head, encoding, body).await {
            Ok(encoding) => return done(encoding),
            Err(denial) => denial,
        };
        // Who waits to be told to go on has sent nothing yet.
        if head.version < Version::HTTP_2 && !head.headers.contains_key(EXPECT) {
            body::discard(body).await;
        }
        denied(&denial, encoding)
    }

    async fn export(
        &self,
        head: &request::Parts,
        encoding: Option<Encoding>,
        body: &mut Incoming,
    ) -> Result<Encoding, Denial> {
        let path = head.uri.path();
        let found = self.paths.iter().find(|(_, known)| known == path);
        let (signal, _) =
            found.ok_or_else(|| Denial::unwanted(format!("nothing is at `{path}`; {}", self.places())))?;
        let output = self.desk.output(*signal)?;
        let arrival = self.arrive(head, encoding, body, Hold::new(output.budget())).await;
        let arrival = arrival.map_err(|denial| self.desk.refuse(*signal, 1, denial))?;
        let encoding = arrival.encoding;
        let taking = self.desk.take(*signal, arrival);
        if self.answer_timeout.is_zero() {
            taking.await?;
        } else {
            tokio::time::timeout(self.answer_timeout, taking).await.unwrap_or_else(|_| Err(Denial::late()))?;
        }
        Ok(encoding)
    }

    async fn arrive<'a>(
        &self,
        head: &request::Parts,
        encoding: Option<Encoding>,
        body: &mut Incoming,
        mut hold: Hold<'a>,
    ) -> Result<Arrival<'a>, Denial> {
        if head.method != Method::POST {
            return Err(Denial::wrong_method());
        }
        if let Some(auth) = &self.auth {
            auth.admit(head).await?;
        }
        let encoding = encoding.ok_or_else(|| unknown_encoding(&head.headers))?;
        let packing = self.packing(&head.headers)?;
        let (limit, limit_key) = Hold::limit(hold.budget(), self.bounds.limit, self.bounds.limit_key);
        let body = body::whole(body, Bounds { limit, limit_key, ..self.bounds }, &mut hold).await?;
        Ok(Arrival { body, packing, encoding, hold, limit, limit_key })
    }

    fn packing(&self, headers: &HeaderMap) -> Result<Packing, Denial> {
        let Some(value) = headers.get(CONTENT_ENCODING) else { return Ok(Packing::Identity) };
        let known = value.to_str().ok().and_then(Packing::from_name);
        let allowed = known.filter(|packing| *packing == Packing::Identity || self.packings.contains(packing));
        allowed.ok_or_else(|| {
            let name = String::from_utf8_lossy(value.as_bytes());
            Denial::unsupported(format!("`content-encoding: {name}` is not taken; known are {}", Packing::NAMES))
        })
    }

    fn places(&self) -> String {
        let paths: Vec<&str> = self.paths.iter().map(|(_, path)| path.as_str()).collect();
        format!("telemetry goes to {}", paths.join(", "))
    }
}

/// How the body of a request is written, if that is one of the two ways.
fn encoding(headers: &HeaderMap) -> Option<Encoding> {
    let kind = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let kind = kind.split(';').next().unwrap_or_default().trim();
    match () {
        () if kind.eq_ignore_ascii_case(PROTOBUF) => Some(Encoding::Proto),
        () if kind.eq_ignore_ascii_case(JSON) => Some(Encoding::Json),
        () => None,
    }
}

fn unknown_encoding(headers: &HeaderMap) -> Denial {
    let kind = headers.get(CONTENT_TYPE).map(|kind| String::from_utf8_lossy(kind.as_bytes()));
    let hint = match kind.as_deref() {
        Some(kind) if kind.starts_with("application/grpc") => "; gRPC has a port of its own, 4317 by default",
        _ => "",
    };
    let kind = kind.as_deref().unwrap_or("none");
    Denial::unsupported(format!("the content type must be {PROTOBUF} or {JSON}, it is `{kind}`{hint}"))
}

/// An empty `Export...ServiceResponse`: everything was taken.
fn done(encoding: Encoding) -> Response<Full<Bytes>> {
    let (kind, body) = match encoding {
        Encoding::Proto => (PROTOBUF, ""),
        Encoding::Json => (JSON, "{}"),
    };
    let mut response = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// A `google.rpc.Status` in the encoding of the request; plain text if that is not known.
fn denied(denial: &Denial, encoding: Option<Encoding>) -> Response<Full<Bytes>> {
    let (kind, body) = match encoding {
        Some(Encoding::Proto) => (PROTOBUF, failure(Encoding::Proto, denial.code as i32, &denial.message)),
        Some(Encoding::Json) => (JSON, failure(Encoding::Json, denial.code as i32, &denial.message)),
        None => ("text/plain; charset=utf-8", format!("{}\n", denial.message).into_bytes()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = denial.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    match denial.status {
        StatusCode::METHOD_NOT_ALLOWED => {
            headers.insert(ALLOW, HeaderValue::from_static("POST"));
        }
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(Packing::NAMES));
        }
        _ => {}
    }
    if let Some(seconds) = denial.retry_after() {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Some(challenge) = denial.challenge.as_deref().and_then(|text| HeaderValue::from_str(text).ok()) {
        headers.insert(WWW_AUTHENTICATE, challenge);
    }
    response
}

fn preflight(cors: &Cors, head: &request::Parts) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    *response.headers_mut() = cors.preflight(&head.headers);
    response
}
