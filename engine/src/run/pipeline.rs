//! A pipeline is a chain of awaited calls: processors in order, then a fan-out. It has no queue of its own.
//! One batch is in the chain at a time, so order is kept and processors need no locks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use steadyline_component::receiver::ShutdownTrigger;
use steadyline_component::{
    Batch, Clock, Host, Instrument, Outlook, Processor, SendError, Shutdown, Sink, StartError, Tally, Work,
};
use tokio::sync::{Mutex, Notify, OwnedMutexGuard};

use super::joint::Joint;
use crate::books::Account;
use crate::delivery::{Branch, Call};

/// How long a backend must have failed for its pipeline to count as failing.
const FAILING_AFTER: Duration = Duration::from_secs(10);

/// A processor that wants to be woken within this time has more to say now.
const AT_ONCE: Duration = Duration::from_millis(2);

/// One pipeline.
pub struct Pipeline {
    /// Its id.
    pub name: String,
    stages: Arc<Mutex<Vec<Stage>>>,
    outlets: Outlets,
    /// A reload took it away, or put another one in its place. Read under the lock of the stages.
    gone: AtomicBool,
    clock: Clock,
    /// Tells the timer task that a processor wants an earlier moment.
    rescheduled: Notify,
    /// When the timer task means to wake, in nanoseconds of the monotonic clock.
    scheduled: AtomicU64,
}

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

impl Outlets {
    /// Whether these are the very same.
    pub(crate) fn are(&self, other: &Outlets) -> bool {
        fn same<T: ?Sized>(a: &[Arc<T>], b: &[Arc<T>]) -> bool {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| Arc::ptr_eq(a, b))
        }
        same(&self.branches, &other.branches) && same(&self.sinks, &other.sinks) && same(&self.joints, &other.joints)
    }
}

/// A processor in its place.
pub struct Stage {
    /// The processor.
    pub processor: Box<dyn Processor>,
    /// Its books.
    pub account: Arc<Account>,
    /// How many series it keeps state for.
    pub series: Arc<Instrument>,
    /// Fires when the processor is gone: what it does in tasks of its own ends then.
    pub life: Option<ShutdownTrigger>,
}

/// An exporter that takes batches as they are.
pub struct SinkNode {
    /// The sink.
    pub sink: Arc<dyn Sink>,
    /// Its books.
    pub account: Arc<Account>,
}

impl Pipeline {
    /// A pipeline of processors and where its data goes.
    pub fn new(name: String, stages: Vec<Stage>, outlets: Outlets, clock: Clock) -> Pipeline {
        let (stages, gone) = (Arc::new(Mutex::new(stages)), AtomicBool::new(false));
        let scheduled = AtomicU64::new(u64::MAX);
        Pipeline { name, stages, outlets, gone, clock, rescheduled: Notify::new(), scheduled }
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
        let mut stages = self.stages.lock().await;
        if self.gone.load(Ordering::Relaxed) {
            // Nobody points here any more; who still does is told to try again.
            return Err(SendError::ShuttingDown);
        }
        let batches = self.through(&mut stages, 0, vec![batch]);
        let result = self.deliver(batches, call).await;
        let wake = next_wake(&stages);
        drop(stages);
        self.reschedule(wake);
        result
    }

    /// Whether something that comes out of the pipeline now would find room in at least one place.
    pub fn has_room(&self) -> bool {
        let Outlets { branches, sinks, joints } = &self.outlets;
        !sinks.is_empty()
            || branches.iter().any(|branch| !branch.queue.is_full())
            || joints.iter().any(|joint| joint.has_room())
    }

