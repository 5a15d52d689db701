//! Keeps one value per series: last value wins, never blank, never a lie, never forked, never unbounded.
//!
//! Points are told apart by metric name and labels (and, before the `labels` processor, resource and scope).
//! An attribute without a value counts as absent, as it does for Prometheus, and is not passed on.
//!
//! | rule | what it means |
//! |---|---|
//! | last value wins | newest event time; at equal times the later arrival; a real value beats "no value"; a later pass of a source beats an earlier one even if the wall clock stepped back in between |
//! | deltas | values that meet in one flush are added; they are never sent twice and end without a marker |
//! | on arrival | new values go on within `coalesce`, at the end of a pass, or when 8,192 wait |
//! | never blank | a series that was silent is sent again with a fresh timestamp; timestamps of a series rise by at least 1 ms |
//! | never a lie | absent from `missing_polls` complete passes, or unconfirmed for `hold`: one stale marker, then forgotten |
//! | stepped down | a source that leads no longer is forgotten without markers: another instance goes on |
//! | never forked | labels that change for one entity: `on_fork` |
//! | never unbounded | `max_series`, and on average 1 KiB of labels for each of them; newcomers are refused |
//! | restart | nothing is marked stale on shutdown |
//!
//! ```yaml
//! processors:
//!   lastvalue:                       # nothing to set for the ordinary case
//!   lastvalue/cheap: {emit: on_change, heartbeat: 150s}
//!   lastvalue/strict: {on_fork: refuse, max_series: 50000, overrides: {jobs_done: sum}}
//! ```
//!
//! A series of numbers costs at most 64 bytes (52 for the entry, the rest for the index), 14 for the head of its
//! labels, and its label values; names of metrics and labels, resources and scopes are held once.
//!
//! Sources that push have no passes: their series live for `hold` after the last point. A sender that reports less often
//! than every five minutes needs a longer one. A point more than ten minutes ahead of the clock counts as of now, so that
//! one wrong clock does not block its series.
//!
//! Books: `merged` are points absorbed by a newer or equal one, confirmations, and "no value" for a series that was never
//! sent. `created`: `republished`, `stale`. `dropped`: `older` than what was sent, `series_limit`, `fork`,
//! `labels_too_long` (64 KiB), `no_number`.

mod arena;
mod arrive;
mod bodies;
mod clock;
mod config;
mod counts;
mod families;
mod flush;
mod guard;
mod hold;
mod identity;
mod merge;
mod outbox;
mod pack;
mod pool;
mod processor;
mod series;
mod source;
mod sweep;

use steadyline_component::Processor;
use steadyline_component::factory::{Component, CreateContext, Factory, Spec, Stability};
use steadyline_telemetry::Signal;

pub use config::{Config, Emit, Merge, MergeOverride, OnFork};
use processor::LastValue;

/// Makes `lastvalue` processors.
pub struct LastValueFactory;

/// The factory for the registry.
pub const FACTORY: Factory = Factory::processor::<LastValueFactory>();

impl Component for LastValueFactory {
    type Config = Config;
    type Made = Box<dyn Processor>;
    const SPEC: Spec = Spec {
        name: "lastvalue",
        aliases: &[],
        stability: Stability::Beta,
        signals: &[Signal::Metrics],
        summary: "Keeps one value per series: the newest wins, silent series are re-published, absent ones end once.",
        unsupported: &[],
    };

    fn create(config: Config, context: &mut CreateContext<'_>) -> Option<Box<dyn Processor>> {
        config.check(context).then(|| Box::new(LastValue::new(config, context.id.to_string())) as Box<dyn Processor>)
    }
}
