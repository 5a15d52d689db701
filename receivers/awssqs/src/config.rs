//! The receiver's config: which queue, how it is read, what becomes of messages.

mod types;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use steadyline_aws::QueueConfig;
use steadyline_component::config::{ComponentId, Duration, Flat};
use steadyline_mapping::config::DEFAULT_MAX_LABEL_BYTES;

pub use types::{EventLog, EventMetric, EventMetricType, EventType, FieldType};

/// Which queue, and all that is said about reading it.
pub type Settings = Flat<Config, QueueConfig>;

/// Receives events from an SQS queue and turns them into metrics and log records. A message is deleted after, and only after, what was made of it is
/// delivered or in a durable queue.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How many messages one request brings at most.
    #[schemars(range(min = 1, max = 10))]
    pub max_number_of_messages: u32,
    /// How long a request waits for messages, in seconds. 0 asks over and over again, and costs accordingly.
    #[schemars(range(min = 0, max = 20))]
    pub wait_time_seconds: u32,
    /// Whether messages that are done with are deleted. `false` is for looking at a queue: every message comes again.
    pub delete_messages: bool,
    /// How many requests for messages are under way at once.
    #[schemars(range(min = 1, max = 64))]
    pub pollers: u32,
    /// How many messages go through the pipelines as one batch at most, and wait for delivery together.
    #[schemars(range(min = 1, max = 10000))]
    pub max_batch_messages: usize,
    /// How long a received message is hidden from other consumers; extended at half of its time while work is in flight. 0: what the queue says.
    pub visibility_timeout: Duration,
    /// When a message that failed may come again.
    pub retry: Retry,
    /// The attribute that says of which type an event is: a path or a CEL expression. Empty: all are of the one type under `types`.
    pub discriminator: String,
    /// What wraps the events.
    pub envelope: Envelope,
    /// What is made of the events, by their type.
    pub types: BTreeMap<String, EventType>,
    /// What becomes of messages of other types. Either way they are counted.
    pub unknown_type: UnknownType,
    /// When an event happened: a path or a CEL expression that gives a date in a string, or a number of `event_time_unit`. Empty: when the message was
    /// sent to the queue. It decides which of two values is the last.
    pub event_time: String,
    /// The unit of an `event_time` that is a number.
    pub event_time_unit: TimeUnit,
    /// What tells an event from others, however often it comes: a path or a CEL expression. Empty: the message's id.
    pub idempotency_key: String,
    /// How events that come again are recognised.
    pub idempotency: Idempotency,
    /// A storage extension that keeps, in one transaction before messages are deleted, which events were counted and what sums and histograms came to.
    /// Without it a restart forgets both: cumulative sums begin anew, and events are counted at least once.
    pub storage: Option<ComponentId>,
    /// What sums and histograms count from.
    pub temporality: EventTemporality,
    /// The name of this process among several that consume one queue: the label `instance_label` of every sum and histogram.
    pub instance: String,
    /// The label that `instance` goes into.
    pub instance_label: String,
    /// A leadership extension: the queue is read only while this process leads.
    pub leader: Option<ComponentId>,
    /// Says that no other process consumes the queue, so that sums need neither `instance` nor `leader`.
    pub single_consumer: bool,
    /// How many cumulative series there may be; points of further ones are counted as skipped.
    #[schemars(range(min = 1))]
    pub max_series: usize,
    /// Cumulative series without an event for so long are forgotten; 0: never.
    pub series_expiration: Duration,
    /// Constant resource attributes, such as the environment.
    pub resource: BTreeMap<String, String>,
    /// Named lists, for `count_of` and, as `lists.<name>`, in expressions.
    pub lists: BTreeMap<String, Vec<String>>,
    /// The longest value of a label, in bytes; longer ones are cut and counted.
    #[schemars(range(min = 1))]
    pub max_label_bytes: usize,
    /// Message attributes to ask for besides `traceparent`, `tracestate` and `baggage`; expressions see them as `_sqs.attributes.<name>`.
    pub message_attributes: Vec<String>,
    /// The spans that say that messages were processed. They go to the traces pipelines that list the receiver.
    pub spans: Spans,
    /// How spans stand to the producer's: the conventions for messaging want links.
    pub span_relation: SpanRelation,
}

