//! The exporter `awssqs`: points that share their attributes become one event in an SQS queue, by a template.
//!
//! ```yaml
//! exporters:
//!   awssqs:
//!     queue_url: https://sqs.us-east-1.amazonaws.com/123456789012/events
//!     events:
//!       - metrics: {done: onboarding_completed_steps, total: onboarding_total_steps}
//!         optional: [total]
//!         template: {type: onboarding_progress, env: "{env}", accountId: "{account_id}", completedSteps: "{done}", totalSteps: "{total}", messageId: "{event_id}"}
//! ```
//!
//! * Ten events in a request. What of it fails is sent again alone; what the queue refuses for good is counted as dropped, with its words.
//! * A group that lacks a value of its template is counted as `incomplete_group`. Histograms and summaries are `unsupported_kind`.
//! * A queue whose name ends with `.fifo` keeps the order of each group.
//! * `traceparent` of the process's own span goes along where own tracing is on.

mod config;
mod encoder;
mod events;
mod sender;
mod template;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use steadyline_component::factory::Component;
use steadyline_component::telemetry::Signal;
use steadyline_component::{CreateContext, Exporter, Factory, Spec, Stability};

pub use config::{Config, EventConfig, Settings};
use encoder::SqsEncoder;
use events::EventPlan;
use sender::SqsSender;

/// The factory of the `awssqs` exporter.
pub const FACTORY: Factory = Factory::exporter::<AwsSqsExporter>();

/// The `awssqs` exporter.
#[derive(Debug)]
pub struct AwsSqsExporter;

impl Component for AwsSqsExporter {
    type Config = Settings;
    type Made = Exporter;

    const SPEC: Spec = Spec {
        name: "awssqs",
        aliases: &["aws_sqs"],
        stability: Stability::Beta,
        signals: &[Signal::Metrics],
        summary: "Makes events of points that share their attributes and sends them to an SQS queue.",
        unsupported: &[],
    };

    fn create(config: Settings, context: &mut CreateContext<'_>) -> Option<Exporter> {
        config.shared.check(context);
        check(&config, context);
        let mut plans = Vec::new();
        let mut known: BTreeMap<&str, usize> = BTreeMap::new();
        for (index, event) in config.events.iter().enumerate() {
            match EventPlan::compile(event) {
                Ok(plan) => plans.push(plan),
                Err((key, wrong)) => context.error(&format!("events[{index}].{key}"), wrong),
            }
            for metric in event.metrics.values() {
                if let Some(other) = known.insert(metric, index) {
                    let wrong = format!("{metric} is in events[{other}] already; a point goes into one event");
                    context.error(&format!("events[{index}].metrics"), wrong);
                }
            }
        }
        if context.diagnostics.has_errors() {
            return None;
        }
        let attributes = config.message_attributes.iter().map(|(name, value)| name.len() + value.len() + 16).sum();
        let encoder = SqsEncoder::new(plans, config.max_request_size, attributes);
        let sender = SqsSender::new(config.shared.clone(), config.message_attributes.clone(), context.clock);
        Some(Exporter::Queued { encoder: Box::new(encoder), sender: Arc::new(sender), delivery: config.delivery() })
    }
}

fn check(config: &Config, context: &mut CreateContext<'_>) {
    if config.events.is_empty() {
        context.error("events", "no event is described");
    }
    if !(1024..=1_048_576).contains(&config.max_request_size) {
        context.error("max_request_size", "a request has 1024 to 1048576 bytes");
    }
    if config.message_attributes.len() > 7 {
        context.error("message_attributes", "a message has at most 10 attributes, and 3 are kept for traces");
    }
    if config.message_attributes.values().any(String::is_empty) {
        context.error("message_attributes", "SQS takes no attribute without a value");
    }
}
