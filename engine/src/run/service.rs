//! Start and stop. Extensions first, then exporters, pipelines, receivers last; any failure stops what was started.
//! Stop: intake ends, processors flush, queues drain until the deadline, then everything closes in reverse.

use std::sync::Arc;
use std::time::Duration;

use steadyline_component::exporter::QueueConfig;
use steadyline_component::receiver::ShutdownTrigger;
use steadyline_component::{
    Board, Budget, Clock, ComponentStatus, Extension, Host, Kind, Output, Outputs, Shutdown, Sink, StartError, Status,
};
use tokio::task::JoinSet;

use super::intake::{SourceIntake, UnderWay};
use super::poll::PollTask;
use super::supervise::supervise;
use super::{Joint, Pipeline};
use crate::books::Account;
use crate::build::{ExtensionNode, Graph, ReceiverNode, Shared, SourceKind, component_meter};
use crate::config::TelemetryConfig;
use crate::delivery::Branch;
use crate::telemetry::Telemetry;

/// A graph that runs.
pub struct Running {
    shared: Shared,
    budget: Budget,
    shutdown_timeout: Duration,
    /// Intake stops when it fires.
    stop: (ShutdownTrigger, Shutdown),
    /// Timers stop when it fires, after intake: somebody may wait for what a timer lets go.
    timers_stop: (ShutdownTrigger, Shutdown),
    /// Waiting for room and for answers stops when it fires.
    hard_stop: (ShutdownTrigger, Shutdown),
    extensions: Vec<Arc<dyn Extension>>,
    sinks: Vec<Arc<dyn Sink>>,
    branches: Vec<Arc<Branch>>,
    pipelines: Vec<Arc<Pipeline>>,
    joints: Vec<Arc<Joint>>,
    under_way: UnderWay,
    stopping: Vec<ComponentStatus>,
    sources: JoinSet<()>,
    timers: JoinSet<()>,
    workers: JoinSet<()>,
    telemetry: Telemetry,
}

/// What a stop left behind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StopReport {
    /// Items that exporters delivered during the whole run.
    pub delivered: u64,
    /// Items that were dropped anywhere during the whole run.
    pub dropped: u64,
    /// Items that are on disk and go on after the next start.
    pub kept: u64,
    /// Of those dropped, items still in queues at the deadline.
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
        let queues = fit_queues(&self.branches, total);
        let mut running = Running {
            budget: Budget::new(total.saturating_sub(queues).max(total / 4)),
            shutdown_timeout: service.shutdown_timeout,
            stop: Shutdown::new(),
            timers_stop: Shutdown::new(),
            under_way: UnderWay::new(),
            stopping: Vec::new(),
            hard_stop: Shutdown::new(),
            extensions: Vec::new(),
            sinks: Vec::new(),
            branches: Vec::new(),
            pipelines: self.pipelines,
            joints: self.joints,
            sources: JoinSet::new(),
            timers: JoinSet::new(),
            workers: JoinSet::new(),
            telemetry: Telemetry::default(),
            shared: self.shared,
        };
        let telemetry = &self.plan.service.telemetry;
        match running.start_all(telemetry, self.extensions, self.sinks, self.branches, receivers).await {
            Ok(()) => Ok(running),
            Err(error) => {
                running.stop(Duration::ZERO).await;
                Err(error)
            }
        }
    }
}

/// Makes the queues fit three quarters of the memory budget and says how much they may hold together.
/// A size that config names is left as it is, and told of if it does not fit.
fn fit_queues(branches: &[Arc<Branch>], total: u64) -> u64 {
    let sum = |branches: &[Arc<Branch>]| branches.iter().map(|branch| branch.queue.memory_capacity()).sum::<u64>();
    let limit = total / 4 * 3;
    let standard = QueueConfig::default().queue_size.as_usize() as u64;
    let flexible: Vec<&Arc<Branch>> =
        branches.iter().filter(|b| !b.queue.has_disk() && b.queue.capacity() == standard).collect();
    let fixed = sum(branches) - standard * flexible.len() as u64;
    if sum(branches) > limit && !flexible.is_empty() {
        let each = (limit.saturating_sub(fixed) / flexible.len() as u64).max(1 << 20);
        flexible.iter().for_each(|branch| branch.queue.set_capacity(each));
        tracing::info!(
            bytes = each,
            "queues of the default size are smaller, to fit the memory budget of {total} bytes"
        );
    }
    if sum(branches) > limit {
        tracing::warn!(
            "the queues may hold {} bytes, more than three quarters of the memory budget of {total}",
            sum(branches)
        );
    }
    sum(branches)
}

