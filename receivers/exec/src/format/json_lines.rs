//! One JSON object a line: `{"name": "queue_depth", "value": 3, "attributes": {"queue": "a"}}`.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Map, Value as Json};
use steadyline_component::telemetry::metrics::{MetricDef, MetricRef, NumberValue};
use steadyline_component::telemetry::{MetricKind, Metrics, MetricsBuilder, Slot, Temporality, Value};

/// The documented schema.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    name: String,
    /// A number, a text that is one, or null: "there, and not known now".
    value: Json,
    #[serde(default)]
    attributes: Map<String, Json>,
    #[serde(default)]
    kind: Kind,
    #[serde(default)]
    unit: String,
    #[serde(default)]
    description: String,
    time: Option<Json>,
    start: Option<Json>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    #[default]
    Gauge,
    Counter,
    Updown,
    Delta,
}

/// A batch in the making.
pub(super) struct Batch {
    builder: MetricsBuilder,
    time: u64,
    metrics: HashMap<(String, Kind, String), MetricRef>,
}

impl Batch {
    pub(super) fn new(builder: MetricsBuilder, time: u64) -> Batch {
        Batch { builder, time, metrics: HashMap::new() }
    }

    /// Adds the point of a line, or nothing.
    pub(super) fn add(&mut self, text: &[u8]) -> Result<(), String> {
        let line: Line = serde_json::from_slice(text).map_err(|error| words(&error))?;
        if line.name.is_empty() {
            return Err("`name` is empty".into());
        }
        let value = number(&line.value).map_err(|error| format!("`value`: {error}"))?;
        let time = line.time.as_ref().map(nanos).transpose().map_err(|error| format!("`time`: {error}"))?;
        let start = line.start.as_ref().map(nanos).transpose().map_err(|error| format!("`start`: {error}"))?;
        let pairs: Vec<(&str, Value<'_>)> = line.attributes.iter().filter_map(attribute).collect::<Result<_, _>>()?;
        let metric = self.metric(&line);
        let shape = self.builder.shape(pairs.iter().map(|(key, _)| *key));
        let values: Vec<Slot> = pairs.iter().map(|(_, value)| self.builder.value(*value)).collect();
        self.builder.number(metric, shape, &values, time.unwrap_or(self.time), start.unwrap_or(0), value);
        Ok(())
    }

    pub(super) fn finish(self) -> Metrics {
        self.builder.finish()
    }

    fn metric(&mut self, line: &Line) -> MetricRef {
        let key = (line.name.clone(), line.kind, line.unit.clone());
        let builder = &mut self.builder;
        *self.metrics.entry(key).or_insert_with(|| {
            let sum = |temporality, monotonic| MetricKind::Sum { temporality, monotonic };
            let kind = match line.kind {
                Kind::Gauge => MetricKind::Gauge,
                Kind::Counter => sum(Temporality::Cumulative, true),
                Kind::Updown => sum(Temporality::Cumulative, false),
                Kind::Delta => sum(Temporality::Delta, true),
            };
            builder.metric(MetricDef { name: &line.name, description: &line.description, unit: &line.unit, kind })
        })
    }
}

/// The error without its line, which is always 1 here, and not for ever long.
fn words(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.replace(" at line 1 column ", ", column ");
    text.chars().take(200).collect()
}

fn number(value: &Json) -> Result<NumberValue, String> {
    match value {
        Json::Null => Ok(NumberValue::Held),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(int), _) => Ok(NumberValue::Int(int)),
            (None, Some(double)) if double.is_finite() => Ok(NumberValue::Double(double)),
            _ => Err("it is too large for a number".into()),
        },
        Json::String(text) => match text.as_str() {
            "NaN" => Ok(NumberValue::Double(f64::NAN)),
            "Inf" | "+Inf" => Ok(NumberValue::Double(f64::INFINITY)),
            "-Inf" => Ok(NumberValue::Double(f64::NEG_INFINITY)),
            _ => Err("expected a number, `null`, or one of the texts `NaN`, `Inf`, `-Inf`".into()),
        },
        _ => Err("expected a number or `null`".into()),
    }
}

/// A time as Unix seconds or RFC 3339 text, in nanoseconds.
fn nanos(time: &Json) -> Result<u64, String> {
    const EXPECTED: &str = "expected Unix seconds or a text such as `2026-01-31T12:00:00Z`";
    let nanos = match time {
        Json::Number(number) => match (number.as_u64(), number.as_f64()) {
            (Some(seconds), _) => seconds.checked_mul(1_000_000_000),
            (None, Some(seconds)) if seconds > 0.0 && seconds < 1.8e10 => Some((seconds * 1e9) as u64),
            _ => None,
        },
        Json::String(text) => {
            text.parse::<jiff::Timestamp>().ok().and_then(|time| u64::try_from(time.as_nanosecond()).ok())
        }
        _ => None,
    };
    nanos.filter(|nanos| *nanos > 0).ok_or_else(|| EXPECTED.to_string())
}

/// An attribute as a value; none for `null`.
fn attribute<'a>((key, value): (&'a String, &'a Json)) -> Option<Result<(&'a str, Value<'a>), String>> {
    let value = match value {
        Json::Null => return None,
        Json::Bool(bool) => Value::Bool(*bool),
        Json::String(text) => Value::text(text),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(int), _) => Value::Int(int),
            (None, Some(double)) => Value::Double(double),
            (None, None) => return Some(Err(format!("`attributes.{key}` is too large for a number"))),
        },
        Json::Array(_) | Json::Object(_) => {
            return Some(Err(format!("`attributes.{key}`: expected text, a number, or true or false")));
        }
    };
    if key.is_empty() { Some(Err("an attribute has no name".into())) } else { Some(Ok((key.as_str(), value))) }
}
