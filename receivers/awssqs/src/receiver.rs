//! The receiver as it runs: pollers bring messages, one dispatcher makes batches of them, and each batch's messages are deleted or returned when the
//! batch is settled. While that takes its time, their visibility is extended.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use steadyline_component::telemetry::Signal;
use steadyline_component::{
    CheckRow, Clock, ComponentStatus, Host, IamStatement, Leadership, Outputs, Owner, Permit, Receiver, Shutdown,
    StartError, Storage, Term, async_trait,
};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::config::{Settings, Spans};
use crate::desk::{Desk, Fate, Ids, Verdict, Work};
use crate::emit::Manner;
use crate::event::Reader;
use crate::flight::Flights;
use crate::ledger::Ledger;
use crate::message::Received;
use crate::poll::Poll;
use crate::queue::{BATCH, Facts, Queue};
use crate::report::Report;

/// The receiver before it runs.
pub(crate) struct SqsReceiver {
    pub(crate) id: String,
    pub(crate) config: Settings,
    pub(crate) reader: Reader,
    pub(crate) storage: Option<(Arc<dyn Storage>, Owner)>,
    pub(crate) leadership: Option<Arc<dyn Leadership>>,
    pub(crate) report: Arc<Report>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) clock: Clock,
    pub(crate) status: Option<ComponentStatus>,
}

/// What pollers hand over.
pub(crate) struct Arrival {
    pub(crate) messages: Vec<Received>,
    pub(crate) permit: Permit,
    pub(crate) term: Option<Term>,
}

/// How many batches wait for their delivery at once.
const MAX_SENDS: usize = 64;
/// How long messages wait for company while other batches are under way.
const LINGER: Duration = Duration::from_millis(50);
/// How often old keys and series are looked for.
const SWEEP: Duration = Duration::from_secs(30);
/// How many requests to delete or return messages are under way for one batch.
const MAX_REQUESTS: usize = 8;

impl SqsReceiver {
    /// The desk for these outputs, and the reader that works there.
    pub(crate) fn desk(self, outputs: Outputs) -> (Desk, Reader, Settings, Option<Arc<dyn Leadership>>) {
        let Self { id, config, reader, leadership, report, ledger, clock, .. } = self;
        let desk = desk(&id, &config, &reader, (ledger, report, clock), outputs);
        (desk, reader, config, leadership)
    }
}

/// The desk for these outputs.
pub(crate) fn desk(
    id: &str,
    config: &Settings,
    reader: &Reader,
    (ledger, report, clock): (Arc<Ledger>, Arc<Report>, Clock),
    outputs: Outputs,
) -> Desk {
    if reader.has_logs() && outputs.of(Signal::Logs).is_none() {
        tracing::warn!(component = %id, "log records are configured, and no logs pipeline lists the receiver: they are not made");
    }
    if !reader.outputs().is_empty() && outputs.of(Signal::Metrics).is_none() {
        tracing::warn!(component = %id, "metrics are configured, and no metrics pipeline lists the receiver: they are not made");
    }
    let manner = Manner {
        resource: config.resource.clone().into_iter().collect(),
        temporality: config.temporality,
        relation: config.span_relation,
        wants_metrics: outputs.of(Signal::Metrics).is_some(),
        wants_logs: outputs.of(Signal::Logs).is_some(),
    };
    Desk {
        source: Arc::from(id),
        queue: config.shared.name().to_owned(),
        ledger,
        report,
        clock,
        manner,
        unknown: config.unknown_type,
        spans: if outputs.of(Signal::Traces).is_some() { config.spans } else { Spans::None },
        outputs,
        ids: Ids::default(),
    }
}

#[async_trait]
impl Receiver for SqsReceiver {
    async fn invoke(&mut self, event: &[u8], outputs: &Outputs, host: &Host) -> Result<Option<Vec<u8>>, StartError> {
        crate::invoke::invoke(self, event, outputs, host).await
    }

    async fn check(&mut self) -> Vec<CheckRow> {
        crate::check::check(&self.config, &self.id, &self.clock).await
    }

    fn permissions(&self) -> Vec<IamStatement> {
        crate::check::permissions(&self.config)
    }

    async fn start(&mut self, host: &Host) -> Result<(), StartError> {
        self.clock = host.clock.clone();
        self.status = Some(host.board.component(&format!("receiver:{}", self.id)));
        if let Some((storage, owner)) = &self.storage {
            let area = storage.open(owner).await.map_err(|error| StartError(format!("`storage`: {error}")))?;
            let opened = self.ledger.open(area, self.clock.now()).await;
            opened.map_err(|error| StartError(format!("`storage`: {error}")))?;
        }
        Ok(())
    }

