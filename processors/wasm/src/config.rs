//! The keys of the processor.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steadyline_component::CreateContext;
use steadyline_component::telemetry::Signal;
use steadyline_config::{ComponentId, Duration};
use steadyline_wasm::{Keys, Limits, Restart};

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
    /// The id of a storage extension that keeps the plugin's keys and values across restarts. Unless given, they end with
    /// the process.
    pub storage: Option<ComponentId>,
    /// What the plugin may use.
    pub limits: Limits,
    /// When a plugin that fails is tried again.
    pub restart: Restart,
    /// A folder for compiled code, so that a large plugin starts at once the next time. Nobody but this user may write into
    /// it: code is run from it. Made if it is not there. Unless given, the plugin is compiled at every start.
    pub cache_directory: String,
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
            storage: None,
            limits: Limits { cpu_time: Duration::from_secs(1), ..Limits::default() },
            restart: Restart::default(),
            cache_directory: String::new(),
        }
    }
}

impl Config {
    /// What it shares with the receiver.
    pub(crate) fn keys(&self) -> Keys<'_> {
        Keys {
            path: &self.path,
            config: &self.config,
            limits: &self.limits,
            restart: &self.restart,
            cache_directory: &self.cache_directory,
            storage: self.storage.as_ref(),
            http: None,
        }
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
