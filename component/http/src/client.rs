//! One request, one answer. Never follows a redirect, never repeats a request by itself except once, newly
//! authenticated, after 401 or 403. What an answer means is for the protocol to say.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::USER_AGENT;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, request};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use steadyline_component::{Authenticator, Clock, Payload};

use crate::connect::{Connector, Versions, peer_of};
use crate::error::{ConfigProblem, TransportError, TransportErrorKind};
use crate::headers;
use crate::keys::ClientOptions;

/// No more of a backend's answer is read; answers of backends are small, errors are cut.
pub const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// An HTTP client for one backend. Cheap to clone; clones share connections.
#[derive(Debug, Clone)]
pub struct Client {
    inner: legacy::Client<Connector, Full<Bytes>>,
    connector: Connector,
    headers: HeaderMap,
    timeout: Duration,
    clock: Clock,
}

/// What a backend answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, at most so much of it as was asked for.
    pub body: Bytes,
    /// How long the backend asks to be left alone, if it does (`Retry-After`).
    pub retry_after: Option<Duration>,
}

impl Answer {
    /// The body as words for logs: its first 500 characters, or the status' own words if there is none.
    pub fn words(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        let text = text.trim();
        if text.is_empty() {
            return self.status.to_string();
        }
        text.chars().take(500).map(|c| if c.is_control() { ' ' } else { c }).collect()
    }
}

