//! One branch of a fan-out: an exporter with its encoder, queue and workers; and the fan-out itself.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use steadyline_component::delivery::SettleError;
use steadyline_component::exporter::{DeliveryConfig, OnFull};
use steadyline_component::{
    Batch, Block, ComponentStatus, Encoded, Encoder, Instrument, Meter, SendError, Sender, Shutdown, Status,
};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::queue::{Full, Queue};
use super::worker;
use crate::books::Account;
use crate::gate::LogGate;
use crate::run::supervise;

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
    /// What waits.
    pub queue: Queue,
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
}

impl Branch {
    /// A branch; its workers are not running yet.
    pub fn new(
        name: String,
        (encoder, sender, delivery): (Box<dyn Encoder>, Arc<dyn Sender>, DeliveryConfig),
        account: Arc<Account>,
        status: ComponentStatus,
        meter: &Meter,
    ) -> Branch {
        let queue = Queue::new(delivery.queue.queue_size.as_usize() as u64, delivery.queue.num_consumers);
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

    /// Encodes a batch into blocks; what the encoder leaves out is counted there.
    fn encode(&self, batch: &Batch) -> Vec<Block> {
        self.account.tally.incoming(batch.items());
        let mut blocks = Vec::new();
        let mut encoder = self.encoder.lock().unwrap_or_else(PoisonError::into_inner);
        encoder.encode(batch, self.queue.shards(), &mut Encoded { blocks: &mut blocks, tally: &self.account.tally });
        for block in &mut blocks {
            block.receipts.clone_from(&batch.header.receipts);
            // From here on the queue's own bound holds.
            block.permit = None;
        }
        blocks
    }

    fn push(&self, block: Block) -> Result<(), Full> {
        let result = self.queue.try_push(block);
        self.account.tally.set_held(self.queue.items());
        result
    }

    fn drop_full(&self, block: &Block) {
        self.account.tally.dropped("queue_full", block.items);
        block.receipts.iter().for_each(|r| r.fail(SettleError::Final(format!("the queue of {} is full", self.name))));
        if let Some(more) = self.reject_gate.pass() {
            tracing::error!(component = %self.name, items = block.items, suppressed = more,
                "the queue has been full for 5 s while other exporters have room: {} items are lost", block.items);
        }
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

    /// Gives up what is left after the drain deadline; returns how many items that are.
    pub fn abandon(&self) -> u64 {
        let blocks = self.queue.drain();
        let items = blocks.iter().map(|block| block.items).sum();
        self.account.tally.dropped("shutdown", items);
        self.account.tally.set_held(0);
        for receipt in blocks.iter().flat_map(|block| &block.receipts) {
            receipt.fail(SettleError::Retryable("the process stopped before the backend took it".into()));
        }
        items
    }
}

/// What the branches of one fan-out know of each other: a branch without room holds the source for ever if no other
/// branch has room either, and at most [`PATIENCE`] otherwise. One call spans every pipeline that a batch goes to.
#[derive(Debug)]
pub struct Call {
    roomy: Mutex<usize>,
    changed: Notify,
    hard_stop: Shutdown,
}

impl Call {
    /// A fan-out that gives up waiting for room when `hard_stop` fires.
    pub fn new(hard_stop: Shutdown) -> Call {
        Call { roomy: Mutex::new(0), changed: Notify::new(), hard_stop }
    }

    /// Notes that a branch took its share.
    pub fn had_room(&self) {
        *self.roomy.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.changed.notify_waiters();
    }

    /// Encodes a batch and puts its blocks into the branch's queue, in order. Resolves when all are in, or dropped
    /// and counted.
    ///
    /// # Errors
    /// The process stops and there is still no room; what was not taken is counted.
    pub async fn push(&self, branch: &Branch, batch: &Batch) -> Result<(), SendError> {
        let mut blocks = branch.encode(batch).into_iter();
        while let Some(block) = blocks.next() {
            if let Err(block) = self.push_block(branch, block).await {
                let rest: Vec<Block> = std::iter::once(*block).chain(blocks).collect();
                branch.account.tally.dropped("shutdown", rest.iter().map(|block| block.items).sum());
                for receipt in rest.iter().flat_map(|block| &block.receipts) {
                    receipt.fail(SettleError::Retryable("the process stopped before there was room".into()));
                }
                return Err(SendError::ShuttingDown);
            }
        }
        self.had_room();
        Ok(())
    }

    /// Pushes one block; gives it back only if the process shuts down while there is no room.
    async fn push_block(&self, branch: &Branch, mut block: Block) -> Result<(), Box<Block>> {
        loop {
            let room = branch.queue.room();
            let changed = self.changed.notified();
            tokio::pin!(room, changed);
            room.as_mut().enable();
            changed.as_mut().enable();
            match branch.push(block) {
                Ok(()) => return Ok(()),
                Err(Full(back)) => block = *back,
            }
            let impatient = branch.delivery.queue.on_full == OnFull::Drop && self.others_have_room();
            let deadline = branch.queue.full_since().unwrap_or_else(Instant::now) + PATIENCE;
            if impatient && deadline <= Instant::now() {
                branch.drop_full(&block);
                return Ok(());
            }
            let patience = tokio::time::sleep_until(deadline);
            tokio::select! {
                () = room => {}
                () = changed => {}
                () = patience, if impatient => {}
                () = self.hard_stop.wait() => {
                    return match branch.push(block) {
                        Ok(()) => Ok(()),
                        Err(Full(back)) => Err(back),
                    };
                }
            }
        }
    }

    fn others_have_room(&self) -> bool {
        *self.roomy.lock().unwrap_or_else(PoisonError::into_inner) > 0
    }
}
