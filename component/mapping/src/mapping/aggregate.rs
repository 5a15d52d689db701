//! Results over all items of a pass: count, sum, min, max and histogram, by groups.
//!
//! A histogram of a population goes out as gauges `_bucket{le}`, `_sum` and `_count`: a population may fall, a cumulative histogram may not. Groups
//! stay known, so that one that empties says 0 (min and max of nothing say nothing, and their lines end).

use std::borrow::Cow;
use std::collections::HashMap;

use super::label::{LabelPlan, truncate};
use super::plan::{Errors, Output, OutputKind};
use super::sink::{Sink, SkipReason};
use super::value::number_of;
use crate::config::{AggregateConfig, AggregateOp};
use crate::expr::{Compiler, EvalError, Expr};
use crate::item::Row;
use crate::number::Number;

/// A compiled aggregate.
#[derive(Debug)]
pub(super) struct AggregatePlan {
    op: AggregateOp,
    of: Option<Expr>,
    by: Vec<LabelPlan>,
    filter: Option<Expr>,
    buckets: Vec<f64>,
    /// The `le` labels of the buckets and of `+Inf`.
    bounds: Vec<String>,
    max_groups: usize,
    /// The index of the first of its outputs.
    output: usize,
    pub(super) name: String,
}

/// The groups of one aggregate. They outlive the pass; their numbers do not.
#[derive(Debug, Default)]
pub(super) struct Groups {
    known: HashMap<Box<[u8]>, Group>,
    key: Vec<u8>,
}

#[derive(Debug)]
struct Group {
    labels: Vec<Option<String>>,
    numbers: Numbers,
}

#[derive(Clone, Debug, Default)]
struct Numbers {
    count: u64,
    ints: i128,
    floats: f64,
    has_floats: bool,
    min: Option<f64>,
    max: Option<f64>,
    buckets: Vec<u64>,
}

impl AggregatePlan {
    /// Compiles one aggregate and appends its outputs.
    pub(super) fn compile(
        config: &AggregateConfig,
        path: &str,
        outputs: &mut Vec<Output>,
        compiler: &mut Compiler<'_>,
        errors: &mut Errors,
    ) -> Option<Self> {
        let filter = errors.optional(&format!("{path}.where"), config.filter.as_deref(), compiler);
        let of = errors.optional(&format!("{path}.of"), config.of.as_deref(), compiler);
        let by = errors.labels(&format!("{path}.by"), &config.by, compiler);
        if config.of.is_none() && config.op != AggregateOp::Count {
            errors.add(
                format!("{path}.of"),
                "every aggregate but count needs the value of an item",
                Some("such as of: size(completed_steps)"),
            );
        }
        check_buckets(config, path, errors);
        if config.max_groups == 0 {
            errors.add(format!("{path}.max_groups"), "at least one group is needed", None);
        }
        if config.op == AggregateOp::Histogram && config.by.contains_key("le") {
            errors.add(format!("{path}.by"), "a histogram's buckets have the label le already", None);
        }
        let output = outputs.len();
        outputs.extend(outputs_of(config));
        let mut bounds: Vec<String> = config.buckets.iter().map(f64::to_string).collect();
        bounds.push("+Inf".to_owned());
        Some(Self {
            op: config.op,
            of,
            by,
            filter,
            buckets: config.buckets.clone(),
            bounds,
            max_groups: config.max_groups,
            output,
            name: config.name.clone(),
        })
    }

    /// Adds one item.
    ///
    /// # Errors
    /// Why the item does not take part, if it should have.
    pub(super) fn add(
        &self,
        groups: &mut Groups,
        row: &Row<'_>,
        max_label_bytes: usize,
    ) -> Result<(), (SkipReason, String)> {
        let failed = |error: EvalError| (SkipReason::Failed(error.reason), error.detail);
        if let Some(filter) = &self.filter
            && !filter.test(row).map_err(failed)?
        {
            return Ok(());
        }
        let number = match (&self.of, self.op) {
            (None, _) => Number::Int(1),
            (Some(of), AggregateOp::Count) => match of.eval(row).map_err(failed)? {
                crate::expr::Val::Null | crate::expr::Val::Bool(false) => return Ok(()),
                _ => Number::Int(1),
            },
            (Some(of), _) => match number_of(of, row).map_err(failed)? {
                Some(measured) => measured.number,
                None => return Ok(()),
            },
        };
        let mut labels = Vec::with_capacity(self.by.len());
        for label in &self.by {
            let mut value = label.value(row).map_err(failed)?;
            truncate(&mut value, max_label_bytes);
            labels.push(value);
        }
        match groups.find(&labels, self.max_groups) {
            Some(group) => {
                group.numbers.add(number, &self.buckets);
                Ok(())
            }
            None => Err((SkipReason::GroupLimit, format!("{} has {} groups already", self.name, self.max_groups))),
        }
    }

    /// Gives the results of a complete pass.
    pub(super) fn emit(&self, groups: &mut Groups, sink: &mut dyn Sink) -> u64 {
        if self.by.is_empty() {
            // Without labels there is one group, and it is known before any item is.
            groups.find(&[], 1);
        }
        groups.known.values().map(|group| self.emit_group(group, sink)).sum()
    }

