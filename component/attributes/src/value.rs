//! One way to read a value, wherever it lies: in a batch of metrics, in a decoded tree, or in the config.
//! Text, hashes and conversions are the same for all of them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList};
use prost::Message;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use sha2::{Digest, Sha256};
use steadyline_telemetry::wire::put_varint;
use steadyline_telemetry::{Value, ValueKind};

/// A value that was read: borrowed where it lies, or an array or map of a tree as the bytes that a batch would hold.
#[derive(Debug, Clone)]
pub enum Read<'a> {
    /// Borrowed.
    Plain(Value<'a>),
    /// Bytes of this kind.
    Encoded(ValueKind, Vec<u8>),
}

impl<'a> Read<'a> {
    /// No value.
    pub const NOTHING: Read<'static> = Read::Plain(Value::Empty);

    /// Text.
    pub fn text(text: &'a str) -> Read<'a> {
        Read::Plain(Value::text(text))
    }

    /// A value of a tree.
    pub fn any(any: Option<&'a AnyValue>) -> Read<'a> {
        let Some(value) = any.and_then(|any| any.value.as_ref()) else { return Read::NOTHING };
        Read::Plain(match value {
            Any::StringValue(text) => Value::text(text),
            Any::BoolValue(value) => Value::Bool(*value),
            Any::IntValue(value) => Value::Int(*value),
            Any::DoubleValue(value) => Value::Double(*value),
            Any::BytesValue(bytes) => Value::Bytes(bytes),
            Any::ArrayValue(array) => return Read::Encoded(ValueKind::Array, array.encode_to_vec()),
            Any::KvlistValue(map) => return Read::Encoded(ValueKind::Map, map.encode_to_vec()),
            // A reference into the dictionary of a signal that is none of ours.
            Any::StringValueStrindex(_) => Value::Empty,
        })
    }

    /// The value.
    pub fn value(&self) -> Value<'_> {
        match self {
            Read::Plain(value) => *value,
            Read::Encoded(kind, bytes) => Value::new(*kind, bytes),
        }
    }
}

/// A value as a tree holds it.
pub fn to_any(value: Value<'_>) -> AnyValue {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let value = match value {
        Value::Empty => None,
        Value::Str(bytes) => Some(Any::StringValue(text(bytes))),
        Value::Bool(value) => Some(Any::BoolValue(value)),
        Value::Int(value) => Some(Any::IntValue(value)),
        Value::Double(value) => Some(Any::DoubleValue(value)),
        Value::Bytes(bytes) => Some(Any::BytesValue(bytes.to_vec())),
        Value::Array(bytes) => ArrayValue::decode(bytes).ok().map(Any::ArrayValue),
        Value::Map(bytes) => KeyValueList::decode(bytes).ok().map(Any::KvlistValue),
    };
    AnyValue { value }
}

