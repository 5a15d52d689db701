//! The protocol, step by step: stand by, take, renew, step down, release. The crate's own page says why it is right.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use steadyline_aws::{AwsFailure, FailureKind};
use steadyline_component::leadership::TermState;
use steadyline_component::{Clock, Now};

use crate::config::Timing;
use crate::line::Line;
use crate::office::Office;
use crate::report::Report;
use crate::row::{LeaseTable, Row, Written};
use crate::term::{MILLI, Tenure};

/// Competes for one lease.
pub(crate) struct Elector {
    /// Who we are in the row; random per start.
    me: String,
    timing: Timing,
    clock: Clock,
    table: Arc<dyn LeaseTable>,
    office: Arc<Office>,
    report: Report,
    dice: Dice,
    seen: Option<Seen>,
    held: Option<Held>,
    /// The last term of this process; its line goes on if nobody led since.
    last: Option<Arc<Tenure>>,
}

/// What standing by has shown.
#[derive(Debug)]
struct Seen {
    row: Option<Row>,
    /// When its counter was first seen, on the monotonic clock.
    since: Duration,
    /// When the table last answered.
    looked: Duration,
    /// Whether it was written while we looked, so that `since` is close to when it was.
    is_live: bool,
}

/// What leading rests on.
#[derive(Debug)]
struct Held {
    tenure: Arc<Tenure>,
    row: Row,
    /// When the first of the renewals was sent that have no answer yet: one of them may have taken effect.
    asked: Option<Duration>,
}

impl Elector {
    /// One that has seen nothing yet.
    pub(crate) fn new(
        me: String,
        timing: Timing,
        clock: &Clock,
        table: Arc<dyn LeaseTable>,
        office: Arc<Office>,
        report: Report,
    ) -> Elector {
        let dice = Dice(RandomState::new(), 0);
        Elector { me, timing, clock: clock.clone(), table, office, report, dice, seen: None, held: None, last: None }
    }

    /// One look or one renewal, with what follows from it. Returns how long to wait for the next step. May be dropped at
    /// any await: what was asked without an answer is looked for later.
    pub(crate) async fn step(&mut self) -> Duration {
        let Some(held) = &self.held else { return self.stand_by().await };
        if held.tenure.holds() {
            return self.renew().await;
        }
        let why = format!("no renewal succeeded within {:?}; another process may lead from now on", self.timing.hold);
        self.step_down(&why);
        Duration::ZERO
    }

    async fn stand_by(&mut self) -> Duration {
        let row = match self.within(self.timing.attempt, self.table.read()).await {
            Ok(row) => row,
            Err(failure) => {
                self.report
                    .trouble(&failure.text, "this process stands by and cannot take over until the table answers");
                return self.renew_pause();
            }
        };
        let now = self.clock.now();
        self.report.answered();
        self.note(row, now);
        match self.vacancy(now) {
            Ok(why) => self.take(now, &why).await,
            Err(wait) => wait.min(self.renew_pause()),
        }
    }

    /// Keeps what a look showed at its answer: the row may have been written until then.
    fn note(&mut self, row: Option<Row>, now: Now) {
        let counter = |row: &Option<Row>| row.as_ref().map(|row| row.counter);
        let (since, is_live) = match &self.seen {
            Some(seen) if counter(&seen.row) == counter(&row) => (seen.since, seen.is_live),
            Some(seen) => (now.mono, now.mono.saturating_sub(seen.looked) <= self.timing.lease),
            None => (now.mono, false),
        };
        if let Some(row) = &row {
            self.report.follows(row.holder.as_deref().filter(|holder| *holder != self.me), row.fence);
        }
        self.seen = Some(Seen { row, since, looked: now.mono, is_live });
    }

    /// Why the lease can be taken, or how long it takes at least until it can.
    fn vacancy(&self, now: Now) -> Result<String, Duration> {
        let Some(seen) = &self.seen else { return Err(self.timing.renew) };
        let Some(holder) = seen.row.as_ref().and_then(|row| row.holder.as_deref()) else {
            return Ok("nobody held the lease".into());
        };
        if holder == self.me {
            return Ok("the lease was still its own".into());
        }
        let silent = now.mono.saturating_sub(seen.since);
        if silent >= self.timing.lease {
            return Ok(format!("`{holder}` gave no sign of life for {silent:.1?}"));
        }
        Err(self.timing.lease - silent)
    }

