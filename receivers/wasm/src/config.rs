//! The keys of the receiver.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steadyline_component::CreateContext;
use steadyline_config::{ComponentId, Duration};
use steadyline_wasm::{HttpConfig, Keys, Limits, Restart};

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
            storage: None,
            limits: Limits::default(),
            restart: Restart::default(),
            cache_directory: String::new(),
        }
    }
}

impl Config {
    /// What it shares with the processor.
    pub(crate) fn keys(&self) -> Keys<'_> {
        Keys {
            path: &self.path,
            config: &self.config,
            limits: &self.limits,
            restart: &self.restart,
            cache_directory: &self.cache_directory,
            storage: self.storage.as_ref(),
            http: Some(&self.http),
        }
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
