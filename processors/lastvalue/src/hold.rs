//! What a series holds: its value, start time and head, and whether something of it waits.

use steadyline_telemetry::metrics::encode_body_without_attributes;
use steadyline_telemetry::{MetricKind, NumberKind, Point, Slot};

use crate::arena::Record;
use crate::arrive::{Arrival, Sample, Stream};
use crate::clock::Ticks;
use crate::processor::LastValue;
use crate::series::{ENDED, Entry, OWED, STALE, WAITING};

/// Labels may take so many bytes a series, on average, before newcomers are refused.
const LABELS_PER_SERIES: usize = 1024;

/// How many series about sources themselves are kept beyond `max_series`.
pub(crate) const RESERVE: usize = 64;

impl LastValue {
    /// Ends a series on our own account: one marker if anything of it was ever sent.
    pub(crate) fn end(&mut self, id: u32, tick: Ticks) {
        let entry = self.store.get_mut(id);
        if entry.is(OWED) {
            entry.clear(OWED);
            self.owed -= 1;
            self.counts.merged += 1;
        }
        let entry = self.store.get_mut(id);
        if entry.sent_ms() == 0 {
            entry.clear(STALE);
            entry.set(ENDED);
            entry.seen = tick;
            self.ended += 1;
            self.not_kept(id);
            return;
        }
        entry.set(STALE);
        self.enqueue(id);
    }

    /// Whether there is no room for another series.
    pub(crate) fn is_full(&self) -> bool {
        let most = self.config.max_series as usize;
        self.store.len() >= most || self.store.arena.live() >= most.max(1 << 14).saturating_mul(LABELS_PER_SERIES)
    }

    /// Whether there is room beyond the limit for a few series about a source itself.
    pub(crate) fn has_reserve(&self) -> bool {
        self.store.len() < self.config.max_series as usize + RESERVE
    }

    /// Notes that one point that came in waits with a series; one that waited before is merged with it.
    pub(crate) fn owe(&mut self, id: u32) {
        let entry = self.store.get_mut(id);
        if entry.is(OWED) {
            self.counts.merged += 1;
        } else {
            entry.set(OWED);
            self.owed += 1;
        }
    }

    /// Lets a series wait for the next flush.
    pub(crate) fn enqueue(&mut self, id: u32) {
        let entry = self.store.get_mut(id);
        if !entry.is(WAITING) {
            entry.set(WAITING);
            self.queue.push(id);
        }
    }

    /// Whether a sample says what is known already.
    pub(crate) fn says(&mut self, at: &Arrival<'_>, stream: &Stream<'_>, entry: &Entry, sample: &Sample<'_>) -> bool {
        if sample.point.start != self.store.arena.get(entry.record).start.unwrap_or_default() {
            return false;
        }
        if sample.point.number == NumberKind::Body {
            self.body_of(at, stream, sample.point);
            return entry.number() == NumberKind::Body && *self.bodies.get(entry.bits) == *self.body;
        }
        entry.number() == sample.point.number && entry.bits == sample.point.bits
    }

    /// Puts a sample's value in the place of what was known.
    pub(crate) fn store_value(&mut self, at: &Arrival<'_>, stream: &Stream<'_>, id: u32, sample: &Sample<'_>) {
        let point = sample.point;
        let entry = *self.store.get(id);
        let bits = if point.number == NumberKind::Body {
            self.body_of(at, stream, point);
            if entry.number() == NumberKind::Body {
                self.bodies.replace(entry.bits, &self.body);
                entry.bits
            } else {
                self.bodies.insert(&self.body)
            }
        } else {
            self.keep_exemplars(at, stream.metric.kind, id, point);
            point.bits
        };
        let entry = self.store.get_mut(id);
        entry.set_number(point.number);
        entry.bits = bits;
    }

    fn keep_exemplars(&mut self, at: &Arrival<'_>, kind: MetricKind, id: u32, point: &Point) {
        if !self.exemplars.is_empty() {
            self.exemplars.remove(&id);
        }
        self.add_exemplars(at, kind, id, point);
    }

    /// Keeps the exemplars of a number beside those that wait with the series already: a repeated field.
    pub(crate) fn add_exemplars(&mut self, at: &Arrival<'_>, kind: MetricKind, id: u32, point: &Point) {
        if point.body != Slot::NONE {
            let held = self.exemplars.entry(id).or_default();
            encode_body_without_attributes(at.metrics.bytes(point.body), kind, held);
        }
    }

    /// Leaves a point's own part of its message in `self.body`: no attributes, times or flags.
    pub(crate) fn body_of(&mut self, at: &Arrival<'_>, stream: &Stream<'_>, point: &Point) {
        self.body.clear();
        encode_body_without_attributes(at.metrics.bytes(point.body), stream.metric.kind, &mut self.body);
    }

    /// The series came with another description, unit, scope or resource than before.
    pub(crate) fn move_to(&mut self, id: u32, family: u32) {
        let address = self.store.get(id).record;
        let old = self.store.arena.family(address);
        if old != family {
            self.families.retain(family);
            self.store.arena.set_family(address, family);
            self.families.release(old);
        }
    }

    /// Sets the start time, making room for it when the series has its first.
    pub(crate) fn set_start(&mut self, id: u32, start: u64) {
        let address = self.store.get(id).record;
        if self.store.arena.set_start(address, start) || start == 0 {
            return;
        }
        let record = self.store.arena.get(address);
        let labels = record.labels.to_vec();
        // Without room for it the series goes on without a start time, which OTLP allows.
        self.store.replace_record(id, &Record { start: Some(start), labels: &labels, ..record });
    }
}
