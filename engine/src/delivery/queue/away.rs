//! The end of a queue: what is left is put on its disk, or given up and counted.

use steadyline_blocklog::Record;
use steadyline_component::{Block, SettleError};

use super::super::backing::Backing;
use super::Queue;
use super::state::State;
use super::write::record;

/// What became of what was left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PutAway {
    /// Items that are on disk and go on after the next start.
    pub kept: u64,
    /// Items that are lost, counted under `shutdown`.
    pub lost: u64,
}

impl PutAway {
    /// Both together.
    pub fn add(&mut self, other: PutAway) {
        self.kept += other.kept;
        self.lost += other.lost;
    }
}

impl Queue {
    /// Closes the queue and puts everything away that is left, or counts it as lost for this reason. Nobody works on it
    /// any more.
    pub async fn put_away(&self, reason: &'static str) -> PutAway {
        self.close();
        let Some(backing) = self.backing.get().cloned() else {
            return PutAway { kept: 0, lost: self.give_up(reason) };
        };
        // What is being written gets there first.
        let _order = self.order.lock().await;
        let (records, clean) = self.unwritten();
        let in_memory: u64 = records.iter().map(|record| record.meta.items).sum();
        let mut lost = 0;
        if let Err(error) = keep(&*backing, records, clean).await {
            tracing::error!(component = %self.account.id, "what was left in memory could not be put on disk: {error}");
            lost = in_memory;
            self.account.tally.dropped(reason, lost);
            let mut state = self.lock();
            state.items = state.items.saturating_sub(lost);
            self.settle_held(&state);
        }
        self.release(lost > 0);
        PutAway { kept: self.items(), lost }
    }

    /// What is in memory only, as it is written; and whether nothing was under way.
    fn unwritten(&self) -> (Vec<Record>, bool) {
        let state = self.lock();
        let mut records = Vec::new();
        let mut clean = true;
        for generation in &state.generations {
            for (number, shard) in (0u32..).zip(&generation.shards) {
                let place = |seq| (seq, number, generation.number);
                clean &= shard.front.is_none();
                if let Some(front) = shard.front.as_ref().filter(|front| front.disk.is_none()) {
                    let parts = (front.seq..).zip(front.parts());
                    records.extend(parts.map(|(seq, part)| record(&part.block, place(seq), front.accepted)));
                }
                records.extend(shard.memory.iter().map(|entry| record(&entry.block, place(entry.seq), entry.accepted)));
            }
        }
        (records, clean)
    }

    /// Tells whoever waits for what is in memory: it is kept, or it is not.
    fn release(&self, failed: bool) {
        let error = SettleError::Retryable("the process stopped before the backend took it".into());
        for block in take_blocks(&mut self.lock()) {
            if failed {
                block.receipts.iter().for_each(|receipt| receipt.fail(error.clone()));
            }
        }
    }

    /// Gives up everything that is left, counted under a reason; returns how many items that are.
    pub fn give_up(&self, reason: &'static str) -> u64 {
        let mut state = self.lock();
        let blocks = take_blocks(&mut state);
        let items = std::mem::take(&mut state.items);
        state.memory_bytes = 0;
        self.settle_held(&state);
        drop(state);
        self.account.tally.dropped(reason, items);
        let error = SettleError::Retryable("the process stopped before the backend took it".into());
        for receipt in blocks.iter().flat_map(|block| &block.receipts) {
            receipt.fail(error.clone());
        }
        self.room.notify_waiters();
        items
    }
}

async fn keep(backing: &dyn Backing, records: Vec<Record>, clean: bool) -> Result<(), String> {
    if !records.is_empty() {
        backing.append(records, true).await?;
    }
    backing.close(clean).await
}

fn take_blocks(state: &mut State) -> Vec<Block> {
    let mut blocks = Vec::new();
    for shard in state.generations.iter_mut().flat_map(|of| &mut of.shards) {
        let parts = shard.front.take().into_iter().flat_map(|front| front.lanes.into_iter().flatten());
        blocks.extend(parts.map(|part| part.block));
        blocks.extend(shard.memory.drain(..).map(|entry| entry.block));
    }
    blocks
}
