//! The end of a pipeline: every exporter and connector that it lists gets every batch.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{join_all, join3};
use steadyline_component::{
    Batch, ComponentStatus, Data, Header, Outlook, Receipt, SendError, SettleError, Sink, Tally,
};
use steadyline_telemetry::Metrics;

use super::fall::fell;
use super::joint::Joint;
use super::transit::{Destination, Transit};
use crate::books::Account;
use crate::delivery::{Branch, Call};

/// How long a backend must have failed for its pipeline to count as failing.
const FAILING_AFTER: Duration = Duration::from_secs(10);

/// Where a pipeline's data goes.
#[derive(Clone, Default)]
pub struct Outlets {
    /// Exporters with queues.
    pub branches: Vec<Arc<Branch>>,
    /// Exporters without.
    pub sinks: Vec<Arc<SinkNode>>,
    /// Connectors to other pipelines.
    pub joints: Vec<Arc<Joint>>,
}

/// An exporter that takes batches as they are.
pub struct SinkNode {
    /// The sink.
    pub sink: Arc<dyn Sink>,
    /// Its books.
    pub account: Arc<Account>,
    /// Its place on the board, where it stands only if it fell over.
    pub status: ComponentStatus,
}

impl Outlets {
    /// Whether these are the very same.
    pub(crate) fn are(&self, other: &Outlets) -> bool {
        fn same<T: ?Sized>(a: &[Arc<T>], b: &[Arc<T>]) -> bool {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| Arc::ptr_eq(a, b))
        }
        same(&self.branches, &other.branches) && same(&self.sinks, &other.sinks) && same(&self.joints, &other.joints)
    }

    /// Whether something that came now would find room in at least one place.
    pub(super) fn has_room(&self) -> bool {
        !self.sinks.is_empty()
            || self.branches.iter().any(|branch| !branch.queue.is_full())
            || self.joints.iter().any(|joint| joint.has_room())
    }

    /// How they fare: as the worst of the exporters.
    pub(super) fn outlook(&self) -> Outlook {
        let branches = self.branches.iter().map(|branch| match branch {
            branch if branch.queue.is_full() => Outlook::Full,
            branch if branch.is_failing(FAILING_AFTER) && !branch.queue.is_empty() => Outlook::Failing,
            _ => Outlook::Works,
        });
        let joints = self.joints.iter().map(|joint| joint.outlook());
        branches.chain(joints).max().unwrap_or(Outlook::Works)
    }

    /// Gives batches to all, one after the other.
    ///
    /// # Errors
    /// See [`Call::push`]; the others have theirs all the same.
    pub(super) async fn push(&self, batches: Vec<Batch>, call: &Call) -> Result<(), SendError> {
        // If this is given up while one is waited for, those behind it are counted.
        let mut waiting: VecDeque<Transit<'_>> = batches.into_iter().map(|batch| Transit::new(batch, self)).collect();
        let mut result = Ok(());
        while let Some(next) = waiting.pop_front() {
            result = result.and(self.push_one(next.arrive(), call).await);
        }
        result
    }

    /// All of them begin with the batch before any is waited for: from then on each counts its own.
    async fn push_one(&self, batch: Batch, call: &Call) -> Result<(), SendError> {
        let sinks = join_all(self.sinks.iter().map(|node| node.push(batch.clone(), call)));
        let joints = join_all(self.joints.iter().map(|joint| Box::pin(joint.push(batch.clone(), call))));
        let branches = join_all(self.branches.iter().map(|branch| push_into(branch, &batch, call)));
        let (sinks, joints, branches) = join3(sinks, joints, branches).await;
        sinks.into_iter().chain(joints).chain(branches).collect()
    }
}

