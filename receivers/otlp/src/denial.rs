//! Why a request is not taken, and how either protocol says so. Codes and statuses as in the OTLP specification,
//! "Failures" of OTLP/gRPC and OTLP/HTTP: what may be tried again says when, everything else is final.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use steadyline_component::telemetry::DecodeError;
use steadyline_component::{Refusal, SendError, SettleError};
use steadyline_http::OpenError;
use steadyline_otlp::grpc::retry_details;
use steadyline_otlp::json::JsonError;
use tonic::{Code, Status};

/// A request that is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Denial {
    /// gRPC's code; also in the body of an HTTP answer.
    pub(crate) code: Code,
    /// HTTP's status.
    pub(crate) status: StatusCode,
    /// Under which word it is counted; `None` for what was taken and is counted where it failed.
    pub(crate) reason: Option<&'static str>,
    /// What is wrong, for the sender.
    pub(crate) message: String,
    /// When to try again; `None`: it would fail again.
    pub(crate) retry: Option<Duration>,
    /// The `WWW-Authenticate` header.
    pub(crate) challenge: Option<String>,
}

/// When a sender may try again who finds no room.
const SOON: Duration = Duration::from_secs(1);

impl Denial {
    fn new(code: Code, status: StatusCode, reason: &'static str, message: impl Into<String>) -> Denial {
        /// gRPC sends the words in a header, which must stay small whatever the sender put into them.
        const LONGEST: usize = 500;
        let mut message = message.into();
        message.truncate(message.floor_char_boundary(LONGEST));
        Denial { code, status, reason: Some(reason), message, retry: None, challenge: None }
    }

    fn try_again(reason: &'static str, message: impl Into<String>, retry: Option<Duration>) -> Denial {
        let denial = Denial::new(Code::Unavailable, StatusCode::SERVICE_UNAVAILABLE, reason, message);
        Denial { retry: Some(retry.unwrap_or(SOON)), ..denial }
    }

    /// The queues are full.
    pub(crate) fn queue_full() -> Denial {
        Denial::try_again("queue_full", "the queues of every exporter are full, try again", None)
    }

    /// The memory budget is spent.
    pub(crate) fn no_memory() -> Denial {
        Denial::try_again("memory", "the memory budget is spent, try again", None)
    }

    /// More bytes than the request may have, compressed or decompressed. The words are those of gRPC libraries,
    /// which exporters know.
    pub(crate) fn too_large(limit: usize, key: &str) -> Denial {
        let message = format!("the message is larger than max: {limit} bytes ({key})");
        Denial::new(Code::ResourceExhausted, StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
    }

    /// The bytes are not what they should be.
    pub(crate) fn malformed(message: impl Into<String>) -> Denial {
        Denial::new(Code::InvalidArgument, StatusCode::BAD_REQUEST, "malformed", message)
    }

    /// A compression or an encoding that is not known here.
    pub(crate) fn unsupported(message: impl Into<String>) -> Denial {
        Denial::new(Code::Unimplemented, StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported", message)
    }

    /// Nobody listens: no such path, or no pipeline of the signal.
    pub(crate) fn unwanted(message: impl Into<String>) -> Denial {
        Denial::new(Code::Unimplemented, StatusCode::NOT_FOUND, "unwanted", message)
    }

    /// Only POST exports.
    pub(crate) fn wrong_method() -> Denial {
        let message = "only POST exports telemetry";
        Denial::new(Code::Unimplemented, StatusCode::METHOD_NOT_ALLOWED, "malformed", message)
    }

    /// The body took too long.
    pub(crate) fn slow() -> Denial {
        let message = "the body took too long to arrive";
        Denial::new(Code::DeadlineExceeded, StatusCode::REQUEST_TIMEOUT, "slow", message)
    }

    /// The answer took too long; what was taken goes its way.
    pub(crate) fn late() -> Denial {
        Denial { reason: None, ..Denial::try_again("", "the pipelines took too long, try again", None) }
    }
}

impl From<Refusal> for Denial {
    fn from(refusal: Refusal) -> Self {
        let denial = Denial::new(Code::Unauthenticated, StatusCode::UNAUTHORIZED, "unauthenticated", refusal.message);
        Denial { challenge: refusal.challenge, ..denial }
    }
}

impl From<JsonError> for Denial {
    fn from(error: JsonError) -> Self {
        Denial::malformed(error.to_string())
    }
}

impl From<DecodeError> for Denial {
    fn from(error: DecodeError) -> Self {
        Denial::malformed(format!("the message is not OTLP: {error}"))
    }
}

impl From<SendError> for Denial {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Busy { retry_after } => Denial { retry: retry_after.or(Some(SOON)), ..Denial::queue_full() },
            // What follows was taken; what became of it is counted where it happened.
            SendError::ShuttingDown => {
                Denial { reason: None, ..Denial::try_again("", "shutting down, try again", None) }
            }
            SendError::NotSettled(SettleError::Retryable(words)) => {
                Denial { reason: None, ..Denial::try_again("", words, None) }
            }
            SendError::NotSettled(SettleError::Final(words)) => {
                let denial = Denial::new(Code::Internal, StatusCode::INTERNAL_SERVER_ERROR, "", words);
                Denial { reason: None, ..denial }
            }
        }
    }
}

impl Denial {
    /// A body that did not open; `key` names its limit in config.
    pub(crate) fn from_open(error: OpenError, key: &str) -> Denial {
        match error {
            OpenError::TooLarge { limit } => Denial::too_large(limit, key),
            OpenError::NoMemory => Denial::no_memory(),
            OpenError::Malformed(_) => Denial::malformed(error.to_string()),
        }
    }

    /// As a gRPC status; `RetryInfo` says when to try again.
    pub(crate) fn grpc(&self) -> Status {
        let details = match self.retry {
            Some(delay) => retry_details(self.code as i32, &self.message, delay),
            None => Vec::new(),
        };
        Status::with_details(self.code, self.message.clone(), Bytes::from(details))
    }

    /// `Retry-After`, in whole seconds.
    pub(crate) fn retry_after(&self) -> Option<u64> {
        self.retry.map(|delay| delay.as_secs_f64().ceil() as u64)
    }
}
