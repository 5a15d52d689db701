//! Receivers: listeners and queues. They run until told to stop and hand batches to their output.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use steadyline_telemetry::Signal;
use thiserror::Error;
use tokio::sync::watch;

use crate::batch::Batch;
use crate::check::{CheckRow, IamStatement};
use crate::{Host, StartError};

/// A source that pushes: a listener, a queue consumer. One instance an id, whatever signals list it, so that a port
/// is bound once.
#[async_trait]
pub trait Receiver: Send {
    /// Binds what must be bound. An error stops the start of the whole process.
    async fn start(&mut self, host: &Host) -> Result<(), StartError>;

    /// Runs until `shutdown` fires, then stops taking in, finishes what it has in hand and returns.
    /// An error means that the source is gone for good; the process reports it and is not ready any more.
    async fn run(self: Box<Self>, outputs: Outputs, shutdown: Shutdown) -> Result<(), StartError>;

    /// Takes in one event of a function runtime (Lambda) instead of running, and answers in the runtime's words. Called
    /// again and again, and [`Receiver::start`] is not called before: what it does is done at the first event. `None`: the
    /// event is not for this receiver.
    ///
    /// # Errors
    /// It cannot take events as it is configured, or not any more; the runtime will send the event again, to another
    /// instance.
    async fn invoke(&mut self, _event: &[u8], _outputs: &Outputs, _host: &Host) -> Result<Option<Vec<u8>>, StartError> {
        Ok(None)
    }

    /// Asks what it reads from whether it could be read: identity, permissions, reachability. Online; nothing was started,
    /// and nothing is taken from the source.
    async fn check(&mut self) -> Vec<CheckRow> {
        Vec::new()
    }

    /// The permissions that it needs. Offline.
    fn permissions(&self) -> Vec<IamStatement> {
        Vec::new()
    }
}

/// The outputs of one receiver: one for each signal of which a pipeline lists it, at least one.
#[derive(Debug, Clone)]
pub struct Outputs(Arc<[(Signal, Output)]>);

impl Outputs {
    /// Outputs by signal; the engine and the test kit make them.
    pub fn new(outputs: impl IntoIterator<Item = (Signal, Output)>) -> Outputs {
        Outputs(outputs.into_iter().collect())
    }

    /// Where items of this signal go; `None` if no pipeline wants them.
    pub fn of(&self, signal: Signal) -> Option<&Output> {
        self.0.iter().find(|(of, _)| *of == signal).map(|(_, output)| output)
    }

    /// The signals that somebody wants.
    pub fn signals(&self) -> impl Iterator<Item = Signal> {
        self.0.iter().map(|(signal, _)| *signal)
    }

    /// The memory budget, the same for all signals; `None` only if there is no output at all.
    pub fn budget(&self) -> Option<&crate::Budget> {
        self.0.first().map(|(_, output)| output.budget())
    }
}

/// How far a batch must get before `send` resolves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// It is in every exporter's queue. A crash may lose it unless the queue is durable.
    Enqueued,
    /// It is delivered, or synced to a disk queue.
    Settled,
}

/// Why a batch was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SendError {
    /// No room now; nothing of the batch was kept. Answer "try again" in the protocol's words.
    #[error("no room, try again")]
    Busy {
        /// When to try again, if known.
        retry_after: Option<Duration>,
    },
    /// The pipeline is shutting down: at least one exporter did not take its share, which is counted there.
    #[error("shutting down")]
    ShuttingDown,
    /// Taken, and part of it was refused for good or could not be delivered in time; both are counted.
    #[error("{0}")]
    NotSettled(#[from] crate::delivery::SettleError),
}

/// Where a receiver's batches go: every pipeline that lists the receiver.
#[derive(Clone)]
pub struct Output(Arc<dyn Intake>);

/// What stands behind an [`Output`]; implemented by the engine and by the test kit.
#[async_trait]
pub trait Intake: Send + Sync {
    /// Takes a batch; resolves as [`Output::send`] says.
    async fn send(&self, batch: Batch, until: Until) -> Result<(), SendError>;
    /// The memory budget to acquire from before decoding.
    fn budget(&self) -> &crate::Budget;
    /// Whether a batch that came now would find room, as [`Output::has_room`] says.
    fn has_room(&self) -> bool {
        true
    }
    /// Counts items that were not taken, as [`Output::refused`] says.
    fn refused(&self, reason: &'static str, items: u64);
}

impl Output {
    /// An output in front of an intake.
    pub fn new(intake: Arc<dyn Intake>) -> Output {
        Output(intake)
    }

    /// Hands a batch to every pipeline of the receiver and waits until it got as far as asked.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn send(&self, batch: Batch, until: Until) -> Result<(), SendError> {
        self.0.send(batch, until).await
    }

    /// The memory budget: acquire by the bound of the decompressed size before decoding.
    pub fn budget(&self) -> &crate::Budget {
        self.0.budget()
    }

    /// Whether a batch that came now would find room in at least one exporter's queue. For receivers that answer
    /// "try again" instead of letting their sender wait: asked before decoding, it spares the work.
    pub fn has_room(&self) -> bool {
        self.0.has_room()
    }

    /// Counts what was asked for and not taken: `otelcol_receiver_refused_*`. `items` as far as they are known, at
    /// least 1 for a request that could not be read. The sender was told, so nothing is lost here.
    pub fn refused(&self, reason: &'static str, items: u64) {
        self.0.refused(reason, items);
    }
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Output")
    }
}

/// Fires once, for everybody who holds a copy.
#[derive(Debug, Clone)]
pub struct Shutdown(watch::Receiver<Stop>);

/// The other end of a [`Shutdown`].
#[derive(Debug, Clone)]
pub struct ShutdownTrigger(Arc<watch::Sender<Stop>>);

/// Whether and why to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stop {
    NotYet,
    /// The process stops, or this component goes on as another instance: nothing ends for its readers.
    ForNow,
    /// A reload took the component away: what it told of ends.
    ForGood,
}

impl Shutdown {
    /// A trigger and what it fires.
    pub fn new() -> (ShutdownTrigger, Shutdown) {
        let (sender, receiver) = watch::channel(Stop::NotYet);
        (ShutdownTrigger(Arc::new(sender)), Shutdown(receiver))
    }

    /// Whether it has fired.
    pub fn fired(&self) -> bool {
        *self.0.borrow() != Stop::NotYet
    }

    /// Whether it has fired because a reload took the component away. Its series end then: a receiver that knows them
    /// sends them a last point without a value. Never so when the process stops.
    pub fn is_removal(&self) -> bool {
        *self.0.borrow() == Stop::ForGood
    }

    /// Resolves when it fires (or its trigger is gone).
    pub async fn wait(&self) {
        let _ = self.0.clone().wait_for(|stop| *stop != Stop::NotYet).await;
    }
}

impl ShutdownTrigger {
    /// Fires.
    pub fn fire(&self) {
        self.0.send_if_modified(|stop| std::mem::replace(stop, Stop::ForNow.max(*stop)) == Stop::NotYet);
    }

    /// Another copy of what it fires.
    pub fn subscribe(&self) -> Shutdown {
        Shutdown(self.0.subscribe())
    }

    /// Fires for good: the component is not configured any more.
    pub fn fire_for_good(&self) {
        self.0.send_replace(Stop::ForGood);
    }
}
