//! Start and stop. Extensions first, then exporters, pipelines, receivers last; any failure stops what was started.
//! Stop: intake ends, processors flush, queues drain until the deadline, then everything closes in reverse.

use std::sync::Arc;
use std::time::Duration;

use steadyline_component::receiver::ShutdownTrigger;
use steadyline_component::{Board, Budget, Extension, Host, Kind, Output, Shutdown, Sink, StartError, Status};
use tokio::task::JoinSet;

use super::intake::SourceIntake;
use super::poll::PollTask;
use super::supervise::supervise;
use super::{Joint, Pipeline};
use crate::books::Account;
use crate::build::{Graph, ReceiverNode, Shared, SourceKind, component_meter};
use crate::config::MetricsTelemetry;
use crate::delivery::Branch;
use crate::telemetry::TelemetryServer;

/// A graph that runs.
pub struct Running {
    shared: Shared,
    budget: Budget,
    shutdown_timeout: Duration,
    /// Intake stops when it fires.
    stop: (ShutdownTrigger, Shutdown),
    /// Waiting for room and for answers stops when it fires.
    hard_stop: (ShutdownTrigger, Shutdown),
    extensions: Vec<Arc<dyn Extension>>,
    sinks: Vec<Arc<dyn Sink>>,
    branches: Vec<Arc<Branch>>,
    pipelines: Vec<Arc<Pipeline>>,
    joints: Vec<Arc<Joint>>,
    sources: JoinSet<()>,
    timers: JoinSet<()>,
    workers: JoinSet<()>,
    telemetry: TelemetryServer,
}

/// What a stop left behind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StopReport {
    /// Items that exporters delivered during the whole run.
    pub delivered: u64,
    /// Items that were dropped anywhere during the whole run.
    pub dropped: u64,
    /// Of these, items still in queues at the deadline.
    pub abandoned: u64,
}

impl Graph {
    /// Starts everything in order.
    ///
    /// # Errors
    /// The first component that could not start; what had started is stopped again.
    pub async fn start(self) -> Result<Running, StartError> {
        let receivers = self.receivers;
        let service = &self.plan.service;
        let total = crate::memory::budget(service.memory_budget);
        let queues: u64 = self.branches.iter().map(|branch| branch.queue.capacity()).sum();
        if queues > total / 4 * 3 {
            tracing::warn!(
                "the queues may hold {queues} bytes, more than three quarters of the memory budget of {total}"
            );
        }
        let mut running = Running {
            budget: Budget::new(total.saturating_sub(queues).max(total / 4)),
            shutdown_timeout: service.shutdown_timeout,
            stop: Shutdown::new(),
            hard_stop: Shutdown::new(),
            extensions: Vec::new(),
            sinks: Vec::new(),
            branches: Vec::new(),
            pipelines: self.pipelines,
            joints: self.joints,
            sources: JoinSet::new(),
            timers: JoinSet::new(),
            workers: JoinSet::new(),
            telemetry: TelemetryServer::default(),
            shared: self.shared,
        };
        let metrics = &self.plan.service.telemetry.metrics;
        match running.start_all(metrics, self.extensions, self.sinks, self.branches, receivers).await {
            Ok(()) => Ok(running),
            Err(error) => {
                running.stop(Duration::ZERO).await;
                Err(error)
            }
        }
    }
}

type Named<T> = Vec<(steadyline_config::ComponentId, T)>;

impl Running {
    async fn start_all(
        &mut self,
        metrics: &MetricsTelemetry,
        extensions: Named<Arc<dyn Extension>>,
        sinks: Named<Arc<dyn Sink>>,
        branches: Vec<Arc<Branch>>,
        receivers: Vec<ReceiverNode>,
    ) -> Result<(), StartError> {
        let host = self.host();
        for (id, extension) in extensions {
            extension.start(&host).await.map_err(|e| failed("extension", &id, &e))?;
            self.extensions.push(extension);
        }
        for (id, sink) in sinks {
            sink.start(&host).await.map_err(|e| failed("exporter", &id, &e))?;
            self.sinks.push(sink);
        }
        for branch in branches {
            branch.sender.start(&host).await.map_err(|e| StartError(format!("{}: {e}", branch.name)))?;
            self.spawn_branch(branch);
        }
        self.telemetry = TelemetryServer::start(metrics, &self.shared, &self.branches).await?;
        self.spawn_timers();
        for receiver in receivers {
            self.start_receiver(receiver, &host).await?;
        }
        Ok(())
    }

    fn spawn_branch(&mut self, branch: Arc<Branch>) {
        branch.status.set(Status::Ok);
        branch.spawn_workers(&mut self.workers);
        self.branches.push(branch);
    }