/// An encoder that panics costs its own share; the branch has counted it.
async fn push_into(branch: &Branch, batch: &Batch, call: &Call) -> Result<(), SendError> {
    let panic = match AssertUnwindSafe(call.push(branch, batch)).catch_unwind().await {
        Ok(result) => return result,
        Err(panic) => panic,
    };
    let error = SettleError::Retryable(format!("exporter `{}` panicked", branch.account.id));
    batch.header.receipts.iter().for_each(|receipt| receipt.fail(error.clone()));
    fell(&branch.name, &branch.status, &*panic);
    Err(error.into())
}

impl Destination for Outlets {
    fn books(&self) -> Vec<&Tally> {
        let branches = self.branches.iter().map(|branch| &branch.account.tally);
        let sinks = self.sinks.iter().map(|node| &node.account.tally);
        branches.chain(sinks).chain(self.joints.iter().flat_map(|joint| joint.books())).collect()
    }
}

impl SinkNode {
    async fn push(self: &Arc<Self>, batch: Batch, call: &Call) -> Result<(), SendError> {
        let Some(batch) = self.admitted(batch) else { return Ok(()) };
        let local = Tally::default();
        let taking = Taking::begin(&self.account.tally, &local, &batch);
        let panicked = AssertUnwindSafe(self.sink.consume(batch, &local)).catch_unwind().await.err();
        taking.end(panicked.is_some());
        let Some(panic) = panicked else {
            if self.sink.counts_as_branch() {
                call.sink_had_room(self);
            }
            return Ok(());
        };
        let error = SettleError::Retryable(format!("exporter `{}` panicked", self.account.id));
        fell(&format!("exporter:{}", self.account.id), &self.status, &*panic);
        Err(error.into())
    }

    /// What of a batch may be shown: what was read under a term that is over is for whoever leads now to show. That its
    /// pass has ended is said all the same.
    fn admitted(&self, batch: Batch) -> Option<Batch> {
        if batch.items() == 0 || batch.header.term.as_ref().is_none_or(|term| term.holds()) {
            return Some(batch);
        }
        let header = Header { receipts: Vec::new(), permit: None, ..batch.header.clone() };
        let end = batch.pass_end().map(|_| Batch { header, data: Data::Metrics(Metrics::default()) });
        Transit::new(batch, self).lose("stepped_down", SettleError::Final("another instance leads now".into()));
        end
    }
}

impl Destination for SinkNode {
    fn books(&self) -> Vec<&Tally> {
        vec![&self.account.tally]
    }
}

/// What a sink is taking: if it never ends, it is counted as lost and whoever waits is told.
struct Taking<'a> {
    tally: &'a Tally,
    /// What the sink itself counts of this batch.
    local: &'a Tally,
    items: Option<u64>,
    receipts: Vec<Receipt>,
}

impl<'a> Taking<'a> {
    fn begin(tally: &'a Tally, local: &'a Tally, batch: &Batch) -> Taking<'a> {
        tally.incoming(batch.items());
        Taking { tally, local, items: Some(batch.items()), receipts: batch.header.receipts.clone() }
    }

    fn end(mut self, panicked: bool) {
        self.settle(panicked.then_some("panicked"));
    }

    fn settle(&mut self, lost_to: Option<&'static str>) {
        let Some(items) = self.items.take() else { return };
        let spent = self.local.balance();
        let told = spent.merged + spent.dropped.values().sum::<u64>();
        debug_assert!(told <= items, "a sink cannot lose more than it was given");
        self.tally.merged(spent.merged);
        spent.dropped.into_iter().for_each(|(reason, items)| self.tally.dropped(reason, items));
        let rest = items.saturating_sub(told);
        let Some(reason) = lost_to else { return self.tally.outgoing(rest) };
        self.tally.dropped(reason, rest);
        let error = SettleError::Retryable("an exporter did not get to take it".into());
        self.receipts.iter().for_each(|receipt| receipt.fail(error.clone()));
    }
}

impl Drop for Taking<'_> {
    fn drop(&mut self) {
        self.settle(Some("shutdown"));
    }
}
