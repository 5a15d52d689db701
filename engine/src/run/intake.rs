//! What stands behind a receiver's output: every pipeline that lists it, all in one fan-out.

use std::sync::Arc;

use steadyline_component::receiver::Intake;
use steadyline_component::{Batch, Budget, Receipt, SendError, SettleError, Shutdown, Until, async_trait};

use super::pipeline::Pipeline;
use crate::books::Account;
use crate::delivery::Call;

/// The intake of one receiver.
pub struct SourceIntake {
    /// The pipelines that list the receiver.
    pub pipelines: Vec<Arc<Pipeline>>,
    /// The receiver's books.
    pub account: Arc<Account>,
    /// The process's memory budget.
    pub budget: Budget,
    /// Fires when waiting for room must end.
    pub hard_stop: Shutdown,
}

#[async_trait]
impl Intake for SourceIntake {
    async fn send(&self, mut batch: Batch, until: Until) -> Result<(), SendError> {
        let settlement = (until == Until::Settled).then(|| {
            let (receipt, settlement) = Receipt::new();
            batch.header.receipts.push(receipt);
            settlement
        });
        let items = batch.items();
        self.account.tally.incoming(items);
        let call = Call::new(self.hard_stop.clone());
        // One copy a pipeline and no more: a batch that nobody shares is changed in place.
        let batches = std::iter::repeat_n(batch, self.pipelines.len());
        let pushes = self.pipelines.iter().zip(batches).map(|(pipeline, batch)| pipeline.push(batch, &call));
        let results = futures_util::future::join_all(pushes).await;
        self.account.tally.outgoing(items);
        results.into_iter().collect::<Result<(), SendError>>()?;
        let Some(settlement) = settlement else { return Ok(()) };
        tokio::select! {
            biased;
            settled = settlement => Ok(settled?),
            () = self.hard_stop.wait() => Err(SettleError::Retryable("the process stopped first".into()).into()),
        }
    }

    fn budget(&self) -> &Budget {
        &self.budget
    }
}
