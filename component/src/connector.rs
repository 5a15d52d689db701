//! Connectors: the end of one pipeline and the start of another, perhaps of another signal.

use steadyline_config::ComponentId;
use steadyline_telemetry::Signal;

use crate::batch::Batch;
use crate::clock::Now;
use crate::processor::Work;

/// Takes batches as an exporter of some pipelines and gives batches as a receiver of others.
/// Like a processor it is pure and called by one thread at a time.
pub trait Connector: Send {
    /// Takes a batch of the signal on the exporter side; emits batches of the signal on the receiver side.
    fn process(&mut self, batch: Batch, work: &mut Work<'_>);

    /// When to wake the connector next, on the monotonic clock.
    fn wake_at(&self) -> Option<std::time::Duration> {
        None
    }

    /// Called when the time of [`Connector::wake_at`] has come.
    fn wake(&mut self, _work: &mut Work<'_>) {}

    /// The pipelines stop: emit what waits.
    fn drain(&mut self, _work: &mut Work<'_>) {}

    /// As one that chooses which of its pipelines gets what it emits; without, all of them get everything.
    fn as_router(&mut self) -> Option<&mut dyn Router> {
        None
    }
}

/// A connector that chooses among the pipelines it feeds.
pub trait Router {
    /// The pipelines that get what was emitted now. Asked after each call that emitted something; what it names and
    /// nobody feeds is passed over, and if nothing is left, all pipelines get it.
    fn route(&mut self, now: Now, outlook: &dyn Fn(&ComponentId) -> Outlook) -> &[ComponentId];
}

/// How a pipeline fares that a connector feeds, by the exporters at its end: as the worst of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outlook {
    /// Every exporter takes data.
    Works,
    /// There is room, and what waits does not get delivered: a backend has failed for some time.
    Failing,
    /// The queue of an exporter is full.
    Full,
    /// The pipeline does not run.
    Absent,
}

/// A pair of signals that a connector can join: (what it takes, what it gives).
pub type SignalPair = (Signal, Signal);
