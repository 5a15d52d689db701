//! The running graph. Start: extensions first, then exporters, pipelines, receivers last; any failure stops what was started.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use steadyline_component::receiver::ShutdownTrigger;
use steadyline_component::{
    Board, Budget, Clock, Extension, Host, Kind, Output, Outputs, Shutdown, StartError, Status,
};
use steadyline_config::{ComponentId, Node};
use steadyline_telemetry::Signal;
use tokio::task::JoinSet;

use super::intake::{Feeds, SourceIntake, UnderWay};
use super::leaving::Leaving;
use super::outlets::SinkNode;
use super::parts::{RunningBranch, RunningExtension, RunningJoint, RunningPipeline, RunningReceiver, Task};
use super::poll::PollTask;
use super::progress::Progress;
use super::starting::Started;
use crate::build::{BranchKey, Graph, JointKey, ReceiverNode, Records, Shared, SourceKind, component_meter};
use crate::config::TelemetryConfig;
use crate::telemetry::Telemetry;

/// A graph that runs.
pub struct Running {
    pub(super) shared: Shared,
    /// The config that runs.
    pub(super) root: Node,
    pub(super) records: Records,
    pub(super) budget: Budget,
    pub(super) shutdown_timeout: Duration,
    /// Intake stops when it fires.
    pub(super) stop: (ShutdownTrigger, Shutdown),
    /// Timers stop when it fires, after intake: somebody may wait for what a timer lets go.
    pub(super) timers_stop: (ShutdownTrigger, Shutdown),
    /// Waiting for room and for answers stops when it fires.
    pub(super) hard_stop: (ShutdownTrigger, Shutdown),
    /// In the order in which they were started.
    pub(super) extensions: Vec<RunningExtension>,
    pub(super) sinks: BTreeMap<BranchKey, Arc<SinkNode>>,
    pub(super) branches: BTreeMap<BranchKey, RunningBranch>,
    pub(super) pipelines: BTreeMap<ComponentId, RunningPipeline>,
    pub(super) joints: BTreeMap<JointKey, RunningJoint>,
    pub(super) receivers: BTreeMap<ComponentId, RunningReceiver>,
    /// Exporters that a reload took away and that still have something to send.
    pub(super) leaving: Vec<(BranchKey, Leaving)>,
    /// Extensions and sinks that close when the exporters that left with them have.
    pub(super) farewells: JoinSet<()>,
    /// Extensions that reloads took away, while something of theirs is still in use.
    pub(super) retired: Vec<Weak<dyn Extension>>,
    /// How far each polled source got, whether it runs or did.
    pub(super) progress: BTreeMap<ComponentId, Arc<Progress>>,
    pub(super) under_way: UnderWay,
    /// Pipelines of which the processors keep their state, at the end.
    pub(super) keeping: JoinSet<()>,
    pub(super) clock_watch: JoinSet<()>,
    pub(super) telemetry_config: TelemetryConfig,
    pub(super) telemetry: Telemetry,
}

impl Graph {
    /// Starts everything in order.
    ///
    /// # Errors
    /// The first component that could not start; what had started is stopped again.
    pub async fn start(mut self) -> Result<Running, StartError> {
        let mut running = Running::nothing(&self);
        let mut started = Started::default();
        match running.begin(&mut self, &mut started).await {
            Ok(()) => {
                running.swap(self, started).await;
                running.watch_clock();
                Ok(running)
            }
            Err(error) => {
                started.undo().await;
                running.stop(Duration::ZERO).await;
                Err(error)
            }
        }
    }
}

impl Running {
    /// The surroundings of a graph, in which nothing runs yet.
    fn nothing(graph: &Graph) -> Running {
        Running {
            shared: graph.shared.clone(),
            root: graph.root.clone(),
            records: Records::new(),
            budget: Budget::new(crate::memory::budget(graph.plan.service.memory_budget, graph.memory_bound)),
            shutdown_timeout: graph.plan.service.shutdown_timeout,
            stop: Shutdown::new(),
            timers_stop: Shutdown::new(),
            hard_stop: Shutdown::new(),
            extensions: Vec::new(),
            sinks: BTreeMap::new(),
            branches: BTreeMap::new(),
            pipelines: BTreeMap::new(),
            joints: BTreeMap::new(),
            receivers: BTreeMap::new(),
            leaving: Vec::new(),
            farewells: JoinSet::new(),
            retired: Vec::new(),
            progress: BTreeMap::new(),
            under_way: UnderWay::new(),
            keeping: JoinSet::new(),
            clock_watch: JoinSet::new(),
            telemetry_config: graph.plan.service.telemetry.clone(),
            telemetry: Telemetry::default(),
        }
    }

