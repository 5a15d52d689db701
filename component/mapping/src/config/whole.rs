//! A whole mapping in one struct. Receivers take these keys in beside their own, by the config crate's `Flat`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{AggregateConfig, Labels, MetricConfig, OnNull};

/// What is made of items.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct MappingConfig {
    /// What the items are.
    #[serde(skip)]
    pub subject: Subject,
    /// A CEL condition; items for which it is not true give nothing. Absent attributes are null in it, never an error.
    #[serde(rename = "where")]
    pub filter: Option<String>,
    /// The labels that say which entity an item is. They are on every metric of single items, must not change while the entity exists, and every such
    /// metric needs them.
    pub identity: Labels,
    /// Constant resource attributes, such as the environment.
    pub resource: BTreeMap<String, String>,
    /// Labels of every per-item metric besides identity. A label whose value changes forks the line: what changes belongs into an `info` metric.
    pub attributes: Labels,
    /// The metrics made from every item.
    pub metrics: Vec<MetricConfig>,
    /// The metrics made from all items together, sent only after a complete pass.
    pub aggregates: Vec<AggregateConfig>,
    /// Which of two items with the same identity counts: the one for which this CEL expression gives the greater value (numbers, strings, dates as strings).
    /// Where it does not decide, and without it, the one that comes last: in the order of the table's key, or of the document.
    pub prefer: Option<String>,
    /// What becomes of a point whose value is null because an attribute is absent or null.
    pub on_null: OnNull,
    /// Named lists, for `count_of` and, as `lists.<name>`, in expressions.
    pub lists: BTreeMap<String, Vec<String>>,
    /// The longest value of a label, in bytes; longer ones are cut and counted. An identity that is longer is skipped, as cutting it could make two
    /// entities one.
    #[schemars(range(min = 1))]
    pub max_label_bytes: usize,
}

/// What the items of a mapping are.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Subject {
    /// Things that are there, read pass after pass: each has an identity.
    #[default]
    Entities,
    /// Things that happened, each told once: they need no identity, and two with the same labels are two.
    Events,
}

impl Default for MappingConfig {
    fn default() -> Self {
        Self {
            subject: Subject::default(),
            filter: None,
            identity: Labels::new(),
            resource: BTreeMap::new(),
            attributes: Labels::new(),
            metrics: Vec::new(),
            aggregates: Vec::new(),
            prefer: None,
            on_null: OnNull::default(),
            lists: BTreeMap::new(),
            max_label_bytes: DEFAULT_MAX_LABEL_BYTES,
        }
    }
}

/// The longest value of a label where nothing else is said.
pub const DEFAULT_MAX_LABEL_BYTES: usize = 2048;
