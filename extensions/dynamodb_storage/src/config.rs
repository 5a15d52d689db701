//! What the extension can be told.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steadyline_aws::{AssumeRole, AwsConfig};
use steadyline_component::CreateContext;
use steadyline_config::{ComponentId, Diagnostic, Secret};

use crate::table::Endpoint;

/// The endpoint that stands for AWS itself.
const AWS: &str = "aws";

/// Which table keeps the state, and how it is reached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The table's name or ARN. Its partition key is the string `owner`, its sort key the binary `key`.
    pub table: String,
    /// Put before the name of every owner, so that several deployments share a table: `prod/`.
    pub prefix: String,
    /// Where the table is: `aws`, the region's own; a URL; or the id of an extension that is a DynamoDB.
    pub endpoint: String,
    /// The region, such as `us-east-1`. Empty: from the environment, the profile or the machine.
    pub region: String,
    /// The profile of the shared AWS files to take credentials from. Empty: the standard chain.
    pub profile: String,
    /// A fixed access key id; only together with `secret_access_key`.
    pub access_key_id: String,
    /// The secret that belongs to `access_key_id`.
    pub secret_access_key: Secret,
    /// The session token of temporary keys.
    pub session_token: Secret,
    /// A role to assume for the table, in this account or in another one.
    pub assume_role: AssumeRole,
    /// Whether to use the FIPS endpoint. Left out: as the environment or the profile says.
    pub use_fips: Option<bool>,
    /// Whether to use the endpoint that has IPv6 addresses too. Left out: as the environment or the profile says.
    pub use_dual_stack: Option<bool>,
    /// The URL of an HTTP proxy. Empty: as `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` say.
    pub proxy_url: String,
    /// A file with certificates (PEM) of authorities to trust besides those of the system.
    pub ca_file: String,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            table: String::new(),
            prefix: String::new(),
            endpoint: AWS.to_owned(),
            region: String::new(),
            profile: String::new(),
            access_key_id: String::new(),
            secret_access_key: Secret::default(),
            session_token: Secret::default(),
            assume_role: AssumeRole::default(),
            use_fips: None,
            use_dual_stack: None,
            proxy_url: String::new(),
            ca_file: String::new(),
        }
    }
}

impl Config {
    /// Reports what is wrong; `None` then. Otherwise where the table is.
    pub(crate) fn check(&self, context: &mut CreateContext<'_>) -> Option<Endpoint> {
        let mut sound = true;
        if self.table.is_empty() {
            context.error("table", "no table is named");
            sound = false;
        }
        if self.prefix.len() > 1000 {
            context.error("prefix", "a prefix of at most 1000 bytes is expected");
            sound = false;
        }
        self.endpoint(context).filter(|_| sound)
    }

    fn endpoint(&self, context: &mut CreateContext<'_>) -> Option<Endpoint> {
        if self.is_aws() || self.endpoint.contains("://") {
            let problems = self.aws().problems();
            problems.iter().for_each(|problem| context.error(problem.path, problem.message.clone()));
            return problems.is_empty().then_some(Endpoint::Aws);
        }
        match self.endpoint.parse::<ComponentId>() {
            Ok(id) => context.aws_endpoint("endpoint", &id).map(Endpoint::Extension),
            Err(_) => {
                let diagnostic = Diagnostic::error("invalid-value", format!("`{}` is no endpoint", self.endpoint));
                let expected = "`aws`, a URL such as `http://127.0.0.1:8000`, or the id of an extension";
                context.report("endpoint", diagnostic.with_expected(expected));
                None
            }
        }
    }

    /// Whether the table is in AWS itself.
    pub(crate) fn is_aws(&self) -> bool {
        self.endpoint == AWS
    }

    /// How AWS is reached, for `endpoint` `aws` or a URL.
    pub(crate) fn aws(&self) -> AwsConfig {
        AwsConfig {
            region: self.region.clone(),
            profile: self.profile.clone(),
            access_key_id: self.access_key_id.clone(),
            secret_access_key: self.secret_access_key.clone(),
            session_token: self.session_token.clone(),
            assume_role: self.assume_role.clone(),
            endpoint: if self.is_aws() { String::new() } else { self.endpoint.clone() },
            use_fips: self.use_fips,
            use_dual_stack: self.use_dual_stack,
            proxy_url: self.proxy_url.clone(),
            ca_file: self.ca_file.clone(),
        }
    }
}
