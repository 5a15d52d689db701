//! The process's own metrics on their way out at intervals. A backend that does not take them costs a log line and
//! nothing else: what was not sent is in the next sending, for sums go on counting.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry_otlp::MetricExporter;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use steadyline_component::receiver::ShutdownTrigger;
use steadyline_component::{Clock, Shutdown, StartError};
use tokio::task::JoinHandle;

use super::otlp;
use super::sdk::Collector;
use crate::config::PeriodicReader;
use crate::gate::LogGate;

/// A task that sends own metrics.
#[derive(Debug)]
pub(super) struct Pusher {
    task: JoinHandle<()>,
    stop: ShutdownTrigger,
}

impl Pusher {
    /// Begins to send. Needs a tokio runtime around it.
    ///
    /// # Errors
    /// The exporter cannot be made.
    pub(super) fn start(
        config: &PeriodicReader,
        collector: &Arc<Collector>,
        clock: &Clock,
    ) -> Result<Pusher, StartError> {
        let exporter = otlp::metrics(&config.exporter.otlp, clock)?;
        let (stop, stopped) = Shutdown::new();
        let sending = Sending {
            exporter,
            collector: Arc::clone(collector),
            endpoint: config.exporter.otlp.endpoint.clone(),
            timeout: config.timeout.get(),
            gate: LogGate::new(Duration::from_secs(300)),
        };
        let task = tokio::spawn(sending.run(config.interval.get(), stopped));
        Ok(Pusher { task, stop })
    }

    /// Sends once more, for at most `limit`.
    pub(super) async fn stop(mut self, limit: Duration) {
        self.stop.fire();
        if tokio::time::timeout(limit, &mut self.task).await.is_err() {
            tracing::warn!("the last of the own metrics could not be sent within {limit:?}");
            self.task.abort();
        }
    }
}

struct Sending {
    exporter: MetricExporter,
    collector: Arc<Collector>,
    endpoint: String,
    timeout: Duration,
    gate: LogGate,
}

impl Sending {
    async fn run(self, interval: Duration, stop: Shutdown) {
        loop {
            tokio::select! {
                () = stop.wait() => break,
                () = tokio::time::sleep(interval) => {}
            }
            tokio::select! {
                () = stop.wait() => break,
                () = self.send() => {}
            }
        }
        self.send().await;
    }

    async fn send(&self) {
        let Ok(collected) = self.collector.collect() else { return };
        let words = match tokio::time::timeout(self.timeout, self.exporter.export(&collected)).await {
            Ok(Ok(())) => return self.gate.reset(),
            Ok(Err(error)) => otlp::words(&error),
            Err(_) => format!("no answer within {:?}", self.timeout),
        };
        if let Some(more) = self.gate.pass() {
            let endpoint = &self.endpoint;
            tracing::warn!(
                endpoint,
                suppressed = more,
                "own metrics could not be sent, data is not concerned: {words}"
            );
        }
    }
}
