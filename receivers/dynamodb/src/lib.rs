//! Polls a DynamoDB table, or one of its indexes, and turns its items into metrics.
//!
//! | room | what lives there |
//! |---|---|
//! | [`config`] | what users write |
//! | [`item`], [`number`] | items as they arrive; numbers of 38 digits |
//! | [`expr`] | expressions over items, native or CEL, of one meaning |
//! | [`mapping`] | items to numbers with labels; pure |
//! | `read` | pages from DynamoDB: segments, queries, budget |
//! | `receiver` | one pass: read, map, send, tell |
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod batch;
pub mod config;
pub mod expr;
mod factory;
pub mod item;
pub mod mapping;
pub mod number;
mod read;
mod receiver;
mod report;
#[cfg(test)]
mod tests;

pub use factory::{DynamoDb, FACTORY};
