//! One term of this process: until when it leads, and which timestamps are its own.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use steadyline_component::Clock;
use steadyline_component::leadership::TermState;

use crate::line::Line;
use crate::row::Row;

/// Nanoseconds in a millisecond.
pub(crate) const MILLI: u64 = 1_000_000;

/// A term.
#[derive(Debug)]
pub(crate) struct Tenure {
    clock: Clock,
    number: u64,
    floor: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// It holds before this moment of the monotonic clock.
    deadline: Duration,
    ceiling: u64,
    line: Line,
    /// Over is over, whatever comes later.
    ended: bool,
}

impl Tenure {
    /// A term that `row` grants, with the floor that the row before had reserved.
    pub(crate) fn new(clock: &Clock, row: &Row, floor: u64, line: Line, deadline: Duration) -> Tenure {
        let state = State { deadline, ceiling: row.reserved_until.saturating_mul(MILLI), line, ended: false };
        Tenure { clock: clock.clone(), number: row.fence, floor, state: Mutex::new(state) }
    }

    /// Moves deadline and ceiling on; `false` if it was over before.
    pub(crate) fn renew(&self, row: &Row, deadline: Duration) -> bool {
        let mut state = self.state();
        if state.ended {
            return false;
        }
        state.deadline = state.deadline.max(deadline);
        state.ceiling = state.ceiling.max(row.reserved_until.saturating_mul(MILLI));
        true
    }

    /// Ends it.
    pub(crate) fn end(&self) {
        self.state().ended = true;
    }

    /// Ends it where nothing above `ceiling` was sent.
    pub(crate) fn end_below(&self, ceiling: u64) {
        let mut state = self.state();
        state.ended = true;
        state.ceiling = ceiling;
    }

    /// When it ends unless it is renewed, on the monotonic clock.
    pub(crate) fn deadline(&self) -> Duration {
        self.state().deadline
    }

    /// What a sample of now is stamped with, were everything reserved.
    pub(crate) fn line_time(&self) -> u64 {
        let now = self.clock.now();
        self.state().line.advance(now)
    }

    /// How many seconds its time is ahead of the wall clock.
    pub(crate) fn ahead(&self) -> f64 {
        self.state().line.ahead()
    }

    /// The state, with an end by the clock noted in it.
    fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.ended |= self.clock.now().mono >= state.deadline;
        state
    }
}

impl TermState for Tenure {
    fn number(&self) -> u64 {
        self.number
    }

    fn holds(&self) -> bool {
        !self.state().ended
    }

    fn floor(&self) -> u64 {
        self.floor
    }

    fn ceiling(&self) -> u64 {
        self.state().ceiling
    }

    fn time(&self) -> u64 {
        self.line_time()
    }
}
