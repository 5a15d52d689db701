//! Plain JSON as attributes, in one pass from the text. Integers of 64 bits keep their digits; other numbers are the nearest double, in its shortest text.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use thiserror::Error;

use super::{Attribute, Fields};

/// Why a text is no JSON document.
#[derive(Clone, Debug, Error, PartialEq)]
#[error("line {line}, column {column}: {message}")]
pub struct JsonError {
    /// 1-based line in the text.
    pub line: usize,
    /// 1-based column in that line.
    pub column: usize,
    /// What the JSON parser says.
    pub message: String,
}

impl From<serde_json::Error> for JsonError {
    fn from(error: serde_json::Error) -> Self {
        let text = error.to_string();
        let message = text.split(" at line ").next().unwrap_or_default().to_owned();
        Self { line: error.line(), column: error.column(), message }
    }
}

/// Reads one JSON value, and nothing after it. Nesting deeper than 128 is an error.
///
/// # Errors
/// Where the text stops being JSON.
pub fn parse_json(text: &[u8]) -> Result<Attribute, JsonError> {
    Ok(serde_json::from_slice(text)?)
}

impl From<Value> for Attribute {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Attribute::Null,
            Value::Bool(flag) => Attribute::Bool(flag),
            Value::Number(number) => Attribute::Number(number.to_string()),
            Value::String(text) => Attribute::Text(text),
            Value::Array(elements) => Attribute::List(elements.into_iter().map(Attribute::from).collect()),
            Value::Object(fields) => {
                Attribute::Map(fields.into_iter().map(|(name, value)| (name, Attribute::from(value))).collect())
            }
        }
    }
}

impl<'de> Deserialize<'de> for Attribute {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AttributeVisitor)
    }
}

struct AttributeVisitor;

impl<'de> Visitor<'de> for AttributeVisitor {
    type Value = Attribute;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Attribute, E> {
        Ok(Attribute::Null)
    }

    fn visit_none<E>(self) -> Result<Attribute, E> {
        Ok(Attribute::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Attribute, D::Error> {
        Attribute::deserialize(deserializer)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Attribute, E> {
        Ok(Attribute::Bool(flag))
    }

    fn visit_i64<E>(self, int: i64) -> Result<Attribute, E> {
        Ok(Attribute::Number(itoa::Buffer::new().format(int).to_owned()))
    }

    fn visit_u64<E>(self, uint: u64) -> Result<Attribute, E> {
        Ok(Attribute::Number(itoa::Buffer::new().format(uint).to_owned()))
    }

    fn visit_f64<E>(self, float: f64) -> Result<Attribute, E> {
        Ok(Attribute::Number(ryu::Buffer::new().format(float).to_owned()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Attribute, E> {
        Ok(Attribute::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Attribute, E> {
        Ok(Attribute::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Attribute, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = seq.next_element()? {
            elements.push(element);
        }
        Ok(Attribute::List(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Attribute, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry::<String, Attribute>()? {
            fields.push(field);
        }
        Ok(Attribute::Map(fields.into_iter().collect::<Fields>()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_keeps_digits_and_the_last_of_two_names() {
        let text = br#"{"id": 9007199254740993, "big": 18446744073709551615, "x": 2.5, "whole": 1.0, "tiny": 1e-7, "on": true, "no": null,
            "l": [1, "a", {"b": []}], "twice": 1, "twice": 2}"#;
        let Attribute::Map(fields) = parse_json(text).expect("JSON") else { panic!("an object") };
        let number = |text: &str| Attribute::Number(text.to_owned());
        for (name, expected) in [
            ("id", number("9007199254740993")),
            ("big", number("18446744073709551615")),
            ("x", number("2.5")),
            ("whole", number("1.0")),
            ("tiny", number("1e-7")),
            ("on", Attribute::Bool(true)),
            ("no", Attribute::Null),
            ("twice", number("2")),
        ] {
            assert_eq!(fields[name], expected, "{name}");
        }
        let value: Value = serde_json::from_slice(text).expect("JSON");
        assert_eq!(Attribute::from(value), Attribute::Map(fields), "both ways give the same");
    }

    #[test]
    fn what_is_no_json_says_where() {
        let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
        for (text, part) in [
            ("{\"a\": }", "line 1, column 7: expected value"),
            ("{} {}", "trailing characters"),
            ("", "EOF while parsing"),
            (&deep, "recursion limit exceeded"),
        ] {
            let error = parse_json(text.as_bytes()).expect_err(text).to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
