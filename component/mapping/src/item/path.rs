//! Attribute paths such as `address.city` or `steps.0.name`: parsed once, resolved per item by reference.
//! What is absent or NULL anywhere along a path is `None`, never an error.

use std::fmt;

use thiserror::Error;

use super::{Attribute, Names, Row, type_name};
use crate::expr::{EvalError, Reason};

/// Where a path starts and how it goes on.
#[derive(Clone, Debug, PartialEq)]
pub struct Path {
    root: Root,
    segments: Vec<Segment>,
}

/// The first step of a path.
#[derive(Clone, Debug, PartialEq)]
pub enum Root {
    /// A top-level attribute, by its index in [`Names`], with its name for messages.
    Attribute(usize, String),
    /// The whole item, as a map.
    Item,
}

/// One further step of a path.
#[derive(Clone, Debug, PartialEq)]
pub enum Segment {
    /// A field of a map.
    Key(String),
    /// An element of a list, counted from 0.
    Index(usize),
    /// Digits in a declared path: an element of a list or a field of a map, whichever is there.
    Either(String, usize),
}

/// A text that is no attribute path.
#[derive(Clone, Debug, Error, PartialEq)]
#[error("{text:?} is not an attribute path: {reason}")]
pub struct PathSyntaxError {
    /// The text as written.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl Path {
    /// A path to the top-level attribute `name`.
    pub fn attribute(names: &mut Names, name: &str) -> Self {
        Self { root: Root::Attribute(names.intern(name), name.to_owned()), segments: Vec::new() }
    }

    /// The path to the whole item.
    pub fn whole_item(names: &mut Names) -> Self {
        names.use_whole_item();
        Self { root: Root::Item, segments: Vec::new() }
    }

    /// This path with one more step.
    pub fn then(mut self, segment: Segment) -> Self {
        self.segments.push(segment);
        self
    }

    /// Parses a declared path: names joined by dots. A name may hold anything but white space, quotes, brackets and the signs of expressions;
    /// `-`, `:`, `#` and `@` are ordinary letters here.
    pub fn parse(text: &str, names: &mut Names) -> Result<Self, PathSyntaxError> {
        check_syntax(text)?;
        // As in expressions, `item` stands for the whole item.
        let mut parts = text.strip_prefix("item.").unwrap_or(text).split('.');
        let first = parts.next().unwrap_or_default();
        let mut path = Self::attribute(names, first);
        for part in parts {
            path = path.then(match part.parse::<usize>() {
                Ok(index) => Segment::Either(part.to_owned(), index),
                Err(_) => Segment::Key(part.to_owned()),
            });
        }
        Ok(path)
    }

    /// Whether `text` reads as a declared path.
    pub fn is_path(text: &str) -> bool {
        check_syntax(text).is_ok()
    }

    /// The name of the attribute if the path is nothing but a top-level attribute.
    pub fn as_attribute(&self) -> Option<&str> {
        match &self.root {
            Root::Attribute(_, name) if self.segments.is_empty() => Some(name),
            _ => None,
        }
    }

    /// Whether the path is the item itself.
    pub fn is_whole_item(&self) -> bool {
        self.root == Root::Item && self.segments.is_empty()
    }

