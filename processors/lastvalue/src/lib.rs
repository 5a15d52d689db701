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
//! | restart | nothing is marked stale on shutdown; with `storage` every line goes on after it |
//! | removed | a source that a reload takes away, polled or not: one stale marker for each of its series |
//!
//! ```yaml
//! processors:
//!   lastvalue:                       # nothing to set for the ordinary case
//!   lastvalue/cheap: {emit: on_change, heartbeat: 150s}
//!   lastvalue/strict: {on_fork: refuse, max_series: 50000, overrides: {jobs_done: sum}}
//!   lastvalue/kept: {storage: file_storage}
//! ```
//!
//! With `storage` a restart is no gap: every series is published at once with its last value, and held like any that its
//! source does not confirm, for what is left of `hold` since the source last spoke. It ends after `missing_polls` complete passes
//! without it, or when the hold is over; restarts do not prolong it. What was down for longer than the hold begins anew.
//! Series that were read under a lease stay silent until this process holds it again. Increments are never kept.
//!
//! State is written in the background, what changed within five seconds at a time, about 110 bytes a series and its labels;
//! a value that is only confirmed or sent again is not written again. After a crash up to some ten seconds of changes are missing
//! (an orderly stop keeps them, up to 130,000 series of them): such a line goes on with the value before, until its source says the new one.
//! Timestamps rise across a restart whatever the wall clock does: after a crash they may begin up to ten seconds ahead of it. When
//! the storage fails, nothing waits for it: it is told in the log, counted in `lastvalue_state_failures`, and tried again.
//!
//! A series of numbers costs at most 64 bytes (52 for the entry, the rest for the index), 14 for the head of its
//! labels, and its label values; names of metrics and labels, resources and scopes are held once.
//!
//! Sources that push have no passes: their series live for `hold` after the last point. A sender that reports less often
//! than every five minutes needs a longer one. A point more than ten minutes ahead of the clock counts as of now, so that
//! one wrong clock does not block its series.
//!
//! Books: `merged` are points absorbed by a newer or equal one, confirmations, and "no value" for a series that was never
//! sent. `created`: `republished`, `restored` (the same from storage, while unconfirmed), `stale`. `dropped`: `older` than what was sent, `series_limit`, `fork`,
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
mod keep;
mod merge;
mod outbox;
mod pack;
mod pool;
mod processor;
mod series;
mod source;
mod sweep;

use steadyline_component::factory::{Component, CreateContext, Factory, Spec, Stability};
use steadyline_component::{Kind, Processor, RepeatEffect};
use steadyline_telemetry::Signal;

pub use config::{Config, Emit, Merge, MergeOverride, OnFork};
use keep::Keep;
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
    const REPEATS: RepeatEffect = RepeatEffect::Repeats;

    fn create(config: Config, context: &mut CreateContext<'_>) -> Option<Box<dyn Processor>> {
        let good = config.check(context);
        let storage = config.storage.clone();
        let keep = match &storage {
            Some(id) => Some(Keep {
                storage: context.storage("storage", id)?,
                owner: context.owner(Kind::Processor),
                meter: context.meter.clone(),
            }),
            None => None,
        };
        good.then(|| Box::new(LastValue::new(config, context.id.to_string(), keep)) as Box<dyn Processor>)
    }
}
