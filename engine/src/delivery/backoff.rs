//! The pauses between attempts: exponential, bounded, with bounded jitter, so that each is at least 0.8 times the last.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use steadyline_component::exporter::RetryConfig;

/// The pauses of one block's retries.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
    max: Duration,
    multiplier: f64,
    jitter: f64,
    dice: RandomState,
    count: u64,
}

impl Backoff {
    /// The first pause is `initial_interval`.
    pub fn new(config: &RetryConfig) -> Backoff {
        Backoff {
            next: config.initial_interval.into(),
            max: config.max_interval.into(),
            multiplier: config.multiplier.max(1.0),
            // More than a tenth either way could make a pause shorter than 0.8 times the last.
            jitter: config.randomization_factor.clamp(0.0, 0.1),
            dice: RandomState::new(),
            count: 0,
        }
    }

    /// The next pause.
    pub fn pause(&mut self) -> Duration {
        let base = self.next.min(self.max);
        let next = Duration::try_from_secs_f64(base.as_secs_f64() * self.multiplier);
        self.next = next.unwrap_or(self.max).min(self.max);
        self.count += 1;
        let random = self.dice.hash_one(self.count) as f64 / u64::MAX as f64;
        base.mul_f64(1.0 + self.jitter * (2.0 * random - 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_bound_and_hardly_shrink() {
        let config = RetryConfig { randomization_factor: 0.5, ..RetryConfig::default() };
        let mut backoff = Backoff::new(&config);
        let pauses: Vec<f64> = (0..20).map(|_| backoff.pause().as_secs_f64()).collect();
        assert!(pauses.windows(2).all(|pair| pair[1] >= 0.8 * pair[0]), "{pauses:?}");
        assert!(pauses[0] <= 0.055 && pauses[19] >= 27.0 && pauses[19] <= 33.0, "{pauses:?}");
    }
}
