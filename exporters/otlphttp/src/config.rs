//! The config of the `otlphttp` exporter: the Collector's keys, and `no_recorded_value`.

use http::Uri;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steadyline_component::exporter::{DeliveryConfig, QueueConfig, RetryConfig};
use steadyline_component::telemetry::Signal;
use steadyline_config::Duration;
use steadyline_http::{Compression, CompressionParams, ConfigProblem};
use steadyline_otlp::{Encoding, NoRecordedValue};

steadyline_http::with_client_keys! {
    /// Sends OTLP over HTTP.
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    pub struct OtlpHttpConfig {
        /// The backend's URL, to which `/v1/metrics`, `/v1/traces` or `/v1/logs` is added.
        #[schemars(example = "https://otlp.example.com")]
        pub endpoint: String = String::new(),
        /// The whole URL for metrics, if it is not made from `endpoint`.
        pub metrics_endpoint: String = String::new(),
        /// The whole URL for traces, if it is not made from `endpoint`.
        pub traces_endpoint: String = String::new(),
        /// The whole URL for logs, if it is not made from `endpoint`.
        pub logs_endpoint: String = String::new(),
        /// How requests are written.
        pub encoding: Encoding = Encoding::Proto,
        /// How requests are compressed.
        pub compression: Compression = Compression::Gzip,
        /// How hard the compressor tries.
        pub compression_params: CompressionParams = CompressionParams::default(),
        /// What happens to points that say "no value now".
        pub no_recorded_value: NoRecordedValue = NoRecordedValue::Send,
        /// The bound of one attempt, connecting included.
        pub timeout: Duration = Duration::from_secs(30),
        /// How failed attempts are repeated.
        pub retry_on_failure: RetryConfig = RetryConfig::default(),
        /// The queue in front of the exporter.
        pub sending_queue: QueueConfig = QueueConfig::default(),
    }
}

impl OtlpHttpConfig {
    /// Where requests of a signal go.
    ///
    /// # Errors
    /// No endpoint is set, or it is no URL.
    pub(crate) fn url(&self, signal: Signal) -> Result<Uri, ConfigProblem> {
        let own = match signal {
            Signal::Metrics => &self.metrics_endpoint,
            Signal::Traces => &self.traces_endpoint,
            Signal::Logs => &self.logs_endpoint,
        };
        let (key, text) = match (own.as_str(), self.endpoint.as_str()) {
            ("", "") => {
                let message = format!("must be set (or `{signal}_endpoint`): the backend's URL, such as https://host");
                return Err(ConfigProblem::new("endpoint", message));
            }
            ("", base) => ("endpoint".to_string(), format!("{}/v1/{signal}", base.trim_end_matches('/'))),
            (own, _) => (format!("{signal}_endpoint"), own.to_string()),
        };
        let url: Option<Uri> = text.parse().ok();
        let is_http = |url: &Uri| matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some();
        url.filter(is_http).ok_or_else(|| {
            ConfigProblem::new(key, "expected a URL that begins with http:// or https://, such as https://host:4318")
        })
    }

    pub(crate) fn delivery(&self) -> DeliveryConfig {
        DeliveryConfig {
            timeout: self.timeout.get(),
            retry: self.retry_on_failure.clone(),
            queue: self.sending_queue.clone(),
        }
    }
}
