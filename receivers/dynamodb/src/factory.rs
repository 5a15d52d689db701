//! The factory of the receiver: checks its config, compiles its mapping, names what it does not support.

use std::sync::Arc;

use steadyline_aws::TableConfig;
use steadyline_component::config::{Diagnostic, Flat};
use steadyline_component::factory::Component;
use steadyline_component::telemetry::Signal;
use steadyline_component::{CreateContext, Factory, Polling, Schedule, Spec, Stability};

use crate::config::Config;
use crate::receiver::DynamoDbPoller;
use crate::report::Reporter;
use steadyline_mapping::config::MappingConfig;
use steadyline_mapping::mapping::Plan;

/// The factory of the `dynamodb` receiver.
pub const FACTORY: Factory = Factory::poller::<DynamoDb>();

/// The `dynamodb` receiver.
#[derive(Debug)]
pub struct DynamoDb;

impl Component for DynamoDb {
    type Config = Flat<Flat<Config, MappingConfig>, TableConfig>;
    type Made = Polling;

    const SPEC: Spec = Spec {
        name: "dynamodb",
        aliases: &[],
        stability: Stability::Beta,
        signals: &[Signal::Metrics],
        summary: "Polls a DynamoDB table or index and turns its items into metrics.",
        unsupported: &[("statement", "PartiQL is not supported; use `query` or a scan")],
    };

    fn create(config: Self::Config, context: &mut CreateContext<'_>) -> Option<Polling> {
        let Flat { own: Flat { own: config, shared: mapping }, shared: table } = config;
        check(&config, context);
        if mapping.max_label_bytes == 0 {
            context.error("max_label_bytes", "labels without any byte say nothing; at least 1 is needed");
        }
        let plan = Plan::compile(&mapping).map_err(|errors| {
            for error in errors {
                let diagnostic = Diagnostic::error("invalid-mapping", error.message);
                let diagnostic = error.help.into_iter().fold(diagnostic, Diagnostic::with_help);
                context.report(&error.path, diagnostic);
            }
        });
        let place = table.place(context, "");
        let leadership = config.leader.as_ref().and_then(|id| context.leadership("leader", id));
        if context.diagnostics.has_errors() {
            return None;
        }
        let (plan, place) = (plan.ok()?, place?);
        let schedule = Schedule {
            interval: config.collection_interval.get(),
            initial_delay: config.initial_delay.get(),
            timeout: config.timeout.get(),
        };
        let identity = plan.identity().map(Arc::from).collect();
        let reporter = Reporter::new(context.id.as_str(), context.clock, context.meter);
        let poller =
            DynamoDbPoller::new(context.id.as_str(), config, mapping.resource, plan, place, context.clock, reporter);
        Some(Polling { poller: Box::new(poller), schedule, identity, leadership })
    }
}

fn check(config: &Config, context: &mut CreateContext<'_>) {
    if config.table.is_empty() {
        context.error("table", "no table is named");
    }
    if config.index.as_deref() == Some("") {
        context.error("index", "the index's name is empty; leave the key out to read the table");
    }
    if !(1..=64).contains(&config.segments) {
        context.error("segments", "a scan has 1 to 64 segments");
    }
    if config.query.is_some() && config.segments > 1 {
        context.error("segments", "only scans have segments; a list in `query.values` makes several queries");
    }
    for (path, message) in config.query.iter().flat_map(|query| query.problems()) {
        context.error(&format!("query.{path}"), message);
    }
    if let Some(budget) = &config.read_budget {
        let is_rate = budget.rru_per_second.is_finite() && budget.rru_per_second > 0.0;
        if !is_rate || !budget.burst.is_finite() || budget.burst < 0.0 {
            context.error("read_budget", "a budget is a number of read units above 0, and a burst is not below 0");
        }
    }
    check_times(config, context);
    if config.key.len() > 2 || config.key.iter().any(String::is_empty) {
        context.error("key", "a key is one or two attributes: the partition key, and the sort key if there is one");
    }
}

fn check_times(config: &Config, context: &mut CreateContext<'_>) {
    let positive = [
        ("collection_interval", config.collection_interval),
        ("attempt_timeout", config.attempt_timeout),
        ("operation_timeout", config.operation_timeout),
    ];
    for (key, duration) in positive {
        if duration.is_zero() {
            context.error(key, "must be longer than 0");
        }
    }
    if config.timeout > config.collection_interval {
        context.error("timeout", "a poll that may take longer than `collection_interval` would run into the next one");
    }
    if config.attempt_timeout > config.operation_timeout {
        context.error(
            "attempt_timeout",
            "an attempt cannot take longer than `operation_timeout`, which covers its retries too",
        );
    }
    if !(1..=10).contains(&config.max_attempts) {
        context.error("max_attempts", "a page is tried 1 to 10 times");
    }
}
