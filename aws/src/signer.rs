//! Signature Version 4 for any HTTP request, over its final bytes.
//!
//! What goes wrong in practice is settled here: the hash is that of the bytes on the wire and is computed by the
//! caller once; default ports are not part of the host; headers that proxies change are not signed; old signatures
//! are replaced when a request is tried again; a clock that is off is corrected by AWS' own.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, SignableBody, SignableRequest, SigningParams, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_async::time::{SharedTimeSource, SystemTimeSource, TimeSource};
use aws_smithy_runtime_api::client::identity::Identity;
use http::header::{AUTHORIZATION, HOST};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderName, HeaderValue, Uri};

use crate::clock::Skew;

/// Signs requests for one service in one region. Shared by all requests to it, so that they share what is learned of
/// the clock.
#[derive(Debug)]
pub struct Signer {
    service: String,
    region: String,
    time: SharedTimeSource,
    /// What the clock of AWS shows more than ours, in seconds.
    skew: AtomicI64,
}

/// Why a request could not be signed: it has no host, or a header that is not text.
#[derive(Debug, Clone, thiserror::Error)]
#[error("cannot sign the request: {0}")]
pub struct SignError(String);

/// Headers that somebody between here and AWS may change, besides those that the signing crate leaves out itself.
const NOT_SIGNED: [&str; 12] = [
    "expect",
    "connection",
    "te",
    "trailer",
    "upgrade",
    "keep-alive",
    "traceparent",
    "tracestate",
    "baggage",
    "content-length",
    "proxy-authorization",
    "proxy-connection",
];

/// What a signature brings; an older one is removed.
const SIGNATURE_HEADERS: [&str; 4] = ["authorization", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256"];

/// A clock that is off by less is left alone: AWS allows 5 minutes.
const TOLERATED_SKEW: Duration = Duration::from_secs(60);

impl Signer {
    /// A signer by the clock of this machine.
    pub fn new(service: impl Into<String>, region: impl Into<String>) -> Self {
        Self::with_time(service, region, SystemTimeSource::new())
    }

    /// A signer by another clock.
    pub fn with_time(service: impl Into<String>, region: impl Into<String>, time: impl TimeSource + 'static) -> Self {
        Self {
            service: service.into(),
            region: region.into(),
            time: SharedTimeSource::new(time),
            skew: AtomicI64::new(0),
        }
    }

    /// Signs a request whose body has this SHA-256. The head must be final: what is added later is not signed.
    ///
    /// # Errors
    /// [`SignError`] if there is nothing that could be signed.
    pub fn sign(
        &self,
        head: &mut http::request::Parts,
        body_sha256: &[u8; 32],
        credentials: &Credentials,
    ) -> Result<(), SignError> {
        for name in SIGNATURE_HEADERS {
            head.headers.remove(name);
        }
        strip_default_port(head)?;
        let identity: Identity = credentials.clone().into();
        let params = self.params(&identity)?;
        let uri = head.uri.to_string();
        let mut headers: Vec<(&str, &str)> = Vec::with_capacity(head.headers.len());
        for (name, value) in &head.headers {
            let text = value.to_str().map_err(|_| SignError(format!("header `{name}` is not plain text")))?;
            headers.push((name.as_str(), text));
        }
        let body = SignableBody::Precomputed(hex(body_sha256));
        let signed = SignableRequest::new(head.method.as_str(), uri.as_str(), headers.into_iter(), body)
            .and_then(|request| sign(request, &params))
            .map_err(|error| SignError(crate::failure::chain(&error)))?;
        let (added, _) = signed.into_parts().0.into_parts();
        for header in added {
            let mut value = HeaderValue::from_str(header.value())
                .map_err(|_| SignError("the credentials are not plain text".into()))?;
            // The whole of it identifies the session; none of it belongs into a log.
            value.set_sensitive(header.sensitive() || header.name() == AUTHORIZATION.as_str());
            head.headers.insert(HeaderName::from_static(header.name()), value);
        }
        Ok(())
    }

    fn params<'a>(&'a self, identity: &'a Identity) -> Result<SigningParams<'a>, SignError> {
        let mut settings = SigningSettings::default();
        let excluded = settings.excluded_headers.get_or_insert_default();
        excluded.extend(NOT_SIGNED.iter().map(|name| (*name).into()));
        // OpenSearch Serverless refuses a request without its hash; for the others it would be one more header.
        if self.service == "aoss" {
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        }
        let params = v4::SigningParams::builder()
            .identity(identity)
            .region(&self.region)
            .name(&self.service)
            .time(self.now())
            .settings(settings)
            .build()
            .map_err(|error| SignError(error.to_string()))?;
        Ok(params.into())
    }

    /// The time as AWS sees it.
    fn now(&self) -> SystemTime {
        let skew = self.skew.load(Ordering::Relaxed);
        let by = Duration::from_secs(skew.unsigned_abs());
        let now = self.time.now();
        if skew < 0 { now.checked_sub(by).unwrap_or(now) } else { now + by }
    }

    /// Looks at an answer: if it refuses the request (401, 403) and its `Date` is far from our clock, the requests that
    /// follow are signed by AWS' clock. Returns how far off our clock was taken to be, if that changed: then the same
    /// request is worth another try.
    pub fn observe(&self, head: &http::response::Parts) -> Option<Skew> {
        if !matches!(head.status.as_u16(), 401 | 403) {
            return None;
        }
        let date = head.headers.get(http::header::DATE)?.to_str().ok()?;
        let theirs = httpdate::parse_http_date(date).ok()?;
        let off = Skew::between(theirs, self.now());
        if off.seconds.unsigned_abs() < TOLERATED_SKEW.as_secs() {
            return None;
        }
        let skew = Skew::between(theirs, self.time.now());
        self.skew.store(skew.seconds, Ordering::Relaxed);
        Some(skew)
    }
}

/// Takes `:443` and `:80` off the host, in the URL and in the header: clients do not send them, so they must not be
/// signed.
fn strip_default_port(head: &mut http::request::Parts) -> Result<(), SignError> {
    let host = head.uri.host().filter(|host| !host.is_empty()).ok_or_else(|| SignError("it has no host".into()))?;
    let default = match head.uri.scheme_str() {
        Some("http") => ":80",
        _ => ":443",
    };
    if head.uri.port().is_some_and(|port| default[1..] == *port.as_str()) {
        let authority: Authority = host.parse().map_err(|_| SignError(format!("`{host}` is not a host")))?;
        let mut parts = head.uri.clone().into_parts();
        parts.authority = Some(authority);
        parts.path_and_query.get_or_insert(PathAndQuery::from_static("/"));
        head.uri = Uri::from_parts(parts).map_err(|error| SignError(error.to_string()))?;
    }
    let sent = head.headers.get(HOST).and_then(|value| value.to_str().ok());
    let stripped = sent.and_then(|sent| sent.strip_suffix(default)).and_then(|sent| HeaderValue::from_str(sent).ok());
    if let Some(stripped) = stripped {
        head.headers.insert(HOST, stripped);
    }
    Ok(())
}

fn hex(bytes: &[u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
