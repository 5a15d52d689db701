//! What outlives the process: small state of components, and folders for the queues of exporters.
//! A storage extension implements it; components ask for it by its id (`storage: file_storage`).

use std::any::Any;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use thiserror::Error;

mod health;
mod patience;

pub use health::StorageHealth;
pub use patience::{Kept, Patience};

/// A place for state that outlives the process. Offline until it is opened: a factory may hold one.
#[async_trait]
pub trait Storage: Any + Send + Sync {
    /// Opens the area of one owner, creating it if it is new. An owner has one holder at a time: who opens it again (after
    /// a reload, say) takes it from the one before, whose commits may fail from then on, for good. Called at start.
    ///
    /// # Errors
    /// The place cannot be used, is used by another process, or is damaged beyond what the extension may repair.
    async fn open(&self, owner: &Owner) -> Result<Arc<dyn Area>, StorageError>;

    /// A folder for the owner's own files, created if it is new and locked against other processes until the process
    /// ends; `None` if this storage has no folders (a table, say). Its names `lock` and `state.db*` are the storage's own.
    ///
    /// # Errors
    /// As [`Storage::open`].
    async fn folder(&self, owner: &Owner) -> Result<Option<Folder>, StorageError>;

    /// Whether what another one keeps is kept in this one's place: the same folders, under another id or config.
    fn is_place_of(&self, _other: &dyn Storage) -> bool {
        false
    }
}

/// Whose state it is. Two instances never share one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner {
    /// `exporter`, `processor`, `receiver`, `extension`.
    pub kind: &'static str,
    /// The component's id.
    pub id: String,
    /// What tells its instances apart: signal or pipeline; empty if there is one.
    pub place: String,
}

/// A folder of one owner.
#[derive(Debug, Clone)]
pub struct Folder {
    /// Where it is.
    pub path: PathBuf,
    /// Whether what is written must be synced before it counts as kept (`fsync`).
    pub sync: bool,
}

/// Keys and values of one owner.
#[async_trait]
pub trait Area: Send + Sync {
    /// Everything, in the order of the keys. For loading at start.
    ///
    /// # Errors
    /// It cannot be read.
    async fn read_all(&self) -> Result<Vec<(Bytes, Bytes)>, StorageError>;

    /// The value of a key.
    ///
    /// # Errors
    /// It cannot be read.
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError>;

    /// Makes all changes or none. What is kept when this resolves survives a crash of the process, and of the machine
    /// if the storage syncs.
    ///
    /// # Errors
    /// Nothing was changed.
    async fn commit(&self, changes: Vec<Change>) -> Result<(), StorageError>;
}

/// One change of an area.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Sets the value of a key.
    Put(Bytes, Bytes),
    /// Removes a key.
    Delete(Bytes),
}

/// Why state could not be read or kept.
#[derive(Debug, Clone, Error)]
#[error("{message}")]
pub struct StorageError {
    /// For people: what was tried, where, what failed.
    pub message: String,
    /// Whether the same may work later (a full disk, a busy table).
    pub retryable: bool,
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.kind, self.id)?;
        if self.place.is_empty() { Ok(()) } else { write!(f, ":{}", self.place) }
    }
}
