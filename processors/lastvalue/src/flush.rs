//! Sending what waits: one batch a source, built from the table's own copies.

use steadyline_component::{Batch, Data, Header, Work};
use steadyline_telemetry::NumberKind;

use crate::clock::{NANOS_PER_MS, Ticks, ticks};
use crate::outbox::{self, Item, Times, time_of};
use crate::processor::LastValue;
use crate::series::{ENDED, OWED, RESTORED, STALE, WAITING};

/// How many points wait, at most, and so how many a batch has.
pub(crate) const CHUNK: usize = 8192;

impl LastValue {
    /// Sends everything that waits. Receipts travel with every batch, as each may carry a part of what they wait for;
    /// those of the batch at hand are kept, because the rest of it is still to come.
    pub(crate) fn flush(&mut self, work: &mut Work<'_>) {
        if self.queue.is_empty() {
            return;
        }
        let mut items = std::mem::take(&mut self.items);
        self.take_items(&mut items);
        // Stable, and nearly sorted already: points arrive metric by metric.
        items.sort_by_key(|item| (item.source, item.place, item.family));
        for run in items.chunk_by(|a, b| a.source == b.source) {
            self.emit(run, work);
        }
        items.clear();
        self.items = items;
        self.receipts.clear();
        self.deadline = None;
    }

    fn take_items(&mut self, items: &mut Vec<Item>) {
        let mut last = None;
        for id in self.queue.drain(..) {
            let entry = self.store.get_mut(id);
            if entry.is(ENDED) {
                // Ended before anything of it was sent: there is nothing to say.
                entry.clear(WAITING);
                continue;
            }
            let (source, family) = (entry.source, self.store.arena.family(self.store.get(id).record));
            let place = match last {
                Some((known, place)) if known == family => place,
                _ => self.families.place(family),
            };
            last = Some((family, place));
            items.push(Item { source, place, family, id });
        }
    }

    fn emit(&mut self, run: &[Item], work: &mut Work<'_>) {
        let Some(first) = run.first() else { return };
        let tick = ticks(work.now.mono);
        let times = self.times(first.source, tick, work.now.unix_nanos);
        let metrics = outbox::build(self, run, times);
        let owed = self.owed;
        for item in run {
            self.account(item.id, tick, times);
        }
        let source = &self.sources.get(first.source).header;
        // What nobody sent belongs to no pass.
        let pass = source.pass.clone().filter(|_| self.owed < owed);
        let receipts = self.receipts.iter().chain(&self.arriving).cloned().collect();
        let header = Header { pass, receipts, ..source.clone() };
        work.emit(Batch { header, data: Data::Metrics(metrics) });
    }

    /// What the timestamps of a source go by: its term of leadership, if there is one, and what was sent before a restart.
    /// Series that storage did not know are new, or were while the process before ended: soon after it the floor is
    /// theirs too, and for as long as the wall clock stands below it.
    fn times(&self, source: u16, tick: Ticks, wall: u64) -> Times {
        let term = self.sources.get(source).header.term.as_ref();
        let now = term.map_or(wall, |term| term.time());
        let applies = tick < self.floor.until || wall / NANOS_PER_MS <= self.floor.ms;
        let kept = if applies { self.floor.ms } else { 0 };
        // A timestamp above the floor in nanoseconds may not be in milliseconds: rounded up it is.
        let term = term.map_or(0, |term| term.floor().div_ceil(NANOS_PER_MS));
        Times { now, floor_ms: kept.max(term) }
    }

    /// Notes that a series was sent just now.
    fn account(&mut self, id: u32, tick: Ticks, times: Times) {
        let entry = self.store.get_mut(id);
        let time = time_of(entry, times);
        let (owed, stale, restored) = (entry.is(OWED), entry.is(STALE), entry.is(RESTORED));
        entry.sent(time / NANOS_PER_MS, tick);
        if let Some(keeper) = &mut self.keeper {
            keeper.sent(time / NANOS_PER_MS);
        }
        entry.clear(WAITING | OWED | STALE);
        if stale {
            entry.set(ENDED);
            entry.clear(RESTORED);
            entry.seen = tick;
            self.ended += 1;
            if entry.number() == NumberKind::Body {
                self.bodies.remove(entry.bits);
                entry.set_number(NumberKind::None);
            }
        }
        match (owed, stale) {
            (true, _) => self.owed -= 1,
            (false, true) => self.counts.stale += 1,
            (false, false) if restored => self.counts.restored += 1,
            (false, false) => self.counts.republished += 1,
        }
        if stale {
            self.not_kept(id);
        }
        if !self.exemplars.is_empty() {
            self.exemplars.remove(&id);
        }
    }
}
