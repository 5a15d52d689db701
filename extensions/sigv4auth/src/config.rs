//! What the extension can be told, by the Collector's keys and some of our own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steadyline_aws::{AssumeRole, AwsConfig};
use steadyline_component::CreateContext;
use steadyline_config::Secret;

/// Whose credentials requests are signed with, and for which service and region.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The region that requests are signed for. Empty: that of the host.
    pub region: String,
    /// The signing name of the service: `aps`, `monitoring`, `logs`, `xray`, `es`. Empty: that of the host.
    pub service: String,
    /// A role to assume, in this account or in another one. An empty `arn` means none.
    pub assume_role: AssumeRole,
    /// The profile of the shared AWS files to take credentials from. Empty: the standard chain.
    pub profile: String,
    /// A fixed access key id; only together with `secret_access_key`.
    pub access_key_id: String,
    /// The secret that belongs to `access_key_id`.
    pub secret_access_key: Secret,
    /// The session token of temporary keys.
    pub session_token: Secret,
    /// Whether STS is asked at its FIPS endpoint. Left out: as the environment or the profile says.
    pub use_fips: Option<bool>,
    /// Whether STS is asked at an endpoint that has IPv6 addresses too. Left out: as the environment or the profile says.
    pub use_dual_stack: Option<bool>,
    /// The URL of an HTTP proxy on the way to STS. Empty: as `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` say.
    pub proxy_url: String,
    /// A file with certificates (PEM) of authorities to trust besides those of the system, when STS is asked.
    pub ca_file: String,
}

impl Config {
    /// Reports what is wrong; `None` then.
    pub(crate) fn check(&self, context: &mut CreateContext<'_>) -> Option<()> {
        let problems = self.aws(&self.region).problems();
        problems.iter().for_each(|problem| context.error(problem.path, problem.message.clone()));
        let legal = self.service.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if !legal {
            let message = format!("`{}` is no signing name, expected one such as `aps`", self.service);
            context.error("service", message);
        }
        (problems.is_empty() && legal).then_some(())
    }

    /// How credentials are had, in a region.
    pub(crate) fn aws(&self, region: &str) -> AwsConfig {
        AwsConfig {
            region: region.to_owned(),
            profile: self.profile.clone(),
            access_key_id: self.access_key_id.clone(),
            secret_access_key: self.secret_access_key.clone(),
            session_token: self.session_token.clone(),
            assume_role: self.assume_role.clone(),
            endpoint: String::new(),
            use_fips: self.use_fips,
            use_dual_stack: self.use_dual_stack,
            proxy_url: self.proxy_url.clone(),
            ca_file: self.ca_file.clone(),
        }
    }
}
