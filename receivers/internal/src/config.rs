//! The config of the receiver `internal`: when to read.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steadyline_component::Schedule;
use steadyline_config::Duration;

/// Puts the process's own metrics into a pipeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct InternalConfig {
    /// From one reading to the next, at least 1s; aligned to multiples of itself on the wall clock.
    pub collection_interval: Duration,
    /// Before the first reading.
    pub initial_delay: Duration,
    /// How long a reading may wait for room in the exporters' queues; 0 = the interval.
    pub timeout: Duration,
}

impl Default for InternalConfig {
    fn default() -> Self {
        InternalConfig {
            collection_interval: Duration::from_secs(60),
            initial_delay: Duration::from_secs(1),
            timeout: Duration::ZERO,
        }
    }
}

impl InternalConfig {
    pub(crate) fn schedule(&self) -> Schedule {
        Schedule {
            interval: self.collection_interval.get(),
            initial_delay: self.initial_delay.get(),
            timeout: self.timeout.get(),
        }
    }
}
