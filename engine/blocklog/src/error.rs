//! What can go wrong, in words for people.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::quarantine::Quarantined;

/// Why the log could not do something.
#[derive(Debug, Error)]
pub enum LogError {
    /// The file system refused; the same may work later.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was tried: `write`, `sync`.
        what: &'static str,
        /// Which file or folder.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// A later version of the program wrote the file. It was left as it is.
    #[error(
        "{} is of format version {found}, this program reads up to {known}: use the program that wrote it, or move \
         the folder away", path.display()
    )]
    Version {
        /// Which file.
        path: PathBuf,
        /// The file's version.
        found: u16,
        /// The latest that this program knows.
        known: u16,
    },
    /// The record is older than what its shard has acknowledged, or is in the log already: a fault of the caller.
    #[error("record {seq} of shard {shard} is not newer than what was acknowledged, or was appended before")]
    Order {
        /// Its shard.
        shard: u32,
        /// Its sequence number.
        seq: u64,
    },
    /// The records do not fit a segment of the largest size.
    #[error("{bytes} bytes are more than one write to the log may have ({most})")]
    TooLarge {
        /// Their size.
        bytes: u64,
        /// The bound.
        most: u64,
    },
    /// Another sync failed while this one ran, so that its own success proves nothing.
    #[error("a sync before this one failed; what was not synced will be written again")]
    Superseded,
}

impl LogError {
    pub(crate) fn io(what: &'static str, path: &Path, source: io::Error) -> LogError {
        LogError::Io { what, path: path.to_path_buf(), source }
    }

    /// Whether the disk, or the owner's share of it, is full.
    pub fn is_full(&self) -> bool {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        matches!(self, LogError::Io { source, .. } if matches!(source.kind(), StorageFull | QuotaExceeded | FileTooLarge))
    }

    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, LogError::Io { .. } | LogError::Superseded)
    }
}

/// Why a record could not be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// Its bytes are not what was written. It was put into quarantine and is no longer pending: count what it had.
    #[error("{0}")]
    Damaged(Quarantined),
    /// It is not pending: acknowledged or quarantined since.
    #[error("record {0} is not pending")]
    Gone(u64),
    /// The file could not be read. The record is still pending; if it stays so, [`crate::Log::discard`] gives it up.
    #[error(transparent)]
    Io(#[from] LogError),
}
