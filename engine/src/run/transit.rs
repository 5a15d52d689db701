//! A batch between two places of the graph. Whoever takes it counts it; if nobody does, because the way has ended or who
//! carried it is gone, it is counted as lost where it was going, and whoever waits for its delivery is told.

use steadyline_component::{Batch, SettleError, Tally};

/// Where a batch goes.
pub(super) trait Destination: Sync {
    /// The books in which a batch is lost that does not get there: one for each copy that would have been made.
    fn books(&self) -> Vec<&Tally>;
}

/// A batch on its way.
pub(super) struct Transit<'a> {
    batch: Option<Batch>,
    to: &'a dyn Destination,
}

impl<'a> Transit<'a> {
    /// A batch sets out.
    pub(super) fn new(batch: Batch, to: &'a dyn Destination) -> Transit<'a> {
        Transit { batch: Some(batch), to }
    }

    /// It is there, and is whose who takes it.
    pub(super) fn arrive(mut self) -> Batch {
        // Taken out here or when it is lost, both of which end the transit.
        self.batch.take().expect("a transit has its batch until it ends")
    }

    /// It is not taken, for this reason, which whoever waits is told in these words.
    pub(super) fn lose(mut self, reason: &'static str, error: SettleError) {
        self.lost(reason, &error);
    }

    fn lost(&mut self, reason: &'static str, error: &SettleError) {
        let Some(batch) = self.batch.take() else { return };
        for tally in self.to.books() {
            tally.incoming(batch.items());
            tally.dropped(reason, batch.items());
        }
        batch.header.receipts.iter().for_each(|receipt| receipt.fail(error.clone()));
    }
}

impl Drop for Transit<'_> {
    fn drop(&mut self) {
        let reason = if std::thread::panicking() { "panicked" } else { "shutdown" };
        self.lost(reason, &SettleError::Retryable("not every exporter got it".into()));
    }
}
