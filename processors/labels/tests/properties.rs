//! What holds for every config and every batch: the result is what a naive translation gives, sorted, legal and bounded,
//! and a second time changes nothing. The kit checks conservation.

use std::collections::BTreeMap;

use proptest::prelude::*;
use steadyline_component::telemetry::metrics::{MetricDef, NumberValue};
use steadyline_component::telemetry::{MetricKind, Metrics, MetricsBuilder, Temporality, Value};
use steadyline_component::testkit::ProcessorHarness;
use steadyline_component::{Batch, Data};
use steadyline_processor_labels::LabelsFactory;
use steadyline_prometheus::labels::join;
use steadyline_prometheus::{
    NameKind, TranslationStrategy, is_legal_label_name, is_legal_metric_name, label_name, metric_name, put_attribute,
};

/// Keys that meet each other when translated, keys that cannot be labels, keys that mean something.
const KEYS: [&str; 14] = [
    "a.b",
    "a_b",
    "a-b",
    "c",
    "Z",
    "0x",
    "_x",
    "__name__",
    "____",
    "",
    "env",
    "job",
    "service.name",
    "service.instance.id",
];
const STRATEGIES: [TranslationStrategy; 4] = [
    TranslationStrategy::UnderscoreEscapingWithSuffixes,
    TranslationStrategy::UnderscoreEscapingWithoutSuffixes,
    TranslationStrategy::NoUtf8EscapingWithSuffixes,
    TranslationStrategy::NoTranslation,
];
const NAMES: [&str; 8] = ["m", "http.requests", "x_total", "9lives", "...", "", "ratio", "größe"];
const UNITS: [&str; 4] = ["", "s", "1", "By/s"];

#[derive(Debug, Clone)]
struct Config {
    strategy: TranslationStrategy,
    namespace: &'static str,
    keep: Option<Vec<&'static str>>,
    drop: Vec<&'static str>,
    resource: Vec<&'static str>,
    set: Option<&'static str>,
    overwrite: bool,
    collision: &'static str,
    max_value: usize,
    cut: bool,
    max_labels: usize,
}

fn config() -> impl Strategy<Value = Config> {
    let label = || prop::sample::select(vec!["a_b", "a.b", "c", "env", "job", "instance", "key_x", "Z"]);
    let names = (prop::sample::select(STRATEGIES.to_vec()), prop::sample::select(vec!["", "app"]));
    let choice = (
        prop::option::of(prop::collection::vec(label(), 1..6)),
        prop::collection::vec(label(), 0..2),
        prop::collection::vec(prop::sample::select(vec!["env", "a.b", "*"]), 0..2),
    );
    let set = (prop::option::of(prop::sample::select(vec!["", "prod"])), any::<bool>());
    let collision = prop::sample::select(vec!["join", "first", "last", "drop_point"]);
    let bounds = (prop::sample::select(vec![3, 2048]), any::<bool>(), prop::sample::select(vec![3, 150]));
    (names, choice, set, collision, bounds).prop_map(|(names, choice, set, collision, bounds)| Config {
        strategy: names.0,
        namespace: names.1,
        keep: choice.0,
        drop: choice.1,
        resource: choice.2,
        set: set.0,
        overwrite: set.1,
        collision,
        max_value: bounds.0,
        cut: bounds.1,
        max_labels: bounds.2,
    })
}

impl Config {
    fn yaml(&self) -> String {
        let list = |names: &[&str]| names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
        let mut yaml = format!(
            "translation_strategy: {}\nnamespace: '{}'\ndrop: [{}]\nresource: [{}]\noverwrite: {}\non_collision: {}\n",
            self.strategy.as_str(),
            self.namespace,
            list(&self.drop),
            list(&self.resource),
            self.overwrite,
            self.collision
        );
        yaml += &format!(
            "max_label_value_bytes: {}\non_long_value: {}\nmax_labels: {}\n",
            self.max_value,
            if self.cut { "truncate" } else { "drop_point" },
            self.max_labels
        );
        yaml += &self.keep.as_ref().map_or(String::new(), |keep| format!("keep: [{}]\n", list(keep)));
        yaml += &self.set.map_or(String::new(), |value| format!("set: {{env: '{value}'}}\n"));
        yaml
    }

