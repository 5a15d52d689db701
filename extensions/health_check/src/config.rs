//! The config of the `health_check` extension: the Collector's keys.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steadyline_config::Duration;

/// Answers whether the process is live and ready.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where to listen, as `host:port`. An empty host means every interface.
    pub endpoint: String,
    /// The path that says whether the process is ready; `/ready` does so as well.
    pub path: String,
    /// Fixed bodies for `path` and `/ready`, in place of the JSON that names what is wrong.
    pub response_body: ResponseBody,
    /// What costs readiness.
    pub component_health: ComponentHealth,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            endpoint: "localhost:13133".into(),
            path: "/".into(),
            response_body: ResponseBody::default(),
            component_health: ComponentHealth::default(),
        }
    }
}

/// Fixed bodies.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ResponseBody {
    /// The body when ready; empty for JSON.
    pub healthy: String,
    /// The body when not; empty for JSON.
    pub unhealthy: String,
}

impl ResponseBody {
    pub(crate) fn of(&self, is_ready: bool) -> &str {
        if is_ready { &self.healthy } else { &self.unhealthy }
    }
}

/// What costs readiness.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ComponentHealth {
    /// A worker that is gone, and that nobody told to stop.
    pub include_permanent_errors: bool,
    /// An exporter that has failed for longer than `recovery_duration`.
    pub include_recoverable_errors: bool,
    /// How long an exporter may fail.
    pub recovery_duration: Duration,
}

impl Default for ComponentHealth {
    fn default() -> Self {
        ComponentHealth {
            include_permanent_errors: true,
            include_recoverable_errors: true,
            recovery_duration: Duration::from_secs(60),
        }
    }
}
