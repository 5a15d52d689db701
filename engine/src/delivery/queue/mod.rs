//! The queue in front of an exporter: finished blocks by shard, bounded in bytes over all shards, in memory and, with a
//! [`Backing`], on disk. What is under way stays in the queue, and in its bytes, until it is settled.

mod away;
mod push;
mod requests;
mod state;
mod take;
#[cfg(test)]
mod tests;
mod write;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use steadyline_component::exporter::QueueConfig;
use steadyline_component::{Block, Clock};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::backing::{Backing, Restored};
use crate::books::Account;
pub use away::PutAway;
pub use push::Refused;
pub(super) use push::{Layout, Write};
pub use requests::Reach;
pub(super) use state::Part;
use state::{Generation, State};
pub(super) use write::Commit;

/// Blocks that wait for their workers.
#[derive(Debug)]
pub struct Queue {
    state: Mutex<State>,
    /// The bound in bytes: of memory, or of the disk if there is one.
    capacity: AtomicU64,
    /// With a disk: what may wait in memory before anything goes there.
    memory: Option<AtomicU64>,
    durable: AtomicBool,
    /// In nanoseconds; 0: none.
    max_age: AtomicU64,
    backing: OnceLock<Arc<dyn Backing>>,
    /// Held while blocks are numbered, appended to the disk and counted.
    order: tokio::sync::Mutex<()>,
    /// Its `held` is what is in the queue or announced to it, kept under the queue's lock.
    account: Arc<Account>,
    clock: Clock,
    /// Wakes those who wait for room.
    room: Notify,
    /// Wakes each shard's worker.
    ready: Mutex<Vec<Arc<Notify>>>,
}

impl Queue {
    /// An empty queue.
    pub fn new(config: &QueueConfig, account: Arc<Account>, clock: Clock) -> Queue {
        let state = State::new(config.shards());
        Queue {
            ready: Mutex::new((0..state.scale.most()).map(|_| Arc::default()).collect()),
            state: Mutex::new(state),
            capacity: AtomicU64::new(config.queue_size.as_usize() as u64),
            memory: config.storage.is_some().then(|| AtomicU64::new(config.memory_size.as_usize() as u64)),
            durable: AtomicBool::new(config.durable),
            max_age: AtomicU64::new(max_age(config)),
            backing: OnceLock::new(),
            order: tokio::sync::Mutex::default(),
            account,
            clock,
            room: Notify::new(),
        }
    }

    /// Puts a disk under the queue, with what was left on it; once, before anything is pushed.
    pub fn attach(&self, backing: Arc<dyn Backing>, restored: &Restored) {
        let mut guard = self.lock();
        let state = &mut *guard;
        let shards = state.scale.wanted;
        let mut generations: Vec<Generation> = Vec::new();
        for pending in &restored.pending {
            if generations.last().is_none_or(|last| last.number != pending.generation) {
                generations.push(Generation::new(pending.generation, 1));
            }
            if let Some(generation) = generations.last_mut() {
                let shards = generation.shards.len().max(pending.shard as usize + 1);
                generation.shards.resize_with(shards, Default::default);
                generation.shards[pending.shard as usize].disk = pending.blocks;
            }
            state.disk_blocks += pending.blocks;
        }
        state.disk_bytes += restored.bytes;
        state.items += restored.items;
        let number = generations.last().map_or(1, |last| last.number + 1);
        generations.push(Generation::new(number, shards));
        let most = generations.iter().map(|of| of.shards.len()).max().unwrap_or(1);
        state.generations = generations.into();
        state.next_seq = state.next_seq.max(restored.next_seq.next_multiple_of(state::STRIDE));
        self.account.tally.created("restored", state.items + restored.damaged_items);
        self.account.tally.dropped("damaged", restored.damaged_items);
        self.settle_held(state);
        drop(guard);
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        let most = most.max(ready.len());
        ready.resize_with(most, Arc::default);
        // Attached once, by whoever starts the branch.
        let _ = self.backing.set(backing);
    }

