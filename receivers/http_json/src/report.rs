//! What is counted and told of polls.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use steadyline_component::{Clock, CreateContext, Instrument, LogPause, Meter};
use steadyline_mapping::batch::Report;
use steadyline_mapping::mapping::{Duplicate, PassStats, Skip, SkipReason};

/// How often the same reason is told.
const GAP: Duration = Duration::from_secs(300);

/// Reports the polls of one receiver.
pub(crate) struct Reporter {
    component: String,
    clock: Clock,
    meter: Meter,
    telling: [LogPause; SkipReason::COUNT],
    items: Arc<Instrument>,
    pub(crate) pages: Arc<Instrument>,
    pub(crate) not_modified: Arc<Instrument>,
    /// The counters with a reason that occurred. All reasons are words of the code.
    by_reason: BTreeMap<(&'static str, &'static str), Arc<Instrument>>,
}

impl Reporter {
    pub(crate) fn new(context: &CreateContext<'_>) -> Reporter {
        let counter = |name, help| context.meter.counter(name, help, &[]);
        Reporter {
            component: context.id.to_string(),
            clock: context.clock.clone(),
            meter: context.meter.clone(),
            telling: [const { LogPause::new(GAP) }; SkipReason::COUNT],
            items: counter("http_json_items", "Items read."),
            pages: counter("http_json_pages", "Documents and pages read."),
            not_modified: counter("http_json_not_modified", "Documents that had not changed."),
            by_reason: BTreeMap::new(),
        }
    }

    fn count(&mut self, name: &'static str, help: &'static str, reason: &'static str, by: u64) {
        let meter = &self.meter;
        let counter =
            self.by_reason.entry((name, reason)).or_insert_with(|| meter.counter(name, help, &[("reason", reason)]));
        counter.add(by as f64);
    }

    /// Counts a failed poll.
    pub(crate) fn failed(&mut self, reason: &'static str) {
        self.count("http_json_poll_errors", "Polls that failed.", reason, 1);
    }

    /// Counts what became of the items of a pass.
    pub(crate) fn ended(&mut self, stats: &PassStats) {
        self.items.add(stats.items as f64);
        for (reason, count) in stats.skips() {
            self.count("http_json_skipped", "Items and points that were skipped.", reason.as_str(), count);
        }
    }

    fn is_due(&mut self, reason: SkipReason) -> bool {
        self.telling[reason.index()].pass(self.clock.now().mono).is_some()
    }
}

impl Report for Reporter {
    fn skipped(&mut self, skip: &Skip<'_>) {
        if skip.reason != SkipReason::DuplicateIdentity && self.is_due(skip.reason) {
            let (reason, metric) = (skip.reason.as_str(), skip.metric.unwrap_or("all"));
            let names: Vec<&str> = skip.item.iter().map(|(name, _)| name).take(10).collect();
            tracing::warn!(component = %self.component, reason, metric, attributes = %names.join(", "),
                "skipped: {}; further ones of this reason are counted", skip.detail);
        }
    }

    fn duplicate(&mut self, duplicate: &Duplicate<'_>) {
        if self.is_due(SkipReason::DuplicateIdentity) {
            let identity: Vec<&str> = duplicate.identity.iter().filter_map(Option::as_deref).collect();
            tracing::warn!(component = %self.component, identity = %identity.join(", "),
                "two items have the same identity and one of them counts; further ones are counted");
        }
    }
}