    /// The label of an attribute. `listed`: whether it must be on a list even where `keep` is absent.
    fn label(&self, key: &str, from_resource: bool) -> Option<String> {
        let mut label = String::new();
        label_name(&mut label, key, self.strategy, false).ok()?;
        let is_label_of = |name: &&str| {
            let mut other = String::new();
            label_name(&mut other, name, self.strategy, false).is_ok() && other == label
        };
        let on = |list: &[&str]| list.contains(&key) || list.iter().any(is_label_of);
        let kept = self.keep.as_ref().map_or(!from_resource, |keep| on(keep));
        let copied = from_resource && (on(&self.resource) || self.resource.contains(&"*"));
        let dropped = self.drop.contains(&key) || self.drop.contains(&&*label);
        ((kept || copied) && !dropped && label != "__name__").then_some(label)
    }

    /// The labels of a point as they should be, or why it is dropped.
    fn labels(&self, resource: &Pairs, point: &Pairs) -> Result<Vec<(String, String)>, &'static str> {
        let of = |pairs: &Pairs, from_resource: bool| -> Vec<(String, String)> {
            let mut pairs = pairs.clone();
            pairs.sort_by(|a, b| a.0.cmp(b.0));
            pairs.iter().filter_map(|(key, value)| Some((self.label(key, from_resource)?, text(value)))).collect()
        };
        let constant = self.set.map(|value| ("env".to_string(), value.to_string()));
        let (above, below) = if self.overwrite { (constant, None) } else { (None, constant) };
        let mut service = Vec::new();
        for (label, key) in [("job", "service.name"), ("instance", "service.instance.id")] {
            let mut values = resource.iter().filter(|(name, _)| *name == key).map(|(_, value)| text(value)).peekable();
            if values.peek().is_some() && self.label(label, false).is_some() {
                service.push((label.to_string(), values.find(|value| !value.is_empty()).unwrap_or_default()));
            }
        }
        let tiers = [service, of(point, false), of(resource, true), below.into_iter().collect()];
        let mut labels: BTreeMap<String, String> = BTreeMap::new();
        for tier in tiers {
            let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for (label, value) in tier {
                let values = values.entry(label).or_default();
                if !value.is_empty() {
                    values.push(value);
                }
            }
            for (label, values) in values {
                let value = labels.entry(label.clone()).or_default();
                let overwritten = above.as_ref().is_some_and(|(name, _)| *name == label);
                if value.is_empty() && !overwritten {
                    *value = self.combine(&values)?;
                }
            }
        }
        labels.extend(above);
        let labels = labels.into_iter().map(|(label, value)| self.bounded(value).map(|value| (label, value)));
        let labels = labels.collect::<Result<Vec<_>, _>>()?;
        let told = labels.iter().filter(|(_, value)| !value.is_empty()).count();
        if told + 1 > self.max_labels { Err("too_many_labels") } else { Ok(labels) }
    }

    fn combine(&self, values: &[String]) -> Result<String, &'static str> {
        let mut joined = String::new();
        values.iter().for_each(|value| join(&mut joined, value));
        match (self.collision, values) {
            (_, []) => Ok(String::new()),
            (_, [one]) => Ok(one.clone()),
            ("first", [first, ..]) => Ok(first.clone()),
            ("last", [.., last]) => Ok(last.clone()),
            ("drop_point", [first, ..]) if joined != *first => Err("label_collision"),
            _ => Ok(joined),
        }
    }

    fn bounded(&self, mut value: String) -> Result<String, &'static str> {
        if value.len() > self.max_value && !self.cut {
            return Err("label_value_too_long");
        }
        while value.len() > self.max_value {
            value.pop();
        }
        Ok(value)
    }

    fn name(&self, point: &Point) -> Option<String> {
        let mut name = String::new();
        let kind = if point.monotonic { NameKind::MonotonicSum } else { NameKind::Gauge };
        metric_name(&mut name, point.name, point.unit, kind, self.namespace, self.strategy).ok()?;
        Some(name)
    }
}

