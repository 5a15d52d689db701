//! From config to rules: what is kept by names and attributes, what is dropped by conditions, signal by signal.
//! All of the config is checked, whatever the pipeline's signal.

use steadyline_attributes::matching::{Match, MatchType, Spelling};
use steadyline_attributes::ottl::{Condition, Context};
use steadyline_attributes::{MatchConfig, Problems, Selection};
use steadyline_component::CreateContext;
use steadyline_component::config::{path_index, path_join};
use steadyline_component::telemetry::Signal;

use crate::config::{ConditionConfig, FilterConfig, LogMatchConfig, MetricMatchConfig, MetricMatchType};

/// What is dropped.
pub(crate) struct Rules {
    pub(crate) metrics: MetricRules,
    traces: TreeRules,
    logs: TreeRules,
}

/// What is dropped of metrics.
#[derive(Default)]
pub(crate) struct MetricRules {
    /// A point is kept only if each of these means it.
    pub(crate) keep: Vec<Selection>,
    /// Conditions about metrics and what stands above them.
    pub(crate) metric: Vec<Condition>,
    /// Conditions about points.
    pub(crate) point: Vec<Condition>,
}

/// What is dropped of traces or logs.
#[derive(Default)]
pub(crate) struct TreeRules {
    /// What is kept by names and attributes.
    pub(crate) keep: Selection,
    /// Conditions about resources and scopes.
    pub(crate) above: Vec<Condition>,
    /// Conditions about spans or records.
    pub(crate) item: Vec<Condition>,
    /// Conditions about events of spans.
    pub(crate) event: Vec<Condition>,
}

impl Rules {
    pub(crate) fn new(config: &FilterConfig, context: &mut CreateContext<'_>) -> Option<Rules> {
        let mut compiler = Compiler { problems: Problems::default() };
        let rules =
            Rules { metrics: compiler.metrics(config), traces: compiler.traces(config), logs: compiler.logs(config) };
        compiler.problems.report(context).then_some(rules)
    }

    /// Whether nothing of a signal is dropped.
    pub(crate) fn is_idle(&self, signal: Signal) -> bool {
        match signal {
            Signal::Metrics => {
                let MetricRules { keep, metric, point } = &self.metrics;
                keep.is_empty() && metric.is_empty() && point.is_empty()
            }
            signal => {
                let TreeRules { keep, above, item, event } = self.trees(signal);
                keep.is_all() && above.is_empty() && item.is_empty() && event.is_empty()
            }
        }
    }

    pub(crate) fn trees(&self, signal: Signal) -> &TreeRules {
        if signal == Signal::Logs { &self.logs } else { &self.traces }
    }
}

const METRIC_CONTEXTS: [Context; 4] = [Context::Resource, Context::Scope, Context::Metric, Context::Datapoint];
const TRACE_CONTEXTS: [Context; 4] = [Context::Resource, Context::Scope, Context::Span, Context::SpanEvent];
const LOG_CONTEXTS: [Context; 3] = [Context::Resource, Context::Scope, Context::Log];

struct Compiler {
    problems: Problems,
}

impl Compiler {
    fn metrics(&mut self, config: &FilterConfig) -> MetricRules {
        let metrics = &config.metrics;
        let mut rules = MetricRules::default();
        if let Some(include) = self.metric_match(metrics.include.as_ref(), "metrics.include") {
            rules.keep.push(Selection { include: Some(include), exclude: None });
        }
        if let Some(exclude) = self.metric_match(metrics.exclude.as_ref(), "metrics.exclude") {
            // Either is enough to be dropped, as in the Collector.
            let Match { names, resources, .. } = exclude;
            if names.is_some() {
                let exclude = Some(Match { names, ..Match::default() });
                rules.keep.push(Selection { include: None, exclude });
            }
            if !resources.is_empty() {
                let exclude = Some(Match { resources, ..Match::default() });
                rules.keep.push(Selection { include: None, exclude });
            }
        }
        let mut conditions = self.conditions(&metrics.resource, Context::Resource, "metrics.resource");
        conditions.extend(self.conditions(&metrics.metric, Context::Metric, "metrics.metric"));
        conditions.extend(self.conditions(&metrics.datapoint, Context::Datapoint, "metrics.datapoint"));
        conditions.extend(self.lists(&config.metric_conditions, "metric_conditions", &METRIC_CONTEXTS));
        (rules.point, rules.metric) =
            conditions.into_iter().partition(|condition| condition.context() == Context::Datapoint);
        rules
    }

    fn metric_match(&mut self, config: Option<&MetricMatchConfig>, path: &str) -> Option<Match> {
        let config = config?;
        let match_type = match config.match_type {
            MetricMatchType::Strict => MatchType::Strict,
            MetricMatchType::Regexp => MatchType::Regexp,
            MetricMatchType::Expr => {
                let instead =
                    "write a condition under `metrics.metric` or `metrics.datapoint`; it drops what it matches";
                self.problems.error(path_join(path, "match_type"), format!("`expr` is not supported: {instead}"));
                return None;
            }
        };
        let config = MatchConfig {
            regexp: config.regexp.clone(),
            metric_names: config.metric_names.clone(),
            resources: config.resource_attributes.clone(),
            ..MatchConfig::new(match_type)
        };
        let spelling = Spelling { resources: "resource_attributes", ..Spelling::PLAIN };
        Some(config.compile(Signal::Metrics, path, spelling, &mut self.problems))
    }

