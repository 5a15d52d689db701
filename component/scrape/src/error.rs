//! What can be wrong with a body, and where.
//! A scrape whose body has an error is a failed scrape: nothing of it counts, also what was read before.

use std::fmt;

use thiserror::Error;

/// A body is not what its format asks for. Never retryable: the same bytes fail again.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{place}: {fault}")]
pub struct ParseError {
    /// Where.
    pub place: Place,
    /// What.
    pub fault: Fault,
}

/// A place in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A line of a text format, counted from 1.
    Line(usize),
    /// A byte of a protobuf body, counted from 0: where the message begins that holds the fault.
    Byte(usize),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Line(line) => write!(f, "line {line}"),
            Place::Byte(byte) => write!(f, "byte {byte}"),
        }
    }
}

/// What is wrong. Excerpts are short, whatever the body holds.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Fault {
    /// A line begins with something that no line begins with.
    #[error("expected a metric, a comment or a brace, found `{0}`")]
    Start(String),
    /// OpenMetrics allows no empty lines.
    #[error("OpenMetrics allows no blank line")]
    BlankLine,
    /// OpenMetrics allows no comments but HELP, TYPE, UNIT and EOF.
    #[error("OpenMetrics knows the comments HELP, TYPE, UNIT and EOF only, found `{0}`")]
    Comment(String),
    /// HELP, TYPE or UNIT without a metric name.
    #[error("expected a metric name after {keyword}, found `{found}`")]
    CommentName {
        /// HELP, TYPE or UNIT.
        keyword: &'static str,
        /// What stands there.
        found: String,
    },
    /// HELP, TYPE or UNIT without anything behind the name.
    #[error("expected a text after {0} and the metric name")]
    CommentText(&'static str),
    /// A TYPE that the format does not know.
    #[error("unknown metric type `{0}`")]
    Type(String),
    /// A unit must be the end of its metric's name.
    #[error("the unit `{unit}` is not the end of the metric name `{family}`")]
    Unit {
        /// The family's name.
        family: String,
        /// Its unit.
        unit: String,
    },
    /// Labels without a closing brace.
    #[error("the labels of `{0}` have no closing brace")]
    Unclosed(String),
    /// A series has no name.
    #[error("`{0}` has no metric name")]
    NoName(String),
    /// A metric's name stands in front of the braces and inside them, or twice inside.
    #[error("`{0}` has two metric names")]
    TwoNames(String),
    /// Not a label's name where there should be one.
    #[error("expected the name of a label, found `{0}`")]
    LabelName(String),
    /// No `=` behind a label's name.
    #[error("expected `=` after the label `{0}`")]
    Equals(String),
    /// A label's value is not in quotes, or they do not close.
    #[error("expected a value in quotes for the label `{0}`")]
    LabelValue(String),
    /// Neither a comma nor the end behind a label.
    #[error("expected a comma or a closing brace, found `{0}`")]
    Comma(String),
    /// One label twice.
    #[error("the label `{0}` is there twice")]
    RepeatedLabel(String),
    /// Text that is not UTF-8.
    #[error("`{0}` is not valid UTF-8")]
    Utf8(String),
    /// A series without a value.
    #[error("expected a value after the series `{0}`")]
    NoValue(String),
    /// A value that is no number.
    #[error("`{0}` is not a number")]
    Value(String),
    /// A timestamp that is none, or that does not fit into 64 bits of milliseconds.
    #[error("`{0}` is not a timestamp")]
    Timestamp(String),
    /// Something behind the end of a sample.
    #[error("expected the end of the line, found `{0}`")]
    Trailing(String),
    /// OpenMetrics without its last line.
    #[error("the body does not end with `# EOF`")]
    NoEof,
    /// Something behind OpenMetrics' last line.
    #[error("there is something after `# EOF`")]
    AfterEof,
    /// Bytes that are no protobuf message.
    #[error("malformed protobuf")]
    Protobuf,
    /// A protobuf metric whose value is of another type than its family, or that has none.
    #[error("a metric of the family `{0}` has no value of its type")]
    OtherType(String),
    /// A native histogram that contradicts itself.
    #[error("the native histogram `{name}` is not consistent: {why}")]
    Native {
        /// Its series.
        name: String,
        /// What does not fit.
        why: &'static str,
    },
}

/// The longest excerpt in a message, in characters.
const EXCERPT: usize = 80;

/// An excerpt for a message.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let cut = bytes.len().min(EXCERPT * 4 + 4);
    let text = String::from_utf8_lossy(&bytes[..cut]);
    match text.char_indices().nth(EXCERPT) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_short_and_readable() {
        assert_eq!(shown(b"abc"), "abc");
        assert_eq!(shown(b"a\xff"), "a\u{fffd}");
        assert_eq!(shown(&[b'x'; 1000]), format!("{}...", "x".repeat(80)));
        assert_eq!(shown("ü".repeat(80).as_bytes()), "ü".repeat(80));
    }
}
