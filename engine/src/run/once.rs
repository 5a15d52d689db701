//! One pass of each polled receiver through its pipelines, without timers or cadence: what `once` runs.

use std::sync::Arc;
use std::time::Duration;

use steadyline_component::{Budget, Host, Kind, Output, Outputs, PassEnd, Shutdown, StartError};

use super::intake::{Feeds, SourceIntake, UnderWay};
use super::poll::PollTask;
use crate::build::{ExtensionNode, Graph, SourceKind, component_meter};

impl Graph {
    /// Polls each receiver once (or only the one of the given id), lets processors emit what waits, and says how the
    /// passes ended. `document` takes the place of the source's own content.
    ///
    /// # Errors
    /// A component could not start.
    pub async fn once(self, only: Option<&str>, document: Option<&[u8]>) -> Result<Vec<(String, PassEnd)>, StartError> {
        let (stop_trigger, stop) = Shutdown::new();
        let host = Host { clock: self.shared.clock.clone(), board: self.shared.board.clone(), shutdown: stop.clone() };
        for ExtensionNode { id, extension, .. } in self.extensions.iter().filter(|node| node.referenced) {
            // What a document replaces need not be reachable, so nothing that serves it needs to run.
            if document.is_none() {
                extension.start(&host).await.map_err(|e| StartError(format!("extension `{id}`: {e}")))?;
            }
        }
        let mut ends = Vec::new();
        for receiver in self.receivers {
            let SourceKind::Polled(mut polling) = receiver.source else { continue };
            if only.is_some_and(|only| only != receiver.id.as_str()) {
                continue;
            }
            if document.is_none() {
                polling
                    .poller
                    .start(&host)
                    .await
                    .map_err(|e| StartError(format!("receiver `{}`: {e}", receiver.id)))?;
            }
            let name = receiver.id.as_str();
            let outputs = Outputs::new(receiver.feeds.iter().map(|(signal, places)| {
                let account = self.shared.books.open(Kind::Receiver, name, *signal, "");
                let pipelines = places.iter().map(|&place| Arc::clone(&self.pipelines[place].pipeline)).collect();
                let (budget, hard_stop) = (Budget::new(u64::MAX), stop.clone());
                let (under_way, traces) = (UnderWay::new(), self.shared.traces.clone());
                let feeds = Feeds::new(pipelines);
                let intake = SourceIntake { feeds, account, budget, hard_stop, under_way, traces };
                (*signal, Output::new(Arc::new(intake)))
            }));
            let status = self.shared.board.component(&format!("receiver:{name}"));
            let meter = component_meter(&self.shared.meter, "receiver", &receiver.id);
            let mut task = PollTask::new(name, polling, outputs, self.shared.clock.clone(), status, &meter);
            let end = match document {
                Some(document) => task.replay(document, &stop).await,
                None => task.pass(&stop).await,
            };
            ends.push((name.to_string(), end));
        }
        for node in &self.pipelines {
            node.pipeline.drain(&stop).await;
        }
        stop_trigger.fire();
        for node in self.extensions.iter().rev().filter(|node| node.referenced) {
            let _ = tokio::time::timeout(Duration::from_secs(2), node.extension.shutdown()).await;
        }
        Ok(ends)
    }
}
