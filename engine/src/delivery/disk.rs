//! The segmented log as the backing of a queue: what several calls append at the same time is synced together, and no
//! disk is waited for on an async thread.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use steadyline_blocklog::{Disk, Entry, Log, LogError, Options, Quarantined, ReadError, RealDisk, Record, Recovery};
use steadyline_component::{Folder, JoinLimit};

use super::backing::{Backing, Discarded, Pending, Restored, Stored};
use super::queue::{JOIN, cost};

/// Acknowledgements, and what nobody waits for, are synced this often.
const SYNC: Duration = Duration::from_secs(1);

/// A record that cannot be read is tried so often, then it is given up.
const READS: u32 = 10;

/// A pending record, read or not.
type Found = (Entry, Result<Record, ReadError>);

/// No queue has more shards.
const MOST_SHARDS: u32 = 200;

/// A queue's folder.
pub struct DiskQueue<D: Disk> {
    name: String,
    log: Arc<Mutex<Option<Log<D>>>>,
    /// Counts appends; what is below `synced` survives a crash.
    appended: AtomicU64,
    synced: tokio::sync::Mutex<u64>,
    /// Something was acknowledged or appended that no sync has covered.
    dirty: AtomicBool,
    /// Shards of which a process before may have sent the first request, and up to where that went once it is known:
    /// by the same rule as then, which records would be one request.
    maybe_sent: Mutex<HashMap<u32, Option<u64>>>,
    bytes: AtomicU64,
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
        let open = move || Log::open(RealDisk, &path, Options { sync, ..Options::default() });
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
        let maybe_sent = recovery.maybe_sent.iter().map(|entry| (entry.shard, None)).collect();
        let queue = Arc::new(DiskQueue {
            name,
            bytes: AtomicU64::new(log.stats().disk_bytes),
            log: Arc::new(Mutex::new(Some(log))),
            appended: AtomicU64::new(0),
            synced: tokio::sync::Mutex::new(0),
            dirty: AtomicBool::new(false),
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
                if queue.dirty.load(Ordering::Relaxed)
                    && let Err(error) = queue.sync().await
                {
                    tracing::warn!(component = %queue.name, "the queue on disk could not be synced, and will be again: {error}");
                }
            }
        });
    }

    /// Runs something with the log, off the async threads; `None` if it is closed.
    async fn with<T: Send + 'static>(&self, work: impl FnOnce(&mut Log<D>) -> T + Send + 'static) -> Option<T> {
        let log = Arc::clone(&self.log);
        let run = move || {
            let mut guard = lock(&log);
            let log = guard.as_mut()?;
            let result = work(log);
            Some((result, log.stats().disk_bytes, log.take_losses()))
        };
        let done = if self.inline { run() } else { tokio::task::spawn_blocking(run).await.ok()? };
        let (result, bytes, losses) = done?;
        self.bytes.store(bytes, Ordering::Relaxed);
        losses.iter().for_each(|loss| self.tell(loss));
        Some(result)
    }

    /// Syncs everything that was appended and acknowledged before the call. Whoever comes while another syncs waits
    /// for it, and the next sync covers all who wait.
    async fn sync(&self) -> Result<(), String> {
        let mine = self.appended.load(Ordering::Acquire);
        let asked = self.dirty.load(Ordering::Acquire);
        let mut synced = self.synced.lock().await;
        if *synced >= mine && !(asked && self.dirty.load(Ordering::Acquire)) {
            return Ok(());
        }
        let through = self.appended.load(Ordering::Acquire);
        self.dirty.store(false, Ordering::Release);
        let job = self.with(Log::sync_job).await.ok_or("it is closed")?;
        let run = move || job.run();
        let result = if self.inline { run() } else { tokio::task::spawn_blocking(run).await.unwrap_or(Ok(())) };
        match result {
            Ok(()) => {
                *synced = through;
                Ok(())
            }
            Err(error) => {
                self.dirty.store(true, Ordering::Release);
                Err(error.to_string())
            }
        }
    }

    fn tell(&self, loss: &Quarantined) {
        tracing::error!(component = %self.name, "the queue on disk is damaged: {loss}");
    }

    /// Whether what comes next of a shard may have been sent. If so it goes record by record, so that a refusal says
    /// nothing of others.
    fn is_replay(&self, shard: u32, read: &[Found]) -> bool {
        let mut maybe_sent = self.maybe_sent.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some(through), Some((first, _))) = (maybe_sent.get_mut(&shard), read.first()) else { return false };
        let last = read.last().map_or(first.seq, |(last, _)| last.seq);
        let replay = first.seq <= *through.get_or_insert(last);
        if !replay {
            maybe_sent.remove(&shard);
        }
        replay
    }
}

