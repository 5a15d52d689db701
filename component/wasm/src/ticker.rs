//! The tick by which running plugins are interrupted: a thread of its own, so that it goes on when every worker of the
//! runtime runs a plugin. It sleeps while none runs.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use wasmtime::Engine;

/// From tick to tick: for so long a plugin may run before others get their turn.
pub(crate) const TICK: Duration = Duration::from_millis(1);

/// Ticks an engine while plugins run in it. Ends when dropped.
#[derive(Debug)]
pub(crate) struct Ticker(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    running: usize,
    ended: bool,
}

/// A plugin runs until this is dropped.
#[derive(Debug)]
pub(crate) struct Running(Arc<Shared>);

impl Ticker {
    /// A ticker of an engine.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub(crate) fn new(engine: Engine) -> std::io::Result<Ticker> {
        let shared = Arc::new(Shared::default());
        let ticker = Ticker(Arc::clone(&shared));
        std::thread::Builder::new().name("wasm-ticker".into()).spawn(move || run(&shared, &engine))?;
        Ok(ticker)
    }

    /// Ticks until what is returned is dropped.
    pub(crate) fn running(&self) -> Running {
        lock(&self.0).running += 1;
        self.0.changed.notify_one();
        Running(Arc::clone(&self.0))
    }
}

fn run(shared: &Shared, engine: &Engine) {
    let mut state = lock(shared);
    while !state.ended {
        if state.running == 0 {
            state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            continue;
        }
        state = shared.changed.wait_timeout(state, TICK).unwrap_or_else(PoisonError::into_inner).0;
        engine.increment_epoch();
    }
}

fn lock(shared: &Shared) -> MutexGuard<'_, State> {
    shared.state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Running {
    fn drop(&mut self) {
        lock(&self.0).running -= 1;
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        lock(&self.0).ended = true;
        self.0.changed.notify_one();
    }
}
