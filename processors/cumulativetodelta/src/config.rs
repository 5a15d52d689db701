//! The config of `cumulativetodelta`, by the Collector's keys.
//! `max_streams` is ours: nothing that a sender controls grows for ever.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steadyline_attributes::Problems;
use steadyline_attributes::matching::MatchType;
use steadyline_component::CreateContext;
use steadyline_config::Duration;

use crate::selection::Selection;

/// Turns running totals into what was added.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Only these metrics are turned. Default: all.
    pub include: Option<MetricMatch>,
    /// These metrics are not.
    pub exclude: Option<MetricMatch>,
    /// A series of which nothing came for so long is forgotten; 0 = never.
    pub max_staleness: Duration,
    /// What becomes of the first point of a series.
    pub initial_value: InitialValue,
    /// How many series are followed, at most. Those that are there keep their places; newcomers are dropped and counted.
    #[schemars(range(min = 1, max = 100_000_000))]
    pub max_streams: u64,
}

/// Which metrics are meant: those for which all that is given holds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MetricMatch {
    /// Names, one of which must fit. None: any name does.
    pub metrics: Vec<String>,
    /// How names are compared; required with `metrics`.
    pub match_type: Option<MatchType>,
    /// Kinds of metrics. None: any kind.
    pub metric_types: Vec<MetricType>,
}

/// A kind of metric that can be turned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MetricType {
    /// Sums; only monotonic ones are turned.
    #[serde(alias = "Sum")]
    Sum,
    /// Histograms with explicit bounds.
    #[serde(alias = "Histogram")]
    Histogram,
    /// Exponential histograms.
    #[serde(alias = "exponentialhistogram", alias = "ExponentialHistogram")]
    ExponentialHistogram,
}

/// What becomes of the first point of a series.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InitialValue {
    /// It passes if it counts from after the start of this process: then nothing of it was ever sent.
    #[default]
    Auto,
    /// It passes as the first delta.
    Keep,
    /// It is the base of the next point and is dropped.
    Drop,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            include: None,
            exclude: None,
            max_staleness: Duration::from_secs(3600),
            initial_value: InitialValue::Auto,
            max_streams: 1_000_000,
        }
    }
}

impl Config {
    /// Which metrics are meant; `None` after having reported what is wrong.
    pub(crate) fn check(&self, context: &mut CreateContext<'_>) -> Option<Selection> {
        let mut problems = Problems::default();
        if !(1..=100_000_000).contains(&self.max_streams) {
            problems.error("max_streams", "it is not between 1 and 100000000");
        }
        if !self.max_staleness.is_zero() && self.max_staleness < Duration::from_secs(1) {
            problems.error("max_staleness", "no series would live to see its second point; at least 1s, or 0 for ever");
        }
        let selection = Selection::new(self.include.as_ref(), self.exclude.as_ref(), &mut problems);
        problems.report(context).then_some(selection)
    }
}
