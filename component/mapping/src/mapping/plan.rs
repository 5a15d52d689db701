//! From config to a plan: every expression compiled, every name checked, all errors at once.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use super::aggregate::AggregatePlan;
use super::label::LabelPlan;
use super::value::ValuePlan;
use crate::batch::MAX_LABELS;
use crate::config::{Labels, MappingConfig, MetricConfig, MetricType, OnNull, Subject, TemporalityConfig};
use crate::expr::{Compiler, Expr, ExprError};
use crate::item::Names;
use crate::number::Number;

/// A compiled mapping.
#[derive(Debug)]
pub struct Plan {
    pub(super) names: Names,
    pub(super) filter: Option<Expr>,
    pub(super) identity: Vec<LabelPlan>,
    pub(super) attributes: Vec<LabelPlan>,
    pub(super) metrics: Vec<MetricPlan>,
    pub(super) aggregates: Vec<AggregatePlan>,
    pub(super) prefer: Option<Expr>,
    pub(super) max_label_bytes: usize,
    outputs: Vec<Output>,
}

/// A metric of every item. Its output has the same index.
#[derive(Debug)]
pub(super) struct MetricPlan {
    pub(super) filter: Option<Expr>,
    pub(super) value: ValuePlan,
    pub(super) labels: Vec<LabelPlan>,
    pub(super) on_null: OnNull,
}

/// A metric that a mapping gives out.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// The metric's name.
    pub name: String,
    /// Its unit in UCUM.
    pub unit: String,
    /// What it means.
    pub description: String,
    /// Its kind.
    pub kind: OutputKind,
    /// The names of its labels: identity first, then the common ones, then its own.
    pub labels: Vec<String>,
}

/// The kind of an [`Output`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OutputKind {
    /// A value now.
    Gauge,
    /// A sum since its start.
    Cumulative {
        /// Whether it never falls.
        monotonic: bool,
    },
    /// A sum since the last poll.
    Delta {
        /// Whether it never falls.
        monotonic: bool,
    },
}

/// Something in the config that makes no mapping.
#[derive(Clone, Debug, Error, PartialEq)]
#[error("{path}: {message}")]
pub struct PlanError {
    /// Where, as `metrics[0].value`.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do instead.
    pub help: Option<String>,
}

impl Plan {
    /// Compiles a mapping.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn compile(config: &MappingConfig) -> Result<Plan, Vec<PlanError>> {
        let mut names = Names::default();
        let mut errors = Errors::default();
        let mut compiler = Compiler { names: &mut names, lists: &config.lists };
        let filter = errors.optional("where", config.filter.as_deref(), &mut compiler);
        let prefer = errors.optional("prefer", config.prefer.as_deref(), &mut compiler);
        let identity = errors.labels("identity", &config.identity, &mut compiler);
        let attributes = errors.labels("attributes", &config.attributes, &mut compiler);
        let mut metrics = Vec::new();
        let mut outputs = Vec::new();
        for (index, metric) in config.metrics.iter().enumerate() {
            let path = format!("metrics[{index}]");
            outputs.push(output(metric, config));
            metrics.extend(metric_plan(metric, &path, config, &mut compiler, &mut errors));
        }
        let mut aggregates = Vec::new();
        for (index, aggregate) in config.aggregates.iter().enumerate() {
            let path = format!("aggregates[{index}]");
            aggregates.extend(AggregatePlan::compile(aggregate, &path, &mut outputs, &mut compiler, &mut errors));
        }
        check_whole(config, &outputs, &mut errors);
        if errors.0.is_empty() {
            Ok(Plan {
                names,
                filter,
                identity,
                attributes,
                metrics,
                aggregates,
                prefer,
                max_label_bytes: config.max_label_bytes,
                outputs,
            })
        } else {
            Err(errors.0)
        }
    }

    /// The metrics that the mapping gives out.
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// The names of the identity's labels.
    pub fn identity(&self) -> impl Iterator<Item = &str> {
        self.identity.iter().map(|label| label.name.as_str())
    }

    /// The attributes that have to be read; `None`: all of them.
    pub fn projection(&self) -> Option<&[String]> {
        self.names.projection()
    }

    /// Whether items of different keys may have the same identity. They cannot if the identity repeats every key attribute.
    pub fn may_collide(&self, key: &super::TableKey) -> bool {
        if self.identity.is_empty() {
            return false;
        }
        let covered: BTreeSet<&str> = self.identity.iter().filter_map(LabelPlan::attribute).collect();
        !key.is_known() || key.0.iter().any(|name| !covered.contains(name.as_str()))
    }
}

fn output(metric: &MetricConfig, config: &MappingConfig) -> Output {
    let own: &Labels = metric.info.as_ref().unwrap_or(&metric.attributes);
    let extra = if metric.info.is_some() { &metric.attributes } else { &EMPTY };
    let labels = config.identity.keys().chain(config.attributes.keys()).chain(own.keys()).chain(extra.keys());
    let monotonic = metric.monotonic;
    Output {
        name: metric.name.clone(),
        unit: metric.unit.clone(),
        description: metric.description.clone(),
        kind: match (metric.kind, metric.temporality) {
            (MetricType::Gauge, _) => OutputKind::Gauge,
            (MetricType::Sum, TemporalityConfig::Cumulative) => OutputKind::Cumulative { monotonic },
            (MetricType::Sum, TemporalityConfig::Delta) => OutputKind::Delta { monotonic },
        },
        labels: labels.cloned().collect(),
    }
}

