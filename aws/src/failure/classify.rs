//! From error codes, HTTP statuses and the words of AWS to a kind of failure.

use super::{FailureKind, ThrottleReason};

/// What is known of an answer that is an error.
#[derive(Debug, Clone, Copy, Default)]
pub struct Answer<'a> {
    /// The error code, without a namespace: `ThrottlingException`.
    pub code: Option<&'a str>,
    /// The HTTP status.
    pub status: Option<u16>,
    /// What AWS said.
    pub message: &'a str,
    /// The body as it came, for details that stand nowhere else.
    pub body: &'a [u8],
}

/// The kind of an error answer. The code decides; without one the words do, then the status.
pub fn classify(answer: Answer<'_>) -> FailureKind {
    let by_code = answer.code.and_then(|code| of_code(code, answer));
    by_code.or_else(|| of_words(answer.message)).unwrap_or_else(|| of_status(answer))
}

fn of_code(code: &str, answer: Answer<'_>) -> Option<FailureKind> {
    Some(match code {
        "AccessDenied" | "AccessDeniedException" | "UnauthorizedOperation" | "NotAuthorized" => {
            access_denied(answer.message)
        }
        "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" => FailureKind::ExpiredToken,
        "RequestTimeTooSkewed" | "RequestExpired" | "RequestInTheFuture" => FailureKind::ClockSkew,
        "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidAccessKeyId"
        | "AuthFailure"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "IncompleteSignature"
        | "IncompleteSignatureException"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException" => of_words(answer.message).unwrap_or(FailureKind::BadCredentials),
        "ResourceNotFoundException"
        | "TableNotFoundException"
        | "IndexNotFoundException"
        | "NoSuchEntity"
        | "QueueDoesNotExist"
        | "AWS.SimpleQueueService.NonExistentQueue" => FailureKind::NotFound,
        "RegionDisabledException" | "AuthorizationHeaderMalformed" | "PermanentRedirect" => FailureKind::WrongRegion,
        "RequestTimeout" | "RequestTimeoutException" => FailureKind::Timeout,
        "InternalServerError"
        | "InternalFailure"
        | "InternalError"
        | "ServiceUnavailable"
        | "ServiceUnavailableException" => FailureKind::Server,
        code if is_throttling(code) => throttled(answer.body),
        _ => return None,
    })
}

fn is_throttling(code: &str) -> bool {
    code.contains("Throttl")
        || code.contains("TooManyRequests")
        || matches!(
            code,
            "ProvisionedThroughputExceededException"
                | "RequestLimitExceeded"
                | "LimitExceededException"
                | "BandwidthLimitExceeded"
                | "SlowDown"
                | "PriorRequestNotComplete"
        )
}

fn of_words(message: &str) -> Option<FailureKind> {
    let has = |words: &str| message.contains(words);
    if has("not authorized to perform") {
        return Some(access_denied(message));
    }
    if has("Signature expired") || has("Signature not yet current") {
        return Some(FailureKind::ClockSkew);
    }
    if has("scoped to a valid region") || has("scoped to correct region") {
        return Some(FailureKind::WrongRegion);
    }
    if has("token included in the request is expired") || has("security token has expired") {
        return Some(FailureKind::ExpiredToken);
    }
    if has("token included in the request is invalid") || has("signature we calculated does not match") {
        return Some(FailureKind::BadCredentials);
    }
    None
}

fn of_status(answer: Answer<'_>) -> FailureKind {
    match answer.status {
        Some(404) => FailureKind::NotFound,
        Some(408) => FailureKind::Timeout,
        Some(429) => throttled(answer.body),
        Some(401) => FailureKind::BadCredentials,
        Some(403) => FailureKind::AccessDenied { action: None, resource: None },
        Some(500..) => FailureKind::Server,
        Some(400..500) => FailureKind::Rejected,
        _ => FailureKind::Malformed,
    }
}

/// `User: ... is not authorized to perform: dynamodb:Scan on resource: arn:... because ...`
fn access_denied(message: &str) -> FailureKind {
    let word_after = |marker: &str| {
        let word = message.split_once(marker)?.1.split_whitespace().next()?;
        let word = word.trim_matches(|c: char| !c.is_ascii_alphanumeric() && c != '*');
        (!word.is_empty()).then(|| word.to_owned())
    };
    FailureKind::AccessDenied {
        action: word_after("not authorized to perform:"),
        resource: word_after("on resource:").filter(|resource| resource.starts_with("arn:")),
    }
}

