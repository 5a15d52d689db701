//! OTLP/JSON -> OTLP protobuf, in one pass and without a tree: ids in hex, enums by number or name, 64-bit integers as
//! text or numbers, unknown fields ignored. Source: OTLP specification, "JSON Protobuf Encoding", and protobuf's own.

mod read;
mod schema;

use steadyline_telemetry::Signal;
use thiserror::Error;

/// A body that is not the OTLP/JSON it should be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the body is not OTLP/JSON: {0}")]
pub struct JsonError(String);

/// The protobuf of an export request that is given as JSON. Values that are given, defaults too, are written; a field
/// that is given twice is written twice, so that its last value counts. Nesting is bounded (by serde_json: 128).
///
/// # Errors
/// No JSON, or a value that its field cannot have; with line and column.
pub fn to_protobuf(signal: Signal, json: &[u8]) -> Result<Vec<u8>, JsonError> {
    let root = match signal {
        Signal::Metrics => &schema::METRICS,
        Signal::Traces => &schema::TRACES,
        Signal::Logs => &schema::LOGS,
    };
    read::message(root, json).map_err(|error| JsonError(error.to_string()))
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
