//! A connector between pipelines: it takes as an exporter of some and gives as a receiver of others, to all of them or to
//! those that it chooses.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use steadyline_component::{Batch, Clock, Connector, Outlook, SendError, Shutdown, Work};
use steadyline_config::ComponentId;
use tokio::sync::{Mutex, Notify};

use super::pipeline::Pipeline;
use crate::books::Account;
use crate::delivery::Call;

/// A connector between pipelines.
pub struct Joint {
    connector: Mutex<Box<dyn Connector>>,
    /// Whether the connector chooses among its targets.
    chooses: bool,
    account: Arc<Account>,
    /// Pipelines on its receiver side; known once all pipelines are.
    targets: ArcSwap<Vec<Arc<Pipeline>>>,
    /// A reload took it away. Read under the lock of the connector.
    gone: AtomicBool,
    clock: Clock,
    rescheduled: Notify,
}

impl Joint {
    /// A connector whose targets are not known yet.
    pub fn new(mut connector: Box<dyn Connector>, account: Arc<Account>, clock: Clock) -> Joint {
        let chooses = connector.as_router().is_some();
        let (connector, gone) = (Mutex::new(connector), AtomicBool::new(false));
        Joint { connector, chooses, account, targets: ArcSwap::default(), gone, clock, rescheduled: Notify::new() }
    }

    /// Says where the connector's data goes, before there is any.
    pub fn set_targets(&self, targets: Vec<Arc<Pipeline>>) {
        self.targets.store(Arc::new(targets));
    }

    /// Says where the connector's data goes from now on, once what is inside is through.
    pub(super) async fn retarget(&self, targets: Vec<Arc<Pipeline>>) {
        let _quiet = self.connector.lock().await;
        self.set_targets(targets);
    }

    /// Ends the connector, once what is inside is through; what it holds back goes the old way.
    pub(super) async fn dissolve(&self, hard_stop: &Shutdown) {
        self.drain(hard_stop).await;
        self.gone.store(true, Ordering::Relaxed);
        self.rescheduled.notify_one();
    }

    /// Whether something that comes out of the connector now would find room in at least one place.
    pub(super) fn has_room(&self) -> bool {
        self.targets.load().iter().any(|target| target.has_room())
    }

    /// How it fares: as the worst of its targets, or as the best if it chooses among them.
    pub(super) fn outlook(&self) -> Outlook {
        let targets = self.targets.load();
        let outlooks = targets.iter().map(|target| target.outlook());
        let outlook = if self.chooses { outlooks.min() } else { outlooks.max() };
        outlook.unwrap_or(Outlook::Works)
    }

    /// Takes a batch through the connector and into its targets.
    pub(super) async fn push(&self, batch: Batch, call: &Call) -> Result<(), SendError> {
        let mut connector = self.connector.lock().await;
        self.account.tally.incoming(batch.items());
        let batches = self.call(&mut **connector, |connector, work| connector.process(batch, work));
        let result = self.deliver(&mut **connector, batches, call).await;
        drop(connector);
        self.rescheduled.notify_one();
        result
    }

    /// Wakes the connector at the times it asks for, until `stop` fires.
    pub async fn run_timers(&self, stop: Shutdown, hard_stop: Shutdown) {
        loop {
            let next = self.connector.lock().await.wake_at();
            if self.gone.load(Ordering::Relaxed) {
                return;
            }
            let sleep = async {
                match next {
                    Some(at) => self.clock.sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.wait() => return,
                () = self.rescheduled.notified() => continue,
                () = sleep => {}
            }
            let mut connector = self.connector.lock().await;
            let batches = self.call(&mut **connector, |connector, work| connector.wake(work));
            let _ = self.deliver(&mut **connector, batches, &Call::new(hard_stop.clone())).await;
        }
    }

    /// Lets the connector emit what waits.
    pub async fn drain(&self, hard_stop: &Shutdown) {
        let mut connector = self.connector.lock().await;
        let batches = self.call(&mut **connector, |connector, work| connector.drain(work));
        let _ = self.deliver(&mut **connector, batches, &Call::new(hard_stop.clone())).await;
    }

    fn call(&self, connector: &mut dyn Connector, call: impl FnOnce(&mut dyn Connector, &mut Work<'_>)) -> Vec<Batch> {
        let mut out = Vec::new();
        let tally = &self.account.tally;
        call(connector, &mut Work { now: self.clock.now(), tally, out: &mut out });
        tally.outgoing(out.iter().map(Batch::items).sum());
        out
    }

    async fn deliver(&self, connector: &mut dyn Connector, batches: Vec<Batch>, call: &Call) -> Result<(), SendError> {
        let mut result = Ok(());
        if batches.is_empty() {
            return result;
        }
        let targets = self.chosen(connector);
        for batch in batches {
            for target in &targets {
                result = result.and(Box::pin(target.push(batch.clone(), call)).await);
            }
        }
        result
    }

    /// The pipelines that get what was emitted now.
    fn chosen(&self, connector: &mut dyn Connector) -> Vec<Arc<Pipeline>> {
        let targets = self.targets.load();
        let Some(router) = connector.as_router() else { return targets.to_vec() };
        let find = |id: &ComponentId| targets.iter().find(|target| target.name == id.as_str());
        let outlook = |id: &ComponentId| find(id).map_or(Outlook::Absent, |target| target.outlook());
        let chosen: Vec<Arc<Pipeline>> =
            router.route(self.clock.now(), &outlook).iter().filter_map(find).cloned().collect();
        // A choice of nothing would lose data.
        if chosen.is_empty() { targets.to_vec() } else { chosen }
    }
}
