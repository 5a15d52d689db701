//! The side of the queue where blocks come in: announced when they are encoded, pushed when there is room.

use steadyline_blocklog::{Meta, Record};
use steadyline_component::{Block, SettleError};
use tokio::time::Instant;

use super::state::{Entry, Front, OnDisk, STRIDE, Shard, State};
use super::{Part, Queue, size};

/// How blocks that are encoded now are sharded. Whoever holds it may push; what is announced and not pushed is given
/// back by whoever counts why.
#[derive(Debug)]
pub struct Layout<'a> {
    queue: &'a Queue,
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
    generation: u32,
    seq: u64,
    accepted: u64,
    /// The block.
    pub block: Block,
}

impl Queue {
    /// How what is encoded now is sharded.
    pub fn layout(&self, works: bool) -> Layout<'_> {
        let mut state = self.lock();
        state.scale.adapt(works);
        state.resize();
        state.retire();
        let last = state.last();
        last.writers += 1;
        Layout { queue: self, generation: last.number, shards: last.shards.len() as u32 }
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
    pub fn try_push(&self, layout: &Layout<'_>, block: Block) -> Result<Option<Write>, Refused> {
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
        let (generation, seq, accepted) = (layout.generation, state.next_seq, self.clock.now().unix_nanos);
        state.next_seq += STRIDE;
        if to_disk {
            state.disk_bytes += size;
            state.disk_blocks += 1;
            note_term(state, &block, seq);
            self.settle_held(state);
            return Ok(Some(Write { generation, seq, accepted, block }));
        }
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

    /// Writes blocks that have room on disk. With `durable`, or if somebody waits for it, they are synced when it
    /// resolves, and whoever waits is told.
    ///
    /// # Errors
    /// They could not be written: they come back, announced as before, with the reason.
    pub async fn write(&self, layout: &Layout<'_>, writes: Vec<Write>) -> Result<(), (Vec<Block>, String)> {
        let Some(backing) = self.backing.get().filter(|_| !writes.is_empty()) else { return Ok(()) };
        let sync = self.is_durable() || writes.iter().any(|write| !write.block.receipts.is_empty());
        let records = writes.iter().map(|write| write.record(layout.shards)).collect();
        let unwritten = Unwritten { queue: self, writes };
        let result = backing.append(records, sync).await;
        let writes = unwritten.into_inner();
        if let Err(error) = result {
            self.take_back(&writes);
            return Err((writes.into_iter().map(|write| write.block).collect(), error));
        }
        self.written(layout, writes);
        Ok(())
    }

    fn written(&self, layout: &Layout<'_>, writes: Vec<Write>) {
        let mut guard = self.lock();
        let state = &mut *guard;
        let mut shards = Vec::with_capacity(writes.len());
        state.scale.came(writes.iter().map(|write| write.block.items).sum());
        for write in writes {
            let number = write.block.shard % layout.shards;
            let Some(shard) = state.shard(write.generation, number) else { continue };
            shard.written(write);
            shards.push(number);
        }
        let waiting = state.is_waiting();
        state.scale.observe(waiting);
        drop(guard);
        shards.into_iter().for_each(|shard| self.notify(shard));
    }

    /// Gives up the room of blocks that could not be written.
    pub fn take_back(&self, writes: &[Write]) {
        if writes.is_empty() {
            return;
        }
        let mut state = self.lock();
        for Write { block, .. } in writes {
            state.disk_bytes = state.disk_bytes.saturating_sub(size(block));
            state.disk_blocks = state.disk_blocks.saturating_sub(1);
            state.items = state.items.saturating_sub(block.items);
            state.announced += block.items;
        }
        state.full_since.get_or_insert_with(Instant::now);
        self.settle_held(&state);
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

/// Remembers the term of what goes to disk, where only the fact that there is one is written.
fn note_term(state: &mut State, block: &Block, seq: u64) {
    let Some(term) = &block.term else { return };
    if state.term.as_ref().is_none_or(|(known, _)| known != term) {
        state.term = Some((term.clone(), seq));
    }
}

impl Write {
    fn record(&self, shards: u32) -> Record {
        record(&self.block, (self.seq, self.block.shard % shards, self.generation), self.accepted)
    }
}

/// A block as it is written.
pub(super) fn record(block: &Block, (seq, shard, generation): (u64, u32, u32), accepted: u64) -> Record {
    let meta = Meta {
        seq,
        shard,
        generation,
        items: block.items,
        protocol: block.protocol,
        uncompressed: block.uncompressed,
        time_range: block.time_range,
        accepted,
        leased: block.term.is_some(),
    };
    Record { meta, payload: block.payload.bytes().clone() }
}

impl Shard {
    /// Counts a block that is on disk now. If nothing stands before it, it need not be read back.
    fn written(&mut self, write: Write) {
        let Write { seq, accepted, mut block, .. } = write;
        if self.front.is_some() || !self.memory.is_empty() || self.disk > 0 || seq <= self.taken {
            self.disk += 1;
            return;
        }
        // Kept is settled.
        block.receipts.clear();
        self.taken = seq;
        let disk = Some(OnDisk { last: seq, bytes: size(&block), blocks: 1 });
        self.front = Some(Front { parts: [Part::from(block)].into(), seq, accepted, disk });
    }
}

impl Drop for Layout<'_> {
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

/// Blocks that are being written. Whoever gives up waiting for that leaves their room taken back and counted.
struct Unwritten<'a> {
    queue: &'a Queue,
    writes: Vec<Write>,
}

impl Unwritten<'_> {
    fn into_inner(mut self) -> Vec<Write> {
        std::mem::take(&mut self.writes)
    }
}

impl Drop for Unwritten<'_> {
    fn drop(&mut self) {
        if self.writes.is_empty() {
            return;
        }
        self.queue.take_back(&self.writes);
        let items = self.writes.iter().map(|write| write.block.items).sum();
        self.queue.renounce(items);
        self.queue.account.tally.dropped("shutdown", items);
        let error = SettleError::Retryable("the process stopped before it was on disk".into());
        for receipt in self.writes.iter().flat_map(|write| &write.block.receipts) {
            receipt.fail(error.clone());
        }
    }
}
