//! When a pipeline or a connector wakes what is inside it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use steadyline_component::{Clock, Shutdown};
use tokio::sync::Notify;

/// The clock at the bed of whatever is inside.
pub(super) struct Alarm {
    clock: Clock,
    /// Somebody wants an earlier moment, or nobody any.
    rescheduled: Notify,
    /// When it rings, in nanoseconds of the monotonic clock.
    scheduled: AtomicU64,
}

/// Why somebody who waited for the alarm waits no more.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Rang {
    /// The moment has come.
    Due,
    /// There may be another moment.
    Changed,
    /// The timers stop.
    Stop,
}

impl Alarm {
    pub(super) fn new(clock: Clock) -> Alarm {
        Alarm { clock, rescheduled: Notify::new(), scheduled: AtomicU64::new(u64::MAX) }
    }

    /// Says when it is to ring, before [`Alarm::wait`]; under the lock of those inside, so that whoever changes a wish later
    /// sees what is scheduled.
    pub(super) fn set(&self, next: Option<Duration>) {
        self.scheduled.store(nanos(next), Ordering::Relaxed);
    }

    /// Waits for the moment.
    pub(super) async fn wait(&self, next: Option<Duration>, stop: &Shutdown) -> Rang {
        let sleep = async {
            match next {
                Some(at) => self.clock.sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop.wait() => Rang::Stop,
            () = self.rescheduled.notified() => Rang::Changed,
            () = sleep => Rang::Due,
        }
    }

    /// Somebody inside wants to be woken then; who waits is told only if that is earlier.
    pub(super) fn wish(&self, wake: Option<Duration>) {
        if nanos(wake) < self.scheduled.load(Ordering::Relaxed) {
            self.rescheduled.notify_one();
        }
    }

    /// Who waits looks anew.
    pub(super) fn look(&self) {
        self.rescheduled.notify_one();
    }
}

fn nanos(at: Option<Duration>) -> u64 {
    at.map_or(u64::MAX, |at| at.as_nanos() as u64)
}
