//! The side of the queue where blocks leave: each shard's worker takes what is first, joined with what waits behind it,
//! and says when it is settled.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use steadyline_blocklog::{Meta, Record};
use steadyline_component::{Block, JoinLimit, Sender, SettleError};
use tokio::sync::Notify;

use super::super::backing::Stored;
use super::requests::{Reach, batch, lanes};
use super::state::{Entry, Front, OnDisk, Shard, State};
use super::{Part, Queue, cost, size};

/// What there is for a worker.
enum Next {
    /// So many lanes.
    Lanes(usize),
    Memory(Vec<Entry>, Reach),
    /// `blocks`: how many are known to be there.
    Disk {
        generation: u32,
        after: u64,
        blocks: u64,
        reach: Reach,
    },
    Nothing,
    End,
}

impl Queue {
    /// Waits until a shard has something to send, and says in how many lanes: what is in different lanes may be sent at
    /// the same time. It stays first until all of it is settled. There are several lanes if the shard is behind a
    /// backend that `works`, and has more than its share of what may be under way. `None`: the queue is closed and nothing
    /// is left for this worker.
    pub async fn front(
        &self,
        shard: u32,
        sender: &dyn Sender,
        works: impl Fn() -> bool + Send + Sync,
    ) -> Option<usize> {
        let ready = self.ready(shard)?;
        loop {
            let notified = ready.notified();
            match self.next(shard, sender.join_limit(), works()) {
                Next::Lanes(lanes) => {
                    if let Some(backing) = self.backing.get() {
                        backing.caught_up(shard).await;
                    }
                    return Some(lanes);
                }
                Next::Memory(entries, reach) => self.take_memory(shard, entries, reach, sender),
                Next::Disk { generation, after, blocks, reach } => {
                    self.take_disk((generation, shard), after, blocks, reach, sender).await;
                }
                Next::Nothing => notified.await,
                Next::End => return None,
            }
        }
    }

    /// What is first in a lane of what [`Queue::front`] found.
    pub fn part(&self, (shard, lane): (u32, usize)) -> Option<Part> {
        let mut state = self.lock();
        let front = first_shard(&mut state, shard)?.front.as_mut()?;
        front.lane(lane)?.front().cloned()
    }

