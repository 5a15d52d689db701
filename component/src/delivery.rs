//! Who waits for delivery. A receipt travels with data through splits, merges and copies; when the last copy of it is
//! gone the waiter learns whether all of the data was delivered (or durably kept), or what became of it.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use thiserror::Error;
use tokio::sync::oneshot;

/// One share of a waiter's interest. Cloning makes another share; dropping the last one settles.
#[derive(Debug, Clone)]
pub struct Receipt(Arc<Shares>);

#[derive(Debug)]
struct Shares {
    failure: Mutex<Option<SettleError>>,
    waiter: Mutex<Option<oneshot::Sender<Result<(), SettleError>>>>,
}

/// What became of data that was not delivered.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SettleError {
    /// The same data may be sent again later and may then be delivered.
    #[error("not delivered, try again: {0}")]
    Retryable(String),
    /// The data was refused for good and counted as dropped.
    #[error("not delivered, refused: {0}")]
    Final(String),
}

/// Resolves when every share of the receipt is gone.
#[derive(Debug)]
pub struct Settlement(oneshot::Receiver<Result<(), SettleError>>);

impl Receipt {
    /// A receipt and the future that waits for it.
    pub fn new() -> (Receipt, Settlement) {
        let (sender, receiver) = oneshot::channel();
        let shares = Shares { failure: Mutex::new(None), waiter: Mutex::new(Some(sender)) };
        (Receipt(Arc::new(shares)), Settlement(receiver))
    }

    /// Notes that some of the data was not delivered. A final refusal does not hide a retryable failure:
    /// the waiter that can send again must do so for the part that may still arrive.
    pub fn fail(&self, error: SettleError) {
        let mut failure = self.0.failure.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*failure, &error) {
            (Some(SettleError::Retryable(_)), _) | (Some(_), SettleError::Final(_)) => {}
            _ => *failure = Some(error),
        }
    }
}

impl Drop for Shares {
    fn drop(&mut self) {
        let failure = self.failure.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        let waiter = self.waiter.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        // Dropped because a worker fell over, not because everything went well.
        let fell = || std::thread::panicking().then(|| SettleError::Retryable("a worker panicked".into()));
        let failure = failure.or_else(fell);
        if let Some(waiter) = waiter {
            // A waiter that went away does not care any more.
            let _ = waiter.send(failure.map_or(Ok(()), Err));
        }
    }
}

impl Future for Settlement {
    type Output = Result<(), SettleError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let lost = |_| Err(SettleError::Retryable("the pipeline is gone".into()));
        Pin::new(&mut self.0).poll(cx).map(|result| result.unwrap_or_else(lost))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_share_settles() {
        let (receipt, mut settlement) = Receipt::new();
        let copy = receipt.clone();
        drop(receipt);
        assert!(futures_util::poll!(&mut settlement).is_pending());
        drop(copy);
        assert_eq!(settlement.await, Ok(()));
    }

    #[tokio::test]
    async fn a_retryable_failure_wins_over_a_final_one() {
        let (receipt, settlement) = Receipt::new();
        receipt.clone().fail(SettleError::Final("400".into()));
        receipt.clone().fail(SettleError::Retryable("shutdown".into()));
        receipt.fail(SettleError::Final("400".into()));
        drop(receipt);
        assert_eq!(settlement.await, Err(SettleError::Retryable("shutdown".into())));
    }
}
