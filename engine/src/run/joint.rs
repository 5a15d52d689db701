//! A connector between pipelines: it takes as an exporter of some and gives as a receiver of others, to all of them or to
//! those that it chooses.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use steadyline_component::{
    Batch, Clock, ComponentStatus, Connector, Outlook, SendError, SettleError, Shutdown, Tally, Work,
};
use steadyline_config::ComponentId;
use tokio::sync::Mutex;

use super::alarm::{Alarm, Rang};
use super::fall;
use super::pipeline::Pipeline;
use super::transit::{Destination, Transit};
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
    status: ComponentStatus,
    alarm: Alarm,
}

impl Joint {
    /// A connector whose targets are not known yet.
    pub fn new(
        mut connector: Box<dyn Connector>,
        account: Arc<Account>,
        (clock, status): (Clock, ComponentStatus),
    ) -> Joint {
        let chooses = connector.as_router().is_some();
        let (connector, gone) = (Mutex::new(connector), AtomicBool::new(false));
        let (targets, alarm) = (ArcSwap::default(), Alarm::new(clock.clone()));
        Joint { connector, chooses, account, targets, gone, clock, status, alarm }
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
        self.alarm.look();
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
        let transit = Transit::new(batch, self);
        let mut connector = self.connector.lock().await;
        if self.gone.load(Ordering::Relaxed) {
            transit.lose("reload", SettleError::Retryable("the connector is gone".into()));
            return Err(SendError::ShuttingDown);
        }
        let batch = transit.arrive();
        let receipts = batch.header.receipts.clone();
        self.account.tally.incoming(batch.items());
        let (batches, fell) = self.call(&mut **connector, |connector, work| connector.process(batch, work));
        let result = self.deliver(&mut **connector, batches, call).await;
        let wake = connector.wake_at();
        drop(connector);
        self.alarm.wish(wake);
        if fell {
            let error = SettleError::Retryable(format!("connector `{}` panicked", self.account.id));
            receipts.iter().for_each(|receipt| receipt.fail(error.clone()));
            return Err(error.into());
        }
        result
    }

    /// Wakes the connector at the times it asks for, until `stop` fires.
    pub async fn run_timers(&self, stop: Shutdown, hard_stop: Shutdown) {
        loop {
            let next = {
                let connector = self.connector.lock().await;
                let next = connector.wake_at();
                self.alarm.set(next);
                next
            };
            if self.gone.load(Ordering::Relaxed) {
                return;
            }
            match self.alarm.wait(next, &stop).await {
                Rang::Stop => return,
                Rang::Changed => continue,
                Rang::Due => {}
            }
            let mut connector = self.connector.lock().await;
            let (batches, fell) = self.call(&mut **connector, |connector, work| connector.wake(work));
            let _ = self.deliver(&mut **connector, batches, &Call::new(hard_stop.clone())).await;
            if fell {
                // It would be due again at once.
                return;
            }
        }
    }

    /// Lets the connector emit what waits.
    pub async fn drain(&self, hard_stop: &Shutdown) {
        let mut connector = self.connector.lock().await;
        let (batches, _) = self.call(&mut **connector, |connector, work| connector.drain(work));
        let _ = self.deliver(&mut **connector, batches, &Call::new(hard_stop.clone())).await;
    }

    /// What the connector emits, and whether it fell over.
    fn call(
        &self,
        connector: &mut (dyn Connector + 'static),
        call: impl FnOnce(&mut (dyn Connector + 'static), &mut Work<'_>),
    ) -> (Vec<Batch>, bool) {
        // It holds nothing back for itself.
        let (out, panic) = fall::call(connector, (self.clock.now(), &self.account.tally), |_| 0, call);
        if let Some(panic) = &panic {
            fall::fell(&format!("connector:{}", self.account.id), &self.status, &**panic);
        }
        (out, panic.is_some())
    }

    async fn deliver(&self, connector: &mut dyn Connector, batches: Vec<Batch>, call: &Call) -> Result<(), SendError> {
        if batches.is_empty() {
            return Ok(());
        }
        let targets = self.chosen(connector);
        // If this is given up while one is waited for, those behind it are counted.
        let each = batches.into_iter().flat_map(|batch| std::iter::repeat_n(batch, targets.len()).zip(&targets));
        let mut waiting: VecDeque<(Transit<'_>, &Arc<Pipeline>)> =
            each.map(|(batch, target)| (Transit::new(batch, &**target), target)).collect();
        let mut result = Ok(());
        while let Some((next, target)) = waiting.pop_front() {
            result = result.and(Box::pin(target.push(next.arrive(), call)).await);
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

impl Destination for Joint {
    fn books(&self) -> Vec<&Tally> {
        vec![&self.account.tally]
    }
}
