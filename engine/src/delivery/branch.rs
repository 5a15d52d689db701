//! One branch of a fan-out: an exporter with its encoder, queue, circuit and workers.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use steadyline_component::delivery::SettleError;
use steadyline_component::exporter::DeliveryConfig;
use steadyline_component::{
    Batch, Block, Clock, ComponentStatus, Encoded, Encoder, Instrument, Meter, Owner, SendError, Sender, StartError,
    Status, Storage, Tally,
};
use tokio::sync::{RwLock, watch};
use tokio::task::JoinSet;

use super::circuit::Circuit;
use super::dead_letter::DeadLetters;
use super::disk::DiskQueue;
use super::queue::{Layout, PutAway, Queue, Write};
use super::worker;
use crate::books::Account;
use crate::gate::LogGate;
use crate::run::supervise;
use crate::telemetry::Traces;

/// Between two lines in the log about the same.
const QUIET: Duration = Duration::from_secs(30);

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
    /// Whether the backend is worth asking.
    pub circuit: Circuit,
    /// Its books.
    pub account: Arc<Account>,
    /// Its place on the board.
    pub status: ComponentStatus,
    /// Where its queue lives on disk, if it does.
    storage: Option<(Arc<dyn Storage>, Owner)>,
    pub(super) dead_letters: Option<Arc<DeadLetters>>,
    pub(super) attempts: Arc<Instrument>,
    pub(super) in_flight: Arc<Instrument>,
    pub(super) sent_bytes: Arc<Instrument>,
    pub(super) replayed: Arc<Instrument>,
    retries: Arc<Instrument>,
    last_success: Arc<Instrument>,
    pub(super) retry_gate: LogGate,
    pub(super) reject_gate: LogGate,
    pub(super) full_gate: LogGate,
    pub(super) disk_gate: LogGate,
    pub(super) letter_gate: LogGate,
    pub(super) traces: Traces,
    /// Read while an attempt is under way, so that workers can be stopped between two of them.
    pub(super) attempting: RwLock<()>,
    /// While it says so, nobody waits for room: a reload needs the way.
    hurried: watch::Sender<bool>,
}

/// What a reload tells who waits for room.
const RELOADING: &str = "there is no room, and a reload does not wait for it";

/// What a branch shares with the rest of the process.
pub struct BranchContext<'a> {
    /// Its books.
    pub account: Arc<Account>,
    /// Its place on the board.
    pub status: ComponentStatus,
    /// For its instruments.
    pub meter: &'a Meter,
    /// The process's clock.
    pub clock: Clock,
    /// The process's own spans.
    pub traces: Traces,
    /// Where its queue lives on disk, if it does.
    pub storage: Option<(Arc<dyn Storage>, Owner)>,
    /// Whose place it takes: it goes on with that one's queue, if that lives in the same place.
    pub heir: Option<&'a Branch>,
}

/// Blocks on their way into the queue. If whoever pushes them is gone, what is left is counted and its waiters told.
pub(super) struct Unqueued<'a> {
    branch: &'a Branch,
    pub(super) layout: Layout,
    pub(super) blocks: VecDeque<Block>,
    /// What has room on disk and waits to be written together.
    pub(super) writes: Vec<Write>,
}

impl Drop for Unqueued<'_> {
    fn drop(&mut self) {
        let hurried = *self.branch.hurried.borrow();
        let (reason, words) = match hurried {
            _ if std::thread::panicking() => ("panicked", "what carried it fell over"),
            true => ("reload", RELOADING),
            false => ("shutdown", "the process stopped before there was room"),
        };
        let error = SettleError::Retryable(words.into());
        let writes = std::mem::take(&mut self.writes);
        self.branch.queue.take_back(&writes);
        for block in self.blocks.iter().chain(writes.iter().map(|write| &write.block)) {
            self.branch.lose(block, reason, &error);
        }
    }
}

impl Branch {
    /// A branch; its disk is not open and its workers are not running yet.
    pub fn new(
        name: String,
        (encoder, sender, delivery): (Box<dyn Encoder>, Arc<dyn Sender>, DeliveryConfig),
        context: BranchContext<'_>,
    ) -> Branch {
        let BranchContext { account, status, meter, clock, traces, storage, heir } = context;
        let heir = heir.filter(|old| old.has_place_of(storage.as_ref()));
        let new = || Arc::new(Queue::new(&delivery.queue, Arc::clone(&account), clock));
        let queue = heir.map_or_else(new, |old| Arc::clone(&old.queue));
        let counter = |name, help| meter.counter(name, help, &[]);
        Branch {
            name,
            encoder: Mutex::new(encoder),
            sender,
            queue,
            circuit: Circuit::new(delivery.retry.clone()),
            account,
            status,
            storage,
            dead_letters: delivery.queue.dead_letter.as_ref().map(|config| Arc::new(DeadLetters::new(config))),
            attempts: counter("exporter_requests", "Attempts at sending a request."),
            in_flight: meter.gauge("exporter_in_flight_requests", "Requests that have no answer yet.", &[]),
            sent_bytes: counter("exporter_sent_bytes", "Bytes of delivered requests, compressed."),
            replayed: counter(
                "exporter_replayed_items",
                "Items of requests from before a restart that the backend refused because it had them.",
            ),
            retries: counter("exporter_retries", "Attempts that failed and were or will be repeated."),
            last_success: meter.gauge(
                "exporter_last_success_timestamp_seconds",
                "When the backend last took a request, Unix time; 0 if it never did.",
                &[],
            ),
            retry_gate: LogGate::new(QUIET),
            reject_gate: LogGate::new(QUIET),
            full_gate: LogGate::new(QUIET),
            disk_gate: LogGate::new(QUIET),
            letter_gate: LogGate::new(QUIET),
            traces,
            attempting: RwLock::new(()),
            hurried: watch::Sender::new(false),
            delivery,
        }
    }

