//! The `sigv4auth` extension: signs outgoing requests with AWS Signature Version 4, for Amazon Managed Prometheus, the OTLP
//! endpoints of CloudWatch and X-Ray, OpenSearch, and whatever else AWS takes over HTTP.
//!
//! ```yaml
//! extensions:
//!   sigv4auth/amp:
//!     region: us-east-1
//!     service: aps
//!     assume_role: {arn: "${env:AMP_WRITER_ROLE_ARN:-}", external_id: "${env:AMP_EXTERNAL_ID:-}"}
//! exporters:
//!   prometheusremotewrite/amp: {endpoint: "${env:AMP_ENDPOINT}", auth: {authenticator: sigv4auth/amp}}
//! ```
//!
//! - Credentials come from fixed keys, a profile, or the standard chain (environment, shared files, web identity, container,
//!   instance); with `assume_role` they are those of the role. They are looked up when the first request needs them, never
//!   when the config is checked, kept, and renewed ahead of their end. Without any, the error names every source that was
//!   tried, and the request is tried again later: nothing is dropped for want of credentials.
//! - Region and service are those of the host, where it is one of AWS. A host that does not say needs both keys, and that is an
//!   error when the config is checked; so is a host that says something else than the config.
//! - What is signed are the bytes on the wire, hashed once however often they are sent. When AWS refuses a signature for its
//!   time, the clock of AWS is used from then on; when it calls a token expired, new credentials are fetched.
//! - An empty `assume_role.arn` means no role, so that one config serves with a variable and without.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod authenticator;
mod config;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use aws_smithy_async::time::{SharedTimeSource, SystemTimeSource};
use steadyline_component::factory::Component;
use steadyline_component::{CreateContext, Extension, Factory, Spec, Stability};

pub use authenticator::SigV4Auth;
pub use config::{Config, ScopeConfig};

/// The factory of the `sigv4auth` extension.
pub const FACTORY: Factory = Factory::extension::<SigV4AuthFactory>();

/// Makes authenticators that sign.
#[derive(Debug)]
pub struct SigV4AuthFactory;

impl Component for SigV4AuthFactory {
    type Config = Config;
    type Made = Arc<dyn Extension>;

    const SPEC: Spec = Spec {
        name: "sigv4auth",
        aliases: &["sigv4_auth"],
        stability: Stability::Beta,
        signals: &[],
        summary: "Signs outgoing requests with AWS Signature Version 4.",
        unsupported: &[
            (
                "assume_role.web_identity_token_file",
                "set AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN in the environment; `assume_role` then goes on from there",
            ),
            ("role_arn", "write `assume_role: {arn: ...}`"),
            ("external_id", "write `assume_role: {external_id: ...}`"),
            ("access_key", "it is called `access_key_id` here"),
            ("secret_key", "it is called `secret_access_key` here"),
            ("service_name", "it is called `service` here"),
            ("use_fips_sts_endpoint", "it is called `use_fips` here"),
        ],
    };

    fn create(config: Config, context: &mut CreateContext<'_>) -> Option<Self::Made> {
        config::check(&config, context)?;
        Some(Arc::new(SigV4Auth::new(config, SharedTimeSource::new(SystemTimeSource::new()))))
    }
}
