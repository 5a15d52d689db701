//! What a gRPC answer means: the status, which codes may be tried again, `RetryInfo`. Codes as in the OTLP
//! specification, "OTLP/gRPC Response".

use std::time::Duration;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::{HeaderMap, StatusCode};
use prost::Message;
use steadyline_component::Outcome;
use steadyline_telemetry::Signal;

use crate::answer::{RpcDetail, RpcStatus};

/// The header or trailer with the details of a status, a `google.rpc.Status` in base64, padded or not.
pub const STATUS_DETAILS: &str = "grpc-status-details-bin";

const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

#[derive(Clone, PartialEq, prost::Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<RetryDelay>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RetryDelay {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

/// What a status other than OK means. `code` is gRPC's number, `details` the decoded [`STATUS_DETAILS`].
pub fn status_outcome(code: i32, message: &str, details: &[u8]) -> Outcome {
    let (name, is_retryable) = code_of(code);
    let words = if message.is_empty() { name.to_string() } else { format!("{name}: {message}") };
    let after = retry_delay(details);
    if is_too_large(code, message) {
        return Outcome::TooLarge { message: words };
    }
    let reason = format!("grpc_{name}");
    match is_retryable || (code == RESOURCE_EXHAUSTED && after.is_some()) {
        true => Outcome::Retry { reason, message: words, after },
        false => Outcome::Reject { reason, message: words },
    }
}

const RESOURCE_EXHAUSTED: i32 = 8;
const OUT_OF_RANGE: i32 = 11;

/// A code's name, and whether the same request may be tried again.
fn code_of(code: i32) -> (&'static str, bool) {
    match code {
        0 => ("ok", false),
        1 => ("canceled", true),
        3 => ("invalid_argument", false),
        4 => ("deadline_exceeded", true),
        5 => ("not_found", false),
        6 => ("already_exists", false),
        7 => ("permission_denied", false),
        8 => ("resource_exhausted", false),
        9 => ("failed_precondition", false),
        10 => ("aborted", true),
        11 => ("out_of_range", true),
        12 => ("unimplemented", false),
        13 => ("internal", false),
        14 => ("unavailable", true),
        15 => ("data_loss", true),
        16 => ("unauthenticated", false),
        _ => ("unknown", false),
    }
}

/// Whether a backend means that the message itself is too large. There is no code for it: grpc-go, grpc-java and
/// grpc-core say ResourceExhausted, tonic says OutOfRange, each in its own words.
fn is_too_large(code: i32, message: &str) -> bool {
    let words = message.to_ascii_lowercase();
    let says_so = ["larger than max", "too large", "exceeds maximum", "exceeds the maximum"];
    matches!(code, RESOURCE_EXHAUSTED | OUT_OF_RANGE) && says_so.iter().any(|text| words.contains(text))
}