#[async_trait]
impl<D: Disk> Backing for DiskQueue<D> {
    async fn append(&self, records: Vec<Record>, sync: bool) -> Result<(), String> {
        let appended = self.with(move |log| log.append(&records)).await.ok_or("it is closed")?;
        self.dirty.store(true, Ordering::Release);
        if let Err(error) = appended {
            if error.is_full() {
                // What was acknowledged goes with the next sync, and makes room.
                self.sync().await?;
            }
            return Err(error.to_string());
        }
        self.appended.fetch_add(1, Ordering::AcqRel);
        // From here on the records are in the log: a sync that fails is repeated, and the next one covers them.
        while sync && let Err(error) = self.sync().await {
            if lock(&self.log).is_none() {
                return Err(error);
            }
            if self.complaints.fetch_add(1, Ordering::Relaxed).is_power_of_two() {
                tracing::error!(component = %self.name, "the queue on disk cannot be synced, what comes in has to wait: {error}");
            }
            tokio::time::sleep(SYNC).await;
        }
        Ok(())
    }

    async fn read(&self, generation: u32, shard: u32, after: u64, limit: JoinLimit) -> Vec<Stored> {
        let mut read = Vec::new();
        for attempt in 0.. {
            let give_up = attempt == READS;
            read = self
                .with(move |log| read_some(log, (generation, shard), after, limit, give_up))
                .await
                .unwrap_or_default();
            match read.first() {
                Some((_, Err(ReadError::Io(error)))) if !give_up => {
                    tracing::warn!(component = %self.name, "the queue on disk could not be read, and will be again: {error}");
                    tokio::time::sleep(SYNC).await;
                }
                _ => break,
            }
        }
        let replay = self.is_replay(shard, &read);
        let most = if replay { 1 } else { read.len() };
        read.into_iter().take(most).filter_map(|(entry, result)| stored(entry, result, replay)).collect()
    }

    async fn acknowledge(&self, shard: u32, seq: u64) {
        self.dirty.store(true, Ordering::Release);
        if let Some(Err(error)) = self.with(move |log| log.acknowledge(shard, seq)).await {
            // A cursor that lags costs a request sent twice; the next acknowledgement covers this one.
            tracing::warn!(component = %self.name, "the cursor of the queue on disk could not be moved on: {error}");
        }
    }

    async fn discard_oldest(&self, after: Vec<u64>) -> Option<Discarded> {
        let discard = move |log: &mut Log<D>| {
            let first =
                |(shard, after): (u32, &u64)| log.front(shard, 2 * JOIN).into_iter().find(|entry| entry.seq > *after);
            let entry = (0..).zip(&after).filter_map(first).min_by_key(|entry| entry.seq)?;
            let amount = log.remove(&entry)?;
            let bytes = cost(amount.bytes as usize);
            Some(Discarded { generation: entry.generation, shard: entry.shard, items: amount.items, bytes })
        };
        self.with(discard).await.flatten()
    }

    async fn close(&self, clean: bool) -> Result<(), String> {
        self.sync().await?;
        let Some(log) = lock(&self.log).take() else { return Ok(()) };
        let close = move || -> Result<(), LogError> { if clean { log.close_clean() } else { Ok(()) } };
        let closed = if self.inline { close() } else { tokio::task::spawn_blocking(close).await.unwrap_or(Ok(())) };
        closed.map_err(|error| error.to_string())
    }

    fn disk_bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl<D: Disk> std::fmt::Debug for DiskQueue<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DiskQueue({})", self.name)
    }
}

fn lock<D: Disk>(log: &Mutex<Option<Log<D>>>) -> MutexGuard<'_, Option<Log<D>>> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The next records of a shard, as many as are one request; only the first may be one that cannot be read now, and
/// `give_up` makes that one lost.
fn read_some<D: Disk>(
    log: &mut Log<D>,
    (generation, shard): (u32, u32),
    after: u64,
    limit: JoinLimit,
    give_up: bool,
) -> Vec<Found> {
    let mut read: Vec<Found> = Vec::new();
    let (mut bytes, mut items) = (0, 0);
    let next = |entry: &Entry| entry.seq > after && entry.generation == generation;
    // What is under way is at the front, and not more than one request.
    for entry in log.front(shard, 2 * JOIN).into_iter().filter(next).take(JOIN) {
        let meta = log.peek(&entry).unwrap_or_default();
        (bytes, items) = (bytes + meta.uncompressed, items + meta.items);
        if !read.is_empty() && !limit.fits(bytes, items) {
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