static EMPTY: Labels = BTreeMap::new();

fn metric_plan(
    metric: &MetricConfig,
    path: &str,
    config: &MappingConfig,
    compiler: &mut Compiler<'_>,
    errors: &mut Errors,
) -> Option<MetricPlan> {
    let filter = errors.optional(&format!("{path}.where"), metric.filter.as_deref(), compiler);
    let mut labels = match &metric.info {
        Some(info) => errors.labels(&format!("{path}.info"), info, compiler),
        None => Vec::new(),
    };
    labels.extend(errors.labels(&format!("{path}.attributes"), &metric.attributes, compiler));
    if metric.kind == MetricType::Gauge && metric.monotonic {
        errors.add(format!("{path}.monotonic"), "a gauge may fall; `monotonic` goes with `type: sum`", None);
    }
    if metric.kind == MetricType::Gauge && metric.temporality == TemporalityConfig::Delta {
        errors.add(format!("{path}.temporality"), "a gauge has no temporality; it goes with `type: sum`", None);
    }
    let value = match (&metric.value, &metric.info) {
        (Some(value), None) => errors.compiled(&format!("{path}.value"), ValuePlan::compile(value, compiler))?,
        (None, Some(_)) => ValuePlan::Constant(Number::Int(1)),
        (Some(_), Some(_)) => {
            errors.add(format!("{path}.info"), "an info metric has the value 1 and no `value` of its own", None);
            return None;
        }
        (None, None) => {
            errors.add(
                path.to_owned(),
                "a metric needs `value` or `info`",
                Some("such as value: {size: completed_steps}"),
            );
            return None;
        }
    };
    Some(MetricPlan { filter, value, labels, on_null: metric.on_null.unwrap_or(config.on_null) })
}

/// Checks what concerns several parts of the config at once.
fn check_whole(config: &MappingConfig, outputs: &[Output], errors: &mut Errors) {
    if config.metrics.is_empty() && config.aggregates.is_empty() {
        errors.add("metrics".to_owned(), "nothing is made of the items", Some("list at least one metric or aggregate"));
    }
    if config.subject == Subject::Entities && !config.metrics.is_empty() && config.identity.is_empty() {
        errors.add(
            "identity".to_owned(),
            "metrics of single items need an identity",
            Some("such as identity: {account_id: system_account_id}"),
        );
    }
    if config.prefer.is_some() && config.identity.is_empty() {
        errors.add("prefer".to_owned(), "it chooses between items of one identity, and there is no identity", None);
    }
    for (index, output) in outputs.iter().enumerate() {
        let path = if index < config.metrics.len() { format!("metrics[{index}]") } else { "aggregates".to_owned() };
        check_output(output, &path, config, errors);
        let earlier = &outputs[..index];
        if let Some(other) = earlier.iter().find(|other| other.name == output.name) {
            let name = &output.name;
            if (other.kind, &other.unit) != (output.kind, &output.unit) {
                errors.add(path, &format!("another metric is called {name} and has another type or unit"), None);
            } else if other.labels == output.labels
                && config.metrics.get(index).is_none_or(|metric| metric.filter.is_none())
            {
                errors.add(path, &format!("another metric is called {name} and has the same labels, so that their series would be the same"), None);
            }
        }
    }
}

fn check_output(output: &Output, path: &str, config: &MappingConfig, errors: &mut Errors) {
    if output.name.is_empty() {
        errors.add(format!("{path}.name"), "the name is empty", None);
    }
    if output.labels.len() > MAX_LABELS {
        errors.add(path.to_owned(), &format!("{} has more than {} labels", output.name, MAX_LABELS), None);
    }
    let mut seen = BTreeSet::new();
    for label in &output.labels {
        if label.is_empty() {
            errors.add(path.to_owned(), "a label's name is empty", None);
        }
        if !seen.insert(label) {
            errors.add(path.to_owned(), &format!("the label {label} of {} is declared twice", output.name), None);
        }
        if config.resource.contains_key(label) {
            errors.add(
                path.to_owned(),
                &format!("{label} is both a label of {} and a resource attribute", output.name),
                None,
            );
        }
    }
}

/// Collects errors with their paths.
#[derive(Debug, Default)]
pub(super) struct Errors(Vec<PlanError>);

impl Errors {
    pub(super) fn add(&mut self, path: String, message: &str, help: Option<&str>) {
        let error = PlanError { path, message: message.to_owned(), help: help.map(str::to_owned) };
        if !self.0.contains(&error) {
            self.0.push(error);
        }
    }

    /// The value, or nothing and an error more.
    pub(super) fn compiled<T>(&mut self, path: &str, compiled: Result<T, ExprError>) -> Option<T> {
        match compiled {
            Ok(value) => Some(value),
            Err(error) => {
                let help = error.help.clone();
                let message = ExprError { help: None, ..error }.to_string();
                self.add(path.to_owned(), &message, help.as_deref());
                None
            }
        }
    }

    pub(super) fn optional(&mut self, path: &str, text: Option<&str>, compiler: &mut Compiler<'_>) -> Option<Expr> {
        text.and_then(|text| self.compiled(path, compiler.expression(text)))
    }

    pub(super) fn labels(&mut self, path: &str, labels: &Labels, compiler: &mut Compiler<'_>) -> Vec<LabelPlan> {
        let plan = |(name, text): (&String, &String)| {
            self.compiled(&format!("{path}.{name}"), LabelPlan::compile(name, text, compiler))
        };
        labels.iter().filter_map(plan).collect()
    }
}
