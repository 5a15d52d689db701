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
pub struct SyncJob<D: Disk> {
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
    /// Why the job cannot succeed.
    pub(crate) hopeless: Option<LogError>,
}

impl<D: Disk> SyncJob<D> {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        let nothing = self.segments.is_empty() && self.manifest.is_none() && self.cursor.is_none();
        nothing && self.dead.is_empty() && self.hopeless.is_none()
    }

    /// Does it. When it succeeds, everything that was appended before the job was made survives a crash.
    ///
    /// # Errors
    /// Nothing of what was appended since the last successful job is known to survive a crash. The log goes on: its
    /// next job writes all of that again to a new segment, so a later success covers it.
    pub fn run(mut self) -> Result<(), LogError> {
        if self.is_empty() {
            return Ok(());
        }
        let result = self.hopeless.take().map_or_else(|| self.sync_all(), Err);
        let mut shared = lock(&self.shared);
        let result =
            result.and_then(|()| if shared.failures == self.failures { Ok(()) } else { Err(LogError::Superseded) });
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
        Ok(())
    }

    fn sync_all(&self) -> Result<(), LogError> {
        if self.sync {
            for (number, file) in &self.segments {
                let path = self.folder.join(segment_name(*number));
                file.sync_data().map_err(|error| LogError::io("sync", &path, error))?;
            }
        }
        if let Some(manifest) = &self.manifest {
            self.replace_manifest(manifest);
        }
        if self.sync && (self.created || self.manifest.is_some()) {
            self.disk.sync_folder(&self.folder).map_err(|error| LogError::io("sync", &self.folder, error))?;
        }
        if let (true, Some(cursor)) = (self.sync, &self.cursor) {
            let path = self.folder.join(crate::cursor::CURSOR);
            cursor.sync_data().map_err(|error| LogError::io("sync", &path, error))?;
        }
        Ok(())
    }

    /// Without the manifest less damage is noticed, and nothing is lost: a disk too full for it stops nothing. One
    /// that lists segments which go now would tell of losses that are none, and goes first.
    fn replace_manifest(&self, content: &[u8]) {
        if manifest::replace(&self.disk, &self.folder, MANIFEST, content, self.sync).is_err() {
            let _ = self.disk.remove(&self.folder.join(format!("{MANIFEST}.new")));
            if !self.dead.is_empty() {
                let _ = self.disk.remove(&self.folder.join(MANIFEST));
            }
            lock(&self.shared).manifest_stale = true;
        }
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

fn precedes(a: Place, b: Place) -> bool {
    (a.segment, a.offset) < (b.segment, b.offset)
}
