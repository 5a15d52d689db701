//! Sends blocks: one attempt at a time, the same bytes at every attempt.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use http::header::{CONTENT_ENCODING, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use steadyline_component::{
    Attempt, Authenticator, Block, CheckRow, Host, IamStatement, Instrument, JoinLimit, Meter, Outcome, Payload,
    Sender, StartError, Verdict, async_trait,
};
use steadyline_http::{Answer, Client, TransportError, TransportErrorKind};
use steadyline_prometheus::wire::rw2;

use crate::answer::outcome;
use crate::block::{self, Compressor, Protocol};
use crate::endpoint::Endpoint;

const VERSION: HeaderName = HeaderName::from_static("x-prometheus-remote-write-version");

/// Whether remote write prescribes a header, so that config cannot.
pub(crate) fn is_reserved(name: &str) -> bool {
    [CONTENT_ENCODING, CONTENT_TYPE, USER_AGENT, VERSION]
        .iter()
        .any(|reserved| name.eq_ignore_ascii_case(reserved.as_str()))
}

/// The sender of one backend.
pub(crate) struct RemoteWriteSender {
    client: Client,
    endpoint: Endpoint,
    auth: Option<Arc<dyn Authenticator>>,
    protocol: Protocol,
    headers: [HeaderMap; 2],
    /// Set once the backend turned out to know version 1.0 only; the encoder reads it.
    fell_back: Arc<AtomicBool>,
    deduplicated: Arc<Instrument>,
    join_limit: JoinLimit,
}

impl RemoteWriteSender {
    /// A sender to `endpoint`, whose blocks are in `protocol` at first.
    pub(crate) fn new(
        client: Client,
        endpoint: Endpoint,
        auth: Option<Arc<dyn Authenticator>>,
        protocol: Protocol,
        fell_back: Arc<AtomicBool>,
        meter: &Meter,
        join_limit: JoinLimit,
    ) -> Self {
        let deduplicated = meter.counter(
            "remote_write_deduplicated",
            "Samples that the backend took but did not keep (202), because another replica of ours is its leader.",
            &[],
        );
        let headers = [headers(Protocol::V1), headers(Protocol::V2)];
        RemoteWriteSender { client, endpoint, auth, protocol, headers, fell_back, deduplicated, join_limit }
    }

    async fn post(&self, protocol: Protocol, payload: &Payload) -> Result<Answer, TransportError> {
        let fixed = &self.headers[protocol as usize - 1];
        self.client.post(&self.endpoint.uri, fixed, payload, self.auth.as_deref()).await
    }

    fn is_amp(&self) -> bool {
        self.endpoint.workspace.is_some()
    }
}

#[async_trait]
impl Sender for RemoteWriteSender {
    async fn start(&self, _host: &Host) -> Result<(), StartError> {
        self.client.start(&self.endpoint.uri).map_err(StartError::new)
    }

    async fn send(&self, block: &Block, _attempt: &Attempt) -> Outcome {
        let protocol = Protocol::of(block);
        if protocol == Protocol::V2 && self.fell_back.load(Ordering::Relaxed) {
            return Outcome::FallBack { message: "the backend does not know remote write 2.0".to_owned() };
        }
        let answer = match self.post(protocol, &block.payload).await {
            Ok(answer) => answer,
            Err(error) => return error.into(),
        };
        let outcome = outcome(&answer, protocol, block.items, self.is_amp());
        if answer.status == StatusCode::ACCEPTED {
            self.deduplicated.add(block.items as f64);
        }
        if let Outcome::FallBack { message } = &outcome
            && !self.fell_back.swap(true, Ordering::Relaxed)
        {
            let status = answer.status.as_u16();
            tracing::warn!(status, message, "the backend does not know remote write 2.0; from now on it gets 1.0");
        }
        outcome
    }

    fn split(&self, block: &Block) -> Option<(Block, Block)> {
        block::split(block)
    }

    fn join_limit(&self) -> JoinLimit {
        self.join_limit
    }

    fn join(&self, blocks: &[Block]) -> Option<Block> {
        block::join(blocks)
    }