    fn ready(&self, shard: u32) -> Option<Arc<Notify>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner).get(shard as usize).cloned()
    }

    fn next(&self, number: u32, limit: JoinLimit, works: bool) -> Next {
        let mut state = self.lock();
        let reach = Reach { limit, requests: if works { state.abreast() } else { 1 } };
        let done = state.closed && state.items + state.announced == 0 && state.blocks() == 0;
        let several = state.generations.len() > 1;
        let closed = state.closed;
        let first = state.generations.front_mut().map(|of| (of.number, of.shards.get_mut(number as usize)));
        let Some((generation, Some(shard))) = first else {
            return if done { Next::End } else { Next::Nothing };
        };
        if let Some(front) = &shard.front {
            return Next::Lanes(front.lanes.len());
        }
        if !shard.memory.is_empty() {
            shard.busy = true;
            return Next::Memory(batch(&mut shard.memory, reach), reach);
        }
        if shard.disk > 0 {
            return Next::Disk { generation, after: shard.taken, blocks: shard.disk, reach };
        }
        if done || (closed && !several) { Next::End } else { Next::Nothing }
    }

    /// Makes one request of what was taken out of memory. Nobody else takes from this shard, and in between there is
    /// no point where this could be left.
    fn take_memory(&self, number: u32, entries: Vec<Entry>, reach: Reach, sender: &dyn Sender) {
        let bytes: u64 = entries.iter().map(|entry| size(&entry.block)).sum();
        let items: u64 = entries.iter().map(|entry| entry.block.items).sum();
        let (seq, accepted) = entries.first().map_or((0, 0), |first| (first.seq, first.accepted));
        let fresh = self.fresh(entries.into_iter().map(|entry| (entry.block, entry.accepted)));
        let lanes = lanes(fresh, reach, sender, false);
        let mut guard = self.lock();
        let state = &mut *guard;
        let after: u64 = lanes.iter().flatten().map(|part| size(&part.block)).sum();
        state.memory_bytes = (state.memory_bytes + after).saturating_sub(bytes);
        state.items = (state.items + items_of(lanes.iter().flatten())).saturating_sub(items);
        if let Some(shard) = first_shard(state, number) {
            shard.busy = false;
            shard.front = (!lanes.is_empty()).then_some(Front { lanes, seq, accepted, disk: None });
        }
        self.moved(guard);
    }

    async fn take_disk(
        &self,
        (generation, number): (u32, u32),
        after: u64,
        blocks: u64,
        reach: Reach,
        sender: &dyn Sender,
    ) {
        let Some(backing) = self.backing.get() else { return };
        let stored = backing.read((generation, number), after, reach).await;
        let took = self.took(number, stored, blocks, reach, sender);
        if let Some(last) = took {
            backing.acknowledge(number, last);
        }
    }

    /// Makes one request of what was read. If nothing of it is left to send, says up to where it is done with.
    fn took(&self, number: u32, stored: Vec<Stored>, known: u64, reach: Reach, sender: &dyn Sender) -> Option<u64> {
        let Read { blocks, accepted, first, last, count, bytes, items, replay } = self.read(stored);
        let fresh = self.fresh(blocks.into_iter());
        let lanes = lanes(fresh, reach, sender, replay);
        let mut guard = self.lock();
        let state = &mut *guard;
        state.items = (state.items + items_of(lanes.iter().flatten())).saturating_sub(items);
        let left = !lanes.is_empty();
        if !left {
            state.disk_bytes = state.disk_bytes.saturating_sub(bytes);
            state.disk_blocks = state.disk_blocks.saturating_sub(count);
        }
        if let Some(shard) = first_shard(state, number) {
            // What was written since is counted, and was not looked for.
            shard.disk = shard.disk.saturating_sub(if count == 0 { known } else { count });
            shard.taken = shard.taken.max(last);
            if left {
                let disk = Some(OnDisk { last, bytes, blocks: count });
                shard.front = Some(Front { lanes, seq: first, accepted, disk });
            }
        }
        if count == 0 {
            self.reconcile(state);
        }
        self.moved(guard);
        (!left && count > 0).then_some(last)
    }

    /// The disk knows what it has: when it gives nothing, and nothing more is expected of it, what is still counted
    /// was lost with damage that has been told.
    fn reconcile(&self, state: &mut State) {
        let shards = || state.generations.iter().flat_map(|of| &of.shards);
        let writing = state.generations.iter().any(|of| of.writers > 0);
        let on_disk = |front: &Front| front.disk.is_some();
        if writing || shards().any(|shard| shard.disk > 0 || shard.front.as_ref().is_some_and(on_disk)) {
            return;
        }
        let known = shards().map(Shard::items).sum();
        let lost = state.items.saturating_sub(known);
        self.account.tally.dropped("damaged", lost);
        if lost > 0 {
            tracing::error!(component = %self.account.id, items = lost,
                "{lost} items that were counted are not on disk any more, they are lost with damage that was found before");
        }
        (state.items, state.disk_bytes, state.disk_blocks) = (known, 0, 0);
    }

    /// Sorts what was read; what is damaged, or was another's before this process began, is counted and left out.
    fn read(&self, stored: Vec<Stored>) -> Read {
        let mut read = Read::default();
        let term = self.lock().term.clone();
        for one in stored {
            read.count += 1;
            match one {
                Stored::Damaged { seq, items, bytes, message } => {
                    read.add(seq, items, bytes);
                    self.account.tally.dropped("damaged", items);
                    tracing::error!(component = %self.account.id, items,
                        "a block on disk is damaged and was put aside, its {items} items are lost: {message}");
                }
                Stored::Whole { record, replay } => {
                    let meta = record.meta;
                    read.add(meta.seq, meta.items, cost(record.payload.len()));
                    let Meta { leased, seq, accepted, .. } = meta;
                    let mut block = block(record);
                    if leased {
                        match term.as_ref().filter(|(term, from)| seq >= *from && term.holds()) {
                            Some((term, _)) => block.term = Some(term.clone()),
                            None => {
                                self.account.tally.dropped("stepped_down", block.items);
                                continue;
                            }
                        }
                    }
                    read.replay |= replay;
                    read.accepted = read.accepted.min(accepted);
                    read.blocks.push((block, accepted));
                }
            }
        }
        read
    }

    /// What is not too old to be worth sending; the rest is counted.
    fn fresh(&self, blocks: impl Iterator<Item = (Block, u64)>) -> Vec<Block> {
        let now = self.clock.now().unix_nanos;
        let mut fresh = Vec::new();
        for (block, accepted) in blocks {
            if self.is_too_old(&block, accepted, now) {
                self.account.tally.dropped("too_old", block.items);
                let error = SettleError::Final("its samples are older than the backend takes".into());
                block.receipts.iter().for_each(|receipt| receipt.fail(error.clone()));
            } else {
                fresh.push(block);
            }
        }
        fresh
    }

    fn is_too_old(&self, block: &Block, accepted: u64, now: u64) -> bool {
        let newest = if block.time_range.1 == 0 { accepted } else { block.time_range.1 };
        {
            let age = self.max_age.load(Ordering::Relaxed);
            age > 0 && now.saturating_sub(newest) > age
        }
    }

    /// Whether what is first in a lane has become too old while it was tried.
    pub fn has_aged(&self, (shard, lane): (u32, usize)) -> bool {
        let now = self.clock.now().unix_nanos;
        let mut state = self.lock();
        let front = first_shard(&mut state, shard).and_then(|shard| shard.front.as_mut());
        front.is_some_and(|front| {
            let accepted = front.accepted;
            let first = front.lane(lane).and_then(|lane| lane.front());
            first.is_some_and(|part| self.is_too_old(&part.block, accepted, now))
        })
    }

    /// What was first in a lane is settled or given up; the caller has counted it. Returns it.
    pub fn settled(&self, (number, lane): (u32, usize)) -> Option<Part> {
        let (part, done) = self.pop(number, lane)?;
        if let (Some(disk), Some(backing)) = (done, self.backing.get()) {
            backing.acknowledge(number, disk.last);
        }
        Some(part)
    }

    /// The backend took what is first in a shard.
    pub fn taken(&self, shard: u32, part: &Part) {
        if let Some(backing) = self.backing.get().filter(|_| part.replay) {
            backing.taken(shard);
        }
    }

    fn pop(&self, number: u32, lane: usize) -> Option<(Part, Option<OnDisk>)> {
        let mut guard = self.lock();
        let state = &mut *guard;
        let shard = first_shard(state, number)?;
        let front = shard.front.as_mut()?;
        let part = front.lane(lane)?.pop_front()?;
        let (in_memory, is_done) = (front.disk.is_none(), front.is_done());
        let done = if is_done { shard.front.take().and_then(|front| front.disk) } else { None };
        state.items = state.items.saturating_sub(part.block.items);
        state.scale.went(part.block.items);
        if in_memory {
            state.memory_bytes = state.memory_bytes.saturating_sub(size(&part.block));
        }
        if let Some(disk) = done {
            state.disk_bytes = state.disk_bytes.saturating_sub(disk.bytes);
            state.disk_blocks = state.disk_blocks.saturating_sub(disk.blocks);
        }
        self.moved(guard);
        Some((part, done))
    }

    /// Puts parts in place of the first of a lane, in order: halves, or the same in another protocol.
    /// They may take more room than there is; nothing that was accepted is lost for that.
    pub fn replace(&self, (number, lane): (u32, usize), parts: Vec<Part>) {
        let mut guard = self.lock();
        let state = &mut *guard;
        let Some(front) = first_shard(state, number).and_then(|shard| shard.front.as_mut()) else { return };
        let in_memory = front.disk.is_none();
        let Some(lane) = front.lane(lane) else { return };
        let Some(old) = lane.pop_front() else { return };
        let (bytes, items) = (parts.iter().map(|part| size(&part.block)).sum::<u64>(), items_of(&parts));
        for part in parts.into_iter().rev() {
            lane.push_front(part);
        }
        if in_memory {
            state.memory_bytes = (state.memory_bytes + bytes).saturating_sub(size(&old.block));
        }
        state.items = (state.items + items).saturating_sub(old.block.items);
        self.settle_held(state);
    }

    /// Something left, or became what is under way.
    fn moved(&self, mut state: std::sync::MutexGuard<'_, State>) {
        let retired = state.retire();
        let waiting = state.is_waiting();
        state.scale.observe(waiting);
        self.settle_held(&state);
        let ended = state.closed && state.blocks() == 0;
        drop(state);
        if retired || ended {
            self.wake_workers();
        }
        self.room.notify_waiters();
    }
}

