//! What the OTLP exporters share: batches become finished requests, requests are halved, answers are understood.
//! Over which transport a request goes is the exporter's; this crate does no I/O.
//!
//! | room | what lives there |
//! |---|---|
//! | [`encode`] | batch -> compressed requests, by shard |
//! | [`request`] | one request in its encoding: framing, opening, halving |
//! | [`select`] | some points of a batch, without the empty metrics around them |
//! | [`tree`] | cutting a decoded request in two |
//! | [`answer`] | partial success, HTTP statuses |
//! | [`grpc`] | gRPC statuses and codes, `RetryInfo` |
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod answer;
pub mod encode;
pub mod grpc;
pub mod request;
pub mod select;
pub mod tree;

pub use encode::{NoRecordedValue, OtlpEncoder};
pub use request::{Encoding, Framing, RequestFormat};
