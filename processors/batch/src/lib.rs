//! The `batch` processor: joins small batches and cuts large ones, so that exporters send few and full requests.
//!
//! ```yaml
//! processors:
//!   batch:                                        # 8,192 items or 200 ms
//!   batch/large: {timeout: 10s, send_batch_size: 50000, send_batch_max_size: 50000}
//! ```
//!
//! What is joined keeps its order and its resources, scopes and metrics; joining costs a copy of the bytes, and requests
//! that nobody changed leave as the bytes that came. A batch goes on
//! - when `send_batch_size` items wait, or 32 MiB;
//! - `timeout` after the first of them came; at once if either of the two is 0;
//! - within a second if somebody waits for its delivery, whatever `timeout` says;
//! - when less than half of the memory budget is free: whoever brings data in may be waiting for what is held here;
//! - before a batch of the same source that cannot be joined with it: of another pass, or with other identity attributes;
//! - when the process stops.
//!
//! Only batches of one receiver are joined, and none grows beyond `send_batch_max_size`: a batch that would is sent
//! before. One that comes in larger is cut into equal pieces.
//!
//! Unlike the Collector's, this processor does not tell a sender "delivered" when it is not: who waits for delivery waits
//! for that of the joined batch, and what is held still counts against the memory budget.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod config;
mod group;
mod processor;
#[cfg(test)]
mod tests;

use steadyline_component::factory::{Component, CreateContext, Factory, Spec, Stability};
use steadyline_component::{Processor, telemetry::Signal};

pub use config::Config;
use processor::BatchProcessor;

/// Makes `batch` processors.
#[derive(Debug)]
pub struct BatchFactory;

/// The factory for the registry.
pub const FACTORY: Factory = Factory::processor::<BatchFactory>();

impl Component for BatchFactory {
    type Config = Config;
    type Made = Box<dyn Processor>;
    const SPEC: Spec = Spec {
        name: "batch",
        aliases: &[],
        stability: Stability::Beta,
        signals: &[Signal::Metrics, Signal::Traces, Signal::Logs],
        summary: "Joins small batches and cuts large ones.",
        unsupported: &[],
    };

    fn create(config: Config, context: &mut CreateContext<'_>) -> Option<Box<dyn Processor>> {
        config.check(context)?;
        Some(Box::new(BatchProcessor::new(config)))
    }
}
