//! Which metrics are turned: by name and kind, decided once a metric of a batch.
//! Kinds that have no difference are never meant.

use regex::RegexSet;
use steadyline_attributes::Problems;
use steadyline_attributes::matching::{MatchType, Texts};
use steadyline_telemetry::{MetricKind, Temporality};

use crate::config::{MetricMatch, MetricType};

/// What is meant: what `include` fits, without what `exclude` fits.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    include: Option<Test>,
    exclude: Option<Test>,
}

#[derive(Debug)]
struct Test {
    names: Option<Texts>,
    types: Vec<MetricType>,
}

impl Selection {
    /// Compiles both; what is wrong is noted, and the result counts only if nothing is.
    pub(crate) fn new(
        include: Option<&MetricMatch>,
        exclude: Option<&MetricMatch>,
        problems: &mut Problems,
    ) -> Selection {
        let mut test = |config: Option<&MetricMatch>, path| config.map(|config| Test::new(config, path, problems));
        Selection { include: test(include, "include"), exclude: test(exclude, "exclude") }
    }

    /// The delta kind that a metric becomes, if it is meant and can be turned.
    pub(crate) fn delta(&self, name: &str, kind: MetricKind) -> Option<MetricKind> {
        let (of, delta) = delta(kind)?;
        let included = self.include.as_ref().is_none_or(|test| test.fits(name, of));
        let excluded = self.exclude.as_ref().is_some_and(|test| test.fits(name, of));
        (included && !excluded).then_some(delta)
    }
}

impl Test {
    fn new(config: &MetricMatch, path: &str, problems: &mut Problems) -> Test {
        if config.metrics.is_empty() && config.metric_types.is_empty() {
            problems.error(path, "there is nothing to match by: give `metrics` with `match_type`, or `metric_types`");
        }
        let names = match (config.match_type, config.metrics.as_slice()) {
            (_, []) => None,
            (None, _) => {
                problems.error(path, "`match_type` says how `metrics` are compared: `strict` or `regexp`");
                None
            }
            (Some(MatchType::Strict), names) => Some(Texts::Strict(names.iter().cloned().collect())),
            (Some(MatchType::Regexp), patterns) => {
                for (at, pattern) in patterns.iter().enumerate() {
                    problems.regex(&format!("{path}.metrics[{at}]"), pattern);
                }
                RegexSet::new(patterns).ok().map(Texts::Regexp)
            }
        };
        Test { names, types: config.metric_types.clone() }
    }

    fn fits(&self, name: &str, of: MetricType) -> bool {
        self.names.as_ref().is_none_or(|names| names.fits(name)) && (self.types.is_empty() || self.types.contains(&of))
    }
}

/// A cumulative kind's type and its delta, if it can be turned.
fn delta(kind: MetricKind) -> Option<(MetricType, MetricKind)> {
    let (cumulative, temporality) = (Temporality::Cumulative, Temporality::Delta);
    match kind {
        MetricKind::Sum { temporality: of, monotonic: true } if of == cumulative => {
            Some((MetricType::Sum, MetricKind::Sum { temporality, monotonic: true }))
        }
        MetricKind::Histogram { temporality: of } if of == cumulative => {
            Some((MetricType::Histogram, MetricKind::Histogram { temporality }))
        }
        MetricKind::ExponentialHistogram { temporality: of } if of == cumulative => {
            Some((MetricType::ExponentialHistogram, MetricKind::ExponentialHistogram { temporality }))
        }
        _ => None,
    }
}
