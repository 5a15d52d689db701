//! Asking a service on this machine or next to it: plain HTTP, short answers, no proxy.
//! Who does not answer is told from who says no.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioExecutor;
use steadyline_http::{ClientOptions, Connector, Versions};
use thiserror::Error;

/// No more of an answer is read.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// Asks by HTTP.
#[derive(Debug)]
pub(crate) struct Fetcher(Client<Connector, Full<Bytes>>);

/// Why there is no answer.
#[derive(Debug, Error)]
pub(crate) enum FetchError {
    /// Nobody is there, or nobody answers.
    #[error("`{0}` does not answer: {1}")]
    Unreachable(String, String),
    /// Somebody is there and says no.
    #[error("`{0}` answers {1}")]
    Refused(String, StatusCode),
    /// What was configured is no URL, or what came is no answer.
    #[error("`{0}`: {1}")]
    Nonsense(String, String),
}

impl Fetcher {
    pub(crate) fn new() -> Fetcher {
        let options = ClientOptions { connect_timeout: Duration::from_secs(1), ..ClientOptions::default() };
        let connector = Connector::with_proxy(&options, Versions::Http1, Matcher::builder().build());
        // There is nothing configured that could be wrong.
        let connector = connector.unwrap_or_else(|problems| unreachable!("{problems:?}"));
        Fetcher(Client::builder(TokioExecutor::new()).build(connector))
    }

    /// The text at a URL, within a time.
    ///
    /// # Errors
    /// There is none.
    pub(crate) async fn get(
        &self,
        url: &str,
        headers: &[(&str, &str)],
        timeout: Duration,
    ) -> Result<String, FetchError> {
        self.ask(Method::GET, url, headers, timeout).await
    }

    /// The same, by any method.
    pub(crate) async fn ask(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        timeout: Duration,
    ) -> Result<String, FetchError> {
        let nonsense = |error: &dyn std::fmt::Display| FetchError::Nonsense(url.to_owned(), error.to_string());
        let uri: Uri = url.parse().map_err(|error: http::uri::InvalidUri| nonsense(&error))?;
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::default()).map_err(|error| nonsense(&error))?;
        let late = |_| FetchError::Unreachable(url.to_owned(), format!("no answer within {timeout:?}"));
        tokio::time::timeout(timeout, self.exchange(url, request)).await.map_err(late)?
    }

    async fn exchange(&self, url: &str, request: Request<Full<Bytes>>) -> Result<String, FetchError> {
        let unreachable = |error: &dyn std::fmt::Display| FetchError::Unreachable(url.to_owned(), error.to_string());
        let answer = self.0.request(request).await.map_err(|error| unreachable(&innermost(&error)))?;
        if answer.status() != StatusCode::OK {
            return Err(FetchError::Refused(url.to_owned(), answer.status()));
        }
        let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await;
        let body = body.map_err(|error| unreachable(&error))?.to_bytes();
        let not_text = |_| FetchError::Nonsense(url.to_owned(), "the answer is no text".to_owned());
        String::from_utf8(body.to_vec()).map_err(not_text)
    }
}

/// The error that says what happened; those around it say where.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