    /// Opens the disk under the queue, if it has one; what is left there goes on. Before workers and data.
    ///
    /// # Errors
    /// The disk cannot be used.
    pub async fn open(&self) -> Result<(), StartError> {
        let Some((storage, owner)) = self.storage.as_ref().filter(|_| !self.queue.is_kept()) else { return Ok(()) };
        let failed = |error: String| StartError(format!("{}: its queue on disk: {error}", self.name));
        let folder = storage.folder(owner).await.map_err(|error| failed(error.to_string()))?;
        let mut folder =
            folder.ok_or_else(|| failed("the storage extension has no folders; use `file_storage`".into()))?;
        // Durable means synced, whatever the storage does for others.
        folder.sync |= self.delivery.queue.durable;
        let (disk, restored) = DiskQueue::open(&folder, self.name.clone()).await.map_err(failed)?;
        self.queue.attach(disk, &restored);
        if self.queue.items() > 0 {
            tracing::info!(component = %self.name, items = self.queue.items(), bytes = self.queue.disk_bytes(),
                "the queue on disk holds data from before; it is sent first");
        }
        Ok(())
    }

    /// Whether the queue of another config would live where this one's does.
    pub(crate) fn has_place_of(&self, storage: Option<&(Arc<dyn Storage>, Owner)>) -> bool {
        match (&self.storage, storage) {
            (None, None) => true,
            (Some((a, _)), Some((b, _))) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }

    /// Whether it goes on with the queue of another one.
    pub fn shares_queue_with(&self, other: &Branch) -> bool {
        Arc::ptr_eq(&self.queue, &other.queue)
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

    /// Resolves when a reload does not want anybody to wait.
    pub(super) async fn hurried(&self) -> SendError {
        // The sender lives in the branch, so the channel cannot close while we wait.
        let _ = self.hurried.subscribe().wait_for(|hurried| *hurried).await;
        SettleError::Retryable(RELOADING.into()).into()
    }

    /// Goes on with a queue that another config set up: its bounds are this one's from now on.
    pub fn settle_in(&self) {
        self.queue.rebound(&self.delivery.queue);
    }

    /// Starts one worker a shard.
    pub fn spawn_workers(self: &Arc<Self>, tasks: &mut JoinSet<()>) {
        for shard in 0..self.queue.workers() {
            let work = worker::work(Arc::clone(self), shard);
            tasks.spawn(supervise(self.name.clone(), self.status.clone(), work));
        }
    }

    /// Encodes a batch into blocks; what the encoder leaves out is counted there.
    ///
    /// # Panics
    /// As the encoder does. Nothing that it counted holds then: the whole batch is lost, and counted as that.
    pub(super) fn encode(&self, batch: &Batch) -> Unqueued<'_> {
        let layout = self.queue.layout(!self.circuit.is_open());
        let (mut blocks, counted) = (Vec::new(), Tally::default());
        let encoded = catch_unwind(AssertUnwindSafe(|| {
            let mut encoder = self.encoder.lock().unwrap_or_else(PoisonError::into_inner);
            encoder.encode(batch, layout.shards, &mut Encoded { blocks: &mut blocks, tally: &counted });
        }));
        self.account.tally.incoming(batch.items());
        if let Err(panic) = encoded {
            self.account.tally.dropped("panicked", batch.items());
            resume_unwind(panic);
        }
        self.account.take_over(counted.balance());
        for block in &mut blocks {
            block.receipts.clone_from(&batch.header.receipts);
            block.term.clone_from(&batch.header.term);
            // From here on the queue's own bound holds.
            block.permit = None;
        }
        self.queue.announce(blocks.iter().map(|block| block.items).sum());
        Unqueued { branch: self, layout, blocks: blocks.into(), writes: Vec::new() }
    }

    /// Counts a block that will not be queued, and tells its waiters.
    pub(super) fn lose(&self, block: &Block, reason: &'static str, error: &SettleError) {
        self.queue.renounce(block.items);
        self.account.tally.dropped(reason, block.items);
        block.receipts.iter().for_each(|receipt| receipt.fail(error.clone()));
    }

    pub(super) fn drop_full(&self, block: &Block) {
        self.lose(block, "queue_full", &SettleError::Final(format!("the queue of {} is full", self.name)));
        if let Some(more) = self.full_gate.pass() {
            tracing::error!(component = %self.name, items = block.items, suppressed = more,
                "the queue has been full for 5 s while other exporters have room: {} items are lost", block.items);
        }
    }

    /// What tells this branch from others in one fan-out.
    pub(super) fn key(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Whether its backend has taken nothing for at least so long, though it was asked.
    pub fn is_failing(&self, patience: Duration) -> bool {
        self.circuit.failing_for().is_some_and(|failing| failing >= patience)
    }

    pub(super) fn retried(&self, reason: &str, message: &str) {
        self.retries.add(1.0);
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
        self.retry_gate.reset();
    }

    /// Puts what is left on disk, or gives it up, after the drain deadline.
    pub async fn put_away(&self) -> PutAway {
        self.put_away_as("shutdown").await
    }

    /// The same, with another reason for what is lost.
    pub async fn put_away_as(&self, reason: &'static str) -> PutAway {
        self.queue.put_away(reason).await
    }
}
