//! Tables and their indexes as a seed file declares them, and the check of an item against its keys.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::database::{AttributeValue, Item};
use crate::error::Fault;

/// A table: its key, its indexes, and the types of the attributes that are keys.
#[derive(Debug, Clone)]
pub(crate) struct TableSchema {
    pub(crate) name: String,
    pub(crate) key: KeyNames,
    pub(crate) indexes: Vec<Index>,
    /// Attributes that are keys and not text.
    pub(crate) key_types: BTreeMap<String, KeyKind>,
}

/// The attributes that make up a key.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyNames {
    pub(crate) hash: String,
    #[serde(default)]
    pub(crate) range: Option<String>,
}

/// A global secondary index.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Index {
    pub(crate) name: String,
    pub(crate) key: KeyNames,
    #[serde(default, with = "serde_yaml::with::singleton_map")]
    pub(crate) projection: IndexProjection,
}

/// Which attributes an index holds, besides the keys.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum IndexProjection {
    #[default]
    All,
    KeysOnly,
    Include(Vec<String>),
}

/// The type of a key attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum KeyKind {
    Text,
    Number,
}

impl KeyNames {
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.hash.as_str()).chain(self.range.as_deref())
    }
}

impl TableSchema {
    /// Every attribute that is a key of the table or of an index, with its type.
    pub(crate) fn key_attributes(&self) -> impl Iterator<Item = (&str, KeyKind)> {
        let of_indexes = self.indexes.iter().flat_map(|index| index.key.names());
        self.key.names().chain(of_indexes).map(|name| (name, self.kind(name)))
    }

    fn kind(&self, name: &str) -> KeyKind {
        self.key_types.get(name).copied().unwrap_or(KeyKind::Text)
    }

    /// Checks what DynamoDB checks when an item is put: the table's key is there, and every key
    /// attribute has its type and is not empty.
    pub(crate) fn check(&self, item: &Item) -> Result<(), Fault> {
        for name in self.key.names() {
            if !item.contains_key(name) {
                return Err(Fault::new(format!(
                    "the key attribute `{name}` is missing, expected {}",
                    expected(self.kind(name))
                )));
            }
        }
        for (name, kind) in self.key_attributes() {
            if let Some(value) = item.get(name) {
                check_key(value, kind).map_err(|fault| fault.within(name))?;
            }
        }
        Ok(())
    }

    /// Checks a bare key: all of the table's key attributes and no other.
    pub(crate) fn check_key(&self, key: &Item) -> Result<(), Fault> {
        self.check(key)?;
        match key.keys().find(|name| !self.is_key(name)) {
            None => Ok(()),
            Some(name) => Err(Fault::new(format!(
                "`{name}` is not part of the table's key, expected only {}",
                list(self.key.names())
            ))),
        }
    }

    pub(crate) fn is_key(&self, attribute: &str) -> bool {
        self.key.names().any(|name| name == attribute)
    }

    /// The key attributes of an item that passed `check`.
    pub(crate) fn key_of(&self, item: &Item) -> Item {
        self.key.names().filter_map(|name| Some((name.to_owned(), item.get(name)?.clone()))).collect()
    }

    /// One text for one key, to find items that share it.
    pub(crate) fn fingerprint(&self, item: &Item) -> String {
        self.key.names().map(|name| format!("{:?}", item.get(name))).collect::<Vec<_>>().join("/")
    }
}

/// Names as they are listed in a message: `a`, `b`.
pub(crate) fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn check_key(value: &AttributeValue, kind: KeyKind) -> Result<(), Fault> {
    match (value, kind) {
        (AttributeValue::S(text), KeyKind::Text) if !text.is_empty() => Ok(()),
        (AttributeValue::N(_), KeyKind::Number) => Ok(()),
        (AttributeValue::S(_), KeyKind::Text) => Err(Fault::new("the key is empty, expected a text that is not")),
        (_, kind) => Err(Fault::new(format!("wrong type for a key, expected {}", expected(kind)))),
    }
}

fn expected(kind: KeyKind) -> &'static str {
    match kind {
        KeyKind::Text => "a text (quote a number; or declare it under `key_types`)",
        KeyKind::Number => "a number",
    }
}
