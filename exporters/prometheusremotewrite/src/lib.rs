//! The exporter `prometheusremotewrite`: sends metrics by Prometheus remote write, 1.0 by default and 2.0 by choice.
//! Made for Amazon Managed Prometheus, and good for every other receiver of the protocol.
//!
//! ```yaml
//! exporters:
//!   prometheusremotewrite/amp:
//!     endpoint: https://aps-workspaces.us-east-1.amazonaws.com/workspaces/ws-0123/api/v1/remote_write
//!     auth: {authenticator: sigv4auth/amp}
//!     external_labels: {cluster: blue}
//! ```
//!
//! # What is sent
//! - **Final labels.** Names and labels that the `labels` processor made final are sent as they are; only external labels are
//!   added. Everything else is translated here: names by `translation_strategy`, `job` and `instance` from the resource,
//!   scope labels, resource attributes on demand, and `target_info`.
//! - **Labels** are sorted by the bytes of their names and are never empty. Of several that want one name, the first has it: the
//!   format (`__name__`, `le`, `quantile`), `job` and `instance`, the point's attributes, the scope, the resource, external
//!   labels. Attributes among themselves follow `on_collision`. The scope's schema URL is not sent, as in the Collector.
//! - **Gauges and cumulative sums** become samples; **histograms** `_bucket`, `_sum`, `_count`; **summaries** quantiles, `_sum`,
//!   `_count`; **exponential histograms** native histograms. Delta data is dropped and counted.
//! - **"No value"** becomes one stale marker on every series of the point. A measured NaN is never a stale marker.
//! - **One value** per series and moment: of several in a batch the last that arrived is sent, the others count as merged.
//!   Samples of a series are in order of time.
//!
//! # Requests
//! Of `max_samples_per_send` samples at most, `max_batch_size_bytes` before and `max_request_size_bytes` after compression.
//! A series stays in its shard, so its samples arrive in order; only one request per shard is in flight.
//!
//! # Answers
//! | answer | what happens |
//! |---|---|
//! | 2xx | delivered; 202 (dropped by a replica's de-duplication) is counted in `remote_write_deduplicated` |
//! | 2xx to version 2.0 without `-Written` headers, or 415 | the backend knows 1.0 only: sent again as 1.0, and so from then on |
//! | `-Written` headers that say less than was sent | delivered in part, the rest counted as dropped |
//! | 413 | sent again in halves |
//! | 429, 5xx, no answer | the same bytes again, `Retry-After` obeyed |
//! | 401, 403 | signed anew once, then dropped and counted |
//! | other 3xx, 4xx | dropped and counted, with the backend's words; `http_400_partial` where the words are about single samples, the rest of which receivers usually keep |
//!
//! # What is counted as dropped
//! `confirmation`, `no_timestamp`, `no_value`, `delta`, `no_temporality`, `malformed_histogram`, `malformed_summary`,
//! `native_histogram`, `histogram_too_coarse`, `no_sum`, `no_name`, `illegal_name`, `illegal_label_name`, `label_collision`,
//! `series_too_large`. Items are samples: the further series of histograms and summaries, and `target_info`, are `created`.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod answer;
mod block;
mod config;
mod create;
mod encoder;
mod endpoint;
mod sender;

use steadyline_component::factory::Component;
use steadyline_component::{CreateContext, Exporter, Factory, Spec, Stability, TemporalityEffect};
use steadyline_telemetry::Signal;

pub use config::{Compression, Config, OnCollision, ProtobufMessage, ResourceConversion, TargetInfo};

/// The factory, for a registry.
pub const FACTORY: Factory = Factory::exporter::<PrometheusRemoteWriteFactory>();

/// Makes the exporter.
#[derive(Debug)]
pub struct PrometheusRemoteWriteFactory;

const UNSUPPORTED: [(&str, &str); 16] = steadyline_http::with_unsupported([
    ("remote_write_queue", "use `sending_queue`: `num_consumers` is the number of parallel requests"),
    ("wal", "use `sending_queue` with `storage: file_storage`"),
    ("max_batch_request_parallelism", "use `sending_queue.num_consumers`"),
]);

impl Component for PrometheusRemoteWriteFactory {
    type Config = Config;
    type Made = Exporter;
    const SPEC: Spec = Spec {
        name: "prometheusremotewrite",
        aliases: &["prometheus_remote_write"],
        stability: Stability::Beta,
        signals: &[Signal::Metrics],
        summary: "Sends metrics by Prometheus remote write, to Amazon Managed Prometheus and others.",
        unsupported: &UNSUPPORTED,
    };
    const TEMPORALITY: TemporalityEffect = TemporalityEffect::NeedsCumulative;

    fn create(config: Config, context: &mut CreateContext<'_>) -> Option<Exporter> {
        create::exporter(&config, context)
    }
}