    fn spread(&self, blocks: &[Block], ways: usize) -> Option<Vec<Vec<Block>>> {
        block::spread(blocks, ways, self.join_limit)
    }

    fn recode(&self, block: &Block) -> Option<Block> {
        block::recode(block)
    }

    fn offending_series(&self, block: &Block, words: &str) -> Option<String> {
        block::offending_series(block, words)
    }

    async fn check(&self) -> Vec<CheckRow> {
        let started = Instant::now();
        let answer = self.post(self.protocol, &nothing(self.protocol)).await;
        let took = started.elapsed().as_millis();
        let what = format!("write nothing to {}", self.endpoint.uri);
        let row = |verdict, detail, advice: &str| CheckRow { what, verdict, detail, advice: advice.to_owned() };
        vec![match answer {
            Ok(answer) => {
                let (verdict, advice) = judge(&answer, self.protocol, self.is_amp());
                row(verdict, format!("{}, {took} ms: {}", answer.status.as_u16(), answer.words()), &advice)
            }
            Err(error) => row(Verdict::Fail, format!("{error}, {took} ms"), advice(error.kind)),
        }]
    }

    fn permissions(&self) -> Vec<IamStatement> {
        let statement = self.endpoint.workspace.as_ref().map(|workspace| IamStatement {
            sid: "RemoteWrite".to_owned(),
            actions: vec!["aps:RemoteWrite".to_owned()],
            resources: vec![workspace.arn()],
            conditions: Vec::new(),
        });
        statement.into_iter().collect()
    }
}

fn headers(protocol: Protocol) -> HeaderMap {
    let (content_type, version) = match protocol {
        Protocol::V1 => ("application/x-protobuf", "0.1.0"),
        Protocol::V2 => ("application/x-protobuf;proto=io.prometheus.write.v2.Request", "2.0.0"),
    };
    HeaderMap::from_iter([
        (CONTENT_ENCODING, HeaderValue::from_static("snappy")),
        (CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (VERSION, HeaderValue::from_static(version)),
        (USER_AGENT, HeaderValue::from_static(steadyline_http::USER_AGENT)),
    ])
}

/// A request without a series.
fn nothing(protocol: Protocol) -> Payload {
    let mut request = Vec::new();
    if protocol == Protocol::V2 {
        rw2::Request::new().write_to(&mut request);
    }
    Compressor::new().compress(&request).into()
}

/// What the answer to an empty request says about the exporter, and what to do.
fn judge(answer: &Answer, protocol: Protocol, is_amp: bool) -> (Verdict, String) {
    match outcome(answer, protocol, 0, is_amp) {
        Outcome::Delivered { .. } => (Verdict::Pass, String::new()),
        Outcome::FallBack { .. } => (
            Verdict::Warn,
            "the backend does not know remote write 2.0: set `protobuf_message: prometheus.WriteRequest`".into(),
        ),
        Outcome::Reject { .. } | Outcome::TooLarge { .. } if answer.status == StatusCode::BAD_REQUEST => {
            (Verdict::Warn, "the backend was reached and let us in, but does not take an empty request".into())
        }
        Outcome::Retry { .. } => (Verdict::Warn, "the backend asks to try again later".into()),
        Outcome::Reject { message, .. } | Outcome::TooLarge { message } => (Verdict::Fail, message),
    }
}

fn advice(kind: TransportErrorKind) -> &'static str {
    match kind {
        TransportErrorKind::Dns => "check the host in `endpoint`, and the resolver of this machine",
        TransportErrorKind::Connect => "check host and port in `endpoint`, `proxy_url`, and firewalls in between",
        TransportErrorKind::Tls => {
            "check `tls.ca_file` and `tls.server_name_override`, or whether a proxy intercepts TLS"
        }
        TransportErrorKind::Timeout => "the backend or something in between is silent; raise `timeout` if it is slow",
        TransportErrorKind::Closed | TransportErrorKind::Protocol => {
            "check that the port speaks HTTP, and `https` where it must be"
        }
        TransportErrorKind::Credentials | TransportErrorKind::CredentialsFinal => {
            "check the extension that `auth` names"
        }
    }
}
