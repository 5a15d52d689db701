//! `service.telemetry`: how the process itself is watched. Keys as in the Collector, whose `readers` and `processors`
//! are those of OpenTelemetry's declarative configuration.

use std::collections::BTreeMap;

use http::Uri;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steadyline_config::Duration;
use steadyline_http::{ConfigProblem, TlsConfig, headers};

use super::values::{HeaderList, Millis};

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
    ("telemetry.resource.attributes", "write each attribute as `name: value` below `resource`"),
    ("telemetry.resource.attributes_list", "write each attribute as `name: value` below `resource`"),
    ("telemetry.resource.detectors", "write each attribute as `name: value` below `resource`"),
    ("telemetry.resource.schema_url", "the attributes follow no schema; remove it"),
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
    pub resource: BTreeMap<String, Option<String>>,
}

/// The process's own logs, on standard error.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LogsConfig {
    /// The least important level that is written.
    pub level: LogLevel,
    /// How a line looks.
    pub encoding: LogEncoding,
    /// Fields that every line carries.
    pub initial_fields: BTreeMap<String, String>,
    /// How lines that repeat are thinned out.
    pub sampling: LogSampling,
}

/// Thinning of log lines that repeat, by level and message.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LogSampling {
    /// Whether lines are thinned out at all.
    pub enabled: bool,
    /// The period in which lines are counted.
    pub tick: Duration,
    /// So many lines with the same message are written in each period.
    pub initial: u64,
    /// After them, every so many-th; 0 = none.
    pub thereafter: u64,
}

impl Default for LogSampling {
    fn default() -> Self {
        LogSampling { enabled: true, tick: Duration::from_secs(10), initial: 10, thereafter: 100 }
    }
}

/// Levels of logs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Everything.
    #[serde(alias = "DEBUG")]
    Debug,
    /// What one wants to know of a normal day.
    #[default]
    #[serde(alias = "INFO")]
    Info,
    /// What somebody should look at.
    #[serde(alias = "WARN")]
    Warn,
    /// What is lost or broken.
    #[serde(alias = "ERROR")]
    Error,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogEncoding {
    /// For people on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// For people.
    Console,
    /// One JSON object a line.
    Json,
}

/// The process's own metrics.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsTelemetry {
    /// `none` switches all readers off; the other levels are alike.
    pub level: Level,
    /// Where they can be had. Default: scraped at `localhost:8888/metrics`, unless that port is taken.
    pub readers: Option<Vec<Reader>>,
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

/// One way to read the process's own metrics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Reader {
    /// Scraped from outside.
    Pull(PullReader),
    /// Sent at intervals.
    Periodic(PeriodicReader),
}

/// Scraped from outside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PullReader {
    /// In which format.
    pub exporter: PullExporter,
}

/// The format of a pull reader.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PullExporter {
    /// Prometheus' formats.
    pub prometheus: PrometheusReader,
}

/// Where the process's own metrics are scraped, and how they look there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PrometheusReader {
    /// The address to listen on.
    pub host: String,
    /// The port to listen on; 0 takes any free one and logs it.
    pub port: u16,
    /// Leaves out the `_total` of counters.
    pub without_type_suffix: bool,
    /// Leaves out the `_seconds` and `_bytes` of metrics whose own name has them not.
    pub without_units: bool,
    /// Leaves out the labels `otel_scope_name` and `otel_scope_version`.
    pub without_scope_info: bool,
    /// Attributes of the resource that every series carries as labels. They are on `target_info` in any case.
    pub with_resource_constant_labels: IncludeExclude,
}

impl Default for PrometheusReader {
    fn default() -> Self {
        PrometheusReader {
            host: "localhost".into(),
            port: 8888,
            without_type_suffix: false,
            without_units: false,
            without_scope_info: true,
            with_resource_constant_labels: IncludeExclude::default(),
        }
    }
}

/// A choice of names; `*` stands for any text.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct IncludeExclude {
    /// Names that are chosen.
    pub included: Vec<String>,
    /// Of these, names that are not.
    pub excluded: Vec<String>,
}

impl IncludeExclude {
    /// Whether a name is chosen.
    pub fn includes(&self, name: &str) -> bool {
        let any = |patterns: &[String]| patterns.iter().any(|pattern| matches(pattern, name));
        any(&self.included) && !any(&self.excluded)
    }
}

/// Whether a name is as a pattern in which `*` stands for any text.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((before, after)) => name
            .strip_prefix(before)
            .is_some_and(|rest| (0..=rest.len()).any(|at| rest.get(at..).is_some_and(|rest| matches(after, rest)))),
    }
}

