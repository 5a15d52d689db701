//! What OTLP backends answer: partial success, and HTTP statuses as the OTLP specification sorts them
//! ("OTLP/HTTP Response", "Failures").

use steadyline_component::{CheckRow, Outcome, Verdict};
use steadyline_http::Answer;

use crate::request::Encoding;

/// The answer to an export request of any signal; their messages differ in names alone.
#[derive(Clone, PartialEq, prost::Message)]
struct ExportResponse {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected: i64,
    #[prost(string, tag = "2")]
    error_message: String,
}

/// `google.rpc.Status`, which failed answers carry.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct RpcStatus {
    #[prost(int32, tag = "1")]
    pub(crate) code: i32,
    #[prost(string, tag = "2")]
    pub(crate) message: String,
    #[prost(message, repeated, tag = "3")]
    pub(crate) details: Vec<RpcDetail>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct RpcDetail {
    #[prost(string, tag = "1")]
    pub(crate) type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) value: Vec<u8>,
}

/// What a success says about a block of `items` items. An answer that does not read is a success: the backend said so.
pub fn delivered(response: &[u8], encoding: Encoding, items: u64) -> Outcome {
    let partial = match encoding {
        Encoding::Proto => <ExportResponse as prost::Message>::decode(response).ok().and_then(|r| r.partial_success),
        Encoding::Json => serde_json::from_slice(response).ok().as_ref().and_then(partial_of_json),
    };
    let PartialSuccess { rejected, error_message } = partial.unwrap_or_default();
    let dropped = u64::try_from(rejected).unwrap_or(0).min(items);
    Outcome::Delivered { dropped, message: error_message }
}

fn partial_of_json(response: &serde_json::Value) -> Option<PartialSuccess> {
    let partial = response.get("partialSuccess")?.as_object()?;
    let rejected = partial.iter().find(|(key, _)| key.starts_with("rejected")).map(|(_, value)| value);
    let number = |value: &serde_json::Value| value.as_i64().or_else(|| value.as_str()?.parse().ok());
    let message = partial.get("errorMessage").and_then(|message| message.as_str());
    Some(PartialSuccess {
        rejected: rejected.and_then(number).unwrap_or(0),
        error_message: message.unwrap_or_default().to_string(),
    })
}

/// What an HTTP answer to a block of `items` items means. Retryable are 429, 502, 503 and 504, and no other.
pub fn http_outcome(answer: &Answer, items: u64) -> Outcome {
    let content_type = answer.headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let encoding = match content_type.is_some_and(|kind| kind.starts_with("application/json")) {
        true => Encoding::Json,
        false => Encoding::Proto,
    };
    let status = answer.status.as_u16();
    let reason = format!("http_{status}");
    match status {
        200..=299 => delivered(&answer.body, encoding, items),
        413 => Outcome::TooLarge { message: words(answer, content_type) },
        429 | 502..=504 => Outcome::Retry { reason, message: words(answer, content_type), after: answer.retry_after },
        300..=399 => {
            let to = answer.headers.get(http::header::LOCATION).and_then(|to| to.to_str().ok()).unwrap_or("elsewhere");
            let message =
                format!("{}: redirected to {to}; redirects are not followed, correct the endpoint", answer.status);
            Outcome::Reject { reason, message }
        }
        _ => Outcome::Reject { reason, message: words(answer, content_type) },
    }
}

/// The body of a failed answer: a `google.rpc.Status` of gRPC's `code` ("OTLP/HTTP Response", "Failures").
pub fn failure(encoding: Encoding, code: i32, message: &str) -> Vec<u8> {
    match encoding {
        Encoding::Proto => {
            let status = RpcStatus { code, message: message.to_string(), details: Vec::new() };
            prost::Message::encode_to_vec(&status)
        }
        Encoding::Json => serde_json::json!({"code": code, "message": message}).to_string().into_bytes(),
    }
}

/// A row for the `check` command from what became of an empty request.
pub fn check_row(what: &str, outcome: Outcome) -> CheckRow {
    let row = |verdict, detail: String, advice: &str| CheckRow {
        what: what.to_string(),
        verdict,
        detail,
        advice: advice.to_string(),
    };
    match outcome {
        Outcome::Delivered { message, .. } if message.is_empty() => row(Verdict::Pass, "accepted".to_string(), ""),
        Outcome::Delivered { message, .. } => row(Verdict::Pass, format!("accepted: {message}"), ""),
        Outcome::Retry { reason, message, .. } => match reason.as_str() {
            "http_429" | "grpc_resource_exhausted" => {
                row(Verdict::Warn, message, "the backend is reached but limits how much it takes")
            }
            "credentials" => row(Verdict::Fail, message, "see the extension that `auth` names"),
            "dns" | "connect" | "timeout" => row(Verdict::Fail, message, "check `endpoint`, and the network to it"),
            "tls" => row(Verdict::Fail, message, "check `endpoint` and `tls`"),
            _ => row(Verdict::Fail, message, "the backend is reached but does not work; try again later"),
        },
        Outcome::TooLarge { message } => {
            row(Verdict::Fail, message, "something on the way refuses even small requests")
        }
        Outcome::FallBack { message } => row(Verdict::Fail, message, "check that the endpoint speaks OTLP"),
        Outcome::Reject { reason, message } => match reason.as_str() {
            "http_401" | "http_403" | "grpc_unauthenticated" | "grpc_permission_denied" | "credentials" => {
                row(Verdict::Fail, message, "check `auth` and `headers`, and what they are allowed to do")
            }
            _ => row(Verdict::Fail, message, "check that the endpoint speaks OTLP, and its path"),
        },
    }
}

