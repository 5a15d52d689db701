//! One branch of a fan-out: an exporter with its encoder, queue and workers; and the fan-out itself.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use steadyline_component::delivery::SettleError;
use steadyline_component::exporter::{DeliveryConfig, OnFull};
use steadyline_component::{
    Batch, Block, ComponentStatus, Encoded, Encoder, Instrument, Meter, SendError, Sender, Shutdown, Status,
};
use tokio::sync::{Notify, RwLock, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::queue::{Queue, Refused};
use super::worker;
use crate::books::Account;
use crate::gate::LogGate;
use crate::run::supervise;
use crate::telemetry::Traces;

/// How long attempts must have failed for the backend to count as failing.
const FAILING_AFTER: Duration = Duration::from_secs(10);

/// How long a full branch holds the source while another branch has room.
const PATIENCE: Duration = Duration::from_secs(5);

/// An exporter that sends blocks.
pub struct Branch {
    /// `exporter:otlp/x`, for logs.
    pub name: String,
    pub(super) encoder: Mutex<Box<dyn Encoder>>,
    /// The sender.
    pub sender: Arc<dyn Sender>,
    /// The shared keys of its config.
    pub delivery: DeliveryConfig,
    /// What waits. A branch that takes the place of another one goes on with its queue.
    pub queue: Arc<Queue>,
    /// Its books.
    pub account: Arc<Account>,
    /// Its place on the board.
    pub status: ComponentStatus,
    pub(super) attempts: Arc<Instrument>,
    pub(super) in_flight: Arc<Instrument>,
    pub(super) sent_bytes: Arc<Instrument>,
    retries: Arc<Instrument>,
    last_success: Arc<Instrument>,
    pub(super) retry_gate: LogGate,
    pub(super) reject_gate: LogGate,
    full_gate: LogGate,
    pub(super) traces: Traces,
    /// Read while an attempt is under way, so that workers can be stopped between two of them.
    pub(super) attempting: RwLock<()>,
    /// While it says so, nobody waits for room: a reload needs the way.
    hurried: watch::Sender<bool>,
    /// Since when attempts have failed, without one that did not.
    failing_since: Mutex<Option<Instant>>,
}

/// Blocks on their way into the queue. If whoever pushes them is gone, what is left is counted and its waiters told.
struct Unqueued<'a> {
    branch: &'a Branch,
    blocks: VecDeque<Block>,
    /// Why they are lost if they are.
    reason: &'static str,
}

/// What a reload tells who waits for room.
const RELOADING: &str = "there is no room, and a reload does not wait for it";

impl Drop for Unqueued<'_> {
    fn drop(&mut self) {
        let words = if self.reason == "shutdown" { "the process stopped before there was room" } else { RELOADING };
        let error = SettleError::Retryable(words.into());
        for block in &self.blocks {
            self.branch.lose(block, self.reason, &error);
        }
    }
}

impl Branch {
    /// A branch; its workers are not running yet. As the `heir` of another one it goes on with that one's queue, which
    /// must be halted before the workers of this one begin.
    pub fn new(
        name: String,
        (encoder, sender, delivery): (Box<dyn Encoder>, Arc<dyn Sender>, DeliveryConfig),
        account: Arc<Account>,
        status: ComponentStatus,
        meter: &Meter,
        traces: Traces,
        heir: Option<&Branch>,
    ) -> Branch {
        let size = delivery.queue.queue_size.as_usize() as u64;
        let new = || Arc::new(Queue::new(size, *delivery.queue.shards().end(), Arc::clone(&account)));
        let queue = heir.map_or_else(new, |old| Arc::clone(&old.queue));
        let counter = |name, help| meter.counter(name, help, &[]);
        Branch {
            name,
            encoder: Mutex::new(encoder),
            sender,
            queue,
            account,
            status,
            attempts: counter("exporter_requests", "Attempts at sending a request."),
            in_flight: meter.gauge("exporter_in_flight_requests", "Requests that have no answer yet.", &[]),
            sent_bytes: counter("exporter_sent_bytes", "Bytes of delivered requests, compressed."),
            retries: counter("exporter_retries", "Attempts that failed and were or will be repeated."),
            last_success: meter.gauge(
                "exporter_last_success_timestamp_seconds",
                "When the backend last took a request, Unix time; 0 if it never did.",
                &[],
            ),
            retry_gate: LogGate::new(Duration::from_secs(30)),
            reject_gate: LogGate::new(Duration::from_secs(30)),
            full_gate: LogGate::new(Duration::from_secs(30)),
            traces,
            attempting: RwLock::new(()),
            hurried: watch::Sender::new(false),
            failing_since: Mutex::new(None),
            delivery,
        }
    }

