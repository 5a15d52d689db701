//! When a plugin that fails is tried again. A call that fails after one that succeeded costs no wait: a new instance takes
//! the next. Starts that fail, and calls that fail in a row, wait longer and longer.

use std::time::Duration;

use crate::config::Restart;

/// How a plugin did of late.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
    /// Nothing is tried before, on the monotonic clock.
    until: Duration,
}

impl Backoff {
    /// How long to wait before anything is tried; zero: nothing to wait for.
    pub fn left(&self, now: Duration) -> Duration {
        self.until.saturating_sub(now)
    }

    /// A call succeeded.
    pub fn succeeded(&mut self) {
        *self = Backoff::default();
    }

    /// A start failed, or a call did.
    pub fn failed(&mut self, now: Duration, at_start: bool, restart: &Restart) {
        let earlier = if at_start { self.failures } else { self.failures.saturating_sub(1) };
        let is_first_call = !at_start && self.failures == 0;
        let wait = restart.initial_interval.get().saturating_mul(1u32.checked_shl(earlier.min(31)).unwrap_or(u32::MAX));
        self.failures = self.failures.saturating_add(1);
        self.until = if is_first_call { now } else { now + wait.min(restart.max_interval.get()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_end_with_success() {
        let (restart, now) = (Restart::default(), Duration::from_secs(100));
        let mut backoff = Backoff::default();
        let waits = |backoff: &mut Backoff, at_start: bool, times: usize| -> Vec<u64> {
            (0..times)
                .map(|_| {
                    backoff.failed(now, at_start, &restart);
                    backoff.left(now).as_secs()
                })
                .collect()
        };
        assert_eq!(waits(&mut backoff, false, 4), [0, 1, 2, 4]);
        assert_eq!(waits(&mut backoff, false, 40).last(), Some(&60));
        backoff.succeeded();
        assert_eq!(backoff.left(now), Duration::ZERO);
        assert_eq!(waits(&mut backoff, true, 8), [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(backoff.left(now + Duration::from_secs(59)).as_secs(), 1);
    }
}
