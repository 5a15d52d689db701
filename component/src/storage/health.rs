//! How keeping state goes, for the storage extensions: counted, and shown on the board once it fails for good.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::StorageError;
use crate::meter::Instrument;
use crate::status::{Board, ComponentStatus, Status};

/// After so many failures one after another the extension counts as failing at its work.
const DEGRADED_AFTER: u32 = 3;

/// How writing goes in one storage extension.
#[derive(Debug)]
pub struct StorageHealth {
    status: OnceLock<ComponentStatus>,
    in_a_row: Mutex<u32>,
    failures: Arc<Instrument>,
}

impl StorageHealth {
    /// Nothing was written yet. `failures` counts changes that could not be kept, and were tried.
    pub fn new(failures: Arc<Instrument>) -> StorageHealth {
        StorageHealth { status: OnceLock::new(), in_a_row: Mutex::default(), failures }
    }

    /// The extension starts: from now on it has a place on the board.
    pub fn start(&self, board: &Board, id: &str) {
        self.status.get_or_init(|| board.component(&format!("extension:{id}")));
    }

    /// Says how the extension fares, once it has started.
    pub fn set(&self, status: Status) {
        if let Some(component) = self.status.get() {
            component.set(status);
        }
    }

    /// A change was tried.
    pub fn note(&self, result: &Result<(), StorageError>) {
        let mut in_a_row = self.in_a_row.lock().unwrap_or_else(PoisonError::into_inner);
        let Err(error) = result else {
            if std::mem::take(&mut *in_a_row) >= DEGRADED_AFTER {
                self.set(Status::Ok);
            }
            return;
        };
        self.failures.add(1.0);
        *in_a_row = in_a_row.saturating_add(1);
        if *in_a_row >= DEGRADED_AFTER {
            self.set(Status::Degraded(format!("state cannot be kept: {error}")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Clock, Meter};

    #[test]
    fn the_third_failure_in_a_row_shows_and_a_success_ends_it() {
        let board = Board::new(Clock::manual(0));
        let failures = Meter::default().counter("failures", "Failures.", &[]);
        let health = StorageHealth::new(Arc::clone(&failures));
        health.start(&board, "s");
        health.set(Status::Ok);
        let failed = || Err(StorageError { message: "the disk is full".into(), retryable: true });
        let status = || board.read()["extension:s"].status.clone();
        for result in [failed(), failed(), Ok(()), failed(), failed()] {
            health.note(&result);
            assert_eq!(status(), Status::Ok);
        }
        health.note(&failed());
        assert_eq!(status(), Status::Degraded("state cannot be kept: the disk is full".into()));
        health.note(&Ok(()));
        assert_eq!((status(), failures.value()), (Status::Ok, 5.0));
    }
}
