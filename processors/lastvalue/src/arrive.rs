//! A batch arrives: each point meets what is known of its series, or opens a new one.

use std::cmp::Ordering;

use steadyline_component::{Header, Work};
use steadyline_telemetry::metrics::Metric;
use steadyline_telemetry::{Metrics, NumberKind, Point, Slot, Temporality};

use crate::arena::{MAX_LABELS, Record};
use crate::clock::{Ticks, ticks};
use crate::config::Emit;
use crate::flush::CHUNK;
use crate::guard::Entity;
use crate::identity::Identity;
use crate::merge::{add_bodies, add_numbers};
use crate::processor::LastValue;
use crate::series::{DIRTY, ENDED, Entry, OWED, RESTORED, STALE, TRANSIENT, WAITING};

/// A point further ahead of the clock than this counts as of now: receivers refuse it, and all that follow it.
const AHEAD: u64 = 600 * 1_000_000_000;

/// How many points are looked up together.
const BLOCK: usize = 32;

/// The batch at hand.
pub(crate) struct Arrival<'a> {
    /// Its points.
    pub metrics: &'a Metrics,
    /// Its header.
    pub header: &'a Header,
    /// The source's number.
    pub source: u16,
    /// The mark of a confirmation by this batch.
    pub seen: u32,
    /// Now, on the monotonic clock.
    pub tick: Ticks,
    /// Now, nanoseconds since the epoch.
    pub now: u64,
}

/// What all points of a metric share.
pub(crate) struct Stream<'a> {
    /// The metric's row.
    pub metric: &'a Metric,
    /// Its id among the families.
    pub family: u32,
    /// Its part of identity.
    pub digest: u128,
    /// Whether values that meet are added.
    adds: bool,
    /// Whether values are increments.
    transient: bool,
}

/// What looking up a point found.
#[derive(Debug, Clone, Copy, Default)]
struct Found {
    identity: Identity,
    id: Option<u32>,
}

/// A point as it is merged: with a time that makes sense.
pub(crate) struct Sample<'a> {
    /// Its event time.
    pub time: u64,
    /// The point itself.
    pub point: &'a Point,
}

impl LastValue {
    /// Takes every point of a batch.
    pub(crate) fn arrive(&mut self, metrics: &Metrics, header: &Header, source: u16, seen: u32, work: &mut Work<'_>) {
        let tick = ticks(work.now.mono);
        let now = header.term.as_ref().map_or(work.now.unix_nanos, |term| term.time());
        let at = Arrival { metrics, header, source, seen, tick, now };
        for metric in metrics.tables().metrics.iter().filter(|metric| !metric.points.is_empty()) {
            let delta = metric.kind.temporality() == Some(Temporality::Delta);
            let adds = self.config.adds(metrics.text(metric.name), delta);
            let stream = Stream {
                metric,
                family: self.families.intern(metrics, metric),
                digest: self.identifier.metric(&self.secret, metrics, metric, header.labels_final),
                adds,
                transient: adds || delta,
            };
            for points in metrics.points_of(metric).chunks(BLOCK) {
                self.points(&at, &stream, points, work);
            }
            self.families.release(stream.family);
        }
        self.families.end_batch();
        self.identifier.end_batch(&mut self.keys);
    }

    /// Takes a block of points: first all are looked up, so that the memory they lie in is fetched side by side and not
    /// one after the other, then each is merged.
    fn points(&mut self, at: &Arrival<'_>, stream: &Stream<'_>, points: &[Point], work: &mut Work<'_>) {
        let mut found = [Found::default(); BLOCK];
        for (point, found) in points.iter().zip(&mut found) {
            found.identity = self.identifier.point(&self.secret, &mut self.keys, at.metrics, stream.digest, point);
        }
        for found in &mut found[..points.len()] {
            found.id = self.store.find(found.identity.hash, self.guess);
            self.guess = found.id.map_or(self.guess, |id| id + 1);
        }
        let removals = self.store.removals();
        for (point, mut found) in points.iter().zip(found) {
            if found.id.is_none() || self.store.removals() != removals {
                // It may have come with a point before, or have moved.
                found.id = self.store.find(found.identity.hash, self.guess);
                self.guess = found.id.map_or(self.guess, |id| id + 1);
            }
            self.point(at, stream, point, found, work);
            if self.queue.len() >= CHUNK {
                self.flush(work);
            }
        }
    }

