//! Messages in flight: which they are, by which handle they are deleted, and until when other consumers do not see them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use steadyline_component::Clock;

use crate::message::Received;
use crate::queue::{BATCH, Queue};
use crate::report::Report;

/// The messages in flight of one receiver.
#[derive(Debug)]
pub(crate) struct Flights {
    known: Mutex<HashMap<String, Flight>>,
    visibility: Duration,
}

#[derive(Clone, Debug)]
struct Flight {
    handle: String,
    /// When its visibility is to be extended; `None`: it cannot be any more.
    extend_at: Option<Duration>,
}

impl Flights {
    /// None yet. Messages are hidden for `visibility` when they are received.
    pub(crate) fn new(visibility: Duration) -> Self {
        Self { known: Mutex::default(), visibility: visibility.max(Duration::from_secs(1)) }
    }

    /// Takes note of a message that was received at `now`, and says whether it is new. One that is in flight already came again because its time was over:
    /// its newest handle is the one that deletes it.
    pub(crate) fn begin(&self, message: &Received, now: Duration) -> bool {
        let flight = Flight { handle: message.handle.clone(), extend_at: Some(now + self.visibility / 2) };
        self.lock().insert(message.id.clone(), flight).is_none()
    }

    /// The handle that deletes a message in flight.
    pub(crate) fn handle(&self, id: &str) -> Option<String> {
        self.lock().get(id).map(|flight| flight.handle.clone())
    }

    /// Ends a flight; gives the handle that deletes the message.
    pub(crate) fn end(&self, id: &str) -> Option<String> {
        self.lock().remove(id).map(|flight| flight.handle)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Extends the visibility of whatever is half way through it, for as long as it is polled.
    pub(crate) async fn keep_hidden(self: Arc<Self>, queue: Queue, clock: Clock, report: Arc<Report>) {
        let step = (self.visibility / 10).clamp(Duration::from_millis(50), Duration::from_secs(5));
        loop {
            clock.sleep(step).await;
            let due = self.due(clock.now().mono);
            for batch in due.chunks(BATCH) {
                let began = clock.now().mono;
                let wanted: Vec<_> = batch.iter().map(|(_, handle)| (handle.clone(), self.visibility)).collect();
                let undone = queue.hide(&wanted).await;
                for (index, (id, handle)) in batch.iter().enumerate() {
                    match undone.iter().find(|undone| undone.index == index) {
                        None => self.set(id, handle, Some(began + self.visibility / 2)),
                        Some(undone) if undone.retryable => {}
                        Some(undone) => {
                            report.not_extended(undone.reason, id, &undone.detail);
                            self.set(id, handle, None);
                        }
                    }
                }
                report.extended(batch.len() - undone.len());
            }
        }
    }

    fn due(&self, now: Duration) -> Vec<(String, String)> {
        let known = self.lock();
        let due = known.iter().filter(|(_, flight)| flight.extend_at.is_some_and(|at| at <= now));
        due.map(|(id, flight)| (id.clone(), flight.handle.clone())).collect()
    }

    /// Sets when to extend next, unless the message has landed or came again meanwhile.
    fn set(&self, id: &str, handle: &str, extend_at: Option<Duration>) {
        if let Some(flight) = self.lock().get_mut(id).filter(|flight| flight.handle == handle) {
            flight.extend_at = extend_at;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Flight>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
