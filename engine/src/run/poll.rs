//! Polling: ticks aligned to the wall clock, one pass at a time, each bounded in time, each ended with a verdict.
//! Under a lease: only while this process leads, from a pass at once when a term begins; when it ends, that is said.

mod metrics;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::SpanKind;
use steadyline_component::leadership::{Admission, Leadership};
use steadyline_component::{
    Clock, ComponentStatus, Header, Meter, Now, Outputs, Pass, PassEnd, PollError, PollOutput, Polling, Shutdown,
    Status, Term, Tick,
};

use self::metrics::PollMetrics;
use super::progress::Progress;
use crate::gate::LogGate;
use crate::telemetry::Traces;

/// A poller on its cadence.
pub struct PollTask {
    name: String,
    polling: Polling,
    source: Arc<str>,
    outputs: Outputs,
    clock: Clock,
    status: ComponentStatus,
    metrics: PollMetrics,
    gate: LogGate,
    epoch: u64,
    last_tick: u64,
    /// Where another poller of the source goes on.
    progress: Arc<Progress>,
    /// The term at hand, if there is a lease.
    term: Option<Term>,
    /// How the last pass ended.
    last_end: Option<PassEnd>,
    /// When the pass at hand began, on the monotonic clock.
    began: Duration,
    last_complete: Option<u64>,
    traces: Traces,
}

impl PollTask {
    /// A poller that sends to `outputs` under the id `source`.
    pub fn new(
        source: &str,
        polling: Polling,
        outputs: Outputs,
        clock: Clock,
        status: ComponentStatus,
        meter: &Meter,
    ) -> PollTask {
        PollTask {
            name: format!("receiver:{source}"),
            polling,
            source: Arc::from(source),
            outputs,
            clock,
            status,
            metrics: PollMetrics::new(meter),
            gate: LogGate::new(Duration::from_secs(30)),
            epoch: 0,
            last_tick: 0,
            progress: Arc::default(),
            term: None,
            last_end: None,
            began: Duration::ZERO,
            last_complete: None,
            traces: Traces::default(),
        }
    }

    /// Goes on where another poller of the source stopped.
    pub fn resuming(self, progress: Arc<Progress>) -> PollTask {
        let (epoch, last_tick) = progress.last();
        PollTask { epoch, last_tick, progress, ..self }
    }

    /// With a span for each pass.
    pub fn traced(self, traces: Traces) -> PollTask {
        PollTask { traces, ..self }
    }

    /// Polls until `stop` fires; a pass that is under way then is broken off and ends as partial. If the receiver is
    /// not configured any more, its series end.
    pub async fn run(mut self, stop: Shutdown) {
        let first = self.clock.now().mono + self.polling.schedule.initial_delay;
        match self.polling.leadership.clone() {
            Some(lease) => self.follow(&*lease, first, &stop).await,
            None => self.cadence(first, &stop).await,
        }
        if stop.is_removal() && self.may_say() {
            self.say(PassEnd::Removed).await;
        }
    }

    /// Polls in the terms of a lease and waits between them.
    async fn follow(&mut self, lease: &dyn Leadership, first: Duration, stop: &Shutdown) {
        self.term = lease.term();
        loop {
            if self.term.is_some() {
                self.cadence(first.max(self.clock.now().mono), stop).await;
                if stop.fired() {
                    return;
                }
                if self.epoch > 0 && self.last_end != Some(PassEnd::SteppedDown) {
                    self.say(PassEnd::SteppedDown).await;
                }
            }
            self.status.set(Status::Ok);
            let next = tokio::select! {
                () = stop.wait() => return,
                next = lease.changed(self.term.as_ref()) => next,
            };
            self.term = next;
        }
    }

    /// Passes on their cadence, the first when it is `due`, until `stop` fires or the term at hand is over.
    async fn cadence(&mut self, mut due: Duration, stop: &Shutdown) {
        loop {
            tokio::select! {
                biased;
                () = stop.wait() => return,
                () = over(self.polling.leadership.clone(), self.term.clone()) => return,
                () = self.clock.sleep_until(due) => {}
            }
            let time = self.time();
            match self.term.as_ref().map_or(Admission::Now, |term| term.admits(time)) {
                Admission::Now => {
                    self.read(None, time, stop).await;
                    due = self.next_due();
                }
                // The wall clock stepped ahead; the next renewal reserves what it says now.
                Admission::Later => due = self.clock.now().mono + self.polling.schedule.interval.min(RESERVED_SOON),
                Admission::Never => return,
            }
        }
    }

    /// One pass, whatever comes of it.
    pub async fn pass(&mut self, stop: &Shutdown) -> PassEnd {
        self.read(None, self.time(), stop).await
    }

    /// One pass over a document in place of the source.
    pub async fn replay(&mut self, document: &[u8], stop: &Shutdown) -> PassEnd {
        self.read(Some(document), self.time(), stop).await
    }

    async fn read(&mut self, document: Option<&[u8]>, time: u64, stop: &Shutdown) -> PassEnd {
        let receiver = Arc::clone(&self.source);
        let span = self.traces.begin("poll", SpanKind::Client, || vec![KeyValue::new("receiver", receiver)]);
        let end = span.run(self.read_source(document, time, stop)).await;
        if end == PassEnd::Partial {
            span.fail("the pass was not complete");
        }
        end
    }

