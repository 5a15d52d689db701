//! Sends OTLP over HTTP, as protobuf or JSON.
