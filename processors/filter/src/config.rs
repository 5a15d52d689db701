//! The config of the `filter` processor: the Collector's three generations of keys.
//! What is wrong with it is found where it is compiled.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use steadyline_attributes::MatchConfig;
use steadyline_attributes::matching::{AttributeConfig, MatchType, RegexpConfig, SeverityConfig};

/// Drops data points, spans, span events and log records.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FilterConfig {
    /// What happens if a condition fails on an item. None can fail here: accepted, without effect.
    pub error_mode: ErrorMode,
    /// Which metrics and data points.
    pub metrics: MetricsConfig,
    /// Which spans, by names and attributes.
    pub spans: SpansConfig,
    /// Which spans and span events, by conditions.
    pub traces: TracesConfig,
    /// Which log records.
    pub logs: LogsConfig,
    /// Conditions about metrics whose paths say their context: `metric.name == "x"`. A match drops.
    pub metric_conditions: Vec<ConditionConfig>,
    /// Conditions about traces whose paths say their context: `span.name == "x"`. A match drops.
    pub trace_conditions: Vec<ConditionConfig>,
    /// Conditions about logs whose paths say their context: `log.body == "x"`. A match drops.
    pub log_conditions: Vec<ConditionConfig>,
}

/// What happens if a condition fails on an item.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorMode {
    /// The condition does not hold, and a line is logged.
    #[default]
    Ignore,
    /// The condition does not hold.
    Silent,
    /// The batch is lost.
    Propagate,
}

/// Which metrics and data points are dropped.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsConfig {
    /// What is kept.
    pub include: Option<MetricMatchConfig>,
    /// What is dropped.
    pub exclude: Option<MetricMatchConfig>,
    /// Conditions about resources. A match drops all below.
    pub resource: Vec<String>,
    /// Conditions about metrics. A match drops all points of the metric.
    pub metric: Vec<String>,
    /// Conditions about data points. A match drops the point.
    pub datapoint: Vec<String>,
}

/// Metrics by their names and resources.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MetricMatchConfig {
    /// How texts are compared.
    pub match_type: MetricMatchType,
    /// Tunes a cache that is not needed here; has no effect.
    #[serde(default)]
    pub regexp: Option<RegexpConfig>,
    /// The names of metrics.
    #[serde(default)]
    pub metric_names: Vec<String>,
    /// Attributes of the resource, all of which must fit.
    #[serde(default)]
    pub resource_attributes: Vec<AttributeConfig>,
}

/// How texts are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MetricMatchType {
    /// Equal.
    Strict,
    /// By a regular expression that matches somewhere in the text.
    Regexp,
    /// Not supported: write a condition under `metrics.metric` or `metrics.datapoint`.
    Expr,
}

/// Which spans are dropped, by names and attributes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SpansConfig {
    /// What is kept.
    pub include: Option<MatchConfig>,
    /// What is dropped.
    pub exclude: Option<MatchConfig>,
}

/// Which spans and span events are dropped, by conditions.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TracesConfig {
    /// Conditions about resources. A match drops all below.
    pub resource: Vec<String>,
    /// Conditions about spans. A match drops the span.
    pub span: Vec<String>,
    /// Conditions about events of spans. A match drops the event.
    pub spanevent: Vec<String>,
}

/// Which log records are dropped.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LogsConfig {
    /// What is kept.
    pub include: Option<LogMatchConfig>,
    /// What is dropped.
    pub exclude: Option<LogMatchConfig>,
    /// Conditions about resources. A match drops all below.
    pub resource: Vec<String>,
    /// Conditions about log records. A match drops the record.
    pub log_record: Vec<String>,
}

/// Log records by attributes, bodies and severity; all of what is given must fit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogMatchConfig {
    /// How texts are compared.
    pub match_type: MatchType,
    /// Attributes of the resource, all of which must fit.
    #[serde(default)]
    pub resource_attributes: Vec<AttributeConfig>,
    /// Attributes of the record, all of which must fit.
    #[serde(default)]
    pub record_attributes: Vec<AttributeConfig>,
    /// The severity as text: one of these.
    #[serde(default)]
    pub severity_texts: Vec<String>,
    /// The body, if it is text: one of these.
    #[serde(default)]
    pub bodies: Vec<String>,
    /// The least severity as a number.
    #[serde(default)]
    pub severity_number: Option<SeverityConfig>,
}

/// A condition, or several about one context.
#[derive(Debug, Clone, PartialEq)]
pub enum ConditionConfig {
    /// A condition whose paths say what they are about.
    One(String),
    /// Conditions about one context.
    List(ConditionList),
}

/// Conditions about one context.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ConditionList {
    /// What the conditions are about: `resource`, `scope`, `metric`, `datapoint`, `span`, `spanevent`, `log`. Empty: their paths
    /// say so.
    pub context: String,
    /// What happens if a condition fails on an item. None can fail here: accepted, without effect.
    pub error_mode: ErrorMode,
    /// The conditions. A match drops.
    pub conditions: Vec<String>,
}

impl Serialize for ConditionConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            ConditionConfig::One(text) => text.serialize(serializer),
            ConditionConfig::List(list) => list.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for ConditionConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ConditionVisitor;
        impl<'de> Visitor<'de> for ConditionVisitor {
            type Value = ConditionConfig;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a condition, or `context` and `conditions`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ConditionConfig, E> {
                Ok(ConditionConfig::One(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ConditionConfig, A::Error> {
                ConditionList::deserialize(MapAccessDeserializer::new(map)).map(ConditionConfig::List)
            }
        }
        deserializer.deserialize_any(ConditionVisitor)
    }
}

impl JsonSchema for ConditionConfig {
    fn schema_name() -> Cow<'static, str> {
        "ConditionConfig".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let list = generator.subschema_for::<ConditionList>();
        json_schema!({
            "description": "A condition whose paths say what they are about, or several about one context.",
            "anyOf": [{"type": "string"}, list],
        })
    }
}
