//! One attempt: the block's bytes as the body of a POST.

use std::borrow::Cow;
use std::sync::Arc;

use async_trait::async_trait;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Uri};
use steadyline_component::{
    Attempt, Authenticator, Block, CheckRow, Host, JoinLimit, Outcome, Payload, Sender, StartError, TraceParent,
};
use steadyline_http::Client;
use steadyline_otlp::answer::http_outcome;
use steadyline_otlp::{Encoding, RequestFormat};

pub(crate) struct HttpSender {
    client: Client,
    url: Uri,
    format: RequestFormat,
    auth: Option<Arc<dyn Authenticator>>,
    /// What OTLP prescribes; neither config nor an authenticator changes it.
    fixed: HeaderMap,
}

impl HttpSender {
    pub(crate) fn new(
        client: Client,
        url: Uri,
        format: RequestFormat,
        auth: Option<Arc<dyn Authenticator>>,
    ) -> HttpSender {
        let mut fixed = HeaderMap::new();
        let content_type = match format.encoding {
            Encoding::Proto => "application/x-protobuf",
            Encoding::Json => "application/json",
        };
        fixed.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        if let Some(encoding) = format.compression.encoding() {
            fixed.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        HttpSender { client, url, format, auth, fixed }
    }

    async fn post(&self, payload: &Payload, items: u64, trace: Option<TraceParent>) -> Outcome {
        let mut fixed = Cow::Borrowed(&self.fixed);
        if let Some(value) = trace.and_then(|parent| HeaderValue::try_from(parent.to_string()).ok()) {
            fixed.to_mut().insert("traceparent", value);
        }
        match self.client.post(&self.url, &fixed, payload, self.auth.as_deref()).await {
            Ok(answer) => http_outcome(&answer, items),
            Err(error) => error.into(),
        }
    }
}

#[async_trait]
impl Sender for HttpSender {
    async fn start(&self, _: &Host) -> Result<(), StartError> {
        self.client.start(&self.url).map_err(StartError::new)
    }

    async fn send(&self, block: &Block, attempt: &Attempt) -> Outcome {
        match self.format.adopt(block) {
            Some(block) => self.post(&block.payload, block.items, attempt.trace).await,
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
            Ok(payload) => self.post(&payload, 0, None).await,
            Err(error) => Outcome::Reject { reason: "encode".into(), message: error.to_string() },
        };
        vec![steadyline_otlp::answer::check_row(&format!("send an empty request to {}", self.url), outcome)]
    }
}
