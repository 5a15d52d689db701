//! One request, one document.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method as HttpMethod, StatusCode, Uri, header};
use steadyline_component::{Authenticator, Payload, PollError};
use steadyline_http::{Client, TransportErrorKind};

use crate::config::{Config, Method};

/// Asks for documents.
pub(crate) struct Fetcher {
    client: Client,
    auth: Option<Arc<dyn Authenticator>>,
    method: HttpMethod,
    payload: Payload,
    fixed: HeaderMap,
    most: usize,
    conditional: bool,
    /// What the last document was called, and the document.
    last: Option<(Vec<(HeaderName, HeaderValue)>, Bytes)>,
}

/// A document that came.
pub(crate) struct Document {
    /// Its text.
    pub(crate) body: Bytes,
    /// The headers that came with it.
    pub(crate) headers: HeaderMap,
    /// Whether it is the one of the last time.
    pub(crate) is_same: bool,
}

impl Fetcher {
    pub(crate) fn new(config: &Config, client: Client, auth: Option<Arc<dyn Authenticator>>) -> Fetcher {
        let mut fixed = HeaderMap::new();
        fixed.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let method = match config.method {
            Method::Get => HttpMethod::GET,
            Method::Post => {
                fixed.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
                HttpMethod::POST
            }
        };
        let payload = Bytes::from(config.body.clone()).into();
        let (most, conditional) = (config.max_body_bytes.as_usize(), config.conditional);
        Fetcher { client, auth, method, payload, fixed, most, conditional, last: None }
    }

    /// Asks once.
    ///
    /// # Errors
    /// There is no answer, or it is no document.
    pub(crate) async fn get(&mut self, url: &Uri) -> Result<Document, PollError> {
        let mut fixed = self.fixed.clone();
        if let Some((names, _)) = &self.last {
            names.iter().for_each(|(name, value)| drop(fixed.insert(name, value.clone())));
        }
        let request = self.client.request(
            self.method.clone(),
            url,
            &fixed,
            &self.payload,
            self.auth.as_deref(),
            self.most.saturating_add(1),
        );
        let answer = request.await.map_err(|error| {
            let reason = if error.kind == TransportErrorKind::Timeout { "timeout" } else { "transport" };
            PollError::new(reason, error.to_string())
        })?;
        if let (StatusCode::NOT_MODIFIED, Some((_, body))) = (answer.status, &self.last) {
            return Ok(Document { body: body.clone(), headers: answer.headers, is_same: true });
        }
        if !answer.status.is_success() {
            return Err(refused(url, answer.status, &answer.words()));
        }
        if answer.body.len() > self.most {
            let message = format!("{} is larger than `max_body_bytes` ({} bytes)", shown(url), self.most);
            return Err(PollError::new("too_large", message));
        }
        if self.conditional {
            self.last = names(&answer.headers).map(|names| (names, answer.body.clone()));
        }
        Ok(Document { body: answer.body, headers: answer.headers, is_same: false })
    }
}

/// The headers that ask whether a document is still the same; none if the server gave it no name.
fn names(headers: &HeaderMap) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let pairs = [(header::ETAG, header::IF_NONE_MATCH), (header::LAST_MODIFIED, header::IF_MODIFIED_SINCE)];
    let names: Vec<_> = pairs.into_iter().filter_map(|(from, to)| Some((to, headers.get(from)?.clone()))).collect();
    (!names.is_empty()).then_some(names)
}

fn refused(url: &Uri, status: StatusCode, words: &str) -> PollError {
    let (reason, advice) = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ("access_denied", "; look at `auth` and `headers`"),
        StatusCode::TOO_MANY_REQUESTS => ("throttled", "; poll less often"),
        _ if status.is_redirection() => {
            ("redirected", "; redirects are not followed, set `endpoint` to where it leads")
        }
        _ => ("status", ""),
    };
    PollError::new(reason, format!("{} answers {status}: {words}{advice}", shown(url)))
}

/// A URL without its query, which may hold secrets.
pub(crate) fn shown(url: &Uri) -> String {
    let (scheme, host) = (url.scheme_str().unwrap_or("http"), url.authority().map_or("", |host| host.as_str()));
    format!("`{scheme}://{host}{}`", url.path())
}
