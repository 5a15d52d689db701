//! The `debug` exporter: prints what passes, to a terminal or a file.
//!
//! ```yaml
//! exporters:
//!   debug: {verbosity: changes}
//! ```
//!
//! | verbosity | what is printed |
//! |---|---|
//! | `basic` | one line a batch: how much of what, from where |
//! | `normal` | one line a data point, span or log record |
//! | `detailed` | everything about metrics: resource, scope, metric, points, attributes, buckets, exemplars; traces and logs as in `normal` |
//! | `changes` | only what is not as it was: for each pass of a source what is new, what changed and what ended |
//!
//! ```text
//! 12:00:10 dynamodb/onboarding  +1 new, 2 changed, 1 ended, 9 unchanged
//!     onboarding_completed_steps{account_id="acct-7"} 3 -> 4
//!   + onboarding_completed_steps{account_id="acct-9"} 1
//!   - onboarding_completed_steps{account_id="acct-2"} 8
//! ```
//!
//! `changes` says nothing where nothing changed; of traces and logs it prints what `basic` does. A metric named
//! `..._timestamp_seconds` moves on with every pass and is never listed as changed. A long list is cut, and says so.
//!
//! Times are UTC. Colours appear on a terminal, unless `NO_COLOR` is set; control characters in names and values are
//! escaped. A thread of its own does the writing: an output that does not keep up (a paused terminal, a full pipe) loses
//! blocks, which are counted as `output_slow`, and never holds up a pipeline. An output that is closed is given up.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod changes;
mod config;
mod detailed;
mod exporter;
mod lines;
mod opaque;
mod printer;
mod sampling;
mod style;
#[cfg(test)]
mod tests;
mod value;

use std::sync::Arc;

use steadyline_component::factory::Component;
use steadyline_component::telemetry::Signal;
use steadyline_component::{CreateContext, Exporter, Factory, Spec, Stability};

pub use config::{Config, Verbosity};
pub use exporter::DebugExporter;

/// The factory of the `debug` exporter.
pub const FACTORY: Factory = Factory::exporter::<DebugFactory>();

/// Makes exporters that print.
#[derive(Debug)]
pub struct DebugFactory;

impl Component for DebugFactory {
    type Config = Config;
    type Made = Exporter;

    const SPEC: Spec = Spec {
        name: "debug",
        aliases: &["logging"],
        stability: Stability::Stable,
        signals: &[Signal::Metrics, Signal::Traces, Signal::Logs],
        summary: "Prints what passes: counts, points, everything, or only what changed.",
        unsupported: &[
            ("sending_queue", "what is printed is not queued; remove it"),
            ("loglevel", "it is called `verbosity` now: `basic`, `normal`, `detailed` or `changes`"),
        ],
    };

    fn create(config: Config, context: &mut CreateContext<'_>) -> Option<Exporter> {
        config.check(context)?;
        Some(Exporter::Direct(Arc::new(DebugExporter::new(config, context.clock.clone(), context.meter))))
    }
}
