//! The memory budget: bytes in flight by permits. Only what brings data in acquires; everything derived inherits.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// One budget for all data in flight of a process, in bytes.
#[derive(Debug, Clone)]
pub struct Budget {
    semaphore: Arc<Semaphore>,
    total: u64,
}

/// Bytes of the budget, given back when the last copy of the permit is dropped.
#[derive(Debug, Clone)]
pub struct Permit(Arc<Held>);

#[derive(Debug)]
enum Held {
    /// So many bytes of a budget that has so many units in all.
    One { bytes: OwnedSemaphorePermit, total: u64 },
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
            Held::One { bytes, total } => bytes.semaphore().available_permits() as u64 * UNIT < total / 2,
            Held::All(permits) => permits.iter().any(Permit::is_pressed),
        }
    }
}

/// Permits are counted in units of this many bytes.
const UNIT: u64 = 1024;

impl Budget {
    /// A budget of so many bytes, at least 1 MiB.
    pub fn new(bytes: u64) -> Budget {
        let total = bytes.clamp(1 << 20, (u32::MAX as u64) * UNIT);
        Budget { semaphore: Arc::new(Semaphore::new((total / UNIT) as usize)), total }
    }

    /// The whole budget in bytes.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The bytes in use now.
    pub fn used(&self) -> u64 {
        self.total.saturating_sub(self.semaphore.available_permits() as u64 * UNIT)
    }

    /// The most that one request may take: a quarter of the whole.
    pub fn largest(&self) -> u64 {
        self.total / 4
    }

    /// Waits for so many bytes. More than [`Budget::largest`] is counted as that much,
    /// so that one source that cannot split its data still makes progress alone.
    pub async fn acquire(&self, bytes: u64) -> Permit {
        let permit = Arc::clone(&self.semaphore).acquire_many_owned(self.units(bytes)).await;
        // The semaphore is never closed.
        self.permit(permit.expect("the budget's semaphore is never closed"))
    }

    /// So many bytes if they are free now; for receivers that answer "try again" instead of waiting.
    pub fn try_acquire(&self, bytes: u64) -> Option<Permit> {
        let permit = Arc::clone(&self.semaphore).try_acquire_many_owned(self.units(bytes)).ok()?;
        Some(self.permit(permit))
    }

    fn permit(&self, bytes: OwnedSemaphorePermit) -> Permit {
        Permit(Arc::new(Held::One { bytes, total: self.total }))
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
