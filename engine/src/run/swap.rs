//! One graph in the place of another, while data flows. Everything new was started before, so nothing here can fail.
//!
//! From upstream to downstream, each part is changed when nothing is inside it: what a part that goes lets go of takes the
//! old way, and what comes later takes the new one, behind it. Whoever waits for room in the way of that is told to try
//! again after [`PATIENCE`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use steadyline_component::{Batch, Data, Extension, Header, Status};
use steadyline_config::ComponentId;
use steadyline_telemetry::{Metrics, Signal};
use tokio::sync::OwnedMutexGuard;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::intake::push;
use super::keeping::replaced;
use super::leaving::Leaving;
use super::outlets::SinkNode;
use super::parts::{
    RunningBranch, RunningExtension, RunningJoint, RunningPipeline, RunningReceiver, joint_timers, pipeline_timers,
};
use super::pipeline::Stage;
use super::service::{Feed, Running};
use super::starting::Started;
use super::stopping::{GRACE, within};
use super::{Joint, Pipeline, sizes};
use crate::build::{BranchKey, Graph, JointKey, JointNode, PipelineNode, ReceiverNode, SourceKind};
use crate::config::Plan;
use crate::delivery::Branch;

/// How long a reload waits for data on its way, for answers of backends, and for receivers to finish.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Pipelines in the order of the plan, by id.
type Feeds = Vec<(ComponentId, Feed)>;

impl Running {
    /// Puts a graph whose new parts were started in the place of what runs.
    pub(super) async fn swap(&mut self, graph: Graph, mut started: Started) {
        let Graph {
            root,
            plan,
            extensions,
            branches,
            sinks,
            pipelines,
            joints,
            receivers,
            memory_bound,
            records,
            adapted,
            ..
        } = graph;
        let feeds: Feeds = plan
            .pipelines
            .iter()
            .zip(&pipelines)
            .map(|(plan, node)| (plan.id.clone(), node.pipeline.clone()))
            .collect();
        let haste = Haste::begin(self.all_branches(), PATIENCE);
        let deadline = Instant::now() + PATIENCE;
        // Nobody gets into a new pipeline before the state of the old one is there.
        let held: BTreeMap<ComponentId, OwnedMutexGuard<Vec<Stage>>> = feeds
            .iter()
            .filter(|(id, new)| self.pipelines.get(id).is_some_and(|old| !Arc::ptr_eq(&old.pipeline, new)))
            .filter_map(|(id, new)| Some((id.clone(), new.hold()?)))
            .collect();
        for (old, next) in &adapted {
            old.as_adaptable().into_iter().for_each(|old| old.become_as(&**next));
        }
        self.resize(&branches, crate::memory::budget(plan.service.memory_budget, memory_bound));
        let ends = self.stop_receivers(&receivers, &feeds, deadline).await;
        self.retarget_receivers(&receivers, &feeds).await;
        self.end_series(ends).await;
        self.rewire(&plan, (&pipelines, &joints), &feeds, held).await;
        let new_lives = std::mem::take(&mut started.lives);
        self.exchange_branches(branches, new_lives, deadline.max(Instant::now() + GRACE)).await;
        drop(haste);
        self.begin_pipelines(&plan, pipelines, joints, &feeds);
        for receiver in receivers {
            self.run_receiver(receiver, &feeds);
        }
        let extensions =
            extensions.into_iter().map(|node| RunningExtension { id: node.id, extension: node.extension }).collect();
        self.close_the_rest(extensions, sinks);
        self.root = root;
        self.records = records;
        self.shutdown_timeout = plan.service.shutdown_timeout;
        self.show();
    }

    fn all_branches(&self) -> Vec<Arc<Branch>> {
        self.branches.values().map(|running| Arc::clone(&running.branch)).collect()
    }

    /// Shares the memory budget out anew.
    fn resize(&self, branches: &BTreeMap<BranchKey, Arc<Branch>>, total: u64) {
        let queues = sizes::fit_queues(branches.values(), total);
        self.budget.resize(sizes::in_flight(total, queues));
    }

