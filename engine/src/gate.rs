//! Rate-limited logs: the first line of a site at once, then one a period that says how many were left out.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// One site that logs at most once a period.
#[derive(Debug)]
pub struct LogGate {
    period: Duration,
    state: Mutex<Option<(Instant, u64)>>,
}

impl LogGate {
    /// A gate that opens once a period.
    pub const fn new(period: Duration) -> LogGate {
        LogGate { period, state: Mutex::new(None) }
    }

    /// Whether to log now: `Some(n)` with the number of times that were left out since the last line.
    pub fn pass(&self) -> Option<u64> {
        let now = Instant::now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *state {
            Some((last, left_out)) if now.duration_since(*last) < self.period => {
                *left_out += 1;
                None
            }
            other => {
                let left_out = other.take().map_or(0, |(_, left_out)| left_out);
                *other = Some((now, 0));
                Some(left_out)
            }
        }
    }

    /// Forgets the last line, so that the next one is logged at once.
    pub fn reset(&self) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_passes_and_the_rest_are_counted() {
        let gate = LogGate::new(Duration::from_secs(3600));
        assert_eq!(gate.pass(), Some(0));
        assert_eq!(gate.pass(), None);
        let open = LogGate::new(Duration::ZERO);
        assert_eq!((open.pass(), open.pass()), (Some(0), Some(0)));
        gate.reset();
        assert_eq!(gate.pass(), Some(0));
    }
}