    async fn begin(&mut self, graph: &mut Graph, started: &mut Started) -> Result<(), StartError> {
        started.outer(self, graph).await?;
        self.telemetry = Telemetry::start(&self.telemetry_config, &self.shared).await?;
        started.inner(self, graph).await
    }

    fn watch_clock(&mut self) {
        self.clock_watch.spawn(watch_wall_clock(self.shared.clock.clone(), self.timers_stop.1.clone()));
    }

    /// Lets a receiver that was started run, behind these feeds.
    pub(super) fn run_receiver(&mut self, node: ReceiverNode, plan: &[(ComponentId, Feed)]) {
        let ReceiverNode { id, source, feeds } = node;
        let name = format!("receiver:{id}");
        let (trigger, stop) = Shutdown::new();
        let pipelines = |places: &[usize]| places.iter().map(|&place| Arc::clone(&plan[place].1)).collect();
        let ids = |places: &[usize]| places.iter().map(|&place| plan[place].0.clone()).collect();
        let intakes: BTreeMap<Signal, Arc<SourceIntake>> =
            feeds.iter().map(|(signal, places)| (*signal, self.intake(&id, *signal, pipelines(places)))).collect();
        let outputs = intakes.iter().map(|(signal, intake)| (*signal, Output::new(intake.clone())));
        let outputs = Outputs::new(outputs);
        let status = self.shared.board.place(&name);
        let board = &self.shared.board;
        let is_polled = matches!(source, SourceKind::Polled(_));
        let task = match source {
            SourceKind::Polled(polling) => {
                let meter = component_meter(&self.shared.meter, "receiver", &id);
                let progress = Arc::clone(self.progress.entry(id.clone()).or_default());
                let poll = PollTask::new(id.as_str(), polling, outputs, self.shared.clock.clone(), status, &meter)
                    .resuming(progress)
                    .traced(self.shared.traces.clone());
                Task::spawn(board, name, poll.run(stop))
            }
            SourceKind::Pushed(receiver) => {
                let of = id.clone();
                let run = async move {
                    match receiver.run(outputs, stop.clone()).await {
                        Ok(()) if stop.fired() => {}
                        Ok(()) => status.set(Status::Failed("it ended by itself".into())),
                        Err(error) => {
                            tracing::error!(component = %of, "the receiver is gone: {error}");
                            status.set(Status::Failed(error.to_string()));
                        }
                    }
                };
                Task::spawn(board, name, run)
            }
            SourceKind::Running => return,
        };
        let feeds = feeds.iter().map(|(signal, places)| (*signal, ids(places))).collect();
        self.receivers.insert(id, RunningReceiver { feeds, intakes, stop: trigger, is_polled, task });
    }

    /// The intake of a receiver that feeds these pipelines.
    pub(super) fn intake(&self, id: &ComponentId, signal: Signal, pipelines: Vec<Feed>) -> Arc<SourceIntake> {
        let account = self.shared.books.open(Kind::Receiver, id.as_str(), signal, "");
        let (hard_stop, under_way) = (self.hard_stop.1.clone(), self.under_way.clone());
        let (budget, traces) = (self.budget.clone(), self.shared.traces.clone());
        Arc::new(SourceIntake { feeds: Feeds::new(pipelines), account, budget, hard_stop, under_way, traces })
    }

    /// What components get when they start.
    pub fn host(&self) -> Host {
        Host { clock: self.shared.clock.clone(), board: self.shared.board.clone(), shutdown: self.stop.1.clone() }
    }

    /// What shows and sends the process's own telemetry.
    pub fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    /// How the process itself is watched, as far as it follows reloads.
    pub fn telemetry_config(&self) -> &TelemetryConfig {
        &self.telemetry_config
    }

    /// How all components fare.
    pub fn board(&self) -> &Board {
        &self.shared.board
    }

    /// Bytes of data that may be in flight beside those in queues.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }
}

/// A pipeline as its sources see it.
pub(super) type Feed = Arc<super::Pipeline>;

/// Steps of the wall clock take effect, and are told, also where nothing is polled.
async fn watch_wall_clock(clock: Clock, stop: Shutdown) {
    loop {
        tokio::select! {
            () = stop.wait() => return,
            () = clock.sleep(Duration::from_secs(10)) => {}
        }
        if let Some(nanos) = clock.take_step() {
            tracing::warn!(
                "the wall clock stepped by {:.3} s; timestamps go on from there, and no series goes backwards",
                nanos as f64 / 1e9
            );
        }
    }
}