/// A value as text, as a backend would show it.
pub fn text(value: Value<'_>) -> Cow<'_, str> {
    if let Value::Str(bytes) = value {
        return String::from_utf8_lossy(bytes);
    }
    let mut out = Vec::new();
    steadyline_prometheus::put_attribute(&mut out, value);
    Cow::Owned(String::from_utf8(out).unwrap_or_default())
}

/// The SHA-256 of a value in hexadecimal digits. Numbers are hashed as eight little-endian bytes, a bool as one byte,
/// arrays and maps as their text; what is empty stays empty.
pub fn hash(value: Value<'_>) -> String {
    let number;
    let composite;
    let bytes: &[u8] = match value {
        Value::Empty => &[],
        Value::Str(bytes) | Value::Bytes(bytes) => bytes,
        Value::Bool(value) => [&[0u8], &[1u8]][usize::from(value)],
        Value::Int(value) => {
            number = value.to_le_bytes();
            &number
        }
        Value::Double(value) => {
            number = value.to_bits().to_le_bytes();
            &number
        }
        Value::Array(_) | Value::Map(_) => {
            composite = text(value);
            composite.as_bytes()
        }
    };
    if bytes.is_empty() {
        return String::new();
    }
    use fmt::Write as _;
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// What a value can be converted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConvertedType {
    /// A signed integer: decimal digits, a double cut at its point, 1 or 0 of a bool.
    Int,
    /// A double: what reads as one, an integer, 1 or 0 of a bool.
    Double,
    /// Text: arrays and maps as JSON.
    String,
}

/// The value converted; `None`: it has the type already, or cannot be converted and stays as it is.
pub fn convert(value: Value<'_>, to: ConvertedType) -> Option<Fixed> {
    let parsed = match (to, value) {
        (ConvertedType::Int, Value::Str(_)) => Value::Int(value.as_str()?.parse().ok()?),
        (ConvertedType::Int, Value::Double(double)) if double.is_finite() => Value::Int(double as i64),
        (ConvertedType::Int, Value::Bool(bool)) => Value::Int(i64::from(bool)),
        (ConvertedType::Double, Value::Str(_)) => Value::Double(value.as_str()?.parse().ok()?),
        (ConvertedType::Double, Value::Int(int)) => Value::Double(int as f64),
        (ConvertedType::Double, Value::Bool(bool)) => Value::Double(f64::from(u8::from(bool))),
        (ConvertedType::String, Value::Str(_)) => return None,
        (ConvertedType::String, _) => return Some(Fixed::text(&text(value))),
        _ => return None,
    };
    Some(Fixed::new(parsed))
}

/// A value on its own: its kind and its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Fixed {
    kind: ValueKind,
    bytes: Vec<u8>,
}

impl Fixed {
    /// A copy of a value.
    pub fn new(value: Value<'_>) -> Fixed {
        let mut bytes = Vec::new();
        let kind = match value {
            Value::Empty => ValueKind::Empty,
            Value::Str(text) => return Fixed { kind: ValueKind::Str, bytes: text.to_vec() },
            Value::Array(message) => return Fixed { kind: ValueKind::Array, bytes: message.to_vec() },
            Value::Map(message) => return Fixed { kind: ValueKind::Map, bytes: message.to_vec() },
            Value::Bytes(raw) => return Fixed { kind: ValueKind::Bytes, bytes: raw.to_vec() },
            Value::Bool(value) => {
                bytes.push(u8::from(value));
                ValueKind::Bool
            }
            Value::Int(value) => {
                put_varint(&mut bytes, value as u64);
                ValueKind::Int
            }
            Value::Double(value) => {
                bytes.extend(value.to_le_bytes());
                ValueKind::Double
            }
        };
        Fixed { kind, bytes }
    }

    /// Text.
    pub fn text(text: &str) -> Fixed {
        Fixed::new(Value::text(text))
    }

    /// The value.
    pub fn value(&self) -> Value<'_> {
        Value::new(self.kind, &self.bytes)
    }
}

/// A value from the config: text, a number, a bool, or a list or map of these.
#[derive(Debug, Clone, PartialEq)]
pub enum Constant {
    /// A bool.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A double.
    Double(f64),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Constant>),
    /// A map.
    Map(BTreeMap<String, Constant>),
}

impl Constant {
    /// The value as a batch holds it.
    pub fn fixed(&self) -> Fixed {
        Fixed::new(Read::any(Some(&self.any())).value())
    }

    fn any(&self) -> AnyValue {
        let value = match self {
            Constant::Bool(value) => Any::BoolValue(*value),
            Constant::Int(value) => Any::IntValue(*value),
            Constant::Double(value) => Any::DoubleValue(*value),
            Constant::Text(value) => Any::StringValue(value.clone()),
            Constant::List(list) => Any::ArrayValue(ArrayValue { values: list.iter().map(Constant::any).collect() }),
            Constant::Map(map) => {
                let pair = |(key, value): (&String, &Constant)| KeyValue {
                    key: key.clone(),
                    value: Some(value.any()),
                    ..KeyValue::default()
                };
                Any::KvlistValue(KeyValueList { values: map.iter().map(pair).collect() })
            }
        };
        AnyValue { value: Some(value) }
    }
}

