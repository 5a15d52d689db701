//! Arbitrary points: every series arrives once, legal, sorted and in order, and the last value of each moment wins.

use std::collections::BTreeMap;

use proptest::prelude::*;
use steadyline_component::Batch;
use steadyline_telemetry::metrics::{MetricDef, NumberValue};
use steadyline_telemetry::{MetricsBuilder, Value};

use crate::common::{Rig, series};

#[derive(Debug, Clone)]
struct Given {
    name: usize,
    labels: Vec<(String, String)>,
    time: u64,
    value: i32,
}

fn given(key: &'static str) -> impl Strategy<Value = Vec<Given>> {
    let labels = prop::collection::vec((key, "[a-cé]{0,2}"), 0..4);
    let point = (0..3usize, labels, 1..4u64, any::<i32>());
    prop::collection::vec(point.prop_map(|(name, labels, time, value)| Given { name, labels, time, value }), 0..40)
}

fn batch(points: &[Given], names: &[&str]) -> Batch {
    let mut builder = MetricsBuilder::new();
    builder.resource([("service.name", Value::text("api")), ("z.one", Value::text("1"))]);
    let metrics: Vec<_> = names.iter().map(|name| builder.metric(MetricDef::gauge(name))).collect();
    for point in points {
        let shape = builder.shape(point.labels.iter().map(|(key, _)| key.as_str()));
        let values: Vec<_> = point.labels.iter().map(|(_, value)| builder.value(Value::text(value))).collect();
        let time = point.time * 1_000_000;
        builder.number(metrics[point.name], shape, &values, time, 0, NumberValue::Int(point.value.into()));
    }
    Batch::metrics(builder.finish())
}

type Expected = BTreeMap<(Vec<(String, String)>, i64), f64>;

/// The samples in blocks; that none stands twice is checked for each block, and here for all together.
fn sent(rig: &mut Rig, batch: &Batch) -> Expected {
    let mut all = Expected::new();
    for (labels, samples, _) in rig.blocks(batch).iter().flat_map(series) {
        for sample in samples {
            let old = all.insert((labels.clone(), sample.timestamp), f64::from_bits(sample.value));
            assert_eq!(old, None, "{labels:?} at {} twice", sample.timestamp);
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn final_series_arrive_once_with_their_last_value(points in given("[A-Z_a-d]{1,3}"), shards in 1..4u32) {
        // What a labels processor leaves: sorted, unique keys.
        let points: Vec<Given> = points
            .into_iter()
            .map(|mut point| {
                point.labels.sort();
                point.labels.dedup_by(|a, b| a.0 == b.0);
                point
            })
            .collect();
        let names = ["a", "b", "a"];
        let mut expected = Expected::new();
        // Points of one metric stand together in a batch.
        for (metric, name) in names.iter().enumerate() {
            for point in points.iter().filter(|point| point.name == metric) {
                let mut labels = vec![("__name__".to_string(), name.to_string())];
                labels.extend(point.labels.iter().filter(|(_, value)| !value.is_empty()).cloned());
                labels.sort();
                expected.insert((labels, point.time as i64), point.value.into());
            }
        }
        let mut batch = batch(&points, &names);
        batch.header.labels_final = true;
        let mut rig = Rig::new("max_samples_per_send: 7");
        rig.shards = shards;
        prop_assert_eq!(sent(&mut rig, &batch), expected);
    }

    #[test]
    fn a_promise_that_no_series_comes_twice_changes_no_byte(
        points in given("(le|job|__name__|[A-Z_a-d]{1,3})"),
        external in any::<bool>(),
        shards in 1..4u32,
    ) {
        let mut seen = std::collections::HashSet::new();
        let points: Vec<Given> = points
            .into_iter()
            .map(|mut point| {
                point.labels.retain(|(_, value)| !value.is_empty());
                point.labels.sort();
                point.labels.dedup_by(|a, b| a.0 == b.0);
                point
            })
            .filter(|point| seen.insert((point.name, point.labels.clone())))
            .collect();
        let plain = crate::common::final_batch(batch(&points, &["a", "b", "c"]).as_metrics().unwrap().clone());
        let mut promised = plain.clone();
        if let steadyline_component::Data::Metrics(metrics) = &mut promised.data {
            metrics.set_distinct();
        }
        let yaml = if external { "external_labels: {a: ab}" } else { "max_samples_per_send: 7" };
        let bytes = |batch: &Batch| {
            let mut rig = Rig::new(yaml);
            rig.shards = shards;
            rig.blocks(batch).iter().map(|block| block.payload.bytes().clone()).collect::<Vec<_>>()
        };
        prop_assert_eq!(bytes(&plain), bytes(&promised));
    }

    #[test]
    fn whatever_the_keys_are_the_series_are_legal(points in given("(le|job|__name__|a\\.b|a_b|[é.1_ ]{0,3})"), convert: bool) {
        let yaml = format!("resource_to_telemetry_conversion: {{enabled: {convert}}}\nexternal_labels: {{job: x, le_: y}}");
        let mut rig = Rig::new(&yaml);
        let batch = batch(&points, &["a.b", "a_b", "1"]);
        let all = sent(&mut rig, &batch);
        prop_assert_eq!(all.len() as u64 + rig.merged, points.len() as u64 + rig.created);
        for (labels, _) in all.keys() {
            prop_assert!(labels.contains(&("job".to_string(), "api".to_string())));
        }
        // Another encoder makes the same bytes of it.
        let bytes = || Rig::new(&yaml).blocks(&batch).iter().map(|b| b.payload.bytes().clone()).collect::<Vec<_>>();
        prop_assert_eq!(bytes(), bytes());
    }
}