    fn spawn_timers(&mut self) {
        for pipeline in &self.pipelines {
            let name = format!("pipeline:{}", pipeline.name);
            let status = self.shared.board.component(&name);
            status.set(Status::Ok);
            let (stop, hard_stop) = (self.stop.1.clone(), self.hard_stop.1.clone());
            let pipeline = Arc::clone(pipeline);
            let run = async move { pipeline.run_timers(stop, hard_stop).await };
            self.timers.spawn(supervise(name, status, run));
        }
        for (index, joint) in self.joints.iter().enumerate() {
            let name = format!("connector:{index}");
            let status = self.shared.board.component(&name);
            status.set(Status::Ok);
            let (stop, hard_stop) = (self.stop.1.clone(), self.hard_stop.1.clone());
            let joint = Arc::clone(joint);
            let run = async move { joint.run_timers(stop, hard_stop).await };
            self.timers.spawn(supervise(name, status, run));
        }
    }

    async fn start_receiver(&mut self, receiver: ReceiverNode, host: &Host) -> Result<(), StartError> {
        let ReceiverNode { id, signal, source, pipelines } = receiver;
        let name = format!("receiver:{id}");
        let status = self.shared.board.component(&name);
        let account = self.shared.books.open(Kind::Receiver, id.as_str(), signal, "");
        let output = self.output(&pipelines, account);
        let stop = self.stop.1.clone();
        match source {
            SourceKind::Polled(mut polling) => {
                polling.poller.start(host).await.map_err(|e| failed("receiver", &id, &e))?;
                let meter = component_meter(&self.shared.meter, "receiver", &id);
                let clock = self.shared.clock.clone();
                let task = PollTask::new(id.as_str(), polling, output, clock, status.clone(), &meter);
                status.set(Status::Ok);
                self.sources.spawn(supervise(name, status, task.run(stop)));
            }
            SourceKind::Pushed(mut receiver) => {
                receiver.start(host).await.map_err(|e| failed("receiver", &id, &e))?;
                status.set(Status::Ok);
                let reported = status.clone();
                let run = async move {
                    if let Err(error) = receiver.run(output, stop).await {
                        tracing::error!(component = %id, "the receiver is gone: {error}");
                        reported.set(Status::Failed(error.to_string()));
                    }
                };
                self.sources.spawn(supervise(name, status, run));
            }
        }
        Ok(())
    }

    /// The output of a receiver that feeds these pipelines.
    fn output(&self, pipelines: &[usize], account: Arc<Account>) -> Output {
        let pipelines = pipelines.iter().map(|&place| Arc::clone(&self.pipelines[place])).collect();
        let hard_stop = self.hard_stop.1.clone();
        Output::new(Arc::new(SourceIntake { pipelines, account, budget: self.budget.clone(), hard_stop }))
    }

    /// What components get when they start.
    pub fn host(&self) -> Host {
        Host { clock: self.shared.clock.clone(), board: self.shared.board.clone(), shutdown: self.stop.1.clone() }
    }

    /// How all components fare.
    pub fn board(&self) -> &Board {
        &self.shared.board
    }

    /// Stops: intake, timers, queues until the configured deadline.
    pub async fn shutdown(mut self) -> StopReport {
        let timeout = self.shutdown_timeout;
        self.stop(timeout).await
    }

    async fn stop(&mut self, timeout: Duration) -> StopReport {
        let deadline = tokio::time::Instant::now() + timeout;
        self.stop.0.fire();
        let drained = tokio::time::timeout_at(deadline, self.drain()).await;
        self.hard_stop.0.fire();
        if drained.is_err() {
            tracing::warn!("not everything was delivered within the {timeout:?} of the shutdown timeout");
        }
        self.sources.shutdown().await;
        self.timers.shutdown().await;
        self.workers.shutdown().await;
        let abandoned = self.branches.iter().map(|branch| branch.abandon()).sum();
        std::mem::take(&mut self.telemetry).stop().await;
        for sink in self.sinks.drain(..).rev() {
            sink.shutdown().await;
        }
        for extension in self.extensions.drain(..).rev() {
            extension.shutdown().await;
        }
        self.report(abandoned)
    }

    async fn drain(&mut self) {
        while self.sources.join_next().await.is_some() {}
        while self.timers.join_next().await.is_some() {}
        // Once more for each connector: what one pipeline lets go may come to wait in the next.
        for _ in 0..=self.joints.len() {
            for pipeline in &self.pipelines {
                pipeline.drain(&self.hard_stop.1).await;
            }
            for joint in &self.joints {
                joint.drain(&self.hard_stop.1).await;
            }
        }
        self.branches.iter().for_each(|branch| branch.queue.close());
        while self.workers.join_next().await.is_some() {}
    }

    fn report(&self, abandoned: u64) -> StopReport {
        let mut report = StopReport { abandoned, ..StopReport::default() };
        for account in self.shared.books.read() {
            let balance = account.tally.balance();
            if account.kind == Kind::Exporter {
                report.delivered += balance.outgoing;
            }
            report.dropped += balance.dropped.values().sum::<u64>();
        }
        report
    }
}

fn failed(kind: &str, id: &steadyline_config::ComponentId, error: &StartError) -> StartError {
    StartError(format!("{kind} `{id}` could not start: {error}"))
}
