//! The keys of the processor.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steadyline_component::CreateContext;
use steadyline_component::telemetry::Signal;
use steadyline_config::Duration;
use steadyline_wasm::{Keys, Limits, PluginConfig};

/// What the processor can be told.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The plugin's file: a WebAssembly component of the world `processor`, for logs and traces
    /// `logs-and-traces-processor`.
    pub path: String,
    /// What the plugin is told at its start, as JSON; any keys, its own to understand.
    pub config: serde_json::Value,
    /// The metrics that the plugin is shown, by name; a `*` at the end stands for anything. Others pass by it, which costs
    /// nothing. Empty: all.
    pub metrics: Vec<String>,
    /// What becomes of a batch for which the plugin fails.
    pub on_error: OnError,
    /// How long the plugin may take for a batch.
    pub timeout: Duration,
    /// What the plugin may use.
    pub limits: Limits,
}

/// What becomes of a batch for which the plugin fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// It goes on as it came.
    #[default]
    Pass,
    /// It is dropped, counted under the reason.
    Drop,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            path: String::new(),
            config: serde_json::Value::Null,
            metrics: Vec::new(),
            on_error: OnError::Pass,
            timeout: Duration::from_secs(1),
            limits: Limits { cpu_time: Duration::from_secs(1), ..Limits::default() },
        }
    }
}

impl Config {
    /// What its plugin runs by, with what is shared.
    pub(crate) fn keys<'a>(&'a self, plugin: &'a PluginConfig) -> Keys<'a> {
        Keys { path: &self.path, config: &self.config, limits: &self.limits, http: None, plugin }
    }

    /// Reports what is wrong with its own keys; whether nothing is.
    pub(crate) fn check(&self, context: &mut CreateContext<'_>) -> bool {
        let inner_star = |name: &String| name.strip_suffix('*').unwrap_or(name).contains('*');
        let rules = [
            (self.timeout.is_zero(), "timeout", "expected more than 0"),
            (self.metrics.iter().any(String::is_empty), "metrics", "a name is empty"),
            (self.metrics.iter().any(inner_star), "metrics", "a `*` may stand at the end of a name only"),
            (
                context.signal != Signal::Metrics && !self.metrics.is_empty(),
                "metrics",
                "logs and traces have no metrics to choose from",
            ),
        ];
        let wrong: Vec<_> = rules.into_iter().filter(|(is_wrong, ..)| *is_wrong).collect();
        wrong.iter().for_each(|(_, path, message)| context.error(path, *message));
        wrong.is_empty()
    }
}
