//! A pipeline is a chain of awaited calls: processors in order, then a fan-out. It has no queue of its own.
//! One batch is in the chain at a time, so order is kept and processors need no locks.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use steadyline_component::receiver::ShutdownTrigger;
use steadyline_component::{
    Batch, Clock, ComponentStatus, Host, Instrument, Outlook, Processor, SendError, SettleError, Shutdown, StartError,
    Tally, Work,
};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::alarm::{Alarm, Rang};
use super::fall;
use super::keeping::a_moment_after;
use super::outlets::Outlets;
use super::swap::PATIENCE;
use super::transit::{Destination, Transit};
use crate::books::Account;
use crate::delivery::Call;

/// A processor that wants to be woken within this time has more to say now.
const AT_ONCE: Duration = Duration::from_millis(2);

/// One pipeline.
pub struct Pipeline {
    /// Its id.
    pub name: String,
    pub(super) stages: Arc<Mutex<Vec<Stage>>>,
    outlets: Outlets,
    /// The books of its first processor, if it has one.
    first: Option<Arc<Account>>,
    /// Why nobody gets in any more: a reload took it away or put another one in its place, or the process stops.
    gone: OnceLock<&'static str>,
    clock: Clock,
    status: ComponentStatus,
    alarm: Alarm,
}

/// A processor in its place.
pub struct Stage {
    /// The processor.
    pub processor: Box<dyn Processor>,
    /// Its books.
    pub account: Arc<Account>,
    /// How many series it keeps state for.
    pub series: Arc<Instrument>,
    /// How often its state could not be kept at an end.
    pub unkept: Arc<Instrument>,
    /// Fires when the processor is gone: what it does in tasks of its own ends then.
    pub life: Option<ShutdownTrigger>,
    /// Whether it fell over since somebody looked.
    pub(crate) fell: bool,
}

impl Pipeline {
    /// A pipeline of processors and where its data goes.
    pub fn new(
        name: String,
        stages: Vec<Stage>,
        (first, outlets): (Option<Arc<Account>>, Outlets),
        (clock, status): (Clock, ComponentStatus),
    ) -> Pipeline {
        let (stages, gone, alarm) = (Arc::new(Mutex::new(stages)), OnceLock::new(), Alarm::new(clock.clone()));
        Pipeline { name, stages, outlets, first, gone, clock, status, alarm }
    }

    /// Where its data goes.
    pub fn outlets(&self) -> &Outlets {
        &self.outlets
    }

    /// Starts every processor, in order.
    ///
    /// # Errors
    /// The first that could not start.
    pub async fn start(&self, host: &Host) -> Result<(), StartError> {
        for stage in self.stages.lock().await.iter_mut() {
            let id = &stage.account.id;
            let (life, shutdown) = Shutdown::new();
            let host = Host { shutdown, ..host.clone() };
            stage.life = Some(life);
            let failed = |error| StartError(format!("processor `{id}` could not start: {error}"));
            stage.processor.start(&host).await.map_err(failed)?;
        }
        Ok(())
    }

    /// Takes a batch through the chain and into every branch.
    ///
    /// # Errors
    /// See [`Call::push`].
    pub async fn push(&self, batch: Batch, call: &Call) -> Result<(), SendError> {
        let transit = Transit::new(batch, self);
        let mut stages = self.stages.lock().await;
        if let Some(reason) = self.gone.get() {
            transit.lose(reason, SettleError::Retryable("the pipeline is gone".into()));
            return Err(SendError::ShuttingDown);
        }
        let batches = self.through(&mut stages, 0, vec![transit.arrive()]);
        let fell = stages.iter_mut().fold(false, |fell, stage| std::mem::take(&mut stage.fell) | fell);
        let result = self.outlets.push(batches, call).await;
        let wake = next_wake(&stages);
        drop(stages);
        self.alarm.wish(wake);
        if fell {
            return Err(SettleError::Retryable(format!("a processor of pipeline `{}` panicked", self.name)).into());
        }
        result
    }

    /// Whether something that comes out of the pipeline now would find room in at least one place.
    pub fn has_room(&self) -> bool {
        self.outlets.has_room()
    }

    /// How it fares: as the worst of its exporters.
    pub fn outlook(&self) -> Outlook {
        self.outlets.outlook()
    }

    /// Waits, for at most `limit`, while processors want to be woken at once: what they have to say takes several steps.
    pub(super) async fn settle(&self, limit: Duration) {
        let settled = async {
            while next_wake(&self.stages.lock().await).is_some_and(|at| at <= self.clock.now().mono + AT_ONCE) {
                tokio::time::sleep(AT_ONCE).await;
            }
        };
        // Whatever is not said by then is not worth waiting for.
        let _ = tokio::time::timeout(limit, settled).await;
    }

    /// Keeps everybody out until the guard is gone: for a pipeline that waits for the stages of another one.
    /// `None` if somebody is inside.
    pub(super) fn hold(&self) -> Option<OwnedMutexGuard<Vec<Stage>>> {
        Arc::clone(&self.stages).try_lock_owned().ok()
    }

