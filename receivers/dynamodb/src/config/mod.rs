//! The receiver's config: what is read, how often, and what is made of it.

mod mapping;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

pub use mapping::{
    AggregateConfig, AggregateOp, As, CountOf, Labels, MetricConfig, MetricType, OnNull, TemporalityConfig, ValueConfig,
};

/// Polls a DynamoDB table, or one of its indexes, and turns the items into metrics.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// A CEL condition; items for which it is not true give nothing. Absent attributes are null in it, never an error.
    #[serde(default, rename = "where")]
    pub filter: Option<String>,
    /// The labels that say which entity an item is. They are on every metric, must not change while the entity exists, and every per-item metric needs
    /// them.
    #[serde(default)]
    pub identity: Labels,
    /// Constant resource attributes, such as the environment.
    #[serde(default)]
    pub resource: BTreeMap<String, String>,
    /// Labels of every per-item metric besides identity. A label whose value changes forks the line: what changes belongs into an `info` metric.
    #[serde(default)]
    pub attributes: Labels,
    /// The metrics made from every item.
    #[serde(default)]
    pub metrics: Vec<MetricConfig>,
    /// The metrics made from all items together, sent only after a complete pass.
    #[serde(default)]
    pub aggregates: Vec<AggregateConfig>,
    /// Which of two items with the same identity counts: the one for which this CEL expression gives the greater value (numbers, strings, dates as strings).
    /// Where it does not decide, and without it, the one that comes last in the order of the table's key.
    #[serde(default)]
    pub prefer: Option<String>,
    /// What becomes of a point whose value is null because an attribute is absent or NULL.
    #[serde(default)]
    pub on_null: OnNull,
    /// Named lists, for `count_of` and, as `lists.<name>`, in expressions.
    #[serde(default)]
    pub lists: BTreeMap<String, Vec<String>>,
    /// The table's key attributes, partition key first. Learned from the table if not given; needed where the table may not be described.
    #[serde(default)]
    pub key: Vec<String>,
    /// The longest value of a label, in bytes; longer ones are cut and counted. An identity that is longer is skipped, as cutting it could make two
    /// entities one.
    #[serde(default = "default_max_label_bytes")]
    #[schemars(range(min = 1))]
    pub max_label_bytes: usize,
}

fn default_max_label_bytes() -> usize {
    2048
}
