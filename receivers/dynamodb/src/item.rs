//! Items as they arrive, the paths that reach into them, and DynamoDB JSON from a file.
//! Nothing here copies an item: a path resolves to a reference into it.

mod json;
mod path;

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

pub use json::{ItemsError, parse_items};
pub use path::{Path, PathSyntaxError, Root, Segment};

/// One item of a page, exactly as the SDK hands it over.
pub type Item = HashMap<String, AttributeValue>;

/// The top-level attributes that a mapping names, each held once.
///
/// A [`Path`] refers to a name by its index here, so that an item's map is asked once per name, however many expressions use it.
#[derive(Clone, Debug, Default)]
pub struct Names {
    names: Vec<String>,
    whole_item: bool,
}

impl Names {
    /// The index of `name`, added if it is new.
    pub fn intern(&mut self, name: &str) -> usize {
        match self.names.iter().position(|known| known == name) {
            Some(index) => index,
            None => {
                self.names.push(name.to_owned());
                self.names.len() - 1
            }
        }
    }

    /// Notes that an expression uses the whole item, so that no projection may leave anything out.
    pub fn use_whole_item(&mut self) {
        self.whole_item = true;
    }

    /// The names in the order of their indices.
    pub fn as_slice(&self) -> &[String] {
        &self.names
    }

    /// What has to be read: `None` if an expression uses the whole item.
    pub fn projection(&self) -> Option<&[String]> {
        (!self.whole_item).then_some(&self.names)
    }

    /// Looks every name up in `item`; `slots[i]` answers for name `i`.
    pub fn bind<'a>(&self, item: &'a Item, slots: &mut Vec<Option<&'a AttributeValue>>) {
        slots.clear();
        slots.extend(self.names.iter().map(|name| item.get(name)));
    }
}

/// One item as expressions see it: its named attributes bound, and the time of the pass.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// The attributes of [`Names`], in its order; `None` where the item lacks one.
    pub slots: &'a [Option<&'a AttributeValue>],
    /// The whole item.
    pub item: &'a Item,
    /// The time of the pass in Unix seconds: what `now()` answers.
    pub now: i64,
}

/// What an attribute is called in messages: `string`, `number`, `string set` ...
pub fn type_name(attribute: &AttributeValue) -> &'static str {
    match attribute {
        AttributeValue::B(_) => "binary",
        AttributeValue::Bool(_) => "bool",
        AttributeValue::Bs(_) => "binary set",
        AttributeValue::L(_) => "list",
        AttributeValue::M(_) => "map",
        AttributeValue::N(_) => "number",
        AttributeValue::Ns(_) => "number set",
        AttributeValue::Null(_) => "null",
        AttributeValue::S(_) => "string",
        AttributeValue::Ss(_) => "string set",
        _ => "unknown",
    }
}
