//! What stands behind a receiver's output: every pipeline that lists it, all in one fan-out.
//! A batch that was handed in goes its way to the end, also if whoever handed it in gives up waiting.

use std::sync::Arc;

use arc_swap::ArcSwap;
use opentelemetry::KeyValue;
use opentelemetry::trace::SpanKind;
use steadyline_component::receiver::{Intake, ShutdownTrigger};
use steadyline_component::{Batch, Budget, Receipt, SendError, SettleError, Shutdown, Until, async_trait};
use tokio::sync::{RwLock, watch};

use super::pipeline::Pipeline;
use crate::books::Account;
use crate::delivery::Call;
use crate::telemetry::Traces;

/// The pipelines that list a receiver; a reload may put others in their place.
#[derive(Default)]
pub struct Feeds {
    pipelines: ArcSwap<Vec<Arc<Pipeline>>>,
    /// Read by every batch on its way.
    way: Arc<RwLock<()>>,
}

impl Feeds {
    /// These.
    pub fn new(pipelines: Vec<Arc<Pipeline>>) -> Feeds {
        Feeds { pipelines: ArcSwap::from_pointee(pipelines), way: Arc::default() }
    }

    /// Those of now.
    pub fn now(&self) -> Arc<Vec<Arc<Pipeline>>> {
        self.pipelines.load_full()
    }

    /// Others from now on, once every batch that was on its way to the old ones got there.
    pub async fn change(&self, pipelines: Vec<Arc<Pipeline>>) {
        let _clear = self.way.write().await;
        self.pipelines.store(Arc::new(pipelines));
    }
}

/// The intake of one receiver.
pub struct SourceIntake {
    /// The pipelines that list the receiver.
    pub feeds: Feeds,
    /// The receiver's books.
    pub account: Arc<Account>,
    /// The process's memory budget.
    pub budget: Budget,
    /// Fires when waiting for room must end.
    pub hard_stop: Shutdown,
    /// Knows every batch that is on its way.
    pub under_way: UnderWay,
    /// The process's own traces.
    pub traces: Traces,
}

/// Counts the batches that are on their way into the queues, and can cut all of them off.
#[derive(Debug, Clone)]
pub struct UnderWay {
    count: Arc<watch::Sender<usize>>,
    cut: (ShutdownTrigger, Shutdown),
}

struct Journey(Arc<watch::Sender<usize>>);

impl UnderWay {
    /// Nothing is under way.
    pub fn new() -> UnderWay {
        UnderWay { count: Arc::new(watch::Sender::new(0)), cut: Shutdown::new() }
    }

    fn begin(&self) -> Journey {
        self.count.send_modify(|count| *count += 1);
        Journey(Arc::clone(&self.count))
    }

    /// Waits until nothing is under way.
    pub async fn none(&self) {
        // The sender lives in self, so the channel cannot close while we wait.
        let _ = self.count.subscribe().wait_for(|count| *count == 0).await;
    }

    /// What is still on its way, or sets out from now on, is lost where it is, and counted there.
    pub fn cut_off(&self) {
        self.cut.0.fire();
    }
}

impl Default for UnderWay {
    fn default() -> Self {
        UnderWay::new()
    }
}

impl Drop for Journey {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

#[async_trait]
impl Intake for SourceIntake {
    async fn send(&self, mut batch: Batch, until: Until) -> Result<(), SendError> {
        let settlement = (until == Until::Settled).then(|| {
            let (receipt, settlement) = Receipt::new();
            batch.header.receipts.push(receipt);
            settlement
        });
        let journey = self.under_way.begin();
        let way = Arc::clone(&self.feeds.way).read_owned().await;
        let (pipelines, hard_stop) = (self.feeds.now(), self.hard_stop.clone());
        let items = batch.items();
        self.account.tally.incoming(items);
        self.account.tally.outgoing(items);
        let span = self.traces.begin("receive", SpanKind::Internal, || {
            vec![KeyValue::new("receiver", self.account.id.clone()), KeyValue::new("items", items as i64)]
        });
        let cut = self.under_way.cut.1.clone();
        let travel = tokio::spawn(async move {
            let result = tokio::select! {
                biased;
                result = span.run(push(&pipelines, batch, hard_stop)) => result,
                () = cut.wait() => Err(SendError::ShuttingDown),
            };
            if let Err(error) = &result {
                span.fail(&error.to_string());
            }
            drop((journey, way));
            result
        });
        travel
            .await
            .unwrap_or_else(|panic| Err(SettleError::Retryable(format!("a pipeline fell over: {panic}")).into()))?;
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

    fn has_room(&self) -> bool {
        self.feeds.pipelines.load().iter().any(|pipeline| pipeline.has_room())
    }

    fn refused(&self, reason: &'static str, items: u64) {
        self.account.tally.refused(reason, items);
    }
}

pub(super) async fn push(pipelines: &[Arc<Pipeline>], batch: Batch, hard_stop: Shutdown) -> Result<(), SendError> {
    let call = Call::new(hard_stop);
    // One copy a pipeline and no more: a batch that nobody shares is changed in place.
    let batches = std::iter::repeat_n(batch, pipelines.len());
    let pushes = pipelines.iter().zip(batches).map(|(pipeline, batch)| pipeline.push(batch, &call));
    futures_util::future::join_all(pushes).await.into_iter().collect()
}
