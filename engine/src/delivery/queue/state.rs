//! What waits: generations of shards, each shard with the part under way, entries in memory and a count of what is on
//! disk. Within a shard, what is in memory is older than what is on disk, and the part under way is older than both.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use steadyline_component::{Block, Term};
use tokio::time::Instant;

/// How long there must be a backlog before there are more shards.
const BEHIND: Duration = Duration::from_millis(500);
/// How long there must have been none before there are fewer.
const IDLE: Duration = Duration::from_secs(60);
/// The number of shards changes no faster than this.
const SETTLING: Duration = Duration::from_secs(5);

/// One shard has at most so many requests under way: more than that are not worth what sorting them by series takes.
const ABREAST: usize = 8;

/// Sequence numbers of blocks lie so far apart: what a block was cut into can be put away in its place.
pub(super) const STRIDE: u64 = 256;

/// Everything that waits.
#[derive(Debug)]
pub(super) struct State {
    /// In order: the first is being sent, the last takes what comes. There is always one.
    pub(super) generations: VecDeque<Generation>,
    pub(super) memory_bytes: u64,
    pub(super) disk_bytes: u64,
    /// Blocks on disk, or on their way there.
    pub(super) disk_blocks: u64,
    /// Items of all blocks, wherever they are.
    pub(super) items: u64,
    /// Items of encoded blocks that wait for room.
    pub(super) announced: u64,
    pub(super) next_seq: u64,
    /// Since when a push has found no room, without any that left a quarter free.
    pub(super) full_since: Option<Instant>,
    pub(super) closed: bool,
    /// The term of what went to disk, and the sequence number of the first such block.
    pub(super) term: Option<(Term, u64)>,
    pub(super) scale: Scale,
}

/// Blocks that were sharded in one way. The next generation is sent when this one is empty: that is how series may
/// move between shards and stay in order.
#[derive(Debug)]
pub(super) struct Generation {
    pub(super) number: u32,
    pub(super) shards: Vec<Shard>,
    /// Calls that may still push into it.
    pub(super) writers: usize,
}

/// What waits in one shard.
#[derive(Debug, Default)]
pub(super) struct Shard {
    pub(super) front: Option<Front>,
    pub(super) memory: VecDeque<Entry>,
    /// Blocks on disk that are not in `front`.
    pub(super) disk: u64,
    /// The highest sequence number on disk that was in `front`.
    pub(super) taken: u64,
    /// Its worker has taken blocks out and makes one request of them.
    pub(super) busy: bool,
}

/// A block in memory.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) seq: u64,
    pub(super) block: Block,
    /// When it came, nanoseconds since the Unix epoch.
    pub(super) accepted: u64,
}

/// What a shard's worker is at: one block, or several that became one request, or what a block was cut into.
#[derive(Debug)]
pub(super) struct Front {
    /// What may be sent at the same time: each series is in one lane, and the parts of a lane are in order.
    pub(super) lanes: Vec<VecDeque<Part>>,
    pub(super) seq: u64,
    pub(super) accepted: u64,
    /// What to acknowledge when all parts are settled; `None`: it is in memory only.
    pub(super) disk: Option<OnDisk>,
}

impl Front {
    pub(super) fn parts(&self) -> impl Iterator<Item = &Part> {
        self.lanes.iter().flatten()
    }

    pub(super) fn lane(&mut self, lane: usize) -> Option<&mut VecDeque<Part>> {
        self.lanes.get_mut(lane)
    }

    pub(super) fn is_done(&self) -> bool {
        self.lanes.iter().all(VecDeque::is_empty)
    }
}

/// What of the disk a front stands for.
#[derive(Debug, Clone, Copy)]
pub(super) struct OnDisk {
    pub(super) last: u64,
    pub(super) bytes: u64,
    pub(super) blocks: u64,
}

/// One request to be made.
#[derive(Debug, Clone)]
pub struct Part {
    /// Its bytes.
    pub block: Block,
    /// Whether a process before may have sent it: the backend may refuse it for that.
    pub replay: bool,
    /// It is part of a request that was refused; so many more requests may be made to find out which series it was.
    pub bisect: Option<Arc<AtomicU32>>,
}

