//! The read budget: a bucket of read units that all segments of a receiver draw from. A request takes what it will probably cost, and
//! the bucket is corrected by what DynamoDB says it did cost.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use steadyline_component::Clock;

use crate::config::ReadBudget;

/// A bucket of read units.
#[derive(Debug)]
pub(crate) struct Budget {
    clock: Clock,
    rate: f64,
    burst: f64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Below zero after a page that cost more than was taken for it.
    units: f64,
    filled: Duration,
    /// A moving average, to turn units into numbers of items.
    units_per_item: f64,
}

/// What a request may use.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Grant {
    /// The units taken for it.
    units: f64,
    /// How many items it may ask for.
    pub(crate) items: u32,
}

/// The weight of the newest page in the moving average.
const NEWEST: f64 = 0.3;
/// What an item is taken to cost before any was read: half a kilobyte, read as usual.
const FIRST_GUESS: f64 = 0.0625;

impl Budget {
    pub(crate) fn new(config: ReadBudget, clock: &Clock) -> Self {
        let burst = if config.burst > 0.0 { config.burst } else { config.rru_per_second };
        let filled = clock.now().mono;
        let state = State { units: burst, filled, units_per_item: FIRST_GUESS };
        Self { clock: clock.clone(), rate: config.rru_per_second, burst, state: Mutex::new(state) }
    }

    /// Waits until there are units, and takes those of a page of at most `page_size` items (0: no bound).
    pub(crate) async fn take(&self, page_size: u32) -> Grant {
        loop {
            match self.try_take(page_size) {
                Ok(grant) => return grant,
                Err(wait) => self.clock.sleep(wait).await,
            }
        }
    }

    /// Corrects the bucket by what the request really cost, and learns from it.
    pub(crate) fn settle(&self, grant: Grant, consumed: f64, items: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.units = (state.units + grant.units - consumed).min(self.burst);
        if items > 0 && consumed > 0.0 {
            let newest = consumed / items as f64;
            state.units_per_item = state.units_per_item * (1.0 - NEWEST) + newest * NEWEST;
        }
    }

    /// Gives back what a failed request had taken.
    pub(crate) fn give_back(&self, grant: Grant) {
        self.settle(grant, 0.0, 0);
    }

    fn try_take(&self, page_size: u32) -> Result<Grant, Duration> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now().mono;
        let since = now.saturating_sub(state.filled).as_secs_f64();
        state.units = (state.units + since * self.rate).min(self.burst);
        state.filled = now;
        let least = self.burst.min(1.0);
        if state.units < least {
            return Err(Duration::from_secs_f64(((least - state.units) / self.rate).clamp(0.001, 60.0)));
        }
        let wanted = if page_size == 0 { f64::MAX } else { f64::from(page_size) * state.units_per_item };
        let units = state.units.min(wanted);
        let affordable = (units / state.units_per_item).clamp(1.0, f64::from(u32::MAX)) as u32;
        let items = if page_size == 0 { affordable } else { affordable.min(page_size) };
        state.units -= units;
        Ok(Grant { units, items })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(rate: f64, burst: f64) -> (Budget, Clock) {
        let clock = Clock::manual(0);
        (Budget::new(ReadBudget { rru_per_second: rate, burst }, &clock), clock)
    }

    #[test]
    fn a_page_is_as_large_as_the_bucket_affords_and_the_true_cost_is_settled() {
        let (budget, clock) = budget(10.0, 20.0);
        let first = budget.try_take(1000).expect("a full bucket");
        assert_eq!((first.units, first.items), (20.0, 320));
        assert!(budget.try_take(1000).is_err(), "empty");
        budget.settle(first, 40.0, 320);
        let wait = budget.try_take(1000).expect_err("overdrawn");
        assert_eq!(wait, Duration::from_secs_f64(2.1));
        clock.advance(wait);
        let second = budget.try_take(1000).expect("one unit");
        assert!((second.units - 1.0).abs() < 1e-9 && second.items == 12, "items turned out larger: {second:?}");
    }

    #[test]
    fn the_bucket_holds_no_more_than_its_burst() {
        let (budget, clock) = budget(5.0, 0.0);
        clock.advance(Duration::from_secs(3600));
        let grant = budget.try_take(0).expect("a full bucket");
        assert_eq!(grant.units, 5.0);
        budget.give_back(grant);
        assert_eq!(budget.try_take(0).expect("given back").units, 5.0);
    }

    #[tokio::test]
    async fn whoever_finds_it_empty_waits() {
        let (budget, clock) = budget(1.0, 1.0);
        let grant = budget.take(0).await;
        budget.settle(grant, 3.0, 1);
        let mut waiting = std::pin::pin!(budget.take(0));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(waiting.as_mut().poll(&mut context).is_pending());
        clock.advance(Duration::from_secs(2));
        assert!(waiting.as_mut().poll(&mut context).is_pending());
        clock.advance(Duration::from_secs(1));
        assert_eq!(waiting.await.units, 1.0);
    }
}
