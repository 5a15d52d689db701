//! The segmented log as the backing of a queue: what several calls append at the same time is synced together, and no
//! disk is waited for on an async thread.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use steadyline_blocklog::{Disk, Entry, Log, Options, ReadError, RealDisk, Record, Recovery, boot};
use steadyline_component::Folder;
use tokio::sync::{OwnedMutexGuard, oneshot};

use super::backing::{Backing, Discarded, Pending, Restored, Stored};
use super::opened::{CLOSED, Opened};
use super::queue::{Reach, cost};

/// Acknowledgements, and what nobody waits for, are synced this often: each time costs as much as a request that is synced.
const SYNC: Duration = Duration::from_secs(1);

/// A record that cannot be read is tried so often, then it is given up.
const READS: u32 = 10;

/// A pending record, read or not.
type Found = (Entry, Result<Record, ReadError>);

/// No queue has more shards.
const MOST_SHARDS: u32 = 200;

/// How much of a shard a process before may have sent.
#[derive(Debug, Clone, Copy)]
enum Sent {
    /// At least one request; up to where that went once it is known: by the same rule as then, which records would be
    /// one. If none of it is taken there were several under way.
    Request { through: Option<u64>, taken: bool },
    /// Nobody knows: several requests were under way, or the machine crashed and the cursor lags. What was sent before is
    /// refused or taken twice in the order in which it was sent, so the first that is taken ends it.
    UntilTaken,
}

/// A queue's folder.
pub struct DiskQueue<D: Disk> {
    folder: Arc<Opened<D>>,
    /// Whoever holds it syncs, for all who wait.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// Shards of which a process before may have sent what comes first.
    maybe_sent: Mutex<HashMap<u32, Sent>>,
    complaints: AtomicU64,
    /// Everything happens where it is called, as simulated disks want it.
    inline: bool,
}

impl DiskQueue<RealDisk> {
    /// Opens the log in a folder; what was found damaged is told here.
    ///
    /// # Errors
    /// The folder cannot be used.
    pub async fn open(folder: &Folder, name: String) -> Result<(Arc<dyn Backing>, Restored), String> {
        let (path, sync) = (folder.path.clone(), folder.sync);
        let open = move || Log::open(RealDisk, &path, Options { sync, boot: boot(), ..Options::default() });
        let opened = tokio::task::spawn_blocking(open).await.map_err(|error| error.to_string())?;
        let (log, recovery) = opened.map_err(|error| error.to_string())?;
        let (queue, restored) = DiskQueue::new(log, &recovery, name, false);
        Ok((queue, restored))
    }
}

impl<D: Disk> DiskQueue<D> {
    /// Around a log that is open. `inline`: nothing leaves the thread that calls.
    pub fn new(log: Log<D>, recovery: &Recovery, name: String, inline: bool) -> (Arc<DiskQueue<D>>, Restored) {
        let restored = restored(&name, &log, recovery);
        let sent = if recovery.exact { Sent::Request { through: None, taken: false } } else { Sent::UntilTaken };
        let maybe_sent = recovery.maybe_sent.iter().map(|entry| (entry.shard, sent)).collect();
        let queue = Arc::new(DiskQueue {
            folder: Arc::new(Opened::new(name, log)),
            turn: Arc::default(),
            complaints: AtomicU64::new(1),
            maybe_sent: Mutex::new(maybe_sent),
            inline,
        });
        queue.sync_now_and_then();
        (queue, restored)
    }

