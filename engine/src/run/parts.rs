//! What runs, each with the tasks that make it run: so that a reload can stop one of them and leave the others alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use steadyline_component::receiver::ShutdownTrigger;
use steadyline_component::{Board, ComponentStatus, Extension, Shutdown, Status};
use steadyline_config::ComponentId;
use steadyline_telemetry::Signal;
use tokio::task::{JoinHandle, JoinSet};

use super::intake::SourceIntake;
use super::supervise::supervise;
use super::{Joint, Pipeline};
use crate::build::{JointKey, joint_name};
use crate::delivery::Branch;

/// An extension that was started.
pub(super) struct RunningExtension {
    pub(super) id: ComponentId,
    pub(super) extension: Arc<dyn Extension>,
}

/// An exporter with its workers.
pub(super) struct RunningBranch {
    pub(super) branch: Arc<Branch>,
    pub(super) workers: JoinSet<()>,
    /// Fires when the sender is gone: what it does in tasks of its own ends then.
    pub(super) _life: Option<ShutdownTrigger>,
}

impl RunningBranch {
    /// Begins to send.
    pub(super) fn begin(branch: Arc<Branch>, life: Option<ShutdownTrigger>) -> RunningBranch {
        let mut workers = JoinSet::new();
        branch.status.begin(Status::Ok);
        branch.spawn_workers(&mut workers);
        RunningBranch { branch, workers, _life: life }
    }
}

/// A pipeline with its timers.
pub(super) struct RunningPipeline {
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) processors: Vec<ComponentId>,
    pub(super) joints: Vec<JointKey>,
    pub(super) task: Task,
    /// Whether it was told to keep its state for the last time.
    pub(super) is_ending: bool,
}

/// A connector with its timers.
pub(super) struct RunningJoint {
    pub(super) joint: Arc<Joint>,
    pub(super) targets: Vec<ComponentId>,
    pub(super) task: Task,
}

/// A receiver while it runs.
pub(super) struct RunningReceiver {
    /// The pipelines that list it, for each signal.
    pub(super) feeds: BTreeMap<Signal, Vec<ComponentId>>,
    pub(super) intakes: BTreeMap<Signal, Arc<SourceIntake>>,
    pub(super) stop: ShutdownTrigger,
    /// Then it says by itself that its series end.
    pub(super) is_polled: bool,
    pub(super) task: Task,
}

/// A task with its place on the board.
pub(super) struct Task {
    pub(super) status: ComponentStatus,
    handle: JoinHandle<()>,
}

impl Task {
    /// Runs it; it stands anew on the board.
    pub(super) fn spawn(board: &Board, name: String, run: impl Future<Output = ()> + Send + 'static) -> Task {
        let status = board.place(&name);
        status.begin(Status::Ok);
        Task { handle: tokio::spawn(supervise(name, status.clone(), run)), status }
    }

    /// Waits until it ends by itself.
    pub(super) async fn ended(&mut self) {
        if !self.handle.is_finished() {
            // A panic was told of where it happened.
            let _ = (&mut self.handle).await;
        }
    }

    /// Whether it has ended, which it does not unless it is told to, or fell over.
    pub(super) fn is_over(&self) -> bool {
        self.handle.is_finished()
    }

    /// Ends it wherever it is, and waits until it has.
    pub(super) async fn abort(&mut self) {
        self.handle.abort();
        self.ended().await;
    }
}

/// The timers of a pipeline, until `stop` fires.
pub(super) fn pipeline_timers(board: &Board, pipeline: &Arc<Pipeline>, stop: Shutdown, hard_stop: Shutdown) -> Task {
    let this = Arc::clone(pipeline);
    let name = format!("pipeline:{}", pipeline.name);
    Task::spawn(board, name, async move { this.run_timers(stop, hard_stop).await })
}

/// The timers of a connector, until `stop` fires.
pub(super) fn joint_timers(
    board: &Board,
    key: &JointKey,
    joint: &Arc<Joint>,
    stop: Shutdown,
    hard_stop: Shutdown,
) -> Task {
    let this = Arc::clone(joint);
    Task::spawn(board, joint_name(key), async move { this.run_timers(stop, hard_stop).await })
}
