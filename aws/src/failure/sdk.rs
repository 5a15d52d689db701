//! From the SDK's errors to ours: which part of the exchange failed, and what the service said.

use std::error::Error;
use std::time::Duration;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::{ConnectorError, SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::{Answer, AwsFailure, FailureKind, classify};

impl AwsFailure {
    /// What an error of an SDK client means; `operation` is what was asked, as IAM spells it: `dynamodb:Scan`.
    pub fn from_sdk<E>(operation: &str, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        if let Some(inner) = find::<AwsFailure>(error) {
            // Our own credentials provider failed inside the SDK.
            return inner.clone().during(operation);
        }
        let failure = match error {
            SdkError::TimeoutError(_) => AwsFailure::new(FailureKind::Timeout, chain(error)),
            SdkError::DispatchFailure(failure) => match failure.as_connector_error() {
                Some(connector) => of_connector(connector),
                None => AwsFailure::new(FailureKind::Connection, chain(error)),
            },
            SdkError::ServiceError(context) => of_service(context.err(), context.raw()),
            SdkError::ResponseError(context) => of_unreadable(error, context.raw()),
            _ => AwsFailure::new(FailureKind::Config, chain(error)),
        };
        failure.during(operation)
    }
}

fn of_connector(error: &ConnectorError) -> AwsFailure {
    let kind = match error {
        error if error.is_timeout() => FailureKind::Timeout,
        error if error.is_user() => FailureKind::Config,
        _ => FailureKind::Connection,
    };
    AwsFailure::new(kind, chain(error))
}

fn of_service<E: ProvideErrorMetadata + Error + 'static>(error: &E, raw: &HttpResponse) -> AwsFailure {
    let metadata = error.meta();
    let message = metadata.message().unwrap_or_default();
    let kind = classify(Answer {
        code: metadata.code(),
        status: Some(raw.status().as_u16()),
        message,
        body: raw.body().bytes().unwrap_or_default(),
    });
    let text = match (metadata.code(), message) {
        (Some(code), "") => code.to_owned(),
        (Some(code), message) => format!("{message} ({code})"),
        (None, "") => format!("HTTP {}: {}", raw.status().as_u16(), chain(error)),
        (None, message) => message.to_owned(),
    };
    with_headers(AwsFailure::new(kind, text), raw)
}

fn of_unreadable(error: &(dyn Error + 'static), raw: &HttpResponse) -> AwsFailure {
    let status = raw.status().as_u16();
    let kind = if status >= 500 { FailureKind::Server } else { FailureKind::Malformed };
    with_headers(AwsFailure::new(kind, format!("HTTP {status}: {}", chain(error))), raw)
}

fn with_headers(mut failure: AwsFailure, raw: &HttpResponse) -> AwsFailure {
    let header = |names: &[&'static str]| names.iter().find_map(|name| raw.headers().get(*name));
    failure.request_id = header(&["x-amzn-requestid", "x-amz-request-id"]).map(str::to_owned);
    let millis = header(&["x-amz-retry-after"]).and_then(|text| text.parse().ok()).map(Duration::from_millis);
    let seconds = header(&["retry-after"]).and_then(|text| text.parse().ok()).map(Duration::from_secs);
    failure.retry_after = millis.or(seconds);
    failure
}

/// The first error of a type among an error and its sources.
fn find<'e, T: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e T> {
    sources(error).find_map(|source| source.downcast_ref())
}

/// An error and its sources in one line, without the wrappers that only repeat what stands inside.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut texts: Vec<String> = Vec::new();
    for source in sources(error) {
        let text = source.to_string();
        if !text.is_empty() && !texts.iter().any(|known| known.contains(&text)) {
            texts.push(text);
        }
    }
    texts.join(": ")
}

fn sources<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}

#[cfg(test)]
mod tests {
    use aws_smithy_types::body::SdkBody;
    use aws_smithy_types::error::ErrorMetadata;

    use super::*;

    type Failed = SdkError<ErrorMetadata, HttpResponse>;

    fn answer(status: u16, headers: &[(&'static str, &'static str)], body: &'static str) -> HttpResponse {
        let mut answer = HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body));
        for (name, value) in headers {
            answer.headers_mut().insert(*name, *value);
        }
        answer
    }

    fn failure(error: &Failed) -> AwsFailure {
        AwsFailure::from_sdk("dynamodb:Scan", error)
    }

    #[test]
    fn each_part_of_the_exchange_fails_in_its_own_way() {
        let reset = || Box::new(std::io::Error::other("connection reset"));
        let cases: [(Failed, &str, &str); 6] = [
            (SdkError::timeout_error("no answer within 5 s"), "timeout", "no answer within 5 s"),
            (SdkError::dispatch_failure(ConnectorError::io(reset())), "connect", "connection reset"),
            (SdkError::dispatch_failure(ConnectorError::timeout("3 s".into())), "timeout", "3 s"),
            (SdkError::construction_failure("no such header"), "config", "no such header"),
            (SdkError::response_error("expected `}`", answer(200, &[], "{")), "malformed_answer", "HTTP 200"),
            (SdkError::response_error("not JSON", answer(502, &[], "<html>")), "server_error", "HTTP 502"),
        ];
        for (error, reason, words) in cases {
            let failure = failure(&error);
            assert_eq!(failure.reason(), reason, "{failure}");
            assert!(failure.text.starts_with("dynamodb:Scan: ") && failure.text.contains(words), "{failure}");
        }
    }

    #[test]
    fn an_error_of_the_service_keeps_its_words_request_and_pause() {
        let body = r#"{"ThrottlingReasons":[{"reason":"TableReadMaxOnDemandThroughputExceeded","resource":"arn:t"}]}"#;
        let metadata = ErrorMetadata::builder().code("ThrottlingException").message("Rate exceeded").build();
        let headers = [("x-amzn-requestid", "R1"), ("x-amz-retry-after", "250")];
        let failure = failure(&SdkError::service_error(metadata, answer(400, &headers, body)));
        assert_eq!(failure.text, "dynamodb:Scan: Rate exceeded (ThrottlingException)");
        assert_eq!(failure.request_id.as_deref(), Some("R1"));
        assert_eq!(failure.retry_after, Some(Duration::from_millis(250)));
        let FailureKind::Throttled { reasons } = failure.kind else { panic!("{failure:?}") };
        assert_eq!(reasons[0].reason, "TableReadMaxOnDemandThroughputExceeded");
    }

    #[test]
    fn an_error_without_code_and_words_tells_its_status() {
        let failure = failure(&SdkError::service_error(ErrorMetadata::builder().build(), answer(503, &[], "")));
        assert_eq!(failure.reason(), "server_error");
        assert!(failure.text.contains("HTTP 503"), "{failure}");
    }

    #[test]
    fn our_own_failure_inside_the_sdk_comes_out_as_it_was() {
        let inner = AwsFailure::new(FailureKind::NoCredentials, "no AWS credentials; tried environment: nothing set");
        let wrapped = aws_credential_types::provider::error::CredentialsError::provider_error(inner);
        let connector = ConnectorError::other(Box::new(wrapped), None);
        let failure = failure(&SdkError::dispatch_failure(connector));
        assert_eq!(failure.kind, FailureKind::NoCredentials);
        assert_eq!(failure.text, "dynamodb:Scan: no AWS credentials; tried environment: nothing set");
    }
}
