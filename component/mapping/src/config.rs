//! The config of a mapping: metrics, values, labels, aggregates. Types only; what they mean is compiled by [`crate::mapping`].

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

mod value;
mod whole;

pub use value::{As, CountOf, ValueConfig};
pub use whole::{DEFAULT_MAX_LABEL_BYTES, MappingConfig, Subject};

/// Labels: the label's name, and the attribute (`account_id`, `address.city`) or CEL expression that gives its value.
pub type Labels = BTreeMap<String, String>;

/// One metric, made from every item that passes the filter.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct MetricConfig {
    /// The metric's name.
    pub name: String,
    /// Its unit in UCUM, such as `{step}`, `s` or `By`.
    #[serde(default)]
    pub unit: String,
    /// What it means, for people.
    #[serde(default)]
    pub description: String,
    /// Whether it is a value now or a sum.
    #[serde(default, rename = "type")]
    pub kind: MetricType,
    /// For sums: whether it never falls.
    #[serde(default)]
    pub monotonic: bool,
    /// For sums: since the start, or since the last poll.
    #[serde(default)]
    pub temporality: TemporalityConfig,
    /// Where the number comes from. Every metric has either this or `info`.
    #[serde(default)]
    pub value: Option<ValueConfig>,
    /// Makes it an info metric: its value is 1 and these labels say what may change about an entity, such as its name. When one changes, the old
    /// series ends and a new one begins; the other metrics' lines go on.
    #[serde(default)]
    pub info: Option<Labels>,
    /// Labels of this metric besides identity and the common ones.
    #[serde(default)]
    pub attributes: Labels,
    /// A CEL condition; items for which it is not true give no point of this metric.
    #[serde(default, rename = "where")]
    pub filter: Option<String>,
    /// What to do where the value is null; the receiver's `on_null` if not said.
    #[serde(default)]
    pub on_null: Option<OnNull>,
}

/// Whether a metric is a value now or a sum of increments.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum MetricType {
    /// A value now.
    #[default]
    Gauge,
    /// A sum of increments.
    Sum,
}

/// What a sum counts from.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum TemporalityConfig {
    /// Since the start.
    #[default]
    Cumulative,
    /// Since the last poll.
    Delta,
}

/// What becomes of a point whose value is null because an attribute is absent or NULL.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum OnNull {
    /// No point, and the series keeps its last value: the item is there, only its value is not known.
    #[default]
    Hold,
    /// No point, and the series ends as if the item were gone.
    Skip,
    /// The value 0.
    Zero,
}

/// One aggregate over all items that pass the filter.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct AggregateConfig {
    /// The metric's name. A histogram gives gauges `<name>_bucket`, `<name>_sum` and `<name>_count`.
    pub name: String,
    /// Its unit in UCUM.
    #[serde(default)]
    pub unit: String,
    /// What it means, for people.
    #[serde(default)]
    pub description: String,
    /// What is computed.
    pub op: AggregateOp,
    /// The value of each item: an attribute or a CEL expression. Items for which it is null do not count. `count` needs none.
    #[serde(default)]
    pub of: Option<String>,
    /// One result for each combination of these labels.
    #[serde(default)]
    pub by: Labels,
    /// For histograms: the upper bounds of the buckets, rising; `+Inf` is added.
    #[serde(default)]
    pub buckets: Vec<f64>,
    /// A CEL condition; only items for which it is true take part.
    #[serde(default, rename = "where")]
    pub filter: Option<String>,
    /// How many groups may be known at a time; items of further ones are counted as skipped.
    #[serde(default = "default_max_groups")]
    pub max_groups: usize,
}

fn default_max_groups() -> usize {
    1000
}

/// What an aggregate computes.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum AggregateOp {
    /// How many items; with `of`, how many whose value is neither null nor false.
    Count,
    /// The sum of the values.
    Sum,
    /// The least value.
    Min,
    /// The greatest value.
    Max,
    /// How many values lie at or below each bound.
    Histogram,
}
