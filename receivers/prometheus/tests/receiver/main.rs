//! The receiver from config to batches, against real targets.

#![allow(clippy::unwrap_used)]

mod common;
mod conformance;
