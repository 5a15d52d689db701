//! From sources to the resolved tree: read, parse, merge, set, expand.

use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::expand;
use crate::merge::merge;
use crate::node::{Entry, Key, Kind, Node, Origin};
use crate::parse::{self, Text};
use crate::path::{self, Step};
use crate::place::{Place, SourceMap};
use crate::source::{Environment, Source};

/// A config, resolved: merged, overridden, expanded.
#[derive(Debug, Clone)]
pub struct Tree {
    /// The whole config, always a map.
    pub root: Node,
    /// The texts that it was read from.
    pub sources: Arc<SourceMap>,
}

impl Tree {
    /// A collection of findings that takes its excerpts from this config.
    pub fn diagnostics(&self) -> Diagnostics {
        Diagnostics::new(self.sources.clone())
    }
}

/// Reads and merges the sources in order, applies `sets` (`a.b.c=value`, the value as YAML), then expands.
///
/// All that is wrong is reported at once; there is a tree only if nothing was. Unset variables and unreadable
/// `${file:}`s are not reported here but by what decodes them, because a part that is not used need not be set.
pub fn load(sources: &[Source], sets: &[String], env: &dyn Environment) -> (Option<Tree>, Diagnostics) {
    let mut loader = Loader { map: SourceMap::default(), found: Vec::new() };
    let mut root: Option<Node> = None;
    for source in sources {
        if let Some(node) = loader.source(source, env) {
            root = Some(match root {
                Some(base) => merge(base, node),
                None => node,
            });
        }
    }
    for set in sets {
        if let Some(node) = loader.set(set) {
            root = Some(match root {
                Some(base) => merge(base, node),
                None => node,
            });
        }
    }
    if root.is_none() && loader.found.is_empty() {
        loader
            .found
            .push(Diagnostic::error("empty-config", "there is no config").with_help("give a file with --config"));
    }
    finish(root, loader, env)
}

fn finish(root: Option<Node>, loader: Loader, env: &dyn Environment) -> (Option<Tree>, Diagnostics) {
    let sources = Arc::new(loader.map);
    let mut diags = Diagnostics::new(sources.clone());
    for diagnostic in loader.found {
        diags.push(diagnostic);
    }
    let Some(mut root) = root else { return (None, diags) };
    expand::expand(&mut root, env, &mut diags);
    let tree = (!diags.has_errors()).then_some(Tree { root, sources });
    (tree, diags)
}

/// One text with all in it expanded; not necessarily a map.
pub(crate) fn load_text(text: &str, env: &dyn Environment) -> (Option<Node>, Diagnostics) {
    let mut loader = Loader { map: SourceMap::default(), found: Vec::new() };
    let (source, file) = loader.map.add("config", text.into());
    let place = Place { source, file: file.clone(), line: 1, column: 1, start: 0, end: 0 };
    let empty = Node { kind: Kind::Null, text: None, place, origin: Origin::Literal, key_place: None };
    let parsed = parse::parse(&Text { text, before: "", source, file });
    let root = loader.keep(parsed).map(|node| node.unwrap_or(empty));
    let (tree, diags) = finish(root, loader, env);
    (tree.map(|tree| tree.root), diags)
}

struct Loader {
    map: SourceMap,
    found: Vec<Diagnostic>,
}

impl Loader {
    fn source(&mut self, source: &Source, env: &dyn Environment) -> Option<Node> {
        let text: Arc<str> = match source.read(env) {
            Ok(text) => text.into(),
            Err(error) => {
                self.found.push(error.into());
                return None;
            }
        };
        let name = source.name();
        let (id, file) = self.map.add(&name, text.clone());
        let parsed = parse::parse(&Text { text: &text, before: "", source: id, file });
        let node = self.keep(parsed)?.filter(|node| !node.is_null());
        let Some(node) = node else {
            self.found.push(
                Diagnostic::error("empty-config", format!("`{name}` is empty"))
                    .with_expected("a map with `receivers`, `exporters` and `service`"),
            );
            return None;
        };
        let node = if matches!(source, Source::Line(_)) { split_keys(node) } else { node };
        if matches!(node.kind, Kind::Map(_)) {
            return Some(node);
        }
        let found = node.describe();
        self.found.push(
            Diagnostic::error("wrong-type", format!("a config is a map, found {found}"))
                .at("", &node.place)
                .with_expected("a map with `receivers`, `exporters` and `service`"),
        );
        None
    }

    /// One `--set`: a map that holds the value and nothing else.
    fn set(&mut self, set: &str) -> Option<Node> {
        let (id, file) = self.map.add("--set", set.into());
        let malformed = |message: String| Diagnostic::error("bad-set", message).with_expected("`--set a.b.c=value`");
        let Some(at) = split_at_equals(set) else {
            self.found.push(malformed("`--set` without `=`".to_owned()));
            return None;
        };
        let (target, value) = (&set[..at], &set[at + 1..]);
        let steps = match path::parse(target) {
            Some(steps) if !steps.is_empty() => steps,
            Some(_) => {
                self.found.push(malformed("`--set` without a path before `=`".to_owned()));
                return None;
            }
            _ => {
                self.found.push(malformed(format!("`{target}` is not a path")));
                return None;
            }
        };
        let parsed = parse::parse(&Text { text: value, before: &set[..=at], source: id, file: file.clone() });
        let whole = Place { source: id, file, line: 1, column: 1, start: 0, end: target.len() };
        let empty = Node {
            kind: Kind::Null,
            text: Some("".into()),
            place: whole.clone(),
            origin: Origin::Literal,
            key_place: None,
        };
        let mut node = self.keep(parsed)?.unwrap_or(empty);
        for step in steps.into_iter().rev() {
            let Step::Key(key) = step else {
                self.found.push(
                    malformed(format!("`{target}` points into a list"))
                        .with_help("set the whole list: `--set a.b=[x, y]`"),
                );
                return None;
            };
            let entry = Entry { key: Key { text: key.into(), place: whole.clone() }, value: node };
            node = Node {
                kind: Kind::Map(vec![entry]),
                text: None,
                place: whole.clone(),
                origin: Origin::Literal,
                key_place: None,
            };
        }
        Some(node)
    }

    fn keep<T>(&mut self, result: Result<T, Box<Diagnostic>>) -> Option<T> {
        result.map_err(|diagnostic| self.found.push(*diagnostic)).ok()
    }
}

/// The first `=` that does not stand inside of a quoted key.
fn split_at_equals(set: &str) -> Option<usize> {
    let mut quoted = false;
    let mut escaped = false;
    set.char_indices().find_map(|(at, c)| {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '=' if !quoted => return Some(at),
            _ => {}
        }
        None
    })
}

/// `a::b: c` means `a: {b: c}`.
fn split_keys(node: Node) -> Node {
    let Kind::Map(entries) = node.kind else { return node };
    let mut root =
        Node { kind: Kind::Map(Vec::new()), text: None, place: node.place, origin: node.origin, key_place: None };
    for entry in entries {
        let mut parts = entry.key.text.split("::").collect::<Vec<_>>().into_iter().rev();
        let place = entry.key.place;
        let wrap = |part: &str, value: Node| {
            let entry = Entry { key: Key { text: part.into(), place: place.clone() }, value };
            Node {
                kind: Kind::Map(vec![entry]),
                text: None,
                place: place.clone(),
                origin: Origin::Literal,
                key_place: None,
            }
        };
        let last = parts.next().unwrap_or_default();
        let one = parts.fold(wrap(last, entry.value), |value, part| wrap(part, value));
        root = merge(root, one);
    }
    root
}
