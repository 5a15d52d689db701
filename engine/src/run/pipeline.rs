//! A pipeline is a chain of awaited calls: processors in order, then a fan-out. It has no queue of its own.
//! One batch is in the chain at a time, so order is kept and processors need no locks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use steadyline_component::{
    Batch, Clock, Connector, Host, Instrument, Processor, SendError, Shutdown, Sink, StartError, Tally, Work,
};
use tokio::sync::{Mutex, Notify};

use crate::books::Account;
use crate::delivery::{Branch, Call};

/// One pipeline.
pub struct Pipeline {
    /// Its id.
    pub name: String,
    stages: Mutex<Vec<Stage>>,
    branches: Vec<Arc<Branch>>,
    sinks: Vec<Arc<SinkNode>>,
    joints: Vec<Arc<Joint>>,
    clock: Clock,
    /// Tells the timer task that a processor wants an earlier moment.
    rescheduled: Notify,
    /// When the timer task means to wake, in nanoseconds of the monotonic clock.
    scheduled: AtomicU64,
}

/// A processor in its place.
pub struct Stage {
    /// The processor.
    pub processor: Box<dyn Processor>,
    /// Its books.
    pub account: Arc<Account>,
    /// How many series it keeps state for.
    pub series: Arc<Instrument>,
}

/// An exporter that takes batches as they are.
pub struct SinkNode {
    /// The sink.
    pub sink: Arc<dyn Sink>,
    /// Its books.
    pub account: Arc<Account>,
}

/// A connector between pipelines.
pub struct Joint {
    connector: Mutex<Box<dyn Connector>>,
    account: Arc<Account>,
    /// Pipelines on its receiver side; known once all pipelines are.
    targets: OnceLock<Vec<Arc<Pipeline>>>,
    clock: Clock,
    rescheduled: Notify,
}

impl Pipeline {
    /// A pipeline of processors and where its data goes.
    pub fn new(
        name: String,
        stages: Vec<Stage>,
        branches: Vec<Arc<Branch>>,
        sinks: Vec<Arc<SinkNode>>,
        joints: Vec<Arc<Joint>>,
        clock: Clock,
    ) -> Pipeline {
        let stages = Mutex::new(stages);
        let scheduled = AtomicU64::new(u64::MAX);
        Pipeline { name, stages, branches, sinks, joints, clock, rescheduled: Notify::new(), scheduled }
    }

    /// Starts every processor, in order.
    ///
    /// # Errors
    /// The first that could not start.
    pub async fn start(&self, host: &Host) -> Result<(), StartError> {
        for stage in self.stages.lock().await.iter_mut() {
            let id = &stage.account.id;
            let failed = |error| StartError(format!("processor `{id}` could not start: {error}"));
            stage.processor.start(host).await.map_err(failed)?;
        }
        Ok(())
    }

    /// Takes a batch through the chain and into every branch.
    ///
    /// # Errors
    /// See [`Call::push`].
    pub async fn push(&self, batch: Batch, call: &Call) -> Result<(), SendError> {
        let mut stages = self.stages.lock().await;
        let batches = self.through(&mut stages, 0, vec![batch]);
        let result = self.deliver(batches, call).await;
        let wake = next_wake(&stages);
        drop(stages);
        self.reschedule(wake);
        result
    }

    /// Whether something that comes out of the pipeline now would find room in at least one place.
    pub fn has_room(&self) -> bool {
        !self.sinks.is_empty()
            || self.branches.iter().any(|branch| !branch.queue.is_full())
            || self.joints.iter().any(|joint| joint.has_room())
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

    /// Lets every processor emit what waits, in order.
    pub async fn drain(&self, hard_stop: &Shutdown) {
        let mut stages = self.stages.lock().await;
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
            for node in &self.sinks {
                node.consume(batch.clone()).await;
                if node.sink.counts_as_branch() {
                    call.sink_had_room(node);
                }
            }
            for joint in &self.joints {
                result = result.and(Box::pin(joint.push(batch.clone(), call)).await);
            }
            let pushes = self.branches.iter().map(|branch| call.push(branch, &batch));
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

impl Joint {
    /// A connector whose targets are not known yet.
    pub fn new(connector: Box<dyn Connector>, account: Arc<Account>, clock: Clock) -> Joint {
        let connector = Mutex::new(connector);
        Joint { connector, account, targets: OnceLock::new(), clock, rescheduled: Notify::new() }
    }

    /// Says where the connector's data goes; once.
    pub fn set_targets(&self, targets: Vec<Arc<Pipeline>>) {
        // Set once by the builder; a second call would be a bug there and changes nothing.
        let _ = self.targets.set(targets);
    }

    fn has_room(&self) -> bool {
        self.targets.get().is_some_and(|targets| targets.iter().any(|target| target.has_room()))
    }

    async fn push(&self, batch: Batch, call: &Call) -> Result<(), SendError> {
        let mut connector = self.connector.lock().await;
        self.account.tally.incoming(batch.items());
        let batches = self.call(&mut **connector, |connector, work| connector.process(batch, work));
        let result = self.deliver(batches, call).await;
        drop(connector);
        self.rescheduled.notify_one();
        result
    }

    /// Wakes the connector at the times it asks for, until `stop` fires.
    pub async fn run_timers(&self, stop: Shutdown, hard_stop: Shutdown) {
        loop {
            let next = self.connector.lock().await.wake_at();
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
            let _ = self.deliver(batches, &Call::new(hard_stop.clone())).await;
        }
    }

    /// Lets the connector emit what waits.
    pub async fn drain(&self, hard_stop: &Shutdown) {
        let mut connector = self.connector.lock().await;
        let batches = self.call(&mut **connector, |connector, work| connector.drain(work));
        let _ = self.deliver(batches, &Call::new(hard_stop.clone())).await;
    }

    fn call(&self, connector: &mut dyn Connector, call: impl FnOnce(&mut dyn Connector, &mut Work<'_>)) -> Vec<Batch> {
        let mut out = Vec::new();
        let tally = &self.account.tally;
        call(connector, &mut Work { now: self.clock.now(), tally, out: &mut out });
        tally.outgoing(out.iter().map(Batch::items).sum());
        out
    }

    async fn deliver(&self, batches: Vec<Batch>, call: &Call) -> Result<(), SendError> {
        let mut result = Ok(());
        for batch in batches {
            for target in self.targets.get().map(Vec::as_slice).unwrap_or_default() {
                result = result.and(Box::pin(target.push(batch.clone(), call)).await);
            }
        }
        result
    }
}