    /// Starts one worker a shard.
    pub fn spawn_workers(self: &Arc<Self>, tasks: &mut JoinSet<()>) {
        for shard in 0..self.queue.shards() {
            let work = worker::work(Arc::clone(self), shard);
            tasks.spawn(supervise(self.name.clone(), self.status.clone(), work));
        }
    }

    /// Stops the workers between two attempts, or in the middle of one that does not end in time: its block stays in the
    /// queue like all others.
    pub async fn halt(&self, mut workers: JoinSet<()>, patience: Duration) {
        // While this is held no attempt begins, so whoever is stopped now has nothing on the wire.
        let quiet = tokio::time::timeout(patience, self.attempting.write()).await;
        workers.shutdown().await;
        drop(quiet);
    }

    /// While `hurried`, whoever finds no room is told to try again at once, and what it brought is counted.
    pub fn hurry(&self, hurried: bool) {
        self.hurried.send_replace(hurried);
    }

    /// Whether the backend has taken nothing for some time though it was asked, and something waits for it.
    pub fn is_failing(&self) -> bool {
        let since = *self.failing_since.lock().unwrap_or_else(PoisonError::into_inner);
        since.is_some_and(|since| since.elapsed() >= FAILING_AFTER) && !self.queue.is_empty()
    }

    /// Encodes a batch into blocks; what the encoder leaves out is counted there.
    fn encode(&self, batch: &Batch) -> Unqueued<'_> {
        self.account.tally.incoming(batch.items());
        let mut blocks = Vec::new();
        let mut encoder = self.encoder.lock().unwrap_or_else(PoisonError::into_inner);
        encoder.encode(batch, self.queue.shards(), &mut Encoded { blocks: &mut blocks, tally: &self.account.tally });
        drop(encoder);
        for block in &mut blocks {
            block.receipts.clone_from(&batch.header.receipts);
            // From here on the queue's own bound holds.
            block.permit = None;
        }
        self.queue.announce(blocks.iter().map(|block| block.items).sum());
        Unqueued { branch: self, blocks: blocks.into(), reason: "shutdown" }
    }

    /// Counts a block that will not be queued, and tells its waiters.
    fn lose(&self, block: &Block, reason: &'static str, error: &SettleError) {
        self.queue.renounce(block.items);
        self.account.tally.dropped(reason, block.items);
        block.receipts.iter().for_each(|receipt| receipt.fail(error.clone()));
    }

    fn drop_full(&self, block: &Block) {
        self.lose(block, "queue_full", &SettleError::Final(format!("the queue of {} is full", self.name)));
        if let Some(more) = self.full_gate.pass() {
            tracing::error!(component = %self.name, items = block.items, suppressed = more,
                "the queue has been full for 5 s while other exporters have room: {} items are lost", block.items);
        }
    }

    /// What tells this branch from others in one fan-out.
    fn key(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    pub(super) fn retried(&self, reason: &str, message: &str) {
        self.retries.add(1.0);
        self.failing_since.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(Instant::now);
        self.status.set(Status::Degraded(format!("{reason}: {message}")));
        if let Some(more) = self.retry_gate.pass() {
            tracing::warn!(component = %self.name, reason, suppressed = more, queued_items = self.queue.items(),
                "a request failed and will be repeated, nothing is lost: {message}");
        }
    }

    pub(super) fn delivered(&self) {
        let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        self.last_success.set(clock.map_or(0.0, |since| since.as_secs_f64()));
        self.status.set(Status::Ok);
        *self.failing_since.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.retry_gate.reset();
    }

    /// Gives up what is left after the drain deadline, for this reason; returns how many items that are.
    pub fn abandon(&self, reason: &'static str) -> u64 {
        let blocks = self.queue.drain();
        let items = blocks.iter().map(|block| block.items).sum();
        self.account.tally.dropped(reason, items);
        for receipt in blocks.iter().flat_map(|block| &block.receipts) {
            receipt.fail(SettleError::Retryable("the exporter stopped before the backend took it".into()));
        }
        items
    }
}

