//! The processor with real plugins: what is changed, what passes, what a bad one costs.
#![cfg(feature = "plugins")]
#![allow(clippy::unwrap_used, missing_docs)]

mod common;
mod good;
mod hostile;
mod otlp;
mod templates;