impl Serialize for Constant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Constant::Bool(value) => value.serialize(serializer),
            Constant::Int(value) => value.serialize(serializer),
            Constant::Double(value) => value.serialize(serializer),
            Constant::Text(value) => value.serialize(serializer),
            Constant::List(list) => list.serialize(serializer),
            Constant::Map(map) => map.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Constant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ConstantVisitor;
        impl<'de> Visitor<'de> for ConstantVisitor {
            type Value = Constant;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text, a number, a bool, or a list or map of these")
            }

            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Constant, E> {
                Ok(Constant::Bool(value))
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Constant, E> {
                Ok(Constant::Int(value))
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Constant, E> {
                Ok(i64::try_from(value).map_or(Constant::Double(value as f64), Constant::Int))
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Constant, E> {
                Ok(Constant::Double(value))
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<Constant, E> {
                Ok(Constant::Text(value.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Constant, A::Error> {
                let mut list = Vec::new();
                while let Some(value) = seq.next_element()? {
                    list.push(value);
                }
                Ok(Constant::List(list))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Constant, A::Error> {
                let mut map = BTreeMap::new();
                while let Some((key, value)) = entries.next_entry()? {
                    map.insert(key, value);
                }
                Ok(Constant::Map(map))
            }
        }
        deserializer.deserialize_any(ConstantVisitor)
    }
}

impl JsonSchema for Constant {
    fn schema_name() -> Cow<'static, str> {
        "Constant".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Text, a number, a bool, or a list or map of these.",
            "type": ["string", "number", "boolean", "array", "object"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_copies_and_trees() {
        let list = Constant::List(vec![Constant::Int(-1), Constant::Map([("k".into(), Constant::Bool(true))].into())]);
        for constant in [Constant::Text("ä".into()), Constant::Int(i64::MIN), Constant::Double(0.5), list] {
            let fixed = constant.fixed();
            let any = to_any(fixed.value());
            assert_eq!(any, constant.any());
            assert_eq!(Fixed::new(Read::any(Some(&any)).value()), fixed);
        }
    }

    #[test]
    fn hashes_are_those_of_the_bytes() {
        let rows = [
            (Value::text("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (Value::Bool(true), "4bf5122f344554c53bde2ebb8cd2b7e3d1600ad631c385a5d7cce23c7785459a"),
            (Value::Int(0), "af5570f5a1810b7af78caf4bc70a660f0df51e42baf91d4de5b2328de0e83dfc"),
            (Value::Empty, ""),
            (Value::text(""), ""),
        ];
        for (value, expected) in rows {
            assert_eq!(hash(value), expected, "{value:?}");
        }
    }

    #[test]
    fn what_cannot_be_converted_stays() {
        use ConvertedType::{Double, Int, String};
        let fixed = |value| Some(Fixed::new(value));
        let rows = [
            (Value::text("12"), Int, fixed(Value::Int(12))),
            (Value::text("12.5"), Int, None),
            (Value::text(""), Double, None),
            (Value::text("1e3"), Double, fixed(Value::Double(1000.0))),
            (Value::Double(-2.9), Int, fixed(Value::Int(-2))),
            (Value::Double(f64::NAN), Int, None),
            (Value::Bool(true), Double, fixed(Value::Double(1.0))),
            (Value::Int(7), Double, fixed(Value::Double(7.0))),
            (Value::Int(7), Int, None),
            (Value::Double(1.5), String, fixed(Value::text("1.5"))),
            (Value::Bytes(&[0, 255]), Int, None),
        ];
        for (value, to, expected) in rows {
            assert_eq!(convert(value, to), expected, "{value:?} {to:?}");
        }
    }
}
