//! Metric and label names: from what OpenTelemetry allows to what a Prometheus backend will show.
//! Costs allocations, so call it once per metric or per attribute key, never per point.

mod escape;
mod label;
mod metric;
mod units;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use escape::{Escaping, put_escaped};
pub use label::label_name;
pub use metric::metric_name;
pub use units::unit_words;

/// How names are translated on their way to Prometheus. The spellings are those of the OpenTelemetry specification.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum TranslationStrategy {
    /// Illegal characters become `_`; units and types become suffixes (`_seconds`, `_total`).
    #[default]
    UnderscoreEscapingWithSuffixes,
    /// Illegal characters become `_`; names get no suffix.
    UnderscoreEscapingWithoutSuffixes,
    /// Names keep all of their UTF-8 characters; units and types become suffixes.
    #[serde(rename = "NoUTF8EscapingWithSuffixes")]
    NoUtf8EscapingWithSuffixes,
    /// Names are passed on as they are.
    NoTranslation,
}

impl TranslationStrategy {
    /// Whether illegal characters are replaced, so that every name is a classic Prometheus name.
    pub fn escapes(self) -> bool {
        matches!(self, Self::UnderscoreEscapingWithSuffixes | Self::UnderscoreEscapingWithoutSuffixes)
    }

    /// Whether units and types are appended to metric names.
    pub fn adds_suffixes(self) -> bool {
        matches!(self, Self::UnderscoreEscapingWithSuffixes | Self::NoUtf8EscapingWithSuffixes)
    }

    /// The spelling used in a config file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnderscoreEscapingWithSuffixes => "UnderscoreEscapingWithSuffixes",
            Self::UnderscoreEscapingWithoutSuffixes => "UnderscoreEscapingWithoutSuffixes",
            Self::NoUtf8EscapingWithSuffixes => "NoUTF8EscapingWithSuffixes",
            Self::NoTranslation => "NoTranslation",
        }
    }
}

/// What a metric's type adds to its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NameKind {
    /// A gauge: `_ratio` if its unit is `1`.
    Gauge,
    /// A monotonic sum: `_total`.
    MonotonicSum,
    /// Everything else: no type suffix.
    Other,
}

/// Why no name could be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum NameError {
    /// The name has no character at all.
    #[error("the name is empty")]
    Empty,
    /// The name holds no letter, digit or colon that could be kept.
    #[error("the name has no character that a Prometheus name may keep")]
    NothingLegal,
}

/// Whether `name` matches `[a-zA-Z_:][a-zA-Z0-9_:]*`.
pub fn is_legal_metric_name(name: &str) -> bool {
    is_legal(name, |b| is_label_byte(b) || b == b':')
}

/// Whether `name` matches `[a-zA-Z_][a-zA-Z0-9_]*`.
pub fn is_legal_label_name(name: &str) -> bool {
    is_legal(name, is_label_byte)
}

fn is_legal(name: &str, allowed: impl Fn(u8) -> bool) -> bool {
    !name.is_empty() && !name.as_bytes()[0].is_ascii_digit() && name.bytes().all(allowed)
}

fn is_label_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn only_underscores(name: &str) -> bool {
    name.bytes().all(|b| b == b'_')
}
