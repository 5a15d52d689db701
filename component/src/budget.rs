//! The memory budget: bytes in flight by permits. Only what brings data in acquires; everything derived inherits.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// One budget for all data in flight of a process, in bytes. All clones are one budget.
#[derive(Debug, Clone)]
pub struct Budget {
    semaphore: Arc<Semaphore>,
    size: Arc<Size>,
}

/// How large it is, which a reload may change.
#[derive(Debug)]
struct Size {
    total: AtomicU64,
    /// Units that were in use when the budget became smaller: those who give them back give them up.
    owed: Mutex<usize>,
    /// Wakes who waits for more than there will ever be now.
    resized: Notify,
}

/// Bytes of the budget, given back when the last copy of the permit is dropped.
#[derive(Debug, Clone)]
pub struct Permit(Arc<Held>);

#[derive(Debug)]
enum Held {
    /// So many bytes of a budget of that size.
    One { bytes: OwnedSemaphorePermit, size: Arc<Size> },
    /// Those of several batches that became one.
    All(Vec<Permit>),
}

impl Permit {
    /// One permit that holds what all of these hold; `None` if there are none.
    pub fn join(mut permits: Vec<Permit>) -> Option<Permit> {
        if permits.len() < 2 {
            return permits.pop();
        }
        Some(Permit(Arc::new(Held::All(permits))))
    }

    /// Whether less than half of the budget is free. Who holds data back that could go on lets it go then: receivers
    /// may be waiting for its bytes.
    pub fn is_pressed(&self) -> bool {
        match &*self.0 {
            Held::One { bytes, size } => bytes.semaphore().available_permits() as u64 * UNIT < size.total() / 2,
            Held::All(permits) => permits.iter().any(Permit::is_pressed),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Held::One { bytes, size } = self else { return };
        let mut owed = size.owed.lock().unwrap_or_else(PoisonError::into_inner);
        let given_up = (*owed).min(bytes.num_permits());
        if let Some(units) = bytes.split(given_up).filter(|_| given_up > 0) {
            units.forget();
            *owed -= given_up;
        }
    }
}

/// Permits are counted in units of this many bytes.
const UNIT: u64 = 1024;

impl Size {
    fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }
}

/// What a budget can be: at least 1 MiB.
fn possible(bytes: u64) -> u64 {
    bytes.clamp(1 << 20, (u32::MAX as u64) * UNIT)
}

impl Budget {
    /// A budget of so many bytes, at least 1 MiB.
    pub fn new(bytes: u64) -> Budget {
        let total = possible(bytes);
        let size = Arc::new(Size { total: AtomicU64::new(total), owed: Mutex::new(0), resized: Notify::new() });
        Budget { semaphore: Arc::new(Semaphore::new((total / UNIT) as usize)), size }
    }

    /// Makes it larger or smaller. What is in use beyond the new size stays in use until it is given back.
    pub fn resize(&self, bytes: u64) {
        let mut owed = self.size.owed.lock().unwrap_or_else(PoisonError::into_inner);
        let total = possible(bytes);
        let old = self.size.total.swap(total, Ordering::Relaxed);
        let (old, new) = ((old / UNIT) as usize, (total / UNIT) as usize);
        if new >= old {
            let settled = (*owed).min(new - old);
            *owed -= settled;
            self.semaphore.add_permits(new - old - settled);
        } else {
            *owed += old - new - self.semaphore.forget_permits(old - new);
        }
        drop(owed);
        self.size.resized.notify_waiters();
    }

    /// The whole budget in bytes.
    pub fn total(&self) -> u64 {
        self.size.total()
    }

    /// The bytes in use now.
    pub fn used(&self) -> u64 {
        let owed = *self.size.owed.lock().unwrap_or_else(PoisonError::into_inner) as u64;
        (self.total() / UNIT + owed).saturating_sub(self.semaphore.available_permits() as u64) * UNIT
    }

    /// The most that one request may take: a quarter of the whole.
    pub fn largest(&self) -> u64 {
        self.total() / 4
    }

