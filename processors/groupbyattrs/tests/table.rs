//! The `groupbyattrs` processor as tables: config, in, out. The kit checks conservation.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, TracesData};
use proptest::prelude::*;
use steadyline_attributes::Tree;
use steadyline_attributes::value::{text, to_any};
use steadyline_component::telemetry::metrics::{MetricDef, NumberValue};
use steadyline_component::telemetry::{Limits, Metrics, MetricsBuilder, Signal, Value};
use steadyline_component::testkit::{self, ProcessorHarness, create};
use steadyline_component::{Batch, Data, Header};
use steadyline_processor_groupbyattrs::GroupByAttrsFactory;

/// Through the processor and through OTLP.
fn group(config: &str, metrics: Metrics) -> Metrics {
    let mut harness = ProcessorHarness::new::<GroupByAttrsFactory>(config);
    harness.push_batch(Batch::metrics(metrics));
    let out = harness.batches[0].as_metrics().unwrap();
    let again = Metrics::decode(out.encode(), &Limits::default()).unwrap();
    assert_eq!(testkit::render(&again), testkit::render(out));
    again
}

#[test]
fn points_move_to_their_resources() {
    let points = r#"
        resource{env="dev"}
        cpu{host="a",core=0} 1
        cpu{host="b",core=0} 2
        cpu{core=1,host="a"} 3
        cpu{core=9} 4
        mem{host="a"} 5
        resource{env="dev",host="a"}
        mem 6
    "#;
    let expected = [
        "resource{env=\"dev\",host=\"a\"}",
        "cpu{core=0} 1",
        "cpu{core=1} 3",
        "mem 5",
        "mem 6",
        "resource{env=\"dev\",host=\"b\"}",
        "cpu{core=0} 2",
        "resource{env=\"dev\"}",
        "cpu{core=9} 4",
    ];
    let out = group("keys: [host]", testkit::metrics(points));
    assert_eq!(testkit::render(&out), expected);
    assert_eq!(out.tables().metrics.len(), 4, "one metric for both `mem`");
}

#[test]
fn the_value_of_the_point_wins_and_keys_keep_their_order() {
    let out = group("keys: [b, a]", testkit::metrics("resource{a=\"old\"}\nm{a=\"new\",b=1,c=2} 1\nm{a=\"new\"} 2"));
    let expected = ["resource{a=\"new\",b=1}", "m{c=2} 1", "resource{a=\"new\"}", "m 2"];
    assert_eq!(testkit::render(&out), expected);
}

#[test]
fn without_keys_equal_resources_scopes_and_metrics_become_one() {
    let mut builder = MetricsBuilder::new();
    for (n, (a, scope, unit)) in
        [("x", "s", ""), ("x", "s", ""), ("y", "s", ""), ("x", "t", ""), ("x", "s", "ms")].into_iter().enumerate()
    {
        let pairs = [("a", Value::text(a)), ("b", Value::Int(1))];
        let order = if n % 2 == 0 { [pairs[0], pairs[1]] } else { [pairs[1], pairs[0]] };
        builder.resource(order);
        builder.scope(scope, "1");
        let metric = builder.metric(MetricDef { unit, ..MetricDef::gauge("m") });
        let shape = builder.shape(["k"]);
        let value = builder.value(Value::text("v"));
        builder.number(metric, shape, &[value], 1, 0, NumberValue::Int(n as i64));
    }
    let out = group("", builder.finish());
    let tables = out.tables();
    assert_eq!((tables.resources.len(), tables.scopes.len(), tables.metrics.len()), (2, 3, 4));
    assert_eq!(tables.points.iter().map(|point| point.bits).collect::<Vec<_>>(), [0, 1, 4, 3, 2]);
}

#[test]
fn a_batch_in_which_nothing_is_to_do_keeps_its_bytes() {
    let bytes = testkit::metrics("resource{a=1}\nm{x=1} 1\nn 2\nresource{a=2}\nm 3").encode();
    for config in ["keys: [host]", "keys: []"] {
        let mut harness = ProcessorHarness::new::<GroupByAttrsFactory>(config);
        let header = Header { labels_final: true, ..Header::default() };
        let metrics = Metrics::decode(bytes.clone(), &Limits::default()).unwrap();
        harness.push_batch(Batch { header, data: Data::Metrics(metrics) });
        assert_eq!(harness.batches[0].as_metrics().unwrap().encode().as_ptr(), bytes.as_ptr());
        assert!(harness.batches[0].header.labels_final);
    }
}

fn pair(key: &str, value: &str) -> KeyValue {
    KeyValue { key: key.into(), value: Some(to_any(Value::text(value))), ..KeyValue::default() }
}

