//! Extensions: things with a lifecycle that others name in config.

use std::any::Any;
use std::sync::Arc;

use async_trait::async_trait;
use steadyline_config::Secret;
use thiserror::Error;

use crate::check::{CheckRow, IamStatement};
use crate::exporter::Payload;
use crate::leadership::Leadership;
use crate::storage::Storage;
use crate::{Host, StartError};

/// Something with a lifecycle; what it can do for others it says by the `as_` methods.
#[async_trait]
pub trait Extension: Any + Send + Sync {
    /// Starts it, before every receiver and exporter. An error stops the start of the whole process.
    async fn start(&self, _host: &Host) -> Result<(), StartError> {
        Ok(())
    }

    /// Stops it, after every receiver and exporter.
    async fn shutdown(&self) {}

    /// As an authenticator of outgoing requests.
    fn as_authenticator(self: Arc<Self>) -> Option<Arc<dyn Authenticator>> {
        None
    }

    /// As a doorkeeper of incoming requests.
    fn as_server_authenticator(self: Arc<Self>) -> Option<Arc<dyn ServerAuthenticator>> {
        None
    }

    /// As a place for state that outlives the process.
    fn as_storage(self: Arc<Self>) -> Option<Arc<dyn Storage>> {
        None
    }

    /// As a lease that decides which of several equal processes polls.
    fn as_leadership(self: Arc<Self>) -> Option<Arc<dyn Leadership>> {
        None
    }

    /// As an AWS service on this machine.
    fn as_aws_endpoint(self: Arc<Self>) -> Option<Arc<dyn AwsEndpoint>> {
        None
    }

    /// As one that can go on under another config.
    fn as_adaptable(&self) -> Option<&dyn Adaptable> {
        None
    }

    /// Asks what it depends on whether it would work. Online.
    async fn check(&self) -> Vec<CheckRow> {
        Vec::new()
    }

    /// The permissions it needs. Offline.
    fn permissions(&self) -> Vec<IamStatement> {
        Vec::new()
    }
}

/// An extension that a reload may leave in place under another config, with everything that refers to it.
pub trait Adaptable {
    /// Whether it can go on under the config of `next`, which has its id, was made and is not started.
    fn can_become(&self, next: &dyn Extension) -> bool;

    /// Goes on so from now on. Called when everything else of the reload has started, and after [`Adaptable::can_become`].
    fn become_as(&self, next: &dyn Extension);
}

/// Adds credentials to outgoing HTTP requests.
#[async_trait]
pub trait Authenticator: Send + Sync {
    /// Adds what the backend wants to see. Called for every attempt, over the final bytes.
    ///
    /// # Errors
    /// Credentials cannot be had; says which sources were tried.
    async fn authenticate(&self, head: &mut http::request::Parts, payload: &Payload) -> Result<(), AuthError>;

    /// Sees the answer: for clock skew, expired tokens.
    fn observe(&self, _head: &http::response::Parts) {}

    /// Whether requests to this URL can be authenticated, as far as config alone can tell. Offline.
    ///
    /// # Errors
    /// What is missing (a region that cannot be inferred, say).
    fn validate(&self, _url: &http::Uri) -> Result<(), String> {
        Ok(())
    }
}

/// Why a request could not be authenticated.
#[derive(Debug, Clone, Error)]
#[error("{message}")]
pub struct AuthError {
    /// For people: what was tried and why it failed.
    pub message: String,
    /// Whether trying again may help.
    pub retryable: bool,
}

/// Decides whether an incoming request may come in, by its head (HTTP headers, gRPC metadata).
#[async_trait]
pub trait ServerAuthenticator: Send + Sync {
    /// Looks at the head, before the body is read.
    ///
    /// # Errors
    /// The request may not come in.
    async fn admit(&self, head: &http::request::Parts) -> Result<(), Refusal>;
}

/// Why a request may not come in. Answered 401 or `UNAUTHENTICATED`.
#[derive(Debug, Clone, Error)]
#[error("{message}")]
pub struct Refusal {
    /// For the sender: what is missing or wrong, without a hint at what would be right.
    pub message: &'static str,
    /// The `WWW-Authenticate` header, if the scheme has one.
    pub challenge: Option<String>,
}

/// An AWS service on this machine, known once its extension has started.
#[async_trait]
pub trait AwsEndpoint: Send + Sync {
    /// Where it listens and how to speak to it.
    ///
    /// # Errors
    /// It is not running.
    async fn connection(&self) -> Result<AwsConnection, StartError>;
}

/// How to reach an AWS service that is not AWS.
#[derive(Debug, Clone)]
pub struct AwsConnection {
    /// Its URL.
    pub url: String,
    /// The region it claims to be.
    pub region: String,
    /// The access key id it takes.
    pub access_key_id: String,
    /// The secret access key it takes.
    pub secret_access_key: Secret,
}
