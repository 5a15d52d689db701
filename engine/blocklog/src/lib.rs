//! Wire blocks in a segmented log on disk: the queue that outlives the process.
//!
//! FORMAT

mod cursor;
mod disk;
mod error;
mod format;
mod index;
mod log;
mod manifest;
mod quarantine;
mod reading;
mod record;
mod recovery;
mod relocate;
mod scan;
mod segments;
mod sync;
mod walk;

pub use disk::{Disk, DiskFile, RealDisk};
pub use error::{LogError, ReadError};
pub use log::{Log, MOST_BYTES, Options, Stats};
pub use quarantine::{QUARANTINE, Quarantined};
pub use record::{Amount, Entry, Meta, Record};
pub use recovery::Recovery;
pub use sync::SyncJob;
