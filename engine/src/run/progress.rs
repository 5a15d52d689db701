//! How far a polled source got, kept apart from who polls it: a receiver whose config changes goes on counting, and the
//! end of one that is removed says which pass was its last.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use steadyline_component::{Pass, PassEnd};

/// The last tick of a source, over all receivers that a process ever had under its id.
#[derive(Debug, Default)]
pub struct Progress(Mutex<Last>);

#[derive(Debug, Clone, Copy, Default)]
struct Last {
    epoch: u64,
    time: u64,
}

impl Progress {
    /// The epoch and time of the last pass; 0 if there was none.
    pub fn last(&self) -> (u64, u64) {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (last.epoch, last.time)
    }

    /// A pass began.
    pub fn reached(&self, epoch: u64, time: u64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Last { epoch, time };
    }

    /// The pass that ends all series of the source, which nobody polls for this pipeline any more.
    pub fn end(&self, now: u64) -> Pass {
        let (epoch, time) = self.last();
        let (interval, timeout) = (Duration::ZERO, Duration::ZERO);
        Pass { epoch, time: now.max(time), interval, timeout, end: Some(PassEnd::Removed) }
    }
}
