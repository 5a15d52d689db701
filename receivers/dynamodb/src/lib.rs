//! Polls a DynamoDB table and turns its items into gauges.
//! [`item`] reads items, [`expr`] evaluates expressions on them, [`mapping`] makes numbers with labels of them.

pub mod config;
pub mod expr;
pub mod item;
pub mod mapping;
pub mod number;
