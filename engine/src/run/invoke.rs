//! A graph that is called: for function runtimes, whose process stands still between calls. Everything is started once but
//! what listens and polls by itself. Each call takes one event in, or polls once, and returns when all of it is settled; what
//! components know, and their connections, stay for the next one.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use steadyline_component::delivery::Settlement;
use steadyline_component::receiver::Intake;
use steadyline_component::{
    Batch, Budget, Output, Outputs, PassEnd, Polling, Receipt, Receiver, SendError, SettleError, StartError, Status,
    Until, async_trait,
};
use steadyline_config::ComponentId;
use tokio::time::Instant;

use super::Pipeline;
use super::intake::SourceIntake;
use super::poll::PollTask;
use super::service::Running;
use super::stopping::StopReport;
use super::swap::PATIENCE;
use crate::build::{Graph, ReceiverNode, SourceKind, component_meter};
use crate::delivery::{PutAway, Queue};

/// What a function is called for.
#[derive(Debug, Clone, Copy)]
pub enum Call<'a> {
    /// Every polled receiver reads its source once.
    Poll,
    /// An event in the words of the runtime, for the receiver that it is for.
    Event(&'a [u8]),
}

/// What became of a call. Everything that it brought is settled.
#[derive(Debug)]
pub struct Called {
    /// How the passes of polled receivers ended.
    pub passes: Vec<(String, PassEnd)>,
    /// What the receiver answered; `None` if the event was for none of them.
    pub answer: Option<Vec<u8>>,
    /// Why part of it was not delivered and may be if it is sent again. What was refused for good is dropped, and counted.
    pub undelivered: Option<String>,
    /// What became of everything since the call before.
    pub report: StopReport,
}

/// A graph that waits for calls.
pub struct Callable {
    running: Running,
    receivers: BTreeMap<ComponentId, (Source, Outputs)>,
    /// What was sent during the call at hand.
    sent: Sent,
    /// What had become of everything before it.
    before: StopReport,
}

type Sent = Arc<Mutex<Vec<Settlement>>>;

enum Source {
    /// Taken out when it is polled for the first time.
    Fresh(Option<Polling>),
    Polled(Box<PollTask>),
    Pushed(Box<dyn Receiver>),
}

impl Graph {
    /// Starts everything but receivers: those act when they are called.
    ///
    /// # Errors
    /// A component could not start.
    pub async fn callable(mut self) -> Result<Callable, StartError> {
        let nodes = std::mem::take(&mut self.receivers);
        let pipelines: Vec<_> = self.pipelines.iter().map(|node| Arc::clone(&node.pipeline)).collect();
        let running = self.start().await?;
        let sent = Sent::default();
        let mut receivers = BTreeMap::new();
        for ReceiverNode { id, source, feeds } in nodes {
            let outputs = Outputs::new(feeds.iter().map(|(signal, places)| {
                let feeds = places.iter().map(|&place| Arc::clone(&pipelines[place])).collect();
                let inner = running.intake(&id, *signal, feeds);
                (*signal, Output::new(Arc::new(Noted { inner, sent: Arc::clone(&sent) })))
            }));
            let source = match source {
                SourceKind::Polled(polling) => Source::Fresh(Some(polling)),
                SourceKind::Pushed(receiver) => Source::Pushed(receiver),
                SourceKind::Running => continue,
            };
            receivers.insert(id, (source, outputs));
        }
        Ok(Callable { running, receivers, sent, before: StopReport::default() })
    }
}

impl Callable {
    /// Serves one call and waits until everything that it brought is delivered, kept on disk or counted as lost.
    ///
    /// # Errors
    /// A receiver could not start, or cannot take such events as it is configured; something was not settled within
    /// `shutdown_timeout`, or a component fell over. Nothing good can be expected of the graph then: close it and make
    /// another one.
    pub async fn call(&mut self, call: Call<'_>) -> Result<Called, StartError> {
        let mut called = Called { passes: Vec::new(), answer: None, undelivered: None, report: StopReport::default() };
        let host = self.running.host();
        for (id, (source, outputs)) in &mut self.receivers {
            let failed = |error: StartError| StartError(format!("receiver `{id}`: {error}"));
            match (source, call) {
                (Source::Pushed(receiver), Call::Event(event)) if called.answer.is_none() => {
                    called.answer = receiver.invoke(event, outputs, &host).await.map_err(failed)?;
                }
                (Source::Pushed(_), _) | (_, Call::Event(_)) => {}
                (source, Call::Poll) => {
                    begin_polling(&self.running, id, source, outputs).await.map_err(failed)?;
                    if let Source::Polled(task) = source {
                        called.passes.push((id.to_string(), task.pass(&host.shutdown).await));
                    }
                }
            }
        }
        called.undelivered = self.settle().await?;
        called.report = self.report();
        self.check()?;
        Ok(called)
    }

