//! The keys of the receiver.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steadyline_component::CreateContext;
use steadyline_config::Duration;
use steadyline_wasm::{HttpConfig, Keys, Limits, PluginConfig};

/// What the receiver can be told.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The plugin's file: a WebAssembly component of the world `receiver`.
    pub path: String,
    /// What the plugin is told at its start, as JSON; any keys, its own to understand. No place for secrets: see
    /// `http.headers` and `http.auth`.
    pub config: serde_json::Value,
    /// From poll to poll.
    pub collection_interval: Duration,
    /// Before the first poll.
    pub initial_delay: Duration,
    /// How long one poll may take, with all its calls and requests; 0: the interval.
    pub timeout: Duration,
    /// Attributes that identify an entity of the source; see `lastvalue`.
    pub identity: Vec<String>,
    /// Whom the plugin may ask, and how.
    pub http: HttpConfig,
    /// What the plugin may use.
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            path: String::new(),
            config: serde_json::Value::Null,
            collection_interval: Duration::from_secs(60),
            initial_delay: Duration::from_secs(1),
            timeout: Duration::ZERO,
            identity: Vec::new(),
            http: HttpConfig::default(),
            limits: Limits::default(),
        }
    }
}

impl Config {
    /// What its plugin runs by, with what is shared.
    pub(crate) fn keys<'a>(&'a self, plugin: &'a PluginConfig) -> Keys<'a> {
        Keys { path: &self.path, config: &self.config, limits: &self.limits, http: Some(&self.http), plugin }
    }

    /// Reports what is wrong with its own keys; whether nothing is.
    pub(crate) fn check(&self, context: &mut CreateContext<'_>) -> bool {
        let rules = [
            (self.collection_interval < Duration::from_secs(1), "collection_interval", "expected at least 1s"),
            (self.timeout > self.collection_interval, "timeout", "expected at most `collection_interval`"),
        ];
        let wrong: Vec<_> = rules.into_iter().filter(|(is_wrong, ..)| *is_wrong).collect();
        wrong.iter().for_each(|(_, path, message)| context.error(path, *message));
        wrong.is_empty()
    }
}
