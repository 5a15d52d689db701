//! `target_info`: what a resource says about itself, as one series of value 1 beside those of its metrics.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use hashbrown::HashMap;
use steadyline_prometheus::labels::target_info;
use steadyline_prometheus::{MetricKind, NameKind, metric_name};
use steadyline_telemetry::Metrics;

use super::context::texts;
use super::plan::put_label;
use super::stage::{NO_FAMILY, Sample};
use super::write::Family;
use super::{RemoteWriteEncoder, Settings, millis};
use crate::block::Protocol;

/// A series is sent again when so much of its own time has passed: a quarter of Prometheus' lookback of 5 minutes, so that a
/// source that reports more often than that never leaves a gap of more than half.
const RESEND: Duration = Duration::from_secs(75);
/// More resources than twice this are not remembered; a forgotten one is sent once more than needed.
const MAX_REMEMBERED: usize = 10_000;

/// When each resource's series was last sent, in milliseconds of its own time. Two generations: when the young one is full
/// the old one is forgotten.
#[derive(Debug, Default)]
pub(super) struct TargetInfos {
    hasher: RandomState,
    young: HashMap<u64, i64>,
    old: HashMap<u64, i64>,
}

impl TargetInfos {
    /// Whether the series of a resource is to be sent at this time; if so, notes it. Times of one series always rise.
    fn is_due(&mut self, resource: u64, time_ms: i64) -> bool {
        let last = self.young.get(&resource).or_else(|| self.old.get(&resource)).copied();
        let is_due = last.is_none_or(|last| time_ms.saturating_sub(last) >= RESEND.as_millis() as i64);
        if is_due {
            if self.young.len() >= MAX_REMEMBERED {
                self.old = std::mem::take(&mut self.young);
            }
            self.young.insert(resource, time_ms);
        }
        is_due
    }
}

impl RemoteWriteEncoder {
    /// Adds the series of a resource whose points have all been seen.
    pub(super) fn finish_resource(&mut self, metrics: &Metrics, row: Option<u32>) {
        let newest = std::mem::take(&mut self.context.newest);
        let Some(row) = row.filter(|_| newest > 0 && self.settings.target_info && !self.is_final) else {
            return;
        };
        let attributes = metrics.tables().resources[row as usize].attributes;
        let pairs = texts(metrics, attributes);
        let time_ms = millis(newest);
        if !self.targets.is_due(self.targets.hasher.hash_one(&pairs), time_ms) {
            return;
        }
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(key, value)| (*key, value.as_ref())).collect();
        let Some(labels) = target_info(&pairs, self.settings.strategy, false) else {
            return;
        };
        let (name, labels) = complete(labels, &self.settings);
        let family = self.target_family(&name);
        let sample = Sample { time_ms, start_ms: 0, family };
        let written = self.stages.put_float(sample, 1.0f64.to_bits(), |out| {
            labels.iter().for_each(|(name, value)| put_label(out, name, value.as_bytes()));
            Ok(())
        });
        self.counts.target_info += 1;
        if let Err(loss) = written {
            self.losses.add(loss, 1, &name);
        }
    }

    fn target_family(&mut self, name: &str) -> u32 {
        if self.protocol == Protocol::V1 && !self.settings.metadata {
            return NO_FAMILY;
        }
        self.families.push(Family {
            name: name.to_owned(),
            kind: MetricKind::Info,
            help: "Target metadata".to_owned(),
            unit: String::new(),
        });
        self.families.len() as u32 - 1
    }
}

/// The series' name, and its labels with name and external labels, sorted.
fn complete(mut labels: Vec<(String, String)>, settings: &Settings) -> (String, Vec<(String, String)>) {
    let mut name = String::new();
    let fallback = metric_name(&mut name, "target_info", "", NameKind::Other, &settings.namespace, settings.strategy);
    debug_assert!(fallback.is_ok(), "the name has letters");
    for (external, value) in &settings.external {
        if labels.iter().all(|(known, _)| known != external) {
            labels.push((external.clone(), value.clone()));
        }
    }
    labels.push(("__name__".to_owned(), name.clone()));
    labels.sort();
    (name, labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_reports_each_minute_never_leaves_half_the_lookback() {
        for interval_s in [1, 15, 30, 60, 74, 75, 100, 149] {
            let mut targets = TargetInfos::default();
            let mut sent = Vec::new();
            for tick in 0..1000 {
                let time = tick * interval_s * 1000;
                if targets.is_due(7, time) {
                    sent.push(time);
                }
            }
            let gap = sent.windows(2).map(|pair| pair[1] - pair[0]).max().expect("many");
            assert!(gap < 150_000, "{interval_s} s: {gap} ms");
        }
    }

    #[test]
    fn time_never_goes_back() {
        let mut targets = TargetInfos::default();
        assert!(targets.is_due(1, 500_000));
        assert!(!targets.is_due(1, 400_000));
        assert!(!targets.is_due(1, 500_000));
        assert!(targets.is_due(2, 400_000));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut targets = TargetInfos::default();
        for resource in 0..50_000 {
            assert!(targets.is_due(resource, 1));
        }
        assert!(targets.young.len() + targets.old.len() <= 2 * MAX_REMEMBERED);
        assert!(!targets.is_due(49_999, 2));
    }
}