impl From<Block> for Part {
    fn from(block: Block) -> Part {
        Part { block, replay: false, bisect: None }
    }
}

/// How many shards there should be.
#[derive(Debug)]
pub(super) struct Scale {
    bounds: RangeInclusive<u32>,
    pub(super) wanted: u32,
    behind_since: Option<Instant>,
    idle_since: Option<Instant>,
    changed: Option<Instant>,
    /// Items that came, and that were settled, since there has been a backlog.
    came: u64,
    went: u64,
}

impl Scale {
    pub(super) fn new(bounds: RangeInclusive<u32>) -> Scale {
        let wanted = *bounds.start();
        Scale { bounds, wanted, behind_since: None, idle_since: None, changed: None, came: 0, went: 0 }
    }

    pub(super) fn most(&self) -> u32 {
        *self.bounds.end()
    }

    pub(super) fn came(&mut self, items: u64) {
        self.came += items;
    }

    pub(super) fn went(&mut self, items: u64) {
        self.went += items;
    }

    /// Other bounds, from now on.
    pub(super) fn rebound(&mut self, bounds: RangeInclusive<u32>) {
        self.wanted = self.wanted.clamp(*bounds.start(), *bounds.end());
        self.bounds = bounds;
    }

    /// Whether there has been a backlog for long enough to do something about it.
    pub(super) fn is_behind(&self) -> bool {
        self.behind_since.is_some_and(|since| since.elapsed() >= BEHIND)
    }

    /// Learns whether anything waits behind what is under way.
    pub(super) fn observe(&mut self, waiting: bool) {
        if waiting && self.behind_since.is_some() || !waiting && self.idle_since.is_some() {
            return;
        }
        let since = Some(Instant::now());
        (self.behind_since, self.idle_since) = if waiting { (since, None) } else { (None, since) };
        (self.came, self.went) = (0, 0);
    }

    /// As many more as what comes is more than what goes, while there is a backlog that a working backend does not keep
    /// down; half as many after a minute without one.
    pub(super) fn adapt(&mut self, works: bool) {
        let long = |since: Option<Instant>, span| since.is_some_and(|since| since.elapsed() >= span);
        if self.changed.is_some() && !long(self.changed, SETTLING) {
            return;
        }
        let wanted = match self.wanted {
            n if works && long(self.behind_since, BEHIND) => {
                let more = u64::from(n) * self.came / self.went.max(1) + 1;
                u32::try_from(more).unwrap_or(u32::MAX).max(n + 1).min(*self.bounds.end())
            }
            n if long(self.idle_since, IDLE) => (n / 2).max(*self.bounds.start()),
            n => n,
        };
        if wanted != self.wanted {
            self.wanted = wanted;
            let now = Instant::now();
            self.changed = Some(now);
            self.idle_since = self.idle_since.map(|_| now);
            self.behind_since = self.behind_since.map(|_| now);
            (self.came, self.went) = (0, 0);
        }
    }
}

impl State {
    pub(super) fn new(bounds: RangeInclusive<u32>) -> State {
        let scale = Scale::new(bounds);
        State {
            generations: VecDeque::from([Generation::new(1, scale.wanted)]),
            memory_bytes: 0,
            disk_bytes: 0,
            disk_blocks: 0,
            items: 0,
            announced: 0,
            next_seq: STRIDE,
            full_since: None,
            closed: false,
            term: None,
            scale,
        }
    }

    /// The number of the next block.
    pub(super) fn number(&mut self) -> u64 {
        let number = self.next_seq;
        self.next_seq += STRIDE;
        number
    }

    /// The generation that takes what comes.
    pub(super) fn last(&mut self) -> &mut Generation {
        // Generations are retired only while there is another behind them.
        self.generations.back_mut().expect("there is always a generation")
    }

    /// The shard of a generation that has not been retired, because somebody still writes to it.
    pub(super) fn shard(&mut self, generation: u32, shard: u32) -> Option<&mut Shard> {
        let of = self.generations.iter_mut().find(|of| of.number == generation)?;
        of.shards.get_mut(shard as usize)
    }