    /// Stops everything. What waits for delivery is given up, unless its queue is on disk.
    pub async fn close(mut self) -> StopReport {
        self.running.stop(std::time::Duration::ZERO).await
    }

    /// Waits until nothing is on its way any more. Says why part of what was sent was not delivered.
    async fn settle(&mut self) -> Result<Option<String>, StartError> {
        let limit = self.running.shutdown_timeout;
        let deadline = Instant::now() + limit;
        let sent = std::mem::take(&mut *self.sent.lock().unwrap_or_else(PoisonError::into_inner));
        let settled = async {
            let mut undelivered = None;
            for settlement in sent {
                if let Err(SettleError::Retryable(why)) = settlement.await {
                    undelivered.get_or_insert(why);
                }
            }
            // What timers let go has no receipts, and must not stand still half sent.
            for running in self.running.branches.values() {
                emptied(&running.branch.queue).await;
            }
            // And what outlives the process is kept now: it may not be waked again.
            for running in self.running.pipelines.values() {
                running.pipeline.keep_all().await;
            }
            undelivered
        };
        let late = |_| {
            let items: u64 = self.running.branches.values().map(|running| running.branch.queue.items()).sum();
            StartError(format!("{items} points could not be delivered within the {limit:?} of `shutdown_timeout`"))
        };
        tokio::time::timeout_at(deadline, settled).await.map_err(late)
    }

    fn report(&mut self) -> StopReport {
        let StopReport { delivered, dropped, .. } = self.running.report(PutAway::default());
        let before = std::mem::replace(&mut self.before, StopReport { delivered, dropped, ..StopReport::default() });
        StopReport {
            delivered: delivered.saturating_sub(before.delivered),
            dropped: dropped.saturating_sub(before.dropped),
            ..StopReport::default()
        }
    }

    /// Whether every part of it still lives.
    fn check(&self) -> Result<(), StartError> {
        let gone = self.running.board().read().into_iter().find_map(|(id, entry)| match entry.status {
            Status::Failed(why) => Some(StartError(format!("{id} is gone: {why}"))),
            _ => None,
        });
        gone.map_or(Ok(()), Err)
    }
}

/// A polled receiver is started when it first polls: calls for something else do not need its source.
async fn begin_polling(
    running: &Running,
    id: &ComponentId,
    source: &mut Source,
    outputs: &Outputs,
) -> Result<(), StartError> {
    let Source::Fresh(fresh) = source else { return Ok(()) };
    let Some(mut polling) = fresh.take() else { return Ok(()) };
    polling.poller.start(&running.host()).await?;
    let shared = &running.shared;
    let status = shared.board.component(&format!("receiver:{id}"));
    let meter = component_meter(&shared.meter, "receiver", id);
    let task = PollTask::new(id.as_str(), polling, outputs.clone(), shared.clock.clone(), status, &meter);
    *source = Source::Polled(Box::new(task.traced(shared.traces.clone())));
    Ok(())
}

impl Pipeline {
    /// Its processors keep what they have now, and go on.
    async fn keep_all(&self) {
        for stage in self.stages.lock().await.iter_mut() {
            stage.keep(&self.name, tokio::time::sleep(PATIENCE)).await;
        }
    }
}

async fn emptied(queue: &Queue) {
    loop {
        let mut moved = pin!(queue.room());
        moved.as_mut().enable();
        if queue.is_empty() {
            return;
        }
        moved.await;
    }
}

/// Gives a receipt to all that passes, so that the call knows when it is settled.
struct Noted {
    inner: Arc<SourceIntake>,
    sent: Sent,
}

#[async_trait]
impl Intake for Noted {
    async fn send(&self, mut batch: Batch, until: Until) -> Result<(), SendError> {
        // Whoever waits by himself sees to what comes of it.
        if until == Until::Enqueued {
            let (receipt, settlement) = Receipt::new();
            batch.header.receipts.push(receipt);
            self.sent.lock().unwrap_or_else(PoisonError::into_inner).push(settlement);
        }
        self.inner.send(batch, until).await
    }

    fn budget(&self) -> &Budget {
        self.inner.budget()
    }

    fn has_room(&self) -> bool {
        self.inner.has_room()
    }

    fn refused(&self, reason: &'static str, items: u64) {
        self.inner.refused(reason, items);
    }
}
