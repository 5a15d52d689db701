//! The error that travels through serde: what went wrong, and, once a node has claimed it, where.

use std::fmt;

use serde::de::{Error, Expected, Unexpected};

use crate::diagnostic::Diagnostic;
use crate::types::SEPARATOR;

/// An error on its way up.
#[derive(Debug)]
pub(super) struct DecodeError(Box<Failure>);

#[derive(Debug)]
pub(super) struct Failure {
    pub(super) what: What,
    pub(super) at: Option<At>,
}

#[derive(Debug)]
pub(super) enum What {
    /// It is of another type.
    Type { expected: String },
    /// It is of the right type, and yet wrong.
    Value { expected: String, found: Option<String> },
    /// In somebody's own words.
    Custom { message: String, expected: Option<String>, help: Option<String> },
    /// A field that is not there.
    Missing(&'static str),
    /// A field that is there twice, under two names.
    Duplicate(&'static str),
    /// A key or variant that nobody knows.
    Unknown { kind: Unknown, found: String, expected: &'static [&'static str] },
    /// The value could not be had.
    Poison,
    /// Said already, or not worth saying.
    Silent,
    /// A field without a value, which keeps its default.
    NullField,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unknown {
    Key,
    Variant,
}

/// Where it went wrong.
#[derive(Debug)]
pub(super) struct At {
    pub(super) target: Target,
    pub(super) diagnostic: Option<Diagnostic>,
}

/// What to leave out or make up to get past an error. Nodes are told apart by address: the tree does not move meanwhile.
#[derive(Debug)]
pub(super) enum Target {
    Value(usize),
    Missing { map: usize, field: String },
}

impl DecodeError {
    pub(super) fn new(what: What) -> Self {
        Self(Box::new(Failure { what, at: None }))
    }

    pub(super) fn into_failure(self) -> Failure {
        *self.0
    }

    /// Says where it went wrong, unless a node further down did.
    pub(super) fn located(mut self, locate: impl FnOnce(&mut What) -> At) -> Self {
        if self.0.at.is_none() {
            self.0.at = Some(locate(&mut self.0.what));
        }
        self
    }
}

impl Failure {
    pub(super) fn is_null_field(&self) -> bool {
        matches!(self.what, What::NullField)
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0.what)
    }
}

impl std::error::Error for DecodeError {}

impl Error for DecodeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        // The alternate form of `InvalidValue` keeps its parts apart.
        let text = format!("{message:#}");
        let mut parts = text.split(SEPARATOR);
        let message = parts.next().unwrap_or_default().to_owned();
        let mut part = || parts.next().filter(|part| !part.is_empty()).map(str::to_owned);
        Self::new(What::Custom { message, expected: part(), help: part() })
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(What::Type { expected: in_words(&expected.to_string()) })
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let found = match found {
            Unexpected::Other(found) => Some(found.to_owned()),
            _ => None,
        };
        Self::new(What::Value { expected: in_words(&expected.to_string()), found })
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        let found = Some(format!("{length} elements"));
        Self::new(What::Value { expected: in_words(&expected.to_string()), found })
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::new(What::Unknown { kind: Unknown::Variant, found: variant.to_owned(), expected })
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::new(What::Unknown { kind: Unknown::Key, found: field.to_owned(), expected })
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(What::Missing(field))
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::new(What::Duplicate(field))
    }
}

/// What a visitor expects, in the words of somebody who writes a config.
fn in_words(expected: &str) -> String {
    let words = match expected {
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "u128" | "usize" => "a whole number, 0 or more",
        "i8" => "a whole number from -128 to 127",
        "i16" => "a whole number from -32768 to 32767",
        "i32" => "a whole number from -2147483648 to 2147483647",
        "i64" | "i128" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "`true` or `false`",
        "a string" | "string" => "a text",
        "a sequence" => "a list",
        "unit" => "nothing",
        other if other.starts_with("struct ") && !other.contains(" with ") => "a map",
        other if other.starts_with("a nonzero ") => "a whole number other than 0",
        other => other,
    };
    words.to_owned()
}
