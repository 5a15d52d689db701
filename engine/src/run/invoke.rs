//! One call of a function runtime: everything is started but what listens and polls by itself, the event is taken in, everything is flushed.

use std::sync::Arc;

use steadyline_component::{Budget, Kind, Output, Outputs, PassEnd, Shutdown, StartError};

use super::intake::{Feeds, SourceIntake, UnderWay};
use super::poll::PollTask;
use super::stopping::StopReport;
use crate::build::{Graph, ReceiverNode, SourceKind, component_meter};

/// What a function is called for.
#[derive(Debug, Clone, Copy)]
pub enum Call<'a> {
    /// Every polled receiver reads its source once.
    Poll,
    /// An event in the words of the runtime, for the receiver that it is for.
    Event(&'a [u8]),
}

/// What became of a call. Everything was flushed.
#[derive(Debug)]
pub struct Called {
    /// How the passes of polled receivers ended.
    pub passes: Vec<(String, PassEnd)>,
    /// What the receiver answered; `None` if the event was for none of them.
    pub answer: Option<Vec<u8>>,
    /// What became of everything.
    pub report: StopReport,
}

impl Graph {
    /// Serves one call and stops: processors let go, queues drain, storage closes.
    ///
    /// # Errors
    /// A component could not start, or the receiver cannot take such events as it is configured.
    pub async fn call(mut self, call: Call<'_>) -> Result<Called, StartError> {
        let receivers = std::mem::take(&mut self.receivers);
        let shared = self.shared.clone();
        let pipelines: Vec<_> = self.pipelines.iter().map(|node| Arc::clone(&node.pipeline)).collect();
        let budget = Budget::new(crate::memory::budget(self.plan.service.memory_budget, self.memory_bound) / 4);
        let (_never, hard_stop) = Shutdown::new();
        let under_way = UnderWay::new();
        let running = self.start().await?;
        let mut called = Called { passes: Vec::new(), answer: None, report: StopReport::default() };
        let mut result = Ok(());
        for receiver in receivers {
            let ReceiverNode { id, source, feeds } = receiver;
            let outputs = Outputs::new(feeds.iter().map(|(signal, places)| {
                let account = shared.books.open(Kind::Receiver, id.as_str(), *signal, "");
                let pipelines = places.iter().map(|&place| Arc::clone(&pipelines[place])).collect();
                let (budget, traces) = (budget.clone(), shared.traces.clone());
                let (hard_stop, under_way) = (hard_stop.clone(), under_way.clone());
                let feeds = Feeds::new(pipelines);
                let intake = SourceIntake { feeds, account, budget, hard_stop, under_way, traces };
                (*signal, Output::new(Arc::new(intake)))
            }));
            let host = running.host();
            let failed = |error: StartError| StartError(format!("receiver `{id}`: {error}"));
            match (source, call) {
                (SourceKind::Polled(mut polling), Call::Poll) => {
                    if let Err(error) = polling.poller.start(&host).await {
                        result = result.and(Err(failed(error)));
                        continue;
                    }
                    let status = shared.board.component(&format!("receiver:{id}"));
                    let meter = component_meter(&shared.meter, "receiver", &id);
                    let mut task = PollTask::new(id.as_str(), polling, outputs, shared.clock.clone(), status, &meter);
                    let end = task.pass(&host.shutdown).await;
                    called.passes.push((id.to_string(), end));
                }
                (SourceKind::Pushed(mut receiver), Call::Event(event)) if called.answer.is_none() => {
                    match receiver.invoke(event, &outputs, &host).await {
                        Ok(answer) => called.answer = answer,
                        Err(error) => result = result.and(Err(failed(error))),
                    }
                }
                _ => {}
            }
        }
        called.report = running.shutdown().await;
        result.map(|()| called)
    }
}
