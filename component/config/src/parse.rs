//! YAML text to the spanned tree, within limits. The parser's events are all that is used of it.

use std::collections::HashMap;
use std::sync::Arc;

use serde_saphyr::granit_parser::{ErrorKind, Event, Marker, Parser, ScalarStyle, Span, Tag};

use crate::diagnostic::Diagnostic;
use crate::node::{Entry, Key, Kind, Node, Origin};
use crate::place::{Place, SourceId};
use crate::scalar;

/// The most nodes that a config may have, aliases counted as what they stand for.
pub const MAX_NODES: usize = 20_000;
/// The most aliases (`*name`) in one source.
pub const MAX_ALIASES: usize = 100;
/// The deepest nesting of lists and maps.
pub const MAX_DEPTH: usize = 64;

/// A text to parse, and where it stands in its source.
pub(crate) struct Text<'a> {
    /// The text itself: a suffix of the source's first line onwards.
    pub(crate) text: &'a str,
    /// Bytes of the source before it, all on its first line.
    pub(crate) before: &'a str,
    /// The source.
    pub(crate) source: SourceId,
    /// The source's name.
    pub(crate) file: Arc<str>,
}

/// Parses one document. `Ok(None)` if the text holds nothing, not even a `null`.
pub(crate) fn parse(text: &Text<'_>) -> Result<Option<Node>, Box<Diagnostic>> {
    let mut builder = Builder { text, stack: Vec::new(), anchors: HashMap::new(), nodes: 0, aliases: 0, root: None };
    let mut options = serde_saphyr::granit_parser::options! {};
    options.set_emit_comments(false);
    for next in Parser::new_from_str_with_options(text.text, options) {
        match next {
            Ok((event, span)) => builder.event(event, span)?,
            Err(error) => return Err(Box::new(syntax_error(text, error.kind(), error.marker()))),
        }
    }
    Ok(builder.root)
}

fn syntax_error(text: &Text<'_>, kind: &ErrorKind, marker: &Marker) -> Diagnostic {
    let place = text.place(*marker, *marker);
    match kind {
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabAtBlockScalarStart
        | ErrorKind::TabInPlainScalar => Diagnostic::error("tab-indentation", "a tab cannot indent YAML")
            .at("", &place)
            .with_help("indent with spaces"),
        ErrorKind::UnknownAnchor => {
            Diagnostic::error("unknown-anchor", "this alias has no anchor before it").at("", &place)
        }
        ErrorKind::RecursionLimitExceeded => too_deep(&place),
        ErrorKind::MappingValueNotAllowed => {
            Diagnostic::error("yaml-syntax", "not valid YAML: no key can stand here").at("", &place).with_help(
                "is a space missing after a colon, here or on the line before? text that holds `: ` needs quotes",
            )
        }
        other => Diagnostic::error("yaml-syntax", format!("not valid YAML: {other}")).at("", &place),
    }
}

fn too_deep(place: &Place) -> Diagnostic {
    Diagnostic::error("too-deep", format!("nested deeper than {MAX_DEPTH} levels")).at("", place)
}

impl Text<'_> {
    fn place(&self, start: Marker, end: Marker) -> Place {
        let shift = if start.line() <= 1 { self.before.chars().count() } else { 0 };
        let first = start.byte_offset().unwrap_or(0).min(self.text.len());
        let last = end.byte_offset().unwrap_or(first).clamp(first, self.text.len());
        Place {
            source: self.source,
            file: self.file.clone(),
            line: u32::try_from(start.line().max(1)).unwrap_or(u32::MAX),
            column: u32::try_from(start.col() + 1 + shift).unwrap_or(u32::MAX),
            start: self.before.len() + first,
            end: self.before.len() + last,
        }
    }
}

/// A list or map that is still open.
struct Open {
    kind: OpenKind,
    place: Place,
    anchor: usize,
}

enum OpenKind {
    Seq(Vec<Node>),
    Map { entries: Vec<Entry>, seen: HashMap<Arc<str>, Place>, key: Option<Key>, merged: Vec<Node> },
}

