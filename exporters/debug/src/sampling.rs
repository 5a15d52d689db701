//! The Collector's sampling: the first batches of each second, then one in so many.

use std::time::Duration;

/// Decides batch by batch.
#[derive(Debug)]
pub(crate) struct Sampling {
    initial: u64,
    thereafter: u64,
    second: u64,
    seen: u64,
}

impl Sampling {
    /// `initial` batches a second, then one in `thereafter`.
    pub(crate) fn new(initial: u64, thereafter: u64) -> Sampling {
        Sampling { initial, thereafter, second: 0, seen: 0 }
    }

    /// Whether the batch that comes now is printed. `now` is monotonic time.
    pub(crate) fn takes(&mut self, now: Duration) -> bool {
        if self.second != now.as_secs() {
            (self.second, self.seen) = (now.as_secs(), 0);
        }
        self.seen += 1;
        match self.seen.checked_sub(self.initial) {
            None | Some(0) => true,
            Some(_) if self.thereafter == 0 => false,
            Some(beyond) => beyond.is_multiple_of(self.thereafter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_each_second_then_one_in_so_many() {
        let taken = |initial, thereafter| -> Vec<u64> {
            let mut sampling = Sampling::new(initial, thereafter);
            (1..=8).filter(|_| sampling.takes(Duration::from_millis(100))).collect()
        };
        assert_eq!(taken(2, 1), [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(taken(2, 3), [1, 2, 5, 8]);
        assert_eq!(taken(2, 0), [1, 2]);
        assert!(taken(0, 0).is_empty());
        let mut sampling = Sampling::new(1, 0);
        let millis = [0, 500, 1000, 1999, 2000];
        assert_eq!(millis.map(|at| sampling.takes(Duration::from_millis(at))), [true, false, true, false, true]);
    }
}
