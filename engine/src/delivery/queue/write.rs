//! The way onto the disk. One write at a time numbers its blocks, appends them and counts them: numbers, places on disk
//! and counts are in one order, whoever writes. Syncing is outside of that: what comes next is appended meanwhile.

use std::sync::Arc;

use steadyline_blocklog::{Meta, Record};
use steadyline_component::{Block, Receipt, SettleError};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::push::{Layout, Write};
use super::state::{Front, OnDisk, Shard, State};
use super::{Part, Queue, size};
use crate::delivery::backing::Backing;

/// Why blocks are not on disk, and the blocks, announced as before.
pub(in crate::delivery) type Unwritable = (Vec<Block>, String);

/// Resolves when what was written survives the machine.
#[derive(Debug)]
pub struct Commit(oneshot::Receiver<Result<(), String>>);

impl Commit {
    /// Waits for it.
    ///
    /// # Errors
    /// The process stopped before.
    pub async fn done(self) -> Result<(), SettleError> {
        let done = self.0.await.unwrap_or_else(|_| Err("the process stopped".into()));
        done.map_err(|error| SettleError::Retryable(format!("not known to be on disk: {error}")))
    }
}

impl Queue {
    /// Writes blocks that have room on disk; they are in the queue when it resolves. Goes on to its end if nobody waits
    /// any more. With `durable` there is something to wait for before they count as accepted.
    ///
    /// # Errors
    /// They could not be written.
    pub async fn write(self: &Arc<Self>, layout: &Layout, writes: Vec<Write>) -> Result<Option<Commit>, Unwritable> {
        let Some(backing) = self.backing.get().filter(|_| !writes.is_empty()) else { return Ok(None) };
        let (tell, told) = oneshot::channel();
        let (commit, committed) = oneshot::channel();
        let unwritten = Unwritten { queue: Arc::clone(self), layout: layout.clone(), writes };
        tokio::spawn(unwritten.write(Arc::clone(backing), tell, commit));
        told.await.unwrap_or_else(|_| Err((Vec::new(), "writing fell over".into())))?;
        Ok(self.is_durable().then_some(Commit(committed)))
    }

    /// Gives blocks their numbers, and with that their places among all others.
    fn number(&self, writes: &[Write], shards: u32) -> Vec<(u64, Record)> {
        let mut state = self.lock();
        let numbered = writes.iter().map(|write| {
            let seq = state.number();
            note_term(&mut state, &write.block, seq);
            (seq, record(&write.block, (seq, write.block.shard % shards, write.generation), write.accepted))
        });
        numbered.collect()
    }

    fn written(&self, layout: &Layout, writes: Vec<Write>, numbers: &[u64]) {
        let mut guard = self.lock();
        let state = &mut *guard;
        let mut shards = Vec::with_capacity(writes.len());
        state.scale.came(writes.iter().map(|write| write.block.items).sum());
        for (write, &seq) in writes.into_iter().zip(numbers) {
            let number = write.block.shard % layout.shards;
            let Some(shard) = state.shard(write.generation, number) else { continue };
            shard.written(write, seq);
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
}

/// Blocks that are being written. If that falls over, their room is taken back and they are counted.
struct Unwritten {
    queue: Arc<Queue>,
    layout: Layout,
    writes: Vec<Write>,
}

impl Unwritten {
    async fn write(
        mut self,
        backing: Arc<dyn Backing>,
        tell: oneshot::Sender<Result<(), Unwritable>>,
        commit: oneshot::Sender<Result<(), String>>,
    ) {
        let queue = Arc::clone(&self.queue);
        let waited_for = self.writes.iter().any(|write| !write.block.receipts.is_empty());
        let sync = queue.is_durable() || waited_for;
        let order = queue.order.lock().await;
        let (numbers, records) = queue.number(&self.writes, self.layout.shards).into_iter().unzip::<_, _, Vec<_>, _>();
        let appended = backing.append(records, sync).await;
        let append = match appended {
            Ok(append) => append,
            Err(error) => return self.hand_back(error, tell),
        };
        let mut writes = std::mem::take(&mut self.writes);
        let receipts: Vec<Receipt> =
            writes.iter_mut().flat_map(|write| std::mem::take(&mut write.block.receipts)).collect();
        queue.written(&self.layout, writes, &numbers);
        drop(order);
        // Whoever wrote may be gone: it is in the queue all the same.
        let _ = tell.send(Ok(()));
        if !sync {
            return;
        }
        let synced = backing.synced(append).await;
        // On disk for good is settled.
        if let Err(error) = &synced {
            let error = SettleError::Retryable(format!("not known to be on disk: {error}"));
            receipts.iter().for_each(|receipt| receipt.fail(error.clone()));
        }
        let _ = commit.send(synced);
    }

    fn hand_back(mut self, error: String, tell: oneshot::Sender<Result<(), Unwritable>>) {
        self.queue.take_back(&self.writes);
        let blocks: Vec<Block> = std::mem::take(&mut self.writes).into_iter().map(|write| write.block).collect();
        if let Err(Err((blocks, _))) = tell.send(Err((blocks, error))) {
            self.queue.forsake(&blocks);
        }
    }
}

impl Drop for Unwritten {
    fn drop(&mut self) {
        let writes = std::mem::take(&mut self.writes);
        self.queue.take_back(&writes);
        let blocks: Vec<Block> = writes.into_iter().map(|write| write.block).collect();
        self.queue.forsake(&blocks);
    }
}

impl Queue {
    /// Counts announced blocks that nobody will bring again.
    fn forsake(&self, blocks: &[Block]) {
        let items = blocks.iter().map(|block| block.items).sum();
        self.renounce(items);
        self.account.tally.dropped("shutdown", items);
        let error = SettleError::Retryable("the process stopped before it was on disk".into());
        blocks.iter().flat_map(|block| &block.receipts).for_each(|receipt| receipt.fail(error.clone()));
    }
}

/// Remembers the term of what goes to disk, where only the fact that there is one is written.
fn note_term(state: &mut State, block: &Block, seq: u64) {
    let Some(term) = &block.term else { return };
    if state.term.as_ref().is_none_or(|(known, _)| known != term) {
        state.term = Some((term.clone(), seq));
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
    fn written(&mut self, write: Write, seq: u64) {
        let Write { accepted, block, .. } = write;
        if self.front.is_some() || !self.memory.is_empty() || self.disk > 0 || seq <= self.taken {
            self.disk += 1;
            return;
        }
        self.taken = seq;
        let disk = Some(OnDisk { last: seq, bytes: size(&block), blocks: 1 });
        let lanes = vec![[Part::from(block)].into()];
        self.front = Some(Front { lanes, seq, accepted, disk });
    }
}
