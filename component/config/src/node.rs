//! The spanned tree: what a config says, and where it says it.
//! Scalars keep their text as written, so that `0123` stays `0123` where a string is wanted.

use std::sync::Arc;

use crate::path::{self, Step};
use crate::place::Place;

/// One value of a config, with its place.
#[derive(Debug, Clone)]
pub struct Node {
    pub(crate) kind: Kind,
    pub(crate) text: Option<Arc<str>>,
    pub(crate) place: Place,
    pub(crate) origin: Origin,
    /// Where the key stands that it is the value of.
    pub(crate) key_place: Option<Place>,
}

/// What a [`Node`] holds.
#[derive(Debug, Clone)]
pub enum Kind {
    /// Nothing, `null` or `~`.
    Null,
    /// `true` or `false`; never `yes`, `no`, `on` or `off`, which are text.
    Bool(bool),
    /// A whole number that fits `i64` or `u64`.
    Int(i128),
    /// Any other number.
    Float(f64),
    /// Text.
    Str(Arc<str>),
    /// A list.
    Seq(Vec<Node>),
    /// A map, in the order in which it was written; keys are unique.
    Map(Vec<Entry>),
    /// A value that could not be had; reading it is an error, leaving it alone is not.
    Poison(Arc<Poison>),
}

/// One key and its value.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The key.
    pub key: Key,
    /// The value.
    pub value: Node,
}

/// The key of a map, always text.
#[derive(Debug, Clone)]
pub struct Key {
    /// As written, without quotes.
    pub text: Arc<str>,
    /// Where it stands.
    pub place: Place,
}

/// Where a value came from; what came from outside is never echoed in a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Written in a source.
    Literal,
    /// Wholly or partly the result of an expansion.
    Expanded {
        /// The scalar as written, such as `${env:PORT}`.
        written: Arc<str>,
        /// Whether any of it was read from a `${file:}`.
        from_file: bool,
    },
}

/// Why a value could not be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Poison {
    /// The rule that it breaks, such as `unset-variable`.
    pub rule: &'static str,
    /// What is wrong.
    pub message: String,
    /// What would help.
    pub help: Option<String>,
}

impl Poison {
    pub(crate) fn new(rule: &'static str, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { rule, message: message.into(), help: Some(help.into()) }
    }
}

impl Node {
    /// What it holds.
    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// Where it stands. What an expansion brought stands where the expansion was written.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Where its key stands, or itself if it has none: the place to say what is missing in it.
    pub fn head(&self) -> &Place {
        self.key_place.as_ref().unwrap_or(&self.place)
    }

    /// Where it came from.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// A scalar's text as written; for the result of a whole expansion, the text that it brought.
    pub fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    /// Whether it is `null` or empty.
    pub fn is_null(&self) -> bool {
        matches!(self.kind, Kind::Null)
    }

    /// The text, if it is text (not a number or a boolean).
    pub fn as_str(&self) -> Option<&str> {
        match &self.kind {
            Kind::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The entries of a map in order; none if it is not a map.
    pub fn entries(&self) -> &[Entry] {
        match &self.kind {
            Kind::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The elements of a list in order; none if it is not a list.
    pub fn items(&self) -> &[Node] {
        match &self.kind {
            Kind::Seq(items) => items,
            _ => &[],
        }
    }

    /// Whether it is a map.
    pub fn is_map(&self) -> bool {
        matches!(self.kind, Kind::Map(_))
    }

    /// The same map without one key, for a section that somebody else decodes.
    pub fn without(&self, key: &str) -> Node {
        let mut node = self.clone();
        if let Kind::Map(entries) = &mut node.kind {
            entries.retain(|entry| &*entry.key.text != key);
        }
        node
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The entry of a key, which also knows where the key stands.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| &*entry.key.text == key)
    }

    /// The node at a path as diagnostics write it, such as `service.pipelines.metrics.receivers[0]`;
    /// the empty path is the node itself.
    pub fn at_path(&self, path: &str) -> Option<&Node> {
        let steps = path::parse(path)?;
        steps.iter().try_fold(self, |node, step| match step {
            Step::Key(key) => node.get(key),
            Step::Index(index) => node.items().get(*index),
        })
    }

    /// What it is, in words for a message: `a list`, `the text "abc"`. Never quotes what came from outside.
    pub fn describe(&self) -> String {
        let shown = self.text().filter(|text| text.chars().count() <= 60);
        match (&self.origin, &self.kind) {
            (Origin::Expanded { written, .. }, _) => format!("{} from `{written}`", self.kind.name()),
            (Origin::Literal, Kind::Str(_)) => match shown {
                Some(text) => format!("the text {text:?}"),
                None => "a long text".to_owned(),
            },
            (Origin::Literal, Kind::Bool(_) | Kind::Int(_) | Kind::Float(_)) => match shown {
                Some(text) => format!("{} `{text}`", self.kind.name().replacen("a ", "the ", 1)),
                None => self.kind.name().to_owned(),
            },
            _ => self.kind.name().to_owned(),
        }
    }

    /// The number of nodes in it, itself included.
    pub(crate) fn count(&self) -> usize {
        1 + match &self.kind {
            Kind::Seq(items) => items.iter().map(Node::count).sum(),
            Kind::Map(entries) => entries.iter().map(|entry| entry.value.count()).sum(),
            _ => 0,
        }
    }

    /// How deep it goes; a scalar has depth 1.
    pub(crate) fn depth(&self) -> usize {
        1 + match &self.kind {
            Kind::Seq(items) => items.iter().map(Node::depth).max().unwrap_or(0),
            Kind::Map(entries) => entries.iter().map(|entry| entry.value.depth()).max().unwrap_or(0),
            _ => 0,
        }
    }
}

impl Kind {
    /// Its name with an article, such as `a list`.
    pub fn name(&self) -> &'static str {
        match self {
            Kind::Null => "nothing",
            Kind::Bool(_) => "a boolean",
            Kind::Int(_) => "a whole number",
            Kind::Float(_) => "a number",
            Kind::Str(_) => "a text",
            Kind::Seq(_) => "a list",
            Kind::Map(_) => "a map",
            Kind::Poison(_) => "a value that could not be had",
        }
    }
}

impl PartialEq for Node {
    /// Compares what is held, not where it stands.
    fn eq(&self, other: &Self) -> bool {
        match (&self.kind, &other.kind) {
            (Kind::Null, Kind::Null) => true,
            (Kind::Bool(a), Kind::Bool(b)) => a == b,
            (Kind::Int(a), Kind::Int(b)) => a == b,
            (Kind::Float(a), Kind::Float(b)) => a == b || (a.is_nan() && b.is_nan()),
            (Kind::Str(a), Kind::Str(b)) => a == b,
            (Kind::Seq(a), Kind::Seq(b)) => a == b,
            (Kind::Map(a), Kind::Map(b)) => {
                a.len() == b.len() && a.iter().all(|entry| other.get(&entry.key.text) == Some(&entry.value))
            }
            (Kind::Poison(a), Kind::Poison(b)) => a == b,
            _ => false,
        }
    }
}