struct Builder<'a> {
    text: &'a Text<'a>,
    stack: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    aliases: usize,
    root: Option<Node>,
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Box<Diagnostic>> {
        let place = self.text.place(span.start, span.end);
        match event {
            Event::Scalar(value, style, anchor, tag) => {
                let node = scalar_node(&value, style, tag.as_deref(), place)?;
                self.count(1, &node.place)?;
                self.close(node, anchor)
            }
            Event::SequenceStart(_, anchor, _) => self.open(OpenKind::Seq(Vec::new()), place, anchor),
            Event::MappingStart(_, anchor, _) => {
                let kind = OpenKind::Map { entries: Vec::new(), seen: HashMap::new(), key: None, merged: Vec::new() };
                self.open(kind, place, anchor)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(span.end),
            Event::Alias(anchor) => self.alias(anchor, place),
            Event::DocumentStart(..) if self.root.is_some() => Err(Box::new(
                Diagnostic::error("yaml-syntax", "a config is one YAML document, and here a second begins")
                    .at("", &place),
            )),
            _ => Ok(()),
        }
    }

    fn open(&mut self, kind: OpenKind, place: Place, anchor: usize) -> Result<(), Box<Diagnostic>> {
        if self.stack.len() >= MAX_DEPTH {
            return Err(Box::new(too_deep(&place)));
        }
        self.count(1, &place)?;
        self.stack.push(Open { kind, place, anchor });
        Ok(())
    }

    fn end(&mut self, end: Marker) -> Result<(), Box<Diagnostic>> {
        let Some(open) = self.stack.pop() else { return Ok(()) };
        let mut place = open.place;
        let last = end.byte_offset().map_or(place.end, |last| self.text.before.len() + last);
        place.end = last.max(place.end);
        let kind = match open.kind {
            OpenKind::Seq(items) => Kind::Seq(items),
            OpenKind::Map { entries, merged, .. } => Kind::Map(with_merged(entries, merged)),
        };
        self.close(Node { kind, text: None, place, origin: Origin::Literal, key_place: None }, open.anchor)
    }

    fn alias(&mut self, anchor: usize, place: Place) -> Result<(), Box<Diagnostic>> {
        self.aliases += 1;
        if self.aliases > MAX_ALIASES {
            let message = format!("more than {MAX_ALIASES} aliases");
            return Err(Box::new(Diagnostic::error("too-many-aliases", message).at("", &place)));
        }
        let Some(target) = self.anchors.get(&anchor) else {
            return Err(Box::new(
                Diagnostic::error("yaml-syntax", "this alias stands inside of its own anchor").at("", &place),
            ));
        };
        let mut node = target.clone();
        if self.stack.len() + node.depth() > MAX_DEPTH + 1 {
            return Err(Box::new(too_deep(&place)));
        }
        node.place = place;
        self.count(node.count(), &node.place)?;
        self.close(node, 0)
    }

    fn count(&mut self, nodes: usize, place: &Place) -> Result<(), Box<Diagnostic>> {
        self.nodes += nodes;
        if self.nodes > MAX_NODES {
            let message = format!("more than {MAX_NODES} values, aliases counted as what they stand for");
            return Err(Box::new(Diagnostic::error("too-many-values", message).at("", place)));
        }
        Ok(())
    }

    /// Puts a finished node where it belongs: in the open list, as key or value of the open map, or as the root.
    fn close(&mut self, node: Node, anchor: usize) -> Result<(), Box<Diagnostic>> {
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let path = self.path();
        match self.stack.last_mut().map(|open| &mut open.kind) {
            None => self.root = Some(node),
            Some(OpenKind::Seq(items)) => items.push(node),
            Some(OpenKind::Map { entries, seen, key, merged }) => match key.take() {
                None => *key = Some(as_key(node, &path, seen)?),
                Some(name) if &*name.text == "<<" => merged.push(node),
                Some(name) => {
                    entries.push(Entry { value: Node { key_place: Some(name.place.clone()), ..node }, key: name })
                }
            },
        }
        Ok(())
    }

    /// The path of the open list or map.
    fn path(&self) -> String {
        let mut path = String::new();
        for open in self.stack.iter().take(self.stack.len().saturating_sub(1)) {
            match &open.kind {
                OpenKind::Seq(items) => crate::path::push_index(&mut path, items.len()),
                OpenKind::Map { key, .. } => {
                    crate::path::push_key(&mut path, key.as_ref().map_or("", |key| &key.text));
                }
            }
        }
        path
    }
}

fn as_key(node: Node, path: &str, seen: &mut HashMap<Arc<str>, Place>) -> Result<Key, Box<Diagnostic>> {
    let Some(text) = node.text.clone() else {
        let message = format!("a key must be text, not {}", node.kind.name());
        return Err(Box::new(Diagnostic::error("yaml-syntax", message).at(path, &node.place)));
    };
    let place = node.place;
    if let Some(first) = seen.get(&text) {
        let message = format!("the key `{text}` is given twice");
        return Err(Box::new(
            Diagnostic::error("duplicate-key", message)
                .at(crate::path_join(path, &text), &place)
                .with_note(format!("first given here, at line {}", first.line), Some(first)),
        ));
    }
    seen.insert(text.clone(), place.clone());
    Ok(Key { text, place })
}

/// Adds what `<<` brings, for keys that the map does not have itself.
fn with_merged(mut entries: Vec<Entry>, merged: Vec<Node>) -> Vec<Entry> {
    let mut add = |node: Node| {
        if let Kind::Map(brought) = node.kind {
            for entry in brought {
                if !entries.iter().any(|own| own.key.text == entry.key.text) {
                    entries.push(entry);
                }
            }
        }
    };
    for node in merged {
        match node.kind {
            Kind::Seq(nodes) => nodes.into_iter().for_each(&mut add),
            _ => add(node),
        }
    }
    entries
}

fn scalar_node(value: &str, style: ScalarStyle, tag: Option<&Tag>, place: Place) -> Result<Node, Box<Diagnostic>> {
    let text: Arc<str> = value.into();
    let kind = match tag.map(|tag| tag.core_suffix()) {
        None if style == ScalarStyle::Plain => scalar::resolve(&text),
        None | Some(Some("str")) => Kind::Str(text.clone()),
        Some(Some(_)) => scalar::resolve(&text),
        Some(None) => {
            return Err(Box::new(
                Diagnostic::error("yaml-syntax", "a tag of one's own has no meaning here").at("", &place),
            ));
        }
    };
    Ok(Node { kind, text: Some(text), place, origin: Origin::Literal, key_place: None })
}
