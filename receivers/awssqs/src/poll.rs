//! One poller: asks for messages over and over, while this process leads and there is room in the memory budget.

use std::sync::Arc;
use std::time::Duration;

use steadyline_component::{Budget, Clock, ComponentStatus, Leadership, Shutdown, Status, Term};
use tokio::sync::mpsc;

use crate::flight::Flights;
use crate::message::Received;
use crate::queue::Queue;
use crate::receiver::Arrival;
use crate::report::Report;

/// A poller.
pub(crate) struct Poll {
    pub(crate) queue: Queue,
    pub(crate) flights: Arc<Flights>,
    pub(crate) report: Arc<Report>,
    pub(crate) clock: Clock,
    pub(crate) budget: Budget,
    pub(crate) leadership: Option<Arc<dyn Leadership>>,
    pub(crate) shutdown: Shutdown,
    pub(crate) arrivals: mpsc::Sender<Arrival>,
    pub(crate) visibility: Duration,
    pub(crate) status: Option<ComponentStatus>,
}

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// What a message takes besides what its sender wrote, and once more for what is made of it.
const OVERHEAD: u64 = 1024;

impl Poll {
    /// Polls until the process stops.
    pub(crate) async fn run(self) {
        let shutdown = self.shutdown.clone();
        let mut pause = FIRST_PAUSE;
        loop {
            let Some(term) = self.leads(&shutdown).await else { return };
            let received = tokio::select! {
                biased;
                () = shutdown.wait() => return,
                received = self.queue.receive(self.visibility) => received,
            };
            match received {
                Ok(messages) => {
                    pause = FIRST_PAUSE;
                    self.set(Status::Ok);
                    if !self.hand_over(messages, term, &shutdown).await {
                        return;
                    }
                }
                Err(failure) => {
                    self.report.receive_failed(&failure);
                    self.set(Status::Degraded(failure.to_string()));
                    let wait = failure.retry_after.unwrap_or(pause).min(LONGEST_PAUSE);
                    tokio::select! {
                        () = shutdown.wait() => return,
                        () = self.clock.sleep(wait) => pause = (pause * 2).min(LONGEST_PAUSE),
                    }
                }
            }
        }
    }

    fn set(&self, status: Status) {
        self.status.iter().for_each(|place| place.set(status.clone()));
    }

    /// Waits until this process leads; `None` if it stops before. Without a lease it always leads.
    async fn leads(&self, shutdown: &Shutdown) -> Option<Option<Term>> {
        let Some(leadership) = &self.leadership else { return Some(None) };
        let mut term = leadership.term();
        loop {
            if let Some(term) = term.as_ref().filter(|term| term.holds()) {
                return Some(Some(term.clone()));
            }
            term = tokio::select! {
                () = shutdown.wait() => return None,
                term = leadership.changed(term.as_ref()) => term,
            };
        }
    }

    /// Hands messages over when there is room for them; `false` if the process stops.
    async fn hand_over(&self, messages: Vec<Received>, term: Option<Term>, shutdown: &Shutdown) -> bool {
        let now = self.clock.now().mono;
        let messages: Vec<Received> = messages
            .into_iter()
            .filter(|message| {
                let is_new = self.flights.begin(message, now);
                if !is_new {
                    self.report.skipped("in_flight", &message.id, "it came again while it was worked on");
                }
                is_new
            })
            .collect();
        if messages.is_empty() {
            return true;
        }
        let bytes = messages.iter().map(|message| 2 * message.bytes() + OVERHEAD).sum();
        let ids: Vec<String> = messages.iter().map(|message| message.id.clone()).collect();
        let taken = async {
            let permit = self.budget.acquire(bytes).await;
            self.arrivals.send(Arrival { messages, permit, term }).await.is_ok()
        };
        let taken = tokio::select! {
            taken = taken => taken,
            () = shutdown.wait() => false,
        };
        if !taken {
            self.let_go(&ids).await;
        }
        taken
    }

    /// Makes messages visible again that nobody will look at here.
    async fn let_go(&self, ids: &[String]) {
        let handles: Vec<_> = ids.iter().filter_map(|id| Some((self.flights.end(id)?, Duration::ZERO))).collect();
        self.queue.hide(&handles).await;
    }
}
