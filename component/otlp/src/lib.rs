//! What speaks OTLP shares: batches become finished requests, requests are halved, answers are understood and given,
//! JSON becomes protobuf. Over which transport a request goes is the component's; this crate does no I/O.
//!
//! | room | what lives there |
//! |---|---|
//! | [`encode`] | batch -> compressed requests, by shard |
//! | [`request`] | one request in its encoding: framing, opening, halving |
//! | [`select`] | some points of a batch, without the empty metrics around them |
//! | [`tree`] | cutting a decoded request in two |
//! | [`answer`] | partial success, HTTP statuses, failures as bodies |
//! | [`grpc`] | gRPC statuses and codes, `RetryInfo`, paths |
//! | [`json`] | OTLP/JSON -> protobuf |
//! | [`count`] | items of a request that nobody decoded |
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod answer;
pub mod count;
pub mod encode;
pub mod grpc;
pub mod json;
pub mod request;
pub mod select;
pub mod tree;

pub use count::items_of;
pub use encode::{NoRecordedValue, OtlpEncoder};
pub use request::{Encoding, Framing, RequestFormat};
