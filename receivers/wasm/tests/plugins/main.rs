//! The receiver with real plugins: what a good one gives, what a bad one can do to others, which is nothing.
#![cfg(feature = "plugins")]
#![allow(clippy::unwrap_used, missing_docs)]

mod common;
mod good;
mod granted;
mod hostile;
mod loading;
mod templates;
