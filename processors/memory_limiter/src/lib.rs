//! The `memory_limiter` processor: bounds the bytes of data in flight, by the Collector's name and keys.
//!
//! ```yaml
//! processors:
//!   memory_limiter: {check_interval: 1s, limit_mib: 400, spike_limit_mib: 80}     # data in flight: at most 320 MiB
//!   memory_limiter/share: {check_interval: 1s, limit_percentage: 75, spike_limit_percentage: 25}
//! ```
//!
//! What the Collector measures now and then and answers with refusals and garbage collections, this process keeps by
//! counting: every batch holds its bytes of one budget, queues included, from before it is decoded until it is delivered.
//! When nothing is free, receivers that can wait do, and the others answer "try again" in their protocol.
//!
//! The processor bounds that budget to the soft limit: the limit less the spike limit. `service.memory_budget` stands
//! beside it, and so do other limiters; the lowest of all holds, for the whole process, wherever the processor stands.
//! Percentages are of the container's memory limit, or of the machine's memory if there is none. Batches pass untouched.
//!
//! The room between the soft limit and the limit is for what is no data in flight: code, connections, last values. It is
//! not watched: see `otelcol_process_memory_rss_bytes`.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod config;

use steadyline_component::factory::{Component, CreateContext, Factory, Spec, Stability};
use steadyline_component::telemetry::Signal;
use steadyline_component::{Batch, Processor, Work};

pub use config::Config;
use config::Limit;

/// The factory for the registry.
pub const FACTORY: Factory = Factory::processor::<MemoryLimiterFactory>();

/// Makes `memory_limiter` processors.
#[derive(Debug)]
pub struct MemoryLimiterFactory;

impl Component for MemoryLimiterFactory {
    type Config = Config;
    type Made = Box<dyn Processor>;
    const SPEC: Spec = Spec {
        name: "memory_limiter",
        aliases: &[],
        stability: Stability::Beta,
        signals: &[Signal::Metrics, Signal::Traces, Signal::Logs],
        summary: "bounds the bytes of data in flight, by the Collector's keys",
        unsupported: &[],
    };

    fn create(config: Config, context: &mut CreateContext<'_>) -> Option<Box<dyn Processor>> {
        match config.limit(context)? {
            Limit::Bytes(bytes) => context.extensions.limit_memory(bytes),
            Limit::Percent(percent) => context.extensions.limit_memory_share(percent),
        }
        Some(Box::new(Untouched))
    }
}

/// The bound is the engine's; batches pass.
struct Untouched;

impl Processor for Untouched {
    fn process(&mut self, batch: Batch, work: &mut Work<'_>) {
        work.emit(batch);
    }
}

#[cfg(test)]
mod tests;
