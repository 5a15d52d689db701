//! What can go wrong before a backend has answered, and what can be wrong with a client's config.
//! Every error says what was tried, with whom, and what failed.

use std::error::Error;
use std::io;

use steadyline_component::{AuthError, CreateContext, Outcome};

/// A value of the config that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct ConfigProblem {
    /// The path below the component: `tls.key_file`.
    pub path: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl ConfigProblem {
    /// A problem with the value at `path`.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        ConfigProblem { path: path.into(), message: message.into() }
    }

    /// Reports problems to the context of a factory, each at its place.
    pub fn report(problems: Vec<ConfigProblem>, context: &mut CreateContext<'_>) {
        for problem in problems {
            context.error(&problem.path, problem.message);
        }
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TransportError {
    /// At what it failed.
    pub kind: TransportErrorKind,
    /// What was tried and what failed, for people.
    pub message: String,
}

/// At what a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransportErrorKind {
    /// The name of the host did not resolve.
    Dns,
    /// No connection: refused, unreachable, or the proxy would not.
    Connect,
    /// The TLS handshake, or the certificates it needs.
    Tls,
    /// Nothing came in time.
    Timeout,
    /// The connection ended before the answer did.
    Closed,
    /// What came was not HTTP.
    Protocol,
    /// The authenticator has no credentials now.
    Credentials,
    /// The authenticator cannot ever authenticate this request.
    CredentialsFinal,
}

impl TransportErrorKind {
    /// A short word for counters.
    pub fn reason(self) -> &'static str {
        match self {
            TransportErrorKind::Dns => "dns",
            TransportErrorKind::Connect => "connect",
            TransportErrorKind::Tls => "tls",
            TransportErrorKind::Timeout => "timeout",
            TransportErrorKind::Closed => "closed",
            TransportErrorKind::Protocol => "protocol",
            TransportErrorKind::Credentials | TransportErrorKind::CredentialsFinal => "credentials",
        }
    }

    /// Whether the same request may succeed later.
    pub fn is_retryable(self) -> bool {
        self != TransportErrorKind::CredentialsFinal
    }
}

impl TransportError {
    /// An error of a kind, in words.
    pub fn new(kind: TransportErrorKind, message: impl Into<String>) -> Self {
        TransportError { kind, message: message.into() }
    }

    /// The error inside an error of hyper or tonic: our own if it came from the connector, else by what it is.
    /// `peer` is whom it was about.
    pub fn from_chain(error: &(dyn Error + 'static), peer: &str) -> TransportError {
        if let Some(own) = find::<TransportError>(error) {
            return own.clone();
        }
        let words = chain_words(error);
        if let Some(hyper) = find::<hyper::Error>(error) {
            if hyper.is_timeout() {
                return TransportError::new(TransportErrorKind::Timeout, format!("no answer from `{peer}`: {words}"));
            }
            if hyper.is_parse() || hyper.is_parse_status() {
                let message = format!("what `{peer}` answered is not HTTP: {words}");
                return TransportError::new(TransportErrorKind::Protocol, message);
            }
        }
        TransportError::new(
            TransportErrorKind::Closed,
            format!("the connection to `{peer}` ended before the answer did: {words}"),
        )
    }
}

impl From<AuthError> for TransportError {
    fn from(error: AuthError) -> Self {
        let kind = match error.retryable {
            true => TransportErrorKind::Credentials,
            false => TransportErrorKind::CredentialsFinal,
        };
        TransportError::new(kind, error.message)
    }
}

impl From<TransportError> for Outcome {
    fn from(error: TransportError) -> Self {
        let (reason, message) = (error.kind.reason().to_string(), error.message);
        match error.kind.is_retryable() {
            true => Outcome::Retry { reason, message, after: None },
            false => Outcome::Reject { reason, message },
        }
    }
}

/// The first error of a type in a chain of sources, the error itself included.
pub fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        // An io::Error hides a custom error inside itself, and shows only that one's source.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

/// The texts of a chain, joined, without those that only repeat what is below them.
pub(crate) fn chain_words(error: &(dyn Error + 'static)) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        match words.last() {
            Some(last) if last.contains(&text) => {}
            _ => words.push(text),
        }
        next = error.source();
    }
    words.join(": ")
}
