//! What is done to attributes: a list of actions, each seeing what the one before it left.
//! One interpreter runs them on the attributes of a tree, on one point, and on a mere list of keys, which gives a plan.

mod config;
mod edit;
mod plan;
mod tree;

use regex::Regex;

pub use config::{ActionConfig, ActionKind};

use crate::value::{ConvertedType, Fixed};

/// A list of actions, checked and compiled.
#[derive(Debug, Default)]
pub struct Actions {
    steps: Vec<Step>,
    /// The constants that steps refer to.
    constants: Vec<Fixed>,
}

#[derive(Debug)]
struct Step {
    /// The key acted upon; empty where only `pattern` says which.
    key: String,
    what: What,
}

#[derive(Debug)]
enum What {
    Put { when: When, source: Source },
    Delete { pattern: Option<Regex> },
    Hash { pattern: Option<Regex> },
    Extract { pattern: Regex },
    Convert { to: ConvertedType },
}

/// Which keys a value is put under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct When {
    present: bool,
    absent: bool,
}

#[derive(Debug)]
enum Source {
    /// An index of the constants.
    Constant(usize),
    Attribute {
        key: String,
        fallback: Option<usize>,
    },
}

/// Attributes that actions can be run on.
trait Subject {
    /// A value as the subject holds it.
    type Value;
    /// How many attributes there are.
    fn len(&self) -> usize;
    /// The key of one.
    fn key(&self, at: usize) -> &str;
    /// The value of one.
    fn get(&self, at: usize) -> Self::Value;
    /// Gives one another value.
    fn set(&mut self, at: usize, value: Self::Value);
    /// Adds one at the end.
    fn push(&mut self, key: &str, value: Self::Value);
    /// Removes one.
    fn remove(&mut self, at: usize);
    /// A constant by its index.
    fn constant(&mut self, index: usize) -> Self::Value;
    /// Replaces a value by its hash.
    fn hash(&mut self, at: usize);
    /// Converts a value, if it can be.
    fn convert(&mut self, at: usize, to: ConvertedType);
    /// The groups of a pattern in a value that is text; `None` if it does not match.
    fn extract(&mut self, at: usize, pattern: &Regex) -> Option<Vec<Self::Value>>;

    /// Where a key stands.
    fn find(&self, key: &str) -> Option<usize> {
        (0..self.len()).find(|at| self.key(*at) == key)
    }

    /// Puts a value under a key, whether it is there or not.
    fn put(&mut self, key: &str, value: Self::Value) {
        match self.find(key) {
            Some(at) => self.set(at, value),
            None => self.push(key, value),
        }
    }
}

impl Actions {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    fn run<S: Subject>(&self, subject: &mut S) {
        for step in &self.steps {
            match &step.what {
                What::Put { when, source } => put(subject, &step.key, *when, source),
                What::Delete { pattern } => {
                    for at in (0..subject.len()).rev() {
                        if step.means(pattern.as_ref(), subject.key(at)) {
                            subject.remove(at);
                        }
                    }
                }
                What::Hash { pattern } => {
                    for at in 0..subject.len() {
                        if step.means(pattern.as_ref(), subject.key(at)) {
                            subject.hash(at);
                        }
                    }
                }
                What::Extract { pattern } => {
                    let found = subject.find(&step.key).and_then(|at| subject.extract(at, pattern));
                    let names = pattern.capture_names().skip(1).flatten();
                    for (name, value) in names.zip(found.into_iter().flatten()) {
                        subject.put(name, value);
                    }
                }
                What::Convert { to } => {
                    if let Some(at) = subject.find(&step.key) {
                        subject.convert(at, *to);
                    }
                }
            }
        }
    }
}

impl Step {
    fn means(&self, pattern: Option<&Regex>, key: &str) -> bool {
        (!self.key.is_empty() && self.key == key) || pattern.is_some_and(|pattern| pattern.is_match(key))
    }
}

fn put<S: Subject>(subject: &mut S, key: &str, when: When, source: &Source) {
    let there = subject.find(key);
    let wanted = if there.is_some() { when.present } else { when.absent };
    if !wanted {
        return;
    }
    let value = match source {
        Source::Constant(index) => subject.constant(*index),
        Source::Attribute { key, fallback } => match (subject.find(key), fallback) {
            (Some(at), _) => subject.get(at),
            (None, Some(index)) => subject.constant(*index),
            (None, None) => return,
        },
    };
    match there {
        Some(at) => subject.set(at, value),
        None => subject.push(key, value),
    }
}
