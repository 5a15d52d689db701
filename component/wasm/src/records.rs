//! Metrics that plugins made as records, as a batch. Receivers and processors have the same records in types of their own.

/// Reads the records of one world.
macro_rules! records {
    ($name:ident, $types:path, $value:ident) => {
        /// The records of one world.
        pub mod $name {
            use steadyline_component::telemetry::metrics::{MetricDef, NumberValue};
            use steadyline_component::telemetry::{
                MetricKind, Metrics, MetricsBuilder, ShapeId, Slot, Temporality, Value,
            };
            use $types as types;

            /// Records as a batch. Points that say no time get `time`.
            ///
            /// # Errors
            /// What of it cannot be; nothing counts then.
            pub fn metrics(records: &[types::ResourceMetrics], time: u64) -> Result<Metrics, String> {
                let mut builder = MetricsBuilder::new();
                for record in records {
                    let pairs = pairs(&record.resource).map_err(|words| format!("a resource: {words}"))?;
                    builder.resource(pairs);
                    for metric in &record.metrics {
                        let named = |words| format!("the metric `{}`: {words}", metric.name);
                        add(&mut builder, metric, time).map_err(named)?;
                    }
                }
                Ok(builder.finish())
            }

            fn add(builder: &mut MetricsBuilder, metric: &types::Metric, now: u64) -> Result<(), String> {
                let types::Metric { name, unit, description, kind, points } = metric;
                if name.is_empty() {
                    return Err("it has no name".into());
                }
                let kind = kind_of(*kind).ok_or("its kind is seen and not made; use OTLP")?;
                let row = builder.metric(MetricDef { name, description, unit, kind });
                let mut last: (&[types::Attribute], ShapeId) = (&[], ShapeId::EMPTY);
                let mut values = Vec::new();
                for point in points {
                    let number = number(point.value).ok_or("its points are seen and not made; use OTLP")?;
                    let pairs = pairs(&point.attributes)?;
                    if !has_same_keys(last.0, &point.attributes) {
                        last = (&point.attributes, builder.shape(pairs.iter().map(|(key, _)| *key)));
                    }
                    values.clear();
                    values.extend(pairs.iter().map(|(_, value)| -> Slot { builder.value(*value) }));
                    let time = if point.time == 0 { now } else { point.time };
                    builder.number(row, last.1, &values, time, point.start, number);
                }
                Ok(())
            }

            fn has_same_keys(a: &[types::Attribute], b: &[types::Attribute]) -> bool {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.key == b.key)
            }

            fn pairs(attributes: &[types::Attribute]) -> Result<Vec<(&str, Value<'_>)>, String> {
                attributes.iter().map(|attribute| Ok((key(&attribute.key)?, value(&attribute.value)?))).collect()
            }

            fn key(key: &str) -> Result<&str, String> {
                if key.is_empty() { Err("an attribute has no name".into()) } else { Ok(key) }
            }

            /// A value of an attribute.
            ///
            /// # Errors
            /// It is one that plugins cannot make.
            pub fn value(value: &types::$value) -> Result<Value<'_>, String> {
                Ok(match value {
                    types::$value::Text(text) => Value::text(text),
                    types::$value::Boolean(value) => Value::Bool(*value),
                    types::$value::Integer(value) => Value::Int(*value),
                    types::$value::Double(value) => Value::Double(*value),
                    types::$value::Bytes(bytes) => Value::Bytes(bytes),
                    types::$value::Structured(_) => {
                        return Err("an attribute is `structured`: lists and maps are seen and not made".into());
                    }
                })
            }

            /// A number; none for what plugins cannot make.
            pub fn number(number: types::Number) -> Option<NumberValue> {
                Some(match number {
                    types::Number::Integer(value) => NumberValue::Int(value),
                    types::Number::Double(value) => NumberValue::Double(value),
                    types::Number::Unknown => NumberValue::Held,
                    types::Number::Ended => NumberValue::NoValue,
                    types::Number::Distribution(_) => return None,
                })
            }

            fn kind_of(kind: types::Kind) -> Option<MetricKind> {
                let sum = |temporality, monotonic| MetricKind::Sum { temporality, monotonic };
                Some(match kind {
                    types::Kind::Gauge => MetricKind::Gauge,
                    types::Kind::Counter => sum(Temporality::Cumulative, true),
                    types::Kind::UpDown => sum(Temporality::Cumulative, false),
                    types::Kind::Delta => sum(Temporality::Delta, true),
                    types::Kind::Other => return None,
                })
            }
        }
    };
}

// A receiver's attribute values are `Value`; a processor is given some too, so what it gives is `ValueResult`.
mod processor_types {
    pub(super) use crate::bindings::processor::steadyline::plugin::types::{
        AttributeResult as Attribute, Kind, Metric, Number, ResourceMetrics, ValueResult,
    };
}

records!(receiver, crate::bindings::receiver::steadyline::plugin::types, Value);
records!(processor, super::processor_types, ValueResult);
