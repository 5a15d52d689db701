//! From items and documents to points: the mapping language of polled tables, messages and JSON.
//!
//! | room | what lives there |
//! |---|---|
//! | [`config`] | what users write |
//! | [`item`], [`number`] | the item model, JSON into it, paths; numbers of any number of digits |
//! | [`expr`] | expressions over items, native or CEL, of one meaning |
//! | [`mapping`] | items to numbers with labels; pure |
//! | [`batch`] | numbers with labels to batches |
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod batch;
pub mod config;
pub mod expr;
pub mod item;
pub mod mapping;
pub mod number;