    /// How it fares: as the worst of its exporters.
    pub fn outlook(&self) -> Outlook {
        let branches = self.outlets.branches.iter().map(|branch| match branch {
            branch if branch.queue.is_full() => Outlook::Full,
            branch if branch.is_failing(FAILING_AFTER) && !branch.queue.is_empty() => Outlook::Failing,
            _ => Outlook::Works,
        });
        let joints = self.outlets.joints.iter().map(|joint| joint.outlook());
        branches.chain(joints).max().unwrap_or(Outlook::Works)
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
    /// the others let go of it first, down the old way.
    pub(super) async fn dissolve(&self, keep: &[usize], hard_stop: &Shutdown) -> Vec<(usize, Stage)> {
        let mut stages = self.stages.lock().await;
        for index in (0..stages.len()).filter(|index| !keep.contains(index)) {
            let batches = self.call_stage(&mut stages[index], |processor, work| processor.drain(work));
            let batches = self.through(&mut stages, index + 1, batches);
            let _ = self.deliver(batches, &Call::new(hard_stop.clone())).await;
            // Whatever does not come out is lost with the processor.
            let tally = &stages[index].account.tally;
            tally.dropped("removed", stages[index].processor.held());
            tally.set_held(0);
        }
        self.gone.store(true, Ordering::Relaxed);
        let taken = std::mem::take(&mut *stages);
        drop(stages);
        self.rescheduled.notify_one();
        taken.into_iter().enumerate().filter(|(index, _)| keep.contains(index)).collect()
    }

    /// Tells the timer task only if a processor wants to be woken earlier than that task means to.
    fn reschedule(&self, wake: Option<Duration>) {
        let wake = wake.map_or(u64::MAX, |at| at.as_nanos() as u64);
        if wake < self.scheduled.load(Ordering::Relaxed) {
            self.rescheduled.notify_one();
        }
    }

    /// Wakes processors at the times they ask for, until `stop` fires.
    pub async fn run_timers(&self, stop: Shutdown, hard_stop: Shutdown) {
        loop {
            let next = {
                let stages = self.stages.lock().await;
                if self.gone.load(Ordering::Relaxed) {
                    return;
                }
                let next = next_wake(&stages);
                // Under the lock: whoever changes a wish later sees what is scheduled.
                self.scheduled.store(next.map_or(u64::MAX, |at| at.as_nanos() as u64), Ordering::Relaxed);
                next
            };
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
            let mut stages = self.stages.lock().await;
            for index in 0..stages.len() {
                let due = stages[index].processor.wake_at().is_some_and(|at| at <= self.clock.now().mono);
                if due {
                    let batches = self.call_stage(&mut stages[index], |processor, work| processor.wake(work));
                    let batches = self.through(&mut stages, index + 1, batches);
                    // The only failure is the end of the process, which is counted where it happens.
                    let _ = self.deliver(batches, &Call::new(hard_stop.clone())).await;
                }
            }
        }
    }

    /// Lets every processor emit what waits, in order. What processors do in tasks of their own ends.
    pub async fn drain(&self, hard_stop: &Shutdown) {
        let mut stages = self.stages.lock().await;
        stages.iter().filter_map(|stage| stage.life.as_ref()).for_each(ShutdownTrigger::fire);
        for index in 0..stages.len() {
            let batches = self.call_stage(&mut stages[index], |processor, work| processor.drain(work));
            let batches = self.through(&mut stages, index + 1, batches);
            let _ = self.deliver(batches, &Call::new(hard_stop.clone())).await;
        }
    }

    fn through(&self, stages: &mut [Stage], from: usize, mut batches: Vec<Batch>) -> Vec<Batch> {
        for stage in &mut stages[from..] {
            let mut next = Vec::with_capacity(batches.len());
            for batch in batches {
                stage.account.tally.incoming(batch.items());
                next.extend(self.call_stage(stage, |processor, work| processor.process(batch, work)));
            }
            batches = next;
        }
        batches
    }

    fn call_stage(&self, stage: &mut Stage, call: impl FnOnce(&mut dyn Processor, &mut Work<'_>)) -> Vec<Batch> {
        let mut out = Vec::new();
        let tally = &stage.account.tally;
        call(&mut *stage.processor, &mut Work { now: self.clock.now(), tally, out: &mut out });
        tally.outgoing(out.iter().map(Batch::items).sum());
        tally.set_held(stage.processor.held());
        stage.series.set(stage.processor.series() as f64);
        out
    }

    async fn deliver(&self, batches: Vec<Batch>, call: &Call) -> Result<(), SendError> {
        let mut result = Ok(());
        for batch in batches {
            let Outlets { branches, sinks, joints } = &self.outlets;
            for node in sinks {
                node.consume(batch.clone()).await;
                if node.sink.counts_as_branch() {
                    call.sink_had_room(node);
                }
            }
            for joint in joints {
                result = result.and(Box::pin(joint.push(batch.clone(), call)).await);
            }
            let pushes = branches.iter().map(|branch| call.push(branch, &batch));
            for pushed in futures_util::future::join_all(pushes).await {
                result = result.and(pushed);
            }
        }
        result
    }
}

fn next_wake(stages: &[Stage]) -> Option<Duration> {
    stages.iter().filter_map(|stage| stage.processor.wake_at()).min()
}

impl SinkNode {
    async fn consume(&self, batch: Batch) {
        let items = batch.items();
        let local = Tally::default();
        self.sink.consume(batch, &local).await;
        let spent = local.balance();
        let tally = &self.account.tally;
        tally.incoming(items);
        tally.merged(spent.merged);
        let lost: u64 = spent.dropped.values().sum();
        debug_assert!(lost + spent.merged <= items, "a sink cannot lose more than it was given");
        spent.dropped.into_iter().for_each(|(reason, items)| tally.dropped(reason, items));
        tally.outgoing(items.saturating_sub(lost + spent.merged));
    }
}
