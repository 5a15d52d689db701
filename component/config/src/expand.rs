//! `${env:X}`, `${X}`, `${env:X:-default}`, `${file:/path}` and `$$`, on the parsed tree.
//!
//! A scalar that is wholly one expansion takes the type of what it brings; inside of other text the text is put in.
//! Since the tree is parsed before, what is brought can add a value, never keys or values around it.

use std::path::Path;
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::node::{Kind, Node, Origin, Poison};
use crate::parse::{self, MAX_DEPTH, MAX_NODES, Text};
use crate::path::{push_index, push_key};
use crate::source::{Environment, MAX_FILE_BYTES, read_file};

/// The most expansions in one value, those in what it brings included.
const MAX_PER_VALUE: usize = 100;
/// The most expansions in a config.
const MAX_IN_ALL: usize = 1000;

/// Expands every value below `root`. What cannot be had becomes [`Kind::Poison`]; only a broken limit is reported.
pub(crate) fn expand(root: &mut Node, env: &dyn Environment, diags: &mut Diagnostics) {
    let nodes = root.count();
    let mut expander = Expander { env, in_value: 0, in_all: 0, bytes: 0, nodes, path: String::new(), broken: None };
    expander.literal(root, 1);
    if let Some(broken) = expander.broken {
        diags.push(broken);
    }
}

struct Expander<'a> {
    env: &'a dyn Environment,
    in_value: usize,
    in_all: usize,
    /// Bytes brought so far.
    bytes: usize,
    nodes: usize,
    path: String,
    /// The first limit that was broken; nothing is expanded after it.
    broken: Option<Diagnostic>,
}

/// Who wrote a text: `$$` is an escape only where somebody wrote a config, not in a password.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Author {
    Config,
    Outside,
}

/// What an expansion brought.
struct Brought {
    text: String,
    author: Author,
    from_file: bool,
}

