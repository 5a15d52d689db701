//! Doorkeepers: asked before the body is read, on either protocol.

use std::sync::Arc;

use http::request::Parts;
use steadyline_component::telemetry::Signal;
use steadyline_component::{Extension, Refusal, ServerAuthenticator, async_trait};
use tonic::{Code, Request};

use super::grpc::{call_with, connect, path};
use super::{ALL, PROTOBUF, extensions, gauges, run_with};

/// Lets in who knows the word.
struct Keeper;

#[async_trait]
impl Extension for Keeper {
    fn as_server_authenticator(self: Arc<Self>) -> Option<Arc<dyn ServerAuthenticator>> {
        Some(self)
    }
}

#[async_trait]
impl ServerAuthenticator for Keeper {
    async fn admit(&self, head: &Parts) -> Result<(), Refusal> {
        match head.headers.get("authorization").is_some_and(|word| word == "sesame") {
            true => Ok(()),
            false => Err(Refusal { message: "say the word", challenge: Some("Word".into()) }),
        }
    }
}

const GUARDED: &str = "protocols: {grpc: {endpoint: '127.0.0.1:0', auth: {authenticator: keeper}}, \
                       http: {endpoint: '127.0.0.1:0', cors: {allowed_origins: ['*']}, auth: {authenticator: keeper}}}";

#[tokio::test]
async fn only_who_is_let_in_is_heard() {
    let receiver = run_with(GUARDED, extensions("keeper", Arc::new(Keeper)), 64 << 20, &ALL).await.unwrap();
    for (word, is_in) in [(None, false), (Some("open"), false), (Some("sesame"), true)] {
        let mut request = Request::new(gauges(1));
        if let Some(word) = word {
            request.metadata_mut().insert("authorization", word.parse().unwrap());
        }
        let mut grpc = connect(&receiver.grpc).await;
        let code = call_with(&mut grpc, path(Signal::Metrics), request)
            .await
            .map_or_else(|status| status.code(), |_| Code::Ok);
        assert_eq!(code, if is_in { Code::Ok } else { Code::Unauthenticated }, "{word:?}");
        let headers: Vec<_> = [PROTOBUF].into_iter().chain(word.map(|word| ("authorization", word))).collect();
        let answer = receiver.post("/v1/metrics", &headers, gauges(1)).await;
        assert_eq!(answer.status.as_u16(), if is_in { 200 } else { 401 }, "{word:?}");
        assert_eq!(answer.headers.get("www-authenticate").is_some_and(|value| value == "Word"), !is_in);
        let expected = if is_in { vec![] } else { vec![("unauthenticated", 1); 2] };
        assert_eq!(receiver.intake.take_refused(), expected);
        assert_eq!(receiver.intake.take().len(), if is_in { 2 } else { 0 });
    }
    // Browsers ask beforehand without credentials.
    let headers = [("origin", "https://a"), ("access-control-request-method", "POST")];
    let preflight = super::http::raw(&receiver.http, "OPTIONS /v1/metrics", &headers).await;
    assert!(preflight.starts_with("HTTP/1.1 204"), "{preflight}");
}
