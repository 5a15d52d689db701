//! AWS plumbing shared by components: credentials, roles, endpoints, signing, error texts.
//!
//! | to | use |
//! |---|---|
//! | take keys, role, proxy from config | [`AccessConfig`], [`AssumeRole`], giving an [`AwsConfig`] |
//! | take a table's or a queue's place from config, with all of that | [`TableConfig`], [`QueueConfig`] |
//! | get an SDK config or credentials, shared and renewed | [`SharedConfig`] |
//! | speak to a service on this machine by the SDK | [`direct`] |
//! | sign any HTTP request | [`Signer`] |
//! | say how far off the clock is | [`Skew`] |
//! | know service and region of a host | [`endpoint`] |
//! | read a queue's URL | [`QueueUrl`] |
//! | tell failures apart | [`AwsFailure`], [`FailureKind`], [`classify`] |
//! | print the permissions that a config needs | [`iam`] |
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod access;
mod cache;
mod clock;
mod config;
mod credentials;
pub mod endpoint;
mod failure;
mod http_client;
pub mod iam;
mod queue;
mod shared;
mod signer;
mod table;

pub use access::{AccessConfig, AssumeRole};
pub use aws_credential_types::Credentials;
pub use clock::Skew;
pub use config::{AwsConfig, ConfigProblem};
pub use failure::{Answer, AwsFailure, FailureKind, ThrottleReason, classify};
pub use http_client::direct;
pub use queue::{QueueConfig, QueueUrl};
pub use shared::{Identity, SharedConfig, behavior_version};
pub use signer::{SignError, Signer};
pub use table::{TableConfig, TablePlace};