    /// Stops receivers that changed or are gone. Gives what sources the pipelines lose.
    async fn stop_receivers(&mut self, new: &[ReceiverNode], feeds: &Feeds, deadline: Instant) -> Vec<Lost> {
        let mut ends = Vec::new();
        let mut leaving = Vec::new();
        for id in self.receivers.keys().cloned().collect::<Vec<_>>() {
            let node = new.iter().find(|node| node.id == id);
            let lost = self.lost_by(&id, node, feeds);
            if !lost.is_empty() {
                let is_told = node.is_none() && self.receivers.get(&id).is_some_and(|receiver| receiver.is_polled);
                ends.push(Lost { id: id.clone(), pipelines: lost, is_told });
            }
            if node.is_some_and(|node| matches!(node.source, SourceKind::Running)) {
                continue;
            }
            let Some(receiver) = self.receivers.remove(&id) else { continue };
            match node {
                Some(_) => receiver.stop.fire(),
                None => receiver.stop.fire_for_good(),
            }
            leaving.push((id, node.is_none(), receiver));
        }
        let stopping = leaving.into_iter().map(async |(id, is_gone, mut receiver)| {
            stop_receiver(&id, &mut receiver, deadline).await;
            if is_gone {
                receiver.task.status.remove();
            }
        });
        futures_util::future::join_all(stopping).await;
        ends
    }

    /// The pipelines for which a source ends: those that it does not feed any more though they go on, and all that it fed
    /// if it is gone.
    fn lost_by(&self, id: &ComponentId, node: Option<&ReceiverNode>, plan: &Feeds) -> Vec<Feed> {
        let Some(old) = self.receivers.get(id).and_then(|receiver| receiver.feeds.get(&Signal::Metrics)) else {
            return Vec::new();
        };
        let still: Vec<&ComponentId> = node
            .and_then(|node| node.feeds.iter().find(|(signal, _)| *signal == Signal::Metrics))
            .map(|(_, places)| places.iter().map(|&place| &plan[place].0).collect())
            .unwrap_or_default();
        let goes_on = |pipeline: &ComponentId| plan.iter().any(|(id, _)| id == pipeline);
        let lost = old.iter().filter(|pipeline| !still.contains(pipeline) && (node.is_none() || goes_on(pipeline)));
        lost.filter_map(|pipeline| Some(Arc::clone(&self.pipelines.get(pipeline)?.pipeline))).collect()
    }

    /// Receivers that go on feed the new pipelines.
    async fn retarget_receivers(&mut self, receivers: &[ReceiverNode], plan: &Feeds) {
        for node in receivers.iter().filter(|node| matches!(node.source, SourceKind::Running)) {
            let Some(running) = self.receivers.get_mut(&node.id) else { continue };
            for (signal, places) in &node.feeds {
                let new: Vec<Feed> = places.iter().map(|&place| Arc::clone(&plan[place].1)).collect();
                let Some(intake) = running.intakes.get(signal) else { continue };
                let old = intake.feeds.now();
                if old.len() != new.len() || !old.iter().zip(&new).all(|(old, new)| Arc::ptr_eq(old, new)) {
                    intake.feeds.change(new).await;
                }
                running.feeds.insert(*signal, places.iter().map(|&place| plan[place].0.clone()).collect());
            }
        }
    }

    /// Tells pipelines, by the old way, which sources they have no more.
    async fn end_series(&self, ends: Vec<Lost>) {
        for Lost { id, pipelines, is_told } in ends {
            let progress = self.progress.get(&id).cloned().unwrap_or_default();
            let pass = Some(progress.end(self.shared.clock.now().unix_nanos));
            let header = Header { source: Arc::from(id.as_str()), pass, ..Header::default() };
            let batch = Batch { header, data: Data::Metrics(Metrics::default()) };
            if !is_told {
                // What finds no room is counted where it waited.
                let _ = push(&pipelines, batch, self.hard_stop.1.clone()).await;
            }
            for pipeline in &pipelines {
                pipeline.settle(GRACE).await;
            }
        }
    }