    /// The attribute at this path; `None` if it, or anything on the way, is absent or NULL.
    ///
    /// # Errors
    /// [`Reason::WrongType`] if a step goes into something that has no fields or elements.
    #[inline]
    pub fn resolve<'a>(&self, row: &Row<'a>) -> Result<Option<&'a Attribute>, EvalError> {
        Ok(self.find(row)?.filter(|attribute| !matches!(attribute, Attribute::Null)))
    }

    /// The attribute at this path, a NULL included: what `has()` asks for.
    pub fn find<'a>(&self, row: &Row<'a>) -> Result<Option<&'a Attribute>, EvalError> {
        let Root::Attribute(index, _) = &self.root else {
            return Ok(None);
        };
        let mut current = row.slots.get(*index).copied().flatten();
        for (depth, segment) in self.segments.iter().enumerate() {
            let Some(attribute) = current else { break };
            current = self.step(attribute, segment, depth)?;
        }
        Ok(current)
    }

    fn step<'a>(
        &self,
        from: &'a Attribute,
        segment: &Segment,
        depth: usize,
    ) -> Result<Option<&'a Attribute>, EvalError> {
        match (from, segment) {
            (Attribute::Null, _) => Ok(None),
            (Attribute::Map(map), Segment::Key(key) | Segment::Either(key, _)) => Ok(map.get(key)),
            (Attribute::List(list), Segment::Index(index) | Segment::Either(_, index)) => Ok(list.get(*index)),
            _ => {
                let so_far = Path { root: self.root.clone(), segments: self.segments[..depth].to_vec() };
                Err(EvalError::new(
                    Reason::WrongType,
                    format!("{so_far} is a {} and has no {segment}", type_name(from)),
                ))
            }
        }
    }
}

fn check_syntax(text: &str) -> Result<(), PathSyntaxError> {
    let error = |reason| Err(PathSyntaxError { text: text.to_owned(), reason });
    if text.is_empty() {
        return error("it is empty");
    }
    if text.split('.').any(str::is_empty) {
        return error("a name between dots is empty");
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return error("it holds white space");
    }
    if text.contains(|c| "()[]{}\"'`=<>!&|+*/%?,\\".contains(c)) {
        return error("it holds a sign that belongs to expressions");
    }
    Ok(())
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.root {
            Root::Attribute(_, name) => f.write_str(name)?,
            Root::Item => f.write_str("item")?,
        }
        for segment in &self.segments {
            match segment {
                Segment::Key(key) | Segment::Either(key, _) => write!(f, ".{key}")?,
                Segment::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Segment::Key(key) => write!(f, "field {key:?}"),
            Segment::Index(index) => write!(f, "element {index}"),
            Segment::Either(key, _) => write!(f, "field or element {key}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::{Item, parse_items};

    fn resolve(text: &str, item: &Item) -> Result<Option<Attribute>, EvalError> {
        let mut names = Names::default();
        let path = Path::parse(text, &mut names).expect("a path");
        let mut slots = Vec::new();
        names.bind(item, &mut slots);
        path.resolve(&Row { slots: &slots, item, now: 0 }).map(|found| found.cloned())
    }

    #[test]
    fn paths_reach_into_maps_and_lists_and_stop_at_nothing() {
        let items = parse_items(
            r#"[{"a": {"M": {"b": {"L": [{"N": "1"}, {"M": {"0": {"S": "zero"}}}]}, "n": {"NULL": true}}}, "acc-id": {"S": "x"}, "gone": {"NULL": true}}]"#,
        )
        .expect("items");
        let cases: &[(&str, Option<Attribute>)] = &[
            ("a.b.0", Some(Attribute::Number("1".into()))),
            ("a.b.1.0", Some(Attribute::Text("zero".into()))),
            ("a.b.7", None),
            ("a.n.deeper", None),
            ("a.n", None),
            ("gone", None),
            ("nowhere.at.all", None),
            ("acc-id", Some(Attribute::Text("x".into()))),
            ("item.a.b.0", Some(Attribute::Number("1".into()))),
        ];
        for (text, expected) in cases {
            assert_eq!(resolve(text, &items[0]), Ok(expected.clone()), "{text}");
        }
        let error = resolve("acc-id.x", &items[0]).expect_err("a string has no fields");
        assert_eq!(
            (error.reason, error.detail.as_str()),
            (Reason::WrongType, "acc-id is a string and has no field \"x\"")
        );
    }

    #[test]
    fn texts_that_are_no_path_say_why() {
        for (text, reason) in [
            ("", "it is empty"),
            ("a..b", "a name between dots is empty"),
            ("a b", "it holds white space"),
            ("size(a)", "it holds a sign that belongs to expressions"),
        ] {
            let error = Path::parse(text, &mut Names::default()).expect_err(text);
            assert_eq!(error.reason, reason, "{text}");
        }
    }
}