    async fn run(self: Box<Self>, outputs: Outputs, shutdown: Shutdown) -> Result<(), StartError> {
        let (clock, status) = (self.clock.clone(), self.status.clone());
        let Some(queue) = connect(&self, &shutdown).await else { return Ok(()) };
        let (desk, reader, config, leadership) = self.desk(outputs);
        let facts = facts(&queue, &desk).await;
        let explicit = config.visibility_timeout.get();
        let visibility = if explicit.is_zero() { facts.visibility } else { explicit };
        let flights = Arc::new(Flights::new(visibility));
        let mut tasks = JoinSet::new();
        let report = Arc::clone(&desk.report);
        tasks.spawn(Arc::clone(&flights).keep_hidden(queue.clone(), clock.clone(), Arc::clone(&report)));
        let (arrivals, inbox) = mpsc::channel(config.pollers as usize);
        let Some(budget) = desk.outputs.budget().cloned() else { return Ok(()) };
        for _ in 0..config.pollers {
            tasks.spawn(
                Poll {
                    queue: queue.clone(),
                    flights: Arc::clone(&flights),
                    report: Arc::clone(&report),
                    clock: clock.clone(),
                    budget: budget.clone(),
                    leadership: leadership.clone(),
                    shutdown: shutdown.clone(),
                    arrivals: arrivals.clone(),
                    visibility,
                    status: status.clone(),
                }
                .run(),
            );
        }
        drop(arrivals);
        let back = Back { queue, flights, config };
        Dispatcher { desk: Arc::new(desk), reader, back: Arc::new(back), clock }.run(inbox).await;
        tasks.shutdown().await;
        Ok(())
    }
}

/// Connects, however often it takes; `None` if the process stops before.
async fn connect(receiver: &SqsReceiver, shutdown: &Shutdown) -> Option<Queue> {
    let mut pause = Duration::from_secs(1);
    loop {
        match Queue::connect(&receiver.config, &receiver.id, &receiver.clock).await {
            Ok(queue) => return Some(queue),
            Err(failure) => receiver.report.receive_failed(&failure),
        }
        tokio::select! {
            () = shutdown.wait() => return None,
            () = receiver.clock.sleep(pause) => pause = (pause * 2).min(Duration::from_secs(30)),
        }
    }
}

/// What the queue says about itself; what SQS has by itself if it does not say.
async fn facts(queue: &Queue, desk: &Desk) -> Facts {
    match queue.facts().await {
        Ok(facts) => {
            if !facts.has_redrive {
                tracing::warn!(component = %desk.source, queue = %desk.queue,
                    "the queue has no redrive policy: a message that can never be read comes again until its retention is over; give the queue a dead-letter queue");
            }
            facts
        }
        Err(failure) => {
            tracing::warn!(component = %desk.source, queue = %desk.queue,
                "cannot ask the queue for its visibility timeout and redrive policy, 30s is taken: {failure}; {}", failure.advice());
            Facts { visibility: Duration::from_secs(30), has_redrive: true }
        }
    }
}

/// The way back to the queue.
struct Back {
    queue: Queue,
    flights: Arc<Flights>,
    config: Settings,
}

/// Makes batches of what arrives, in order.
struct Dispatcher {
    desk: Arc<Desk>,
    reader: Reader,
    back: Arc<Back>,
    clock: Clock,
}

/// Messages that wait to become a batch.
#[derive(Default)]
struct Pending {
    messages: Vec<Received>,
    permits: Vec<Permit>,
    term: Option<Term>,
    due: Option<Duration>,
}

impl Dispatcher {
    async fn run(mut self, mut inbox: mpsc::Receiver<Arrival>) {
        let most = self.back.config.max_batch_messages;
        let mut sends: FuturesUnordered<BoxFuture<'static, ()>> = FuturesUnordered::new();
        let mut pending = Pending::default();
        let mut is_open = true;
        let mut sweep_at = self.clock.now().mono + SWEEP;
        while is_open || !sends.is_empty() || !pending.messages.is_empty() {
            let may_send = sends.len() < MAX_SENDS;
            let due = pending.due.unwrap_or_default();
            tokio::select! {
                biased;
                Some(()) = sends.next(), if !sends.is_empty() => {}
                arrival = inbox.recv(), if is_open && pending.messages.len() < most => match arrival {
                    Some(arrival) => {
                        if arrival.term != pending.term && !pending.messages.is_empty() {
                            sends.push(self.batch(std::mem::take(&mut pending)));
                        }
                        let linger = if sends.is_empty() { Duration::ZERO } else { LINGER };
                        pending.take(arrival, self.clock.now().mono + linger);
                    }
                    None => {
                        is_open = false;
                        pending.due = pending.due.map(|_| Duration::ZERO);
                    }
                },
                () = self.clock.sleep_until(due), if pending.due.is_some() && may_send => {
                    sends.push(self.batch(std::mem::take(&mut pending)));
                }
                () = self.clock.sleep_until(sweep_at), if is_open => {
                    sweep_at = self.clock.now().mono + SWEEP;
                    self.sweep();
                }
            }
            if pending.messages.len() >= most {
                pending.due = Some(Duration::ZERO);
            }
        }
        // What was delivered last is known after a restart too.
        if let Err(error) = self.desk.ledger.keep().await {
            tracing::warn!(component = %self.desk.source, "the state was not kept at the end: {error}");
        }
    }

