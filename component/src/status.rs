//! How components fare: what health, logs and pages read. Set by components and by the engine around them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Clock;

/// How a component fares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// Made, not yet running.
    Starting,
    /// Doing its work.
    Ok,
    /// Running, and failing at its work for now; says at what.
    Degraded(String),
    /// Not running any more, and nobody told it to stop; says why.
    Failed(String),
    /// Told to stop.
    Stopping,
}

/// One component's place on the board.
#[derive(Debug, Clone)]
pub struct ComponentStatus {
    board: Board,
    id: Arc<str>,
}

/// The status of everything. Cheap to clone; all clones are one board.
#[derive(Debug, Clone)]
pub struct Board {
    clock: Clock,
    entries: Arc<Mutex<BTreeMap<Arc<str>, Entry>>>,
}

/// A component on the board.
#[derive(Debug, Clone)]
pub struct Entry {
    /// How it fares.
    pub status: Status,
    /// Since when, on the monotonic clock.
    pub since: Duration,
}

impl Board {
    /// An empty board.
    pub fn new(clock: Clock) -> Board {
        Board { clock, entries: Arc::default() }
    }

    /// A place on the board, `Starting` at first. Ids read `exporter:otlp/x` or `pipeline:metrics`.
    pub fn component(&self, id: &str) -> ComponentStatus {
        let component = self.place(id);
        component.set(Status::Starting);
        component
    }

    /// A place on the board for what may come to stand there; until it says something, the board stays as it is.
    pub fn place(&self, id: &str) -> ComponentStatus {
        ComponentStatus { board: self.clone(), id: Arc::from(id) }
    }

    /// Everything on the board, by id.
    pub fn read(&self) -> BTreeMap<Arc<str>, Entry> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The clock that `since` is measured on.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }
}

impl ComponentStatus {
    /// Says how the component fares; `since` changes only when the kind of status does.
    /// `Failed` stays: a worker that is gone does not come back because another one works.
    pub fn set(&self, status: Status) {
        let now = self.board.clock.now().mono;
        let mut entries = self.board.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.entry(Arc::clone(&self.id)).or_insert(Entry { status: Status::Starting, since: now });
        if matches!(entry.status, Status::Failed(_)) && status != Status::Stopping {
            return;
        }
        if std::mem::discriminant(&entry.status) != std::mem::discriminant(&status) {
            entry.since = now;
        }
        entry.status = status;
    }

    /// Begins anew: whatever the board says of the place, a fresh component stands there now.
    pub fn begin(&self, status: Status) {
        self.remove();
        self.set(status);
    }

    /// Takes the component off the board.
    pub fn remove(&self) {
        self.board.entries.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}
