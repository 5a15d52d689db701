//! Starting what of a graph does not run yet. Nothing that runs is touched; if one part cannot start, those that did are
//! stopped again.

use std::collections::BTreeMap;
use std::sync::Arc;

use steadyline_component::receiver::ShutdownTrigger;
use steadyline_component::{Extension, Host, Shutdown, Sink, StartError};
use steadyline_config::ComponentId;

use super::leaving::KEPT;
use super::service::Running;
use super::stopping::{GRACE, within};
use crate::build::{BranchKey, ExtensionNode, Graph, ReceiverNode, SourceKind};
use crate::delivery::Branch;

/// What was started of a graph that is not installed yet.
#[derive(Default)]
pub(super) struct Started {
    extensions: Vec<Arc<dyn Extension>>,
    sinks: Vec<Arc<dyn Sink>>,
    pipelines: Vec<Arc<super::Pipeline>>,
    /// Exporters whose queues were opened here.
    queues: Vec<Arc<Branch>>,
    /// Ends what senders do in tasks of their own.
    pub(super) lives: BTreeMap<BranchKey, ShutdownTrigger>,
}

impl Started {
    /// Starts extensions and exporters.
    pub(super) async fn outer(&mut self, running: &Running, graph: &Graph) -> Result<(), StartError> {
        let host = running.host();
        for ExtensionNode { id, extension, .. } in &graph.extensions {
            if running.extensions.iter().any(|running| Arc::ptr_eq(&running.extension, extension)) {
                continue;
            }
            extension.start(&host).await.map_err(|e| failed("extension", id, &e))?;
            self.extensions.push(Arc::clone(extension));
        }
        for ((signal, id), node) in &graph.sinks {
            if running.sinks.get(&(*signal, id.clone())).is_some_and(|running| Arc::ptr_eq(running, node)) {
                continue;
            }
            node.sink.start(&host).await.map_err(|e| failed("exporter", id, &e))?;
            self.sinks.push(Arc::clone(&node.sink));
        }
        for (key, branch) in &graph.branches {
            if running.branches.get(key).is_some_and(|running| Arc::ptr_eq(&running.branch, branch)) {
                continue;
            }
            let (life, shutdown) = Shutdown::new();
            let host = Host { shutdown, ..host.clone() };
            let is_shared = branch.queue.is_kept();
            branch.open().await?;
            if branch.queue.is_kept() && !is_shared {
                self.queues.push(Arc::clone(branch));
            }
            branch.sender.start(&host).await.map_err(|e| StartError(format!("{}: {e}", branch.name)))?;
            self.lives.insert(key.clone(), life);
        }
        Ok(())
    }

    /// Starts processors and receivers.
    pub(super) async fn inner(&mut self, running: &Running, graph: &mut Graph) -> Result<(), StartError> {
        let host = running.host();
        let runs = |pipeline: &Arc<super::Pipeline>| {
            running.pipelines.values().any(|running| Arc::ptr_eq(&running.pipeline, pipeline))
        };
        let fresh = graph.pipelines.iter().filter(|node| !runs(&node.pipeline));
        self.pipelines = fresh.map(|node| Arc::clone(&node.pipeline)).collect();
        // Together: one that asks somebody who does not answer must not keep the others waiting.
        futures_util::future::try_join_all(self.pipelines.iter().map(|pipeline| pipeline.start(&host))).await?;
        // Nobody takes anything in before everybody could start.
        for receiver in &mut graph.receivers {
            start_receiver(receiver, &host).await?;
        }
        Ok(())
    }

    /// Stops what was started, in reverse.
    pub(super) async fn undo(self) {
        self.pipelines.iter().for_each(|pipeline| pipeline.abandon());
        for branch in self.queues {
            // As it was found: the next one that opens it finds it, too.
            branch.put_away().await;
            branch.queue.give_up(KEPT);
        }
        for sink in self.sinks.into_iter().rev() {
            within(GRACE, "an exporter", sink.shutdown()).await;
        }
        for extension in self.extensions.into_iter().rev() {
            within(GRACE, "an extension", extension.shutdown()).await;
        }
    }
}

async fn start_receiver(receiver: &mut ReceiverNode, host: &Host) -> Result<(), StartError> {
    let started = match &mut receiver.source {
        SourceKind::Polled(polling) => polling.poller.start(host).await,
        SourceKind::Pushed(receiver) => receiver.start(host).await,
        SourceKind::Running => Ok(()),
    };
    started.map_err(|error| failed("receiver", &receiver.id, &error))
}

fn failed(kind: &str, id: &ComponentId, error: &StartError) -> StartError {
    StartError(format!("{kind} `{id}` could not start: {error}"))
}
