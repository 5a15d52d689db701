//! Polls a DynamoDB table, or one of its indexes, and turns its items into metrics.
//!
//! | room | what lives there |
//! |---|---|
//! | [`config`] | what users write |
//! | `item` | from the SDK's attribute values to the item model |
//! | `read` | pages from DynamoDB: segments, queries, budget |
//! | `receiver` | one pass: read, map, send, tell |
//!
//! What items become is the mapping language of `component/mapping`.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod config;
mod factory;
mod item;
mod read;
mod receiver;
mod report;
#[cfg(test)]
mod tests;

pub use factory::{DynamoDb, FACTORY};
