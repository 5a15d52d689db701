//! What a sender may ask of the decoder, and how a refusal reads.

use thiserror::Error;

/// Bounds that one OTLP request must keep; a request beyond them is refused whole.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of one request, decompressed.
    pub max_bytes: usize,
    /// Attributes of one resource, scope, metric or data point.
    pub max_attributes: usize,
    /// Nesting of one attribute value (arrays and maps inside each other).
    pub max_depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { max_bytes: 64 << 20, max_attributes: 1024, max_depth: 32 }
    }
}

/// Why bytes are not the OTLP message they should be. Never retryable: the same bytes fail again.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// A field runs past the end of its message.
    #[error("truncated protobuf at byte {0}")]
    Truncated(usize),
    /// A varint, tag or wire type that protobuf does not allow here.
    #[error("malformed protobuf at byte {0}")]
    Malformed(usize),
    /// A string field that is not UTF-8.
    #[error("invalid UTF-8 in a string at byte {0}")]
    InvalidUtf8(usize),
    /// A limit of [`Limits`] is exceeded.
    #[error("{what} exceeds the limit of {limit}")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// The bound in force.
        limit: usize,
    },
}