    /// Waits for so many bytes. More than [`Budget::largest`] is counted as that much,
    /// so that one source that cannot split its data still makes progress alone.
    pub async fn acquire(&self, bytes: u64) -> Permit {
        loop {
            let resized = self.size.resized.notified();
            tokio::pin!(resized);
            resized.as_mut().enable();
            tokio::select! {
                biased;
                // The semaphore is never closed.
                permit = Arc::clone(&self.semaphore).acquire_many_owned(self.units(bytes)) => {
                    return self.permit(permit.expect("the budget's semaphore is never closed"));
                }
                () = resized => {}
            }
        }
    }

    /// So many bytes if they are free now; for receivers that answer "try again" instead of waiting.
    pub fn try_acquire(&self, bytes: u64) -> Option<Permit> {
        let permit = Arc::clone(&self.semaphore).try_acquire_many_owned(self.units(bytes)).ok()?;
        Some(self.permit(permit))
    }

    fn permit(&self, bytes: OwnedSemaphorePermit) -> Permit {
        Permit(Arc::new(Held::One { bytes, size: Arc::clone(&self.size) }))
    }

    fn units(&self, bytes: u64) -> u32 {
        bytes.min(self.largest()).div_ceil(UNIT) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn permits_come_back() {
        let budget = Budget::new(4 << 20);
        let a = budget.acquire(1 << 20).await;
        assert_eq!(budget.used(), 1 << 20);
        let b = a.clone();
        drop(a);
        assert_eq!(budget.used(), 1 << 20);
        drop(b);
        assert_eq!(budget.used(), 0);
        let held: Vec<_> = (0..4).map_while(|_| budget.try_acquire(u64::MAX)).collect();
        assert_eq!(held.len(), 4);
        assert!(budget.try_acquire(1).is_none());
    }

    #[tokio::test]
    async fn a_budget_that_becomes_smaller_takes_back_what_is_in_use_when_it_is_given_back() {
        let budget = Budget::new(8 << 20);
        let (a, b) = (budget.acquire(2 << 20).await, budget.acquire(2 << 20).await);
        budget.resize(2 << 20);
        assert_eq!((budget.total(), budget.used()), (2 << 20, 4 << 20));
        assert!(budget.try_acquire(1).is_none(), "nothing is free");
        drop(a);
        assert_eq!(budget.used(), 2 << 20);
        assert!(budget.try_acquire(1).is_none(), "it is still full");
        budget.resize(4 << 20);
        assert_eq!(budget.used(), 2 << 20);
        let c = budget.try_acquire(1 << 20).unwrap();
        drop((b, c));
        assert_eq!((budget.used(), budget.largest()), (0, 1 << 20));
        let all: Vec<_> = (0..4).map_while(|_| budget.try_acquire(u64::MAX)).collect();
        assert_eq!(all.len(), 4);
        assert!(budget.try_acquire(1).is_none());
    }

    #[tokio::test]
    async fn who_waits_for_more_than_there_is_left_waits_for_less() {
        let budget = Budget::new(8 << 20);
        let held: Vec<_> = (0..4).map_while(|_| budget.try_acquire(u64::MAX)).collect();
        let waits = budget.acquire(u64::MAX);
        tokio::pin!(waits);
        assert!(futures_util::poll!(&mut waits).is_pending());
        budget.resize(1 << 20);
        drop(held);
        let permit = waits.await;
        assert_eq!((budget.used(), budget.total()), (256 << 10, 1 << 20));
        drop(permit);
    }

    #[tokio::test]
    async fn joined_permits_hold_and_feel_what_each_of_them_did() {
        let budget = Budget::new(4 << 20);
        assert!(Permit::join(Vec::new()).is_none());
        let joined = Permit::join(vec![budget.acquire(1 << 20).await, budget.acquire(1 << 20).await]).unwrap();
        assert_eq!((budget.used(), joined.is_pressed()), (2 << 20, false));
        let more = budget.acquire(1).await;
        assert!(joined.is_pressed() && more.is_pressed());
        drop((joined, more));
        assert_eq!(budget.used(), 0);
    }
}
