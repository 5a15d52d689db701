//! A table by script, and processes whose clocks a test moves.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use steadyline_aws::{AwsFailure, FailureKind};
use steadyline_component::leadership::Leadership;
use steadyline_component::{Board, Clock, Meter, Status, Term};

use crate::config::Timing;
use crate::elector::Elector;
use crate::office::Office;
use crate::report::{Instruments, Report};
use crate::row::{LeaseTable, Row, Written};

/// 2023-11-14.
pub(super) const START: u64 = 1_700_000_000_000_000_000;

pub(super) const TIMING: Timing = Timing {
    lease: Duration::from_secs(20),
    hold: Duration::from_secs(16),
    renew: Duration::from_secs(5),
    attempt: Duration::from_secs(3),
};

/// What becomes of one question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// It is answered.
    Answer,
    /// It fails and changes nothing.
    Fail,
    /// It takes effect, and fails.
    LoseAnswer,
    /// It never ends and changes nothing.
    Hang,
}

/// The table: one row, and what becomes of the next questions; then all are answered.
#[derive(Default)]
pub(super) struct Shelf {
    pub(super) row: Mutex<Option<Row>>,
    pub(super) script: Mutex<VecDeque<Act>>,
    /// The asking process is paused so long while it waits for its next answer.
    pub(super) pause: Mutex<Option<(Clock, Duration)>>,
}

impl Shelf {
    pub(super) fn row(&self) -> Row {
        self.row.lock().unwrap().clone().unwrap()
    }

    pub(super) fn script(&self, acts: impl IntoIterator<Item = Act>) {
        *self.script.lock().unwrap() = acts.into_iter().collect();
    }

    async fn ask<T>(&self, effect: impl FnOnce(&mut Option<Row>) -> T) -> Result<T, AwsFailure> {
        let act = self.script.lock().unwrap().pop_front().unwrap_or(Act::Answer);
        if let Some((clock, span)) = self.pause.lock().unwrap().take() {
            clock.advance(span);
        }
        let failed = || AwsFailure::new(FailureKind::Connection, "connection refused");
        match act {
            Act::Answer => Ok(effect(&mut self.row.lock().unwrap())),
            Act::Fail => Err(failed()),
            Act::LoseAnswer => {
                effect(&mut self.row.lock().unwrap());
                Err(failed())
            }
            Act::Hang => std::future::pending().await,
        }
    }
}

#[async_trait]
impl LeaseTable for Shelf {
    async fn read(&self) -> Result<Option<Row>, AwsFailure> {
        self.ask(|row| row.clone()).await
    }

    async fn write(&self, expected: Option<u64>, new: &Row) -> Result<Written, AwsFailure> {
        let write = |row: &mut Option<Row>| {
            if row.as_ref().map(|row| row.counter) != expected {
                return Written::Refused;
            }
            *row = Some(new.clone());
            Written::Yes
        };
        self.ask(write).await
    }
}

/// One process.
pub(super) struct Process {
    pub(super) clock: Clock,
    pub(super) elector: Elector,
    pub(super) office: Arc<Office>,
    board: Board,
    meter: Meter,
}

impl Process {
    /// One whose wall clock is off by so many seconds.
    pub(super) fn new(name: &str, shelf: &Arc<Shelf>, off: i64) -> Process {
        let clock = Clock::manual(START.saturating_add_signed(off * 1_000_000_000));
        let (board, meter) = (Board::new(clock.clone()), Meter::default());
        let office = Office::new(&clock);
        let status = board.component("extension:leader");
        let report = Report::new("leader".into(), "onboarding".into(), &clock, status, Instruments::new(&meter));
        let table = Arc::clone(shelf) as Arc<dyn LeaseTable>;
        let elector = Elector::new(name.into(), TIMING, &clock, table, Arc::clone(&office), report);
        Process { clock, elector, office, board, meter }
    }

    pub(super) async fn step(&mut self) -> Duration {
        self.elector.step().await
    }

    /// Steps whenever it wants to until so much of its time has passed.
    pub(super) async fn run(&mut self, span: Duration) {
        let end = self.clock.now().mono + span;
        while self.clock.now().mono < end {
            let pause = self.step().await;
            let left = end.saturating_sub(self.clock.now().mono);
            self.clock.advance(pause.min(left));
        }
    }

    pub(super) fn term(&self) -> Option<Term> {
        self.office.term()
    }

    pub(super) fn leads(&self) -> bool {
        self.term().is_some()
    }

    pub(super) fn status(&self) -> Status {
        self.board.read()["extension:leader"].status.clone()
    }

    pub(super) fn measured(&self, name: &str) -> f64 {
        self.meter.read().iter().find(|instrument| instrument.name == name).unwrap().value()
    }
}

/// Both clocks go on.
pub(super) fn pass(processes: &[&Process], span: Duration) {
    processes.iter().for_each(|process| process.clock.advance(span));
}

pub(super) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Seconds since START.
pub(super) fn since(nanos: u64) -> f64 {
    (nanos as i64 - START as i64) as f64 / 1e9
}
