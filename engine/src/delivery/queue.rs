//! The queue in front of an exporter: finished blocks by shard, bounded in bytes over all shards.
//! The block in flight stays in the queue, and in its bytes, until it is settled.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use steadyline_component::Block;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::books::Account;

/// Blocks that wait for their worker.
#[derive(Debug)]
pub struct Queue {
    state: Mutex<State>,
    capacity: AtomicU64,
    /// Its `held` is what is in the queue or announced to it, kept under the queue's lock.
    account: Arc<Account>,
    /// Wakes those who wait for room.
    room: Notify,
    /// Wakes each shard's worker.
    ready: Vec<Notify>,
}

#[derive(Debug)]
struct State {
    shards: Vec<VecDeque<Entry>>,
    bytes: u64,
    items: u64,
    /// Items of encoded blocks that wait for room.
    announced: u64,
    /// Since when a push has found no room, without any that did.
    full_since: Option<Instant>,
    closed: bool,
}

#[derive(Debug)]
struct Entry {
    block: Block,
    since: Instant,
}

/// The block was not taken; it comes back.
#[derive(Debug)]
pub enum Refused {
    /// There is no room.
    Full(Box<Block>),
    /// The queue is closed: nobody would send it any more.
    Closed(Box<Block>),
}

impl Queue {
    /// An empty queue of so many bytes for so many shards.
    pub fn new(capacity: u64, shards: u32, account: Arc<Account>) -> Queue {
        let shards = shards.max(1) as usize;
        Queue {
            state: Mutex::new(State {
                shards: (0..shards).map(|_| VecDeque::new()).collect(),
                bytes: 0,
                items: 0,
                announced: 0,
                full_since: None,
                closed: false,
            }),
            capacity: AtomicU64::new(capacity),
            account,
            room: Notify::new(),
            ready: (0..shards).map(|_| Notify::new()).collect(),
        }
    }

    /// Says that items were encoded and will be pushed or renounced.
    pub fn announce(&self, items: u64) {
        let mut state = self.lock();
        state.announced += items;
        self.settle_held(&state);
    }

    /// Says that announced items will not be pushed after all; the caller counts why.
    pub fn renounce(&self, items: u64) {
        let mut state = self.lock();
        state.announced = state.announced.saturating_sub(items);
        self.settle_held(&state);
    }

    /// Puts an announced block at the end of its shard if there is room; a block larger than the queue fits an empty one.
    ///
    /// # Errors
    /// There is no room, or the queue is closed.
    pub fn try_push(&self, block: Block) -> Result<(), Refused> {
        let shard = block.shard as usize % self.ready.len();
        let size = size(&block);
        let mut state = self.lock();
        if state.closed {
            return Err(Refused::Closed(Box::new(block)));
        }
        if state.bytes > 0 && state.bytes + size > self.capacity() {
            state.full_since.get_or_insert_with(Instant::now);
            return Err(Refused::Full(Box::new(block)));
        }
        state.full_since = None;
        state.bytes += size;
        state.items += block.items;
        state.announced = state.announced.saturating_sub(block.items);
        state.shards[shard].push_back(Entry { block, since: Instant::now() });
        self.settle_held(&state);
        drop(state);
        self.ready[shard].notify_one();
        Ok(())
    }

    fn settle_held(&self, state: &State) {
        self.account.tally.set_held(state.items + state.announced);
    }

    /// Whether the last push found no room and a quarter has not become free since.
    pub fn is_full(&self) -> bool {
        let state = self.lock();
        state.full_since.is_some() && state.bytes >= self.capacity() / 4 * 3
    }