/// Sent at intervals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PeriodicReader {
    /// From one sending to the next; milliseconds, or a duration.
    #[serde(default = "minute")]
    pub interval: Millis,
    /// How long one sending may take; milliseconds, or a duration.
    #[serde(default = "half_a_minute")]
    pub timeout: Millis,
    /// To whom.
    pub exporter: PushExporter,
}

fn minute() -> Millis {
    Millis::from_secs(60)
}

fn half_a_minute() -> Millis {
    Millis::from_secs(30)
}

/// To whom the process's own metrics and traces are sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PushExporter {
    /// A backend that speaks OTLP.
    pub otlp: OtlpPush,
}

/// A backend that speaks OTLP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OtlpPush {
    /// Over gRPC or HTTP.
    pub protocol: OtlpProtocol,
    /// The backend: `host:port` or a URL. Over HTTP, a URL without a path gets `/v1/metrics` or `/v1/traces`.
    pub endpoint: String,
    /// Sent with every request: `name: value`, or a list of `{name, value}`.
    pub headers: HeaderList,
    /// How requests are compressed.
    pub compression: OtlpCompression,
    /// How long one request may take; milliseconds, or a duration.
    pub timeout: Millis,
    /// How the connection is secured. `insecure: true` means plaintext for an endpoint that does not name its scheme.
    pub tls: TlsConfig,
}

impl Default for OtlpPush {
    fn default() -> Self {
        OtlpPush {
            protocol: OtlpProtocol::default(),
            endpoint: String::new(),
            headers: HeaderList::default(),
            compression: OtlpCompression::default(),
            timeout: Millis::from_secs(10),
            tls: TlsConfig::default(),
        }
    }
}

/// The transports of OTLP.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OtlpProtocol {
    /// Over gRPC.
    #[default]
    #[serde(rename = "grpc")]
    Grpc,
    /// Over HTTP, in protobuf.
    #[serde(rename = "http/protobuf")]
    HttpProtobuf,
}

/// Compressions of own telemetry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OtlpCompression {
    /// Not at all.
    #[default]
    None,
    /// gzip.
    Gzip,
}

impl OtlpPush {
    /// The backend as a URL whose scheme says whether TLS is spoken; `path` is what a URL for HTTP gets if it has none.
    ///
    /// # Errors
    /// The endpoint is not set, or nothing that can be reached in this protocol.
    pub fn target(&self, path: &str) -> Result<Uri, ConfigProblem> {
        let wrong = |message: &str| ConfigProblem::new("endpoint", message);
        if self.endpoint.is_empty() {
            return Err(wrong("must be set: the backend's `host:port` or URL"));
        }
        let text = match self.endpoint.split_once("://") {
            Some(("http" | "https", _)) => self.endpoint.clone(),
            Some(_) => return Err(wrong("expected `host:port`, or a URL that begins with http:// or https://")),
            None => format!("{}://{}", if self.tls.insecure { "http" } else { "https" }, self.endpoint),
        };
        let url: Option<Uri> = text.parse().ok();
        let url = url.filter(|url| url.host().is_some_and(|host| !host.is_empty()));
        let url = url.ok_or_else(|| wrong("expected `host:port`, or a URL that begins with http:// or https://"))?;
        let bare = matches!(url.path(), "" | "/") && url.query().is_none();
        match (self.protocol, bare) {
            (OtlpProtocol::Grpc, false) => Err(wrong("gRPC has no path; use `protocol: http/protobuf`, or remove it")),
            (OtlpProtocol::Grpc, true) if url.port_u16().is_none() => {
                Err(wrong("a port is missing; OTLP over gRPC is usually at 4317"))
            }
            (OtlpProtocol::HttpProtobuf, true) => {
                let with_path = format!("{}{path}", text.trim_end_matches('/')).parse();
                with_path.map_err(|_| wrong("expected a URL that begins with http:// or https://"))
            }
            _ => Ok(url),
        }
    }

    fn problems(&self) -> Vec<ConfigProblem> {
        let mut problems = self.tls.problems();
        problems.extend(self.target("/v1/metrics").err());
        problems.extend(headers::from_config(&self.headers.0).err().unwrap_or_default());
        if self.timeout.get().is_zero() {
            problems.push(ConfigProblem::new("timeout", "expected more than 0"));
        }
        problems
    }
}

/// The process's own traces: one span for each pass of a poller, each batch that comes in, each request that goes out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TracesTelemetry {
    /// `none` switches them off, whatever the processors; the other levels are alike.
    pub level: Level,
    /// Where spans go. Without any there is no tracing, and no cost.
    pub processors: Vec<SpanProcessor>,
    /// Which traces are recorded.
    pub sampler: Sampler,
    /// How outgoing OTLP requests say to which trace they belong; an empty list keeps it from them.
    pub propagators: Vec<Propagator>,
}