type Pairs = Vec<(&'static str, Attribute)>;

#[derive(Debug, Clone, PartialEq)]
enum Attribute {
    Empty,
    Text(String),
    Int(i64),
    Bool(bool),
    Double(f64),
}

impl Attribute {
    fn value(&self) -> Value<'_> {
        match self {
            Attribute::Empty => Value::Empty,
            Attribute::Text(text) => Value::text(text),
            Attribute::Int(int) => Value::Int(*int),
            Attribute::Bool(bool) => Value::Bool(*bool),
            Attribute::Double(double) => Value::Double(*double),
        }
    }
}

fn text(attribute: &Attribute) -> String {
    let mut out = Vec::new();
    put_attribute(&mut out, attribute.value());
    String::from_utf8(out).unwrap_or_default()
}

fn pairs() -> impl Strategy<Value = Pairs> {
    let value = prop_oneof![
        1 => Just(Attribute::Empty),
        5 => "[ab]{0,2}|[é]{2}|[a-d]{4}".prop_map(Attribute::Text),
        1 => any::<i64>().prop_map(Attribute::Int),
        1 => any::<bool>().prop_map(Attribute::Bool),
        1 => (-9..9i32).prop_map(|n| Attribute::Double(f64::from(n) / 4.0)),
    ];
    prop::collection::vec((prop::sample::select(KEYS.to_vec()), value), 0..5)
}

#[derive(Debug, Clone)]
struct Point {
    name: &'static str,
    unit: &'static str,
    monotonic: bool,
    pairs: Pairs,
    /// A value, "no value", or a confirmation.
    value: NumberValue,
}

fn point() -> impl Strategy<Value = Point> {
    let value = prop_oneof![4 => any::<i64>().prop_map(NumberValue::Int), 1 => Just(NumberValue::NoValue), 1 => Just(NumberValue::Held)];
    let name = (prop::sample::select(NAMES.to_vec()), prop::sample::select(UNITS.to_vec()), any::<bool>());
    (name, pairs(), value).prop_map(|((name, unit, monotonic), pairs, value)| Point {
        name,
        unit,
        monotonic,
        pairs,
        value,
    })
}

type Resources = Vec<(Pairs, Vec<Point>)>;

fn resources() -> impl Strategy<Value = Resources> {
    prop::collection::vec((pairs(), prop::collection::vec(point(), 0..6)), 0..4)
}

fn batch(resources: &Resources) -> Metrics {
    let mut builder = MetricsBuilder::new();
    for (resource, points) in resources {
        builder.resource(resource.iter().map(|(key, value)| (*key, value.value())));
        builder.scope("scope", "1");
        for point in points {
            let sum = MetricKind::Sum { temporality: Temporality::Cumulative, monotonic: true };
            let kind = if point.monotonic { sum } else { MetricKind::Gauge };
            let metric = builder.metric(MetricDef { name: point.name, description: "", unit: point.unit, kind });
            let shape = builder.shape(point.pairs.iter().map(|(key, _)| *key));
            let values: Vec<_> = point.pairs.iter().map(|(_, value)| builder.value(value.value())).collect();
            builder.number(metric, shape, &values, 1_000_000_000, 0, point.value);
        }
    }
    builder.finish()
}

/// A point as this test compares it: name, labels, value's bits, whether it has a value, whether it is one at all.
type Row = (String, Vec<(String, String)>, u64, bool, bool);

