//! The timer's work: silent series are sent again, unconfirmed ones end, ended ones are forgotten.
//! One pass over the table looks at every series; it pauses for the pipeline whenever a chunk is full.

use std::time::Duration;

use steadyline_component::Work;

use crate::clock::{NANOS_PER_MS, Ticks, moment, ticks};
use crate::flush::CHUNK;
use crate::processor::LastValue;
use crate::series::{ENDED, RESTORED, TRANSIENT};
use crate::source::Standing;

/// How long an ended series is remembered, so that a late point does not bring it back: a minute.
pub(crate) const GRACE: Ticks = 600;
/// How many series one step looks at, at most.
const STEP: usize = 1 << 17;
/// A timestamp that is further ahead of the wall clock than this tells that the clock was stepped back.
const STEPPED_MS: u64 = 1000;
/// How long a step leaves the pipeline to others.
const PAUSE: Duration = Duration::from_millis(1);

/// Where the pass over the table is, and when it goes on.
#[derive(Debug, Default)]
pub(crate) struct Sweep {
    /// When to take the next step; nothing to do if there is no series.
    pub at: Option<Duration>,
    cursor: usize,
    /// When the earliest of the series seen in this pass needs something.
    next: Option<Ticks>,
    /// Whether series that were passed already may need something since.
    again: bool,
    /// Whether the queue holds nothing but what this step put there: ids below the cursor.
    owns_queue: bool,
}

/// What a series needs.
enum Verdict {
    /// Nothing before this tick.
    Wait(Ticks),
    /// To be sent again; nothing else before the tick at which its hold ends.
    Send {
        /// The end of the hold.
        until: Ticks,
    },
    /// To end with a marker.
    End,
    /// To be forgotten.
    Forget,
}

impl Sweep {
    /// Starts a pass over the table now, or another one after that which is under way.
    pub(crate) fn restart(&mut self, now: Ticks) {
        self.again = self.cursor > 0;
        self.at = Some(self.at.map_or(moment(now), |at| at.min(moment(now))));
    }

    /// Makes sure that a pass comes before any series can need one: all that happened since the last pass is younger
    /// than the shortest span of any source.
    pub(crate) fn schedule(&mut self, shortest: Option<Ticks>, series: usize, now: Ticks) {
        if let (Some(shortest), true) = (shortest, series > 0) {
            let at = moment(now.saturating_add(shortest));
            self.at = Some(self.at.map_or(at, |old| old.min(at)));
        }
    }

    fn need(&mut self, at: Ticks) {
        self.next = Some(self.next.map_or(at, |next| next.min(at)));
    }
}

impl LastValue {
    /// Looks at a share of the table.
    pub(crate) fn sweep_step(&mut self, work: &mut Work<'_>) {
        let now = ticks(work.now.mono);
        self.sweep.owns_queue = self.queue.is_empty();
        let mut looked = 0;
        while self.sweep.cursor < self.store.len() && looked < STEP && self.queue.len() < CHUNK {
            self.look_at(self.sweep.cursor as u32, now, work);
            looked += 1;
        }
        if self.sweep.owns_queue {
            self.flush(work);
        }
        if self.sweep.cursor < self.store.len() {
            self.sweep.at = Some(work.now.mono + PAUSE);
            return;
        }
        self.sweep.cursor = 0;
        let next = self.sweep.next.take();
        let again = std::mem::take(&mut self.sweep.again);
        self.sweep.at = match next {
            _ if again => Some(work.now.mono + PAUSE),
            Some(next) => Some(moment(next.max(now + 1))),
            None => None,
        };
        self.sweep.schedule(self.sources.shortest(), self.store.len(), now);
    }

    /// Decides about one series and moves the cursor on, unless another one took its place.
    fn look_at(&mut self, id: u32, now: Ticks, work: &mut Work<'_>) {
        let entry = *self.store.get(id);
        let silent = entry.ticks_since_sent(now);
        let source = self.sources.get(entry.source);
        let (silence, pushed) = (source.silence, source.header.pass.is_none());
        let restored = entry.is(RESTORED);
        let silenced = restored && source.awaits_term();
        let verdict = if entry.is(ENDED) {
            match entry.seen.saturating_add(GRACE) {
                until if until <= now => Verdict::Forget,
                until => Verdict::Wait(until),
            }
        } else {
            match source.standing(entry.seen, restored, now, self.config.missing_polls) {
                Standing::Ceded => Verdict::Forget,
                // Another instance may lead: until this one does, it says nothing.
                Standing::Gone if silenced => Verdict::Forget,
                Standing::Alive { until } if silenced => Verdict::Wait(until),
                // Increments of a sender that pauses are no line that could end.
                Standing::Gone if entry.is(TRANSIENT) && pushed => Verdict::Forget,
                Standing::Gone => Verdict::End,
                Standing::Alive { until } if entry.is(TRANSIENT) || entry.sent_ms() == 0 => Verdict::Wait(until),
                Standing::Alive { until } if silent >= silence => Verdict::Send { until },
                Standing::Alive { until } => Verdict::Wait(until.min(now + (silence - silent))),
            }
        };
        self.carry_out(verdict, id, now, work);
    }

    fn carry_out(&mut self, verdict: Verdict, id: u32, now: Ticks, work: &mut Work<'_>) {
        // Ids change when a series is forgotten, and points that came in are newer than what would be repeated.
        if !self.sweep.owns_queue && !matches!(verdict, Verdict::Wait(_)) {
            self.sweep.owns_queue = true;
            return self.flush(work);
        }
        match verdict {
            Verdict::Wait(until) => self.sweep.need(until),
            Verdict::Forget => return self.forget(id, work.now.unix_nanos),
            Verdict::End => {
                self.end(id, now);
                self.sweep.need(now + GRACE);
            }
            Verdict::Send { until } => {
                self.enqueue(id);
                self.sweep.need(until);
            }
        }
        self.sweep.cursor += 1;
    }

    /// Forgets a series and all that only it used. The queue must hold no id that this could change: see
    /// [`crate::series::Store::remove`]; a step of the sweep that owns the queue has only ids below the cursor in it,
    /// which keep their entries.
    pub(crate) fn forget(&mut self, id: u32, wall: u64) {
        let sent_ms = self.store.get(id).sent_ms();
        if sent_ms > wall / NANOS_PER_MS + STEPPED_MS {
            // The wall clock stepped back: should the series return, its timestamps rise all the same.
            self.floor.ms = self.floor.ms.max(sent_ms);
        }
        if !self.store.get(id).is(ENDED) {
            self.not_kept(id);
        }
        let record = self.store.record(id);
        let (family, keys) = (record.family, record.keys);
        let entry = self.store.remove(id);
        self.families.release(family);
        self.keys.release(keys);
        if entry.is(ENDED) {
            self.ended -= 1;
        }
        if entry.number() == steadyline_telemetry::NumberKind::Body {
            self.bodies.remove(entry.bits);
        }
    }

    /// Forgets every ended series at once, to make room; at most once a tick.
    pub(crate) fn purge(&mut self, work: &mut Work<'_>) {
        let now = ticks(work.now.mono);
        if self.ended == 0 || self.last_purge == Some(now) {
            return;
        }
        self.last_purge = Some(now);
        self.flush(work);
        // From the end, so that the entry which takes a gap was looked at already.
        for id in (0..self.store.len() as u32).rev() {
            if self.store.get(id).is(ENDED) {
                self.forget(id, work.now.unix_nanos);
            }
        }
        self.sweep.again |= self.sweep.cursor > 0;
    }
}
