//! What stands behind a receiver under test: keeps what it sends, and answers as the test says.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use steadyline_telemetry::Signal;
use tokio::sync::Notify;

use crate::receiver::Intake;
use crate::{Batch, Budget, Output, Outputs, SendError, Until};

/// Takes every batch, unless told to answer otherwise.
#[derive(Debug)]
pub struct TestIntake {
    budget: Budget,
    batches: Mutex<Vec<(Batch, Until)>>,
    refused: Mutex<Vec<(&'static str, u64)>>,
    answer: Mutex<Option<SendError>>,
    room: AtomicBool,
    arrived: Notify,
}

impl TestIntake {
    /// An intake in front of a budget of so many bytes.
    pub fn new(budget: u64) -> Arc<TestIntake> {
        Arc::new(TestIntake {
            budget: Budget::new(budget),
            batches: Mutex::default(),
            refused: Mutex::default(),
            answer: Mutex::default(),
            room: AtomicBool::new(true),
            arrived: Notify::new(),
        })
    }

    /// Outputs that lead here, for these signals.
    pub fn outputs(self: &Arc<Self>, signals: &[Signal]) -> Outputs {
        Outputs::new(signals.iter().map(|&signal| (signal, Output::new(Arc::clone(self) as Arc<dyn Intake>))))
    }

    /// From now on every batch is answered so, and not kept; `None`: taken again.
    pub fn answer(&self, answer: Option<SendError>) {
        *lock(&self.answer) = answer;
    }

    /// Whether [`Output::has_room`] says yes.
    pub fn set_room(&self, room: bool) {
        self.room.store(room, Ordering::Relaxed);
    }

    /// What came since the last call.
    pub fn take(&self) -> Vec<Batch> {
        lock(&self.batches).drain(..).map(|(batch, _)| batch).collect()
    }

    /// How far the last batch that came was asked to get.
    pub fn last_until(&self) -> Option<Until> {
        lock(&self.batches).last().map(|(_, until)| *until)
    }

    /// What was refused since the last call.
    pub fn take_refused(&self) -> Vec<(&'static str, u64)> {
        std::mem::take(&mut *lock(&self.refused))
    }

    /// Waits until at least so many batches are here.
    pub async fn wait_for(&self, batches: usize) {
        loop {
            let arrived = self.arrived.notified();
            tokio::pin!(arrived);
            arrived.as_mut().enable();
            if lock(&self.batches).len() >= batches {
                return;
            }
            arrived.await;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl Intake for TestIntake {
    async fn send(&self, batch: Batch, until: Until) -> Result<(), SendError> {
        if let Some(answer) = lock(&self.answer).clone() {
            return Err(answer);
        }
        lock(&self.batches).push((batch, until));
        self.arrived.notify_waiters();
        Ok(())
    }

    fn budget(&self) -> &Budget {
        &self.budget
    }

    fn has_room(&self) -> bool {
        self.room.load(Ordering::Relaxed)
    }

    fn refused(&self, reason: &'static str, items: u64) {
        lock(&self.refused).push((reason, items));
    }
}