/// A part of a scalar.
enum Part<'t> {
    Text(&'t str),
    /// What stands between `${` and `}`.
    Expansion(&'t str),
}

impl Expander<'_> {
    fn literal(&mut self, node: &mut Node, depth: usize) {
        self.walk(node, depth, &mut |expander, node, depth| {
            expander.in_value = 0;
            expander.scalar(node, depth, Author::Config);
        });
    }

    fn walk(&mut self, node: &mut Node, depth: usize, scalar: &mut dyn FnMut(&mut Self, &mut Node, usize)) {
        if self.broken.is_some() {
            return;
        }
        let length = self.path.len();
        match &mut node.kind {
            Kind::Seq(items) => {
                for (at, item) in items.iter_mut().enumerate() {
                    push_index(&mut self.path, at);
                    self.walk(item, depth + 1, scalar);
                    self.path.truncate(length);
                }
            }
            Kind::Map(entries) => {
                for entry in entries {
                    push_key(&mut self.path, &entry.key.text);
                    self.walk(&mut entry.value, depth + 1, scalar);
                    self.path.truncate(length);
                }
            }
            Kind::Str(text) if text.contains('$') => scalar(self, node, depth),
            _ => {}
        }
    }

    fn scalar(&mut self, node: &mut Node, depth: usize, author: Author) {
        let Kind::Str(text) = &node.kind else { return };
        let text = text.clone();
        match parts(&text, author).as_slice() {
            [Part::Expansion(inner)] => self.whole(node, &text, inner, depth),
            all if all.iter().any(|part| matches!(part, Part::Expansion(_))) => self.embedded(node, &text, author),
            all => {
                let plain: Arc<str> = all
                    .iter()
                    .map(|part| if let Part::Text(text) = part { text } else { "" })
                    .collect::<String>()
                    .into();
                node.kind = Kind::Str(plain.clone());
                node.text = Some(plain);
            }
        }
    }

    /// The scalar is one expansion: it becomes what this brings, read as YAML by itself.
    fn whole(&mut self, node: &mut Node, written: &Arc<str>, inner: &str, depth: usize) {
        let written = match &node.origin {
            Origin::Expanded { written, .. } => written.clone(),
            Origin::Literal => written.clone(),
        };
        let brought = match self.bring(inner, &node.place) {
            Ok(brought) => brought,
            Err(poison) => return self.poison(node, written, poison),
        };
        let from_file = brought.from_file || matches!(node.origin, Origin::Expanded { from_file: true, .. });
        let origin = Origin::Expanded { written, from_file };
        let mut value = read_alone(&brought.text, node);
        if depth + value.depth() > MAX_DEPTH + 1 {
            let message = format!("what it expands to is nested deeper than {MAX_DEPTH} levels");
            self.break_limit(Diagnostic::error("too-deep", message).at(&self.path, &node.place));
            return;
        }
        self.nodes += value.count() - 1;
        if self.nodes > MAX_NODES {
            let message = format!("with what it expands to, the config has more than {MAX_NODES} values");
            self.break_limit(Diagnostic::error("too-many-values", message).at(&self.path, &node.place));
            return;
        }
        stamp(&mut value, node, &origin);
        value.key_place = node.key_place.take();
        *node = value;
        self.walk(node, depth, &mut |expander, node, depth| expander.scalar(node, depth, brought.author));
    }

    /// Expansions within other text: their texts are put in, and the whole stays text.
    fn embedded(&mut self, node: &mut Node, text: &Arc<str>, author: Author) {
        let (written, was_from_file) = match &node.origin {
            Origin::Expanded { written, from_file } => (written.clone(), *from_file),
            Origin::Literal => (text.clone(), false),
        };
        match self.join(text, author, &node.place) {
            Ok((joined, from_file)) => {
                let joined: Arc<str> = joined.into();
                node.kind = Kind::Str(joined.clone());
                node.text = Some(joined);
                node.origin = Origin::Expanded { written, from_file: from_file || was_from_file };
            }
            Err(poison) => self.poison(node, written, poison),
        }
    }

    /// A text with all its expansions put in, and whether any came from a file.
    fn join(&mut self, text: &str, author: Author, place: &crate::Place) -> Result<(String, bool), Poison> {
        let mut joined = String::new();
        let mut from_file = false;
        for part in parts(text, author) {
            match part {
                Part::Text(text) => joined.push_str(text),
                Part::Expansion(inner) => {
                    let brought = self.bring(inner, place)?;
                    let (text, nested_file) = self.join(&brought.text, brought.author, place)?;
                    joined.push_str(&text);
                    from_file |= brought.from_file | nested_file;
                }
            }
        }
        Ok((joined, from_file))
    }

    /// One expansion: what stands for `${inner}`.
    fn bring(&mut self, inner: &str, place: &crate::Place) -> Result<Brought, Poison> {
        self.count(place)?;
        let brought = match inner.strip_prefix("file:") {
            Some(path) => self.file(inner, path, place)?,
            None => self.variable(inner, place)?,
        };
        self.bytes += brought.text.len();
        if self.bytes > MAX_FILE_BYTES {
            let message = format!("expansions bring more than {} MB", MAX_FILE_BYTES / 1_000_000);
            self.break_limit(Diagnostic::error("expansion-too-large", message).at(&self.path, place));
            return Err(stopped());
        }
        Ok(brought)
    }

    fn count(&mut self, place: &crate::Place) -> Result<(), Poison> {
        if self.broken.is_some() {
            return Err(stopped());
        }
        self.in_value += 1;
        self.in_all += 1;
        if self.in_value > MAX_PER_VALUE {
            return Err(Poison {
                rule: "expansion-loop",
                message: format!("this value takes more than {MAX_PER_VALUE} expansions"),
                help: Some("does a variable refer to itself?".to_owned()),
            });
        }
        if self.in_all > MAX_IN_ALL {
            let message = format!("the config takes more than {MAX_IN_ALL} expansions");
            self.break_limit(Diagnostic::error("too-many-expansions", message).at(&self.path, place));
            return Err(stopped());
        }
        Ok(())
    }

    fn file(&mut self, inner: &str, path: &str, place: &crate::Place) -> Result<Brought, Poison> {
        let (name, _) = self.join(path, Author::Config, place)?;
        let mut text = read_file(Path::new(&name)).map_err(|error| {
            // A path that came from elsewhere is not shown.
            let message = error.message.replace(&format!("`{name}`"), &format!("`${{{inner}}}`"));
            let message = if name == path { error.message } else { message };
            Poison { rule: error.rule, message, help: error.help }
        })?;
        // An editor's last newline is not part of a password.
        if text.ends_with('\n') {
            text.truncate(text.len() - if text.ends_with("\r\n") { 2 } else { 1 });
        }
        Ok(Brought { text, author: Author::Outside, from_file: true })
    }

    fn variable(&mut self, inner: &str, place: &crate::Place) -> Result<Brought, Poison> {
        let (reference, default) = split_default(inner);
        let (name, from_file) = self.join(reference, Author::Config, place)?;
        let name = name.strip_prefix("env:").unwrap_or(&name);
        let shown = if reference.contains("${") { format!("of `${{{inner}}}`") } else { name.to_owned() };
        if !is_variable_name(name) {
            return Err(not_an_expansion(inner, reference));
        }
        if let Some(text) = self.env.var(name) {
            return Ok(Brought { text, author: Author::Outside, from_file });
        }
        match default {
            Some(default) => Ok(Brought { text: default.to_owned(), author: Author::Config, from_file }),
            None => Err(Poison {
                rule: "unset-variable",
                message: format!("environment variable {shown} is not set"),
                help: Some(format!("set it, or give a default: `${{{inner}:-...}}`")),
            }),
        }
    }

    fn poison(&mut self, node: &mut Node, written: Arc<str>, poison: Poison) {
        node.kind = Kind::Poison(Arc::new(poison));
        node.text = Some(written.clone());
        node.origin = Origin::Expanded { written, from_file: false };
    }

    fn break_limit(&mut self, diagnostic: Diagnostic) {
        self.broken.get_or_insert(diagnostic);
    }
}

