//! Where numbers come from: the forms that a value and a list to count can be written in, and numbers themselves.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Serialize};

use crate::number::Number;

/// Where a number comes from: a number, a CEL expression as text, or one of the keys below.
#[derive(Clone, Debug, PartialEq)]
pub enum ValueConfig {
    /// A CEL expression that gives a number, a bool or a time.
    Expression(String),
    /// Always this number.
    Constant(Number),
    /// The number of elements, entries or characters of an attribute; 0 if it is absent.
    Size(String),
    /// The number of elements of a list in the config.
    CountOf(CountOf),
    /// The number in an attribute.
    Attribute(String, As),
    /// The date in an attribute, as Unix seconds.
    Date(String),
}

/// How the number in an attribute is to be had.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum As {
    /// From a number, a bool (0 or 1) or a string that holds a number, whichever it is.
    #[default]
    Auto,
    /// From a number only.
    Number,
    /// From a bool only: 0 or 1.
    Bool,
    /// From a string that holds a number only.
    StringNumber,
    /// The size of a list, set, map, string or binary.
    Size,
    /// Unix seconds from a date in a string.
    Date,
}

/// A list whose elements are counted: written here, or one of the receiver's `lists` by name.
#[derive(Clone, Debug, PartialEq)]
pub enum CountOf {
    /// The elements themselves.
    Elements(Vec<String>),
    /// The name of a list under `lists`.
    Named(String),
}

/// The map form of [`ValueConfig`], of which exactly one key (and `as` beside `attribute`) is used.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ValueForm {
    /// The number of elements, entries or characters of an attribute; 0 if it is absent.
    #[serde(default)]
    size: Option<String>,
    /// The number of elements of a list: the list, or the name of one under `lists`.
    #[serde(default)]
    count_of: Option<CountOf>,
    /// The number in an attribute.
    #[serde(default)]
    attribute: Option<String>,
    /// How the number in `attribute` is to be had.
    #[serde(default, rename = "as")]
    read_as: Option<As>,
    /// The date in an attribute (RFC 3339 or date only), as Unix seconds.
    #[serde(default)]
    date: Option<String>,
    /// Always this number.
    #[serde(default)]
    constant: Option<Number>,
    /// A CEL expression that gives a number, a bool or a time.
    #[serde(default)]
    cel: Option<String>,
}

const VALUE_KEYS: &str = "one of `size`, `count_of`, `attribute`, `date`, `constant`, `cel`";

impl ValueForm {
    fn build(self) -> Result<ValueConfig, String> {
        let read_as = self.read_as;
        let attribute = self.attribute.map(|path| ValueConfig::Attribute(path, read_as.unwrap_or_default()));
        let forms = [
            self.size.map(ValueConfig::Size),
            self.count_of.map(ValueConfig::CountOf),
            attribute,
            self.date.map(ValueConfig::Date),
            self.constant.map(ValueConfig::Constant),
            self.cel.map(ValueConfig::Expression),
        ];
        let mut given = forms.into_iter().flatten();
        match (given.next(), given.next()) {
            (Some(value), None) if read_as.is_some() && !matches!(value, ValueConfig::Attribute(..)) => {
                Err("`as` goes with `attribute` only".to_owned())
            }
            (Some(value), None) => Ok(value),
            (None, _) => Err(format!("a value needs {VALUE_KEYS}")),
            (Some(_), Some(_)) => Err(format!("a value takes only {VALUE_KEYS}")),
        }
    }
}

impl<'de> Deserialize<'de> for ValueConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ValueVisitor;
        impl<'de> Visitor<'de> for ValueVisitor {
            type Value = ValueConfig;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a number, a CEL expression, or {VALUE_KEYS}")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ValueConfig, E> {
                Ok(ValueConfig::Expression(text.to_owned()))
            }

            fn visit_i64<E: de::Error>(self, int: i64) -> Result<ValueConfig, E> {
                Ok(ValueConfig::Constant(Number::Int(int)))
            }

            fn visit_u64<E: de::Error>(self, uint: u64) -> Result<ValueConfig, E> {
                Ok(ValueConfig::Constant(unsigned(uint)))
            }

            fn visit_f64<E: de::Error>(self, float: f64) -> Result<ValueConfig, E> {
                Ok(ValueConfig::Constant(Number::Float(float)))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ValueConfig, A::Error> {
                ValueForm::deserialize(MapAccessDeserializer::new(map))?.build().map_err(de::Error::custom)
            }
        }
        deserializer.deserialize_any(ValueVisitor)
    }
}