/// What the branches of one fan-out know of each other: a branch without room holds the source for ever if no other
/// branch has room either, and at most [`PATIENCE`] otherwise. One call spans every pipeline that a batch goes to.
#[derive(Debug)]
pub struct Call {
    state: Mutex<CallState>,
    changed: Notify,
    hard_stop: Shutdown,
}

#[derive(Debug, Default)]
struct CallState {
    /// Branches that took what they were last given.
    roomy: Vec<usize>,
    /// Since when a branch has held up this call.
    waiting_since: BTreeMap<usize, Instant>,
}

impl Call {
    /// A fan-out that gives up waiting for room when `hard_stop` fires.
    pub fn new(hard_stop: Shutdown) -> Call {
        Call { state: Mutex::default(), changed: Notify::new(), hard_stop }
    }

    /// Notes that something that is not a branch with a queue took its share.
    pub fn sink_had_room<T: ?Sized>(&self, sink: &Arc<T>) {
        self.had_room(Arc::as_ptr(sink).addr());
    }

    fn had_room(&self, key: usize) {
        let mut state = self.lock();
        if !state.roomy.contains(&key) {
            state.roomy.push(key);
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// Encodes a batch and puts its blocks into the branch's queue, in order. Resolves when all are in, or dropped
    /// and counted.
    ///
    /// # Errors
    /// The process stops or a reload needs the way, and there is still no room; what was not taken is counted.
    pub async fn push(&self, branch: &Branch, batch: &Batch) -> Result<(), SendError> {
        let mut unqueued = branch.encode(batch);
        while let Some(block) = unqueued.blocks.pop_front() {
            if let Err(block) = self.push_block(branch, block, &mut unqueued).await {
                unqueued.blocks.push_front(*block);
                if self.hard_stop.fired() || !*branch.hurried.borrow() {
                    return Err(SendError::ShuttingDown);
                }
                unqueued.reason = "reload";
                return Err(SettleError::Retryable(RELOADING.into()).into());
            }
        }
        Ok(())
    }

    /// Pushes one block; gives it back only if the process stops, or a reload needs the way, while there is no room.
    async fn push_block(
        &self,
        branch: &Branch,
        mut block: Block,
        unqueued: &mut Unqueued<'_>,
    ) -> Result<(), Box<Block>> {
        loop {
            let room = branch.queue.room();
            let changed = self.changed.notified();
            tokio::pin!(room, changed);
            room.as_mut().enable();
            changed.as_mut().enable();
            match branch.queue.try_push(block) {
                Ok(()) => {
                    self.had_room(branch.key());
                    return Ok(());
                }
                Err(Refused::Closed(back)) => return Err(back),
                Err(Refused::Full(back)) => block = *back,
            }
            let impatient = self.is_full(branch) && branch.delivery.queue.on_full == OnFull::DropNewest;
            let deadline = self.deadline(branch);
            if impatient && deadline <= Instant::now() {
                branch.drop_full(&block);
                return Ok(());
            }
            // While it waits, the block is where a cancelled call would leave it: counted.
            unqueued.blocks.push_front(block);
            let mut hurried = branch.hurried.subscribe();
            // The sender lives in the branch, so the channel cannot close while we wait.
            let hurried = hurried.wait_for(|hurried| *hurried);
            let gives_up = tokio::select! {
                biased;
                () = self.hard_stop.wait() => true,
                _ = hurried => true,
                () = room => false,
                () = changed => false,
                () = tokio::time::sleep_until(deadline), if impatient => false,
            };
            // One of the blocks was just put back, so there is a first.
            match unqueued.blocks.pop_front() {
                Some(first) if gives_up => return Err(Box::new(first)),
                Some(first) => block = first,
                None => return Ok(()),
            }
        }
    }

    /// Notes that a branch has no room; says whether another one has.
    fn is_full(&self, branch: &Branch) -> bool {
        let mut state = self.lock();
        state.roomy.retain(|&key| key != branch.key());
        state.waiting_since.entry(branch.key()).or_insert_with(Instant::now);
        !state.roomy.is_empty()
    }

    /// When the patience with a full branch ends: it counts from when the queue became full or this call first
    /// waited for it, whichever was earlier, so that one call is never held longer.
    fn deadline(&self, branch: &Branch) -> Instant {
        let now = Instant::now();
        let waiting = self.lock().waiting_since.get(&branch.key()).copied().unwrap_or(now);
        branch.queue.full_since().unwrap_or(now).min(waiting) + PATIENCE
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, CallState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