    /// Waits until something left the queue. Enable the future before a failed `try_push` to miss nothing.
    pub fn room(&self) -> tokio::sync::futures::Notified<'_> {
        self.room.notified()
    }

    /// Since when there has been no room.
    pub fn full_since(&self) -> Option<Instant> {
        self.lock().full_since
    }

    /// The first block of a shard, which stays until it is settled; waits for one. `None`: closed and empty.
    pub async fn front(&self, shard: u32) -> Option<Block> {
        let shard = shard as usize;
        loop {
            let ready = self.ready[shard].notified();
            {
                let state = self.lock();
                if let Some(entry) = state.shards[shard].front() {
                    return Some(entry.block.clone());
                }
                if state.closed {
                    return None;
                }
            }
            ready.await;
        }
    }

    /// Takes the first block of a shard out: it is settled or given up.
    pub fn pop(&self, shard: u32) -> Option<Block> {
        let mut state = self.lock();
        let entry = state.shards[shard as usize].pop_front()?;
        state.bytes -= size(&entry.block);
        state.items -= entry.block.items;
        self.settle_held(&state);
        drop(state);
        self.room.notify_waiters();
        Some(entry.block)
    }

    /// Puts blocks in place of the first of a shard, in order: halves, or the same in another protocol.
    /// They may take more room than there is; nothing that was accepted is lost for that.
    pub fn replace_front(&self, shard: u32, blocks: Vec<Block>) {
        let mut state = self.lock();
        let state = &mut *state;
        let deque = &mut state.shards[shard as usize];
        let Some(old) = deque.pop_front() else { return };
        state.bytes -= size(&old.block);
        state.items -= old.block.items;
        for block in blocks.into_iter().rev() {
            state.bytes += size(&block);
            state.items += block.items;
            deque.push_front(Entry { block, since: old.since });
        }
        self.settle_held(state);
    }

    /// No more blocks will come; workers end when their shard is empty.
    pub fn close(&self) {
        self.lock().closed = true;
        self.ready.iter().for_each(Notify::notify_one);
        self.room.notify_waiters();
    }

    /// Blocks come again: a reload brought the exporter back before the queue was empty.
    pub fn reopen(&self) {
        self.lock().closed = false;
    }

    /// Takes everything out that is left.
    pub fn drain(&self) -> Vec<Block> {
        let mut state = self.lock();
        state.bytes = 0;
        state.items = 0;
        self.settle_held(&state);
        state.shards.iter_mut().flat_map(|shard| shard.drain(..)).map(|entry| entry.block).collect()
    }

    /// Bytes in the queue.
    pub fn bytes(&self) -> u64 {
        self.lock().bytes
    }

    /// Data points, spans or log records in the queue.
    pub fn items(&self) -> u64 {
        self.lock().items
    }

    /// How many blocks wait, those in flight included.
    pub fn len(&self) -> usize {
        self.lock().shards.iter().map(VecDeque::len).sum()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bound in bytes.
    pub fn capacity(&self) -> u64 {
        self.capacity.load(Ordering::Relaxed)
    }

    /// Sets the bound, to fit the memory budget; before anything is pushed.
    pub fn set_capacity(&self, bytes: u64) {
        self.capacity.store(bytes, Ordering::Relaxed);
    }

    /// How many shards there are.
    pub fn shards(&self) -> u32 {
        self.ready.len() as u32
    }

    /// How long the oldest block has waited, in seconds; 0 if none does.
    pub fn oldest_age(&self) -> f64 {
        let state = self.lock();
        let oldest = state.shards.iter().filter_map(|shard| shard.front()).map(|entry| entry.since).min();
        oldest.map_or(0.0, |since| since.elapsed().as_secs_f64())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a block costs: its bytes and a bit for its bookkeeping.
fn size(block: &Block) -> u64 {
    block.payload.bytes().len() as u64 + 256
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(bytes: usize, shard: u32) -> Block {
        Block {
            payload: vec![0; bytes].into(),
            items: 1,
            protocol: 0,
            shard,
            uncompressed: 0,
            time_range: (0, 0),
            receipts: Vec::new(),
            term: None,
            permit: None,
        }
    }

    fn queue(capacity: u64, shards: u32) -> Queue {
        let books = crate::Books::default();
        let account = books.open(steadyline_component::Kind::Exporter, "x", steadyline_telemetry::Signal::Metrics, "");
        Queue::new(capacity, shards, account)
    }

    #[tokio::test]
    async fn bounded_in_bytes_and_in_order() {
        let queue = queue(2_000, 2);
        queue.try_push(block(600, 0)).unwrap();
        queue.try_push(block(700, 1)).unwrap();
        assert!(queue.try_push(block(700, 0)).is_err());
        assert!(queue.full_since().is_some());
        assert_eq!(queue.front(1).await.unwrap().payload.bytes().len(), 700);
        assert_eq!(queue.items(), 2);
        assert!(queue.pop(1).is_some());
        queue.try_push(block(700, 0)).unwrap();
        assert!(queue.full_since().is_none());
        queue.replace_front(0, vec![block(300, 0), block(301, 0)]);
        let mut sizes = Vec::new();
        queue.close();
        while let Some(front) = queue.front(0).await {
            sizes.push(front.payload.bytes().len());
            queue.pop(0);
        }
        assert_eq!(sizes, [300, 301, 700]);
        assert_eq!((queue.bytes(), queue.items(), queue.front(1).await.is_none()), (0, 0, true));
        assert!(matches!(queue.try_push(block(1, 0)), Err(Refused::Closed(_))), "nobody would send it");
    }

    #[test]
    fn an_oversized_block_fits_an_empty_queue() {
        let queue = queue(100, 1);
        queue.try_push(block(5_000, 0)).unwrap();
        assert!(queue.try_push(block(1, 0)).is_err());
    }
}
