//! The config of one type of event: its fields, and the metrics and log records that are made of it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use steadyline_mapping::config::{Labels, MetricConfig, MetricType, OnNull, ValueConfig};
use steadyline_mapping::number::Number;

/// One type of event.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct EventType {
    /// Fields that must be there, with their types. An event without one, or with one of another type, is bad: it goes back to the queue, and in the end to
    /// where the queue's redrive policy says.
    pub required: BTreeMap<String, FieldType>,
    /// Fields that may be absent or null, with their types where they are there.
    pub optional: BTreeMap<String, FieldType>,
    /// A CEL condition; events for which it is not true give nothing and are deleted.
    #[serde(rename = "where")]
    pub filter: Option<String>,
    /// Labels of every metric of this type.
    pub attributes: Labels,
    /// The metrics.
    pub metrics: Vec<EventMetric>,
    /// The log record, if there is to be one.
    pub log: Option<EventLog>,
}

/// The type of a field.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum FieldType {
    /// Text.
    #[serde(alias = "str")]
    String,
    /// A whole number.
    Int,
    /// Any number.
    #[serde(alias = "float")]
    Number,
    /// True or false.
    Bool,
    /// A list.
    List,
    /// An object.
    Map,
    /// Anything but null.
    Any,
}

/// One metric of an event.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct EventMetric {
    /// The metric's name.
    pub name: String,
    /// Its unit in UCUM.
    #[serde(default)]
    pub unit: String,
    /// What it means, for people.
    #[serde(default)]
    pub description: String,
    /// What the event's number is: a value now, something to add, or an observation.
    #[serde(default, rename = "type")]
    pub kind: EventMetricType,
    /// For sums: whether it never falls. An event with a number below 0 is bad then.
    #[serde(default = "yes")]
    pub monotonic: bool,
    /// Where the number comes from. For sums 1 if it is left out: the events are counted. Where it is null there is no point.
    #[serde(default)]
    pub value: Option<ValueConfig>,
    /// For histograms: the upper bounds of the buckets, rising.
    #[serde(default)]
    pub buckets: Vec<f64>,
    /// Labels of this metric besides those of the type.
    #[serde(default)]
    pub attributes: Labels,
    /// A CEL condition; events for which it is not true give no point of this metric.
    #[serde(default, rename = "where")]
    pub filter: Option<String>,
}

fn yes() -> bool {
    true
}

/// What an event's number is.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum EventMetricType {
    /// A value at the event's time; of several the one of the latest event counts.
    #[default]
    Gauge,
    /// Something to add.
    Sum,
    /// An observation, counted by buckets.
    Histogram,
}

/// The log record of an event.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct EventLog {
    /// The text: a path or a CEL expression. Empty: the event as it came.
    pub body: String,
    /// The severity, `TRACE` to `FATAL`: a path or a CEL expression. Empty, or a word that is none of these: `INFO`.
    pub severity: String,
    /// The name of the event: a path or a CEL expression. Empty: the type.
    pub event_name: String,
    /// Attributes of the record.
    pub attributes: Labels,
}

impl EventMetric {
    /// The metric as the mapping language has it. What its number is for is not the mapping's to know.
    pub(crate) fn mapping(&self) -> MetricConfig {
        let counted = || (self.kind == EventMetricType::Sum).then_some(ValueConfig::Constant(Number::Int(1)));
        MetricConfig {
            name: self.name.clone(),
            unit: self.unit.clone(),
            description: self.description.clone(),
            kind: if self.kind == EventMetricType::Sum { MetricType::Sum } else { MetricType::Gauge },
            monotonic: self.kind == EventMetricType::Sum && self.monotonic,
            value: self.value.clone().or_else(counted),
            attributes: self.attributes.clone(),
            filter: self.filter.clone(),
            on_null: Some(OnNull::Skip),
            ..MetricConfig::default()
        }
    }
}
