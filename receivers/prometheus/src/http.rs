//! The HTTP client of targets and of service discovery: GET, redirects, gzip, a bound on the body, memory by permits.
//! Deadlines are the caller's: whoever drops the future ends the exchange.

mod auth;
mod body;
mod keys;
mod oauth;

use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, LOCATION, PROXY_AUTHORIZATION, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use steadyline_http::{Connector, TransportError, TransportErrorKind, peer_of};
use thiserror::Error;

pub(crate) use body::Memory;
pub(crate) use keys::{client, is_http};
pub(crate) use oauth::encoded;

use auth::{Credentials, ExtraHeaders};

/// As many redirects as Prometheus follows.
const MAX_REDIRECTS: usize = 10;
/// Idle connections are closed after so long; above any usual interval.
const IDLE: Duration = Duration::from_secs(300);

/// Why there is no body.
#[derive(Debug, Clone, Error)]
pub(crate) enum FetchError {
    /// No answer.
    #[error("{0}")]
    Transport(#[from] TransportError),
    /// No credentials to send.
    #[error("{0}")]
    Credentials(String),
    /// An answer other than 200.
    #[error("the server answered {status}{words}")]
    Status {
        /// The status.
        status: StatusCode,
        /// What it said, with a colon in front, or nothing.
        words: String,
    },
    /// More redirects than are followed.
    #[error("stopped after {MAX_REDIRECTS} redirects")]
    Redirects,
    /// A redirect to nowhere.
    #[error("redirected to `{0}`, which is not an http or https URL")]
    Location(String),
    /// The body is larger than allowed.
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    /// The body is not what its encoding says.
    #[error("the body cannot be uncompressed: {0}")]
    Encoding(String),
}

impl FetchError {
    /// A short word for counters.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            FetchError::Transport(error) => error.kind.reason(),
            FetchError::Credentials(_) => "credentials",
            FetchError::Status { .. } => "status",
            FetchError::Redirects | FetchError::Location(_) => "redirect",
            FetchError::TooLarge(_) => "body_size_limit",
            FetchError::Encoding(_) => "encoding",
        }
    }
}

/// A body that was fetched.
#[derive(Debug)]
pub(crate) struct Fetched {
    /// The headers of the answer.
    pub(crate) headers: HeaderMap,
    /// The body, uncompressed.
    pub(crate) body: Vec<u8>,
}

/// A client with its credentials. Connections are kept between requests.
#[derive(Debug)]
pub(crate) struct HttpClient {
    pool: legacy::Client<Connector, Full<Bytes>>,
    connector: Connector,
    credentials: Credentials,
    headers: ExtraHeaders,
    follow_redirects: bool,
}

impl HttpClient {
    fn new(connector: Connector, credentials: Credentials, headers: ExtraHeaders, follow_redirects: bool) -> Self {
        let pool = legacy::Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .build(connector.clone());
        HttpClient { pool, connector, credentials, headers, follow_redirects }
    }

    /// Reads the certificates, so that a missing file is told at start.
    pub(crate) fn load_tls(&self) -> Result<(), TransportError> {
        self.connector.load_tls()
    }

    /// Gets a URL: at most `limit` bytes of body, for which `memory` is asked before they are read.
    ///
    /// # Errors
    /// See [`FetchError`]; anything but status 200 is one.
    pub(crate) async fn get(
        &self,
        url: &Uri,
        headers: &HeaderMap,
        limit: usize,
        memory: Option<&mut Memory>,
    ) -> Result<Fetched, FetchError> {
        let mut response = self.follow(url, headers).await?;
        if self.credentials.refused(&response) {
            response = self.follow(url, headers).await?;
        }
        let (head, incoming) = response.into_parts();
        let peer = peer_of(url);
        if head.status != StatusCode::OK {
            let words = body::words(incoming).await;
            return Err(FetchError::Status { status: head.status, words });
        }
        let encoding = head.headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes).unwrap_or_default();
        let body = body::read(incoming, encoding, limit, memory, &peer).await?;
        Ok(Fetched { headers: head.headers, body })
    }

    async fn follow(&self, url: &Uri, headers: &HeaderMap) -> Result<Response<Incoming>, FetchError> {
        let mut at = url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let response = self.once(&at, url, headers).await?;
            let location = response.headers().get(LOCATION).filter(|_| is_redirect(response.status()));
            let (Some(location), true) = (location, self.follow_redirects) else { return Ok(response) };
            at = resolve(&at, location)?;
        }
        Err(FetchError::Redirects)
    }

    async fn once(&self, url: &Uri, first: &Uri, headers: &HeaderMap) -> Result<Response<Incoming>, FetchError> {
        let mut request = Request::new(Full::default());
        *request.method_mut() = Method::GET;
        *request.uri_mut() = url.clone();
        let all = request.headers_mut();
        all.insert(USER_AGENT, HeaderValue::from_static(steadyline_http::USER_AGENT));
        all.extend(headers.clone());
        self.headers.put(all)?;
        // What proves who we are is for the host that config names, and for nobody it sends us to.
        if url.authority() == first.authority() && url.scheme() == first.scheme() {
            self.credentials.put(all).await?;
        } else {
            all.remove(AUTHORIZATION);
            all.remove(PROXY_AUTHORIZATION);
            all.remove("cookie");
        }
        let peer = peer_of(url);
        let again = request.clone();
        let first = self.pool.request(request).await.map_err(|error| TransportError::from_chain(&error, &peer));
        match first {
            // A connection that was kept may be closed by the peer while the request is on its way. To ask again is safe.
            Err(error) if error.kind == TransportErrorKind::Closed => {
                Ok(self.pool.request(again).await.map_err(|error| TransportError::from_chain(&error, &peer))?)
            }
            answered => Ok(answered?),
        }
    }
}

/// A URL for logs: without its query and user, which may hold secrets.
pub(crate) fn shown(url: &Uri) -> String {
    format!("{}://{}{}", url.scheme_str().unwrap_or("http"), peer_of(url), url.path())
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// The URL that a redirect leads to; `Location` may be relative.
fn resolve(base: &Uri, location: &HeaderValue) -> Result<Uri, FetchError> {
    let text = String::from_utf8_lossy(location.as_bytes()).into_owned();
    let wrong = || FetchError::Location(text.chars().take(200).collect());
    // A fragment never goes over the wire.
    let target = text.split('#').next().unwrap_or_default();
    let (scheme, authority) = (base.scheme_str().unwrap_or("http"), base.authority().map_or("", |a| a.as_str()));
    let whole = if target.contains("://") {
        target.to_string()
    } else if let Some(rest) = target.strip_prefix("//") {
        format!("{scheme}://{rest}")
    } else if target.starts_with('/') {
        format!("{scheme}://{authority}{target}")
    } else {
        let folder = base.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{target}")
    };
    let url: Uri = whole.parse().map_err(|_| wrong())?;
    match (url.scheme_str(), url.host()) {
        (Some("http" | "https"), Some(_)) => Ok(url),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_lead_where_they_say() {
        let base: Uri = "https://a:1/x/y?z".parse().unwrap();
        for (location, expected) in [
            ("/m", Some("https://a:1/m")),
            ("m?q=1#f", Some("https://a:1/x/m?q=1")),
            ("//b/m", Some("https://b/m")),
            ("http://b:2/m", Some("http://b:2/m")),
            ("ftp://b/m", None),
            ("http:///", None),
        ] {
            let found = resolve(&base, &HeaderValue::from_str(location).unwrap());
            assert_eq!(found.ok().map(|url| url.to_string()).as_deref(), expected, "{location}");
        }
    }
}
