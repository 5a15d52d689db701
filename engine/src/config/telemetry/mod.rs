//! `service.telemetry`: how the process itself is watched. Keys as in the Collector, whose `readers` and `processors`
//! are those of OpenTelemetry's declarative configuration.

mod logs;
mod metrics;
mod otlp;
mod traces;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steadyline_http::ConfigProblem;

pub use logs::{LogEncoding, LogLevel, LogSampling, LogsConfig};
pub use metrics::{
    IncludeExclude, MetricsTelemetry, PeriodicReader, PrometheusReader, PullExporter, PullReader, Reader,
};
pub use otlp::{OtlpCompression, OtlpProtocol, OtlpPush, PushExporter};
pub use traces::{BatchProcessor, ParentBased, Propagator, Ratio, Sampler, SpanProcessor, TracesTelemetry};

use super::values::{AttributeValue, Millis};

/// How the process itself is watched.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// The process's own logs.
    pub logs: LogsConfig,
    /// The process's own metrics.
    pub metrics: MetricsTelemetry,
    /// The process's own traces.
    pub traces: TracesTelemetry,
    /// Attributes that say which process it is, on its own metrics and traces. A name without a value takes away a
    /// default one. Defaults: `service.name: steadyline`, `service.version`, and a random `service.instance.id`.
    pub resource: BTreeMap<String, AttributeValue>,
}

/// How much the process says about itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Nothing.
    None,
    /// As `normal`.
    Basic,
    /// Everything.
    #[default]
    Normal,
    /// As `normal`.
    Detailed,
}

/// How long one sending may take.
fn half_a_minute() -> Millis {
    Millis::from_secs(30)
}

impl TelemetryConfig {
    /// What is wrong with it as far as can be told offline; paths are below `service.telemetry`.
    pub fn problems(&self) -> Vec<ConfigProblem> {
        let mut problems = Vec::new();
        for (index, reader) in self.metrics.readers.iter().flatten().enumerate() {
            let Reader::Periodic(reader) = reader else { continue };
            let at = format!("metrics.readers[{index}].periodic");
            problems.extend(below(&format!("{at}.exporter.otlp"), reader.exporter.otlp.problems()));
            if reader.interval.get().is_zero() {
                problems.push(ConfigProblem::new(format!("{at}.interval"), "expected more than 0"));
            }
        }
        for (index, processor) in self.traces.processors.iter().enumerate() {
            let batch = &processor.batch;
            let at = format!("traces.processors[{index}].batch");
            problems.extend(below(&format!("{at}.exporter.otlp"), batch.exporter.otlp.problems()));
            if batch.max_queue_size == 0 || batch.max_export_batch_size == 0 || batch.export_timeout.get().is_zero() {
                problems.push(ConfigProblem::new(at, "expected sizes and an export_timeout of more than 0"));
            }
        }
        if !(0.0..=1.0).contains(&self.traces.sampler.ratio()) {
            problems.push(ConfigProblem::new("traces.sampler", "expected a ratio from 0 to 1"));
        }
        if self.logs.sampling.enabled && self.logs.sampling.tick.is_zero() {
            problems.push(ConfigProblem::new("logs.sampling.tick", "expected more than 0"));
        }
        problems
    }
}

fn below(at: &str, problems: Vec<ConfigProblem>) -> impl Iterator<Item = ConfigProblem> {
    problems.into_iter().map(move |problem| ConfigProblem::new(format!("{at}.{}", problem.path), problem.message))
}

/// Keys that the Collector has and we have not, below `service`, each with what to do instead.
pub(super) const UNSUPPORTED: &[(&str, &str)] = &[
    ("telemetry.logs.development", "there is one mode; remove it"),
    ("telemetry.logs.disable_caller", "lines never name a place in the code; remove it"),
    ("telemetry.logs.disable_stacktrace", "lines never carry stack traces; remove it"),
    ("telemetry.logs.output_paths", "logs go to standard error; redirect them there"),
    ("telemetry.logs.error_output_paths", "logs go to standard error; redirect them there"),
    ("telemetry.logs.processors", "logs go to standard error; let the platform collect them from there"),
    ("telemetry.metrics.address", "use `readers: [{pull: {exporter: {prometheus: {host: ..., port: ...}}}}]`"),
    ("telemetry.metrics.views", "all metrics are shown; drop what is not wanted where it is scraped"),
    ("telemetry.traces.limits", "spans are few and small; remove it"),
    ("**.console", "push by `otlp`, or look at the pull endpoint; a terminal is no place for metrics and spans"),
    ("**.otlp_file/development", "push by `otlp`, or send the receiver `internal` to the exporter `file`"),
    ("**.otlp_grpc", "use `otlp: {protocol: grpc, endpoint: ...}`"),
    ("**.otlp_http", "use `otlp: {protocol: http/protobuf, endpoint: ...}`"),
    ("**.opencensus", "push by `otlp`"),
    ("**.simple", "use `batch`"),
    ("**.translation_strategy", "use `without_type_suffix` and `without_units`"),
    ("**.with_target_info", "`target_info` is always there; remove it"),
    ("**.without_target_info", "`target_info` is always there; drop it where it is scraped"),
    ("**.insecure", "write it as `tls: {insecure: true}`, or begin the endpoint with http://"),
    ("**.certificate", "use `tls: {ca_file: ...}`"),
    ("**.certificate_file", "use `tls: {ca_file: ...}`"),
    ("**.client_certificate", "use `tls: {cert_file: ...}`"),
    ("**.client_certificate_file", "use `tls: {cert_file: ...}`"),
    ("**.client_key", "use `tls: {key_file: ...}`"),
    ("**.client_key_file", "use `tls: {key_file: ...}`"),
    ("**.headers_list", "use `headers`"),
    (
        "**.temporality_preference",
        "sums are cumulative; to have deltas, send the receiver `internal` through `cumulativetodelta`",
    ),
    ("**.default_histogram_aggregation", "there are no histograms among the process's own metrics; remove it"),
    ("**.cardinality_limits", "the number of series follows from the config alone; remove it"),
    ("**.producers", "there is nothing else to produce metrics here; remove it"),
];