    #[inline]
    fn point(&mut self, at: &Arrival<'_>, stream: &Stream<'_>, point: &Point, found: Found, work: &mut Work<'_>) {
        if point.number == NumberKind::None && !point.is_no_value() && !point.held {
            self.counts.no_number += 1;
            return;
        }
        let time = match point.time {
            0 => at.now,
            time if time > at.now.saturating_add(AHEAD) => at.now,
            time => time,
        };
        let sample = Sample { time, point };
        match found.id {
            Some(id) if point.held => self.confirm(at, id),
            Some(id) if point.is_no_value() => self.no_value(at, stream, id, &sample),
            Some(id) if stream.adds => self.increment(at, stream, id, &sample, work),
            Some(id) => self.value(at, stream, id, &sample),
            None if point.held => match self.held_by_identity(at, stream, point) {
                Some(id) => self.confirm(at, id),
                None => self.counts.merged += 1,
            },
            // An end of a series that was never sent says nothing.
            None if point.is_no_value() => self.counts.merged += 1,
            None => self.newcomer(at, stream, &sample, work),
        }
    }

    /// The source still has the series and could not say its value.
    fn confirm(&mut self, at: &Arrival<'_>, id: u32) {
        let entry = self.store.get_mut(id);
        if !entry.is(ENDED | STALE) {
            entry.source = at.source;
            entry.seen = at.seen;
            if entry.is(RESTORED) {
                self.confirmed(id);
            }
        }
        self.counts.merged += 1;
    }

    fn no_value(&mut self, at: &Arrival<'_>, stream: &Stream<'_>, id: u32, sample: &Sample<'_>) {
        let entry = *self.store.get(id);
        let waits = entry.is(OWED) && !entry.is(STALE);
        // At equal times a real value beats "no value", and an increment that waits is never lost to it.
        if entry.is(ENDED) || age(at, &entry, sample.time) != Ordering::Greater || stream.adds && waits {
            self.counts.merged += 1;
            return;
        }
        if entry.sent_ms() == 0 {
            self.counts.merged += 1;
            return self.end(id, at.tick);
        }
        self.owe(id);
        self.enqueue(id);
        let entry = self.store.get_mut(id);
        entry.set(STALE);
        entry.clear(RESTORED);
        entry.time = sample.time;
        entry.source = at.source;
        entry.seen = at.seen;
    }

    fn value(&mut self, at: &Arrival<'_>, stream: &Stream<'_>, id: u32, sample: &Sample<'_>) {
        let entry = *self.store.get(id);
        match age(at, &entry, sample.time) {
            Ordering::Less if entry.is(OWED) => self.counts.merged += 1,
            Ordering::Less => self.counts.older += 1,
            Ordering::Equal if !entry.is(STALE | ENDED) && self.says(at, stream, &entry, sample) => {
                self.confirm(at, id);
            }
            _ => self.replace(at, stream, id, sample),
        }
    }

    /// Adds an increment to one that waits, or lets it wait.
    fn increment(&mut self, at: &Arrival<'_>, stream: &Stream<'_>, id: u32, sample: &Sample<'_>, work: &mut Work<'_>) {
        let entry = *self.store.get(id);
        if !entry.is(OWED) || entry.is(STALE) {
            return self.replace(at, stream, id, sample);
        }
        let start = self.store.record(id).start;
        let (number, bits) = if entry.number() == NumberKind::Body {
            self.body_of(at, stream, sample.point);
            let Some(sum) = add_bodies(stream.metric.kind, self.bodies.get(entry.bits), &self.body) else {
                // They cannot be added: the one that waits goes first, and nothing is lost.
                self.flush(work);
                return self.replace(at, stream, id, sample);
            };
            self.bodies.replace(entry.bits, &sum);
            (NumberKind::Body, entry.bits)
        } else {
            self.add_exemplars(at, stream.metric.kind, id, sample.point);
            add_numbers((entry.number(), entry.bits), (sample.point.number, sample.point.bits))
        };
        let starts = [start.unwrap_or_default(), sample.point.start].into_iter().filter(|start| *start != 0);
        self.set_start(id, starts.min().unwrap_or_default());
        let entry = self.store.get_mut(id);
        entry.set_number(number);
        entry.bits = bits;
        entry.time = entry.time.max(sample.time);
        self.confirm(at, id);
    }