    fn sync_now_and_then(self: &Arc<Self>) {
        let queue = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(SYNC).await;
                let Some(queue) = queue.upgrade() else { return };
                if !queue.folder.is_dirty() {
                    continue;
                }
                let turn = queue.turn().await;
                if let Err(error) = queue.sync(turn).await {
                    tracing::warn!(component = %queue.folder.name,
                        "the queue on disk could not be synced, and will be again: {error}");
                }
            }
        });
    }

    /// Runs something with the folder, off the async threads, to its end even if nobody waits for that.
    fn run<T: Send + 'static>(&self, work: impl FnOnce(&Opened<D>) -> T + Send + 'static) -> oneshot::Receiver<T> {
        let (tell, told) = oneshot::channel();
        let folder = Arc::clone(&self.folder);
        self.start(move || drop(tell.send(work(&folder))));
        told
    }

    fn start(&self, work: impl FnOnce() + Send + 'static) {
        if self.inline {
            work();
        } else {
            tokio::task::spawn_blocking(work);
        }
    }

    /// Runs something with the log; `None` if it is closed.
    async fn with<T: Send + 'static>(&self, work: impl FnOnce(&mut Log<D>) -> T + Send + 'static) -> Option<T> {
        self.run(|folder| folder.with(work)).await.ok().flatten()
    }

    /// Syncs everything that was appended and acknowledged before.
    async fn sync(&self, turn: OwnedMutexGuard<()>) -> Result<(), String> {
        self.sync_by(turn, Opened::sync).await
    }

    async fn sync_by(
        &self,
        turn: OwnedMutexGuard<()>,
        sync: fn(&Opened<D>) -> Result<(), String>,
    ) -> Result<(), String> {
        let synced = self.run(move |folder| {
            let synced = sync(folder);
            drop(turn);
            synced
        });
        synced.await.unwrap_or_else(|_| Err("it fell over".into()))
    }

    /// Waits until nobody else syncs.
    async fn turn(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.turn).lock_owned().await
    }

    /// Whether what comes next of a shard may have been sent.
    fn is_replay(&self, shard: u32, read: &[Found]) -> bool {
        let mut maybe_sent = self.maybe_sent();
        let (Some(sent), Some((first, _)), Some((last, _))) = (maybe_sent.get_mut(&shard), read.first(), read.last())
        else {
            return false;
        };
        if let Sent::Request { through, .. } = sent {
            through.get_or_insert(last.seq);
        }
        match sent {
            Sent::Request { through: Some(through), .. } if first.seq <= *through => true,
            Sent::Request { taken: true, .. } => {
                maybe_sent.remove(&shard);
                false
            }
            Sent::Request { .. } | Sent::UntilTaken => {
                *sent = Sent::UntilTaken;
                true
            }
        }
    }

    fn maybe_sent(&self) -> MutexGuard<'_, HashMap<u32, Sent>> {
        self.maybe_sent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl<D: Disk> Backing for DiskQueue<D> {
    async fn append(&self, records: Vec<Record>, sync: bool) -> Result<u64, String> {
        let (tell, told) = oneshot::channel();
        let (folder, turn) = (Arc::clone(&self.folder), Arc::clone(&self.turn));
        self.start(move || {
            let appended = folder.append(&records);
            let go_on = sync && matches!(appended, Some(Ok(_)));
            let _ = tell.send(appended);
            // Unless somebody else does, it syncs in the same go; whoever waits sees what came of it.
            if go_on && let Ok(_turn) = turn.try_lock() {
                let _ = folder.sync_appended();
            }
        });
        match told.await.ok().flatten() {
            Some(Ok(append)) => Ok(append),
            Some(Err(error)) => {
                if error.is_full() {
                    // What was acknowledged goes with the next sync, and makes room.
                    let turn = self.turn().await;
                    self.sync(turn).await?;
                }
                Err(error.to_string())
            }
            None => Err(CLOSED.into()),
        }
    }

    async fn synced(&self, append: u64) -> Result<(), String> {
        loop {
            let turn = self.turn().await;
            if self.folder.is_synced(append) {
                return Ok(());
            }
            let Err(error) = self.sync_by(turn, Opened::sync_appended).await else { return Ok(()) };
            if self.folder.is_closed() {
                return Err(error);
            }
            if self.complaints.fetch_add(1, Ordering::Relaxed).is_power_of_two() {
                tracing::error!(component = %self.folder.name,
                    "the queue on disk cannot be synced, what comes in has to wait: {error}");
            }
            tokio::time::sleep(SYNC).await;
        }
    }

    async fn read(&self, place: (u32, u32), after: u64, reach: Reach) -> Vec<Stored> {
        let shard = place.1;
        // What is not known to be new goes record by record, so that a refusal says nothing of others.
        let reach = if self.maybe_sent().contains_key(&shard) { Reach { requests: 1, ..reach } } else { reach };
        let mut read = Vec::new();
        for attempt in 0.. {
            let give_up = attempt == READS;
            read = self.with(move |log| read_some(log, place, after, reach, give_up)).await.unwrap_or_default();
            match read.first() {
                Some((_, Err(ReadError::Io(error)))) if !give_up => {
                    tracing::warn!(component = %self.folder.name, "the queue on disk could not be read, and will be again: {error}");
                    tokio::time::sleep(SYNC).await;
                }
                _ => break,
            }
        }
        let replay = self.is_replay(shard, &read);
        let most = if replay { 1 } else { read.len() };
        read.into_iter().take(most).filter_map(|(entry, result)| stored(entry, result, replay)).collect()
    }

    fn acknowledge(&self, shard: u32, seq: u64) {
        self.folder.acknowledge(shard, seq);
    }

    async fn caught_up(&self, shard: u32) {
        if self.folder.owes(shard) {
            self.with(|_| ()).await;
        }
    }

    fn taken(&self, shard: u32) {
        let mut maybe_sent = self.maybe_sent();
        match maybe_sent.get_mut(&shard) {
            Some(Sent::Request { taken, .. }) => *taken = true,
            Some(Sent::UntilTaken) => drop(maybe_sent.remove(&shard)),
            None => {}
        }
    }

    async fn discard_oldest(&self, after: Vec<u64>) -> Option<Discarded> {
        let discard = move |log: &mut Log<D>| {
            let first = |(shard, after): (u32, &u64)| log.first_after(shard, *after);
            let entry = (0..).zip(&after).filter_map(first).min_by_key(|entry| entry.seq)?;
            let amount = log.remove(&entry)?;
            let bytes = cost(amount.bytes as usize);
            Some(Discarded { generation: entry.generation, shard: entry.shard, items: amount.items, bytes })
        };
        self.with(discard).await.flatten()
    }

    async fn close(&self, clean: bool) -> Result<(), String> {
        let turn = self.turn().await;
        self.sync(turn).await?;
        let closed = self.run(move |folder| folder.close(clean)).await.unwrap_or(Ok(()));
        closed.map_err(|error| error.to_string())
    }

    fn disk_bytes(&self) -> u64 {
        self.folder.disk_bytes()
    }
}

