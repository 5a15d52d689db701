//! The `cumulativetodelta` processor (also `cumulative_to_delta`): turns running totals into what was added since the
//! point before, for backends that want deltas.
//!
//! ```yaml
//! processors:
//!   cumulativetodelta:
//!   cumulativetodelta/some:
//!     include: {metrics: [http_requests, "queue_.*"], match_type: regexp, metric_types: [sum]}
//!     exclude: {metrics: [queue_debug], match_type: strict}
//!     initial_value: drop
//! ```
//!
//! Monotonic cumulative sums, cumulative histograms and exponential histograms are turned, if `include` and `exclude` say
//! so; everything else passes as it is. A series is resource, scope, name, unit and sort of the metric and attributes, in
//! whatever order those stand. Differences of integers are exact.
//!
//! | what comes | what goes |
//! |---|---|
//! | the first point of a series | `initial_value`: with `auto` it passes if it says that it counts from after the start of this process, else it is the base of the next and dropped as `initial_value` |
//! | a later point | what was added since the one before it, from its time on; histograms without smallest and largest, which nobody knows |
//! | a total that fell, other bounds, a finer scale, or a start after the last point | a counter reset: the point passes as it is, counting from its own start or the last point |
//! | a point not after the last one of its series | nothing; dropped as `out_of_order` |
//! | "no value now" | the same; the next point counts from the last value |
//! | NaN or an infinity (`not_finite`), a point without time (`no_time`) or number (`no_number`), buckets that do not match their bounds (`malformed`), more than 4,096 of them (`too_many_buckets`) | nothing; dropped |
//!
//! A series of which nothing came for `max_staleness` is forgotten. No more than `max_streams` are followed: those that
//! are there keep their places, points of others are dropped as `stream_limit`. A sum takes 65 to 130 bytes, a histogram
//! 120 more and 16 a bucket.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod config;
mod difference;
mod processor;
mod selection;
#[cfg(test)]
mod tests;

use steadyline_component::factory::{Component, CreateContext, Factory, Spec, Stability};
use steadyline_component::{Processor, TemporalityEffect, telemetry::Signal};

pub use config::{Config, InitialValue, MetricMatch, MetricType};
use processor::CumulativeToDelta;

/// Makes `cumulativetodelta` processors.
#[derive(Debug)]
pub struct CumulativeToDeltaFactory;

/// The factory for the registry.
pub const FACTORY: Factory = Factory::processor::<CumulativeToDeltaFactory>();

impl Component for CumulativeToDeltaFactory {
    type Config = Config;
    type Made = Box<dyn Processor>;
    const SPEC: Spec = Spec {
        name: "cumulativetodelta",
        aliases: &["cumulative_to_delta"],
        stability: Stability::Beta,
        signals: &[Signal::Metrics],
        summary: "Turns cumulative sums and histograms into deltas.",
        unsupported: &[("metrics", "name the metrics under `include.metrics`, with `include.match_type`")],
    };
    const TEMPORALITY: TemporalityEffect = TemporalityEffect::GivesDelta;

    fn create(config: Config, context: &mut CreateContext<'_>) -> Option<Box<dyn Processor>> {
        let selection = config.check(context)?;
        let started = context.clock.now().unix_nanos;
        Some(Box::new(CumulativeToDelta::new(&config, selection, started, context.id.to_string())))
    }
}
