//! What is told of a poll: one line in the log, numbers about ourselves, and the first item of every kind that was skipped.

use std::sync::Arc;
use std::time::Duration;

use steadyline_aws::{AwsFailure, FailureKind};
use steadyline_component::{Clock, Instrument, LogPause, Meter};

use steadyline_mapping::batch::Report;
use steadyline_mapping::mapping::{Duplicate, PassStats, Skip, SkipReason, TableKey};

/// How often the same reason is logged with an item's key.
const LOG_EVERY: Duration = Duration::from_secs(300);

const THROTTLED: (&str, &str) = ("dynamodb_throttled", "Requests that DynamoDB asked to slow down.");
const SKIPPED: (&str, &str) = ("dynamodb_skipped", "Items and points that were skipped.");
const ERRORS: (&str, &str) = ("dynamodb_poll_errors", "Polls that failed.");
/// How many counters with a reason there may be.
const MAX_REASONS: usize = 64;

/// Reports the polls of one receiver.
pub(crate) struct Reporter {
    component: String,
    clock: Clock,
    meter: Meter,
    pub(crate) key: TableKey,
    logging: [LogPause; SkipReason::COUNT],
    items: Arc<Instrument>,
    pages: Arc<Instrument>,
    units: Arc<Instrument>,
    lossy: Arc<Instrument>,
    truncated: Arc<Instrument>,
    /// The counters that have a reason, made when one first occurs. The registry forgets what nobody holds.
    by_reason: Vec<Arc<Instrument>>,
    last_items: Arc<Instrument>,
    last_duration: Arc<Instrument>,
}

/// What reading cost in one poll.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct ReadStats {
    /// Pages that came.
    pub(crate) pages: u64,
    /// Read units they took.
    pub(crate) units: f64,
    /// Times that DynamoDB asked to slow down.
    pub(crate) throttled: u64,
}

impl Reporter {
    pub(crate) fn new(component: &str, clock: &Clock, meter: &Meter) -> Self {
        Self {
            component: component.to_owned(),
            clock: clock.clone(),
            meter: meter.clone(),
            key: TableKey::default(),
            logging: [const { LogPause::new(LOG_EVERY) }; SkipReason::COUNT],
            items: meter.counter("dynamodb_items", "Items read.", &[]),
            pages: meter.counter("dynamodb_pages", "Pages read.", &[]),
            units: meter.counter("dynamodb_consumed_read_units", "Read units that polling consumed.", &[]),
            lossy: meter.counter("dynamodb_lossy_numbers", "Numbers with more digits than a double keeps.", &[]),
            truncated: meter.counter("dynamodb_truncated_labels", "Label values that were cut.", &[]),
            by_reason: Vec::new(),
            last_items: meter.gauge("dynamodb_last_poll_items", "Items read by the last poll.", &[]),
            last_duration: meter.gauge("dynamodb_last_poll_duration_seconds", "How long the last poll took.", &[]),
        }
    }

    /// Counts a request that was throttled, by the limit that was hit.
    pub(crate) fn throttled(&mut self, failure: &AwsFailure) {
        let FailureKind::Throttled { reasons } = &failure.kind else { return };
        if reasons.is_empty() {
            self.count(THROTTLED, "unknown", 1);
        }
        for reason in reasons {
            self.count(THROTTLED, &reason.reason, 1);
        }
    }

    fn count(&mut self, counter: (&'static str, &'static str), reason: &str, by: u64) {
        let (name, help) = counter;
        let known = |instrument: &&Arc<Instrument>| {
            instrument.name == name
                && instrument.labels.iter().any(|(label, value)| label == "reason" && value == reason)
        };
        if let Some(instrument) = self.by_reason.iter().find(known) {
            instrument.add(by as f64);
            return;
        }
        // DynamoDB has 16 words for limits; whatever else answers may have any number.
        let reason = if self.by_reason.len() < MAX_REASONS { reason } else { "other" };
        let instrument = self.meter.counter(name, help, &[("reason", reason)]);
        instrument.add(by as f64);
        self.by_reason.push(instrument);
    }

    /// Tells of a poll that has ended; `error` is the reason of its failure.
    pub(crate) fn ended(&mut self, stats: &PassStats, read: ReadStats, duration: Duration, error: Option<&str>) {
        self.items.add(stats.items as f64);
        self.pages.add(read.pages as f64);
        self.units.add(read.units);
        self.lossy.add(stats.lossy as f64);
        self.truncated.add(stats.truncated as f64);
        self.last_items.set(stats.items as f64);
        self.last_duration.set(duration.as_secs_f64());
        let mut skipped = Vec::new();
        for (reason, count) in stats.skips() {
            self.count(SKIPPED, reason.as_str(), count);
            skipped.push(format!("{} {count}", reason.as_str()));
        }
        if let Some(reason) = error {
            self.count(ERRORS, reason, 1);
        }
        if stats.unchecked > 0 {
            tracing::warn!(component = %self.component, items = stats.unchecked, "too many items to notice all that share an identity");
        }
        if stats.aggregates_withheld {
            tracing::info!(component = %self.component, "no aggregates from this poll: it met items that share an identity for the first time");
        }
        tracing::info!(component = %self.component, items = stats.items, emitted = stats.emitted, held = stats.held, filtered = stats.filtered,
            skipped = %skipped.join(", "), errors = error.unwrap_or("none"), throttled = read.throttled, pages = read.pages,
            consumed_units = read.units, duration_ms = duration.as_millis() as u64, "poll ended");
    }

    fn is_due(&mut self, reason: SkipReason) -> bool {
        self.logging[reason.index()].pass(self.clock.now().mono).is_some()
    }
}

impl Report for Reporter {
    /// Logs the first skip of a reason in a while, with the item's key.
    fn skipped(&mut self, skip: &Skip<'_>) {
        if skip.reason == SkipReason::DuplicateIdentity {
            return; // told by `duplicate`, with both keys
        }
        if !self.is_due(skip.reason) {
            return;
        }
        tracing::warn!(component = %self.component, reason = skip.reason.as_str(), metric = skip.metric.unwrap_or("all"),
            key = %self.key.describe(skip.item), "skipped: {}; further ones of this reason are counted", skip.detail);
    }

    /// Logs the first pair of items with one identity in a while.
    fn duplicate(&mut self, duplicate: &Duplicate<'_>) {
        if !self.is_due(SkipReason::DuplicateIdentity) {
            return;
        }
        let identity: Vec<&str> = duplicate.identity.iter().filter_map(Option::as_deref).collect();
        let by = if duplicate.preferred { "by `prefer`" } else { "as the last one in the order of the table's key" };
        tracing::warn!(component = %self.component, identity = %identity.join(", "), counts = %duplicate.winner, skipped = %duplicate.loser,
            "two items have the same identity; one of them counts, {by}; further ones are counted");
    }
}
