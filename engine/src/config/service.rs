//! The `service` section: which pipelines there are, what runs besides, how the process itself is watched.

use std::time::Duration as StdDuration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steadyline_config::{
    ByteSize, ComponentId, Diagnostic, Diagnostics, Duration, Node, Unsupported, decode, decode_with, path_join,
};
use steadyline_telemetry::Signal;

use super::telemetry::{self, TelemetryConfig};

/// The `service` section, without its pipelines.
#[derive(Debug, Clone)]
pub struct ServiceConfig {
    /// Extensions that run though nothing refers to them.
    pub extensions: Vec<ComponentId>,
    /// The pipelines in the order in which they stand, each with its id.
    pub pipelines: Vec<(ComponentId, Signal, PipelineConfig)>,
    /// How the process itself is watched.
    pub telemetry: TelemetryConfig,
    /// How long queues may drain after a signal to stop.
    pub shutdown_timeout: StdDuration,
    /// Bytes of data that may be in flight; none: half of the container's memory limit, else 256 MiB.
    pub memory_budget: Option<u64>,
}

/// The scalar keys of `service`, as decoded.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ServiceKeys {
    /// Extensions that run though nothing refers to them. What a component refers to runs anyway.
    pub extensions: Vec<ComponentId>,
    /// How the process itself is watched.
    pub telemetry: TelemetryConfig,
    /// How long queues may drain after SIGTERM or SIGINT. Keep it below the grace period of the container.
    pub shutdown_timeout: Duration,
    /// Bytes of data that may be in flight, queues included. Default: half of the container's memory limit, else 256 MiB.
    pub memory_budget: Option<ByteSize>,
}

impl Default for ServiceKeys {
    fn default() -> Self {
        ServiceKeys {
            extensions: Vec::new(),
            telemetry: TelemetryConfig::default(),
            shutdown_timeout: StdDuration::from_secs(25).into(),
            memory_budget: None,
        }
    }
}

/// One pipeline: what comes in, what happens to it, where it goes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PipelineConfig {
    /// Whether the pipeline runs. A component that no enabled pipeline uses is not made.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Receivers, or connectors that other pipelines export to.
    pub receivers: Vec<ComponentId>,
    /// Processors, in order.
    #[serde(default)]
    pub processors: Vec<ComponentId>,
    /// Exporters, or connectors that other pipelines receive from. Each takes everything.
    pub exporters: Vec<ComponentId>,
}

fn yes() -> bool {
    true
}

impl ServiceConfig {
    /// Decodes the section; whatever is wrong with it is in the diagnostics, and what could be read is returned.
    pub fn decode(root: &Node, diagnostics: &mut Diagnostics) -> Option<ServiceConfig> {
        let Some(service) = root.get("service") else {
            let missing = Diagnostic::error("missing-field", "there is no `service` section")
                .with_expected("`service: {pipelines: {metrics: {receivers: [...], exporters: [...]}}}`");
            diagnostics.push(missing.at("service", root.place()));
            return None;
        };
        // A slip in one key must not hide what is wrong elsewhere.
        let keys = service_keys(service, diagnostics).unwrap_or_default();
        let pipelines = pipelines(service, diagnostics);
        Some(ServiceConfig {
            extensions: keys.extensions,
            pipelines,
            telemetry: keys.telemetry,
            shutdown_timeout: keys.shutdown_timeout.into(),
            memory_budget: keys.memory_budget.map(|size| size.as_usize() as u64),
        })
    }
}

/// Decodes what stands beside `pipelines`; the pipelines are taken out, because their keys are ids.
fn service_keys(service: &Node, diagnostics: &mut Diagnostics) -> Option<ServiceKeys> {
    let node = service.without("pipelines");
    let keys: ServiceKeys = decode_with(&node, "service", &Unsupported(telemetry::UNSUPPORTED), diagnostics)?;
    for problem in keys.telemetry.problems() {
        let wrong = Diagnostic::error("invalid-value", problem.message);
        diagnostics.push(wrong.at_node(&node, "service", &format!("telemetry.{}", problem.path)));
    }
    Some(keys)
}

fn pipelines(service: &Node, diagnostics: &mut Diagnostics) -> Vec<(ComponentId, Signal, PipelineConfig)> {
    let path = "service.pipelines";
    let entries = service.get("pipelines").map(Node::entries).unwrap_or_default();
    if entries.is_empty() {
        let place = service.get("pipelines").unwrap_or(service).place();
        let none = Diagnostic::error("missing-field", "there is no pipeline, so there is nothing to run")
            .with_expected("at least one, such as `metrics: {receivers: [...], exporters: [...]}`");
        diagnostics.push(none.at(path, place));
    }
    let mut pipelines = Vec::new();
    for entry in entries {
        let at = path_join(path, &entry.key.text);
        let id = match entry.key.text.parse::<ComponentId>() {
            Ok(id) => id,
            Err(error) => {
                diagnostics.push(Diagnostic::error("invalid-value", error.to_string()).at(at, &entry.key.place));
                continue;
            }
        };
        let Some(signal) = Signal::from_name(id.type_name()) else {
            let unknown = Diagnostic::error("unknown-signal", format!("`{}` is not a signal", id.type_name()))
                .with_expected("metrics, traces or logs, each with a name after a slash if there are several")
                .with_suggestion(id.type_name(), ["metrics", "traces", "logs"]);
            diagnostics.push(unknown.at(at, &entry.key.place));
            continue;
        };
        if let Some(config) = decode::<PipelineConfig>(&entry.value, &at, diagnostics) {
            pipelines.push((id, signal, config));
        }
    }
    pipelines
}
