//! Writing state in the background while storage fails: tried again after ever longer waits, counted, told now and then.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use super::StorageError;
use crate::Host;
use crate::clock::Clock;
use crate::meter::Instrument;
use crate::quiet::LogPause;
use crate::receiver::Shutdown;

const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// How often a failure that lasts is told.
const TELLING: Duration = Duration::from_secs(60);

/// What is kept, for the log.
#[derive(Debug, Clone, Copy)]
pub struct Kept {
    /// `the state`, `counters`.
    pub what: &'static str,
    /// `is` or `are`.
    pub is: &'static str,
}

/// The patience of one task that writes the state of a component. An attempt is made by the task; what follows is asked
/// here.
#[derive(Debug)]
pub struct Patience {
    kept: Kept,
    /// The component's id.
    id: String,
    clock: Clock,
    shutdown: Shutdown,
    failures: Arc<Instrument>,
    telling: LogPause,
    wait: Duration,
    is_last: bool,
}

impl Patience {
    /// Nothing has failed yet. `failures` counts attempts that did.
    pub fn new(kept: Kept, id: String, host: &Host, failures: Arc<Instrument>) -> Patience {
        let (clock, shutdown, telling) = (host.clock.clone(), host.shutdown.clone(), LogPause::new(TELLING));
        Patience { kept, id, clock, shutdown, failures, telling, wait: FIRST_WAIT, is_last: false }
    }

    /// What follows an attempt: `Break` with how it ended, or, after a wait, `Continue`: the same again. It ends well when
    /// it is kept, and as a failure when it never will be, or when it failed once more after the shutdown began.
    pub async fn after(&mut self, attempt: Result<(), StorageError>) -> ControlFlow<Result<(), StorageError>> {
        let Kept { what, is } = self.kept;
        let Err(error) = attempt else {
            if self.telling.reset() {
                tracing::info!(component = %self.id, "{what} {is} kept again");
            }
            return self.end(Ok(()));
        };
        self.failures.add(1.0);
        if !error.retryable {
            tracing::error!(component = %self.id, %error, "{what} {is} not kept any more until the next start");
            return self.end(Err(error));
        }
        if self.telling.pass(self.clock.now().mono).is_some() {
            tracing::warn!(component = %self.id, %error, "{what} cannot be kept for now; it is tried again");
        }
        if self.is_last {
            return self.end(Err(error));
        }
        tokio::select! {
            () = self.clock.sleep(self.wait) => {}
            // Once more, and that is it.
            () = self.shutdown.wait() => self.is_last = true,
        }
        self.wait = (self.wait * 2).min(LONGEST_WAIT);
        ControlFlow::Continue(())
    }

    fn end(&mut self, result: Result<(), StorageError>) -> ControlFlow<Result<(), StorageError>> {
        (self.wait, self.is_last) = (FIRST_WAIT, false);
        ControlFlow::Break(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Board, Meter};

    fn failed(retryable: bool) -> Result<(), StorageError> {
        Err(StorageError { message: "the disk is full".into(), retryable })
    }

    #[tokio::test(start_paused = true)]
    async fn waits_grow_until_it_is_kept_and_a_shutdown_leaves_one_attempt() {
        let (begin, shutdown) = Shutdown::new();
        let failures = Meter::default().counter("failures", "Failures.", &[]);
        let kept = Kept { what: "the state", is: "is" };
        let clock = Clock::scaled(0, 1.0);
        let host = Host { clock: clock.clone(), board: Board::new(clock.clone()), shutdown };
        let mut patience = Patience::new(kept, "x".into(), &host, Arc::clone(&failures));
        let mut waits = Vec::new();
        for _ in 0..7 {
            let before = clock.now().mono;
            assert!(patience.after(failed(true)).await.is_continue());
            waits.push((clock.now().mono - before).as_secs());
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        assert!(matches!(patience.after(Ok(())).await, ControlFlow::Break(Ok(()))));
        assert!(matches!(patience.after(failed(false)).await, ControlFlow::Break(Err(_))));
        begin.fire();
        assert!(patience.after(failed(true)).await.is_continue());
        assert!(matches!(patience.after(failed(true)).await, ControlFlow::Break(Err(_))));
        assert_eq!(failures.value(), 10.0);
    }
}
