//! Pollers: sources that are read on a cadence. The engine owns interval, alignment, offset and timeout, and a failed
//! poll waits for the next tick; a poller is one function that streams pages.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use steadyline_telemetry::{Metrics, Opaque, Signal};
use thiserror::Error;

use crate::batch::{Batch, Data, Header, Pass, PassEnd};
use crate::check::{CheckRow, IamStatement};
use crate::leadership::Leadership;
use crate::receiver::{Output, Outputs, SendError, Shutdown, Until};
use crate::{Host, StartError};

/// A source that is read on a cadence.
#[async_trait]
pub trait Poller: Send {
    /// Prepares what must be ready before the first poll. Must not need the source to be reachable:
    /// a source that is down is a failed poll, not a failed start.
    async fn start(&mut self, _host: &Host) -> Result<(), StartError> {
        Ok(())
    }

    /// Reads the source once and streams its pages to `output`; memory grows with pages in flight, not with the source.
    /// Points carry `tick.time`; they carry no scope version, job or instance: nothing that forks a line at an upgrade.
    ///
    /// # Errors
    /// The pass failed; the engine reports it, ends the pass as partial and polls again at the next tick.
    async fn poll(&mut self, tick: &Tick, output: &PollOutput) -> Result<PassEnd, PollError>;

    /// Like [`Poller::poll`], with the source's content given as a document in the source's own notation.
    ///
    /// # Errors
    /// The document does not read, or the source has no such notation.
    async fn replay(&mut self, _document: &[u8], _tick: &Tick, _output: &PollOutput) -> Result<PassEnd, PollError> {
        Err(PollError::new("unsupported", "this receiver cannot read items from a file"))
    }

    /// Asks the source whether it could be read: identity, permissions, reachability. Online.
    async fn check(&mut self) -> Vec<CheckRow> {
        Vec::new()
    }

    /// The permissions that reading needs. Offline.
    fn permissions(&self) -> Vec<IamStatement> {
        Vec::new()
    }
}

/// What a poller's factory gives to the engine.
pub struct Polling {
    /// The poller.
    pub poller: Box<dyn Poller>,
    /// When to poll.
    pub schedule: Schedule,
    /// Attribute keys that identify an entity of the source; see [`Header::identity`].
    pub identity: Arc<[Arc<str>]>,
    /// Who decides whether this process polls; none: it does.
    pub leadership: Option<Arc<dyn Leadership>>,
}

/// When to poll: the Collector's three keys, and jitter.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// `collection_interval`: from tick to tick, aligned to multiples of itself on the wall clock.
    pub interval: Duration,
    /// `initial_delay`: before the first poll, which is not aligned.
    pub initial_delay: Duration,
    /// `timeout`: one pass may take so long; zero: the interval.
    pub timeout: Duration,
}

impl Schedule {
    /// How long one pass may take.
    pub fn pass_timeout(&self) -> Duration {
        if self.timeout.is_zero() { self.interval } else { self.timeout }
    }
}

/// One tick of a poller's schedule.
#[derive(Debug, Clone)]
pub struct Tick {
    /// Counts the passes of this poller since its start, from 1.
    pub epoch: u64,
    /// The tick, nanoseconds since the Unix epoch: the event time of what is read.
    pub time: u64,
    /// The monotonic moment by which the pass must have ended.
    pub deadline: Duration,
    /// When the last complete pass began, nanoseconds since the Unix epoch.
    pub last_complete: Option<u64>,
    /// Fires when the process stops; long waits should end then.
    pub shutdown: Shutdown,
}

/// Where a pass's pages go.
#[derive(Debug)]
pub struct PollOutput {
    outputs: Outputs,
    header: Header,
    sent: AtomicU64,
}

impl PollOutput {
    /// The output of one pass over a source of metrics. `header` carries the source, the identity and the pass.
    pub fn new(output: Output, header: Header) -> PollOutput {
        PollOutput::of(Outputs::new([(Signal::Metrics, output)]), header)
    }

    /// The output of one pass over a source of several signals.
    pub fn of(outputs: Outputs, header: Header) -> PollOutput {
        PollOutput { outputs, header, sent: AtomicU64::new(0) }
    }

    /// Whether a pipeline wants this signal. What nobody wants need not be read; sending it is no error.
    pub fn wants(&self, signal: Signal) -> bool {
        self.outputs.of(signal).is_some()
    }

    /// Sends one page and waits until every exporter's queue has it: this is how a slow backend slows a poll.
    ///
    /// # Errors
    /// The pipeline is shutting down or has no room.
    pub async fn send(&self, metrics: Metrics) -> Result<(), PollError> {
        let memory = metrics.memory() as u64;
        self.page(Data::Metrics(metrics), memory).await
    }

    /// Sends one page of log records or spans, as [`PollOutput::send`] does.
    ///
    /// # Errors
    /// The pipeline is shutting down or has no room.
    pub async fn send_opaque(&self, opaque: Opaque) -> Result<(), PollError> {
        let memory = opaque.bytes().len() as u64;
        self.page(Data::Opaque(opaque), memory).await
    }

    /// Sends points that are news and not the state of the source (what was added since the last pass, say): that a later
    /// pass does not have them says nothing about them.
    ///
    /// # Errors
    /// The pipeline is shutting down or has no room.
    pub async fn send_news(&self, metrics: Metrics) -> Result<(), PollError> {
        let memory = metrics.memory() as u64;
        // A source of its own: the ends of passes speak for all that their source has.
        let source = format!("{}/news", self.header.source).into();
        let header = Header { source, pass: None, ..self.header.clone() };
        self.batch(Batch { header, data: Data::Metrics(metrics) }, memory).await
    }

    async fn page(&self, data: Data, memory: u64) -> Result<(), PollError> {
        self.batch(Batch { header: self.header.clone(), data }, memory).await
    }

    async fn batch(&self, mut batch: Batch, memory: u64) -> Result<(), PollError> {
        let items = batch.items();
        let Some(output) = self.outputs.of(batch.signal()).filter(|_| items > 0) else { return Ok(()) };
        batch.header.permit = Some(output.budget().acquire(memory).await);
        output.send(batch, Until::Enqueued).await?;
        self.sent.fetch_add(items, Ordering::Relaxed);
        Ok(())
    }

    /// Ends the pass of the metrics: a batch without data that says how it went. The engine calls it, once, after `poll`.
    ///
    /// # Errors
    /// The pipeline is shutting down or has no room.
    pub async fn end(&self, end: PassEnd) -> Result<(), PollError> {
        let Some(output) = self.outputs.of(Signal::Metrics) else { return Ok(()) };
        let pass = self.header.pass.clone().map(|pass| Pass { end: Some(end), ..pass });
        let header = Header { pass, ..self.header.clone() };
        let batch = Batch { header, data: Data::Metrics(Metrics::default()) };
        Ok(output.send(batch, Until::Enqueued).await?)
    }

    /// How many points, records and spans were sent so far.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

/// Why a pass failed.
#[derive(Debug, Clone, Error)]
#[error("{message}")]
pub struct PollError {
    /// A short word for counters: `throttled`, `access_denied`, `timeout`, ...
    pub reason: &'static str,
    /// For people: what was tried, what failed, what is missing, what happens next.
    pub message: String,
}

impl PollError {
    /// A failure with its reason.
    pub fn new(reason: &'static str, message: impl Into<String>) -> PollError {
        PollError { reason, message: message.into() }
    }
}

impl From<SendError> for PollError {
    fn from(error: SendError) -> Self {
        PollError::new("not_sent", format!("the pipeline did not take the page: {error}"))
    }
}