/// DynamoDB names the limits that were hit in the body: `{"ThrottlingReasons": [{"reason": ..., "resource": ...}]}`.
fn throttled(body: &[u8]) -> FailureKind {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let listed = ["ThrottlingReasons", "throttlingReasons"].iter().find_map(|key| body.get(key)?.as_array());
    let reasons = listed.into_iter().flatten().filter_map(|entry| {
        let text = |key: &str| entry.get(key)?.as_str().map(str::to_owned);
        Some(ThrottleReason { reason: text("reason")?, resource: text("resource").unwrap_or_default() })
    });
    FailureKind::Throttled { reasons: reasons.collect() }
}

#[cfg(test)]
mod tests {
    use super::super::AwsFailure;
    use super::*;

    fn kind(code: &str, status: u16, message: &str) -> &'static str {
        let code = (!code.is_empty()).then_some(code);
        let kind = classify(Answer { code, status: Some(status), message, body: b"" });
        AwsFailure::new(kind, "").reason()
    }

    #[test]
    fn codes_words_and_statuses_in_this_order() {
        let cases = [
            ("ThrottlingException", 400, "Rate exceeded", "throttled"),
            ("ProvisionedThroughputExceededException", 400, "", "throttled"),
            ("RequestLimitExceeded", 400, "", "throttled"),
            ("AccessDeniedException", 400, "", "access_denied"),
            ("ExpiredTokenException", 400, "The security token included in the request is expired", "expired_token"),
            (
                "UnrecognizedClientException",
                400,
                "The security token included in the request is invalid.",
                "bad_credentials",
            ),
            ("InvalidSignatureException", 403, "Signature expired: 2026... - 5 min.", "clock_skew"),
            ("InvalidSignatureException", 403, "The request signature we calculated does not match", "bad_credentials"),
            ("InvalidSignatureException", 403, "Credential should be scoped to a valid region.", "wrong_region"),
            ("ResourceNotFoundException", 400, "Requested resource not found", "not_found"),
            ("QueueDoesNotExist", 400, "The specified queue does not exist.", "not_found"),
            ("ValidationException", 400, "ConsistentRead cannot be true for a GSI", "rejected"),
            ("InternalServerError", 500, "", "server_error"),
            ("", 403, "The security token included in the request is expired", "expired_token"),
            ("", 403, "Missing Authentication Token", "access_denied"),
            ("", 404, "", "not_found"),
            ("", 429, "Rate exceeded", "throttled"),
            ("", 503, "", "server_error"),
            ("", 200, "", "malformed_answer"),
            ("SomethingNew", 502, "", "server_error"),
        ];
        for (code, status, message, expected) in cases {
            assert_eq!(kind(code, status, message), expected, "{code} {status} {message}");
        }
    }

    #[test]
    fn a_denial_names_the_missing_action_and_the_resource() {
        let message = "User: arn:aws:sts::1:assumed-role/poller/x is not authorized to perform: dynamodb:Scan on \
                       resource: arn:aws:dynamodb:us-east-1:1:table/onboarding/index/gsi1 because no identity-based policy allows it";
        let failure = AwsFailure::new(classify(Answer { message, status: Some(400), ..Answer::default() }), message);
        assert_eq!(
            failure.kind,
            FailureKind::AccessDenied {
                action: Some("dynamodb:Scan".into()),
                resource: Some("arn:aws:dynamodb:us-east-1:1:table/onboarding/index/gsi1".into())
            }
        );
        assert!(failure.advice().contains("allow `dynamodb:Scan` on `arn:aws:dynamodb"));
        assert!(!failure.retryable());
    }

    #[test]
    fn throttling_names_its_limits() {
        let body = br#"{"__type":"x#ThrottlingException","ThrottlingReasons":[{"reason":"IndexReadKeyRangeThroughputExceeded","resource":"arn:aws:dynamodb:us-east-1:1:table/t/index/i"}]}"#;
        let kind = classify(Answer { code: Some("ThrottlingException"), status: Some(400), message: "", body });
        let FailureKind::Throttled { reasons } = &kind else { panic!("{kind:?}") };
        assert_eq!(reasons[0].reason, "IndexReadKeyRangeThroughputExceeded");
        assert!(AwsFailure::new(kind, "").advice().contains("hot"));
    }
}
