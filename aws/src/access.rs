//! The keys by which a component is told as whom, and which way, it reaches AWS: one struct, which the configs of all of
//! them take in by [`Flat`](steadyline_config::Flat).

use schemars::JsonSchema;
use serde::Deserialize;
use steadyline_config::{Duration, Secret};

use crate::config::AwsConfig;

/// As whom AWS is asked, and which way. Everything that is left out comes from the standard AWS chain: environment, shared
/// files, container and instance metadata.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AccessConfig {
    /// The profile of the shared AWS files to take credentials from. Empty: the standard chain.
    pub profile: String,
    /// A fixed access key id; only together with `secret_access_key`.
    pub access_key_id: String,
    /// The secret that belongs to `access_key_id`.
    pub secret_access_key: Secret,
    /// The session token of temporary keys.
    pub session_token: Secret,
    /// A role to assume with these credentials, in this account or in another one. An empty `arn` means none.
    pub assume_role: AssumeRole,
    /// Whether to use FIPS endpoints. Left out: as the environment or the profile says.
    pub use_fips: Option<bool>,
    /// Whether to use endpoints that have IPv6 addresses too. Left out: as the environment or the profile says.
    pub use_dual_stack: Option<bool>,
    /// The URL of a proxy, `http://` or `socks5://`, with `user:password@` if it asks. Empty: as `HTTPS_PROXY`, `HTTP_PROXY`,
    /// `ALL_PROXY` and `NO_PROXY` say. Never used for loopback and for the metadata services of containers and instances.
    pub proxy_url: Secret,
    /// A file with certificates (PEM) of authorities to trust besides those of the system. Empty: the file that
    /// `AWS_CA_BUNDLE` names, if it is set.
    pub ca_file: String,
}

/// A struct around keys describes itself as they do. (What the derive makes of a struct with a comment is a reference, of which
/// no keys can be taken.)
macro_rules! described_as {
    ($outer:ty, $inner:ty) => {
        impl schemars::JsonSchema for $outer {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                <$inner>::schema_name()
            }

            fn schema_id() -> std::borrow::Cow<'static, str> {
                <$inner>::schema_id()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                <$inner>::json_schema(generator)
            }
        }
    };
}
pub(crate) use described_as;

/// A role to assume. An empty `arn` means none, so that an unset variable can switch it off.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AssumeRole {
    /// The role's ARN: `arn:aws:iam::123456789012:role/amp-writer`. Empty: no role is assumed.
    pub arn: String,
    /// The external id that the role's trust policy asks for.
    pub external_id: String,
    /// The name of the session, as CloudTrail shows it.
    pub session_name: String,
    /// The region whose STS is asked. Empty: the component's own region.
    pub sts_region: String,
    /// The URL of STS, for private endpoints. Empty: the region's own.
    pub sts_endpoint: String,
    /// How long a session lasts: 15m to 12h, at most what the role allows; at most 1h if the role is assumed with the
    /// credentials of another role.
    pub duration: Duration,
}

impl Default for AssumeRole {
    fn default() -> Self {
        Self {
            arn: String::new(),
            external_id: String::new(),
            session_name: "steadyline".to_owned(),
            sts_region: String::new(),
            sts_endpoint: String::new(),
            duration: Duration::from_secs(3600),
        }
    }
}

impl AccessConfig {
    /// With a region (empty: from the environment, the profile or the machine) and the URL of a service (empty: the
    /// region's own).
    pub fn at(&self, region: &str, endpoint: &str) -> AwsConfig {
        AwsConfig { region: region.to_owned(), endpoint: endpoint.to_owned(), access: self.clone() }
    }
}