    /// Takes old pipelines and connectors apart, upstream first, and hands what they keep to the new ones.
    async fn rewire(
        &mut self,
        new: &Plan,
        (pipelines, joints): (&[PipelineNode], &BTreeMap<JointKey, JointNode>),
        plan: &Feeds,
        mut held: BTreeMap<ComponentId, OwnedMutexGuard<Vec<Stage>>>,
    ) {
        let hard_stop = self.hard_stop.1.clone();
        for part in self.downstream() {
            match part {
                Part::Pipeline(id) => {
                    let Some(running) = self.pipelines.get(&id) else { continue };
                    let place = plan.iter().position(|(new, _)| *new == id);
                    let node = place.map(|place| &pipelines[place]);
                    if node.is_some_and(|node| Arc::ptr_eq(&node.pipeline, &running.pipeline)) {
                        continue;
                    }
                    let inherits = node.map(|node| node.inherits.as_slice()).unwrap_or_default();
                    let keep: Vec<usize> = inherits.iter().map(|(_, from)| *from).collect();
                    let replaced = place.map(|place| replaced(running, &new.pipelines[place].processors, inherits));
                    let replaced = replaced.unwrap_or_default();
                    let kept = running.pipeline.dissolve(&keep, &replaced, &hard_stop).await;
                    let mut kept: BTreeMap<usize, Stage> = kept.into_iter().collect();
                    // Its new stages are there already, in order; each inherited one goes to its place among them.
                    if let Some(mut stages) = held.remove(&id) {
                        for (at, from) in inherits {
                            let Some(stage) = kept.remove(from) else { continue };
                            let at = (*at).min(stages.len());
                            stages.insert(at, stage);
                        }
                    }
                }
                Part::Joint(key) => {
                    let Some(running) = self.joints.get_mut(&key) else { continue };
                    match joints.get(&key).filter(|node| Arc::ptr_eq(&node.joint, &running.joint)) {
                        None => running.joint.dissolve(&hard_stop).await,
                        Some(node) => {
                            let targets = node.targets.iter().map(|&place| Arc::clone(&plan[place].1));
                            running.joint.retarget(targets.collect()).await;
                            running.targets = node.targets.iter().map(|&place| plan[place].0.clone()).collect();
                        }
                    }
                }
            }
        }
    }

    /// Pipelines and connectors that run, each before those that it feeds.
    fn downstream(&self) -> Vec<Part> {
        let mut order = Vec::new();
        let mut seen = BTreeSet::new();
        for id in self.pipelines.keys() {
            self.visit(Part::Pipeline(id.clone()), &mut seen, &mut order);
        }
        for key in self.joints.keys() {
            self.visit(Part::Joint(key.clone()), &mut seen, &mut order);
        }
        order.reverse();
        order
    }

    fn visit(&self, part: Part, seen: &mut BTreeSet<Part>, order: &mut Vec<Part>) {
        if !seen.insert(part.clone()) {
            return;
        }
        let next: Vec<Part> = match &part {
            Part::Pipeline(id) => {
                let joints = self.pipelines.get(id).map(|running| running.joints.as_slice()).unwrap_or_default();
                joints.iter().cloned().map(Part::Joint).collect()
            }
            Part::Joint(key) => {
                let targets = self.joints.get(key).map(|running| running.targets.as_slice()).unwrap_or_default();
                targets.iter().cloned().map(Part::Pipeline).collect()
            }
        };
        next.into_iter().for_each(|next| self.visit(next, seen, order));
        order.push(part);
    }

