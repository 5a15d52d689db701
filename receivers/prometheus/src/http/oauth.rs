//! Tokens for client credentials (RFC 6749, section 4.4): fetched when first needed, kept until shortly before they
//! expire, fetched anew when they are refused.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::Full;
use hyper_util::client::legacy;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use steadyline_component::Clock;
use steadyline_config::Secret;
use steadyline_http::{Connector, TransportError, peer_of};

use super::auth::{Text, basic};
use super::{FetchError, body};

/// A token is renewed this long before it expires, so that none expires on its way.
const EARLY: Duration = Duration::from_secs(10);
/// The largest answer that is read.
const MAX_ANSWER: usize = 1 << 20;

/// Where tokens come from.
#[derive(Debug)]
pub(crate) struct TokenSource {
    pool: legacy::Client<Connector, Full<Bytes>>,
    url: Uri,
    client_id: String,
    client_secret: Text,
    /// The request's form without the client's id and secret.
    form: String,
    clock: Clock,
    token: Mutex<Option<Token>>,
    /// One request for a token at a time, however many targets need it.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Debug, Clone)]
struct Token {
    header: Secret,
    expires: Option<Duration>,
}

#[derive(Deserialize)]
struct Answer {
    access_token: Secret,
    #[serde(default)]
    token_type: String,
    #[serde(default)]
    expires_in: Option<serde_json::Value>,
}

impl TokenSource {
    pub(super) fn new(
        connector: Connector,
        url: Uri,
        (client_id, client_secret): (String, Text),
        parameters: &[(&str, &str)],
        clock: Clock,
    ) -> TokenSource {
        let mut form = "grant_type=client_credentials".to_string();
        for (name, value) in parameters {
            form += &format!("&{}={}", encoded(name), encoded(value));
        }
        let pool = legacy::Client::builder(TokioExecutor::new()).build(connector);
        let (token, asking) = (Mutex::new(None), tokio::sync::Mutex::new(()));
        TokenSource { pool, url, client_id, client_secret, form, clock, token, asking }
    }

    /// The text of the header `Authorization`.
    pub(super) async fn header(&self) -> Result<String, FetchError> {
        if let Some(token) = self.valid() {
            return Ok(token.expose().to_string());
        }
        let _turn = self.asking.lock().await;
        if let Some(token) = self.valid() {
            return Ok(token.expose().to_string());
        }
        let token = self.fetch().await?;
        let header = token.header.expose().to_string();
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(token);
        Ok(header)
    }

    /// The token was refused. Whether there was one.
    pub(super) fn forget(&self) -> bool {
        self.token.lock().unwrap_or_else(PoisonError::into_inner).take().is_some()
    }

    fn valid(&self) -> Option<Secret> {
        let token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        let token = token.as_ref()?;
        let is_valid = token.expires.is_none_or(|expires| self.clock.now().mono + EARLY < expires);
        is_valid.then(|| token.header.clone())
    }

    /// Asks with the client's secret in a header; a server that wants it in the form says so by refusing.
    async fn fetch(&self) -> Result<Token, FetchError> {
        let secret = self.client_secret.get()?;
        let header = basic(&encoded(&self.client_id), &encoded(secret.expose()));
        match self.ask(self.form.clone(), Some(header)).await {
            Err(FetchError::Status { status, .. }) if status.is_client_error() => {
                let (id, secret) = (encoded(&self.client_id), encoded(secret.expose()));
                self.ask(format!("{}&client_id={id}&client_secret={secret}", self.form), None).await
            }
            answered => answered,
        }
        .map_err(|error| FetchError::Credentials(format!("no token from `{}`: {error}", peer_of(&self.url))))
    }

    async fn ask(&self, form: String, authorization: Option<String>) -> Result<Token, FetchError> {
        let mut request = Request::new(Full::from(form));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.url.clone();
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, HeaderValue::from_static(steadyline_http::USER_AGENT));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(Ok(mut value)) = authorization.map(HeaderValue::try_from) {
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let peer = peer_of(&self.url);
        let response = self.pool.request(request).await.map_err(|error| TransportError::from_chain(&error, &peer))?;
        let (head, incoming) = response.into_parts();
        if head.status != StatusCode::OK {
            return Err(FetchError::Status { status: head.status, words: body::words(incoming).await });
        }
        let body = body::read(incoming, b"", MAX_ANSWER, None, &peer).await?;
        let answer: Answer = serde_json::from_slice(&body)
            .map_err(|error| FetchError::Encoding(format!("expected JSON with an `access_token`: {error}")))?;
        Ok(self.token(&answer))
    }

    fn token(&self, answer: &Answer) -> Token {
        let kind = match answer.token_type.as_str() {
            kind if kind.is_empty() || kind.eq_ignore_ascii_case("bearer") => "Bearer",
            kind => kind,
        };
        // Some servers write the number as a text.
        let seconds = answer.expires_in.as_ref().and_then(|value| match value {
            serde_json::Value::String(text) => text.parse().ok(),
            value => value.as_f64(),
        });
        let lifetime = seconds.and_then(|seconds: f64| Duration::try_from_secs_f64(seconds).ok());
        Token {
            header: Secret::new(format!("{kind} {}", answer.access_token.expose())),
            expires: lifetime.filter(|span| !span.is_zero()).map(|span| self.clock.now().mono.saturating_add(span)),
        }
    }
}

/// A text as `application/x-www-form-urlencoded` has it.
pub(crate) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            byte => out += &format!("%{byte:02X}"),
        }
    }
    out
}
