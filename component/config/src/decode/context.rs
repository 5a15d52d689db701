//! What one decoding shares: what was found, what to leave out, what to make up, and where secrets were.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::Unsupported;
use crate::diagnostic::{Diagnostic, Diagnostics, looks_secret};
use crate::node::{Entry, Node, Origin};
use crate::path::{push_index, push_key};

/// The path to a node, built only when somebody asks for it.
pub(super) enum Path<'p> {
    Root(&'p str),
    Key(&'p Path<'p>, &'p str),
    Index(&'p Path<'p>, usize),
}

impl Path<'_> {
    pub(super) fn render(&self) -> String {
        match self {
            Path::Root(root) => (*root).to_owned(),
            Path::Key(base, key) => {
                let mut path = base.render();
                push_key(&mut path, key);
                path
            }
            Path::Index(base, index) => {
                let mut path = base.render();
                push_index(&mut path, *index);
                path
            }
        }
    }

    /// The path below the root that was given.
    fn relative(&self) -> String {
        match self {
            Path::Root(_) => String::new(),
            Path::Key(base, key) => {
                let mut path = base.relative();
                push_key(&mut path, key);
                path
            }
            Path::Index(base, index) => {
                let mut path = base.relative();
                push_index(&mut path, *index);
                path
            }
        }
    }
}

pub(super) struct Context<'a> {
    unsupported: &'a Unsupported<'a>,
    found: RefCell<Vec<Diagnostic>>,
    secrets: RefCell<BTreeMap<String, Node>>,
    hidden: RefCell<Vec<Node>>,
    /// Addresses of values whose keys were reported as unknown.
    unknown: RefCell<BTreeSet<usize>>,
    /// Addresses of nodes that failed; they are left out from now on.
    omitted: RefCell<BTreeSet<usize>>,
    /// Fields to make up, by the address of their map.
    made_up: RefCell<BTreeSet<(usize, String)>>,
}

impl<'a> Context<'a> {
    pub(super) fn new(unsupported: &'a Unsupported<'a>) -> Self {
        Self {
            unsupported,
            found: RefCell::default(),
            secrets: RefCell::default(),
            hidden: RefCell::default(),
            unknown: RefCell::default(),
            omitted: RefCell::default(),
            made_up: RefCell::default(),
        }
    }

    pub(super) fn finish(self, path: &str, diags: &mut Diagnostics) {
        self.found.into_inner().into_iter().for_each(|diagnostic| diags.push(diagnostic));
        diags.secrets.add_decoded(path);
        for (path, node) in self.secrets.into_inner() {
            diags.secrets.add(path, &node);
        }
        for node in self.hidden.into_inner() {
            diags.secrets.hide(&node);
        }
    }

    pub(super) fn report(&self, diagnostic: Diagnostic) {
        self.found.borrow_mut().push(diagnostic);
    }

    pub(super) fn note_secret(&self, path: &Path<'_>, node: &Node) {
        self.secrets.borrow_mut().entry(path.render()).or_insert_with(|| node.clone());
    }

    /// Leaves a node out from now on; false if it was left out already.
    pub(super) fn omit(&self, address: usize) -> bool {
        self.omitted.borrow_mut().insert(address)
    }

    pub(super) fn is_omitted(&self, address: usize) -> bool {
        self.omitted.borrow().contains(&address)
    }

    /// Makes a field up from now on; false if it was made up already.
    pub(super) fn make_up(&self, map: usize, field: String) -> bool {
        self.made_up.borrow_mut().insert((map, field))
    }

    pub(super) fn made_up(&self, map: usize) -> Vec<String> {
        let all = self.made_up.borrow();
        all.iter().filter(|(of, _)| *of == map).map(|(_, field)| field.clone()).collect()
    }

    /// Reports a key that is none of `fields`.
    pub(super) fn unknown_key(&self, base: &Path<'_>, entry: &Entry, fields: &[&str]) {
        // Each attempt meets the same keys again.
        if self.unknown.borrow_mut().insert(std::ptr::from_ref(&entry.value).addr()) {
            self.report(self.unknown_key_diagnostic(base, entry, fields));
        }
    }

    pub(super) fn unknown_key_diagnostic(&self, base: &Path<'_>, entry: &Entry, fields: &[&str]) -> Diagnostic {
        let key = &*entry.key.text;
        let path = Path::Key(base, key);
        let suggestion = crate::suggest(key, fields.iter().copied());
        // A password such as `a: b` reads as a map; its key is shown only if it is almost one that was expected.
        if let (Origin::Expanded { written, .. }, None) = (entry.value.origin(), suggestion)
            && entry.key.place == *entry.value.place()
        {
            return Diagnostic::error("unknown-key", format!("unknown key in the value of `{written}`"))
                .at(base.render(), &entry.key.place)
                .with_expected(one_of(fields));
        }
        // A misspelt `password` is a password all the same.
        if looks_secret(key) || suggestion.is_some_and(looks_secret) {
            self.hidden.borrow_mut().push(entry.value.clone());
        }
        if let Some(hint) = self.unsupported_hint(&path.relative()) {
            return Diagnostic::error("unsupported-key", format!("`{key}` is not supported: {hint}"))
                .at(path.render(), &entry.key.place);
        }
        let diagnostic =
            Diagnostic::error("unknown-key", format!("unknown key `{key}`")).at(path.render(), &entry.key.place);
        let diagnostic = match fields {
            [] => diagnostic.with_expected("no keys at all"),
            _ => diagnostic.with_expected(one_of(fields)),
        };
        match suggestion {
            Some(field) => diagnostic.with_help(format!("did you mean `{field}`?")),
            None => diagnostic,
        }
    }

    fn unsupported_hint(&self, relative: &str) -> Option<&str> {
        let fits = |pattern: &str| match pattern.strip_prefix("**.") {
            Some(tail) => relative.strip_suffix(tail).is_some_and(|head| head.is_empty() || head.ends_with('.')),
            None => relative == pattern,
        };
        self.unsupported.0.iter().find(|(pattern, _)| fits(pattern)).map(|(_, hint)| *hint)
    }
}

/// `one of `a`, `b`, `c``.
pub(super) fn one_of(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.as_slice() {
        [only] => only.clone(),
        _ => format!("one of {}", quoted.join(", ")),
    }
}