    fn sweep(&self) {
        let now = self.clock.now();
        let (desk, mut books) = (&self.desk, self.desk.ledger.lock());
        books.sweep(now);
        desk.report.keys.set(books.window.len() as f64);
        desk.report.series.set(books.series.len() as f64);
        desk.report.evicted.set(books.window.evicted() as f64);
        desk.report.in_flight.set(self.back.flights.len() as f64);
    }

    /// Takes a batch in and begins to send it.
    fn batch(&mut self, pending: Pending) -> BoxFuture<'static, ()> {
        let Pending { messages, permits, term, .. } = pending;
        if let Some(term) = &term {
            self.desk.ledger.lock().begin_term(term.number());
        }
        let work = self.desk.take_in(&mut self.reader, messages, Permit::join(permits), term);
        let (desk, back) = (Arc::clone(&self.desk), Arc::clone(&self.back));
        Box::pin(async move { back.settle(desk, work).await })
    }
}

impl Pending {
    fn take(&mut self, arrival: Arrival, due: Duration) {
        self.messages.extend(arrival.messages);
        self.permits.push(arrival.permit);
        self.term = arrival.term;
        self.due.get_or_insert(due);
    }
}

/// What one request may hold.
fn chunks(verdicts: Vec<Verdict>) -> impl Iterator<Item = Vec<Verdict>> {
    let mut verdicts = verdicts.into_iter().peekable();
    std::iter::from_fn(move || verdicts.peek().is_some().then(|| verdicts.by_ref().take(BATCH).collect()))
}

impl Back {
    /// Sends a batch, then deletes what was delivered and returns what was not.
    async fn settle(self: Arc<Self>, desk: Arc<Desk>, work: Work) {
        let (verdicts, mut summary) = desk.send(work).await;
        let (delete, give_back): (Vec<Verdict>, Vec<Verdict>) =
            verdicts.into_iter().partition(|verdict| verdict.fate == Fate::Delete);
        let requests: Vec<_> = chunks(delete).map(|chunk| self.delete(&desk.report, chunk)).collect();
        let deleted: Vec<u64> = futures_util::stream::iter(requests).buffer_unordered(MAX_REQUESTS).collect().await;
        summary.deleted = deleted.iter().sum();
        let requests: Vec<_> = chunks(give_back).map(|chunk| self.give_back(&desk.report, chunk)).collect();
        futures_util::stream::iter(requests).buffer_unordered(MAX_REQUESTS).collect::<Vec<()>>().await;
        desk.report.batch(summary);
    }

    async fn delete(&self, report: &Report, verdicts: Vec<Verdict>) -> u64 {
        if !self.config.delete_messages {
            verdicts.iter().for_each(|verdict| drop(self.flights.end(&verdict.id)));
            return 0;
        }
        let known: Vec<(&str, String)> = verdicts
            .iter()
            .filter_map(|verdict| Some((verdict.id.as_str(), self.flights.handle(&verdict.id)?)))
            .collect();
        let handles: Vec<String> = known.iter().map(|(_, handle)| handle.clone()).collect();
        if handles.is_empty() {
            return 0;
        }
        let queue = self.queue.clone();
        let count = handles.len();
        // On a task of its own, so that requests of one batch use more than one core.
        let undone = tokio::spawn(async move { queue.delete(&handles).await }).await.unwrap_or_default();
        known.iter().for_each(|(id, _)| drop(self.flights.end(id)));
        for undone in &undone {
            report.not_deleted(undone.reason, known[undone.index].0, &undone.detail);
        }
        (count - undone.len()) as u64
    }

    async fn give_back(&self, report: &Report, verdicts: Vec<Verdict>) {
        let ended: Vec<(&Verdict, String)> =
            verdicts.iter().filter_map(|verdict| Some((verdict, self.flights.end(&verdict.id)?))).collect();
        let wanted: Vec<(String, Duration)> =
            ended.iter().map(|(verdict, handle)| (handle.clone(), self.pause(verdict.receive_count))).collect();
        if wanted.is_empty() {
            return;
        }
        // A message that cannot be returned comes again by itself, when its time is over.
        for undone in self.queue.hide(&wanted).await {
            report.not_extended(undone.reason, &ended[undone.index].0.id, &undone.detail);
        }
    }

    /// How long a message stays away that was received so often.
    fn pause(&self, receive_count: u32) -> Duration {
        let retry = self.config.retry;
        let doublings = receive_count.saturating_sub(1).min(20);
        retry.initial_interval.get().saturating_mul(1 << doublings).min(retry.max_interval.get())
    }
}