impl JsonSchema for ValueConfig {
    fn schema_name() -> Cow<'static, str> {
        "ValueConfig".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let form = generator.subschema_for::<ValueForm>();
        json_schema!({
            "description": "Where a number comes from: a number, a CEL expression, or one of the forms.",
            "anyOf": [{"type": "number"}, {"type": "string"}, form],
        })
    }
}

impl<'de> Deserialize<'de> for CountOf {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct CountVisitor;
        impl<'de> Visitor<'de> for CountVisitor {
            type Value = CountOf;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list, or the name of one under `lists`")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<CountOf, E> {
                Ok(CountOf::Named(name.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<CountOf, A::Error> {
                let mut elements = Vec::new();
                while let Some(element) = seq.next_element()? {
                    elements.push(element);
                }
                Ok(CountOf::Elements(elements))
            }
        }
        deserializer.deserialize_any(CountVisitor)
    }
}

impl JsonSchema for CountOf {
    fn schema_name() -> Cow<'static, str> {
        "CountOf".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A list, or the name of one under `lists`.",
            "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
        })
    }
}

fn unsigned(uint: u64) -> Number {
    i64::try_from(uint).map_or(Number::Float(uint as f64), Number::Int)
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberVisitor;
        impl Visitor<'_> for NumberVisitor {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }

            fn visit_i64<E: de::Error>(self, int: i64) -> Result<Number, E> {
                Ok(Number::Int(int))
            }

            fn visit_u64<E: de::Error>(self, uint: u64) -> Result<Number, E> {
                Ok(unsigned(uint))
            }

            fn visit_f64<E: de::Error>(self, float: f64) -> Result<Number, E> {
                Ok(Number::Float(float))
            }
        }
        deserializer.deserialize_any(NumberVisitor)
    }
}

impl Serialize for Number {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Number::Int(int) => serializer.serialize_i64(*int),
            Number::Float(float) => serializer.serialize_f64(*float),
        }
    }
}

impl JsonSchema for Number {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Number".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "number"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_in_every_form() {
        let cases: &[(&str, ValueConfig)] = &[
            ("5", ValueConfig::Constant(Number::Int(5))),
            ("-2.5", ValueConfig::Constant(Number::Float(-2.5))),
            (r#""size(a) + 1""#, ValueConfig::Expression("size(a) + 1".into())),
            (r#"{"size": "a.b"}"#, ValueConfig::Size("a.b".into())),
            (r#"{"count_of": ["x", "y"]}"#, ValueConfig::CountOf(CountOf::Elements(vec!["x".into(), "y".into()]))),
            (r#"{"count_of": "steps"}"#, ValueConfig::CountOf(CountOf::Named("steps".into()))),
            (r#"{"attribute": "n"}"#, ValueConfig::Attribute("n".into(), As::Auto)),
            (r#"{"attribute": "n", "as": "string_number"}"#, ValueConfig::Attribute("n".into(), As::StringNumber)),
            (r#"{"date": "when"}"#, ValueConfig::Date("when".into())),
            (r#"{"constant": 1}"#, ValueConfig::Constant(Number::Int(1))),
            (r#"{"cel": "n * 2"}"#, ValueConfig::Expression("n * 2".into())),
        ];
        for (text, expected) in cases {
            assert_eq!(serde_json::from_str::<ValueConfig>(text).expect(text), *expected, "{text}");
        }
    }

    #[test]
    fn values_that_are_none_say_what_is_missing() {
        for (text, part) in [
            ("{}", "a value needs one of `size`"),
            (r#"{"size": "a", "date": "b"}"#, "a value takes only one of `size`"),
            (r#"{"size": "a", "as": "number"}"#, "`as` goes with `attribute` only"),
            (r#"{"sise": "a"}"#, "unknown field `sise`"),
            ("true", "expected a number, a CEL expression, or one of"),
        ] {
            let error = serde_json::from_str::<ValueConfig>(text).expect_err(text).to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