impl Default for TracesTelemetry {
    fn default() -> Self {
        TracesTelemetry {
            level: Level::default(),
            processors: Vec::new(),
            sampler: Sampler::default(),
            propagators: vec![Propagator::TraceContext],
        }
    }
}

/// One way for spans to go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SpanProcessor {
    /// In batches.
    pub batch: BatchProcessor,
}

/// Sends spans in batches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchProcessor {
    /// How long spans wait for others; milliseconds, or a duration.
    #[serde(default = "five_seconds")]
    pub schedule_delay: Millis,
    /// How long one sending may take; milliseconds, or a duration.
    #[serde(default = "half_a_minute")]
    pub export_timeout: Millis,
    /// So many spans wait at most; further ones are dropped.
    #[serde(default = "queue_size")]
    pub max_queue_size: usize,
    /// So many spans go into one request at most.
    #[serde(default = "batch_size")]
    pub max_export_batch_size: usize,
    /// To whom.
    pub exporter: PushExporter,
}

fn five_seconds() -> Millis {
    Millis::from_secs(5)
}

fn queue_size() -> usize {
    2048
}

fn batch_size() -> usize {
    512
}

/// Which traces are recorded; decided where a trace begins, by its id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sampler {
    /// All of them.
    AlwaysOn {},
    /// None of them.
    AlwaysOff {},
    /// A share of them.
    TraceIdRatioBased(Ratio),
    /// As the parent; traces begin here, so it is `root` that decides.
    ParentBased(ParentBased),
}

/// A share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ratio {
    /// From 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub ratio: f64,
}

/// As the parent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ParentBased {
    /// For traces without a parent.
    #[serde(default)]
    pub root: Box<Sampler>,
}

impl Default for Sampler {
    fn default() -> Self {
        Sampler::AlwaysOn {}
    }
}

impl Sampler {
    /// The share of traces that is recorded.
    pub fn ratio(&self) -> f64 {
        match self {
            Sampler::AlwaysOn {} => 1.0,
            Sampler::AlwaysOff {} => 0.0,
            Sampler::TraceIdRatioBased(ratio) => ratio.ratio,
            Sampler::ParentBased(parent) => parent.root.ratio(),
        }
    }
}

/// Notations of a trace's place in headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Propagator {
    /// W3C's `traceparent`.
    TraceContext,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_the_declarative_configuration() {
        let choice =
            IncludeExclude { included: vec!["service.*".into(), "host*id".into()], excluded: vec!["*.version".into()] };
        for (name, expected) in [
            ("service.name", true),
            ("service.version", false),
            ("host.id", true),
            ("hostid", true),
            ("host.name", false),
        ] {
            assert_eq!(choice.includes(name), expected, "{name}");
        }
        assert!(!IncludeExclude::default().includes("service.name"));
    }

    #[test]
    fn endpoints_become_urls() {
        use OtlpProtocol::{Grpc, HttpProtobuf};
        for (protocol, endpoint, insecure, expected) in [
            (Grpc, "localhost:4317", true, Ok("http://localhost:4317/")),
            (Grpc, "h:4317", false, Ok("https://h:4317/")),
            (Grpc, "http://h:4317", false, Ok("http://h:4317/")),
            (Grpc, "h", false, Err("port")),
            (Grpc, "http://h:4317/v1/metrics", false, Err("no path")),
            (Grpc, "", false, Err("must be set")),
            (HttpProtobuf, "http://h:4318", false, Ok("http://h:4318/v1/metrics")),
            (HttpProtobuf, "http://h:4318/", false, Ok("http://h:4318/v1/metrics")),
            (HttpProtobuf, "https://h/otlp/x?y=1", false, Ok("https://h/otlp/x?y=1")),
            (HttpProtobuf, "h:4318", true, Ok("http://h:4318/v1/metrics")),
            (HttpProtobuf, "ftp://h", true, Err("http://")),
        ] {
            let tls = TlsConfig { insecure, ..TlsConfig::default() };
            let push = OtlpPush { protocol, endpoint: endpoint.into(), tls, ..OtlpPush::default() };
            match (push.target("/v1/metrics"), expected) {
                (Ok(url), Ok(expected)) => assert_eq!(url.to_string(), expected),
                (Err(problem), Err(words)) => assert!(problem.message.contains(words), "{endpoint}: {problem}"),
                (other, _) => panic!("{endpoint}: {other:?}"),
            }
        }
    }
}
