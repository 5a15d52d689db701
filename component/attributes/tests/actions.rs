//! Actions on points, on lists of a tree and on a naive map agree; each action as a table; mistakes say where they are.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::{Exemplar, HistogramDataPoint, MetricsData, metric};
use proptest::prelude::*;
use prost::Message;
use steadyline_attributes::value::{self, ConvertedType, to_any};
use steadyline_attributes::{ActionConfig, Actions, Chosen, Fixed, Problems, Read};
use steadyline_component::testkit;
use steadyline_telemetry::metrics::{MetricDef, NumberValue};
use steadyline_telemetry::{Limits, MetricKind, Metrics, MetricsBuilder, Temporality, Value};

fn actions(json: &str) -> Actions {
    let (actions, problems) = try_actions(json);
    assert!(problems.errors().is_empty(), "{problems:?}");
    actions
}

fn try_actions(json: &str) -> (Actions, Problems) {
    let configs: Vec<ActionConfig> = serde_json::from_str(json).unwrap();
    let mut problems = Problems::default();
    (Actions::new(&configs, "actions", &mut problems), problems)
}

/// As a batch that arrived.
fn arrived(points: &str) -> Metrics {
    Metrics::decode(testkit::metrics(points).encode(), &Limits::default()).unwrap()
}

#[test]
fn each_action_as_a_table() {
    let rows = [
        (r#"[{"key":"new","action":"insert","value":1}]"#, r#"m{a="x"} 1"#, r#"m{a="x",new=1} 1"#),
        (r#"[{"key":"a","action":"INSERT","value":1}]"#, r#"m{a="x"} 1"#, r#"m{a="x"} 1"#),
        (r#"[{"key":"a","action":"update","value":true}]"#, r#"m{a="x",b=2} 1"#, r#"m{a=true,b=2} 1"#),
        (r#"[{"key":"z","action":"update","value":1}]"#, r#"m{a="x"} 1"#, r#"m{a="x"} 1"#),
        (r#"[{"key":"a","action":"upsert","value":1.5}]"#, r#"m{a="x"} 1"#, r#"m{a=1.5} 1"#),
        (r#"[{"key":"z","action":"upsert","from_attribute":"a"}]"#, r#"m{a="x"} 1"#, r#"m{a="x",z="x"} 1"#),
        (r#"[{"key":"z","action":"upsert","from_attribute":"q"}]"#, r#"m{a="x"} 1"#, r#"m{a="x"} 1"#),
        (
            r#"[{"key":"z","action":"upsert","from_attribute":"q","default_value":"d"}]"#,
            r#"m{a="x"} 1"#,
            r#"m{a="x",z="d"} 1"#,
        ),
        (r#"[{"key":"a","action":"delete"}]"#, r#"m{a="x",b=2} 1"#, r#"m{b=2} 1"#),
        (r#"[{"pattern":"^k8s\\.","action":"delete"}]"#, r#"m{k8s.pod="x",a.k8s.b=1} 1"#, r#"m{a.k8s.b=1} 1"#),
        (r#"[{"key":"a","pattern":"c","action":"delete"}]"#, r#"m{a="x",b=2,cc=3} 1"#, r#"m{b=2} 1"#),
        (
            r#"[{"key":"a","action":"hash"}]"#,
            r#"m{a="abc",b=2} 1"#,
            r#"m{a="ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",b=2} 1"#,
        ),
        (
            r#"[{"key":"a","action":"extract","pattern":"(?P<region>\\w+)-(?P<b>\\d)"}]"#,
            r#"m{a="eu-1",b=2} 1"#,
            r#"m{a="eu-1",b="1",region="eu"} 1"#,
        ),
        (r#"[{"key":"a","action":"extract","pattern":"(?P<n>\\d)"}]"#, r#"m{a="eu"} 1"#, r#"m{a="eu"} 1"#),
        (r#"[{"key":"a","action":"extract","pattern":"(?P<n>\\d)"}]"#, r#"m{a=5} 1"#, r#"m{a=5} 1"#),
        (r#"[{"key":"a","action":"convert","converted_type":"int"}]"#, r#"m{a="12"} 1"#, r#"m{a=12} 1"#),
        (r#"[{"key":"a","action":"convert","converted_type":"string"}]"#, r#"m{a=1.5} 1"#, r#"m{a="1.5"} 1"#),
        // Each sees what the one before it left.
        (
            r#"[{"key":"b","action":"insert","from_attribute":"a"},{"key":"a","action":"delete"}]"#,
            r#"m{a="x"} 1"#,
            r#"m{b="x"} 1"#,
        ),
        (
            r#"[{"key":"a","action":"extract","pattern":"(?P<n>\\d)"},
                {"key":"n","action":"convert","converted_type":"int"},{"key":"a","action":"delete"}]"#,
            r#"m{a="x7"} 1"#,
            r#"m{n=7} 1"#,
        ),
    ];
    for (config, before, after) in rows {
        let mut metrics = arrived(before);
        let bytes = metrics.encode();
        let changed = actions(config).edit_points(&mut metrics, &Chosen::All);
        assert_eq!(testkit::render(&metrics), [after], "{config}");
        let again = Metrics::decode(metrics.encode(), &Limits::default()).unwrap();
        assert_eq!(testkit::render(&again), [after], "{config}");
        if !changed {
            assert_eq!((before, metrics.encode()), (after, bytes), "an unchanged batch is the bytes that arrived");
        }
    }
}

#[test]
fn only_chosen_points_change_and_shapes_stay_apart() {
    let config = actions(r#"[{"key":"b","action":"upsert","value":"new"},{"key":"a","action":"delete"}]"#);
    let mut metrics = arrived("m{a=\"1\"} 1\nm{b=\"2\"} 2\nm 3\nm{a=\"4\",b=\"4\"} 4\n");
    assert!(config.edit_points(&mut metrics, &Chosen::Some(vec![true, false, true, true])));
    let expected = ["m{b=\"new\"} 1", "m{b=\"2\"} 2", "m{b=\"new\"} 3", "m{b=\"new\"} 4"];
    assert_eq!(testkit::render(&metrics), expected);
    let mut untouched = arrived("m{a=\"1\"} 1");
    let bytes = untouched.encode();
    assert!(!config.edit_points(&mut untouched, &Chosen::None));
    assert_eq!(untouched.encode(), bytes);
}

#[test]
fn resources_change_without_their_points() {
    let config = actions(r#"[{"key":"env","action":"upsert","value":"prod"}]"#);
    let mut metrics = arrived("resource{env=\"dev\",x=1}\nm{a=\"1\"} 1\nresource{y=2}\nm{a=\"2\"} 2");
    let points = metrics.tables().points.clone();
    assert!(config.edit_resources(&mut metrics));
    let expected = ["resource{env=\"prod\",x=1}", "m{a=\"1\"} 1", "resource{y=2,env=\"prod\"}", "m{a=\"2\"} 2"];
    assert_eq!(testkit::render(&metrics), expected);
    assert_eq!(metrics.tables().points, points);
}

#[test]
fn histograms_keep_their_buckets() {
    let body = HistogramDataPoint {
        count: 3,
        bucket_counts: vec![1, 2],
        explicit_bounds: vec![0.5],
        exemplars: vec![Exemplar { filtered_attributes: vec![pair("secret")], ..Exemplar::default() }],
        ..HistogramDataPoint::default()
    };
    let mut builder = MetricsBuilder::new();
    let kind = MetricKind::Histogram { temporality: Temporality::Cumulative };
    let metric = builder.metric(MetricDef { kind, ..MetricDef::gauge("h") });
    let shape = builder.shape(["secret", "a"]);
    let values = [builder.value(Value::text("x")), builder.value(Value::text("y"))];
    builder.body(metric, shape, &values, 5, 0, 0, &body.encode_to_vec());
    let mut metrics = Metrics::decode(builder.finish().encode(), &Limits::default()).unwrap();
    assert!(actions(r#"[{"key":"secret","action":"delete"}]"#).edit_points(&mut metrics, &Chosen::All));
    let data = MetricsData::decode(metrics.encode()).unwrap();
    let metric = &data.resource_metrics[0].scope_metrics[0].metrics[0];
    let Some(metric::Data::Histogram(histogram)) = &metric.data else { panic!("no histogram") };
    let point = &histogram.data_points[0];
    assert_eq!(point.attributes.iter().map(|pair| &*pair.key).collect::<Vec<_>>(), ["a"]);
    assert_eq!((point.count, &*point.bucket_counts, point.time_unix_nano), (3, &[1, 2][..], 5));
    assert_eq!(point.exemplars, body.exemplars, "exemplars are no attributes of the point");
}

fn pair(key: &str) -> KeyValue {
    KeyValue { key: key.into(), value: Some(to_any(Value::Bool(true))), ..KeyValue::default() }
}

#[test]
fn mistakes_say_where_they_are() {
    let rows = [
        ("[]", "actions", "there is nothing to do"),
        (r#"[{"action":"insert","value":1}]"#, "actions[0]", "`insert` needs a `key`"),
        (r#"[{"action":"delete"}]"#, "actions[0]", "`delete` needs a `key` or a `pattern`"),
        (r#"[{"key":"a","action":"insert"}]"#, "actions[0]", "`insert` needs a `value`"),
        (
            r#"[{"key":"a","action":"insert","value":1,"from_attribute":"b"}]"#,
            "actions[0]",
            "`value` and `from_attribute` exclude",
        ),
        (
            r#"[{"key":"a","action":"insert","value":1,"default_value":1}]"#,
            "actions[0].default_value",
            "goes with `from_attribute`",
        ),
        (r#"[{"key":"a","action":"delete","value":1}]"#, "actions[0].value", "`delete` does not use `value`"),
        (r#"[{"pattern":"(","action":"hash"}]"#, "actions[0].pattern", "not a regular expression: unclosed group"),
        (r#"[{"key":"a","action":"extract"}]"#, "actions[0]", "`extract` needs a `pattern`"),
        (r#"[{"key":"a","action":"extract","pattern":"(\\d)"}]"#, "actions[0].pattern", "every group needs a name"),
        (r#"[{"key":"a","action":"extract","pattern":"x"}]"#, "actions[0].pattern", "every group needs a name"),
        (r#"[{"key":"a","action":"convert"}]"#, "actions[0]", "`convert` needs a `converted_type`"),
    ];
    for (config, path, part) in rows {
        let problems = try_actions(config).1;
        let found = problems.errors().iter().any(|(at, message)| at == path && message.contains(part));
        assert!(found, "{config}: {problems:?}");
    }
}

const KEYS: [&str; 4] = ["a", "b", "c", "k8s.pod"];

#[derive(Debug, Clone)]
enum Step {
    Put(&'static str, &'static str, i64),
    Copy(&'static str, &'static str, &'static str),
    Delete(&'static str),
    DeleteMatching(&'static str),
    Hash(&'static str),
    Extract(&'static str),
    Convert(&'static str, ConvertedType),
}

fn step() -> impl Strategy<Value = Step> {
    let key = || prop::sample::select(KEYS.to_vec());
    let put = || prop::sample::select(vec!["insert", "update", "upsert"]);
    let types = vec![ConvertedType::Int, ConvertedType::Double, ConvertedType::String];
    prop_oneof![
        (put(), key(), 0..9i64).prop_map(|(put, key, value)| Step::Put(put, key, value)),
        (put(), key(), key()).prop_map(|(put, key, from)| Step::Copy(put, key, from)),
        key().prop_map(Step::Delete),
        prop::sample::select(vec!["^k8s", "[ab]"]).prop_map(Step::DeleteMatching),
        key().prop_map(Step::Hash),
        key().prop_map(Step::Extract),
        (key(), prop::sample::select(types)).prop_map(|(key, to)| Step::Convert(key, to)),
    ]
}

fn json(step: &Step) -> serde_json::Value {
    use serde_json::json;
    match step {
        Step::Put(action, key, value) => json!({"action": action, "key": key, "value": value}),
        Step::Copy(action, key, from) => json!({"action": action, "key": key, "from_attribute": from}),
        Step::Delete(key) => json!({"action": "delete", "key": key}),
        Step::DeleteMatching(pattern) => json!({"action": "delete", "pattern": pattern}),
        Step::Hash(key) => json!({"action": "hash", "key": key}),
        Step::Extract(key) => json!({"action": "extract", "key": key, "pattern": "^(?P<b>[a-f])(?P<d>[0-9]+)"}),
        Step::Convert(key, to) => json!({"action": "convert", "key": key, "converted_type": to}),
    }
}

/// What the actions mean, on a map.
fn model(map: &mut BTreeMap<String, Fixed>, step: &Step) {
    let wanted = |map: &BTreeMap<String, Fixed>, action: &str, key: &str| match action {
        "insert" => !map.contains_key(key),
        "update" => map.contains_key(key),
        _ => true,
    };
    match step {
        Step::Put(action, key, value) if wanted(map, action, key) => {
            map.insert((*key).into(), Fixed::new(Value::Int(*value)));
        }
        Step::Copy(action, key, from) if wanted(map, action, key) => {
            if let Some(value) = map.get(*from).cloned() {
                map.insert((*key).into(), value);
            }
        }
        Step::Put(..) | Step::Copy(..) => {}
        Step::Delete(key) => drop(map.remove(*key)),
        Step::DeleteMatching("^k8s") => map.retain(|key, _| !key.starts_with("k8s")),
        Step::DeleteMatching(_) => map.retain(|key, _| !key.contains(['a', 'b'])),
        Step::Hash(key) => {
            if let Some(value) = map.get_mut(*key) {
                *value = Fixed::text(&value::hash(value.value()));
            }
        }
        Step::Extract(key) => {
            let text = map.get(*key).and_then(|value| value.value().as_str().map(str::to_owned)).unwrap_or_default();
            let digits: String = text.chars().skip(1).take_while(char::is_ascii_digit).collect();
            if text.starts_with(|c| ('a'..='f').contains(&c)) && !digits.is_empty() {
                map.insert("b".into(), Fixed::text(&text[..1]));
                map.insert("d".into(), Fixed::text(&digits));
            }
        }
        Step::Convert(key, to) => {
            if let Some(value) = map.get_mut(*key)
                && let Some(converted) = value::convert(value.value(), *to)
            {
                *value = converted;
            }
        }
    }
}

fn point() -> impl Strategy<Value = BTreeMap<&'static str, Fixed>> {
    let value = prop_oneof![
        "[a-g0-9]{0,3}".prop_map(|text| Fixed::text(&text)),
        (-3..3i64).prop_map(|int| Fixed::new(Value::Int(int))),
        any::<bool>().prop_map(|bool| Fixed::new(Value::Bool(bool))),
        Just(Fixed::new(Value::Empty)),
    ];
    prop::collection::btree_map(prop::sample::select(KEYS.to_vec()), value, 0..4)
}

proptest! {
    #[test]
    fn points_and_trees_do_what_a_map_does(
        points in prop::collection::vec(point(), 1..6),
        steps in prop::collection::vec(step(), 1..6),
    ) {
        let config: Vec<_> = steps.iter().map(json).collect();
        let actions = actions(&serde_json::to_string(&config).unwrap());
        let expected: Vec<BTreeMap<String, Fixed>> = points
            .iter()
            .map(|point| {
                let mut map = point.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
                steps.iter().for_each(|step| model(&mut map, step));
                map
            })
            .collect();

        let mut builder = MetricsBuilder::new();
        let metric = builder.metric(MetricDef::gauge("m"));
        for (n, point) in points.iter().enumerate() {
            let shape = builder.shape(point.keys().copied());
            let values: Vec<_> = point.values().map(|value| builder.value(value.value())).collect();
            builder.number(metric, shape, &values, 1, 0, NumberValue::Int(n as i64));
        }
        let mut metrics = Metrics::decode(builder.finish().encode(), &Limits::default()).unwrap();
        let bytes = metrics.encode();
        let changed = actions.edit_points(&mut metrics, &Chosen::All);
        let copy = |metrics: &Metrics, row: usize| -> BTreeMap<String, Fixed> {
            let set = metrics.tables().points[row].attributes();
            metrics.pairs(set).map(|(key, value)| (key.to_owned(), Fixed::new(value))).collect()
        };
        let again = Metrics::decode(metrics.encode(), &Limits::default()).unwrap();
        for (row, expected) in expected.iter().enumerate() {
            prop_assert_eq!(&copy(&metrics, row), expected);
            prop_assert_eq!(&copy(&again, row), expected);
        }
        if !changed {
            prop_assert_eq!(metrics.encode(), bytes);
        }

        for (point, expected) in points.iter().zip(&expected) {
            let pair = |(key, value): (&&str, &Fixed)| KeyValue {
                key: (*key).to_owned(),
                value: Some(to_any(value.value())),
                ..KeyValue::default()
            };
            let before: Vec<KeyValue> = point.iter().map(pair).collect();
            let mut list = before.clone();
            let changed = actions.edit_list(&mut list);
            prop_assert!(changed || list == before);
            let map: BTreeMap<String, Fixed> = list
                .iter()
                .map(|pair| (pair.key.clone(), Fixed::new(Read::any(pair.value.as_ref()).value())))
                .collect();
            prop_assert_eq!(&map, expected);
        }
    }
}