    /// Tries to take the lease on the strength of the row that was just read.
    async fn take(&mut self, now: Now, why: &str) -> Duration {
        let Some(seen) = &self.seen else { return self.timing.renew };
        let old = seen.row.clone().unwrap_or_default();
        let floor = old.reserved_until.saturating_mul(MILLI);
        let line = Line::begin(now, floor, self.line_of(&old, seen, now), self.timing.lease);
        let row = Row { holder: Some(self.me.clone()), fence: old.fence + 1, ..self.next(&old, line) };
        let expected = seen.row.as_ref().map(|row| row.counter);
        match self.within(self.timing.attempt, self.table.write(expected, &row)).await {
            Ok(Written::Yes) => {}
            // Somebody was faster; the next look says who.
            Ok(Written::Refused) => return self.short_pause(),
            Err(failure) => {
                let read = self.within(self.timing.attempt, self.table.read()).await;
                if read.as_ref().ok().and_then(Option::as_ref) != Some(&row) {
                    self.report.trouble(&failure.text, "this process stands by and tries again to take the lease");
                    return self.short_pause();
                }
            }
        }
        let tenure = Arc::new(Tenure::new(&self.clock, &row, floor, line, now.mono + self.timing.hold));
        self.report.began(row.fence, &self.me, why, tenure.ahead());
        self.last = Some(Arc::clone(&tenure));
        self.office.publish(Some(Arc::clone(&tenure)));
        self.held = Some(Held { tenure, row, asked: None });
        self.renew_pause()
    }

    /// What the leader before would stamp a sample with now, if that is known.
    fn line_of(&self, old: &Row, seen: &Seen, now: Now) -> Option<u64> {
        if old.holder.as_ref() == Some(&self.me) {
            return self.last.as_ref().map(|last| last.line_time());
        }
        let since = now.mono.saturating_sub(seen.since).as_nanos() as u64;
        let is_known = seen.is_live && old.line_time > 0;
        is_known.then(|| old.line_time.saturating_mul(MILLI).saturating_add(since))
    }

    /// One renewal. What it grants counts from when the first was sent that could have granted it.
    async fn renew(&mut self) -> Duration {
        let now = self.clock.now().mono;
        let Some(held) = &mut self.held else { return Duration::ZERO };
        let asked = *held.asked.get_or_insert(now);
        let (old, deadline) = (held.row.clone(), held.tenure.deadline());
        let row = Row { holder: Some(self.me.clone()), ..self.renewal(&old) };
        let limit = self.timing.attempt.min(deadline.saturating_sub(now));
        let answer = match self.within(limit, self.table.write(Some(old.counter), &row)).await {
            // It replaced the old row, so none of those before it did.
            Ok(Written::Yes) => return self.renewed(row, now),
            Ok(Written::Refused) => self.within(limit, self.table.read()).await,
            Err(failure) => Err(failure),
        };
        match answer {
            // A renewal of our own whose answer was lost.
            Ok(Some(row)) if row.holder.as_ref() == Some(&self.me) && row.counter == old.counter + 1 => {
                self.renewed(row, asked)
            }
            Ok(row) => {
                let why = match row.and_then(|row| row.holder) {
                    Some(holder) => format!("`{holder}` took the lease"),
                    None => "its row in the table was removed or released by somebody else".into(),
                };
                self.step_down(&why);
                self.renew_pause()
            }
            Err(failure) => {
                let left = deadline.saturating_sub(self.clock.now().mono);
                let meanwhile = format!("this process steps down in {left:.1?} unless a renewal succeeds");
                self.report.trouble(&failure.text, &meanwhile);
                self.short_pause().min(left)
            }
        }
    }

    fn renewed(&mut self, row: Row, asked: Duration) -> Duration {
        let Some(held) = &mut self.held else { return Duration::ZERO };
        let deadline = asked + self.timing.hold;
        if !held.tenure.renew(&row, deadline) {
            // The answer came too late: somebody may have been told already that the term is over.
            return Duration::ZERO;
        }
        held.row = row;
        held.asked = None;
        self.report.renewed(held.tenure.ahead());
        let left = deadline.saturating_sub(self.clock.now().mono);
        self.renew_pause().min(left / 3)
    }

