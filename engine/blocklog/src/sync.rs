//! Making durable what was written, outside of any lock that guards the log.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::cursor::StateSlot;
use crate::disk::{Disk, DiskFile};
use crate::error::LogError;
use crate::index::Place;
use crate::manifest::{self, MANIFEST};
use crate::segments::segment_name;

/// What the log and its sync jobs both know.
#[derive(Debug)]
pub(crate) struct Shared<F> {
    pub slot: StateSlot<F>,
    /// Counts failed syncs. A job whose count is old proves nothing: the kernel tells of a failed write once only.
    pub failures: u64,
    /// A sync failed, and what it covered was not written again yet.
    pub broken: bool,
    /// Segments without pending records, and their sizes: taken out of the log, not yet off the disk.
    pub dead: Vec<(u32, u64)>,
    /// The sizes of all segments that are dead and still on the disk.
    pub dead_bytes: u64,
    /// The manifest could not be written.
    pub manifest_stale: bool,
}

/// The shared part with its lock, which is never held over a sync.
pub(crate) type SharedState<D> = Arc<Mutex<Shared<<D as Disk>::File>>>;

pub(crate) fn lock<F>(shared: &Mutex<Shared<F>>) -> MutexGuard<'_, Shared<F>> {
    // No code panics while it holds the lock; what it guards is whole at every point.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes durable what was appended and acknowledged before the job was made. Run it without holding the log; jobs run
/// one at a time, in the order in which they were made.
#[must_use = "nothing is durable until it has run"]
pub struct SyncJob<D: Disk>(pub(crate) Result<Work<D>, LogError>);

/// What a job does.
pub(crate) struct Work<D: Disk> {
    pub(crate) disk: D,
    pub(crate) folder: PathBuf,
    pub(crate) shared: SharedState<D>,
    pub(crate) failures: u64,
    /// Whether anything is synced at all, by the owner's choice.
    pub(crate) sync: bool,
    pub(crate) segments: Vec<(u32, Arc<D::File>)>,
    pub(crate) created: bool,
    /// The new content of the manifest.
    pub(crate) manifest: Option<Vec<u8>>,
    pub(crate) cursor: Option<Arc<D::File>>,
    /// Everything before it is synced when the job is done.
    pub(crate) target: Place,
    /// Segments to delete at the end, and their sizes.
    pub(crate) dead: Vec<(u32, u64)>,
}

impl<D: Disk> SyncJob<D> {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.0.as_ref().is_ok_and(Work::is_empty)
    }

    /// Does it. When it succeeds, everything that was appended before the job was made survives a crash.
    ///
    /// # Errors
    /// Nothing of what was appended since the last successful job is known to survive a crash. The log goes on: its
    /// next job writes all of that again to a new segment, so a later success covers it.
    pub fn run(self) -> Result<(), LogError> {
        self.0?.run()
    }
}

impl<D: Disk> Work<D> {
    fn is_empty(&self) -> bool {
        let nothing = self.segments.is_empty() && self.manifest.is_none() && self.cursor.is_none();
        nothing && self.dead.is_empty()
    }

    fn run(mut self) -> Result<(), LogError> {
        if self.is_empty() {
            return Ok(());
        }
        let (result, listed) = match self.sync_all() {
            Ok(listed) => (Ok(()), listed),
            Err(error) => (Err(error), false),
        };
        let mut shared = lock(&self.shared);
        let trusted = shared.failures == self.failures;
        let result = result.and(if trusted { Ok(()) } else { Err(LogError::Superseded) });
        if let Err(error) = result {
            shared.failures += 1;
            shared.broken = true;
            shared.dead.append(&mut self.dead);
            return Err(error);
        }
        if !precedes(self.target, shared.slot.synced) {
            shared.slot.synced = self.target;
            // It only tells later where a torn end is legal; the next sync makes it durable.
            let _ = shared.slot.write(false);
        }
        drop(shared);
        self.remove_dead();
        if !listed {
            self.list_after_all();
        }
        Ok(())
    }

    /// Says whether the manifest is as it should be.
    fn sync_all(&self) -> Result<bool, LogError> {
        if self.sync {
            for (number, file) in &self.segments {
                let path = self.folder.join(segment_name(*number));
                file.sync_data().map_err(|error| LogError::io("sync", &path, error))?;
            }
        }
        let listed = self.replace_manifest();
        if self.created || self.manifest.is_some() {
            self.sync_folder()?;
        }
        if let (true, Some(cursor)) = (self.sync, &self.cursor) {
            let path = self.folder.join(crate::cursor::CURSOR);
            cursor.sync_data().map_err(|error| LogError::io("sync", &path, error))?;
        }
        Ok(listed)
    }

    fn sync_folder(&self) -> Result<(), LogError> {
        if !self.sync {
            return Ok(());
        }
        self.disk.sync_folder(&self.folder).map_err(|error| LogError::io("sync", &self.folder, error))
    }

    fn replace_manifest(&self) -> bool {
        let Some(manifest) = &self.manifest else { return true };
        let written = manifest::replace(&self.disk, &self.folder, MANIFEST, manifest, self.sync);
        if written.is_err() {
            let _ = self.disk.remove(&self.folder.join(format!("{MANIFEST}.new")));
        }
        written.is_ok()
    }

    /// A disk too full for the manifest has room now that segments are deleted. If it still has none, one that lists
    /// what is gone would tell of losses that are none: without any, less damage is noticed and nothing is lost.
    fn list_after_all(&self) {
        if !self.replace_manifest() {
            let _ = self.disk.remove(&self.folder.join(MANIFEST));
            lock(&self.shared).manifest_stale = true;
        }
        let _ = self.sync_folder();
    }

    fn remove_dead(&mut self) {
        for (number, size) in std::mem::take(&mut self.dead) {
            let removed = self.disk.remove(&self.folder.join(segment_name(number)));
            let mut shared = lock(&self.shared);
            match removed {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => shared.dead.push((number, size)),
                _ => shared.dead_bytes -= size,
            }
        }
    }
}

/// Whether a place comes before another.
pub(crate) fn precedes(a: Place, b: Place) -> bool {
    (a.segment, a.offset) < (b.segment, b.offset)
}
