//! Filtering metrics. What a name or a resource decides is decided once per metric; a batch of which nothing goes is not
//! opened.

use steadyline_attributes::Chosen;
use steadyline_attributes::ottl::{MetricSource, PointSource};
use steadyline_component::telemetry::Metrics;

use crate::rules::MetricRules;

impl MetricRules {
    /// Takes out what is dropped; how many points that is.
    pub(crate) fn filter(&self, metrics: &mut Metrics) -> u64 {
        let keep = self.keep(metrics);
        let dropped = keep.iter().filter(|keep| !**keep).count() as u64;
        if dropped > 0 {
            // Points are visited in the order in which `keep` was made.
            let mut keep = keep.into_iter();
            let mut editor = metrics.edit();
            editor.retain_points(|_, _| keep.next().unwrap_or(true));
            editor.drop_empty();
        }
        dropped
    }

    /// Whether each point stays, metric by metric.
    fn keep(&self, metrics: &Metrics) -> Vec<bool> {
        let chosen: Vec<Chosen> = self.keep.iter().map(|selection| selection.points(metrics)).collect();
        let mut keep = Vec::with_capacity(metrics.points());
        for metric in &metrics.tables().metrics {
            let source = MetricSource { metrics, metric };
            let first = metric.points.start as usize;
            let points = metrics.points_of(metric);
            if !points.is_empty() && self.metric.iter().any(|condition| condition.holds(&source)) {
                keep.extend(points.iter().map(|_| false));
                continue;
            }
            keep.extend(points.iter().enumerate().map(|(at, point)| {
                let source = PointSource { metric: source, point };
                chosen.iter().all(|chosen| chosen.has(first + at))
                    && !self.point.iter().any(|condition| condition.holds(&source))
            }));
        }
        keep
    }
}
