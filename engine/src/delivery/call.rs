//! One fan-out: what its branches know of each other, and how blocks get into their queues.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use steadyline_component::exporter::OnFull;
use steadyline_component::{Batch, Block, SendError, Shutdown};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::branch::{Branch, Unqueued};
use super::queue::{Commit, Refused};

/// How long a full branch holds the source while another branch has room.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a disk that could not be written is left alone.
const DISK_PAUSE: Duration = Duration::from_secs(1);

/// What the branches of one fan-out know of each other: a branch without room holds the source for ever if no other
/// branch has room either, and at most [`PATIENCE`] otherwise. One call spans every pipeline that a batch goes to.
#[derive(Debug)]
pub struct Call {
    state: Mutex<CallState>,
    changed: Notify,
    hard_stop: Shutdown,
}

#[derive(Debug, Default)]
struct CallState {
    /// Branches that took what they were last given.
    roomy: Vec<usize>,
    /// Since when a branch has held up this call.
    waiting_since: BTreeMap<usize, Instant>,
    /// What is in the queues and counts as accepted only when this is done.
    commits: Vec<Commit>,
}

impl Call {
    /// A fan-out that gives up waiting for room when `hard_stop` fires.
    pub fn new(hard_stop: Shutdown) -> Call {
        Call { state: Mutex::default(), changed: Notify::new(), hard_stop }
    }

    /// Notes that something that is not a branch with a queue took its share.
    pub fn sink_had_room<T: ?Sized>(&self, sink: &Arc<T>) {
        self.had_room(Arc::as_ptr(sink).addr());
    }

    fn had_room(&self, key: usize) {
        let mut state = self.lock();
        if !state.roomy.contains(&key) {
            state.roomy.push(key);
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// Encodes a batch and puts its blocks into the branch's queue, in order. Resolves when all are in, on disk if that
    /// is where they go, or dropped and counted; whether they survive the machine, [`Call::committed`] says.
    ///
    /// # Errors
    /// The process stops and there is still no room; what was not taken is counted.
    pub async fn push(&self, branch: &Branch, batch: &Batch) -> Result<(), SendError> {
        let mut unqueued = branch.encode(batch);
        loop {
            let Some(block) = unqueued.blocks.pop_front() else {
                if self.write(branch, &mut unqueued).await? {
                    return Ok(());
                }
                continue;
            };
            self.push_block(branch, block, &mut unqueued).await?;
        }
    }

    /// Waits until what was pushed counts as accepted. Whoever called holds nothing up meanwhile.
    ///
    /// # Errors
    /// The process stopped before.
    pub async fn committed(&self) -> Result<(), SendError> {
        let commits = std::mem::take(&mut self.lock().commits);
        for commit in commits {
            commit.done().await?;
        }
        Ok(())
    }

    /// Writes what has room on disk; `false` if it could not be written and waits among the blocks again.
    async fn write(&self, branch: &Branch, unqueued: &mut Unqueued<'_>) -> Result<bool, SendError> {
        let writes = std::mem::take(&mut unqueued.writes);
        let (blocks, error) = match branch.queue.write(&unqueued.layout, writes).await {
            Ok(commit) => {
                self.lock().commits.extend(commit);
                return Ok(true);
            }
            Err(unwritable) => unwritable,
        };
        if let Some(more) = branch.disk_gate.pass() {
            tracing::error!(component = %branch.name, suppressed = more,
                "the queue on disk cannot be written, what comes in has to wait: {error}");
        }
        for block in blocks.into_iter().rev() {
            unqueued.blocks.push_front(block);
        }
        let impatient = self.is_full(branch) && branch.delivery.queue.on_full != OnFull::Block;
        if impatient && self.deadline(branch) <= Instant::now() {
            if let Some(block) = unqueued.blocks.pop_front() {
                branch.drop_full(&block);
            }
            return Ok(false);
        }
        tokio::select! {
            told = branch.hurried() => Err(told),
            () = tokio::time::sleep(DISK_PAUSE) => Ok(false),
            () = self.hard_stop.wait() => Err(SendError::ShuttingDown),
        }
    }

    /// Pushes one block. If there is no room it goes back among the others, and this resolves when it is worth trying
    /// again.
    async fn push_block(&self, branch: &Branch, block: Block, unqueued: &mut Unqueued<'_>) -> Result<(), SendError> {
        let room = branch.queue.room();
        let changed = self.changed.notified();
        tokio::pin!(room, changed);
        room.as_mut().enable();
        changed.as_mut().enable();
        let block = match branch.queue.try_push(&unqueued.layout, block) {
            Ok(write) => {
                unqueued.writes.extend(write);
                self.had_room(branch.key());
                return Ok(());
            }
            Err(Refused::Closed(block)) => {
                unqueued.blocks.push_front(*block);
                return Err(SendError::ShuttingDown);
            }
            Err(Refused::Full(block)) => block,
        };
        // While it waits, the block is where a cancelled call would leave it: counted.
        unqueued.blocks.push_front(*block);
        if !unqueued.writes.is_empty() {
            self.write(branch, unqueued).await?;
            return Ok(());
        }
        let on_full = branch.delivery.queue.on_full;
        let others_have_room = self.is_full(branch);
        let impatient = on_full == OnFull::DropOldest || (others_have_room && on_full == OnFull::DropNewest);
        let deadline = self.deadline(branch);
        if impatient && deadline <= Instant::now() {
            self.make_room(branch, unqueued).await;
            return Ok(());
        }
        tokio::select! {
            told = branch.hurried() => Err(told),
            () = room => Ok(()),
            () = changed => Ok(()),
            () = tokio::time::sleep_until(deadline), if impatient => Ok(()),
            () = self.hard_stop.wait() => Err(SendError::ShuttingDown),
        }
    }

    /// Drops the oldest of the queue until there is room for some time, or the newest: by the queue's choice.
    async fn make_room(&self, branch: &Branch, unqueued: &mut Unqueued<'_>) {
        let mut lost = 0;
        if branch.delivery.queue.on_full == OnFull::DropOldest {
            let enough = branch.queue.capacity() / 16 * 15;
            while branch.queue.bytes() > enough {
                let Some(items) = branch.queue.drop_oldest().await else { break };
                lost += items;
            }
        }
        if lost == 0 {
            if let Some(block) = unqueued.blocks.pop_front() {
                branch.drop_full(&block);
            }
        } else if let Some(more) = branch.full_gate.pass() {
            tracing::error!(component = %branch.name, items = lost, suppressed = more,
                "the queue has been full for 5 s: its oldest {lost} items are lost to make room");
        }
    }

    /// Notes that a branch has no room; says whether another one has.
    fn is_full(&self, branch: &Branch) -> bool {
        let mut state = self.lock();
        state.roomy.retain(|&key| key != branch.key());
        state.waiting_since.entry(branch.key()).or_insert_with(Instant::now);
        !state.roomy.is_empty()
    }

    /// When the patience with a full branch ends: it counts from when the queue became full or this call first
    /// waited for it, whichever was earlier, so that one call is never held longer.
    fn deadline(&self, branch: &Branch) -> Instant {
        let now = Instant::now();
        let waiting = self.lock().waiting_since.get(&branch.key()).copied().unwrap_or(now);
        branch.queue.full_since().unwrap_or(now).min(waiting) + PATIENCE
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, CallState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
