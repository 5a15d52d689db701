//! State that outlives its processor: it is waited for when the processor ends, and before another one takes its place.

use std::time::Duration;

use steadyline_component::{Host, Shutdown, StorageError};
use tokio::time::timeout;

use super::parts::RunningPipeline;
use super::pipeline::{Pipeline, Stage};
use super::service::Running;
use super::swap::PATIENCE;
use crate::build::{Graph, state_losses};

/// How long what is being written may take when the time is up.
const AFTER_ALL: Duration = Duration::from_secs(1);

impl Stage {
    /// Waits until the processor has kept what it keeps, or the time is up. A failure is told and counted.
    pub(super) async fn keep(&mut self, pipeline: &str, time_is_up: impl Future<Output = ()>) {
        let kept = tokio::select! {
            biased;
            kept = self.processor.keep() => kept,
            () = time_is_up => Err(StorageError { message: "there was no more time".into(), retryable: true }),
        };
        self.note(pipeline, kept);
    }

    fn note(&self, pipeline: &str, kept: Result<(), StorageError>) {
        let Err(error) = kept else { return };
        self.unkept.add(1.0);
        tracing::error!(component = %self.account.id, pipeline,
            "not all of the processor's state is kept, and what takes its place begins without that: {error}");
    }
}

impl Pipeline {
    /// Nobody gets in any more; then its processors keep their state.
    pub(super) async fn end(&self, hard_stop: &Shutdown) {
        self.close();
        let mut stages = self.stages.lock().await;
        let all = stages.iter_mut().map(|stage| stage.keep(&self.name, a_moment_after(hard_stop)));
        futures_util::future::join_all(all).await;
    }

    /// The processors at these places keep what they have now; data may come afterwards. `false`: nobody got at them.
    async fn keep(&self, places: &[usize]) -> bool {
        let Ok(mut stages) = timeout(PATIENCE, self.stages.lock()).await else {
            tracing::error!(pipeline = %self.name, "it is busy, and what takes the place of its processors begins without their newest state");
            return false;
        };
        for (_, stage) in stages.iter_mut().enumerate().filter(|(place, _)| places.contains(place)) {
            stage.keep(&self.name, tokio::time::sleep(PATIENCE)).await;
        }
        true
    }

    /// The processors at these places go on after all.
    async fn resume(&self, places: &[usize], host: &Host) {
        let mut stages = self.stages.lock().await;
        for (_, stage) in stages.iter_mut().enumerate().filter(|(place, _)| places.contains(place)) {
            let Some(life) = &stage.life else { continue };
            let host = Host { shutdown: life.subscribe(), ..host.clone() };
            if let Err(error) = stage.processor.resume(&host).await {
                stage.note(&self.name, Err(StorageError { message: error.0, retryable: false }));
            }
        }
    }
}

impl Running {
    /// Processors in whose place others are about to start keep their state, which those may read.
    pub(super) async fn keep_replaced(&self, graph: &Graph) {
        let all = self.replaced_by(graph).map(async |(pipeline, places)| {
            if !pipeline.keep(&places).await {
                let ids = self.pipelines.values().find(|of| std::ptr::eq(&*of.pipeline, pipeline));
                let ids = ids.map(|of| of.processors.as_slice()).unwrap_or_default();
                let lost = places.iter().filter_map(|&place| ids.get(place));
                lost.for_each(|id| state_losses(&self.shared.meter, id, &pipeline.name).add(1.0));
            }
        });
        futures_util::future::join_all(all).await;
    }

    /// What was to take their places is gone: they take back what they had given up.
    pub(super) async fn resume_replaced(&self, graph: &Graph) {
        let host = self.host();
        let all = self.replaced_by(graph).map(async |(pipeline, places)| {
            if timeout(PATIENCE, pipeline.resume(&places, &host)).await.is_err() {
                tracing::error!(pipeline = %pipeline.name, "its processors could not take their state back in time");
            }
        });
        futures_util::future::join_all(all).await;
    }

    /// Pipelines that run, and the places of their processors in whose stead the graph has others of the same id.
    fn replaced_by(&self, graph: &Graph) -> impl Iterator<Item = (&Pipeline, Vec<usize>)> {
        graph.plan.pipelines.iter().zip(&graph.pipelines).filter_map(|(plan, node)| {
            let running = self.pipelines.get(&plan.id)?;
            let goes_on = std::sync::Arc::ptr_eq(&running.pipeline, &node.pipeline);
            let places = if goes_on { Vec::new() } else { replaced(running, &plan.processors, &node.inherits) };
            (!places.is_empty()).then_some((&*running.pipeline, places))
        })
    }
}

/// The places of processors in whose stead others of the same id stand among `new`, of which some are `inherits`: (place
/// there, place here).
pub(super) fn replaced(
    running: &RunningPipeline,
    new: &[steadyline_config::ComponentId],
    inherits: &[(usize, usize)],
) -> Vec<usize> {
    let old = running.processors.iter().enumerate();
    let is_replaced = |place: usize, id| new.contains(id) && !inherits.iter().any(|(_, from)| *from == place);
    old.filter(|(place, id)| is_replaced(*place, id)).map(|(place, _)| place).collect()
}

/// The end of all patience at a stop, and a moment for what is being written just then.
pub(super) async fn a_moment_after(hard_stop: &Shutdown) {
    hard_stop.wait().await;
    tokio::time::sleep(AFTER_ALL).await;
}
