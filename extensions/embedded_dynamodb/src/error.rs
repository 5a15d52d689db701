//! What can go wrong with an embedded table: a seed that cannot be read or is wrong, an address
//! that cannot be bound. A seed's problems carry file, line, column and path, all of them at once.

use std::fmt;
use std::path::PathBuf;

/// Why an embedded table did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The seed file is missing or not readable.
    #[error("cannot read the seed file `{}`: {source}; expected a YAML file with `tables`, or `{}` for the built-in demo", path.display(), crate::DEMO_SEED)]
    Read {
        /// The file as it was named.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The seed file was read and is wrong; every problem is listed.
    #[error("{}", join(problems))]
    Seed {
        /// At least one problem, in the order of the file.
        problems: Vec<Problem>,
    },
    /// The port is taken or may not be used.
    #[error("cannot listen on 127.0.0.1:{port}: {source}; expected a free port, or 0 for any")]
    Bind {
        /// The port that was asked for.
        port: u16,
        /// What the system said.
        source: std::io::Error,
    },
    /// The database refused an operation that the checks let through.
    #[error("embedded table: {0}")]
    Database(String),
    /// The thread of the table ended early.
    #[error("the embedded table stopped unexpectedly")]
    Stopped,
}

/// One mistake in a seed file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file as it was named.
    pub file: String,
    /// Line and column, counted from 1, if the place is known.
    pub location: Option<(usize, usize)>,
    /// The path inside the document, such as `tables[0].items[3].status`; empty for the document.
    pub path: String,
    /// What is wrong and what was expected.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some((line, column)) = self.location {
            write!(f, ":{line}:{column}")?;
        }
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        write!(f, ": {}", self.message)
    }
}

fn join(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
}

/// One step from a node of the document to a child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

impl From<&str> for Step {
    fn from(key: &str) -> Self {
        Self::Key(key.to_owned())
    }
}

impl From<usize> for Step {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

/// A mistake seen from inside a value: the path grows outwards while it is handed up, so that
/// values without mistakes pay nothing for knowing where they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Innermost step first.
    steps: Vec<Step>,
    pub(crate) message: String,
}

impl Fault {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { steps: Vec::new(), message: message.into() }
    }

    /// The same mistake, seen from one level further out.
    pub(crate) fn within(mut self, step: impl Into<Step>) -> Self {
        self.steps.push(step.into());
        self
    }

    /// From the document to the value.
    pub(crate) fn path(&self) -> impl DoubleEndedIterator<Item = &Step> {
        self.steps.iter().rev()
    }
}

/// A path as it is printed: `tables[0].items[3].status`.
pub(crate) fn render<'a>(path: impl Iterator<Item = &'a Step>) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Key(key) => {
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(key);
            }
            Step::Index(index) => text.push_str(&format!("[{index}]")),
        }
    }
    text
}
