//! Reload inside the engine: what goes on, what is handed over, what is told, what is lost. Time is tokio's, paused.
#![allow(clippy::unwrap_used, reason = "a panic is the failure it reports")]
#![allow(unreachable_pub, reason = "its rooms share one rig")]

mod components;
mod exporters;
mod keeper;
mod keeping;
mod receivers;
mod refused;
mod rig;
#[path = "../support/mod.rs"]
mod support;
mod unchanged;