fn rows(metrics: &Metrics) -> Vec<Row> {
    let mut rows = Vec::new();
    for (_, _, metric) in metrics.iter() {
        for point in metrics.points_of(metric) {
            let labels = metrics.pairs(point.attributes());
            let labels =
                labels.map(|(key, value)| (key.to_string(), value.as_str().expect("every value is text").to_string()));
            let name = metrics.text(metric.name).to_string();
            rows.push((name, labels.collect(), point.bits, point.is_no_value(), point.held));
        }
    }
    rows
}

fn expected(config: &Config, resources: &Resources) -> (Vec<Row>, BTreeMap<String, u64>) {
    let (mut rows, mut dropped) = (Vec::new(), BTreeMap::new());
    for (resource, points) in resources {
        for point in points {
            let labels = config.labels(resource, &point.pairs);
            let bits = if let NumberValue::Int(int) = point.value { int as u64 } else { 0 };
            let (no_value, held) = (point.value == NumberValue::NoValue, point.value == NumberValue::Held);
            let reason = match (config.name(point), labels) {
                (Some(name), Ok(labels)) => {
                    rows.push((name, labels, bits, no_value, held));
                    continue;
                }
                (None, _) => "illegal_name",
                (_, Err(reason)) => reason,
            };
            *dropped.entry(reason.to_string()).or_insert(0) += 1;
        }
    }
    (rows, dropped)
}

/// A dropped point breaks one rule, and which is told first is nobody's promise.
fn total(dropped: &BTreeMap<String, u64>) -> u64 {
    dropped.values().sum()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_result_is_that_of_a_naive_translation_and_final(config in config(), resources in resources()) {
        let mut harness = ProcessorHarness::new::<LabelsFactory>(&config.yaml());
        harness.push_batch(Batch::metrics(batch(&resources)));
        let (wanted, dropped) = expected(&config, &resources);
        let found = harness.batches.first().and_then(Batch::as_metrics).map(rows).unwrap_or_default();
        prop_assert_eq!(&found, &wanted);
        let counted = harness.tally.balance().dropped.into_iter().map(|(why, count)| (why.to_string(), count)).collect();
        prop_assert_eq!(total(&counted), total(&dropped));
        for (name, labels, ..) in &found {
            prop_assert!(labels.windows(2).all(|pair| pair[0].0 < pair[1].0), "{:?} is sorted", labels);
            prop_assert!(labels.iter().all(|(_, value)| value.len() <= config.max_value));
            if config.strategy.escapes() {
                prop_assert!(is_legal_metric_name(name), "{}", name);
                prop_assert!(labels.iter().all(|(label, _)| is_legal_label_name(label)), "{:?}", labels);
            }
        }
        let Some(once) = harness.batches.pop() else { return Ok(()) };
        harness.push_batch(once);
        let twice = harness.batches.first().and_then(Batch::as_metrics).map(rows).unwrap_or_default();
        prop_assert_eq!(twice, wanted);
    }

    #[test]
    fn what_is_above_the_points_stays(resources in resources()) {
        let before = batch(&resources);
        let mut harness = ProcessorHarness::new::<LabelsFactory>("{keep: [a_b, env, job]}");
        harness.push_batch(Batch::metrics(before.clone()));
        let Some(Batch { data: Data::Metrics(after), .. }) = harness.batches.pop() else { return Ok(()) };
        let resources_of = |metrics: &Metrics| -> Vec<String> {
            let resources = metrics.tables().resources.iter();
            resources.map(|one| format!("{:?}", metrics.pairs(one.attributes).collect::<Vec<_>>())).collect()
        };
        prop_assert_eq!(resources_of(&after), resources_of(&before));
        let heads = |metrics: &Metrics| -> Vec<_> {
            let heads = metrics.iter().map(|(_, scope, metric)| {
                (metrics.text(scope.name).to_string(), metrics.text(metric.unit).to_string(), metric.kind)
            });
            heads.collect()
        };
        prop_assert_eq!(heads(&after), heads(&before));
    }
}
