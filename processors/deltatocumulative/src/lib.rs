//! The `deltatocumulative` processor (also `delta_to_cumulative`): adds up deltas, for backends that want running totals,
//! as Prometheus does.
//!
//! ```yaml
//! processors:
//!   deltatocumulative:
//!   deltatocumulative/small: {max_stale: 10m, max_streams: 50000}
//! ```
//!
//! Sums, histograms and exponential histograms of delta temporality become cumulative; everything else passes as it is. A
//! series is resource, scope, name, unit and sort of the metric and attributes, in whatever order those stand. It
//! starts where its first delta starts. Integers add up exactly.
//!
//! | what comes | what happens |
//! |---|---|
//! | a point not after the last one of its series, or from before its start | dropped as `out_of_order` or `older_start`: it was counted already, or nobody knows whether |
//! | a gap between two points | the series goes on; gaps are counted in `processor_deltatocumulative_gaps` |
//! | a sum beyond 64 bits, or other bounds in a histogram | the series starts anew at its last point, which is a counter reset to every backend |
//! | exponential histograms of different scales or zero thresholds | they meet at the coarser scale and the wider zero bucket, with at most 160 buckets a side |
//! | "no value now" | passes, the total stays |
//! | NaN or an infinity (`not_finite`), less than nothing in a monotonic sum (`negative`), a point without time (`no_time`) or number (`no_number`), buckets that do not match their bounds (`malformed`), more than 4,096 of them (`too_many_buckets`) | dropped |
//!
//! A series of which nothing came for `max_stale` is forgotten and starts anew when it comes back. No more than
//! `max_streams` are followed: those that are there keep their places, points of others are dropped as `stream_limit`.
//! The Collector has no such limit by default; here it is a million. A sum takes 65 to 130 bytes, a histogram 120 more
//! and 16 a bucket. A restart of the process begins new series, as it does with the Collector.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod accumulate;
mod config;
mod processor;
#[cfg(test)]
mod tests;

use steadyline_component::factory::{Component, CreateContext, Factory, Spec, Stability};
use steadyline_component::{Processor, TemporalityEffect, telemetry::Signal};

pub use config::Config;
use processor::DeltaToCumulative;

/// Makes `deltatocumulative` processors.
#[derive(Debug)]
pub struct DeltaToCumulativeFactory;

/// The factory for the registry.
pub const FACTORY: Factory = Factory::processor::<DeltaToCumulativeFactory>();

impl Component for DeltaToCumulativeFactory {
    type Config = Config;
    type Made = Box<dyn Processor>;
    const SPEC: Spec = Spec {
        name: "deltatocumulative",
        aliases: &["delta_to_cumulative"],
        stability: Stability::Beta,
        signals: &[Signal::Metrics],
        summary: "Adds up delta sums and histograms to cumulative ones.",
        unsupported: &[],
    };
    const TEMPORALITY: TemporalityEffect = TemporalityEffect::GivesCumulative;

    fn create(config: Config, context: &mut CreateContext<'_>) -> Option<Box<dyn Processor>> {
        config.check(context)?;
        Some(Box::new(DeltaToCumulative::new(&config, context.id.to_string(), context.meter)))
    }
}
