//! Polling: ticks aligned to the wall clock, one pass at a time, each bounded in time, each ended with a verdict.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::SpanKind;
use steadyline_component::{
    Clock, ComponentStatus, Header, Instrument, Meter, Now, Output, Pass, PassEnd, PollError, PollOutput, Polling,
    Shutdown, Status, Tick,
};

use super::progress::Progress;
use crate::gate::LogGate;
use crate::telemetry::Traces;

/// A poller on its cadence.
pub struct PollTask {
    name: String,
    polling: Polling,
    source: Arc<str>,
    output: Output,
    clock: Clock,
    status: ComponentStatus,
    metrics: PollMetrics,
    gate: LogGate,
    progress: Arc<Progress>,
    /// When the pass at hand began, on the monotonic clock.
    began: Duration,
    last_complete: Option<u64>,
    traces: Traces,
}

struct PollMetrics {
    complete: Arc<Instrument>,
    partial: Arc<Instrument>,
    failed: Arc<Instrument>,
    overruns: Arc<Instrument>,
    duration: Arc<Instrument>,
    last_complete: Arc<Instrument>,
}

impl PollMetrics {
    fn new(meter: &Meter) -> PollMetrics {
        let polls = |outcome| meter.counter("receiver_polls", "Passes over the source.", &[("outcome", outcome)]);
        PollMetrics {
            complete: polls("complete"),
            partial: polls("partial"),
            failed: polls("failed"),
            overruns: meter.counter("receiver_poll_overruns", "Ticks skipped because a pass took too long.", &[]),
            duration: meter.gauge("receiver_poll_duration_seconds", "How long the last pass took.", &[]),
            last_complete: meter.gauge(
                "receiver_last_complete_timestamp_seconds",
                "When the last complete pass began, Unix time; 0 if there was none.",
                &[],
            ),
        }
    }
}

impl PollTask {
    /// A poller that sends to `output` under the id `source`.
    pub fn new(
        source: &str,
        polling: Polling,
        output: Output,
        clock: Clock,
        status: ComponentStatus,
        meter: &Meter,
    ) -> PollTask {
        PollTask {
            name: format!("receiver:{source}"),
            polling,
            source: Arc::from(source),
            output,
            clock,
            status,
            metrics: PollMetrics::new(meter),
            gate: LogGate::new(Duration::from_secs(30)),
            progress: Arc::default(),
            began: Duration::ZERO,
            last_complete: None,
            traces: Traces::default(),
        }
    }

    /// Goes on where another poller of the source stopped.
    pub fn resuming(self, progress: Arc<Progress>) -> PollTask {
        PollTask { progress, ..self }
    }

    /// With a span for each pass.
    pub fn traced(self, traces: Traces) -> PollTask {
        PollTask { traces, ..self }
    }

    /// Polls until `stop` fires; a pass that is under way then is broken off and ends as partial.
    pub async fn run(mut self, stop: Shutdown) {
        let mut due = self.clock.now().mono + self.polling.schedule.initial_delay;
        loop {
            tokio::select! {
                () = stop.wait() => return,
                () = self.clock.sleep_until(due) => {}
            }
            self.pass(&stop).await;
            due = self.next_due();
        }
    }

    /// One pass, whatever comes of it.
    pub async fn pass(&mut self, stop: &Shutdown) -> PassEnd {
        self.read(None, stop).await
    }

    /// One pass over a document in place of the source.
    pub async fn replay(&mut self, document: &[u8], stop: &Shutdown) -> PassEnd {
        self.read(Some(document), stop).await
    }

    async fn read(&mut self, document: Option<&[u8]>, stop: &Shutdown) -> PassEnd {
        let receiver = Arc::clone(&self.source);
        let span = self.traces.begin("poll", SpanKind::Client, || vec![KeyValue::new("receiver", receiver)]);
        let end = span.run(self.read_source(document, stop)).await;
        if end == PassEnd::Partial {
            span.fail("the pass was not complete");
        }
        end
    }

    async fn read_source(&mut self, document: Option<&[u8]>, stop: &Shutdown) -> PassEnd {
        let began = self.clock.now();
        self.began = began.mono;
        let timeout = self.polling.schedule.pass_timeout();
        let tick = self.tick(began, timeout, stop);
        let output = self.pass_output(&tick, timeout);
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
        };
        let end = match result {
            // A page that was not taken because the process stops is no failure of the source.
            Some(result) if !stop.fired() => self.verdict(result, tick.time),
            _ => PassEnd::Partial,
        };
        self.metrics.duration.set((self.clock.now().mono - began.mono).as_secs_f64());
        if let Err(error) = output.end(end).await {
            tracing::warn!(component = %self.name, "the end of the pass did not get through: {error}");
        }
        end
    }

    fn tick(&mut self, now: Now, timeout: Duration, stop: &Shutdown) -> Tick {
        let (epoch, time) = self.progress.next(now.unix_nanos);
        Tick { epoch, time, deadline: now.mono + timeout, last_complete: self.last_complete, shutdown: stop.clone() }
    }

    fn pass_output(&self, tick: &Tick, timeout: Duration) -> PollOutput {
        let interval = self.polling.schedule.interval;
        let pass = Pass { epoch: tick.epoch, time: tick.time, interval, timeout, end: None };
        let header = Header {
            source: Arc::clone(&self.source),
            pass: Some(pass),
            identity: Arc::clone(&self.polling.identity),
            ..Header::default()
        };
        PollOutput::new(self.output.clone(), header)
    }

    fn verdict(&mut self, result: Result<PassEnd, PollError>, time: u64) -> PassEnd {
        match result {
            Ok(PassEnd::Complete) => {
                self.last_complete = Some(time);
                self.metrics.complete.add(1.0);
                self.metrics.last_complete.set(time as f64 / 1e9);
                self.status.set(Status::Ok);
                self.gate.reset();
                PassEnd::Complete
            }
            Ok(PassEnd::SteppedDown) => {
                self.status.set(Status::Ok);
                PassEnd::SteppedDown
            }
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