/// When the backend wants to be asked again, by its `RetryInfo`.
fn retry_delay(details: &[u8]) -> Option<Duration> {
    let status = RpcStatus::decode(details).ok()?;
    let info = status.details.iter().find(|detail| detail.type_url == RETRY_INFO)?;
    let delay = RetryInfo::decode(&*info.value).ok()?.retry_delay.unwrap_or_default();
    let nanos = u32::try_from(delay.nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
    Some(Duration::new(u64::try_from(delay.seconds).ok()?, nanos))
}

/// The details of a status that asks to be tried again after `delay`, to be put under [`STATUS_DETAILS`] in base64.
pub fn retry_details(code: i32, message: &str, delay: Duration) -> Vec<u8> {
    let seconds = i64::try_from(delay.as_secs()).unwrap_or(i64::MAX);
    let delay = RetryDelay { seconds, nanos: delay.subsec_nanos() as i32 };
    let value = RetryInfo { retry_delay: Some(delay) }.encode_to_vec();
    let details = vec![RpcDetail { type_url: RETRY_INFO.to_string(), value }];
    RpcStatus { code, message: message.to_string(), details }.encode_to_vec()
}

/// The signal that a request of this path exports; `None` for every other service and method.
pub fn signal_of_path(path: &str) -> Option<Signal> {
    match path {
        "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export" => Some(Signal::Metrics),
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export" => Some(Signal::Traces),
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export" => Some(Signal::Logs),
        _ => None,
    }
}

/// The decoded details in a header map; empty if there are none or they do not read.
pub fn status_details(headers: &HeaderMap) -> Vec<u8> {
    let padding = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let text = headers.get(STATUS_DETAILS).map(|value| value.as_bytes());
    text.and_then(|text| GeneralPurpose::new(&STANDARD, padding).decode(text).ok()).unwrap_or_default()
}

/// What an answer means that carries no gRPC status at all, as of a proxy: gRPC's "HTTP to gRPC Status Code Mapping".
/// 413 is beyond that mapping, and means what it means over HTTP.
pub fn http_without_status(status: StatusCode) -> Outcome {
    let words = format!("the answer is not gRPC but HTTP {status}; is the endpoint an OTLP gRPC port?");
    match status.as_u16() {
        413 => Outcome::TooLarge { message: words },
        400 => status_outcome(13, &words, &[]),
        401 => status_outcome(16, &words, &[]),
        403 => status_outcome(7, &words, &[]),
        404 => status_outcome(12, &words, &[]),
        429 | 502..=504 => status_outcome(14, &words, &[]),
        _ => status_outcome(2, &words, &[]),
    }
}

/// The first message of a gRPC response body; `None` if there is none, or it is compressed or cut.
pub fn message_of(body: &[u8]) -> Option<&[u8]> {
    let (head, rest) = body.split_first_chunk::<5>()?;
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    if head[0] == 0 { rest.get(..length) } else { None }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn details(type_url: &str, seconds: i64, nanos: i32) -> Vec<u8> {
        let value = RetryInfo { retry_delay: Some(RetryDelay { seconds, nanos }) }.encode_to_vec();
        let details = vec![RpcDetail { type_url: type_url.into(), value }];
        RpcStatus { code: 8, message: "busy".into(), details }.encode_to_vec()
    }

    #[test]
    fn codes_are_sorted_as_the_specification_has_them() {
        let retryable = |code| matches!(status_outcome(code, "x", &[]), Outcome::Retry { after: None, .. });
        let codes: Vec<i32> = (-1..20).filter(|code| retryable(*code)).collect();
        assert_eq!(codes, [1, 4, 10, 11, 14, 15]);
    }

    #[test]
    fn resource_exhausted_is_retried_only_when_the_backend_says_when() {
        let outcome = status_outcome(8, "busy", &details(RETRY_INFO, 3, 500_000_000));
        let after = Some(Duration::from_millis(3500));
        let message = "resource_exhausted: busy".to_string();
        assert_eq!(outcome, Outcome::Retry { reason: "grpc_resource_exhausted".into(), message, after });
        for details in [details("type.googleapis.com/other", 3, 0), details(RETRY_INFO, -3, 0), b"\xff".to_vec()] {
            assert!(matches!(status_outcome(8, "busy", &details), Outcome::Reject { .. }));
        }
    }

    #[test]
    fn our_own_retry_info_is_understood() {
        let after = Duration::from_millis(1500);
        let outcome = status_outcome(8, "busy", &retry_details(8, "busy", after));
        assert!(matches!(outcome, Outcome::Retry { after: Some(delay), .. } if delay == after));
    }

    #[test]
    fn every_library_that_says_too_large_is_understood() {
        for (code, words) in [
            (8, "grpc: received message larger than max (4194305 vs. 4194304)"),
            (8, "grpc: received message after decompression larger than max 4194304"),
            (8, "Received message exceeds the maximum configured message size"),
            (8, "gRPC message exceeds maximum size 4194304: 4194305"),
            (11, "Error, decoded message length too large: found 5 bytes, the limit is: 4 bytes"),
        ] {
            assert!(matches!(status_outcome(code, words, &[]), Outcome::TooLarge { .. }), "{words}");
        }
        assert!(matches!(status_outcome(3, "attribute too large", &[]), Outcome::Reject { .. }));
    }

    #[test]
    fn details_read_with_and_without_padding_and_garbage_is_none() {
        for (text, expected) in [("AQ==", &b"\x01"[..]), ("AQ", b"\x01"), ("!", b""), ("", b"")] {
            let mut headers = HeaderMap::new();
            headers.insert(STATUS_DETAILS, HeaderValue::from_static(text));
            assert_eq!(status_details(&headers), expected, "{text}");
        }
    }

    #[test]
    fn a_cut_message_is_none() {
        assert_eq!(message_of(b"\0\0\0\0\x02ab"), Some(&b"ab"[..]));
        assert_eq!(message_of(b"\0\0\0\0\0"), Some(&b""[..]));
        for body in [&b""[..], b"\0\0\0", b"\0\0\0\0\x02a", b"\x01\0\0\0\x01a", b"\0\xff\xff\xff\xffa"] {
            assert_eq!(message_of(body), None, "{body:?}");
        }
    }

    #[test]
    fn a_proxy_in_between_is_understood() {
        assert!(matches!(http_without_status(StatusCode::BAD_GATEWAY), Outcome::Retry { .. }));
        assert!(matches!(http_without_status(StatusCode::PAYLOAD_TOO_LARGE), Outcome::TooLarge { .. }));
        assert!(matches!(http_without_status(StatusCode::OK), Outcome::Reject { .. }));
    }
}
