//! What the processors that look at attributes share: which items are meant, and what is done to their attributes.
//! Pure, on views: metrics by shape, traces and logs on the decoded trees.
//!
//! | room | what lives there |
//! |---|---|
//! | [`matching`] | include and exclude: which points, spans and records are meant |
//! | [`actions`] | insert, update, upsert, delete, hash, extract, convert |
//! | [`ottl`] | conditions as texts: the part of OTTL that is understood |
//! | [`tree`] | traces and logs, decoded and encoded again |
//! | [`value`] | one way to read a value, wherever it lies; constants from config |
//! | [`lookup`] | attributes by key, in batches and in trees |
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod actions;
pub mod lookup;
pub mod matching;
pub mod ottl;
pub mod tree;
pub mod value;

pub use actions::{ActionConfig, Actions};
pub use lookup::{Lookup, Set};
pub use matching::{Chosen, MatchConfig, Selection};
pub use tree::Tree;
pub use value::{Constant, Fixed, Read};

use steadyline_component::CreateContext;

/// What is wrong with a config: paths relative to the component, and what is wrong there.
#[derive(Debug, Default)]
pub struct Problems {
    list: Vec<(String, String)>,
    warnings: Vec<(String, String)>,
}

impl Problems {
    /// Notes an error at a path.
    pub fn error(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.list.push((path.into(), message.into()));
    }

    /// Notes a warning at a path.
    pub fn warning(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.warnings.push((path.into(), message.into()));
    }

    /// The errors, as (path, message).
    pub fn errors(&self) -> &[(String, String)] {
        &self.list
    }

    /// Hands all of it to the context; whether there was no error.
    pub fn report(self, context: &mut CreateContext<'_>) -> bool {
        let fine = self.list.is_empty();
        self.warnings.into_iter().for_each(|(path, message)| context.warning(&path, message));
        self.list.into_iter().for_each(|(path, message)| context.error(&path, message));
        fine
    }

    /// A regular expression; if it does not compile, why is noted.
    pub fn regex(&mut self, path: &str, pattern: &str) -> Option<regex::Regex> {
        match regex::Regex::new(pattern) {
            Ok(regex) => Some(regex),
            Err(error) => {
                self.error(path, format!("not a regular expression: {}", one_line(&error)));
                None
            }
        }
    }
}

/// The last line of a regex error says what is wrong; the lines before it draw where.
pub(crate) fn one_line(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().next_back().unwrap_or_default();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}
