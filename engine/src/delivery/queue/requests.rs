//! What requests are made of blocks that wait: joined into few, and behind a slow backend sorted by series into lanes that
//! are sent abreast.

use std::collections::VecDeque;

use steadyline_component::{Block, JoinLimit, Sender};

use super::Part;
use super::state::Entry;

/// As many blocks as one request is made of, at most.
const JOIN: usize = 64;

/// How much a worker takes at once.
#[derive(Debug, Clone, Copy)]
pub struct Reach {
    /// One request.
    pub limit: JoinLimit,
    /// So many of them.
    pub requests: usize,
}

impl Reach {
    /// Whether so many bytes and items are within it.
    pub fn fits(&self, bytes: u64, items: u64) -> bool {
        self.limit.times(self.requests).fits(bytes, items)
    }

    /// The most blocks.
    pub fn blocks(&self) -> usize {
        JOIN * self.requests
    }
}

/// The first entries that are within reach, at least one.
pub(super) fn batch(entries: &mut VecDeque<Entry>, reach: Reach) -> Vec<Entry> {
    let mut batch: Vec<Entry> = Vec::new();
    let (mut bytes, mut items) = (0, 0);
    while let Some(entry) = entries.front() {
        bytes += entry.block.uncompressed;
        items += entry.block.items;
        let alike = batch.first().is_none_or(|first| is_alike(&first.block, &entry.block));
        if !batch.is_empty() && (!reach.fits(bytes, items) || !alike || batch.len() == reach.blocks()) {
            break;
        }
        batch.extend(entries.pop_front());
    }
    batch
}

/// What is sent of these: one block of all if that may be, else several abreast if their series can be told apart, else
/// one after the other.
pub(super) fn lanes(blocks: Vec<Block>, reach: Reach, sender: &dyn Sender, replay: bool) -> Vec<VecDeque<Part>> {
    let lane = |blocks: Vec<Block>| blocks.into_iter().map(|block| Part { replay, ..Part::from(block) }).collect();
    if blocks.is_empty() {
        return Vec::new();
    }
    let bytes = blocks.iter().map(|block| block.uncompressed).sum();
    let items = blocks.iter().map(|block| block.items).sum();
    if blocks.len() <= JOIN && reach.limit.fits(bytes, items) {
        return vec![lane(join(blocks, sender))];
    }
    match spread(&blocks, reach, sender) {
        Some(lanes) => lanes.into_iter().map(lane).collect(),
        None => vec![lane(in_turn(blocks, reach.limit, sender))],
    }
}

/// As few blocks as may be, in order.
fn in_turn(blocks: Vec<Block>, limit: JoinLimit, sender: &dyn Sender) -> Vec<Block> {
    let (mut joined, mut next) = (Vec::new(), Vec::new());
    let (mut bytes, mut items) = (0, 0);
    for block in blocks {
        (bytes, items) = (bytes + block.uncompressed, items + block.items);
        if next.len() == JOIN || !limit.fits(bytes, items) {
            (bytes, items) = (block.uncompressed, block.items);
            joined.extend(join(std::mem::take(&mut next), sender));
        }
        next.push(block);
    }
    joined.extend(join(next, sender));
    joined
}

fn spread(blocks: &[Block], reach: Reach, sender: &dyn Sender) -> Option<Vec<Vec<Block>>> {
    if reach.requests < 2 || !blocks.windows(2).all(|pair| is_alike(&pair[0], &pair[1])) {
        return None;
    }
    let mut lanes = sender.spread(blocks, reach.requests)?;
    let first = blocks.first()?;
    for block in lanes.iter_mut().flatten() {
        block.shard = first.shard;
        block.term = first.term.clone();
        // Who waits for one of them waits for all that was taken with it.
        block.receipts = blocks.iter().flat_map(|block| block.receipts.iter().cloned()).collect();
    }
    Some(lanes)
}

fn is_alike(a: &Block, b: &Block) -> bool {
    a.protocol == b.protocol && a.term == b.term
}

/// One block of several, where the exporter can do that.
fn join(mut blocks: Vec<Block>, sender: &dyn Sender) -> Vec<Block> {
    if blocks.len() < 2 || !blocks.windows(2).all(|pair| is_alike(&pair[0], &pair[1])) {
        return blocks;
    }
    let Some(mut joined) = sender.join(&blocks) else { return blocks };
    joined.shard = blocks[0].shard;
    joined.term = blocks[0].term.clone();
    joined.receipts = blocks.iter_mut().flat_map(|block| std::mem::take(&mut block.receipts)).collect();
    vec![joined]
}
