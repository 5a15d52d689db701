//! The circuit of one exporter: after repeated failure it opens, and one request at a time asks whether the backend is
//! back; each success lets twice as many through, so that a backend that recovers is not met by everything at once.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use steadyline_component::exporter::RetryConfig;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::backoff::Backoff;

/// So many failures in a row, with no success on any shard, open it.
const THRESHOLD: u32 = 5;
/// With so many requests let through at once it is closed.
const CLOSED: u32 = 64;

/// Lets requests through, or makes them wait.
#[derive(Debug)]
pub struct Circuit {
    state: Mutex<State>,
    changed: Notify,
    retry: RetryConfig,
}

#[derive(Debug)]
struct State {
    failures: u32,
    /// When the first of these was.
    failing_since: Option<Instant>,
    under_way: u32,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    /// So many requests may be under way.
    allowed: u32,
    not_before: Instant,
    backoff: Backoff,
}

/// Leave to make one request.
#[derive(Debug)]
pub struct Pass<'a>(&'a Circuit);

impl Circuit {
    /// A closed one; probes are as far apart as retries.
    pub fn new(retry: RetryConfig) -> Circuit {
        let state = State { failures: 0, failing_since: None, under_way: 0, open: None };
        Circuit { state: Mutex::new(state), changed: Notify::new(), retry }
    }

    /// Waits until a request may be made.
    pub async fn admit(&self) -> Pass<'_> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            match self.try_admit() {
                Ok(pass) => return pass,
                Err(Some(at)) => tokio::select! {
                    () = tokio::time::sleep_until(at) => {}
                    () = changed => {}
                },
                Err(None) => changed.await,
            }
        }
    }

    /// Leave, or when to ask again; `None`: when something changed.
    fn try_admit(&self) -> Result<Pass<'_>, Option<Instant>> {
        let mut state = self.lock();
        if let Some(open) = &state.open {
            if state.under_way >= open.allowed {
                return Err(None);
            }
            if open.not_before > Instant::now() {
                return Err(Some(open.not_before));
            }
        }
        state.under_way += 1;
        Ok(Pass(self))
    }

    /// Whether the backend has taken nothing for a while and is only probed.
    pub fn is_open(&self) -> bool {
        self.lock().open.is_some()
    }

    /// Since how long every request has failed.
    pub fn failing_for(&self) -> Option<Duration> {
        self.lock().failing_since.map(|since| since.elapsed())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass<'_> {
    /// The backend answered as one that works; whether that closed the circuit.
    pub fn succeeded(self) -> bool {
        let mut state = self.0.lock();
        (state.failures, state.failing_since) = (0, None);
        let Some(open) = &mut state.open else { return false };
        // One that fails now and then is not down: what counts is failures in a row.
        open.backoff = Backoff::new(&self.0.retry);
        open.allowed = open.allowed.saturating_mul(2);
        let closes = open.allowed >= CLOSED;
        if closes {
            state.open = None;
        }
        closes
    }

    /// The request is to be repeated; whether that opened the circuit. `after`: as long as the backend wants.
    pub fn failed(self, after: Option<Duration>) -> bool {
        let mut state = self.0.lock();
        state.failures = state.failures.saturating_add(1);
        state.failing_since.get_or_insert_with(Instant::now);
        let opens = state.open.is_none() && state.failures >= THRESHOLD;
        if opens {
            let backoff = Backoff::new(&self.0.retry);
            state.open = Some(Open { allowed: 1, not_before: Instant::now(), backoff });
        }
        let failing = state.failures >= THRESHOLD;
        if let Some(open) = state.open.as_mut().filter(|_| failing) {
            open.allowed = 1;
            open.not_before = Instant::now() + open.backoff.pause().max(after.unwrap_or_default());
        }
        opens
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.0.lock().under_way -= 1;
        self.0.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn opens_after_failures_in_a_row_and_then_lets_one_through() {
        let circuit = Circuit::new(RetryConfig::default());
        for _ in 0..4 {
            assert!(!circuit.admit().await.failed(None));
        }
        circuit.admit().await.succeeded();
        let opened: Vec<bool> = {
            let mut opened = Vec::new();
            for _ in 0..5 {
                opened.push(circuit.admit().await.failed(None));
            }
            opened
        };
        assert_eq!(opened, [false, false, false, false, true]);
        let probe = circuit.admit().await;
        let second = circuit.admit();
        tokio::pin!(second);
        assert!(futures_util::poll!(&mut second).is_pending(), "one at a time");
        probe.failed(Some(Duration::from_secs(7)));
        let began = Instant::now();
        second.await.succeeded();
        assert!(began.elapsed() >= Duration::from_secs(7), "the backend's wish holds for all");
    }

    #[tokio::test(start_paused = true)]
    async fn a_backend_that_fails_now_and_then_is_not_held_for_down() {
        let circuit = Circuit::new(RetryConfig::default());
        for _ in 0..20 {
            circuit.admit().await.failed(None);
        }
        let began = Instant::now();
        for attempt in 1..40 {
            let pass = circuit.admit().await;
            if attempt % 3 == 0 {
                pass.failed(None);
            } else {
                pass.succeeded();
            }
        }
        assert!(!circuit.is_open());
        assert!(began.elapsed() < Duration::from_secs(40), "only the first waits: {:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn closes_step_by_step() {
        let circuit = Circuit::new(RetryConfig::default());
        for _ in 0..5 {
            circuit.admit().await.failed(None);
        }
        let mut allowed = Vec::new();
        while circuit.is_open() {
            let first = circuit.admit().await;
            let mut passes = Vec::new();
            while let Ok(pass) = circuit.try_admit() {
                passes.push(pass);
            }
            allowed.push(passes.len() + 1);
            drop(passes);
            first.succeeded();
        }
        assert_eq!(allowed, [1, 2, 4, 8, 16, 32]);
    }
}