    fn emit_group(&self, group: &Group, sink: &mut dyn Sink) -> u64 {
        let numbers = &group.numbers;
        let mut labels: Vec<Option<Cow<'_, str>>> =
            group.labels.iter().map(|label| label.as_deref().map(Cow::Borrowed)).collect();
        let number = match self.op {
            AggregateOp::Count => Some(Number::Int(numbers.count as i64)),
            AggregateOp::Sum => Some(numbers.sum()),
            AggregateOp::Min => numbers.min.map(whole_if_whole),
            AggregateOp::Max => numbers.max.map(whole_if_whole),
            AggregateOp::Histogram => {
                sink.number(self.output + 1, &labels, numbers.sum());
                sink.number(self.output + 2, &labels, Number::Int(numbers.count as i64));
                let mut below = 0;
                for (bound, le) in self.bounds.iter().enumerate() {
                    below += numbers.buckets.get(bound).copied().unwrap_or(0);
                    labels.push(Some(Cow::Borrowed(le)));
                    sink.number(self.output, &labels, Number::Int(below as i64));
                    labels.pop();
                }
                return 2 + self.bounds.len() as u64;
            }
        };
        match number {
            Some(number) => {
                sink.number(self.output, &labels, number);
                1
            }
            None => 0,
        }
    }
}

fn check_buckets(config: &AggregateConfig, path: &str, errors: &mut Errors) {
    let is_histogram = config.op == AggregateOp::Histogram;
    if !is_histogram && !config.buckets.is_empty() {
        errors.add(format!("{path}.buckets"), "only a histogram has buckets", None);
    }
    if is_histogram && config.buckets.is_empty() {
        errors.add(
            format!("{path}.buckets"),
            "a histogram needs the upper bounds of its buckets",
            Some("such as buckets: [0, 2, 4, 8]"),
        );
    }
    let rising = config.buckets.windows(2).all(|pair| pair[0] < pair[1]);
    if !rising || config.buckets.iter().any(|bound| !bound.is_finite()) {
        errors.add(format!("{path}.buckets"), "bounds must be finite and rise; +Inf is added", None);
    }
}

fn outputs_of(config: &AggregateConfig) -> Vec<Output> {
    let labels: Vec<String> = config.by.keys().cloned().collect();
    let output = |suffix: &str, unit: &str, labels: Vec<String>| Output {
        name: format!("{}{suffix}", config.name),
        unit: unit.to_owned(),
        description: config.description.clone(),
        kind: OutputKind::Gauge,
        labels,
    };
    if config.op != AggregateOp::Histogram {
        return vec![output("", &config.unit, labels)];
    }
    let mut with_le = labels.clone();
    with_le.push("le".to_owned());
    vec![output("_bucket", "", with_le), output("_sum", &config.unit, labels.clone()), output("_count", "", labels)]
}

impl Groups {
    /// Forgets the numbers of the last pass and keeps the groups.
    pub(super) fn begin(&mut self) {
        for group in self.known.values_mut() {
            group.numbers = Numbers::default();
        }
    }

    /// The group of these labels, made if there is room.
    fn find(&mut self, labels: &[Option<Cow<'_, str>>], max_groups: usize) -> Option<&mut Group> {
        self.key.clear();
        for label in labels {
            match label {
                None => self.key.push(0),
                Some(text) => {
                    self.key.push(1);
                    self.key.extend_from_slice(&(text.len() as u64).to_le_bytes());
                    self.key.extend_from_slice(text.as_bytes());
                }
            }
        }
        if !self.known.contains_key(self.key.as_slice()) {
            if self.known.len() >= max_groups {
                return None;
            }
            let labels = labels.iter().map(|label| label.as_deref().map(str::to_owned)).collect();
            self.known.insert(self.key.as_slice().into(), Group { labels, numbers: Numbers::default() });
        }
        self.known.get_mut(self.key.as_slice())
    }
}

impl Numbers {
    fn add(&mut self, number: Number, bounds: &[f64]) {
        self.count += 1;
        match number {
            Number::Int(int) => self.ints += i128::from(int),
            Number::Float(float) => {
                self.floats += float;
                self.has_floats = true;
            }
        }
        let float = number.as_f64();
        self.min = Some(self.min.map_or(float, |min| min.min(float)));
        self.max = Some(self.max.map_or(float, |max| max.max(float)));
        if !bounds.is_empty() {
            self.buckets.resize(bounds.len() + 1, 0);
            let bucket = bounds.partition_point(|bound| *bound < float);
            self.buckets[bucket] += 1;
        }
    }

    fn sum(&self) -> Number {
        match i64::try_from(self.ints) {
            Ok(int) if !self.has_floats => Number::Int(int),
            _ => Number::Float(self.ints as f64 + self.floats),
        }
    }
}

/// A float as an integer if it is one that is exact.
fn whole_if_whole(float: f64) -> Number {
    const EXACT: f64 = 9_007_199_254_740_992.0; // 2^53
    if float.fract() == 0.0 && float.abs() <= EXACT { Number::Int(float as i64) } else { Number::Float(float) }
}
