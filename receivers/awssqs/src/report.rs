//! What is told of messages: a summary of each batch, numbers about ourselves, and the first message of every kind that failed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use steadyline_aws::AwsFailure;
use steadyline_component::{Clock, Instrument, LogPause, Meter};

use crate::queue::advice;

/// How often the same reason is logged with a message's id.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// What became of the messages of one batch.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Summary {
    /// Messages that came.
    pub received: u64,
    /// Messages of which something was delivered.
    pub emitted: u64,
    /// Messages of which nothing was to be sent: of an unknown type, or delivered before.
    pub skipped: u64,
    /// Messages that went back to the queue: bad ones, and those that could not be delivered.
    pub failed: u64,
    /// Messages that were deleted.
    pub deleted: u64,
}

/// Reports the messages of one receiver.
#[derive(Debug)]
pub(crate) struct Report {
    component: String,
    clock: Clock,
    meter: Meter,
    received: Arc<Instrument>,
    emitted: Arc<Instrument>,
    deleted: Arc<Instrument>,
    extended: Arc<Instrument>,
    pub(crate) in_flight: Arc<Instrument>,
    pub(crate) keys: Arc<Instrument>,
    pub(crate) series: Arc<Instrument>,
    pub(crate) evicted: Arc<Instrument>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    by_reason: BTreeMap<(&'static str, &'static str), Arc<Instrument>>,
    logging: BTreeMap<(&'static str, &'static str), LogPause>,
}

const SKIPPED: (&str, &str) = ("awssqs_messages_skipped", "Messages of which nothing was to be sent, by reason.");
const FAILED: (&str, &str) = ("awssqs_messages_failed", "Messages that went back to the queue, by reason.");
const POINTS: (&str, &str) = ("awssqs_points_skipped", "Points of good messages that were not sent, by reason.");
const RECEIVE: (&str, &str) = ("awssqs_receive_errors", "Requests for messages that failed, by reason.");
const DELETE: (&str, &str) =
    ("awssqs_delete_errors", "Messages that could not be deleted and will come again, by reason.");
const EXTEND: (&str, &str) = ("awssqs_extend_errors", "Messages whose visibility could not be extended, by reason.");

impl Report {
    pub(crate) fn new(component: &str, clock: &Clock, meter: &Meter) -> Self {
        let counter = |name: &str, help: &'static str| meter.counter(name, help, &[]);
        Self {
            component: component.to_owned(),
            clock: clock.clone(),
            meter: meter.clone(),
            received: counter("awssqs_messages_received", "Messages that came from the queue."),
            emitted: counter("awssqs_messages_emitted", "Messages of which something was delivered."),
            deleted: counter("awssqs_messages_deleted", "Messages that were deleted."),
            extended: counter("awssqs_visibility_extended", "Times that a message's visibility was extended."),
            in_flight: meter.gauge("awssqs_messages_in_flight", "Messages that are being worked on.", &[]),
            keys: meter.gauge("awssqs_idempotency_keys", "Events that are remembered.", &[]),
            series: meter.gauge("awssqs_series", "Cumulative series.", &[]),
            evicted: meter.gauge(
                "awssqs_idempotency_evicted",
                "Events forgotten before their time, for lack of room.",
                &[],
            ),
            inner: Mutex::default(),
        }
    }

    /// A batch that is done with.
    pub(crate) fn batch(&self, summary: Summary) {
        let Summary { received, emitted, skipped, failed, deleted } = summary;
        self.received.add(received as f64);
        self.emitted.add(emitted as f64);
        self.deleted.add(deleted as f64);
        if failed > 0 {
            tracing::info!(component = %self.component, received, emitted, skipped, failed, deleted, "batch");
        } else {
            tracing::debug!(component = %self.component, received, emitted, skipped, failed, deleted, "batch");
        }
    }

    /// A message of which nothing was to be sent.
    pub(crate) fn skipped(&self, reason: &'static str, id: &str, detail: &str) {
        if self.count(SKIPPED, reason, 1) && reason != "duplicate" {
            tracing::info!(component = %self.component, reason, message = id, "skipped: {detail}; further ones of this reason are counted");
        }
    }

    /// A message that goes back to the queue.
    pub(crate) fn failed(&self, reason: &'static str, id: &str, receive_count: u32, detail: &str) {
        if self.count(FAILED, reason, 1) {
            tracing::warn!(component = %self.component, reason, message = id, receive_count,
                "failed, and goes back to the queue: {detail}; further ones of this reason are counted");
        }
    }

    /// Points that found no place among the series.
    pub(crate) fn no_series(&self, id: &str, points: u64) {
        if points > 0 && self.count(POINTS, "series_limit", points) {
            tracing::warn!(component = %self.component, message = id, points,
                "there are `max_series` series, and this event's are others; its points are left out; further ones are counted");
        }
    }

    /// A request for messages that failed.
    pub(crate) fn receive_failed(&self, failure: &AwsFailure) {
        if self.count(RECEIVE, failure.reason(), 1) {
            let advice = advice(failure);
            let separator = if advice.is_empty() { "" } else { "; " };
            tracing::warn!(component = %self.component, reason = failure.reason(), "no messages: {failure}{separator}{advice}");
        }
    }

    /// A message that could not be deleted.
    pub(crate) fn not_deleted(&self, reason: &'static str, id: &str, detail: &str) {
        if self.count(DELETE, reason, 1) {
            tracing::warn!(component = %self.component, reason, message = id, "not deleted, and will come again: {detail}");
        }
    }

    /// A message whose visibility could not be extended.
    pub(crate) fn not_extended(&self, reason: &'static str, id: &str, detail: &str) {
        if self.count(EXTEND, reason, 1) {
            tracing::warn!(component = %self.component, reason, message = id, "visibility not extended, others may see the message: {detail}");
        }
    }

    /// So many extensions of visibility.
    pub(crate) fn extended(&self, messages: usize) {
        self.extended.add(messages as f64);
    }

    /// Counts, and says whether it is time to log this reason.
    fn count(&self, (name, help): (&'static str, &'static str), reason: &'static str, by: u64) -> bool {
        let now = self.clock.now().mono;
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || self.meter.counter(name, help, &[("reason", reason)]);
        inner.by_reason.entry((name, reason)).or_insert_with(make).add(by as f64);
        let pause = inner.logging.entry((name, reason)).or_insert(LogPause::new(LOG_EVERY));
        pause.pass(now).is_some()
    }
}