fn stopped() -> Poison {
    Poison { rule: "too-many-expansions", message: "expansion was stopped before this value".to_owned(), help: None }
}

fn not_an_expansion(inner: &str, reference: &str) -> Poison {
    let scheme = reference.split_once(':').map(|(scheme, _)| scheme).filter(|scheme| !scheme.contains("${"));
    let message = match scheme {
        Some("env") | None => format!("`${{{inner}}}` does not name an environment variable"),
        Some(scheme) => format!("`${{{inner}}}` cannot be expanded: `{scheme}:` is not supported"),
    };
    Poison {
        rule: "invalid-expansion",
        message,
        help: Some(format!("write `${{env:NAME}}` or `${{file:/path}}`; for the text itself, `$${{{inner}}}`")),
    }
}

/// Letters, digits and underscores, not starting with a digit.
fn is_variable_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Splits at the first `:-` that does not stand inside of a nested expansion.
fn split_default(inner: &str) -> (&str, Option<&str>) {
    let mut depth = 0_usize;
    for (at, byte) in inner.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            b':' if depth == 0 && inner[at..].starts_with(":-") => return (&inner[..at], Some(&inner[at + 2..])),
            _ => {}
        }
    }
    (inner, None)
}

/// Takes a text apart. An expansion that is not closed is text.
fn parts(text: &str, author: Author) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut plain = 0;
    let mut at = 0;
    while let Some(found) = text[at..].find('$') {
        let dollar = at + found;
        let rest = &text[dollar + 1..];
        let escapes = rest.starts_with("${") || (author == Author::Config && rest.starts_with('$'));
        let close = if rest.starts_with('{') && !escapes { closing_brace(&rest[1..]) } else { None };
        if escapes {
            // The first `$` stays, the second goes.
            parts.push(Part::Text(&text[plain..=dollar]));
            at = dollar + 2;
            plain = at;
        } else if let Some(length) = close {
            if plain < dollar {
                parts.push(Part::Text(&text[plain..dollar]));
            }
            parts.push(Part::Expansion(&rest[1..=length]));
            at = dollar + 2 + length + 1;
            plain = at;
        } else {
            at = dollar + 1;
        }
    }
    if plain < text.len() {
        parts.push(Part::Text(&text[plain..]));
    }
    parts
}

/// Where the expansion ends that begins before `text`: at the brace that balances, or else at the first that closes it.
fn closing_brace(text: &str) -> Option<usize> {
    let end = |counts: &dyn Fn(usize) -> bool| {
        let mut depth = 0_usize;
        text.bytes().enumerate().find_map(|(at, byte)| match byte {
            b'{' if counts(at) => {
                depth += 1;
                None
            }
            b'}' if depth == 0 => Some(at),
            b'}' => {
                depth -= 1;
                None
            }
            _ => None,
        })
    };
    let after_dollar = |at: usize| at > 0 && text.as_bytes()[at - 1] == b'$';
    end(&|_| true).or_else(|| end(&after_dollar))
}

/// What a text means by itself: a number, a list, a map ... or, if it is not YAML or is plain text, the text as it is.
fn read_alone(text: &str, like: &Node) -> Node {
    let verbatim: Arc<str> = text.into();
    let alone = Text { text, before: "", source: like.place.source, file: like.place.file.clone() };
    let kind = match parse::parse(&alone) {
        Ok(Some(node)) if !matches!(node.kind, Kind::Str(_)) => node.kind,
        Ok(None) => Kind::Null,
        Ok(Some(_)) | Err(_) => Kind::Str(verbatim.clone()),
    };
    Node { kind, text: Some(verbatim), place: like.place.clone(), origin: Origin::Literal, key_place: None }
}

/// Everything that was brought stands where the expansion was written.
fn stamp(value: &mut Node, like: &Node, origin: &Origin) {
    value.place = like.place.clone();
    value.origin = origin.clone();
    match &mut value.kind {
        Kind::Seq(items) => items.iter_mut().for_each(|item| stamp(item, like, origin)),
        Kind::Map(entries) => {
            for entry in entries {
                entry.key.place = like.place.clone();
                stamp(&mut entry.value, like, origin);
            }
        }
        _ => {}
    }
}
