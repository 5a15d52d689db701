//! The exporter's config: which queue, which events, and how points become one.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use steadyline_component::config::{Duration, Flat};
use steadyline_component::exporter::{DeliveryConfig, QueueConfig, RetryConfig};

/// Which queue, and all that is said about filling it.
pub type Settings = Flat<Config, steadyline_aws::QueueConfig>;

/// Makes events of points and sends them to an SQS queue, ten in a request.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
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
            events: Vec::new(),
            max_request_size: 262_144,
            message_attributes: BTreeMap::new(),
            timeout: Duration::from_secs(30),
            retry_on_failure: RetryConfig::default(),
            sending_queue: QueueConfig::default(),
        }
    }
}

impl Config {
    pub(crate) fn delivery(&self) -> DeliveryConfig {
        DeliveryConfig {
            timeout: self.timeout.get(),
            retry: self.retry_on_failure.clone(),
            queue: self.sending_queue.clone(),
        }
    }
}
