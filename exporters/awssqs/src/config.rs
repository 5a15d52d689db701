//! The exporter's config: which queue, which events, and how points become one.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use steadyline_aws::{AssumeRole, AwsConfig, QueueUrl};
use steadyline_component::config::{Duration, Secret};
use steadyline_component::exporter::{DeliveryConfig, QueueConfig, RetryConfig};

/// Makes events of points and sends them to an SQS queue, ten in a request.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The queue's URL: `https://sqs.us-east-1.amazonaws.com/123456789012/events`. One whose name ends with `.fifo` keeps the order of each group.
    pub queue_url: String,
    /// The region, such as `us-east-1`. Empty: from the queue's URL, the environment, the profile or the machine.
    pub region: String,
    /// The URL of SQS, for emulators and private endpoints. Empty: the region's own, or that of `queue_url` if it is none of AWS.
    pub endpoint: String,
    /// The events that are made. Points of metrics that no event names are counted and left out.
    pub events: Vec<EventConfig>,
    /// The most bytes of one request and of one message: 262144 is what every queue takes, 1048576 the most that SQS can be set to.
    #[schemars(range(min = 1024, max = 1_048_576))]
    pub max_request_size: usize,
    /// Message attributes of every message; at most seven.
    pub message_attributes: BTreeMap<String, String>,
    /// The bound of one attempt, with the entries of it that are tried again.
    pub timeout: Duration,
    /// How failed attempts are repeated. Entries that were taken are not sent again.
    pub retry_on_failure: RetryConfig,
    /// The queue in front of the exporter.
    pub sending_queue: QueueConfig,
    /// The profile of the shared AWS files to take credentials from. Empty: the standard chain.
    pub profile: String,
    /// A fixed access key id; only together with `secret_access_key`.
    pub access_key_id: String,
    /// The secret that belongs to `access_key_id`.
    pub secret_access_key: Secret,
    /// The session token of temporary keys.
    pub session_token: Secret,
    /// A role to assume for sending, in this account or in another one.
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

/// One kind of event: the points of a batch that share their attributes become one.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct EventConfig {
    /// The metrics of the event: a name for use in the template, and the metric's name.
    pub metrics: BTreeMap<String, String>,
    /// Names in the template that may be without a value; fields that are nothing but such a name are left out then. A group that lacks any other is
    /// incomplete: it is counted, not sent.
    pub optional: Vec<String>,
    /// The attributes of points and resources that tell groups apart. Empty: all of the points'.
    pub group_by: Vec<String>,
    /// The event, as JSON. A text that is nothing but `{name}` becomes the value of that metric or attribute, with its type; in other texts `{name}`
    /// is put in as text. `{time}` is the event's time (RFC 3339), `{time_ms}` the same in milliseconds, `{event_id}` an id that is the same however
    /// often the event is sent. `{{` is a brace.
    pub template: Value,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            queue_url: String::new(),
            region: String::new(),
            endpoint: String::new(),
            events: Vec::new(),
            max_request_size: 262_144,
            message_attributes: BTreeMap::new(),
            timeout: Duration::from_secs(30),
            retry_on_failure: RetryConfig::default(),
            sending_queue: QueueConfig::default(),
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
    /// How AWS is reached.
    pub fn aws(&self) -> AwsConfig {
        let url = QueueUrl::parse(&self.queue_url);
        let or = |given: &str, found: Option<&str>| {
            if given.is_empty() { found.unwrap_or_default().to_owned() } else { given.to_owned() }
        };
        AwsConfig {
            region: or(&self.region, url.as_ref().and_then(|url| url.region)),
            profile: self.profile.clone(),
            access_key_id: self.access_key_id.clone(),
            secret_access_key: self.secret_access_key.clone(),
            session_token: self.session_token.clone(),
            assume_role: self.assume_role.clone(),
            endpoint: or(&self.endpoint, url.as_ref().and_then(|url| url.endpoint)),
            use_fips: self.use_fips,
            use_dual_stack: self.use_dual_stack,
            proxy_url: self.proxy_url.clone(),
            ca_file: self.ca_file.clone(),
        }
    }

    /// Whether the queue keeps the order of groups.
    pub fn is_fifo(&self) -> bool {
        QueueUrl::parse(&self.queue_url).is_some_and(|url| url.name.ends_with(".fifo"))
    }

    pub(crate) fn delivery(&self) -> DeliveryConfig {
        DeliveryConfig {
            timeout: self.timeout.get(),
            retry: self.retry_on_failure.clone(),
            queue: self.sending_queue.clone(),
        }
    }
}
