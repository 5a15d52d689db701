//! What is wrong with a config: one [`Diagnostic`] each, all of them in [`Diagnostics`].
//! The collection also knows the sources, for excerpts, and which values are secrets, so that none is ever shown.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use serde::Serialize;

use crate::node::{Node, Origin, Poison};
use crate::path;
use crate::place::{Place, SourceId, SourceMap};
use crate::types::InvalidValue;

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Diagnostic {
    /// The rule that was broken, in kebab case, stable: `unknown-key`.
    pub rule: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// The path in the config, such as `exporters.otlp.tls.ca_file`; empty if it concerns a source as a whole.
    pub path: String,
    /// Where it stands, if anywhere.
    pub place: Option<Place>,
    /// What is wrong: lower case, no full stop.
    pub message: String,
    /// What would have been right, such as `a duration, such as "30s"`.
    pub expected: Option<String>,
    /// What to do, such as a suggestion of the right spelling.
    pub help: Option<String>,
    /// Further remarks, each possibly with a place of its own.
    pub notes: Vec<Note>,
}

/// A remark that belongs to a [`Diagnostic`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Note {
    /// The remark.
    pub message: String,
    /// Where it points to.
    pub place: Option<Place>,
}

/// How bad a [`Diagnostic`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The config cannot be used.
    Error,
    /// It can, but probably does not mean what was wanted.
    Warning,
}

impl Diagnostic {
    /// An error; fill in the rest with the `with_` and `at` methods.
    pub fn error(rule: &'static str, message: impl Into<String>) -> Self {
        Self::new(rule, Severity::Error, message.into())
    }

    /// A warning.
    pub fn warning(rule: &'static str, message: impl Into<String>) -> Self {
        Self::new(rule, Severity::Warning, message.into())
    }

    fn new(rule: &'static str, severity: Severity, message: String) -> Self {
        Self {
            rule,
            severity,
            path: String::new(),
            place: None,
            message,
            expected: None,
            help: None,
            notes: Vec::new(),
        }
    }

    /// Sets path and place.
    pub fn at(mut self, path: impl Into<String>, place: &Place) -> Self {
        self.path = path.into();
        self.place = Some(place.clone());
        self
    }

    /// Sets path and place from `relative`, a path below `node`, whose own path is `path`. If there is no such
    /// node, the place is that of the nearest one above it.
    pub fn at_node(self, node: &Node, path: &str, relative: &str) -> Self {
        let mut nearest = node;
        let mut full = path.to_owned();
        for step in path::parse(relative).unwrap_or_default() {
            let next = match &step {
                path::Step::Key(key) => {
                    path::push_key(&mut full, key);
                    nearest.get(key)
                }
                path::Step::Index(index) => {
                    path::push_index(&mut full, *index);
                    nearest.items().get(*index)
                }
            };
            nearest = next.unwrap_or(nearest);
        }
        self.at(full, nearest.place())
    }

    /// Sets the path alone, for something that stands nowhere.
    pub fn with_path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// Sets what would have been right.
    pub fn with_expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    /// Sets what to do.
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Sets "did you mean" if `word` is spelt like one of the candidates.
    pub fn with_suggestion<'a>(mut self, word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Self {
        if let Some(candidate) = crate::suggest(word, candidates) {
            self.help = Some(format!("did you mean `{candidate}`?"));
        }
        self
    }

    /// Adds a remark.
    pub fn with_note(mut self, message: impl Into<String>, place: Option<&Place>) -> Self {
        self.notes.push(Note { message: message.into(), place: place.cloned() });
        self
    }
}

impl From<Poison> for Diagnostic {
    fn from(poison: Poison) -> Self {
        Self { help: poison.help, ..Self::error(poison.rule, poison.message) }
    }
}

impl From<InvalidValue> for Diagnostic {
    fn from(error: InvalidValue) -> Self {
        let diagnostic = Self::error("invalid-value", error.message).with_expected(error.expected);
        Self { help: error.help, ..diagnostic }
    }
}

/// All findings about one config.
#[derive(Debug, Clone, Default)]
pub struct Diagnostics {
    items: Vec<Diagnostic>,
    seen: HashSet<Diagnostic>,
    pub(crate) sources: Arc<SourceMap>,
    pub(crate) secrets: SecretPaths,
}

impl Diagnostics {
    /// An empty collection that takes excerpts from `sources`.
    pub fn new(sources: Arc<SourceMap>) -> Self {
        Self { sources, ..Self::default() }
    }