    fn traces(&mut self, config: &FilterConfig) -> TreeRules {
        let mut matching = |config: &Option<MatchConfig>, path: &str| {
            config.as_ref().map(|config| config.compile(Signal::Traces, path, Spelling::PLAIN, &mut self.problems))
        };
        let include = matching(&config.spans.include, "spans.include");
        let keep = Selection { include, exclude: matching(&config.spans.exclude, "spans.exclude") };
        let traces = &config.traces;
        let mut conditions = self.conditions(&traces.resource, Context::Resource, "traces.resource");
        conditions.extend(self.conditions(&traces.span, Context::Span, "traces.span"));
        conditions.extend(self.conditions(&traces.spanevent, Context::SpanEvent, "traces.spanevent"));
        conditions.extend(self.lists(&config.trace_conditions, "trace_conditions", &TRACE_CONTEXTS));
        TreeRules::new(keep, conditions)
    }

    fn logs(&mut self, config: &FilterConfig) -> TreeRules {
        let logs = &config.logs;
        let include = self.log_match(logs.include.as_ref(), "logs.include");
        let keep = Selection { include, exclude: self.log_match(logs.exclude.as_ref(), "logs.exclude") };
        let mut conditions = self.conditions(&logs.resource, Context::Resource, "logs.resource");
        conditions.extend(self.conditions(&logs.log_record, Context::Log, "logs.log_record"));
        conditions.extend(self.lists(&config.log_conditions, "log_conditions", &LOG_CONTEXTS));
        TreeRules::new(keep, conditions)
    }

    fn log_match(&mut self, config: Option<&LogMatchConfig>, path: &str) -> Option<Match> {
        let config = config?;
        let spelling = Spelling {
            attributes: "record_attributes",
            resources: "resource_attributes",
            bodies: "bodies",
            severity_texts: "severity_texts",
        };
        let config = MatchConfig {
            attributes: config.record_attributes.clone(),
            resources: config.resource_attributes.clone(),
            log_bodies: config.bodies.clone(),
            log_severity_texts: config.severity_texts.clone(),
            log_severity_number: config.severity_number,
            ..MatchConfig::new(config.match_type)
        };
        Some(config.compile(Signal::Logs, path, spelling, &mut self.problems))
    }

    /// Conditions about one context.
    fn conditions(&mut self, texts: &[String], context: Context, path: &str) -> Vec<Condition> {
        let mut conditions = Vec::new();
        for (at, text) in texts.iter().enumerate() {
            match Condition::parse(text, context) {
                Ok(condition) => conditions.push(condition),
                Err(error) => self.problems.error(path_index(path, at), error.to_string()),
            }
        }
        conditions
    }

    /// Conditions that say their context, or that are listed under it; it must be one of `allowed`.
    fn lists(&mut self, configs: &[ConditionConfig], path: &str, allowed: &[Context]) -> Vec<Condition> {
        let mut conditions = Vec::new();
        for (at, config) in configs.iter().enumerate() {
            let path = path_index(path, at);
            match config {
                ConditionConfig::One(text) => conditions.extend(self.inferred(text, &path, allowed)),
                ConditionConfig::List(list) if list.context.is_empty() => {
                    let path = path_join(&path, "conditions");
                    for (at, text) in list.conditions.iter().enumerate() {
                        conditions.extend(self.inferred(text, &path_index(&path, at), allowed));
                    }
                }
                ConditionConfig::List(list) => {
                    match Context::from_name(&list.context).filter(|c| allowed.contains(c)) {
                        Some(context) => {
                            conditions.extend(self.conditions(
                                &list.conditions,
                                context,
                                &path_join(&path, "conditions"),
                            ));
                        }
                        None => {
                            let names: Vec<&str> = allowed.iter().map(|context| context.name()).collect();
                            let message =
                                format!("`{}` is no context here; there are {}", list.context, names.join(", "));
                            self.problems.error(path_join(&path, "context"), message);
                        }
                    }
                }
            }
        }
        conditions
    }

    fn inferred(&mut self, text: &str, path: &str, allowed: &[Context]) -> Option<Condition> {
        match Condition::infer(text) {
            Ok(condition) if allowed.contains(&condition.context()) => return Some(condition),
            Ok(condition) => {
                let message =
                    format!("the condition is about a {}, which there is none of here", condition.context().name());
                self.problems.error(path, message);
            }
            Err(error) => self.problems.error(path, error.to_string()),
        }
        None
    }
}

impl TreeRules {
    fn new(keep: Selection, conditions: Vec<Condition>) -> TreeRules {
        let mut rules = TreeRules { keep, ..TreeRules::default() };
        for condition in conditions {
            match condition.context() {
                Context::Resource | Context::Scope => rules.above.push(condition),
                Context::SpanEvent => rules.event.push(condition),
                _ => rules.item.push(condition),
            }
        }
        rules
    }
}