    /// Ends the pipeline, once what is inside is through. The stages at the places of `keep` come out with all they hold;
    /// the others let go of it first, down the old way. Those of `replaced` have kept their state before.
    pub(super) async fn dissolve(
        &self,
        keep: &[usize],
        replaced: &[usize],
        hard_stop: &Shutdown,
    ) -> Vec<(usize, Stage)> {
        let mut stages = self.stages.lock().await;
        for index in (0..stages.len()).filter(|index| !keep.contains(index)) {
            stages[index].life.iter().for_each(ShutdownTrigger::fire);
            self.drain_stage(&mut stages, index, hard_stop).await;
            let stage = &mut stages[index];
            if !replaced.contains(&index) {
                // A reload waits no longer for a storage than for anything else, and a stop less.
                let time_is_up = async { drop(tokio::time::timeout(PATIENCE, a_moment_after(hard_stop)).await) };
                stage.keep(&self.name, time_is_up).await;
            }
            // Whatever does not come out is lost with the processor.
            let tally = &stage.account.tally;
            tally.dropped("removed", stage.processor.held());
            tally.set_held(0);
        }
        // Nobody points here any more; who still does is told to try again.
        let _ = self.gone.set("reload");
        let taken = std::mem::take(&mut *stages);
        drop(stages);
        self.alarm.look();
        taken.into_iter().enumerate().filter(|(index, _)| keep.contains(index)).collect()
    }

    /// It was made and will not run: what its processors do in tasks of their own ends.
    pub(super) fn abandon(&self) {
        let stages = self.stages.try_lock();
        stages
            .iter()
            .flat_map(|stages| stages.iter())
            .filter_map(|stage| stage.life.as_ref())
            .for_each(ShutdownTrigger::fire);
    }

    /// Nobody gets in any more, because the process stops: what is not out by now would stay inside.
    pub(super) fn close(&self) {
        // One that is gone is closed.
        let _ = self.gone.set("shutdown");
    }

    /// Wakes processors at the times they ask for, until `stop` fires.
    pub async fn run_timers(&self, stop: Shutdown, hard_stop: Shutdown) {
        loop {
            let next = {
                let stages = self.stages.lock().await;
                if self.gone.get().is_some() {
                    return;
                }
                let next = next_wake(&stages);
                self.alarm.set(next);
                next
            };
            match self.alarm.wait(next, &stop).await {
                Rang::Stop => return,
                Rang::Changed => continue,
                Rang::Due => {}
            }
            let mut stages = self.stages.lock().await;
            for index in 0..stages.len() {
                let due = stages[index].processor.wake_at().is_some_and(|at| at <= self.clock.now().mono);
                if due {
                    let batches = self.call_stage(&mut stages[index], |processor, work| processor.wake(work));
                    self.rest(&mut stages, index + 1, batches, &hard_stop).await;
                }
                if stages[index].fell {
                    // It would be due again at once.
                    return;
                }
            }
        }
    }

    /// Lets every processor emit what waits, in order. What processors do in tasks of their own ends.
    pub async fn drain(&self, hard_stop: &Shutdown) {
        let mut stages = self.stages.lock().await;
        stages.iter().filter_map(|stage| stage.life.as_ref()).for_each(ShutdownTrigger::fire);
        for index in 0..stages.len() {
            self.drain_stage(&mut stages, index, hard_stop).await;
        }
    }

    async fn drain_stage(&self, stages: &mut [Stage], index: usize, hard_stop: &Shutdown) {
        let batches = self.call_stage(&mut stages[index], |processor, work| processor.drain(work));
        self.rest(stages, index + 1, batches, hard_stop).await;
    }

    /// The rest of the way for what a processor emitted by itself.
    async fn rest(&self, stages: &mut [Stage], from: usize, batches: Vec<Batch>, hard_stop: &Shutdown) {
        let batches = self.through(stages, from, batches);
        // The only failures are those of components and the end of the process, which are counted where they happen.
        let _ = self.outlets.push(batches, &Call::new(hard_stop.clone())).await;
    }

    fn through(&self, stages: &mut [Stage], from: usize, mut batches: Vec<Batch>) -> Vec<Batch> {
        for stage in &mut stages[from..] {
            let mut next = Vec::with_capacity(batches.len());
            for batch in batches {
                let receipts = batch.header.receipts.clone();
                let before = std::mem::take(&mut stage.fell);
                stage.account.tally.incoming(batch.items());
                next.extend(self.call_stage(stage, |processor, work| processor.process(batch, work)));
                if stage.fell {
                    let error = SettleError::Retryable(format!("processor `{}` panicked", stage.account.id));
                    receipts.iter().for_each(|receipt| receipt.fail(error.clone()));
                }
                stage.fell |= before;
            }
            batches = next;
        }
        batches
    }

    fn call_stage(
        &self,
        stage: &mut Stage,
        call: impl FnOnce(&mut (dyn Processor + 'static), &mut Work<'_>),
    ) -> Vec<Batch> {
        let books = (self.clock.now(), &stage.account.tally);
        let (out, panic) = fall::call(&mut *stage.processor, books, |processor| processor.held(), call);
        match panic {
            Some(panic) => {
                stage.fell = true;
                fall::fell(&format!("pipeline:{}", self.name), &self.status, &*panic);
            }
            None => stage.series.set(stage.processor.series() as f64),
        }
        out
    }
}

impl Destination for Pipeline {
    fn books(&self) -> Vec<&Tally> {
        match &self.first {
            Some(first) => vec![&first.tally],
            None => self.outlets.books(),
        }
    }
}

fn next_wake(stages: &[Stage]) -> Option<Duration> {
    stages.iter().filter_map(|stage| stage.processor.wake_at()).min()
}
