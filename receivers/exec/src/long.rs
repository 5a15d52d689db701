//! A program that keeps running: read as it prints, triggered if it wants to be, started again when it ends.

use std::sync::Arc;
use std::time::Duration;

use steadyline_component::telemetry::Signal;
use steadyline_component::{
    Batch, Clock, ComponentStatus, CreateContext, Data, Header, Host, Outputs, PollError, Receiver, SendError,
    Shutdown, StartError, Status, Until, async_trait,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::ChildStdin;
use tokio::task::JoinSet;

use crate::config::{Config, Restart};
use crate::format::{Reader, Reading};
use crate::framing::{Framer, Frames};
use crate::process::{Program, words};
use crate::report::{EXIT_CODE, GARBAGE, Report};

/// Runs the program and starts it again.
pub(crate) struct LongRunning {
    id: String,
    source: Arc<str>,
    identity: Arc<[Arc<str>]>,
    program: Program,
    reader: Reader,
    config: Config,
    report: Report,
    clock: Clock,
    status: Option<ComponentStatus>,
}

/// How one session of the program ended.
enum Ended {
    /// We stop.
    Stopped,
    /// The program is gone; why.
    Gone(PollError),
}

/// So much is read at once.
const CHUNK: usize = 64 << 10;

impl LongRunning {
    pub(crate) fn new(config: Config, context: &CreateContext<'_>) -> LongRunning {
        LongRunning {
            id: context.id.to_string(),
            source: Arc::from(context.id.as_str()),
            identity: config.identity.iter().map(|key| Arc::from(key.as_str())).collect(),
            program: Program::new(&config, context),
            reader: Reader::new(config.format, &config.resource, config.max_line_bytes.as_usize()),
            report: Report::new(context),
            clock: context.clock.clone(),
            status: None,
            config,
        }
    }

    /// One life of the program.
    async fn session(&mut self, outputs: &Outputs, shutdown: &Shutdown) -> Ended {
        let (mut running, mut pipes) = match self.program.start(self.config.trigger.is_some()) {
            Ok(started) => started,
            Err(error) => return Ended::Gone(error),
        };
        let mut triggers = JoinSet::new();
        if let (Some(stdin), Some(line)) = (pipes.stdin.take(), &self.config.trigger) {
            let schedule = self.config.schedule();
            triggers.spawn(trigger(
                stdin,
                format!("{line}\n"),
                schedule.initial_delay,
                schedule.interval,
                self.clock.clone(),
            ));
        }
        let mut framer = Framer::new(&self.config);
        let mut chunk = Vec::with_capacity(CHUNK);
        loop {
            chunk.clear();
            let read = tokio::select! {
                () = shutdown.wait() => {
                    triggers.shutdown().await;
                    running.stop(self.program.grace).await;
                    return Ended::Stopped;
                }
                read = pipes.stdout.read_buf(&mut chunk) => read,
                status = running.wait() => {
                    // What is left in the pipe is read; somebody who left its group may hold it open.
                    let rest = running.output(&mut pipes.stdout, self.config.max_output_bytes.as_usize()).await;
                    let frames = [framer.push(&rest.map(|(text, _)| text).unwrap_or_default()), framer.end()];
                    for frames in frames {
                        self.forward(frames, outputs, shutdown).await;
                    }
                    return Ended::Gone(self.gone(status));
                }
            };
            match read {
                Ok(1..) => self.forward(framer.push(&chunk), outputs, shutdown).await,
                // It closed its output: it has nothing to say any more.
                Ok(0) | Err(_) => {
                    self.forward(framer.end(), outputs, shutdown).await;
                    let ended = self.clock.timeout(self.program.grace, running.wait()).await;
                    return match ended {
                        Some(status) => Ended::Gone(self.gone(status)),
                        None => {
                            running.stop(self.program.grace).await;
                            let message = format!("`{}` closed its standard output; it was ended", self.program.name());
                            Ended::Gone(PollError::new(EXIT_CODE, message))
                        }
                    };
                }
            }
        }
    }

    fn gone(&self, status: std::io::Result<std::process::ExitStatus>) -> PollError {
        let how = status.map_or_else(|error| error.to_string(), words);
        PollError::new(EXIT_CODE, format!("`{}` ended with {how}", self.program.name()))
    }

    /// Sends what has become complete. While the pipeline has no room the program is not read, and waits.
    async fn forward(&mut self, frames: Frames, outputs: &Outputs, shutdown: &Shutdown) {
        self.report.rejected(&frames.rejected);
        for frame in frames.whole {
            let time = self.clock.now().unix_nanos;
            let Reading { data, rejected } = self.reader.read(&frame.text, frame.first, time, false);
            self.report.rejected(&rejected);
            if let Some(first) = rejected.first() {
                self.report.failed(PollError::new(GARBAGE, first.why.clone()));
            } else if let Some(status) = &self.status {
                status.set(Status::Ok);
            }
            for data in data {
                self.send(data, outputs, shutdown).await;
            }
        }
    }

    async fn send(&self, data: Data, outputs: &Outputs, shutdown: &Shutdown) {
        let (signal, memory) = match &data {
            Data::Metrics(metrics) => (Signal::Metrics, metrics.memory() as u64),
            Data::Opaque(opaque) => (opaque.signal(), opaque.bytes().len() as u64),
        };
        let Some(output) = outputs.of(signal) else { return };
        let permit = Some(output.budget().acquire(memory).await);
        let (source, identity) = (Arc::clone(&self.source), Arc::clone(&self.identity));
        let batch = Batch { header: Header { source, identity, permit, ..Header::default() }, data };
        if batch.items() == 0 {
            return;
        }
        loop {
            match output.send(batch.clone(), Until::Enqueued).await {
                Err(SendError::Busy { retry_after }) if !shutdown.fired() => {
                    let wait = retry_after.unwrap_or(Duration::from_secs(1));
                    let _ = self.clock.timeout(wait, shutdown.wait()).await;
                }
                Err(error) => {
                    output.refused("not_sent", batch.items());
                    return tracing::debug!(component = %self.id, "the pipeline did not take a batch: {error}");
                }
                Ok(()) => return,
            }
        }
    }
}

/// Writes the line at every interval. A program that does not read its standard input is not triggered twice at once.
async fn trigger(mut stdin: ChildStdin, line: String, delay: Duration, interval: Duration, clock: Clock) {
    let mut due = clock.now().mono + delay;
    loop {
        clock.sleep_until(due).await;
        if stdin.write_all(line.as_bytes()).await.is_err() {
            return;
        }
        due = (due + interval).max(clock.now().mono);
    }
}

/// The waits between sessions: doubled at each, from the start again after a long life.
struct Backoff<'a> {
    config: &'a Restart,
    next: Duration,
}

