//! From batches to last values: names and labels as they will be shown, every point shown or counted.

use std::collections::HashMap;

use steadyline_component::{Batch, Now, Tally};
use steadyline_prometheus::labels::target_info;
use steadyline_prometheus::names::{NameKind, unit_words};
use steadyline_prometheus::{MetricKind, metric_name};
use steadyline_telemetry::metrics::{Metric, Resource};
use steadyline_telemetry::{Metrics, Point, ShapeId};

use crate::config::Rules;
use crate::labels::put_label;
use crate::losses::{self, Loss, Losses};
use crate::plan::{Fixed, Plan, resource_texts};
use crate::store::{FamilyMut, Head, Put, Series, Store};
use crate::value::{self, Value, kind_of};

/// Takes batches into a store.
#[derive(Debug)]
pub(crate) struct Intake {
    rules: Rules,
    losses: Losses,
    warned_of_namespace: bool,
    key: Vec<u8>,
    text: Vec<u8>,
}

/// What the points of one scope share.
struct ScopeContext<'b> {
    batch: &'b Metrics,
    fixed: Fixed,
    /// `None` where names and labels are final.
    rules: Option<&'b Rules>,
    plans: HashMap<(ShapeId, MetricKind), Result<Plan, Loss>>,
    now: Now,
}

/// Buffers that are kept from one point to the next.
struct Scratch<'i> {
    key: &'i mut Vec<u8>,
    text: &'i mut Vec<u8>,
}

impl Intake {
    /// An intake by these rules.
    pub(crate) fn new(rules: Rules) -> Intake {
        Intake { rules, losses: Losses::default(), warned_of_namespace: false, key: Vec::new(), text: Vec::new() }
    }

    /// Takes a batch of metrics.
    pub(crate) fn take(&mut self, batch: &Batch, store: &mut Store, now: Now, tally: &Tally) {
        let Some(metrics) = batch.as_metrics() else {
            tally.dropped("not_metrics", batch.items());
            return;
        };
        let is_final = batch.header.labels_final;
        if is_final {
            self.warn_of_namespace();
        }
        let mut merged = 0;
        for resource in &metrics.tables().resources {
            let texts = if is_final { Vec::new() } else { resource_texts(metrics, resource) };
            let pairs: Vec<(&str, &str)> = texts.iter().map(|(key, value)| (*key, value.as_str())).collect();
            if !is_final {
                self.put_target_info(metrics, resource, &pairs, store, now);
            }
            for scope in &metrics.tables().scopes[rows(&resource.scopes)] {
                let fixed = match is_final {
                    true => Fixed::of_final(&self.rules),
                    false => Fixed::new(metrics, &pairs, scope, &self.rules),
                };
                let rules = (!is_final).then_some(&self.rules);
                let mut context = ScopeContext { batch: metrics, fixed, rules, plans: HashMap::new(), now };
                let mut scratch = Scratch { key: &mut self.key, text: &mut self.text };
                for metric in &metrics.tables().metrics[rows(&scope.metrics)] {
                    merged += context.metric(metric, store, &mut scratch, &mut self.losses);
                }
            }
        }
        tally.merged(merged);
        self.losses.settle(tally, now.mono, losses::warn);
    }

    /// Shows what a resource is, unless there is nothing to say. It is no point: nothing is counted for it.
    fn put_target_info(
        &mut self,
        batch: &Metrics,
        resource: &Resource,
        pairs: &[(&str, &str)],
        store: &mut Store,
        now: Now,
    ) {
        let Some(labels) = target_info(pairs, self.rules.strategy, false) else { return };
        let Some(time) = newest(batch, resource) else { return };
        let time = if time == 0 { now.unix_nanos } else { time };
        let mut head = Head { kind: MetricKind::Info, help: "Target metadata".to_owned(), ..Head::default() };
        let (namespace, strategy) = (&self.rules.namespace, self.rules.strategy);
        if metric_name(&mut head.name, "target_info", "", NameKind::Other, namespace, strategy).is_err() {
            return;
        }
        let consts = self.rules.const_labels.iter().filter(|(name, _)| !labels.iter().any(|(other, _)| other == name));
        let mut all: Vec<&(String, String)> = labels.iter().chain(consts).collect();
        all.sort();
        self.key.clear();
        all.iter().for_each(|(name, value)| put_label(&mut self.key, name.as_bytes(), value.as_bytes()));
        let series = Series { time, start: 0, heard: now.mono, value: Value::Number(1.0), exemplars: Vec::new() };
        // Where there is no place for it, or somebody's own metric has its name, it is left out.
        let _ = store.family(&head).and_then(|mut family| family.put(&self.key, series));
        store.prune(&head.name);
    }

