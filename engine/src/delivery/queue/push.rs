//! The side of the queue where blocks come in: announced when they are encoded, pushed when there is room.

use std::sync::Arc;

use steadyline_component::{Block, SettleError};
use tokio::time::Instant;

use super::state::{Entry, State};
use super::{Queue, size};

/// How blocks that are encoded now are sharded. Whoever holds it may push; what is announced and not pushed is given
/// back by whoever counts why.
#[derive(Debug)]
pub struct Layout {
    queue: Arc<Queue>,
    /// The generation to push into.
    pub generation: u32,
    /// Its number of shards.
    pub shards: u32,
}

/// The block was not taken; it comes back.
#[derive(Debug)]
pub enum Refused {
    /// There is no room.
    Full(Box<Block>),
    /// The queue is closed: nobody would send it any more.
    Closed(Box<Block>),
}

/// A block that has room on disk and is not written yet.
#[derive(Debug)]
pub struct Write {
    pub(super) generation: u32,
    pub(super) accepted: u64,
    /// The block.
    pub block: Block,
}

impl Queue {
    /// How what is encoded now is sharded.
    pub fn layout(self: &Arc<Self>, works: bool) -> Layout {
        let mut state = self.lock();
        state.scale.adapt(works);
        state.resize();
        state.retire();
        let last = state.last();
        last.writers += 1;
        Layout { queue: Arc::clone(self), generation: last.number, shards: last.shards.len() as u32 }
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

    /// Puts an announced block at the end of its shard if there is room; a block larger than the queue fits an empty
    /// one. What must go to disk comes back, with its room, to be written by [`Queue::write`].
    ///
    /// # Errors
    /// There is no room, or the queue is closed.
    pub fn try_push(&self, layout: &Layout, block: Block) -> Result<Option<Write>, Refused> {
        let (size, items) = (size(&block), block.items);
        let mut guard = self.lock();
        let state = &mut *guard;
        if state.closed {
            return Err(Refused::Closed(Box::new(block)));
        }
        let to_disk = self.is_kept()
            && (self.is_durable() || state.disk_blocks > 0 || !fits(state.memory_bytes, size, self.memory_capacity()));
        let (used, bound) =
            if to_disk { (state.disk_bytes, self.capacity()) } else { (state.memory_bytes, self.capacity()) };
        if !fits(used, size, bound) {
            state.full_since.get_or_insert_with(Instant::now);
            return Err(Refused::Full(Box::new(block)));
        }
        // A queue that is kept from overflowing by what it drops is full all the time.
        if used + size <= bound / 4 * 3 {
            state.full_since = None;
        }
        state.items += block.items;
        state.announced = state.announced.saturating_sub(block.items);
        let (generation, accepted) = (layout.generation, self.clock.now().unix_nanos);
        if to_disk {
            state.disk_bytes += size;
            state.disk_blocks += 1;
            self.settle_held(state);
            return Ok(Some(Write { generation, accepted, block }));
        }
        let seq = state.number();
        state.memory_bytes += size;
        let number = block.shard % layout.shards;
        if let Some(shard) = state.shard(generation, number) {
            shard.memory.push_back(Entry { seq, block, accepted });
        }
        self.settle_held(state);
        let waiting = state.is_waiting();
        state.scale.observe(waiting);
        state.scale.came(items);
        drop(guard);
        self.notify(number);
        Ok(None)
    }

    /// Makes room by taking the oldest block out that is not under way; `None` if there is none. Returns its items.
    pub async fn drop_oldest(&self) -> Option<u64> {
        if let Some(entry) = self.pop_oldest_in_memory() {
            let error = SettleError::Final("it made room in a full queue".into());
            entry.block.receipts.iter().for_each(|receipt| receipt.fail(error.clone()));
            return Some(entry.block.items);
        }
        let backing = self.backing.get()?;
        let after = {
            let state = self.lock();
            let most = state.generations.iter().map(|of| of.shards.len()).max().unwrap_or(0);
            let taken =
                |shard: usize| state.generations.iter().filter_map(move |of| of.shards.get(shard)).map(|of| of.taken);
            (0..most).map(|shard| taken(shard).max().unwrap_or(0)).collect()
        };
        let discarded = backing.discard_oldest(after).await?;
        let mut state = self.lock();
        if let Some(shard) = state.shard(discarded.generation, discarded.shard) {
            shard.disk = shard.disk.saturating_sub(1);
        }
        state.disk_blocks = state.disk_blocks.saturating_sub(1);
        state.disk_bytes = state.disk_bytes.saturating_sub(discarded.bytes);
        self.made_room(&mut state, discarded.items);
        Some(discarded.items)
    }

    fn pop_oldest_in_memory(&self) -> Option<Entry> {
        let mut state = self.lock();
        let entry = state.oldest_in_memory()?.memory.pop_front()?;
        state.memory_bytes = state.memory_bytes.saturating_sub(size(&entry.block));
        self.made_room(&mut state, entry.block.items);
        Some(entry)
    }

    fn made_room(&self, state: &mut State, items: u64) {
        state.items = state.items.saturating_sub(items);
        self.account.tally.dropped("queue_full", items);
        self.settle_held(state);
        state.retire();
    }

    /// Waits until something left the queue. Enable the future before a failed `try_push` to miss nothing.
    pub fn room(&self) -> tokio::sync::futures::Notified<'_> {
        self.room.notified()
    }
}

/// One that is larger than the bound fits where nothing else is.
fn fits(used: u64, size: u64, bound: u64) -> bool {
    used == 0 || used + size <= bound
}

impl Clone for Layout {
    fn clone(&self) -> Self {
        let mut state = self.queue.lock();
        if let Some(of) = state.generations.iter_mut().find(|of| of.number == self.generation) {
            of.writers += 1;
        }
        Layout { queue: Arc::clone(&self.queue), ..*self }
    }
}

impl Drop for Layout {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        if let Some(of) = state.generations.iter_mut().find(|of| of.number == self.generation) {
            of.writers = of.writers.saturating_sub(1);
        }
        if state.retire() {
            drop(state);
            self.queue.wake_workers();
        }
    }
}
