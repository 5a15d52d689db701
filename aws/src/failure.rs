//! What went wrong with AWS, told apart: throttled is not refused, and a missing permission is not a bad key.
//! [`classify`] reads codes, statuses and words; [`AwsFailure::from_sdk`] does so for errors of the SDK.

mod classify;
mod sdk;

use std::time::Duration;

use steadyline_component::{CheckRow, Verdict};

pub use classify::{Answer, classify};
pub(crate) use sdk::chain;

/// A failed request to AWS, or a failed attempt to make one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct AwsFailure {
    /// What kind of failure it is.
    pub kind: FailureKind,
    /// For people: what was asked, and what AWS said.
    pub text: String,
    /// The id of the request, for AWS' support.
    pub request_id: Option<String>,
    /// When AWS wants to be asked again.
    pub retry_after: Option<Duration>,
}

/// The kinds of failure that call for different answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FailureKind {
    /// Slow down. The reasons say which limit of which table or index, if AWS told.
    Throttled {
        /// May be empty.
        reasons: Vec<ThrottleReason>,
    },
    /// The identity is known and may not do this.
    AccessDenied {
        /// The missing permission: `dynamodb:Scan`.
        action: Option<String>,
        /// What it was wanted on, as an ARN.
        resource: Option<String>,
    },
    /// The session is over; new credentials help.
    ExpiredToken,
    /// The key is unknown, or the signature does not fit the secret.
    BadCredentials,
    /// The clock of this machine is too far from that of AWS.
    ClockSkew,
    /// No such table, index, workspace or role.
    NotFound,
    /// The request went to, or was signed for, another region than it should have been.
    WrongRegion,
    /// No answer in time.
    Timeout,
    /// No connection: DNS, TCP, TLS or proxy.
    Connection,
    /// No credentials could be had; the text names what was tried.
    NoCredentials,
    /// AWS failed (5xx).
    Server,
    /// The answer could not be read: cut off, or not from AWS.
    Malformed,
    /// The request itself is wrong; the same request will be refused again.
    Rejected,
    /// The config of this process is wrong.
    Config,
}

/// Why a request was throttled.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ThrottleReason {
    /// Resource, operation and limit in one word: `TableReadProvisionedThroughputExceeded`.
    pub reason: String,
    /// The ARN of the table or index.
    pub resource: String,
}

impl AwsFailure {
    /// A failure of this kind.
    pub fn new(kind: FailureKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into(), request_id: None, retry_after: None }
    }

    /// Whether the same request may work later. What is wrong with permissions and requests stays wrong until
    /// somebody changes it. Failures to get credentials are worth another try whatever their kind.
    pub fn retryable(&self) -> bool {
        use FailureKind as K;
        match self.kind {
            K::Throttled { .. } | K::ExpiredToken | K::ClockSkew | K::Timeout | K::Connection => true,
            K::NoCredentials | K::Server | K::Malformed => true,
            K::AccessDenied { .. } | K::BadCredentials | K::NotFound => false,
            K::WrongRegion | K::Rejected | K::Config => false,
        }
    }

    /// One word for counters and logs.
    pub fn reason(&self) -> &'static str {
        use FailureKind as K;
        match self.kind {
            K::Throttled { .. } => "throttled",
            K::AccessDenied { .. } => "access_denied",
            K::ExpiredToken => "expired_token",
            K::BadCredentials => "bad_credentials",
            K::ClockSkew => "clock_skew",
            K::NotFound => "not_found",
            K::WrongRegion => "wrong_region",
            K::Timeout => "timeout",
            K::Connection => "connect",
            K::NoCredentials => "no_credentials",
            K::Server => "server_error",
            K::Malformed => "malformed_answer",
            K::Rejected => "rejected",
            K::Config => "config",
        }
    }

    /// What somebody can do about it; empty if waiting is all.
    pub fn advice(&self) -> String {
        use FailureKind as K;
        match &self.kind {
            K::AccessDenied { action: Some(action), resource: Some(resource) } => {
                format!("allow `{action}` on `{resource}` in the policy of this identity (see `iam-policy`)")
            }
            K::AccessDenied { action: Some(action), .. } => {
                format!("allow `{action}` in the policy of this identity (see `iam-policy`)")
            }
            K::AccessDenied { .. } => "check the policy of this identity (see `iam-policy`)".to_owned(),
            K::Throttled { reasons } => throttle_advice(reasons),
            K::BadCredentials => {
                "check access key, secret, service and region; was the key deleted or rotated?".to_owned()
            }
            K::ClockSkew => "set the clock of this machine (NTP)".to_owned(),
            K::NotFound => "check name, account and region".to_owned(),
            K::WrongRegion => {
                "check `region` against the endpoint, and whether it is enabled for the account".to_owned()
            }
            K::NoCredentials => {
                "give this process one of the sources named, or set keys, `profile` or `assume_role`".to_owned()
            }
            K::Connection => "check DNS, firewall, proxy (`proxy_url`) and private certificates (`ca_file`)".to_owned(),
            _ => String::new(),
        }
    }

    /// The failure as a row of what `check` prints.
    pub fn row(&self, what: impl Into<String>) -> CheckRow {
        CheckRow { what: what.into(), verdict: Verdict::Fail, detail: self.text.clone(), advice: self.advice() }
    }

    /// The same failure, with what was being done in front.
    #[must_use]
    pub fn during(mut self, what: &str) -> Self {
        self.text = format!("{what}: {}", self.text);
        self
    }
}

fn throttle_advice(reasons: &[ThrottleReason]) -> String {
    let has = |part: &str| reasons.iter().any(|r| r.reason.contains(part));
    if has("KeyRange") {
        "one partition is hot: spread its key; more segments do not help".to_owned()
    } else if has("Provisioned") || has("MaxOnDemand") {
        "raise the capacity of the table or index named, or poll it more slowly".to_owned()
    } else if has("AccountLimit") {
        "the account's own limit is reached: ask AWS to raise it".to_owned()
    } else {
        String::new()
    }
}
