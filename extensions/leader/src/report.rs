//! What is told of a lease: each change of leadership once, trouble with the table now and then, and numbers.

use std::sync::Arc;
use std::time::Duration;

use steadyline_component::{Clock, ComponentStatus, Instrument, Meter, Status};

/// How often trouble that lasts is logged.
const REMIND: Duration = Duration::from_secs(60);

/// How many seconds clocks are apart when it is told.
const APART: f64 = 30.0;

/// The instruments of a lease.
#[derive(Debug, Clone)]
pub(crate) struct Instruments {
    leads: Arc<Instrument>,
    terms: Arc<Instrument>,
    failures: Arc<Instrument>,
    ahead: Arc<Instrument>,
}

impl Instruments {
    /// Those of this meter.
    pub(crate) fn new(meter: &Meter) -> Instruments {
        Instruments {
            leads: meter.gauge("leader", "Whether this process leads: 1 or 0.", &[]),
            terms: meter.counter("leader_terms", "Terms that this process began.", &[]),
            failures: meter.counter("leader_table_failures", "Questions to the lease's table that failed.", &[]),
            ahead: meter.gauge(
                "leader_time_ahead_seconds",
                "How far the time of this process's samples is ahead of its wall clock while it leads.",
                &[],
            ),
        }
    }
}

/// Tells of one lease.
#[derive(Debug)]
pub(crate) struct Report {
    component: String,
    lease: String,
    clock: Clock,
    status: ComponentStatus,
    instruments: Instruments,
    /// Since when the table has failed, and when that was logged last.
    trouble: Option<(Duration, Duration)>,
    /// Whom this process was last seen to follow, and in which term.
    follows: Option<(Option<String>, u64)>,
}

impl Report {
    /// A report for the component of this id.
    pub(crate) fn new(
        component: String,
        lease: String,
        clock: &Clock,
        status: ComponentStatus,
        instruments: Instruments,
    ) -> Report {
        status.set(Status::Ok);
        instruments.leads.set(0.0);
        Report { component, lease, clock: clock.clone(), status, instruments, trouble: None, follows: None }
    }

    /// A term of this process begins; `why` it could, and how many seconds the lines are `ahead` of the wall clock.
    pub(crate) fn began(&mut self, term: u64, holder: &str, why: &str, ahead: f64) {
        self.instruments.leads.set(1.0);
        self.instruments.terms.add(1.0);
        self.follows = None;
        self.renewed(ahead);
        tracing::info!(component = %self.component, lease = %self.lease, term, holder, "this process leads: {why}");
        if ahead.abs() >= APART {
            tracing::warn!(component = %self.component, lease = %self.lease, term,
                "the leader before stamped its samples {:.0} s {} the wall clock of this machine: one of the two clocks is wrong; \
                 the lines go on from there and approach this clock by 6 s a minute",
                ahead.abs(), if ahead > 0.0 { "ahead of" } else { "behind" });
        }
    }

    /// A renewal took effect.
    pub(crate) fn renewed(&mut self, ahead: f64) {
        self.instruments.ahead.set(ahead);
        self.answered();
    }

    /// A term of this process is over, and why.
    pub(crate) fn ended(&mut self, term: u64, why: &str) {
        self.instruments.leads.set(0.0);
        tracing::warn!(component = %self.component, lease = %self.lease, term, "this process leads no longer: {why}");
    }

    /// The lease was given back.
    pub(crate) fn released(&mut self, term: u64) {
        self.instruments.leads.set(0.0);
        tracing::info!(component = %self.component, lease = %self.lease, term, "the lease is released");
    }

    /// Another process leads, or nobody.
    pub(crate) fn follows(&mut self, holder: Option<&str>, term: u64) {
        let seen = (holder.map(str::to_owned), term);
        if self.follows.as_ref() == Some(&seen) {
            return;
        }
        self.follows = Some(seen);
        if let Some(holder) = holder {
            tracing::info!(component = %self.component, lease = %self.lease, term, holder,
                "another process leads; this one stands by");
        }
    }

    /// The table answered.
    pub(crate) fn answered(&mut self) {
        self.status.set(Status::Ok);
        if let Some((since, _)) = self.trouble.take() {
            let lasted = self.clock.now().mono.saturating_sub(since);
            tracing::info!(component = %self.component, lease = %self.lease, "the lease's table answers again, after {lasted:.1?}");
        }
    }

    /// The table did not answer as it should; `meanwhile` is what that means.
    pub(crate) fn trouble(&mut self, failure: &str, meanwhile: &str) {
        self.instruments.failures.add(1.0);
        let now = self.clock.now().mono;
        let (since, logged) = self.trouble.unwrap_or((now, now));
        let is_due = self.trouble.is_none() || now.saturating_sub(logged) >= REMIND;
        self.trouble = Some((since, if is_due { now } else { logged }));
        let text = format!("lease `{}`: {failure}; {meanwhile}", self.lease);
        if is_due {
            tracing::warn!(component = %self.component, lease = %self.lease, "{text}");
        }
        self.status.set(Status::Degraded(text));
    }
}
