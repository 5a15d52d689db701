//! Stop: intake ends, processors flush, queues drain until the deadline, then everything closes in reverse.

use std::sync::Arc;
use std::time::Duration;

use steadyline_component::{Kind, Status};

use super::leaving::KEPT;
use super::service::Running;
use crate::delivery::PutAway;

/// What a stop left behind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StopReport {
    /// Items that exporters delivered during the whole run.
    pub delivered: u64,
    /// Items that wait on disk for the next start.
    pub kept: u64,
    /// Items that were dropped anywhere during the whole run.
    pub dropped: u64,
    /// Of these, items still in queues at the deadline.
    pub abandoned: u64,
}

impl Running {
    /// Stops: intake, timers, queues until the configured deadline.
    pub async fn shutdown(mut self) -> StopReport {
        let timeout = self.shutdown_timeout;
        self.stop(timeout).await
    }

    pub(super) async fn stop(&mut self, timeout: Duration) -> StopReport {
        self.tell_that_it_stops();
        self.stop.0.fire();
        self.receivers.values().for_each(|receiver| receiver.stop.fire());
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
        // Whoever waited for room counts what it had; what waits for something else is cut off, and counted, too.
        if tokio::time::timeout(A_MOMENT, self.under_way.none()).await.is_err() {
            self.under_way.cut_off();
            let _ = tokio::time::timeout(A_MOMENT, self.under_way.none()).await;
        }
        self.abort_tasks().await;
        self.begin_keeping();
        let kept = async { while self.keeping.join_next().await.is_some() {} };
        within(GRACE, "the state of a processor", kept).await;
        let away = self.branches.values().map(|running| running.branch.put_away());
        let away = futures_util::future::join_all(away).await;
        let mut left = PutAway::default();
        away.into_iter().for_each(|away| left.add(away));
        for (_, leaving) in std::mem::take(&mut self.leaving) {
            left.add(leaving.ended().await);
        }
        let farewells = async { while self.farewells.join_next().await.is_some() {} };
        within(GRACE, "what a reload took away", farewells).await;
        for node in std::mem::take(&mut self.sinks).into_values().rev() {
            within(GRACE, "an exporter", node.sink.shutdown()).await;
        }
        for running in self.extensions.drain(..).rev() {
            within(GRACE, "an extension", running.extension.shutdown()).await;
        }
        // Last, so that it tells how everything ended.
        std::mem::take(&mut self.telemetry).stop().await;
        self.report(left)
    }

    fn tell_that_it_stops(&self) {
        let pipelines = self.pipelines.values().map(|running| &running.task);
        for task in pipelines.chain(self.joints.values().map(|running| &running.task)) {
            task.status.set(Status::Stopping);
        }
    }

    async fn abort_tasks(&mut self) {
        let receivers = self.receivers.values_mut().map(|running| &mut running.task);
        let pipelines = self.pipelines.values_mut().map(|running| &mut running.task);
        let joints = self.joints.values_mut().map(|running| &mut running.task);
        for task in receivers.chain(pipelines).chain(joints) {
            task.abort().await;
        }
        self.clock_watch.shutdown().await;
        for running in self.branches.values_mut() {
            running.workers.shutdown().await;
        }
    }

    async fn drain(&mut self, patience: Duration) {
        // What waits for a stuck exporter must not keep the others from draining: half of the time, then they begin.
        let intake = async {
            for receiver in self.receivers.values_mut() {
                receiver.task.ended().await;
            }
            self.under_way.none().await;
        };
        let _ = tokio::time::timeout(patience, intake).await;
        self.timers_stop.0.fire();
        for running in self.pipelines.values_mut() {
            running.task.ended().await;
        }
        for running in self.joints.values_mut() {
            running.task.ended().await;
        }
        // Once more for each connector: what one pipeline lets go may come to wait in the next.
        for _ in 0..=self.joints.len() {
            let hard_stop = &self.hard_stop.1;
            let pipelines = self.pipelines.values().map(|running| running.pipeline.drain(hard_stop));
            futures_util::future::join_all(pipelines).await;
            futures_util::future::join_all(self.joints.values().map(|running| running.joint.drain(hard_stop))).await;
        }
        self.begin_keeping();
        self.branches.values().for_each(|running| running.branch.queue.close());
        let (branches, leaving, keeping) = (&mut self.branches, &mut self.leaving, &mut self.keeping);
        let workers = async {
            for running in branches.values_mut() {
                while running.workers.join_next().await.is_some() {}
            }
            for (_, leaving) in leaving.iter_mut() {
                leaving.drained().await;
            }
            while keeping.join_next().await.is_some() {}
        };
        tokio::select! {
            () = workers => {}
            () = self.hard_stop.1.wait() => {}
        }
    }

    /// Pipelines close and keep their state, each for itself; once.
    fn begin_keeping(&mut self) {
        for running in self.pipelines.values_mut() {
            if std::mem::replace(&mut running.is_ending, true) {
                continue;
            }
            let (pipeline, hard_stop) = (Arc::clone(&running.pipeline), self.hard_stop.1.clone());
            self.keeping.spawn(async move { pipeline.end(&hard_stop).await });
        }
    }

    pub(super) fn report(&self, left: PutAway) -> StopReport {
        let mut report = StopReport { abandoned: left.lost, kept: left.kept, ..StopReport::default() };
        for account in self.shared.books.read() {
            let balance = account.tally.balance();
            if account.kind == Kind::Exporter {
                report.delivered += balance.outgoing;
            }
            let lost = balance.dropped.iter().filter(|(reason, _)| *reason != KEPT);
            report.dropped += lost.map(|(_, items)| items).sum::<u64>();
        }
        report
    }
}

/// Waits for something that closes, and leaves it behind if it does not in time.
pub(super) async fn within(limit: Duration, what: &str, closing: impl Future<Output = ()>) {
    if tokio::time::timeout(limit, closing).await.is_err() {
        tracing::warn!("{what} did not close within {limit:?} and is left behind");
    }
}

/// What only has to learn that the time is up does so within this.
const A_MOMENT: Duration = Duration::from_millis(500);

/// How long the counting and closing after the deadline may take.
pub(super) const GRACE: Duration = Duration::from_secs(2);
