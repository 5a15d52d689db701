//! Component tests that read as tables: config, in, out. Every step checks conservation.
//! Metrics are written one point a line: `[kind] name{label="value",...} number|stale|held [@seconds]`.

mod harness;
mod intake;
mod notation;
mod poller;
mod storage;

pub use harness::{ProcessorHarness, TestExtensions, build_matches_kind, create, create_for, create_with};
pub use intake::TestIntake;
pub use notation::{metrics, render};
pub use poller::PollHarness;
pub use storage::MemoryStorage;
