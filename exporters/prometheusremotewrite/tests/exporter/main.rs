//! The exporter from outside: what it encodes, how it sends, what its config may say.
#![allow(clippy::unwrap_used)]

mod common;
mod configs;
mod kinds;
mod numbers;
mod panics;
mod properties;
mod sending;
mod version2;
