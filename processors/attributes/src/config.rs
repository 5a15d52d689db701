//! The config of the `attributes` processor.
//! What is meant, and what is done to it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steadyline_attributes::matching::Spelling;
use steadyline_attributes::{ActionConfig, MatchConfig, Problems, Selection};
use steadyline_component::telemetry::Signal;

/// Changes attributes of data points, spans and log records.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AttributesConfig {
    /// What is changed; absent: everything.
    pub include: Option<MatchConfig>,
    /// What of it is left alone.
    pub exclude: Option<MatchConfig>,
    /// What is done, in this order.
    pub actions: Vec<ActionConfig>,
}

impl AttributesConfig {
    pub(crate) fn selection(&self, signal: Signal, problems: &mut Problems) -> Selection {
        let mut compile = |config: &Option<MatchConfig>, path: &str| {
            config.as_ref().map(|config| config.compile(signal, path, Spelling::PLAIN, problems))
        };
        Selection { include: compile(&self.include, "include"), exclude: compile(&self.exclude, "exclude") }
    }
}
