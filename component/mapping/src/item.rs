//! The item model: what a table's items, JSON messages and JSON documents all become, and the paths that reach into them.
//! Nothing here copies an item: a path resolves to a reference into it.

mod attribute;
mod json;
mod path;
mod typed;

pub use attribute::{Attribute, Fields, type_name};
pub use json::{JsonError, parse_json};
pub use path::{Path, PathSyntaxError, Root, Segment};
pub use typed::{ItemsError, parse_items};

/// One item: its attributes by name.
pub type Item = Fields;

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
    pub fn bind<'a>(&self, item: &'a Item, slots: &mut Vec<Option<&'a Attribute>>) {
        slots.clear();
        slots.extend(self.names.iter().map(|name| item.get(name)));
    }
}

/// One item as expressions see it: its named attributes bound, and the time of the pass.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// The attributes of [`Names`], in its order; `None` where the item lacks one.
    pub slots: &'a [Option<&'a Attribute>],
    /// The whole item.
    pub item: &'a Item,
    /// The time of the pass in Unix seconds: what `now()` answers.
    pub now: i64,
}
