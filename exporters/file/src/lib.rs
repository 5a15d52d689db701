//! Writes telemetry to files.
//! JSON lines or protobuf.