    /// The bounds of another config hold from now on; before its workers begin.
    pub fn rebound(&self, config: &QueueConfig) {
        if let Some(memory) = &self.memory {
            memory.store(config.memory_size.as_usize() as u64, Ordering::Relaxed);
        }
        self.max_age.store(max_age(config), Ordering::Relaxed);
        self.durable.store(config.durable, Ordering::Relaxed);
        let most = {
            let mut state = self.lock();
            state.closed = false;
            state.scale.rebound(config.shards());
            let most = state.generations.iter().map(|of| of.shards.len()).max().unwrap_or(1);
            most.max(state.scale.most() as usize)
        };
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        let most = most.max(ready.len());
        ready.resize_with(most, Arc::default);
    }

    /// How many workers it takes: one a shard.
    pub fn workers(&self) -> u32 {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner).len() as u32
    }

    /// How many shards take what comes now.
    pub fn shards(&self) -> u32 {
        self.lock().last().shards.len() as u32
    }

    /// Whether the last push found no room and a quarter has not become free since.
    pub fn is_full(&self) -> bool {
        let state = self.lock();
        state.full_since.is_some() && self.bounded(&state) >= self.capacity() / 4 * 3
    }

    /// Since when there has been no room.
    pub fn full_since(&self) -> Option<Instant> {
        self.lock().full_since
    }

    /// No more blocks will come; workers end when nothing is left.
    pub fn close(&self) {
        self.lock().closed = true;
        self.wake_workers();
        self.room.notify_waiters();
    }

    /// Bytes in the queue, in memory and on disk.
    pub fn bytes(&self) -> u64 {
        let state = self.lock();
        state.memory_bytes + state.disk_bytes
    }

    /// Bytes in the queue that are on disk.
    pub fn disk_bytes(&self) -> u64 {
        self.lock().disk_bytes
    }

    /// Bytes that the queue's files take, with what is not reclaimed yet.
    pub fn file_bytes(&self) -> u64 {
        self.backing.get().map_or(0, |backing| backing.disk_bytes())
    }

    /// Whether it goes on after a restart.
    pub fn is_kept(&self) -> bool {
        self.backing.get().is_some()
    }

    /// Data points, spans or log records in the queue.
    pub fn items(&self) -> u64 {
        self.lock().items
    }

    /// How many blocks wait, those under way included.
    pub fn len(&self) -> usize {
        self.lock().blocks() as usize
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bound in bytes.
    pub fn capacity(&self) -> u64 {
        self.capacity.load(Ordering::Relaxed)
    }

    /// Whether it has, or will have, a disk.
    pub fn has_disk(&self) -> bool {
        self.memory.is_some()
    }

    /// The most bytes that wait in memory.
    pub fn memory_capacity(&self) -> u64 {
        self.memory.as_ref().map_or_else(|| self.capacity(), |memory| memory.load(Ordering::Relaxed))
    }

    /// Sets the bound, to fit the memory budget; before anything is pushed.
    pub fn set_capacity(&self, bytes: u64) {
        self.capacity.store(bytes, Ordering::Relaxed);
    }

    /// How long the oldest block has waited, in seconds; 0 if none does.
    pub fn oldest_age(&self) -> f64 {
        let oldest = self.lock().oldest();
        oldest.map_or(0.0, |at| self.clock.now().unix_nanos.saturating_sub(at) as f64 / 1e9)
    }

    /// What the bound is compared with.
    fn bounded(&self, state: &State) -> u64 {
        if self.is_kept() { state.disk_bytes } else { state.memory_bytes }
    }

    fn is_durable(&self) -> bool {
        self.durable.load(Ordering::Relaxed)
    }

    fn settle_held(&self, state: &State) {
        self.account.tally.set_held(state.items + state.announced);
    }

    fn notify(&self, shard: u32) {
        let ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ready) = ready.get(shard as usize) {
            ready.notify_one();
        }
    }

    fn wake_workers(&self) {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner).iter().for_each(|ready| ready.notify_one());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn max_age(config: &QueueConfig) -> u64 {
    config.max_age.map_or(0, |age| Duration::from(age).as_nanos() as u64)
}

/// What a block costs: its bytes and a bit for its bookkeeping.
pub(super) fn cost(bytes: usize) -> u64 {
    bytes as u64 + 256
}

fn size(block: &Block) -> u64 {
    cost(block.payload.bytes().len())
}