/// The backend's words: the message of a `google.rpc.Status`, or the body as it is.
fn words(answer: &Answer, content_type: Option<&str>) -> String {
    let message = match content_type {
        Some(kind) if kind.starts_with("application/x-protobuf") => {
            <RpcStatus as prost::Message>::decode(&*answer.body).ok().map(|status| status.message)
        }
        Some(kind) if kind.starts_with("application/json") => {
            let json: Option<serde_json::Value> = serde_json::from_slice(&answer.body).ok();
            json.and_then(|json| Some(json.get("message")?.as_str()?.to_string()))
        }
        _ => None,
    };
    match message.filter(|message| !message.is_empty()) {
        Some(message) => format!("{}: {message}", answer.status),
        None if answer.body.is_empty() => answer.status.to_string(),
        None => format!("{}: {}", answer.status, answer.words()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use http::{HeaderMap, HeaderValue, StatusCode};
    use prost::Message;

    use super::*;

    fn answer(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static(content_type));
        let retry_after = Some(Duration::from_secs(7));
        Answer { status: StatusCode::from_u16(status).unwrap(), headers, body: body.into(), retry_after }
    }

    fn partial(rejected: i64, words: &str) -> Vec<u8> {
        let partial_success = Some(PartialSuccess { rejected, error_message: words.into() });
        ExportResponse { partial_success }.encode_to_vec()
    }

    #[test]
    fn partial_success_is_counted_whatever_the_backend_claims() {
        let json = |body: &str| (Encoding::Json, body.as_bytes().to_vec());
        let cases = [
            ((Encoding::Proto, partial(2, "too old")), 2, "too old"),
            ((Encoding::Proto, partial(0, "be careful")), 0, "be careful"),
            ((Encoding::Proto, partial(99, "all")), 5, "all"),
            ((Encoding::Proto, partial(-1, "")), 0, ""),
            ((Encoding::Proto, Vec::new()), 0, ""),
            ((Encoding::Proto, b"<html>".to_vec()), 0, ""),
            (json(r#"{"partialSuccess":{"rejectedDataPoints":"3","errorMessage":"x"}}"#), 3, "x"),
            (json(r#"{"partialSuccess":{"rejectedSpans":4}}"#), 4, ""),
            (json("{}"), 0, ""),
            (json(r#"{"partialSuccess":[]}"#), 0, ""),
        ];
        for ((encoding, body), dropped, message) in cases {
            let expected = Outcome::Delivered { dropped, message: message.to_string() };
            assert_eq!(delivered(&body, encoding, 5), expected, "{body:?}");
        }
    }

    #[test]
    fn statuses_are_sorted_as_the_specification_has_them() {
        for status in [429, 502, 503, 504] {
            let outcome = http_outcome(&answer(status, "text/plain", "busy"), 1);
            let message = format!("{}: busy", StatusCode::from_u16(status).unwrap());
            let after = Some(Duration::from_secs(7));
            assert_eq!(outcome, Outcome::Retry { reason: format!("http_{status}"), message, after });
        }
        for status in [301, 400, 401, 403, 404, 408, 500, 501, 505] {
            let outcome = http_outcome(&answer(status, "text/plain", "no"), 1);
            assert!(matches!(outcome, Outcome::Reject { reason, .. } if reason == format!("http_{status}")));
        }
        assert!(matches!(http_outcome(&answer(413, "text/plain", ""), 1), Outcome::TooLarge { .. }));
        assert_eq!(http_outcome(&answer(202, "application/x-protobuf", ""), 1), Outcome::DELIVERED);
    }

    #[test]
    fn our_own_failures_are_understood() {
        for (encoding, kind) in [(Encoding::Proto, "application/x-protobuf"), (Encoding::Json, "application/json")] {
            let body = failure(encoding, 3, "no \"name\"");
            let Outcome::Reject { message, .. } = http_outcome(&answer(400, kind, body), 1) else { panic!("{kind}") };
            assert_eq!(message, "400 Bad Request: no \"name\"");
        }
    }

    #[test]
    fn the_words_of_a_status_message_are_found() {
        let status = RpcStatus { code: 3, message: "bad name".into(), details: Vec::new() }.encode_to_vec();
        for (kind, body) in [
            ("application/x-protobuf", status),
            ("application/json; charset=utf-8", br#"{"code":3,"message":"bad name"}"#.to_vec()),
            ("text/html", b"bad name".to_vec()),
        ] {
            let Outcome::Reject { message, .. } = http_outcome(&answer(400, kind, body), 1) else { panic!("{kind}") };
            assert_eq!(message, "400 Bad Request: bad name");
        }
    }
}
