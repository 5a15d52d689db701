//! Actions on the attributes of a tree.

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use regex::Regex;
use steadyline_telemetry::Value;

use super::{Actions, Subject};
use crate::value::{ConvertedType, Fixed, Read, convert, hash, to_any};

impl Actions {
    /// Runs the actions on a list of attributes; whether it is different now.
    pub fn edit_list(&self, list: &mut Vec<KeyValue>) -> bool {
        let mut subject = List { list, constants: &self.constants, changed: false };
        self.run(&mut subject);
        subject.changed
    }
}

struct List<'a> {
    list: &'a mut Vec<KeyValue>,
    constants: &'a [Fixed],
    changed: bool,
}

impl Subject for List<'_> {
    type Value = Option<AnyValue>;

    fn len(&self) -> usize {
        self.list.len()
    }

    fn key(&self, at: usize) -> &str {
        &self.list[at].key
    }

    fn get(&self, at: usize) -> Self::Value {
        self.list[at].value.clone()
    }

    fn set(&mut self, at: usize, value: Self::Value) {
        self.changed |= self.list[at].value != value;
        self.list[at].value = value;
    }

    fn push(&mut self, key: &str, value: Self::Value) {
        self.changed = true;
        self.list.push(KeyValue { key: key.to_owned(), value, ..KeyValue::default() });
    }

    fn remove(&mut self, at: usize) {
        self.changed = true;
        self.list.remove(at);
    }

    fn constant(&mut self, index: usize) -> Self::Value {
        Some(to_any(self.constants[index].value()))
    }

    fn hash(&mut self, at: usize) {
        let hashed = hash(Read::any(self.list[at].value.as_ref()).value());
        self.set(at, Some(to_any(Value::text(&hashed))));
    }

    fn convert(&mut self, at: usize, to: ConvertedType) {
        let converted = convert(Read::any(self.list[at].value.as_ref()).value(), to);
        if let Some(converted) = converted {
            self.set(at, Some(to_any(converted.value())));
        }
    }

    fn extract(&mut self, at: usize, pattern: &Regex) -> Option<Vec<Self::Value>> {
        let read = Read::any(self.list[at].value.as_ref());
        let Value::Str(text) = read.value() else { return None };
        let captures = pattern.captures(std::str::from_utf8(text).ok()?)?;
        let group = |at| captures.get(at).map_or("", |group| group.as_str());
        Some((1..captures.len()).map(|at| Some(to_any(Value::text(group(at))))).collect())
    }
}
