//! Processors: pure steps between receivers and exporters, testable as tables.
//! No clock of their own, and no I/O once data flows.

use std::time::Duration;

use async_trait::async_trait;

use crate::batch::Batch;
use crate::clock::Now;
use crate::storage::StorageError;
use crate::tally::Tally;
use crate::{Host, StartError};

/// One step of one pipeline. An instance belongs to exactly one pipeline and is called by one thread at a time.
#[async_trait]
pub trait Processor: Send {
    /// Learns what must be known before data comes: what the machine says about itself, say. Called once, before
    /// receivers start and while other processors do; what goes on in a task of its own ends with `host.shutdown`.
    /// An error stops the start of the whole process.
    async fn start(&mut self, _host: &Host) -> Result<(), StartError> {
        Ok(())
    }

    /// Takes a batch and emits what becomes of it, now or later. Points that do not come out are counted in
    /// `work.tally` as merged, dropped or (through [`Processor::held`]) held; points that nobody sent as created.
    fn process(&mut self, batch: Batch, work: &mut Work<'_>);

    /// When to wake the processor next, on the monotonic clock; asked after every call.
    fn wake_at(&self) -> Option<Duration> {
        None
    }

    /// Called when the time of [`Processor::wake_at`] has come.
    fn wake(&mut self, _work: &mut Work<'_>) {}

    /// The pipeline stops: emit what waits. No stale markers here; a restart is not an end.
    fn drain(&mut self, _work: &mut Work<'_>) {}

    /// Resolves when all that is to outlive the processor is in its storage: what was handed to a task of its own is
    /// waited for here. Called when the process stops or a reload takes the processor away, after
    /// [`Processor::drain`]; and before a reload starts another one in its place, after which data may still come. The
    /// engine drops the future when there is no more time, counts failures and logs them.
    ///
    /// # Errors
    /// Something is not kept.
    async fn keep(&mut self) -> Result<(), StorageError> {
        Ok(())
    }

    /// The processor goes on, because a reload failed that had started another one in its place: it takes its storage
    /// back, with all it knows.
    ///
    /// # Errors
    /// The storage cannot be used; nothing is kept from here on.
    async fn resume(&mut self, _host: &Host) -> Result<(), StartError> {
        Ok(())
    }

    /// How many points came in and have not gone out yet: those that wait for a flush, not state about past ones.
    fn held(&self) -> u64 {
        0
    }

    /// How many series the processor keeps state for.
    fn series(&self) -> u64 {
        0
    }
}

/// What a processor works with during one call.
#[derive(Debug)]
pub struct Work<'a> {
    /// The moment of the call.
    pub now: Now,
    /// Where the processor counts what it merges, drops and creates.
    pub tally: &'a Tally,
    /// What comes out, in order.
    pub out: &'a mut Vec<Batch>,
}

impl Work<'_> {
    /// Emits a batch to the next step. Batches that say nothing are not worth a step.
    pub fn emit(&mut self, batch: Batch) {
        if !batch.is_idle() || !batch.header.receipts.is_empty() {
            self.out.push(batch);
        }
    }
}
