//! The `progress` processor: counters from gauges that count down or up, how long a job has not moved, and how long it will take.
//!
//! ```yaml
//! extensions:
//!   file_storage: {directory: /var/lib/steadyline, create_directory: true}
//! processors:
//!   progress:
//!     storage: file_storage
//!     gauges:
//!       - name: sync.expand.actions_remaining
//!         direction: down
//!         counter: sync.expand.actions_burned
//!         stalled_seconds: sync.expand.stalled_seconds
//!         eta_seconds: sync.expand.eta_seconds
//! ```
//!
//! | series | what it says |
//! |---|---|
//! | `counter` | how far the gauge has moved in its direction since the first sample; a cumulative, monotonic sum with the gauge's unit. Remaining 5, 3, 7, 6 gives 0, 2, 2, 3 |
//! | `stalled_seconds` | how long the value has not changed; 0 while it is at its target |
//! | `eta_seconds` | how long the rest takes at the pace of the last `eta_window`; infinite while nothing moves, 0 at the target |
//!
//! They have the resource, scope and attributes of the gauge, which goes on as it came, and the time of its sample. When
//! the gauge moves the other way (new work was queued) the counter holds: it never falls and never counts the jump. The
//! first sample of a series counts nothing, so it says 0.
//!
//! | what comes | what happens |
//! |---|---|
//! | a sample that is not newer than the last of its series | nothing is made of it. A later pass of a polled source is newer whatever its clock says; a sample more than ten minutes older means that the clock was set, and is taken |
//! | "no value" | the three end with it; if the gauge comes back they go on where they were |
//! | a confirmation without a value, NaN, an infinity | the three are confirmed and stay as they are; the time without a value counts as stalled only if the next sample says the same |
//!
//! Stalled time grows on samples only, so the processor stands before `lastvalue`, which repeats what it was not told again.
//!
//! With `storage` counters go on across a restart: value, start time, and the gauge's last value are written together, a
//! second after they changed, so that what moved while nothing ran is counted when it is back. After a crash a counter may go on from
//! what it was some seconds before. Without `storage` a restart begins new series at 0, as it does for any process.
//!
//! A series that is silent for `max_stale` is forgotten. No more than `max_series` are followed: those that are there keep
//! their places, others are counted in `progress_refused_series` and named in the log; their gauges go on as they came.
//! A series takes about 200 bytes. Books: what is made here is `created{progress}`.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod append;
mod config;
mod identity;
mod keep;
mod processor;
mod series;
#[cfg(test)]
mod tests;

use steadyline_component::factory::{Component, CreateContext, Factory, Spec, Stability};
use steadyline_component::{Kind, Processor, RepeatEffect, telemetry::Signal};

pub use config::{Config, Direction, Gauge};
use keep::Keep;
use processor::Progress;

/// Makes `progress` processors.
#[derive(Debug)]
pub struct ProgressFactory;

/// The factory for the registry.
pub const FACTORY: Factory = Factory::processor::<ProgressFactory>();

impl Component for ProgressFactory {
    type Config = Config;
    type Made = Box<dyn Processor>;
    const SPEC: Spec = Spec {
        name: "progress",
        aliases: &[],
        stability: Stability::Beta,
        signals: &[Signal::Metrics],
        summary: "Makes counters of gauges that count down or up, and says how long they have not moved.",
        unsupported: &[],
    };
    const REPEATS: RepeatEffect = RepeatEffect::NeedsNews;

    fn create(config: Config, context: &mut CreateContext<'_>) -> Option<Box<dyn Processor>> {
        let rules = config.check(context);
        let keep = match &config.storage {
            Some(id) => Some(Keep {
                storage: context.storage("storage", id)?,
                owner: context.owner(Kind::Processor),
                meter: context.meter.clone(),
                id: context.id.to_string(),
            }),
            None => None,
        };
        Some(Box::new(Progress::new(&config, rules?, keep, context.id.to_string(), context.meter)))
    }
}
