//! What the exporter can be told. Keys and meanings are the Collector's where it has them; what is ours says so.

use std::collections::BTreeMap;
use std::time::Duration as StdDuration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steadyline_component::JoinLimit;
use steadyline_component::exporter::{DeliveryConfig, QueueConfig, RetryConfig};
use steadyline_config::{ByteSize, Duration};
use steadyline_prometheus::TranslationStrategy;

use crate::block::Protocol;
use crate::encoder::{BlockLimits, ResourceLabels, Settings};

/// Amazon Managed Prometheus refuses samples that are older, as Cortex does by default.
const MAX_AGE: StdDuration = StdDuration::from_secs(3600);

steadyline_http::with_client_keys! {
    /// Where to send, how names and labels are made, and how requests are cut.
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    pub struct Config {
        /// The URL that takes remote write, path included. Amazon Managed Prometheus:
        /// `https://aps-workspaces.<region>.amazonaws.com/workspaces/<id>/api/v1/remote_write`.
        pub endpoint: String = String::new(),
        /// The bound of one attempt, connecting included. 30 s as Prometheus has it (the Collector: 5 s): a request that is
        /// given up too early may have been written, and is then sent twice.
        pub timeout: Duration = Duration::from_secs(30),
        /// How failed attempts are repeated.
        pub retry_on_failure: RetryConfig = RetryConfig::default(),
        /// The queue of finished requests. Up to `max_shards` requests are under way at a time, each for other series.
        pub sending_queue: QueueConfig = QueueConfig::default(),
        /// The version of remote write: `prometheus.WriteRequest` is 1.0, the only one that Amazon Managed Prometheus
        /// documents; `io.prometheus.write.v2.Request` is 2.0. A backend that does not speak 2.0 gets 1.0 instead.
        pub protobuf_message: ProtobufMessage = ProtobufMessage::V1,
        /// Goes before every metric name, with a `_` between. Not before names that a processor made final.
        pub namespace: String = String::new(),
        /// Labels for every series. Names are made legal; where a series has the label already, it keeps its own.
        pub external_labels: BTreeMap<String, String> = BTreeMap::new(),
        /// How names are translated. Unset: with or without suffixes, as `add_metric_suffixes` says. The two that keep
        /// UTF-8 need version 2.0. Does not touch names that a processor made final.
        pub translation_strategy: Option<TranslationStrategy> = None,
        /// Whether units and types are appended to names (`_seconds`, `_total`), unless `translation_strategy` says.
        pub add_metric_suffixes: bool = true,
        /// What becomes of attributes whose names become one label (`a.b` and `a_b`). Ours.
        pub on_collision: OnCollision = OnCollision::Join,
        /// Resource attributes as labels of every series.
        pub resource_to_telemetry_conversion: ResourceConversion = ResourceConversion::default(),
        /// The series `target_info`, which tells the resource attributes that are no labels.
        pub target_info: TargetInfo = TargetInfo::default(),
        /// Leaves out the labels `otel_scope_name`, `otel_scope_version` and `otel_scope_<attribute>`.
        pub disable_scope_info: bool = false,
        /// Sends type, help and unit of metrics about once a minute, in requests of their own. Version 2.0 always has them.
        pub send_metadata: bool = false,
        /// Sends exemplars. Off, because Amazon Managed Prometheus does not take them. Ours.
        pub send_exemplars: bool = false,
        /// Sends exponential histograms as native histograms; else they are dropped and counted. Ours.
        pub send_native_histograms: bool = true,
        /// The largest request in bytes, before compression.
        pub max_batch_size_bytes: ByteSize = ByteSize::new(3_000_000),
        /// The largest request in bytes, compressed. Amazon Managed Prometheus refuses more than 1 MB. Ours.
        pub max_request_size_bytes: ByteSize = ByteSize::new(1_000_000),
        /// The most samples in one request. 5,000 series of usual size are about 1 MB before compression, and a quarter of
        /// that after it. Ours.
        #[schemars(range(min = 1, max = 100_000))]
        pub max_samples_per_send: usize = 5000,
        /// Always snappy, as the protocol demands.
        pub compression: Compression = Compression::Snappy,
    }
}

/// The version of remote write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ProtobufMessage {
    /// Version 1.0.
    #[serde(rename = "prometheus.WriteRequest")]
    V1,
    /// Version 2.0, experimental.
    #[serde(rename = "io.prometheus.write.v2.Request")]
    V2,
}

/// What becomes of attributes whose names become one label. Those that are empty do not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnCollision {
    /// Their values are joined by `;`, in the order of their keys, as the Collector does.
    Join,
    /// The first by the order of keys has the label.
    First,
    /// The last by the order of keys has the label.
    Last,
    /// The point is dropped and counted.
    Drop,
}

/// Resource attributes as labels.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ResourceConversion {
    /// Makes every resource attribute a label of every series. A point's own attribute of that name wins.
    pub enabled: bool,
    /// Leaves out `service.name`, `service.namespace` and `service.instance.id`, which are `job` and `instance` already.
    pub exclude_service_attributes: bool,
}

/// The series `target_info`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TargetInfo {
    /// Whether it is sent.
    pub enabled: bool,
}

impl Default for TargetInfo {
    fn default() -> Self {
        TargetInfo { enabled: true }
    }
}

/// How requests are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// Snappy's block format.
    Snappy,
}

impl Config {
    /// The strategy in force.
    pub(crate) fn strategy(&self) -> TranslationStrategy {
        self.translation_strategy.unwrap_or(match self.add_metric_suffixes {
            true => TranslationStrategy::UnderscoreEscapingWithSuffixes,
            false => TranslationStrategy::UnderscoreEscapingWithoutSuffixes,
        })
    }

    /// What the encoder needs to know. `external` are the external labels under their final names.
    pub(crate) fn settings(&self, external: Vec<(String, String)>) -> Settings {
        let conversion = &self.resource_to_telemetry_conversion;
        Settings {
            protocol: match self.protobuf_message {
                ProtobufMessage::V1 => Protocol::V1,
                ProtobufMessage::V2 => Protocol::V2,
            },
            strategy: self.strategy(),
            namespace: self.namespace.clone(),
            external,
            resource_labels: match (conversion.enabled, conversion.exclude_service_attributes) {
                (false, _) => ResourceLabels::None,
                (true, true) => ResourceLabels::NotIdentifying,
                (true, false) => ResourceLabels::All,
            },
            scope_labels: !self.disable_scope_info,
            target_info: self.target_info.enabled,
            metadata: self.send_metadata,
            exemplars: self.send_exemplars,
            natives: self.send_native_histograms,
            on_collision: self.on_collision,
            limits: BlockLimits {
                samples: self.max_samples_per_send,
                bytes: self.max_batch_size_bytes.as_usize(),
                compressed: self.max_request_size_bytes.as_usize(),
            },
        }
    }

    /// How large a request is made of what waits behind a slow backend: as large as any, by its size before compression.
    pub(crate) fn join_limit(&self) -> JoinLimit {
        let bytes = self.max_request_size_bytes.bytes().min(self.max_batch_size_bytes.bytes());
        JoinLimit { bytes, items: self.max_samples_per_send as u64 }
    }

    /// The keys that all queued exporters share.
    pub(crate) fn delivery(&self) -> DeliveryConfig {
        DeliveryConfig {
            timeout: self.timeout.get(),
            retry: self.retry_on_failure.clone(),
            queue: QueueConfig {
                max_age: self.sending_queue.max_age.or(Some(MAX_AGE.into())),
                ..self.sending_queue.clone()
            },
        }
    }
}