impl<D: Disk> std::fmt::Debug for DiskQueue<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DiskQueue({})", self.folder.name)
    }
}

/// The next records of a shard, as many as are one request; only the first may be one that cannot be read now, and
/// `give_up` makes that one lost.
fn read_some<D: Disk>(
    log: &mut Log<D>,
    (generation, shard): (u32, u32),
    after: u64,
    reach: Reach,
    give_up: bool,
) -> Vec<Found> {
    let mut read: Vec<Found> = Vec::new();
    let (mut bytes, mut items) = (0, 0);
    let next = |entry: &Entry| entry.seq > after && entry.generation == generation;
    // Nothing is under way while this is asked.
    for entry in log.front(shard, reach.blocks()).into_iter().filter(next) {
        let meta = log.peek(&entry).unwrap_or_default();
        (bytes, items) = (bytes + meta.uncompressed, items + meta.items);
        if !read.is_empty() && !reach.fits(bytes, items) {
            break;
        }
        let result = match log.read(&entry) {
            Err(ReadError::Io(_)) if !read.is_empty() => break,
            Err(ReadError::Io(error)) if give_up => {
                log.discard(&entry).map_or(Err(ReadError::Io(error)), |loss| Err(ReadError::Damaged(loss)))
            }
            result => result,
        };
        read.push((entry, result));
    }
    read
}

fn stored(entry: Entry, result: Result<Record, ReadError>, replay: bool) -> Option<Stored> {
    match result {
        Ok(record) => Some(Stored::Whole { replay, record }),
        Err(ReadError::Damaged(loss)) => {
            let (items, bytes) = (loss.items.unwrap_or(0), loss.range.end - loss.range.start);
            Some(Stored::Damaged { seq: entry.seq, items, bytes, message: loss.to_string() })
        }
        Err(ReadError::Gone(_) | ReadError::Io(_)) => None,
    }
}

/// What a log holds, as the queue wants to know it.
fn restored<D: Disk>(name: &str, log: &Log<D>, recovery: &Recovery) -> Restored {
    for loss in &recovery.quarantined {
        tracing::error!(component = %name, "the queue on disk was damaged: {loss}");
    }
    let mut pending: Vec<Pending> = Vec::new();
    for shard in 0..MOST_SHARDS {
        for entry in log.front(shard, usize::MAX) {
            let same = |known: &&mut Pending| (known.generation, known.shard) == (entry.generation, shard);
            match pending.last_mut().filter(same) {
                Some(known) => known.blocks += 1,
                None => pending.push(Pending { generation: entry.generation, shard, blocks: 1 }),
            }
        }
    }
    pending.sort_by_key(|pending| (pending.generation, pending.shard));
    let amount = recovery.pending;
    Restored {
        pending,
        items: amount.items,
        bytes: amount.bytes + cost(0) * amount.records,
        next_seq: recovery.next_seq,
        damaged_items: recovery.quarantined.iter().filter_map(|loss| loss.items).sum(),
    }
}