impl Backoff<'_> {
    fn new(config: &Restart) -> Backoff<'_> {
        Backoff { config, next: config.initial_interval.get() }
    }

    fn after(&mut self, life: Duration) -> Duration {
        let (first, most) = (self.config.initial_interval.get(), self.config.max_interval.get());
        if life >= most {
            self.next = first;
        }
        let wait = self.next;
        self.next = (wait * 2).min(most);
        wait
    }
}

#[async_trait]
impl Receiver for LongRunning {
    async fn start(&mut self, host: &Host) -> Result<(), StartError> {
        self.status = Some(host.board.component(&format!("receiver:{}", self.id)));
        Ok(())
    }

    async fn run(mut self: Box<Self>, outputs: Outputs, shutdown: Shutdown) -> Result<(), StartError> {
        let restart = self.config.restart.clone();
        let mut backoff = Backoff::new(&restart);
        while !shutdown.fired() {
            let began = self.clock.now().mono;
            let Ended::Gone(error) = self.session(&outputs, &shutdown).await else { break };
            if shutdown.fired() {
                break;
            }
            let wait = backoff.after(self.clock.now().mono.saturating_sub(began));
            let error = self.report.failed(error);
            tracing::warn!(component = %self.id, reason = error.reason, "{error}; it is started again in {wait:?}");
            if let Some(status) = &self.status {
                status.set(Status::Degraded(error.message));
            }
            let _ = self.clock.timeout(wait, shutdown.wait()).await;
            self.report.restarted();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_until_it_lived_long() {
        let config = Restart::default();
        let mut backoff = Backoff::new(&config);
        let seconds = |backoff: &mut Backoff<'_>, life| backoff.after(Duration::from_secs(life)).as_secs();
        let waits: Vec<u64> = [0, 0, 59, 0, 0, 0, 0, 0].iter().map(|life| seconds(&mut backoff, *life)).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(seconds(&mut backoff, 60), 1);
        assert_eq!(seconds(&mut backoff, 0), 2);
    }
}