/// When a message that failed may come again: twice as long after every time that it was received.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Retry {
    /// After the first time.
    pub initial_interval: Duration,
    /// At most; SQS allows 12h.
    pub max_interval: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { initial_interval: Duration::from_secs(5), max_interval: Duration::from_secs(900) }
    }
}

/// For how long, and for how many, it is known that they were counted.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Idempotency {
    /// An event that comes again within this time is recognised. At least as long as messages may go round in the queue.
    pub window: Duration,
    /// How many events are remembered; beyond that the oldest are forgotten early, which is counted. 35 bytes of memory each.
    #[schemars(range(min = 1, max = 100000000))]
    pub max_keys: usize,
}

impl Default for Idempotency {
    fn default() -> Self {
        Self { window: Duration::from_secs(3600), max_keys: 1_000_000 }
    }
}

/// What wraps the events.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Envelope {
    /// Whatever is there: SNS notifications and EventBridge events are recognised, everything else is the event itself.
    #[default]
    Auto,
    /// The body is the event.
    Raw,
    /// The body is an SNS notification; its `Message` is the event.
    Sns,
    /// The body is an EventBridge event; its `detail` is the event.
    Eventbridge,
}

/// What becomes of messages whose type is not configured.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum UnknownType {
    /// They stay in the queue, for other consumers or for the queue's redrive policy.
    #[default]
    Leave,
    /// They are deleted.
    Delete,
}

/// The unit of a time that is a number.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum TimeUnit {
    /// Unix seconds.
    #[default]
    S,
    /// Unix milliseconds.
    Ms,
    /// Unix microseconds.
    Us,
    /// Unix nanoseconds.
    Ns,
}

/// What sums and histograms count from.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum EventTemporality {
    /// Since the start of the series, kept in memory and, with `storage`, on disk: what Prometheus wants. An event is counted once, however often it comes.
    #[default]
    Cumulative,
    /// Since the last batch. Nothing is kept; an event whose delivery was cut off may be counted twice.
    Delta,
}

/// Which spans are made.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Spans {
    /// One for each message.
    #[default]
    Message,
    /// One for each batch, linked to every producer's.
    Batch,
    /// None.
    None,
}

/// How a span stands to the producer's.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum SpanRelation {
    /// In a trace of its own, with a link.
    #[default]
    Link,
    /// In the producer's trace, below the producer's span.
    Parent,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_number_of_messages: 10,
            wait_time_seconds: 20,
            delete_messages: true,
            pollers: 2,
            max_batch_messages: 1000,
            visibility_timeout: Duration::ZERO,
            retry: Retry::default(),
            discriminator: "type".to_owned(),
            envelope: Envelope::default(),
            types: BTreeMap::new(),
            unknown_type: UnknownType::default(),
            event_time: String::new(),
            event_time_unit: TimeUnit::default(),
            idempotency_key: String::new(),
            idempotency: Idempotency::default(),
            storage: None,
            temporality: EventTemporality::default(),
            instance: String::new(),
            instance_label: "service.instance.id".to_owned(),
            leader: None,
            single_consumer: false,
            max_series: 10_000,
            series_expiration: Duration::from_secs(86_400),
            resource: BTreeMap::new(),
            lists: BTreeMap::new(),
            max_label_bytes: DEFAULT_MAX_LABEL_BYTES,
            message_attributes: Vec::new(),
            spans: Spans::default(),
            span_relation: SpanRelation::default(),
        }
    }
}

impl Config {
    /// Whether any type gives sums or histograms.
    pub fn counts(&self) -> bool {
        let counts = |metric: &EventMetric| metric.kind != EventMetricType::Gauge;
        self.types.values().flat_map(|kind| &kind.metrics).any(counts)
    }
}