    fn warn_of_namespace(&mut self) {
        if !self.warned_of_namespace && !self.rules.namespace.is_empty() {
            self.warned_of_namespace = true;
            let namespace = &self.rules.namespace;
            tracing::warn!(
                namespace,
                "the names that arrive are final and do not get the namespace; set it where they are made"
            );
        }
    }
}

impl ScopeContext<'_> {
    /// Takes the points of a metric; returns how many a newer value had superseded.
    fn metric(&mut self, metric: &Metric, store: &mut Store, scratch: &mut Scratch<'_>, losses: &mut Losses) -> u64 {
        let points = self.batch.points_of(metric);
        let name = self.batch.text(metric.name);
        let (data, held): (Vec<&Point>, Vec<&Point>) = points.iter().partition(|point| !point.held);
        losses.add(Loss::Confirmation, held.len() as u64, name);
        if data.is_empty() {
            return 0;
        }
        let head = match self.head(metric) {
            Ok(head) => head,
            Err(loss) => {
                losses.add(loss, data.len() as u64, name);
                return 0;
            }
        };
        let mut merged = 0;
        match store.family(&head) {
            Err(loss) => losses.add(loss, data.len() as u64, &head.name),
            Ok(mut family) => {
                for point in data {
                    match self.point(metric, head.kind, point, &mut family, scratch) {
                        Ok(Put::Shown) => {}
                        Ok(Put::Superseded) => merged += 1,
                        Err(loss) => losses.add(loss, 1, &head.name),
                    }
                }
            }
        }
        store.prune(&head.name);
        merged
    }

    fn head(&self, metric: &Metric) -> Result<Head, Loss> {
        let batch = self.batch;
        let (name, unit) = (batch.text(metric.name), batch.text(metric.unit));
        let kind = kind_of(metric.kind)?;
        let mut head = Head { kind, help: batch.text(metric.description).to_owned(), ..Head::default() };
        unit_words(&mut head.unit, unit);
        match self.rules {
            Some(rules) => {
                let by_name = match metric.kind {
                    steadyline_telemetry::MetricKind::Gauge => NameKind::Gauge,
                    _ if kind == MetricKind::Counter => NameKind::MonotonicSum,
                    _ => NameKind::Other,
                };
                metric_name(&mut head.name, name, unit, by_name, &rules.namespace, rules.strategy)
                    .map_err(|_| Loss::NoName)?;
            }
            None if name.is_empty() => return Err(Loss::NoName),
            None => head.name.push_str(name),
        }
        Ok(head)
    }

    fn point(
        &mut self,
        metric: &Metric,
        kind: MetricKind,
        point: &Point,
        family: &mut FamilyMut<'_>,
        scratch: &mut Scratch<'_>,
    ) -> Result<Put, Loss> {
        let (batch, rules) = (self.batch, self.rules);
        let make = || Plan::new(batch, point.shape, kind, &self.fixed, rules);
        let plan = self.plans.entry((point.shape, kind)).or_insert_with(make).as_ref().map_err(|loss| *loss)?;
        scratch.key.clear();
        plan.put_labels(batch, batch.values(point.attributes()), scratch.text, scratch.key);
        // A point that does not say when is taken to be of the moment in which it arrives.
        let time = if point.time == 0 { self.now.unix_nanos } else { point.time };
        if point.is_no_value() {
            return Ok(family.end(scratch.key, time));
        }
        let value = Value::of(batch, metric.kind, point)?;
        let strategy = rules.map_or_else(Default::default, |rules| rules.strategy);
        let exemplars = value::exemplars(batch, metric.kind, point, strategy);
        family.put(scratch.key, Series { time, start: point.start, heard: self.now.mono, value, exemplars })
    }
}

/// The newest event time among the points of a resource.
fn newest(batch: &Metrics, resource: &Resource) -> Option<u64> {
    let scopes = &batch.tables().scopes[rows(&resource.scopes)];
    let metrics = scopes.iter().flat_map(|scope| &batch.tables().metrics[rows(&scope.metrics)]);
    let shown = metrics.filter(|metric| kind_of(metric.kind).is_ok()).flat_map(|metric| batch.points_of(metric));
    shown.filter(|point| !point.held && !point.is_no_value()).map(|point| point.time).max()
}

fn rows(range: &std::ops::Range<u32>) -> std::ops::Range<usize> {
    range.start as usize..range.end as usize
}
