//! The `failover` connector: gives everything to the first of several levels of pipelines that works.
//!
//! ```yaml fragment
//! connectors:
//!   failover:
//!     priority_levels:
//!     - [traces/first, traces/also_first]
//!     - [traces/second]
//!     retry_interval: 5m
//! service:
//!   pipelines:
//!     traces:            {receivers: [otlp], exporters: [failover]}
//!     traces/first:      {receivers: [failover], exporters: [otlp/first]}
//!     traces/also_first: {receivers: [failover], exporters: [otlp/copy]}
//!     traces/second:     {receivers: [failover], exporters: [otlp/second]}
//! ```
//!
//! Each pipeline of a level gets everything. A pipeline is down when an exporter at its end cannot take data: its queue is
//! full, or its backend has taken nothing for 10 s though it was asked, and something waits for it. A level is down when
//! one of its pipelines is. Data goes to the first level that is not; once a level was found down, data comes back to it
//! when `retry_interval` has passed and it works again, or at once if no other level works.
//!
//! Nothing is lost over it. When no level works, data waits in the queues of the first one that has room; when none has,
//! the source waits, or its sender is told to try again. What an exporter of a level that was left still holds stays in its
//! queue and may arrive later: after a failure, each backend has a part of the data that the others have not.
//!
//! Unlike in the Collector, a level need not be tried with data to know whether it works: an exporter sends what waits in
//! its queue by itself. So there is no `retry_gap` between levels, and no number of tries after which a level is given up.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod config;
mod levels;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use steadyline_component::factory::Component;
use steadyline_component::telemetry::Signal;
use steadyline_component::{
    Batch, Connector, CreateContext, Factory, Instrument, Now, Outlook, Router, Spec, Stability, Work,
};
use steadyline_config::ComponentId;

pub use config::FailoverConfig;
use levels::{Choice, Levels};

/// The factory of the `failover` connector.
pub const FACTORY: Factory = Factory::connector::<FailoverFactory>(&[
    (Signal::Metrics, Signal::Metrics),
    (Signal::Traces, Signal::Traces),
    (Signal::Logs, Signal::Logs),
]);

/// Makes `failover` connectors.
#[derive(Debug)]
pub struct FailoverFactory;

impl Component for FailoverFactory {
    type Config = FailoverConfig;
    type Made = Box<dyn Connector>;
    const SPEC: Spec = Spec {
        name: "failover",
        aliases: &[],
        stability: Stability::Beta,
        signals: &[],
        summary: "gives everything to the first of several levels of pipelines that works",
        unsupported: &[(
            "sending_queue",
            "there is one queue, at each exporter; set `sending_queue` there. What waits in that of a level that was left is \
             sent when its backend works again",
        )],
    };

    fn create(config: FailoverConfig, context: &mut CreateContext<'_>) -> Option<Box<dyn Connector>> {
        let levels = config.levels(context)?;
        let help = "The level of the failover connector that data goes to; 1 is the first.";
        let gauge = context.meter.gauge("connector_failover_level", help, &[("signal", context.signal.name())]);
        gauge.set(1.0);
        let id = context.id.to_string();
        Some(Box::new(Failover { id, levels: Levels::new(levels, config.retry_interval.into()), gauge, at: 0 }))
    }
}

struct Failover {
    id: String,
    levels: Levels,
    gauge: Arc<Instrument>,
    /// The level that data went to last.
    at: usize,
}

impl Connector for Failover {
    fn process(&mut self, batch: Batch, work: &mut Work<'_>) {
        work.emit(batch);
    }

    fn as_router(&mut self) -> Option<&mut dyn Router> {
        Some(self)
    }
}

impl Router for Failover {
    fn route(&mut self, now: Now, outlook: &dyn Fn(&ComponentId) -> Outlook) -> &[ComponentId] {
        let Choice { level, why } = self.levels.choose(now.mono, outlook);
        if level != self.at {
            self.gauge.set(level as f64 + 1.0);
            let (from, to) = (self.at + 1, level + 1);
            if level > self.at {
                tracing::warn!(component = %self.id, from, to, "level {from} is down: data goes to level {to}, {why}");
            } else {
                tracing::info!(component = %self.id, from, to, "data goes to level {to} again, {why}");
            }
            self.at = level;
        }
        self.levels.pipelines(level)
    }
}

/// The Collector's default.
const RETRY_INTERVAL: Duration = Duration::from_secs(600);
