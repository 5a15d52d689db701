//! The `count` connector: counts spans, span events, metrics, data points and log records into metrics.
//!
//! ```yaml fragment
//! connectors:
//!   count:
//!     logs:
//!       funnel_events:
//!         description: Steps of the product funnel that were taken.
//!         conditions: ['attributes["event.name"] != nil']
//!         attributes: [{key: event.name}, {key: plan, default_value: unknown}]
//! service:
//!   pipelines:
//!     logs:    {receivers: [otlp], exporters: [count]}
//!     metrics: {receivers: [count], processors: [deltatocumulative], exporters: [prometheusremotewrite]}
//! ```
//!
//! # What is counted
//! Under `spans`, `spanevents`, `metrics`, `datapoints` and `logs` stand the metrics that are made, by name. An item is counted
//! if one of `conditions` holds, or there is none. There is one count for each combination of the values of `attributes`, looked
//! up on the item, then on its scope, then on its resource; an item that lacks one without `default_value` is not counted.
//! Conditions are OTTL, as far as `steadyline-attributes` documents it; anything else is an error at load.
//!
//! A section that is absent counts everything, under the names `trace.span.count`, `trace.span.event.count`, `metric.count`,
//! `metric.datapoint.count` and `log.record.count`; an empty one (`spans: {}`) counts nothing.
//!
//! # What comes out
//! For each batch, and for each of its resources, one monotonic delta sum for each metric: with the attributes of the resource, the
//! scope name of the Collector's connector (so that no series forks when you come from there), the time of the count and no
//! start. Equal resources of a batch are counted together. Times of one connector always rise, so that nothing is taken for
//! a repetition.
//!
//! Prometheus knows no deltas: **put `deltatocumulative` behind it** on the way to remote write. What comes in ends here: it is counted
//! as merged, and the points as created{count}. Whoever waits for its delivery waits for that of the counts. Traces and logs
//! whose bytes are no OTLP are dropped{malformed}.

mod config;
mod counter;
mod items;

use std::sync::Arc;

use steadyline_attributes::{Problems, Tree, tree};
use steadyline_component::factory::{Component, TemporalityEffect};
use steadyline_component::telemetry::Signal;
use steadyline_component::{Batch, Connector, CreateContext, Data, Factory, Header, Spec, Stability, Work};

pub use config::{CountAttributeConfig, CountConfig, MetricConfig};

use counter::Counter;
use items::Definitions;

/// The factory of the `count` connector.
pub const FACTORY: Factory = Factory::connector::<CountFactory>(&[
    (Signal::Traces, Signal::Metrics),
    (Signal::Metrics, Signal::Metrics),
    (Signal::Logs, Signal::Metrics),
]);

/// Makes `count` connectors.
#[derive(Debug)]
pub struct CountFactory;

impl Component for CountFactory {
    type Config = CountConfig;
    type Made = Box<dyn Connector>;
    const SPEC: Spec = Spec {
        name: "count",
        aliases: &[],
        stability: Stability::Beta,
        signals: &[],
        summary: "counts spans, span events, metrics, data points and log records into metrics",
        unsupported: &[
            ("profiles", "profiles are no signal that is carried here; remove the key"),
            ("**.any_depth", "give the attribute's own key; values inside of values are not looked at"),
        ],
    };
    const TEMPORALITY: TemporalityEffect = TemporalityEffect::GivesDelta;

    fn create(config: CountConfig, context: &mut CreateContext<'_>) -> Option<Box<dyn Connector>> {
        let mut problems = Problems::default();
        let definitions = Definitions::new(&config, &mut problems);
        if !problems.report(context) {
            return None;
        }
        if definitions.is_idle(context.signal) {
            let message = format!("nothing of {} is counted: what comes in ends here without a trace", context.signal);
            context.warning("", message);
        }
        Some(Box::new(Count { definitions, source: Arc::from(context.id.as_str()), last: 0 }))
    }
}

struct Count {
    definitions: Definitions,
    source: Arc<str>,
    /// The time of the last count.
    last: u64,
}

impl Connector for Count {
    fn process(&mut self, batch: Batch, work: &mut Work<'_>) {
        let mut counter = Counter::default();
        match &batch.data {
            Data::Metrics(metrics) => self.definitions.count_metrics(metrics, &mut counter),
            Data::Opaque(opaque) => match Tree::decode(opaque) {
                Ok(tree) => self.definitions.count_tree(&tree, &mut counter),
                Err(_) => return tree::refuse_malformed(&batch, work.tally),
            },
        }
        work.tally.merged(batch.items());
        if counter.is_empty() {
            return;
        }
        self.last = work.now.unix_nanos.max(self.last + 1);
        let counts = counter.metrics(self.last);
        work.tally.created("count", counts.points() as u64);
        let Header { receipts, permit, .. } = batch.header;
        let header = Header { source: Arc::clone(&self.source), receipts, permit, ..Header::default() };
        work.emit(Batch { header, data: Data::Metrics(counts) });
    }
}