impl Client {
    /// A client. Does no I/O; see [`Client::start`].
    ///
    /// # Errors
    /// Everything that is wrong with the options, each at its key.
    pub fn build(options: &ClientOptions, clock: &Clock) -> Result<Client, Vec<ConfigProblem>> {
        let versions = if options.force_attempt_http2 { Versions::Any } else { Versions::Http1 };
        let mut problems = Vec::new();
        let mut headers = headers::from_config(&options.headers).unwrap_or_else(|wrong| {
            problems.extend(wrong);
            HeaderMap::new()
        });
        headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(crate::USER_AGENT));
        let connector = match (Connector::new(options, versions), problems.is_empty()) {
            (Ok(connector), true) => connector,
            (Ok(_), false) => return Err(problems),
            (Err(wrong), _) => return Err(problems.into_iter().chain(wrong).collect()),
        };
        let inner = pool(options).build(connector.clone());
        Ok(Client { inner, connector, headers, timeout: options.timeout, clock: clock.clone() })
    }

    /// Reads the certificates for an `https` URL, so that a missing file is told at start.
    ///
    /// # Errors
    /// Which file cannot be used, and why.
    pub fn start(&self, url: &Uri) -> Result<(), TransportError> {
        match url.scheme_str() {
            Some("https") => self.connector.load_tls(),
            _ => Ok(()),
        }
    }

    /// Posts a payload. `fixed` are the headers that the protocol prescribes: neither config nor an authenticator
    /// changes them. The authenticator sees the final bytes at every attempt, and every answer.
    ///
    /// # Errors
    /// There is no answer; any answer at all, whatever its status, is `Ok`.
    pub async fn post(
        &self,
        url: &Uri,
        fixed: &HeaderMap,
        payload: &Payload,
        auth: Option<&dyn Authenticator>,
    ) -> Result<Answer, TransportError> {
        self.request(Method::POST, url, fixed, payload, auth, MAX_ANSWER_BYTES).await
    }

    /// Gets a URL.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn get(&self, url: &Uri) -> Result<Answer, TransportError> {
        self.request(Method::GET, url, &HeaderMap::new(), &Payload::default(), None, MAX_ANSWER_BYTES).await
    }

    /// One exchange of any kind, as [`Client::post`]. Of the answer's body at most `most` bytes are read, so that a
    /// source whose answers are the data may ask for more than a backend's words: who asks for one byte more than it
    /// takes learns that there was more.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn request(
        &self,
        method: Method,
        url: &Uri,
        fixed: &HeaderMap,
        payload: &Payload,
        auth: Option<&dyn Authenticator>,
        most: usize,
    ) -> Result<Answer, TransportError> {
        let exchange = self.exchange(method, url, fixed, payload, auth, most);
        if self.timeout.is_zero() {
            return exchange.await;
        }
        tokio::time::timeout(self.timeout, exchange).await.unwrap_or_else(|_| {
            let message = format!("no answer from `{}` within {:?}", peer_of(url), self.timeout);
            Err(TransportError::new(TransportErrorKind::Timeout, message))
        })
    }

    async fn exchange(
        &self,
        method: Method,
        url: &Uri,
        fixed: &HeaderMap,
        payload: &Payload,
        auth: Option<&dyn Authenticator>,
        most: usize,
    ) -> Result<Answer, TransportError> {
        let head = self.head(&method, url, fixed, payload, auth).await?;
        let sent = head.headers.clone();
        let answer = self.once(head, payload, auth, most).await?;
        let (Some(_), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) = (auth, answer.status) else {
            return Ok(answer);
        };
        // The authenticator has seen the refusal: it may have put its clock right or dropped an expired token.
        // If it now says something else than before, that is worth one more try.
        let head = self.head(&method, url, fixed, payload, auth).await?;
        if head.headers == sent {
            return Ok(answer);
        }
        self.once(head, payload, auth, most).await
    }

    async fn head(
        &self,
        method: &Method,
        url: &Uri,
        fixed: &HeaderMap,
        payload: &Payload,
        auth: Option<&dyn Authenticator>,
    ) -> Result<request::Parts, TransportError> {
        let (mut head, ()) = Request::new(()).into_parts();
        head.method = method.clone();
        head.uri = url.clone();
        head.headers = self.headers.clone();
        put_all(&mut head.headers, fixed);
        if let Some(auth) = auth {
            auth.authenticate(&mut head, payload).await?;
            put_all(&mut head.headers, fixed);
        }
        Ok(head)
    }

    async fn once(
        &self,
        head: request::Parts,
        payload: &Payload,
        auth: Option<&dyn Authenticator>,
        most: usize,
    ) -> Result<Answer, TransportError> {
        let peer = peer_of(&head.uri);
        let request = Request::from_parts(head, Full::new(payload.bytes().clone()));
        let response = self.inner.request(request).await.map_err(|error| TransportError::from_chain(&error, &peer))?;
        let (head, body) = response.into_parts();
        if let Some(auth) = auth {
            auth.observe(&head);
        }
        let body = bounded(body, most).await.map_err(|error| TransportError::from_chain(&error, &peer))?;
        let retry_after = headers::retry_after(&head.headers, self.clock.now().unix_nanos);
        Ok(Answer { status: head.status, headers: head.headers, body, retry_after })
    }
}

fn pool(options: &ClientOptions) -> legacy::Builder {
    let mut builder = legacy::Client::builder(TokioExecutor::new());
    let some = |duration: Duration| (!duration.is_zero()).then_some(duration);
    let idle = options.max_idle_conns_per_host.unwrap_or(options.max_idle_conns).min(options.max_idle_conns);
    builder
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(some(options.idle_conn_timeout))
        .pool_max_idle_per_host(if options.disable_keep_alives { 0 } else { idle })
        .http2_keep_alive_interval(some(options.http2_read_idle_timeout))
        .http2_keep_alive_timeout(options.http2_ping_timeout);
    builder
}

fn put_all(headers: &mut HeaderMap, fixed: &HeaderMap) {
    for (name, value) in fixed {
        headers.insert(name, value.clone());
    }
}

async fn bounded(mut body: Incoming, most: usize) -> Result<Bytes, hyper::Error> {
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let room = most - read.len();
        read.extend_from_slice(&data[..data.len().min(room)]);
        if data.len() >= room {
            break;
        }
    }
    Ok(read.freeze())
}
