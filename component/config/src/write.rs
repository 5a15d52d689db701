//! A resolved config as YAML or JSON, with its secrets hidden or not.

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use crate::diagnostic::{SecretPaths, looks_secret};
use crate::node::{Kind, Node};
use crate::path;

/// What stands in the place of a secret.
pub const REDACTED: &str = "[redacted]";

/// What to hide.
#[derive(Debug, Clone, Copy)]
pub enum Redact<'a> {
    /// Nothing: the output holds every secret.
    Nothing,
    /// What was decoded as a [`crate::Secret`]; in parts that nothing decoded, what has a key such as `password`.
    Secrets(&'a SecretPaths),
}

/// As YAML. It reads back as the same config: a `$` that could start an expansion is doubled.
pub fn to_yaml(node: &Node, redact: Redact<'_>) -> String {
    let shown = Shown { node, path: String::new(), key: None, redact };
    // Maps with text keys and scalars are all there is, and these always serialise.
    serde_yaml::to_string(&shown).unwrap_or_default()
}

/// As JSON, on several lines. Numbers that JSON does not have (infinities) become `null`.
pub fn to_json(node: &Node, redact: Redact<'_>) -> String {
    let shown = Shown { node, path: String::new(), key: None, redact };
    serde_json::to_string_pretty(&shown).unwrap_or_default()
}

struct Shown<'a> {
    node: &'a Node,
    path: String,
    /// The nearest key above, which names what a list below it holds.
    key: Option<&'a str>,
    redact: Redact<'a>,
}

impl<'a> Shown<'a> {
    fn child(&self, node: &'a Node, path: String, key: Option<&'a str>) -> Shown<'a> {
        Shown { node, path, key, redact: self.redact }
    }

    fn is_hidden(&self) -> bool {
        let Redact::Secrets(secrets) = self.redact else { return false };
        if secrets.contains(&self.path) {
            return true;
        }
        let is_scalar = !matches!(self.node.kind(), Kind::Null | Kind::Bool(_) | Kind::Seq(_) | Kind::Map(_));
        is_scalar && self.key.is_some_and(looks_secret) && !secrets.knows(&self.path)
    }
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.is_hidden() {
            return serializer.serialize_str(REDACTED);
        }
        match self.node.kind() {
            // A variable that is set to nothing is an empty text to whoever wants a text.
            Kind::Null if self.node.text() == Some("") && *self.node.origin() != crate::Origin::Literal => {
                serializer.serialize_str("")
            }
            Kind::Null => serializer.serialize_unit(),
            Kind::Bool(value) => serializer.serialize_bool(*value),
            Kind::Int(value) => match (i64::try_from(*value), u64::try_from(*value)) {
                (Ok(signed), _) => serializer.serialize_i64(signed),
                (_, Ok(unsigned)) => serializer.serialize_u64(unsigned),
                _ => serializer.serialize_i128(*value),
            },
            Kind::Float(value) => serializer.serialize_f64(*value),
            Kind::Str(text) if text.contains("$$") || text.contains("${") => {
                serializer.serialize_str(&text.replace('$', "$$"))
            }
            Kind::Str(text) => serializer.serialize_str(text),
            Kind::Poison(_) => serializer.serialize_str(self.node.text().unwrap_or_default()),
            Kind::Seq(items) => {
                let mut seq = serializer.serialize_seq(Some(items.len()))?;
                for (at, item) in items.iter().enumerate() {
                    seq.serialize_element(&self.child(item, path::index(&self.path, at), self.key))?;
                }
                seq.end()
            }
            Kind::Map(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for entry in entries {
                    let path = path::join(&self.path, &entry.key.text);
                    map.serialize_entry(&*entry.key.text, &self.child(&entry.value, path, Some(&entry.key.text)))?;
                }
                map.end()
            }
        }
    }
}