    /// New exporters go on with the queues of those whose place they take; others that go drain by themselves.
    async fn exchange_branches(
        &mut self,
        new: BTreeMap<BranchKey, Arc<Branch>>,
        mut lives: BTreeMap<BranchKey, steadyline_component::receiver::ShutdownTrigger>,
        deadline: Instant,
    ) {
        let mut old = std::mem::take(&mut self.branches);
        let mut halting = Vec::new();
        let mut apart = Vec::new();
        for (key, branch) in new {
            let before = match old.remove(&key) {
                Some(running) if Arc::ptr_eq(&running.branch, &branch) => {
                    self.branches.insert(key, running);
                    continue;
                }
                Some(running) if branch.shares_queue_with(&running.branch) => Some((running.branch, running.workers)),
                other => {
                    // What waits in another place is sent from there.
                    apart.extend(other.map(|running| (key.clone(), running)));
                    self.recall(&key, &branch).await
                }
            };
            halting.push((key, branch, before));
        }
        let patience = deadline.saturating_duration_since(Instant::now());
        let halted = halting.into_iter().map(async |(key, branch, old)| {
            if let Some((old, workers)) = old {
                old.halt(workers, patience).await;
                branch.settle_in();
            }
            (key, branch)
        });
        for (key, branch) in futures_util::future::join_all(halted).await {
            let life = lives.remove(&key);
            let before = self.leaving.iter().filter(|(of, _)| *of == key);
            before.for_each(|(_, leaving)| leaving.step_aside());
            self.branches.insert(key, RunningBranch::begin(branch, life));
        }
        for (key, running) in old.into_iter().chain(apart) {
            let stands = !self.branches.contains_key(&key);
            let leaving = Leaving::begin(running, stands, self.shutdown_timeout, self.hard_stop.1.clone());
            self.leaving.push((key, leaving));
        }
    }

    /// An exporter on its way out with whose queue this one goes on, and its workers, if there is one.
    async fn recall(&mut self, key: &BranchKey, branch: &Branch) -> Option<(Arc<Branch>, JoinSet<()>)> {
        let is_it = |(of, leaving): &(BranchKey, Leaving)| of == key && branch.shares_queue_with(&leaving.branch);
        let (_, leaving) = self.leaving.remove(self.leaving.iter().position(is_it)?);
        let was = Arc::clone(&leaving.branch);
        Some((was, leaving.recall().await))
    }

    /// The timers of new pipelines and connectors run; those that are gone leave the board.
    fn begin_pipelines(
        &mut self,
        plan: &Plan,
        pipelines: Vec<PipelineNode>,
        joints: BTreeMap<JointKey, JointNode>,
        feeds: &Feeds,
    ) {
        let (board, stop, hard_stop) = (&self.shared.board, &self.timers_stop.1, &self.hard_stop.1);
        let mut old = std::mem::take(&mut self.joints);
        for (key, JointNode { joint, targets }) in joints {
            let running = match old.remove(&key) {
                Some(running) if Arc::ptr_eq(&running.joint, &joint) => running,
                _ => {
                    let task = joint_timers(board, &key, &joint, stop.clone(), hard_stop.clone());
                    RunningJoint { joint, targets: targets.iter().map(|&place| feeds[place].0.clone()).collect(), task }
                }
            };
            self.joints.insert(key, running);
        }
        old.into_values().for_each(|running| running.task.status.remove());
        let mut old = std::mem::take(&mut self.pipelines);
        for (plan, node) in plan.pipelines.iter().zip(pipelines) {
            let pipeline = node.pipeline;
            let running = match old.remove(&plan.id) {
                Some(running) if Arc::ptr_eq(&running.pipeline, &pipeline) => running,
                _ => {
                    let joints = self.joints_of(&pipeline);
                    let task = pipeline_timers(board, &pipeline, stop.clone(), hard_stop.clone());
                    RunningPipeline { pipeline, processors: plan.processors.clone(), joints, task, is_ending: false }
                }
            };
            self.pipelines.insert(plan.id.clone(), running);
        }
        old.into_values().for_each(|running| running.task.status.remove());
    }

    fn joints_of(&self, pipeline: &Pipeline) -> Vec<JointKey> {
        let has = |joint: &Arc<Joint>| pipeline.outlets().joints.iter().any(|of| Arc::ptr_eq(of, joint));
        self.joints.iter().filter(|(_, running)| has(&running.joint)).map(|(key, _)| key.clone()).collect()
    }