type Named<T> = Vec<(steadyline_config::ComponentId, T)>;

impl Running {
    async fn start_all(
        &mut self,
        telemetry: &TelemetryConfig,
        extensions: Vec<ExtensionNode>,
        sinks: Named<Arc<dyn Sink>>,
        branches: Vec<Arc<Branch>>,
        receivers: Vec<ReceiverNode>,
    ) -> Result<(), StartError> {
        let host = self.host();
        for ExtensionNode { id, extension, .. } in extensions {
            extension.start(&host).await.map_err(|e| failed("extension", &id, &e))?;
            self.extensions.push(extension);
        }
        for (id, sink) in sinks {
            sink.start(&host).await.map_err(|e| failed("exporter", &id, &e))?;
            self.sinks.push(sink);
        }
        for branch in branches {
            branch.open().await?;
            branch.sender.start(&host).await.map_err(|e| StartError(format!("{}: {e}", branch.name)))?;
            self.spawn_branch(branch);
        }
        self.shared.reading.running(&self.branches, &self.budget);
        self.telemetry = Telemetry::start(telemetry, &self.shared).await?;
        // Together: one that asks somebody who does not answer must not keep the others waiting.
        futures_util::future::try_join_all(self.pipelines.iter().map(|pipeline| pipeline.start(&host))).await?;
        self.spawn_timers();
        // Nobody takes anything in before everybody could start.
        let mut started = Vec::new();
        for mut receiver in receivers {
            start_receiver(&mut receiver, &host).await?;
            started.push(receiver);
        }
        for receiver in started {
            self.run_receiver(receiver);
        }
        self.timers.spawn(watch_wall_clock(self.shared.clock.clone(), self.timers_stop.1.clone()));
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
            self.stopping.push(status.clone());
            let (stop, hard_stop) = (self.timers_stop.1.clone(), self.hard_stop.1.clone());
            let pipeline = Arc::clone(pipeline);
            let run = async move { pipeline.run_timers(stop, hard_stop).await };
            self.timers.spawn(supervise(name, status, run));
        }
        for (index, joint) in self.joints.iter().enumerate() {
            let name = format!("connector:{index}");
            let status = self.shared.board.component(&name);
            status.set(Status::Ok);
            self.stopping.push(status.clone());
            let (stop, hard_stop) = (self.timers_stop.1.clone(), self.hard_stop.1.clone());
            let joint = Arc::clone(joint);
            let run = async move { joint.run_timers(stop, hard_stop).await };
            self.timers.spawn(supervise(name, status, run));
        }
    }

    fn run_receiver(&mut self, receiver: ReceiverNode) {
        let ReceiverNode { id, source, feeds } = receiver;
        let name = format!("receiver:{id}");
        let status = self.shared.board.component(&name);
        let outputs = feeds.iter().map(|(signal, pipelines)| {
            let account = self.shared.books.open(Kind::Receiver, id.as_str(), *signal, "");
            (*signal, self.output(pipelines, account))
        });
        let outputs = Outputs::new(outputs);
        let stop = self.stop.1.clone();
        status.set(Status::Ok);
        match source {
            SourceKind::Polled(polling) => {
                let meter = component_meter(&self.shared.meter, "receiver", &id);
                let clock = self.shared.clock.clone();
                let task = PollTask::new(id.as_str(), polling, outputs, clock, status.clone(), &meter)
                    .traced(self.shared.traces.clone());
                self.sources.spawn(supervise(name, status, task.run(stop)));
            }
            SourceKind::Pushed(receiver) => {
                let reported = status.clone();
                let run = async move {
                    match receiver.run(outputs, stop.clone()).await {
                        Ok(()) if stop.fired() => {}
                        Ok(()) => reported.set(Status::Failed("it ended by itself".into())),
                        Err(error) => {
                            tracing::error!(component = %id, "the receiver is gone: {error}");
                            reported.set(Status::Failed(error.to_string()));
                        }
                    }
                };
                self.sources.spawn(supervise(name, status, run));
            }
        }
    }

    /// The output of a receiver that feeds these pipelines.
    fn output(&self, pipelines: &[usize], account: Arc<Account>) -> Output {
        let pipelines = pipelines.iter().map(|&place| Arc::clone(&self.pipelines[place])).collect();
        let (hard_stop, under_way) = (self.hard_stop.1.clone(), self.under_way.clone());
        let (budget, traces) = (self.budget.clone(), self.shared.traces.clone());
        Output::new(Arc::new(SourceIntake { pipelines, account, budget, hard_stop, under_way, traces }))
    }

    /// What components get when they start.
    pub fn host(&self) -> Host {
        Host { clock: self.shared.clock.clone(), board: self.shared.board.clone(), shutdown: self.stop.1.clone() }
    }

    /// What shows and sends the process's own telemetry.
    pub fn telemetry(&self) -> &Telemetry {
        &self.telemetry
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
        self.stopping.iter().for_each(|status| status.set(Status::Stopping));
        self.stop.0.fire();
        // At the deadline all waiting ends by itself, and what was not taken is counted where it waited.
        let hard_stop = self.hard_stop.0.clone();
        let alarm = tokio::spawn(async move {
            tokio::time::sleep(timeout).await;
            hard_stop.fire();
        });
        let drained = tokio::time::timeout(timeout + GRACE, self.drain(timeout / 2)).await;
        alarm.abort();
        if (drained.is_err() || self.hard_stop.1.fired()) && !timeout.is_zero() {
            tracing::warn!("not everything was delivered within the {timeout:?} of the shutdown timeout");
        }
        self.hard_stop.0.fire();
        self.sources.shutdown().await;
        self.timers.shutdown().await;
        self.workers.shutdown().await;
        self.branches.iter().for_each(|branch| branch.queue.close());
        let away = futures_util::future::join_all(self.branches.iter().map(|branch| branch.put_away())).await;
        let abandoned = away.iter().map(|away| away.lost).sum();
        let kept = away.iter().map(|away| away.kept).sum();
        for sink in self.sinks.drain(..).rev() {
            within(GRACE, "an exporter", sink.shutdown()).await;
        }
        for extension in self.extensions.drain(..).rev() {
            within(GRACE, "an extension", extension.shutdown()).await;
        }
        // Last, so that it tells how everything ended.
        std::mem::take(&mut self.telemetry).stop().await;
        self.report(abandoned, kept)
    }

    async fn drain(&mut self, patience: Duration) {
        // What waits for a stuck exporter must not keep the others from draining: half of the time, then they begin.
        let intake = async {
            while self.sources.join_next().await.is_some() {}
            self.under_way.none().await;
        };
        let _ = tokio::time::timeout(patience, intake).await;
        self.timers_stop.0.fire();
        while self.timers.join_next().await.is_some() {}
        // Once more for each connector: what one pipeline lets go may come to wait in the next.
        for _ in 0..=self.joints.len() {
            let hard_stop = &self.hard_stop.1;
            futures_util::future::join_all(self.pipelines.iter().map(|pipeline| pipeline.drain(hard_stop))).await;
            futures_util::future::join_all(self.joints.iter().map(|joint| joint.drain(hard_stop))).await;
        }
        self.branches.iter().for_each(|branch| branch.queue.close());
        let workers = async { while self.workers.join_next().await.is_some() {} };
        tokio::select! {
            () = workers => {}
            () = self.hard_stop.1.wait() => {}
        }
    }

    fn report(&self, abandoned: u64, kept: u64) -> StopReport {
        let mut report = StopReport { abandoned, kept, ..StopReport::default() };
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

async fn start_receiver(receiver: &mut ReceiverNode, host: &Host) -> Result<(), StartError> {
    let started = match &mut receiver.source {
        SourceKind::Polled(polling) => polling.poller.start(host).await,
        SourceKind::Pushed(receiver) => receiver.start(host).await,
    };
    started.map_err(|error| failed("receiver", &receiver.id, &error))
}

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

async fn within(limit: Duration, what: &str, closing: impl Future<Output = ()>) {
    if tokio::time::timeout(limit, closing).await.is_err() {
        tracing::warn!("{what} did not close within {limit:?} and is left behind");
    }
}

/// How long the counting and closing after the deadline may take.
const GRACE: Duration = Duration::from_secs(2);

fn failed(kind: &str, id: &steadyline_config::ComponentId, error: &StartError) -> StartError {
    StartError(format!("{kind} `{id}` could not start: {error}"))
}
