//! A small HTTP client for tests.

use std::sync::OnceLock;

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {}", self.text()))
    }
}

/// Asks for a page; `None` if nobody answers.
pub async fn get(url: &str) -> Option<Answer> {
    send(Request::get(url).body(Full::default()).expect("a valid request")).await
}

/// Sends a body.
pub async fn post(url: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Option<Answer> {
    let request = headers.iter().fold(Request::post(url), |request, (name, value)| request.header(*name, *value));
    send(request.body(Full::new(body.into())).expect("a valid request")).await
}

/// Sends a request as it is.
pub async fn send(request: Request<Full<Bytes>>) -> Option<Answer> {
    // Not pooled: each test has a runtime of its own, and connections do not outlive it.
    static CLIENT: OnceLock<Client<HttpConnector, Full<Bytes>>> = OnceLock::new();
    let client = CLIENT.get_or_init(|| Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http());
    let (head, body) = client.request(request).await.ok()?.into_parts();
    let body = body.collect().await.ok()?.to_bytes();
    Some(Answer { status: head.status.as_u16(), headers: head.headers, body })
}

/// A text as part of a URL's query.
pub fn encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