    /// How many requests one shard may have under way: its share of all, once there is a backlog.
    pub(super) fn abreast(&self) -> usize {
        let shards = self.generations.front().map_or(1, |first| first.shards.len());
        if self.scale.is_behind() { (self.scale.most() as usize / shards).clamp(1, ABREAST) } else { 1 }
    }

    /// Makes the number of shards what it should be, in a new generation, unless somebody writes to the last one.
    pub(super) fn resize(&mut self) {
        let wanted = self.scale.wanted;
        let last = self.last();
        if last.shards.len() == wanted as usize || last.writers > 0 {
            return;
        }
        let next = Generation::new(last.number + 1, wanted);
        self.generations.push_back(next);
    }

    /// Takes generations away that are done; whether there were any.
    pub(super) fn retire(&mut self) -> bool {
        let before = self.generations.len();
        while self.generations.len() > 1 && self.generations.front().is_some_and(Generation::is_done) {
            self.generations.pop_front();
        }
        self.generations.len() < before
    }

    /// Whether anything waits behind what is under way.
    pub(super) fn is_waiting(&self) -> bool {
        self.generations.iter().flat_map(|of| &of.shards).any(|shard| !shard.memory.is_empty() || shard.disk > 0)
    }

    /// The shard, of the generation that is being sent, that holds the oldest block in memory.
    pub(super) fn oldest_in_memory(&mut self) -> Option<&mut Shard> {
        let shards = self.generations.iter_mut().flat_map(|of| &mut of.shards);
        shards.filter(|shard| !shard.memory.is_empty()).min_by_key(|shard| shard.memory.front().map(|entry| entry.seq))
    }

    /// The earliest arrival of what waits, nanoseconds since the Unix epoch, as far as memory knows.
    pub(super) fn oldest(&self) -> Option<u64> {
        let shards = self.generations.iter().flat_map(|of| &of.shards);
        let of = |shard: &Shard| {
            let front = shard.front.as_ref().map(|front| front.accepted);
            front.or_else(|| shard.memory.front().map(|entry| entry.accepted))
        };
        shards.filter_map(of).min()
    }

    /// Requests that wait or are under way.
    pub(super) fn blocks(&self) -> u64 {
        let of = |shard: &Shard| {
            let front = shard.front.as_ref().map_or(0, |front| front.parts().count());
            (front + shard.memory.len()) as u64 + shard.disk
        };
        self.generations.iter().flat_map(|generation| &generation.shards).map(of).sum()
    }
}

impl Generation {
    pub(super) fn new(number: u32, shards: u32) -> Generation {
        Generation { number, shards: (0..shards.max(1)).map(|_| Shard::default()).collect(), writers: 0 }
    }

    fn is_done(&self) -> bool {
        self.writers == 0 && self.shards.iter().all(Shard::is_empty)
    }
}

impl Shard {
    /// Items of what is in memory.
    pub(super) fn items(&self) -> u64 {
        let parts = self.front.iter().flat_map(Front::parts).map(|part| part.block.items);
        parts.chain(self.memory.iter().map(|entry| entry.block.items)).sum()
    }

    fn is_empty(&self) -> bool {
        self.front.is_none() && self.memory.is_empty() && self.disk == 0 && !self.busy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn shards_follow_the_load_behind_a_slow_backend_and_halve_when_there_is_nothing_to_do() {
        let mut scale = Scale::new(1..=6);
        let mut wanted = Vec::new();
        for second in 0..240 {
            tokio::time::advance(Duration::from_secs(1)).await;
            scale.observe(second < 60);
            // Each shard does 10 of the 35 that come.
            scale.came(35);
            scale.went(u64::from(scale.wanted) * 10);
            scale.adapt(true);
            if wanted.last() != Some(&scale.wanted) {
                wanted.push(scale.wanted);
            }
        }
        assert_eq!(wanted, [1, 4, 5, 6, 3, 1]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_backend_that_fails_gets_no_more_requests_for_it() {
        let mut scale = Scale::new(1..=8);
        for _ in 0..100 {
            tokio::time::advance(Duration::from_secs(1)).await;
            scale.observe(true);
            scale.adapt(false);
        }
        assert_eq!(scale.wanted, 1);
    }
}
