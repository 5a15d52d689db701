//! Receives events from an SQS queue and turns them into metrics and log records.
//!
//! | room | what lives there |
//! |---|---|
//! | [`config`] | what users write |
//! | `plan`, `event`, `envelope`, `context` | from a message to an event: pure |
//! | `window`, `series`, `ledger` | what was counted, and how it is kept |
//! | `emit`, `logs` | from events to batches |
//! | `desk` | every message's way: read, counted, kept, sent, judged |
//! | `invoke` | the same for the events that Lambda hands over |
//! | `check` | what `check` and `iam-policy` are told |
//! | `queue`, `flight`, `poll`, `receiver` | SQS: receiving, hiding, deleting, returning |
//! | `testkit` | an SQS for tests |
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod check;
pub mod config;
mod context;
mod desk;
mod emit;
mod envelope;
mod event;
mod factory;
mod flight;
mod invoke;
mod ledger;
mod logs;
pub mod message;
mod plan;
mod poll;
mod queue;
mod receiver;
mod report;
mod series;
#[cfg(any(test, feature = "testkit"))]
pub mod testkit;
#[cfg(test)]
mod tests;
mod window;

pub use factory::{AwsSqs, FACTORY};
pub use report::Summary;
