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
    /// The epoch and time of the next pass, at `now` or, if the clock stands behind, just above the last one.
    pub fn next(&self, now: u64) -> (u64, u64) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Remote write counts in milliseconds: two ticks must differ there too.
        *last = Last { epoch: last.epoch + 1, time: now.max(last.time + 1_000_000) };
        (last.epoch, last.time)
    }

    /// The pass that ends all series of the source.
    pub fn end(&self, now: u64) -> Pass {
        let (epoch, time) = self.next(now);
        Pass { epoch, time, interval: Duration::ZERO, timeout: Duration::ZERO, end: Some(PassEnd::Removed) }
    }
}
