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
pub struct Permit {
    _held: Arc<OwnedSemaphorePermit>,
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
        Permit { _held: Arc::new(permit.expect("the budget's semaphore is never closed")) }
    }

    /// So many bytes if they are free now; for receivers that answer "try again" instead of waiting.
    pub fn try_acquire(&self, bytes: u64) -> Option<Permit> {
        let permit = Arc::clone(&self.semaphore).try_acquire_many_owned(self.units(bytes)).ok()?;
        Some(Permit { _held: Arc::new(permit) })
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
}
