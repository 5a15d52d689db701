//! The config of the `count` connector.
//! Names of metrics are keys; what is wrong with conditions is found where they are compiled.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steadyline_attributes::Constant;

/// Counts spans, span events, metrics, data points and log records into metrics.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CountConfig {
    /// What is counted of spans, by the names of the metrics that are made. Absent: all spans, as `trace.span.count`.
    pub spans: Option<BTreeMap<String, MetricConfig>>,
    /// What is counted of events of spans. Absent: all, as `trace.span.event.count`.
    pub spanevents: Option<BTreeMap<String, MetricConfig>>,
    /// What is counted of metrics. Absent: all, as `metric.count`.
    pub metrics: Option<BTreeMap<String, MetricConfig>>,
    /// What is counted of data points. Absent: all, as `metric.datapoint.count`.
    pub datapoints: Option<BTreeMap<String, MetricConfig>>,
    /// What is counted of log records. Absent: all, as `log.record.count`.
    pub logs: Option<BTreeMap<String, MetricConfig>>,
}

/// A metric that is made.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MetricConfig {
    /// What it means, for people.
    pub description: String,
    /// Conditions (OTTL), one of which must hold for an item to be counted. Empty: all are.
    pub conditions: Vec<String>,
    /// Attributes by whose values it is counted, looked up on the item, its scope and its resource.
    pub attributes: Vec<CountAttributeConfig>,
}

/// An attribute by whose values it is counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CountAttributeConfig {
    /// Its key.
    pub key: String,
    /// Its value where there is none. Absent or empty: an item without it is not counted.
    #[serde(default)]
    pub default_value: Option<Constant>,
}
