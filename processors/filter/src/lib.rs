//! The `filter` processor: drops data points, spans, span events and log records.
//! What is dropped is counted as dropped{filtered}.
//!
//! # Which config
//! The Collector has three generations of keys. All are understood, also side by side: an item is dropped if any of them
//! says so.
//!
//! **By names and attributes.** `include` keeps what it matches, `exclude` drops what it matches:
//!
//! ```yaml fragment
//! processors:
//!   filter/names:
//!     metrics:
//!       include: {match_type: regexp, metric_names: [^http\., ^rpc\.]}
//!       exclude: {match_type: strict, resource_attributes: [{key: env, value: dev}]}
//!     spans:
//!       exclude: {match_type: strict, span_names: [GET /healthz]}
//!     logs:
//!       include: {match_type: strict, severity_number: {min: WARN}}
//! ```
//!
//! **By conditions, each under the name of what it is about.** A match drops:
//!
//! ```yaml fragment
//! processors:
//!   filter/conditions:
//!     metrics:
//!       metric: ['type == METRIC_DATA_TYPE_SUMMARY']
//!       datapoint: ['attributes["code"] == "404"']
//!     traces:
//!       span: ['attributes["http.route"] == "/healthz" and status.code != STATUS_CODE_ERROR']
//!       spanevent: ['name == "heartbeat"']
//!     logs:
//!       log_record: ['severity_number < SEVERITY_NUMBER_WARN', 'IsMatch(body, "^debug")']
//! ```
//!
//! **By conditions whose paths say what they are about**: `metric_conditions: ['metric.name == "x"']`, `trace_conditions`,
//! `log_conditions`; a list element may also be `{context: span, conditions: [...]}`.
//!
//! Of conditions (OTTL), the part that is understood is listed in the documentation of `steadyline-attributes`: paths,
//! comparisons, `and`, `or`, `not`, `nil`, `IsMatch`. Everything else is an error at load that says where it stands. No
//! condition can fail while data passes, so `error_mode` is accepted and changes nothing.
//!
//! # What to know
//! - With both `metric_names` and `resource_attributes`, `include` wants both to match, while in `exclude` either is enough to
//!   drop: the Collector does the same.
//! - What depends on a metric's name or resource is decided once per metric, what depends on keys once per list of keys. A
//!   batch of which nothing is dropped passes as the bytes that it arrived in.
//! - A metric, scope or resource of which nothing is left goes, too. Dropped span events are not counted, for items of
//!   traces are spans.
//! - Bodies that are no OTLP are dropped{malformed}.

mod config;
mod metrics;
mod rules;
mod trees;

use steadyline_component::factory::Component;
use steadyline_component::telemetry::Signal;
use steadyline_component::{Batch, CreateContext, Data, Factory, Processor, Spec, Stability, Work};

pub use config::{
    ConditionConfig, ConditionList, ErrorMode, FilterConfig, LogMatchConfig, LogsConfig, MetricMatchConfig,
    MetricMatchType, MetricsConfig, SpansConfig, TracesConfig,
};

use rules::Rules;

/// The factory of the `filter` processor.
pub const FACTORY: Factory = Factory::processor::<FilterFactory>();

/// Makes `filter` processors.
#[derive(Debug)]
pub struct FilterFactory;

const PROFILES: &str = "profiles are no signal that is carried here; remove the key";

impl Component for FilterFactory {
    type Config = FilterConfig;
    type Made = Box<dyn Processor>;
    const SPEC: Spec = Spec {
        name: "filter",
        aliases: &[],
        stability: Stability::Beta,
        signals: &[Signal::Metrics, Signal::Traces, Signal::Logs],
        summary: "drops points, spans, span events and records by names, attributes and conditions",
        unsupported: &[
            ("profiles", PROFILES),
            ("profile_conditions", PROFILES),
            (
                "metrics.include.expressions",
                "write a condition under `metrics.metric` or `metrics.datapoint`; it drops what it matches",
            ),
            (
                "metrics.exclude.expressions",
                "write a condition under `metrics.metric` or `metrics.datapoint`; it drops what it matches",
            ),
        ],
    };

    fn create(config: FilterConfig, context: &mut CreateContext<'_>) -> Option<Box<dyn Processor>> {
        let rules = Rules::new(&config, context)?;
        if rules.is_idle(context.signal) {
            let message = format!("nothing here is about {}: everything passes", context.signal);
            context.warning("", message);
        }
        Some(Box::new(Filter { rules }))
    }
}

struct Filter {
    rules: Rules,
}

/// The reason under which what was filtered out is counted.
const FILTERED: &str = "filtered";

impl Processor for Filter {
    fn process(&mut self, mut batch: Batch, work: &mut Work<'_>) {
        if self.rules.is_idle(batch.signal()) {
            work.emit(batch);
        } else if let Data::Metrics(metrics) = &mut batch.data {
            let dropped = self.rules.metrics.filter(metrics);
            work.tally.dropped(FILTERED, dropped);
            work.emit(batch);
        } else {
            let mut pass = self.rules.trees(batch.signal()).pass();
            if let Some(batch) = steadyline_attributes::tree::rework(batch, work.tally, &mut pass) {
                work.tally.dropped(FILTERED, pass.dropped);
                work.emit(batch);
            }
        }
    }
}