/// What was read of the disk at once.
struct Read {
    blocks: Vec<(Block, u64)>,
    accepted: u64,
    first: u64,
    last: u64,
    count: u64,
    bytes: u64,
    items: u64,
    replay: bool,
}

impl Default for Read {
    fn default() -> Read {
        let (accepted, first) = (u64::MAX, u64::MAX);
        Read { blocks: Vec::new(), accepted, first, last: 0, count: 0, bytes: 0, items: 0, replay: false }
    }
}

impl Read {
    fn add(&mut self, seq: u64, items: u64, bytes: u64) {
        self.first = self.first.min(seq);
        self.last = self.last.max(seq);
        self.items += items;
        self.bytes += bytes;
    }
}

fn first_shard(state: &mut State, number: u32) -> Option<&mut Shard> {
    state.generations.front_mut()?.shards.get_mut(number as usize)
}

fn items_of<'a>(parts: impl IntoIterator<Item = &'a Part>) -> u64 {
    parts.into_iter().map(|part| part.block.items).sum()
}

fn block(record: Record) -> Block {
    Block {
        payload: record.payload.into(),
        items: record.meta.items,
        protocol: record.meta.protocol,
        shard: record.meta.shard,
        uncompressed: record.meta.uncompressed,
        time_range: record.meta.time_range,
        receipts: Vec::new(),
        term: None,
        permit: None,
    }
}
