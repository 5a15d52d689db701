//! The receiver `internal`: puts the process's own metrics into a pipeline, for sidecars that nobody scrapes.
//! The numbers are those of the pull endpoint on port 8888, under the same names.
//!
//! ```yaml
//! receivers:
//!   internal:
//!     collection_interval: 60s
//! exporters:
//!   prometheusremotewrite:
//!     endpoint: http://localhost:9090/api/v1/write
//! service:
//!   telemetry:
//!     resource: {deployment.environment: prod}   # on every series' resource, and its instance if it shall have one
//!   pipelines:
//!     metrics/own:
//!       receivers: [internal]
//!       exporters: [prometheusremotewrite]
//! ```
//!
//! * Counters are cumulative sums since the start of the process, and carry that start.
//! * Nothing on a point changes at a restart or an upgrade: no version, no random instance. Several processes that write
//!   to one backend are told apart by `service.telemetry.resource`, such as `service.instance.id: ${env:HOSTNAME}`.
//! * What the receiver itself brings in is counted as well; the reading of one pass has everything up to its tick.

mod config;

use std::sync::Arc;
use std::time::Duration;

use steadyline_component::factory::Component;
use steadyline_component::telemetry::Signal;
use steadyline_component::{
    CreateContext, Factory, OwnMetrics, PassEnd, PollError, PollOutput, Poller, Polling, Spec, Stability, Tick,
    async_trait,
};

pub use config::InternalConfig;

/// The factory.
pub const FACTORY: Factory = Factory::poller::<InternalFactory>();

/// Makes `internal` receivers.
#[derive(Debug)]
pub struct InternalFactory;

impl Component for InternalFactory {
    type Config = InternalConfig;
    type Made = Polling;
    const SPEC: Spec = Spec {
        name: "internal",
        aliases: &[],
        stability: Stability::Beta,
        signals: &[Signal::Metrics],
        summary: "Puts the process's own metrics into a pipeline.",
        unsupported: &[],
    };

    fn create(config: InternalConfig, context: &mut CreateContext<'_>) -> Option<Polling> {
        if config.collection_interval.get() < Duration::from_secs(1) {
            context.error("collection_interval", "expected at least 1s");
            return None;
        }
        let own = Arc::clone(context.own_metrics);
        Some(Polling {
            poller: Box::new(Internal(own)),
            schedule: config.schedule(),
            identity: Arc::default(),
            leadership: None,
        })
    }
}

struct Internal(Arc<dyn OwnMetrics>);

#[async_trait]
impl Poller for Internal {
    async fn poll(&mut self, tick: &Tick, output: &PollOutput) -> Result<PassEnd, PollError> {
        output.send(self.0.read(tick.time)).await?;
        Ok(PassEnd::Complete)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is the failure it reports")]

    use steadyline_component::testkit::{TestIntake, create, render};
    use steadyline_component::{Header, Shutdown};

    use super::*;

    #[tokio::test]
    async fn a_pass_is_one_reading_at_its_tick() {
        let mut polling = create::<InternalFactory>("collection_interval: 10s").unwrap();
        assert_eq!(polling.schedule.interval, Duration::from_secs(10));
        let intake = TestIntake::new(1 << 20);
        let output = intake.outputs(&[Signal::Metrics]).of(Signal::Metrics).unwrap().clone();
        let output = PollOutput::new(output, Header::default());
        let (_trigger, shutdown) = Shutdown::new();
        let time = 1_000_000_000_000;
        let tick = Tick { epoch: 1, time, deadline: Duration::from_secs(60), last_complete: None, shutdown };
        assert_eq!(polling.poller.poll(&tick, &output).await.unwrap(), PassEnd::Complete);
        let batches = intake.take();
        let lines: Vec<String> = batches.iter().filter_map(|batch| batch.as_metrics()).flat_map(render).collect();
        assert_eq!(lines, ["counter own_items 1 @1000"]);
    }

    #[test]
    fn bad_config_is_refused_in_words() {
        let wrong = |yaml: &str| create::<InternalFactory>(yaml).err().unwrap();
        assert!(wrong("collection_interval: 10ms").contains("at least 1s"));
        assert!(wrong("interval: 10s").contains("collection_interval"));
    }
}