    fn step_down(&mut self, why: &str) {
        let Some(held) = self.held.take() else { return };
        held.tenure.end();
        self.office.publish(None);
        self.report.ended(held.row.fence, why);
        // What was seen before this process led says nothing about now.
        self.seen = None;
    }

    /// Gives the lease back, if this process still leads: whoever stands by takes it at once.
    pub(crate) async fn release(&mut self) {
        let Some(held) = self.held.take() else { return };
        let (holds, line) = (held.tenure.holds(), held.tenure.line_time().div_ceil(MILLI));
        let reserved_until = (line + RELEASE_MARGIN).min(held.row.reserved_until);
        held.tenure.end_below(reserved_until * MILLI);
        self.office.publish(None);
        if !holds {
            return;
        }
        let mut counter = held.row.counter;
        // Twice, for a renewal whose answer was not waited for.
        for _ in 0..2 {
            let fence = held.row.fence;
            let row = Row { holder: None, counter: counter + 1, fence, line_time: line, reserved_until };
            match self.within(self.timing.attempt, self.table.write(Some(counter), &row)).await {
                Ok(Written::Yes) => return self.report.released(fence),
                Ok(Written::Refused) => {}
                Err(failure) => {
                    return self.report.ended(fence, &format!("it stops; the lease is not released: {failure}"));
                }
            }
            let row = self.within(self.timing.attempt, self.table.read()).await;
            match row.ok().flatten().filter(|row| row.holder.as_ref() == Some(&self.me)) {
                Some(row) => counter = row.counter,
                None => return self.report.ended(fence, "it stops; another process leads"),
            }
        }
    }

    /// The row that renews this one.
    fn renewal(&self, old: &Row) -> Row {
        let Some(held) = &self.held else { return old.clone() };
        let line_time = held.tenure.line_time() / MILLI;
        let reserved_until = (line_time + self.reach()).max(old.reserved_until);
        Row { holder: None, counter: old.counter + 1, fence: old.fence, line_time, reserved_until }
    }

    /// The row after this one, for a line that begins now.
    fn next(&self, old: &Row, mut line: Line) -> Row {
        let line_time = line.advance(self.clock.now()).div_ceil(MILLI);
        let reserved_until = (line_time + self.reach()).max(old.reserved_until);
        Row { holder: None, counter: old.counter + 1, fence: old.fence, line_time, reserved_until }
    }

    /// How far ahead timestamps are reserved, in milliseconds: further than the line can get before the term ends, even
    /// where it runs fast.
    fn reach(&self) -> u64 {
        self.timing.lease.as_millis() as u64
    }

    /// The answer, or that there was none in time.
    async fn within<T>(
        &self,
        limit: Duration,
        answer: impl Future<Output = Result<T, AwsFailure>>,
    ) -> Result<T, AwsFailure> {
        let late = || AwsFailure::new(FailureKind::Timeout, format!("the table did not answer within {limit:.1?}"));
        self.clock.timeout(limit, answer).await.unwrap_or_else(|| Err(late()))
    }

    /// Until the next renewal or look: a fifth less or not, so that many processes do not ask at the same moment.
    fn renew_pause(&mut self) -> Duration {
        self.dice.jitter(self.timing.renew)
    }

    /// Until the next try after a failure.
    fn short_pause(&mut self) -> Duration {
        self.dice.jitter(self.timing.renew / 4)
    }
}

/// How far beyond the line's time a released lease keeps timestamps reserved, in milliseconds: a series that was sent
/// twice within a millisecond is ahead of it.
const RELEASE_MARGIN: u64 = 1000;

/// Random numbers that need not be good.
struct Dice(RandomState, u64);

impl Dice {
    /// Four fifths of a span, up to all of it.
    fn jitter(&mut self, span: Duration) -> Duration {
        self.1 += 1;
        let random = self.0.hash_one(self.1) as f64 / u64::MAX as f64;
        span.mul_f64(0.8 + 0.2 * random)
    }
}
