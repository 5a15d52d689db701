//! The receiver from config to batches, against real targets.

#![allow(clippy::unwrap_used)]

mod auth;
mod bodies;
mod common;
mod configs;
mod conformance;
mod discovery;
mod faults;
mod model;
mod staleness;
mod timing;
