//! Headers that config names, and headers that backends answer with.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, response};
use steadyline_config::Secret;

use crate::error::ConfigProblem;

/// Headers from config, their values marked as not to be shown.
///
/// # Errors
/// Every name or value that HTTP does not allow, at `headers.<name>`.
pub fn from_config(headers: &BTreeMap<String, Secret>) -> Result<HeaderMap, Vec<ConfigProblem>> {
    let mut map = HeaderMap::with_capacity(headers.len());
    let mut problems = Vec::new();
    for (name, value) in headers {
        let path = || steadyline_config::path_join("headers", name);
        let Ok(header) = HeaderName::try_from(name.as_str()) else {
            problems.push(ConfigProblem::new(path(), format!("`{name}` is not a name that a header can have")));
            continue;
        };
        let Ok(mut value) = HeaderValue::from_str(value.expose()) else {
            let message = format!("the value of `{name}` holds characters that a header cannot (line ends, controls)");
            problems.push(ConfigProblem::new(path(), message));
            continue;
        };
        value.set_sensitive(true);
        if map.insert(header, value).is_some() {
            problems.push(ConfigProblem::new(path(), format!("the header `{name}` is given twice; case is ignored")));
        }
    }
    if problems.is_empty() { Ok(map) } else { Err(problems) }
}

/// How long a backend asks to be left alone: `Retry-After` in seconds or as a date, which is compared with
/// `now_unix_nanos`. `None` if there is no such header or it does not read; a date that has passed is zero.
/// RFC 9110, section 10.2.3.
pub fn retry_after(headers: &HeaderMap, now_unix_nanos: u64) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(date.saturating_sub(Duration::from_nanos(now_unix_nanos)))
}

/// Whether an answer refuses the credentials: 401 or 403, or gRPC's unauthenticated (16) or permission_denied (7).
pub fn is_refusal(head: &response::Parts) -> bool {
    let grpc = head.headers.get("grpc-status").map(HeaderValue::as_bytes);
    matches!(head.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) || matches!(grpc, Some(b"16" | b"7"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_reads_seconds_and_dates_by_the_given_clock() {
        let now = 784_111_777 * 1_000_000_000;
        for (text, expected) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Sun, 06 Nov 1994 08:49:00 GMT", Some(0)),
            ("-1", None),
            ("soon", None),
            ("1.5", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_str(text).unwrap());
            assert_eq!(retry_after(&headers, now), expected.map(Duration::from_secs), "{text}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }

    #[test]
    fn impossible_headers_are_named_and_values_stay_hidden() {
        let headers = BTreeMap::from([
            ("good".to_string(), Secret::new("a b")),
            ("bad name".to_string(), Secret::new("x")),
            ("line".to_string(), Secret::new("top\nsecret")),
        ]);
        let problems = from_config(&headers).unwrap_err();
        assert_eq!(problems.iter().map(|p| p.path.as_str()).collect::<Vec<_>>(), ["headers.bad name", "headers.line"]);
        assert!(!format!("{problems:?}").contains("top"));
    }
}
