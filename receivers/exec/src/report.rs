//! What is counted and told of a program's failures.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use steadyline_component::{Clock, CreateContext, Instrument, PollError};

use crate::format::Rejected;

/// Why a run or a session came to nothing; the values of the counter's label.
pub(crate) const NOT_STARTED: &str = "not_started";
pub(crate) const TIMEOUT: &str = "timeout";
pub(crate) const EXIT_CODE: &str = "exit_code";
pub(crate) const TOO_LARGE: &str = "too_large";
pub(crate) const GARBAGE: &str = "garbage";
pub(crate) const IO: &str = "io";

/// The books of one receiver's program.
#[derive(Debug)]
pub(crate) struct Report {
    component: String,
    clock: Clock,
    failures: BTreeMap<&'static str, Arc<Instrument>>,
    rejected: Arc<Instrument>,
    restarts: Arc<Instrument>,
    told: Option<Duration>,
    untold: u64,
}

/// Lines of a program that do not read are told at most so often.
const GAP: Duration = Duration::from_secs(30);

impl Report {
    pub(crate) fn new(context: &CreateContext<'_>) -> Report {
        let failure = |reason| {
            let help = "Runs of the program (documents of one that keeps running) that came to nothing.";
            (reason, context.meter.counter("exec_failures", help, &[("reason", reason)]))
        };
        Report {
            component: context.id.to_string(),
            clock: context.clock.clone(),
            failures: [NOT_STARTED, TIMEOUT, EXIT_CODE, TOO_LARGE, GARBAGE, IO].map(failure).into(),
            rejected: context.meter.counter("exec_lines_rejected", "Lines of the program that do not read.", &[]),
            restarts: context.meter.counter("exec_restarts", "How often the program was started again.", &[]),
            told: None,
            untold: 0,
        }
    }

    /// Counts a failure.
    pub(crate) fn failed(&self, error: PollError) -> PollError {
        if let Some(counter) = self.failures.get(error.reason) {
            counter.add(1.0);
        }
        error
    }

    /// Counts a restart.
    pub(crate) fn restarted(&self) {
        self.restarts.add(1.0);
    }

    /// Counts lines that do not read, and tells of the first of them.
    pub(crate) fn rejected(&mut self, lines: &[Rejected]) {
        let Some(first) = lines.first() else { return };
        self.rejected.add(lines.iter().map(|rejected| rejected.lines).sum::<u64>() as f64);
        let now = self.clock.now().mono;
        self.untold += lines.len() as u64;
        if self.told.is_some_and(|told| now.saturating_sub(told) < GAP) {
            return;
        }
        self.told = Some(now);
        let more = std::mem::take(&mut self.untold) - 1;
        tracing::warn!(component = %self.component, more, "the program printed what does not read: {first}");
    }
}