    /// Puts a newer value in the place of what was known, and lets it wait if it is worth sending.
    fn replace(&mut self, at: &Arrival<'_>, stream: &Stream<'_>, id: u32, sample: &Sample<'_>) {
        let entry = *self.store.get(id);
        if entry.is(ENDED) && !self.may_return(at, stream, id, sample.point) {
            self.counts.forked += 1;
            return;
        }
        let may_stay =
            self.config.emit == Emit::OnChange && !entry.is(ENDED | WAITING | TRANSIENT) && entry.sent_ms() != 0;
        let same = (may_stay || self.keeper.is_some()) && self.says(at, stream, &entry, sample);
        let unchanged = may_stay && same;
        if !same || entry.is(ENDED | RESTORED) || self.store.arena.family(entry.record) != stream.family {
            self.confirmed(id);
        }
        self.move_to(id, stream.family);
        self.set_start(id, sample.point.start);
        self.store_value(at, stream, id, sample);
        let entry = self.store.get_mut(id);
        entry.time = sample.time;
        entry.source = at.source;
        entry.seen = at.seen;
        if entry.is(ENDED) {
            entry.clear(ENDED);
            self.ended -= 1;
        }
        entry.clear(STALE);
        if unchanged {
            self.counts.merged += 1;
            return;
        }
        self.owe(id);
        self.enqueue(id);
    }

    fn newcomer(&mut self, at: &Arrival<'_>, stream: &Stream<'_>, sample: &Sample<'_>, work: &mut Work<'_>) {
        // Once more, for the packed labels: the block's other points came in between.
        let identity = self.identifier.point(&self.secret, &mut self.keys, at.metrics, stream.digest, sample.point);
        if self.identifier.values().len() > MAX_LABELS {
            self.counts.too_long += 1;
            return;
        }
        if self.is_full() {
            self.purge(work);
        }
        if self.is_full() && !(self.has_reserve() && is_about_the_source(at, sample.point)) {
            self.counts.limited += 1;
            return self.name_refused(at, stream, sample.point);
        }
        let entity = self.entity(at, stream, sample.point);
        if let Some(entity) = entity
            && !self.admits(at, stream, sample.point, entity, None)
        {
            self.counts.forked += 1;
            return;
        }
        self.open(at, stream, identity, sample, entity);
    }

    fn open(
        &mut self,
        at: &Arrival<'_>,
        stream: &Stream<'_>,
        identity: Identity,
        sample: &Sample<'_>,
        entity: Option<Entity>,
    ) {
        let mut entry = Entry::new(identity.hash, at.source);
        entry.seen = at.seen;
        entry.time = sample.time;
        if stream.transient {
            entry.set(TRANSIENT);
        } else if let Some(keeper) = &mut self.keeper {
            entry.set(DIRTY);
            keeper.changed();
        }
        let start = Some(sample.point.start).filter(|start| *start != 0);
        let guard = entity.as_ref().map(|entity| entity.hash);
        let labels = self.identifier.values();
        let record = Record { owner: 0, family: stream.family, keys: identity.keys, guard, start, labels };
        let Some(id) = self.store.insert(entry, &record) else {
            self.counts.limited += 1;
            return;
        };
        self.families.retain(stream.family);
        self.keys.retain(identity.keys);
        if let Some(guard) = guard {
            self.store.set_guarded(guard, id);
        }
        self.store_value(at, stream, id, sample);
        self.owe(id);
        self.enqueue(id);
    }
}

/// How a sample's age compares with what is known: a later pass of the same source is newer whatever its clock says.
fn age(at: &Arrival<'_>, entry: &Entry, time: u64) -> Ordering {
    let passes = at.header.pass.is_some();
    if passes && (entry.is(ENDED) || entry.source == at.source && (entry.is(RESTORED) || entry.seen != at.seen)) {
        return Ordering::Greater;
    }
    time.cmp(&{ entry.time })
}

/// Whether a point is about its source as a whole (is it up, when was it read) and not about one of its entities.
/// That is what tells a held line from a true one, so a table full of entities must not shut it out.
fn is_about_the_source(at: &Arrival<'_>, point: &Point) -> bool {
    let identity = &at.header.identity;
    let names_entity = |key: &&Slot| identity.iter().any(|name| name.as_bytes() == at.metrics.bytes(**key));
    at.header.pass.is_some()
        && !identity.is_empty()
        && !at.metrics.keys(point.shape).iter().any(|key| names_entity(&key))
}