    /// Adds a finding, unless it is there already.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        if self.seen.insert(diagnostic.clone()) {
            self.items.push(diagnostic);
        }
    }

    /// Adds all findings and secrets of another collection about the same sources.
    pub fn append(&mut self, other: Diagnostics) {
        for diagnostic in other.items {
            self.push(diagnostic);
        }
        self.secrets.append(other.secrets);
    }

    /// Whether any finding is an error.
    pub fn has_errors(&self) -> bool {
        self.error_count() > 0
    }

    /// The number of errors.
    pub fn error_count(&self) -> usize {
        self.items.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count()
    }

    /// The number of warnings.
    pub fn warning_count(&self) -> usize {
        self.items.len() - self.error_count()
    }

    /// Whether there are no findings at all.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// All findings, in the order of the sources; those without a place come last.
    pub fn sorted(&self) -> Vec<&Diagnostic> {
        let mut sorted: Vec<&Diagnostic> = self.items.iter().collect();
        sorted.sort_by_key(|diagnostic| {
            let place = diagnostic.place.as_ref().map(|place| (place.source, place.start));
            (place.is_none(), place, diagnostic.path.clone(), diagnostic.rule)
        });
        sorted
    }

    /// The sources that excerpts are taken from.
    pub fn sources(&self) -> &Arc<SourceMap> {
        &self.sources
    }

    /// Which values were decoded as secrets so far.
    pub fn secrets(&self) -> &SecretPaths {
        &self.secrets
    }
}

/// Which values are secrets: what [`crate::decode`] found to be a [`crate::Secret`], by path and by place.
#[derive(Debug, Clone, Default)]
pub struct SecretPaths {
    paths: BTreeSet<String>,
    decoded: BTreeSet<String>,
    stretches: BTreeSet<(SourceId, usize, usize)>,
}

impl SecretPaths {
    /// Whether the value at this path was decoded as a secret.
    pub fn contains(&self, path: &str) -> bool {
        self.paths.contains(path)
    }

    /// All paths of secrets, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.paths.iter().map(String::as_str)
    }

    /// Whether the value at this path was given a type, secret or not.
    pub fn knows(&self, path: &str) -> bool {
        let below = |root: &String| {
            path.strip_prefix(root.as_str())
                .is_some_and(|rest| root.is_empty() || rest.is_empty() || rest.starts_with(['.', '[']))
        };
        self.decoded.iter().any(below)
    }

    pub(crate) fn add(&mut self, path: String, node: &Node) {
        self.hide(node);
        self.paths.insert(path);
    }

    /// Keeps a value out of excerpts, unless all that is written there is where to get it.
    pub(crate) fn hide(&mut self, node: &Node) {
        if let Origin::Expanded { written, .. } = node.origin() {
            let is_reference = written.starts_with("${") && written.find('}') == Some(written.len() - 1);
            if is_reference && (!written.contains(":-") || written.ends_with(":-}")) {
                return;
            }
        }
        let place = node.place();
        self.stretches.insert((place.source, place.start, place.end));
    }

    pub(crate) fn add_decoded(&mut self, path: &str) {
        self.decoded.insert(path.to_owned());
    }

    pub(crate) fn stretches(&self) -> impl Iterator<Item = (SourceId, std::ops::Range<usize>)> {
        self.stretches.iter().map(|(source, start, end)| (*source, *start..*end))
    }

    fn append(&mut self, other: SecretPaths) {
        self.paths.extend(other.paths);
        self.decoded.extend(other.decoded);
        self.stretches.extend(other.stretches);
    }
}

/// Whether a key is named like something that holds a secret.
pub(crate) fn looks_secret(key: &str) -> bool {
    const WORDS: [&str; 14] = [
        "password",
        "passwd",
        "passphrase",
        "secret",
        "token",
        "key",
        "apikey",
        "credential",
        "credentials",
        "authorization",
        "cookie",
        "bearer",
        "pem",
        "pwd",
    ];
    /// Keys of these kinds find things; they open nothing.
    const FINDING: [&str; 10] = [
        "idempotency",
        "deduplication",
        "partition",
        "sort",
        "hash",
        "range",
        "primary",
        "foreign",
        "routing",
        "group",
    ];
    let lower = key.to_ascii_lowercase();
    let words: Vec<&str> = lower.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let names_a_file = lower.ends_with("_file") || lower.ends_with("_path");
    let is_secret = |at: usize| {
        let word = words[at];
        let finds = word == "key" && at > 0 && FINDING.contains(&words[at - 1]);
        !finds && WORDS.iter().any(|secret| word == *secret || (secret.len() > 3 && word.ends_with(secret)))
    };
    !names_a_file && (0..words.len()).any(is_secret)
}
