//! What was detected: an attribute in the forms in which it goes into metrics and into OTLP bytes.
//! Both are made once, when it is detected.

use steadyline_component::telemetry::wire::{put_bytes, put_uint};
use steadyline_component::telemetry::{Value, ValueKind};

/// An attribute of the machine.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Attribute {
    pub name: String,
    kind: ValueKind,
    /// The value as a batch of metrics holds it.
    bytes: Vec<u8>,
    /// The whole as an OTLP `KeyValue`.
    pub key_value: Vec<u8>,
}

impl Attribute {
    /// A text.
    pub(crate) fn text(name: impl Into<String>, text: impl AsRef<str>) -> Attribute {
        Attribute::new(name.into(), ValueKind::Str, text.as_ref().as_bytes().to_vec())
    }

    /// A number, not below 0.
    pub(crate) fn number(name: impl Into<String>, number: u64) -> Attribute {
        let mut bytes = Vec::new();
        steadyline_component::telemetry::wire::put_varint(&mut bytes, number);
        Attribute::new(name.into(), ValueKind::Int, bytes)
    }

    /// A list of texts.
    pub(crate) fn list(name: impl Into<String>, texts: impl IntoIterator<Item = String>) -> Attribute {
        let mut bytes = Vec::new();
        for text in texts {
            let mut value = Vec::new();
            put_bytes(&mut value, 1, text.as_bytes());
            put_bytes(&mut bytes, 1, &value);
        }
        Attribute::new(name.into(), ValueKind::Array, bytes)
    }

    fn new(name: String, kind: ValueKind, bytes: Vec<u8>) -> Attribute {
        let mut value = Vec::new();
        // A field of `AnyValue` has the number of its kind.
        match Value::new(kind, &bytes) {
            Value::Int(number) => put_uint(&mut value, kind as u32, number as u64),
            _ => put_bytes(&mut value, kind as u32, &bytes),
        }
        let mut key_value = Vec::new();
        put_bytes(&mut key_value, 1, name.as_bytes());
        put_bytes(&mut key_value, 2, &value);
        Attribute { name, kind, bytes, key_value }
    }

    /// The value.
    pub(crate) fn value(&self) -> Value<'_> {
        Value::new(self.kind, &self.bytes)
    }
}

/// Puts lists of attributes together; of two with one name the first counts.
pub(crate) fn merge<'a>(lists: impl IntoIterator<Item = &'a Vec<Attribute>>) -> Vec<Attribute> {
    let mut merged: Vec<Attribute> = Vec::new();
    for attribute in lists.into_iter().flatten() {
        if !merged.iter().any(|known| known.name == attribute.name) {
            merged.push(attribute.clone());
        }
    }
    merged
}