    /// Extensions and sinks that are not used any more close, after the exporters that are on their way out.
    fn close_the_rest(&mut self, extensions: Vec<RunningExtension>, sinks: BTreeMap<BranchKey, Arc<SinkNode>>) {
        let goes_on = |old: &RunningExtension| {
            extensions.iter().any(|new| new.id == old.id && Arc::ptr_eq(&new.extension, &old.extension))
        };
        let unused: Vec<RunningExtension> = self.extensions.drain(..).filter(|old| !goes_on(old)).collect();
        unused.iter().for_each(|old| self.retire(&old.extension));
        let old_sinks = std::mem::replace(&mut self.sinks, sinks);
        let closing: Vec<Arc<SinkNode>> =
            old_sinks.into_values().filter(|old| !self.sinks.values().any(|new| Arc::ptr_eq(new, old))).collect();
        // Whatever became of those, others stand there now.
        closing.iter().for_each(|node| node.status.remove());
        self.extensions = extensions;
        self.leaving.retain(|(_, leaving)| !leaving.is_over());
        while self.farewells.try_join_next().is_some() {}
        if unused.is_empty() && closing.is_empty() {
            return;
        }
        let leaving: Vec<_> = self.leaving.iter().map(|(_, leaving)| leaving.gone()).collect();
        self.farewells.spawn(async move {
            for node in closing.into_iter().rev() {
                within(GRACE, "an exporter", node.sink.shutdown()).await;
            }
            futures_util::future::join_all(leaving).await;
            for old in unused.into_iter().rev() {
                within(GRACE, "an extension", old.extension.shutdown()).await;
            }
        });
    }

    /// Remembers an extension that is not used any more, as long as something else still uses it.
    pub(super) fn retire(&mut self, extension: &Arc<dyn Extension>) {
        self.retired.retain(|old| old.strong_count() > 0);
        self.retired.push(Arc::downgrade(extension));
    }

    /// What there is to read of queues and budget.
    fn show(&self) {
        // One of each name.
        let leaving = self.leaving.iter().filter(|(key, _)| !self.branches.contains_key(key));
        let leaving = leaving.map(|(_, leaving)| &leaving.branch);
        let branches: Vec<Arc<Branch>> =
            self.branches.values().map(|running| &running.branch).chain(leaving).cloned().collect();
        self.shared.reading.running(&branches, &self.budget);
    }
}

/// A source that pipelines have no more.
struct Lost {
    id: ComponentId,
    pipelines: Vec<Feed>,
    /// The source said so itself, when it was stopped.
    is_told: bool,
}

/// A part of the running graph that batches pass.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Pipeline(ComponentId),
    Joint(JointKey),
}

/// Waits until a receiver that was told to stop has; one that does not is cut off.
pub(super) async fn stop_receiver(id: &ComponentId, receiver: &mut RunningReceiver, deadline: Instant) {
    receiver.task.status.set(Status::Stopping);
    // A little longer than whoever waits for room.
    let patience = deadline.saturating_duration_since(Instant::now()) + Duration::from_millis(500);
    if tokio::time::timeout(patience, receiver.task.ended()).await.is_err() {
        tracing::warn!(component = %id, "the receiver did not stop in time and is cut off");
        receiver.task.abort().await;
    }
}

/// After some patience, everybody who waits for room in front of these exporters is told to try again; until it is dropped.
struct Haste {
    branches: Vec<Arc<Branch>>,
    _alarm: JoinSet<()>,
}

impl Haste {
    fn begin(branches: Vec<Arc<Branch>>, patience: Duration) -> Haste {
        let mut alarm = JoinSet::new();
        let late = branches.clone();
        alarm.spawn(async move {
            tokio::time::sleep(patience).await;
            late.iter().for_each(|branch| branch.hurry(true));
        });
        Haste { branches, _alarm: alarm }
    }
}

impl Drop for Haste {
    fn drop(&mut self) {
        self._alarm.abort_all();
        self.branches.iter().for_each(|branch| branch.hurry(false));
    }
}
