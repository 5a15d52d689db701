//! `service.telemetry.logs`: the process's own log lines.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steadyline_config::Duration;

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
