//! The factory of the receiver: checks its config, compiles its mappings.

use std::sync::Arc;

use steadyline_component::config::Diagnostic;
use steadyline_component::factory::Component;
use steadyline_component::telemetry::Signal;
use steadyline_component::{CreateContext, Factory, Kind, Receiver, Spec, Stability};

use crate::config::{Config, EventTemporality, Settings};
use crate::event::Reader;
use crate::ledger::Ledger;
use crate::plan::EventPlan;
use crate::receiver::SqsReceiver;
use crate::report::Report;

/// The factory of the `awssqs` receiver.
pub const FACTORY: Factory = Factory::receiver::<AwsSqs>();

/// The `awssqs` receiver.
#[derive(Debug)]
pub struct AwsSqs;

impl Component for AwsSqs {
    type Config = Settings;
    type Made = Box<dyn Receiver>;

    const SPEC: Spec = Spec {
        name: "awssqs",
        aliases: &["aws_sqs"],
        stability: Stability::Beta,
        signals: &[Signal::Metrics, Signal::Logs, Signal::Traces],
        summary: "Receives events from an SQS queue and turns them into metrics and log records.",
        unsupported: &[
            ("visibility_timeout_seconds", "say `visibility_timeout: 30s`"),
            ("s3", "events about objects in S3 are not read; the messages themselves are the data"),
        ],
    };

    fn create(config: Settings, context: &mut CreateContext<'_>) -> Option<Box<dyn Receiver>> {
        Some(Box::new(create(config, context)?))
    }
}

/// Makes the receiver.
pub(crate) fn create(config: Settings, context: &mut CreateContext<'_>) -> Option<SqsReceiver> {
    config.shared.check(context);
    check(&config, context);
    check_counting(&config, context);
    let plan = EventPlan::compile(&config).map_err(|errors| {
        for error in errors {
            let diagnostic = Diagnostic::error("invalid-mapping", error.message);
            let diagnostic = error.help.into_iter().fold(diagnostic, Diagnostic::with_help);
            context.report(&error.path, diagnostic);
        }
    });
    let storage = config.storage.as_ref().and_then(|id| context.storage("storage", id));
    let leadership = config.leader.as_ref().and_then(|id| context.leadership("leader", id));
    if context.diagnostics.has_errors() {
        return None;
    }
    let plan = plan.ok()?;
    let reader = Reader::new(plan, config.envelope, config.event_time_unit, &config.instance);
    let id = context.id.to_string();
    let report = Arc::new(Report::new(&id, context.clock, context.meter));
    let ledger = Arc::new(Ledger::new(&config, Arc::clone(reader.outputs()), context.clock.now()));
    let storage = storage.map(|storage| (storage, context.owner(Kind::Receiver)));
    Some(SqsReceiver {
        id,
        config,
        reader,
        storage,
        leadership,
        report,
        ledger,
        clock: context.clock.clone(),
        status: None,
    })
}

fn check(config: &Config, context: &mut CreateContext<'_>) {
    let ranges = [
        ("max_number_of_messages", u64::from(config.max_number_of_messages), 1..=10),
        ("wait_time_seconds", u64::from(config.wait_time_seconds), 0..=20),
        ("pollers", u64::from(config.pollers), 1..=64),
        ("max_batch_messages", config.max_batch_messages as u64, 1..=10_000),
        ("idempotency.max_keys", config.idempotency.max_keys as u64, 1..=100_000_000),
        ("max_series", config.max_series as u64, 1..=u64::MAX),
        ("max_label_bytes", config.max_label_bytes as u64, 1..=u64::MAX),
    ];
    for (key, value, range) in ranges {
        if !range.contains(&value) {
            let most = if *range.end() == u64::MAX { String::new() } else { format!(", at most {}", range.end()) };
            context.error(key, format!("{value} is out of range; at least {}{most}", range.start()));
        }
    }
    let visibility = config.visibility_timeout.get().as_secs_f64();
    if visibility != 0.0 && !(2.0..=43_200.0).contains(&visibility) {
        context.error(
            "visibility_timeout",
            "SQS hides messages for up to 12h, and less than 2s cannot be extended in time",
        );
    }
    let retry = config.retry;
    if retry.initial_interval > retry.max_interval || retry.max_interval.get().as_secs() > 43_200 {
        context.error("retry", "`initial_interval` is at most `max_interval`, and that at most the 12h of SQS");
    }
    if config.types.is_empty() {
        context.error("types", "no type of event is configured");
    }
    if config.discriminator.is_empty() && config.types.len() > 1 {
        context.error("discriminator", "without it there can be only one type of event");
    }
    if config.message_attributes.len() > 7 {
        context.error("message_attributes", "a message has at most 10 attributes, and 3 are asked for in any case");
    }
}

/// Two processes must not write one cumulative series, and what is promised about counting twice depends on storage.
fn check_counting(config: &Config, context: &mut CreateContext<'_>) {
    if !config.counts() || config.temporality == EventTemporality::Delta {
        return;
    }
    if config.instance.is_empty() && config.leader.is_none() && !config.single_consumer {
        let diagnostic = Diagnostic::error(
            "conflicting-sums",
            "several processes that consume this queue would write different sums to the same series",
        );
        context.report(
            "temporality",
            diagnostic.with_help(
                "say `instance: ${env:HOSTNAME}` to give each process series of its own, or name a `leader`, or say `single_consumer: true`, or `temporality: delta`",
            ),
        );
    }
    if config.storage.is_none() {
        let diagnostic = Diagnostic::warning(
            "at-least-once",
            "without `storage` a restart forgets which events were counted: each is counted at least once, and sums begin anew",
        );
        context.report("temporality", diagnostic.with_help("name a storage extension such as `file_storage`"));
    }
}