    async fn read_source(&mut self, document: Option<&[u8]>, time: u64, stop: &Shutdown) -> PassEnd {
        let began = self.clock.now();
        self.began = began.mono;
        let timeout = self.polling.schedule.pass_timeout();
        let tick = self.tick(began, time, timeout, stop);
        let output = self.pass_output();
        let over = over(self.polling.leadership.clone(), self.term.clone());
        let poller = &mut self.polling.poller;
        let poll = async {
            match document {
                Some(document) => poller.replay(document, &tick, &output).await,
                None => poller.poll(&tick, &output).await,
            }
        };
        let poll = self.clock.timeout(timeout, poll);
        let result = tokio::select! {
            result = poll => Some(result.unwrap_or_else(|| {
                Err(PollError::new("timeout", format!("the pass did not end within {timeout:?}")))
            })),
            () = stop.wait() => None,
            () = over => Some(Ok(PassEnd::SteppedDown)),
        };
        let end = match result {
            // A page that was not taken because the process stops is no failure of the source.
            Some(result) if !stop.fired() => self.verdict(result, tick.time),
            _ => PassEnd::Partial,
        };
        self.metrics.duration.set((self.clock.now().mono - began.mono).as_secs_f64());
        self.end(&output, end).await;
        end
    }

    async fn end(&mut self, output: &PollOutput, end: PassEnd) {
        self.last_end = Some(end);
        if let Err(error) = output.end(end).await {
            tracing::warn!(component = %self.name, "the end of the pass did not get through: {error}");
        }
    }

    /// Says between two passes what became of the source's series, as if the last pass had ended so.
    async fn say(&mut self, end: PassEnd) {
        let output = self.pass_output();
        self.end(&output, end).await;
    }

    /// Whether the series of the source are this process's to speak of.
    fn may_say(&self) -> bool {
        let leads = self.term.as_ref().is_some_and(|term| term.holds());
        self.epoch > 0 && (leads || self.polling.leadership.is_none())
    }

    /// What the next pass is stamped with. Remote write counts in milliseconds: two ticks must differ there too.
    fn time(&self) -> u64 {
        let now = self.term.as_ref().map_or_else(|| self.clock.now().unix_nanos, |term| term.time());
        now.max(self.last_tick + 1_000_000)
    }

    fn tick(&mut self, now: Now, time: u64, timeout: Duration, stop: &Shutdown) -> Tick {
        self.epoch += 1;
        self.last_tick = time;
        self.progress.reached(self.epoch, time);
        Tick {
            epoch: self.epoch,
            time,
            deadline: now.mono + timeout,
            last_complete: self.last_complete,
            shutdown: stop.clone(),
        }
    }

    /// The output of the pass that has the last tick.
    fn pass_output(&self) -> PollOutput {
        let schedule = &self.polling.schedule;
        let (interval, timeout) = (schedule.interval, schedule.pass_timeout());
        let pass = Pass { epoch: self.epoch, time: self.last_tick, interval, timeout, end: None };
        let header = Header {
            source: Arc::clone(&self.source),
            pass: Some(pass),
            identity: Arc::clone(&self.polling.identity),
            term: self.term.clone(),
            ..Header::default()
        };
        PollOutput::of(self.outputs.clone(), header)
    }

    fn verdict(&mut self, result: Result<PassEnd, PollError>, time: u64) -> PassEnd {
        // Whatever was read: who leads now says it, or says otherwise.
        let is_over = self.term.as_ref().is_some_and(|term| !term.holds());
        match result {
            _ if is_over => self.stepped_down(),
            Ok(PassEnd::Complete) => {
                self.last_complete = Some(time);
                self.metrics.complete.add(1.0);
                self.metrics.last_complete.set(time as f64 / 1e9);
                self.status.set(Status::Ok);
                self.gate.reset();
                PassEnd::Complete
            }
            Ok(PassEnd::SteppedDown) => self.stepped_down(),
            Ok(end) => {
                self.metrics.partial.add(1.0);
                self.status.set(Status::Degraded("the last pass was not complete".into()));
                end
            }
            Err(error) => {
                self.metrics.failed.add(1.0);
                if let Some(more) = self.gate.pass() {
                    tracing::warn!(component = %self.name, reason = error.reason, suppressed = more,
                        "a poll failed; the last values are kept and the next poll is in {:?}: {error}",
                        self.polling.schedule.interval);
                }
                self.status.set(Status::Degraded(error.to_string()));
                PassEnd::Partial
            }
        }
    }

    fn stepped_down(&self) -> PassEnd {
        self.metrics.stepped_down.add(1.0);
        self.status.set(Status::Ok);
        PassEnd::SteppedDown
    }

    /// The next multiple of the interval on the wall clock, plus an offset of this receiver's own, so that many
    /// receivers do not ask at the same moment. Ticks that a long pass ran over are skipped and counted.
    fn next_due(&self) -> Duration {
        let interval = self.polling.schedule.interval.as_nanos().max(1_000_000) as u64;
        let now = self.clock.now();
        let offset = self.offset(interval);
        let current = now.unix_nanos.saturating_sub(offset) / interval;
        // By the monotonic clock: a step of the wall clock is no overrun.
        let took = now.mono.saturating_sub(self.began).as_nanos() as u64;
        self.metrics.overruns.add((took / interval) as f64);
        let next = (current + 1) * interval + offset;
        now.mono + Duration::from_nanos(next.saturating_sub(now.unix_nanos).min(2 * interval))
    }

    fn offset(&self, interval: u64) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.source.hash(&mut hasher);
        hasher.finish() % (interval / 10).clamp(1, 2_000_000_000)
    }
}

/// How long to wait for a renewal to reserve later timestamps.
const RESERVED_SOON: Duration = Duration::from_secs(1);

/// Resolves when the term is over; never without one.
async fn over(lease: Option<Arc<dyn Leadership>>, term: Option<Term>) {
    match (lease, term) {
        (Some(lease), Some(term)) => drop(lease.changed(Some(&term)).await),
        _ => std::future::pending().await,
    }
}
