//! `service.telemetry.metrics`: who gets the process's own metrics, and how.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::values::Millis;
use super::otlp::PushExporter;
use super::{Level, half_a_minute};

/// The process's own metrics.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsTelemetry {
    /// `none` switches all readers off; the other levels are alike.
    pub level: Level,
    /// Where they can be had. Default: scraped at `localhost:8888/metrics`, unless that port is taken.
    pub readers: Option<Vec<Reader>>,
}

/// One way to read the process's own metrics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Reader {
    /// Scraped from outside.
    Pull(PullReader),
    /// Sent at intervals.
    Periodic(Box<PeriodicReader>),
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
}