/// A name and attributes.
type NamedSpan<'a> = (&'a str, &'a [(&'a str, &'a str)]);

fn root(resource: &[(&str, &str)], scopes: &[(&str, &[NamedSpan<'_>])]) -> ResourceSpans {
    let pairs = |list: &[(&str, &str)]| list.iter().map(|(key, value)| pair(key, value)).collect();
    ResourceSpans {
        resource: Some(Resource { attributes: pairs(resource), ..Resource::default() }),
        scope_spans: scopes
            .iter()
            .map(|(name, spans)| ScopeSpans {
                scope: Some(InstrumentationScope { name: (*name).into(), ..InstrumentationScope::default() }),
                spans: spans
                    .iter()
                    .map(|(name, attributes)| Span {
                        name: (*name).into(),
                        attributes: pairs(attributes),
                        ..Span::default()
                    })
                    .collect(),
                ..ScopeSpans::default()
            })
            .collect(),
        ..ResourceSpans::default()
    }
}

#[test]
fn spans_move_to_their_resources() {
    let traces = |roots| Tree::Traces(TracesData { resource_spans: roots });
    let before = vec![
        root(
            &[("env", "dev")],
            &[("s", &[("1", &[("host", "a"), ("x", "y")]), ("2", &[])]), ("t", &[("3", &[("host", "a")])])],
        ),
        root(&[("host", "a"), ("env", "dev")], &[("s", &[("4", &[])])]),
    ];
    let grouped = vec![
        root(&[("env", "dev"), ("host", "a")], &[("s", &[("1", &[("x", "y")]), ("4", &[])]), ("t", &[("3", &[])])]),
        root(&[("env", "dev")], &[("s", &[("2", &[])])]),
    ];
    let mut harness = ProcessorHarness::for_signal::<GroupByAttrsFactory>(Signal::Traces, "keys: [host]");
    for (before, after) in [(before, grouped.clone()), (grouped.clone(), grouped)] {
        harness.push_batch(Batch { header: Header::default(), data: Data::Opaque(traces(before).encode()) });
        let Data::Opaque(out) = &harness.batches[0].data else { panic!("not opaque") };
        assert_eq!(Tree::decode(out).unwrap(), traces(after));
    }
}

#[test]
fn mistakes_are_told_with_their_place() {
    for (config, part) in [
        ("keys: [a, \"\"]", "groupbyattrs.keys[1]: the key of an attribute is not empty"),
        ("keys: [a, b, a]", "groupbyattrs.keys[2]: `a` is listed twice"),
        ("key: a", "unknown key `key`"),
    ] {
        let error = create::<GroupByAttrsFactory>(config).err().unwrap();
        assert!(error.contains(part), "{config}: {error}");
    }
}

proptest! {
    /// Every point keeps its value, and what it says of itself together with its resource.
    #[test]
    fn nothing_is_lost(points in prop::collection::vec((0..2u8, prop::collection::btree_map("[abc]", "[xy]", 0..3)), 1..12)) {
        let mut builder = MetricsBuilder::new();
        let mut expected = Vec::new();
        for (n, (resource, attributes)) in points.iter().enumerate() {
            let resource = ["r", "a"][usize::from(*resource)];
            builder.resource([(resource, Value::text("of the resource"))]);
            let metric = builder.metric(MetricDef::gauge("m"));
            let shape = builder.shape(attributes.keys().map(String::as_str));
            let values: Vec<_> = attributes.values().map(|value| builder.value(Value::text(value))).collect();
            builder.number(metric, shape, &values, 1, 0, NumberValue::Int(n as i64));
            let mut all: BTreeMap<String, String> = [(resource.to_owned(), "of the resource".to_owned())].into();
            all.extend(attributes.clone());
            expected.push((n as u64, all));
        }
        let out = group("keys: [a, b]", builder.finish());
        let mut found = Vec::new();
        for (resource, _, metric) in out.iter() {
            for point in out.points_of(metric) {
                let own = out.pairs(point.attributes());
                prop_assert!(out.pairs(point.attributes()).all(|(key, _)| key == "c"));
                let all = out.pairs(resource.attributes).chain(own);
                found.push((point.bits, all.map(|(k, v)| (k.to_owned(), text(v).into_owned())).collect::<BTreeMap<_, _>>()));
            }
        }
        found.sort();
        prop_assert_eq!(found, expected);
        let resources: std::collections::BTreeSet<String> =
            out.tables().resources.iter().map(|r| format!("{:?}", out.pairs(r.attributes).map(|(k, v)| (k, text(v))).collect::<BTreeMap<_, _>>())).collect();
        prop_assert_eq!(resources.len(), out.tables().resources.len());
    }
}
