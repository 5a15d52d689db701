//! What the extension can be told.

use std::time::Duration as Span;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steadyline_aws::{AssumeRole, AwsConfig};
use steadyline_component::CreateContext;
use steadyline_component::config::{ComponentId, Diagnostic};
use steadyline_config::{Duration, Secret};

use crate::dynamodb::Endpoint;

/// Where the lease is kept that decides which of several equal processes polls.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// In a DynamoDB table whose key is the string `lease`, alone.
    pub dynamodb: Option<LeaseConfig>,
}

/// A lease in a DynamoDB table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LeaseConfig {
    /// The table's name or ARN. One table serves any number of leases.
    pub table: String,
    /// The lease's name: the same in every process that competes for it, and in no other.
    pub lease: String,
    /// What to call this process in the table and in logs, such as its host's name. An id that is random per start is
    /// added to it.
    pub instance: String,
    /// How long a leader that is not heard of keeps its place: 1s to 2m. Another one takes over at most this and a
    /// `renew_interval` after its last sign of life.
    pub lease_duration: Duration,
    /// How often a leader writes and the others read: at least 50ms, at most a third of `lease_duration`.
    pub renew_interval: Duration,
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
    /// A role to assume for the lease's table, in this account or in another one.
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

impl Default for LeaseConfig {
    fn default() -> Self {
        Self {
            table: String::new(),
            lease: String::new(),
            instance: String::new(),
            lease_duration: Duration::from_secs(20),
            renew_interval: Duration::from_secs(5),
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

/// The endpoint that stands for AWS itself.
const AWS: &str = "aws";

/// The bounds of `lease_duration`: a shorter one is lost to a slow answer, a longer one leaves lines blank.
const SHORTEST: Span = Span::from_secs(1);
const LONGEST: Span = Span::from_secs(120);
/// The shortest `renew_interval`.
const BUSIEST: Span = Span::from_millis(50);

/// The times of the protocol.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    /// After how long without a sign of life others take over.
    pub(crate) lease: Span,
    /// For how long a leader leads after a renewal: well before others may take over.
    pub(crate) hold: Span,
    /// From renewal to renewal, and from look to look.
    pub(crate) renew: Span,
    /// How long one question to the table may take.
    pub(crate) attempt: Span,
}

impl LeaseConfig {
    /// Reports what is wrong; `None` then. Otherwise where the table is.
    pub(crate) fn check(&self, context: &mut CreateContext<'_>) -> Option<Endpoint> {
        let mut problems: Vec<(String, String)> = self.times();
        for (key, value, what) in [("table", &self.table, "table"), ("lease", &self.lease, "lease")] {
            if value.is_empty() {
                problems.push((key.into(), format!("no {what} is named")));
            }
        }
        if self.lease.len() > 2048 {
            problems.push(("lease".into(), "a key of DynamoDB has at most 2048 bytes".into()));
        }
        if self.instance.len() > 200 {
            problems.push(("instance".into(), "a name of at most 200 bytes is expected".into()));
        }
        let is_valid = problems.is_empty();
        problems.iter().for_each(|(key, text)| context.error(&format!("dynamodb.{key}"), text.clone()));
        self.endpoint(context).filter(|_| is_valid)
    }

    fn times(&self) -> Vec<(String, String)> {
        let (lease, renew) = (self.lease_duration.get(), self.renew_interval.get());
        let mut problems = Vec::new();
        if !(SHORTEST..=LONGEST).contains(&lease) {
            problems.push(("lease_duration".into(), format!("{lease:?}, expected {SHORTEST:?} to {LONGEST:?}")));
        }
        if renew < BUSIEST || renew > lease / 3 {
            let text = format!(
                "{renew:?}, expected {BUSIEST:?} to a third of `lease_duration` ({:?}), so that two renewals in a row may fail",
                lease / 3
            );
            problems.push(("renew_interval".into(), text));
        }
        problems
    }

    fn endpoint(&self, context: &mut CreateContext<'_>) -> Option<Endpoint> {
        if self.endpoint == AWS || self.endpoint.contains("://") {
            let problems = self.aws().problems();
            problems.iter().for_each(|p| context.error(&format!("dynamodb.{}", p.path), p.message.clone()));
            return problems.is_empty().then_some(Endpoint::Aws);
        }
        match self.endpoint.parse::<ComponentId>() {
            Ok(id) => context.aws_endpoint("dynamodb.endpoint", &id).map(Endpoint::Extension),
            Err(_) => {
                let diagnostic = Diagnostic::error("invalid-value", format!("`{}` is no endpoint", self.endpoint));
                let expected = "`aws`, a URL such as `http://127.0.0.1:8000`, or the id of an extension";
                context.report("dynamodb.endpoint", diagnostic.with_expected(expected));
                None
            }
        }
    }

    /// Whether it is AWS itself that is asked.
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

    /// The times of the protocol.
    pub(crate) fn timing(&self) -> Timing {
        let (lease, renew) = (self.lease_duration.get(), self.renew_interval.get());
        Timing { lease, hold: lease * 4 / 5, renew, attempt: renew.clamp(Span::from_millis(500), Span::from_secs(3)) }
    }
}
