//! The log of a disk queue while it is open: who touches it, and in which order that becomes durable. Everything here may
//! wait for the disk.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use steadyline_blocklog::{Disk, Log, LogError, Quarantined, Record, SyncJob};

/// Why nothing works any more.
pub(super) const CLOSED: &str = "it is closed";

/// A log with what is known of it without asking the disk.
pub(super) struct Opened<D: Disk> {
    /// Whose queue it is, for logs.
    pub(super) name: String,
    log: Mutex<Option<Log<D>>>,
    /// What is acknowledged and not written, by shard: whoever touches the log next writes it first.
    acknowledged: Mutex<BTreeMap<u32, u64>>,
    /// Counts appends; those up to `synced` survive a crash of the machine.
    appended: AtomicU64,
    synced: AtomicU64,
    /// Something was acknowledged or appended that no sync has covered.
    dirty: AtomicBool,
    closed: AtomicBool,
    bytes: AtomicU64,
}

impl<D: Disk> Opened<D> {
    pub(super) fn new(name: String, log: Log<D>) -> Opened<D> {
        Opened {
            name,
            bytes: AtomicU64::new(log.stats().disk_bytes),
            log: Mutex::new(Some(log)),
            acknowledged: Mutex::default(),
            appended: AtomicU64::new(0),
            synced: AtomicU64::new(0),
            dirty: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        }
    }

    /// Does something with the log, once what was acknowledged is written; `None` if it is closed.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Log<D>) -> T) -> Option<T> {
        let mut guard = self.lock();
        let log = guard.as_mut()?;
        self.catch_up(log);
        let result = work(log);
        self.bytes.store(log.stats().disk_bytes, Ordering::Relaxed);
        log.take_losses().iter().for_each(|loss| self.tell(loss));
        Some(result)
    }

    /// Writes records behind all others; says which append it was. `None` if it is closed.
    pub(super) fn append(&self, records: &[Record]) -> Option<Result<u64, LogError>> {
        self.with(|log| {
            log.append(records)?;
            self.dirty.store(true, Ordering::Release);
            Ok(self.appended.fetch_add(1, Ordering::AcqRel) + 1)
        })
    }

    /// Syncs everything that was appended before. One at a time.
    pub(super) fn sync_appended(&self) -> Result<(), String> {
        self.run(Log::append_job)
    }

    /// Syncs everything that was appended and acknowledged before. One at a time.
    pub(super) fn sync(&self) -> Result<(), String> {
        self.dirty.store(false, Ordering::Release);
        self.run(Log::sync_job)
    }

    fn run(&self, make: impl FnOnce(&mut Log<D>) -> SyncJob<D>) -> Result<(), String> {
        // Under the lock of the log: what is counted is in it.
        let job = self.with(|log| (self.appended.load(Ordering::Acquire), make(log)));
        let (through, job) = job.ok_or(CLOSED)?;
        match job.run() {
            Ok(()) => {
                self.synced.store(through, Ordering::Release);
                Ok(())
            }
            Err(error) => {
                self.dirty.store(true, Ordering::Release);
                Err(error.to_string())
            }
        }
    }

    /// Notes that everything of a shard up to this number is settled.
    pub(super) fn acknowledge(&self, shard: u32, seq: u64) {
        let mut acknowledged = self.acknowledged();
        let through = acknowledged.entry(shard).or_default();
        *through = seq.max(*through);
        self.dirty.store(true, Ordering::Release);
    }

    /// Whether something of a shard is acknowledged and not written.
    pub(super) fn owes(&self, shard: u32) -> bool {
        self.acknowledged().contains_key(&shard)
    }

    /// Owed until it is written, so that nobody goes on too early; not locked meanwhile, so that nobody waits for it.
    fn catch_up(&self, log: &mut Log<D>) {
        let owed: Vec<(u32, u64)> = self.acknowledged().iter().map(|(&shard, &through)| (shard, through)).collect();
        for (shard, through) in owed {
            if let Err(error) = log.acknowledge(shard, through) {
                // A cursor that lags costs a request sent twice; the next acknowledgement covers this one.
                tracing::warn!(component = %self.name, "the cursor of the queue on disk could not be moved on: {error}");
            }
            let mut acknowledged = self.acknowledged();
            if acknowledged.get(&shard) == Some(&through) {
                acknowledged.remove(&shard);
            }
        }
    }

    /// Closes the log. `clean`: nothing was under way.
    pub(super) fn close(&self, clean: bool) -> Result<(), LogError> {
        self.closed.store(true, Ordering::Release);
        match self.lock().take() {
            Some(log) if clean => log.close_clean(),
            _ => Ok(()),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(super) fn is_synced(&self, append: u64) -> bool {
        self.synced.load(Ordering::Acquire) >= append
    }

    pub(super) fn is_dirty(&self) -> bool {
        self.dirty.load(Ordering::Relaxed)
    }

    pub(super) fn disk_bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    fn tell(&self, loss: &Quarantined) {
        tracing::error!(component = %self.name, "the queue on disk is damaged: {loss}");
    }

    fn lock(&self) -> MutexGuard<'_, Option<Log<D>>> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn acknowledged(&self) -> MutexGuard<'_, BTreeMap<u32, u64>> {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
