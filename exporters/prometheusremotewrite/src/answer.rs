//! What an answer means: the table of statuses. Error texts go to logs and reasons, they never steer.

use http::{HeaderMap, StatusCode};
use steadyline_component::Outcome;
use steadyline_http::Answer;

use crate::block::Protocol;

/// What became of a request of `items` samples. Where the backend turned out not to know version 2.0, it is a fall-back.
pub(crate) fn outcome(answer: &Answer, protocol: Protocol, items: u64, is_amp: bool) -> Outcome {
    let status = answer.status;
    let reason = || format!("http_{}", status.as_u16());
    let message = || words(answer, is_amp);
    match (status.as_u16(), protocol) {
        (200..=299, Protocol::V1) => Outcome::DELIVERED,
        (200..=299, Protocol::V2) => match written(&answer.headers) {
            // A receiver of 1.0 takes the message for an empty one, and says so by saying nothing.
            None => Outcome::FallBack { message: "the answer does not say how much was written".to_owned() },
            Some(written) if written < items => {
                Outcome::Delivered { dropped: items - written, message: answer.words() }
            }
            Some(_) => Outcome::DELIVERED,
        },
        (415, Protocol::V2) => Outcome::FallBack { message: message() },
        (413, _) => Outcome::TooLarge { message: message() },
        (429 | 500..=599, _) => Outcome::Retry { reason: reason(), message: message(), after: answer.retry_after },
        (400..=499, Protocol::V2) => match written(&answer.headers).filter(|written| *written > 0) {
            Some(written) => Outcome::Delivered { dropped: items.saturating_sub(written), message: message() },
            None => Outcome::Reject { reason: reason(), message: message() },
        },
        (400, Protocol::V1) if is_about_samples(&answer.words()) => {
            Outcome::Reject { reason: "http_400_partial".to_owned(), message: message() }
        }
        _ => Outcome::Reject { reason: reason(), message: message() },
    }
}

/// How many samples and histograms a receiver of 2.0 says it wrote; `None` if it says nothing at all.
fn written(headers: &HeaderMap) -> Option<u64> {
    let count = |kind: &str| -> Option<u64> {
        let value = headers.get(format!("x-prometheus-remote-write-{kind}-written"))?;
        Some(value.to_str().ok()?.trim().parse().unwrap_or_default())
    };
    let counts = [count("samples"), count("histograms")];
    // One that speaks of exemplars only still speaks 2.0.
    count("exemplars").map(|_| 0).or(counts[0]).or(counts[1])?;
    Some(counts.into_iter().flatten().fold(0, u64::saturating_add))
}

/// Whether a refusal is about single samples: receivers then keep the rest of the request. For the reason that is counted
/// only; the request is not sent again either way.
fn is_about_samples(words: &str) -> bool {
    const SIGNS: [&str; 16] = [
        "out of order",
        "out-of-order",
        "duplicate sample",
        "duplicate_label",
        "duplicate label",
        "out of bounds",
        "too old",
        "too far in",
        "label value too long",
        "label name too long",
        "label_value_too_long",
        "invalid label",
        "label_invalid",
        "series limit",
        "missing metric name",
        "new-value-for-timestamp",
    ];
    let words = words.to_ascii_lowercase();
    SIGNS.iter().any(|sign| words.contains(sign))
}

/// The backend's words, and ours where they leave people alone.
fn words(answer: &Answer, is_amp: bool) -> String {
    let words = answer.words();
    let hint = match answer.status {
        status if status.is_redirection() => {
            let to = answer.headers.get(http::header::LOCATION).and_then(|to| to.to_str().ok()).unwrap_or("nowhere");
            format!("redirects are never followed; this one leads to `{to}`")
        }
        StatusCode::UNAUTHORIZED if !is_amp => "check `auth` and `headers`".to_owned(),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if is_amp => {
            "the identity needs `aps:RemoteWrite` on the workspace, the clock must be right, and region, path and signing service (`aps`) must fit".to_owned()
        }
        StatusCode::NOT_FOUND if is_amp => "is there a workspace of this id in this region?".to_owned(),
        StatusCode::NOT_FOUND => "the path of `endpoint` may be wrong, or the backend does not take remote write".to_owned(),
        _ => return words,
    };
    format!("{words} ({hint})")
}
