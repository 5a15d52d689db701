//! The bytes of the memory budget that a request holds while it is read, opened and on its way.

use std::time::Duration;

use steadyline_component::{Budget, Permit};

use crate::denial::Denial;

/// How long a request may wait for memory before its sender is told to try again.
const PATIENCE: Duration = Duration::from_millis(250);

/// Bytes of the budget, as many as were asked for so far.
#[derive(Debug)]
pub(crate) struct Hold<'a> {
    budget: &'a Budget,
    permit: Option<Permit>,
    bytes: usize,
}

impl<'a> Hold<'a> {
    /// Nothing yet.
    pub(crate) fn new(budget: &'a Budget) -> Hold<'a> {
        Hold { budget, permit: None, bytes: 0 }
    }

    /// The most that one request may have, given what config allows it: never more than a quarter of the budget.
    /// Also the words that say which of the two it was.
    pub(crate) fn limit(budget: &Budget, configured: usize, key: &'static str) -> (usize, &'static str) {
        let largest = usize::try_from(budget.largest()).unwrap_or(usize::MAX);
        if largest < configured { (largest, "a quarter of the memory budget") } else { (configured, key) }
    }

    /// The budget that it comes from.
    pub(crate) fn budget(&self) -> &'a Budget {
        self.budget
    }

    /// Holds so many bytes in all; waits a moment for them.
    ///
    /// # Errors
    /// They did not become free.
    pub(crate) async fn grow(&mut self, bytes: usize) -> Result<(), Denial> {
        if self.try_grow(bytes) {
            return Ok(());
        }
        let more = self.budget.acquire((bytes - self.bytes) as u64);
        let more = tokio::time::timeout(PATIENCE, more).await.map_err(|_| Denial::no_memory())?;
        self.add(more, bytes);
        Ok(())
    }

    /// Holds so many bytes in all, if they are free now.
    pub(crate) fn try_grow(&mut self, bytes: usize) -> bool {
        if bytes <= self.bytes && self.permit.is_some() {
            return true;
        }
        let Some(more) = self.budget.try_acquire((bytes - self.bytes) as u64) else { return false };
        self.add(more, bytes);
        true
    }

    fn add(&mut self, more: Permit, bytes: usize) {
        self.permit = Permit::join(self.permit.take().into_iter().chain([more]).collect());
        self.bytes = bytes;
    }

    /// What is held, for the batch.
    pub(crate) fn into_permit(self) -> Option<Permit> {
        self.permit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_held_grows_and_comes_back() {
        let budget = Budget::new(4 << 20);
        let mut hold = Hold::new(&budget);
        hold.grow(1000).await.unwrap();
        assert!(hold.try_grow(500) && hold.try_grow(1 << 20));
        assert!(budget.used() >= 1 << 20 && budget.used() <= (1 << 20) + 2048, "{}", budget.used());
        let mut rest: Vec<_> = (0..3).map_while(|_| budget.try_acquire(1 << 20)).collect();
        let mut late = Hold::new(&budget);
        assert_eq!(late.grow(1 << 20).await, Err(Denial::no_memory()));
        rest.pop();
        let permit = hold.into_permit();
        assert!(permit.is_some());
        drop((permit, rest));
        late.grow(1 << 20).await.unwrap();
        drop(late);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_request_never_gets_more_than_a_quarter() {
        let budget = Budget::new(8 << 20);
        assert_eq!(Hold::limit(&budget, 1000, "k"), (1000, "k"));
        assert_eq!(Hold::limit(&budget, 4 << 20, "k"), (2 << 20, "a quarter of the memory budget"));
    }
}
