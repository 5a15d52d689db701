//! Connectors: the end of one pipeline and the start of another, perhaps of another signal.

use steadyline_telemetry::Signal;

use crate::batch::Batch;
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
}

/// A pair of signals that a connector can join: (what it takes, what it gives).
pub type SignalPair = (Signal, Signal);
