//! The `resource` processor as tables: config, in, out. The kit checks conservation.
#![allow(clippy::unwrap_used)]

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, LogsData, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use steadyline_attributes::Tree;
use steadyline_attributes::value::to_any;
use steadyline_component::telemetry::{Limits, Metrics, Signal, Value};
use steadyline_component::testkit::{self, ProcessorHarness, create};
use steadyline_component::{Batch, Data, Header};
use steadyline_processor_resource::ResourceFactory;

#[test]
fn resources_change_and_their_points_do_not() {
    let config = "
attributes:
  - {key: env, action: upsert, value: prod}
  - {key: host, action: delete}
  - {key: zone, action: extract, pattern: '^(?P<region>.*)[a-z]$'}
";
    let mut harness = ProcessorHarness::new::<ResourceFactory>(config);
    let lines = harness.push(
        "resource{host=\"h\",zone=\"eu-1a\"}\nm{host=\"p\"} 1\nresource{env=\"dev\"}\nm{env=\"p\"} 2\nresource{zone=1}\nm 3",
    );
    let expected = [
        "resource{zone=\"eu-1a\",env=\"prod\",region=\"eu-1\"}",
        "m{host=\"p\"} 1",
        "resource{env=\"prod\"}",
        "m{env=\"p\"} 2",
        "resource{zone=1,env=\"prod\"}",
        "m 3",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn a_batch_in_which_nothing_is_to_do_keeps_its_bytes() {
    let mut harness = ProcessorHarness::new::<ResourceFactory>("attributes: [{key: env, action: update, value: x}]");
    let bytes = testkit::metrics("resource{a=1}\nm{env=\"p\"} 1").encode();
    let metrics = Metrics::decode(bytes.clone(), &Limits::default()).unwrap();
    harness.push_batch(Batch::metrics(metrics));
    assert_eq!(harness.batches[0].as_metrics().unwrap().encode().as_ptr(), bytes.as_ptr());
}

#[test]
fn resources_of_logs_change_also_where_there_was_none() {
    let pair = |key: &str, value| KeyValue { key: key.into(), value: Some(to_any(value)), ..KeyValue::default() };
    let logs = |resource| {
        let scope_logs = vec![ScopeLogs { log_records: vec![LogRecord::default()], ..ScopeLogs::default() }];
        Tree::Logs(LogsData { resource_logs: vec![ResourceLogs { resource, scope_logs, ..ResourceLogs::default() }] })
    };
    let resource = |attributes| Some(Resource { attributes, ..Resource::default() });
    let mut harness = ProcessorHarness::for_signal::<ResourceFactory>(
        Signal::Logs,
        "attributes: [{key: a, action: insert, value: 1}]",
    );
    for (before, after) in [
        (None, resource(vec![pair("a", Value::Int(1))])),
        (resource(vec![pair("b", Value::Int(2))]), resource(vec![pair("b", Value::Int(2)), pair("a", Value::Int(1))])),
        (resource(vec![pair("a", Value::Int(2))]), resource(vec![pair("a", Value::Int(2))])),
    ] {
        harness.push_batch(Batch { header: Header::default(), data: Data::Opaque(logs(before).encode()) });
        let Data::Opaque(out) = &harness.batches[0].data else { panic!("not opaque") };
        assert_eq!(Tree::decode(out).unwrap(), logs(after));
    }
}

#[test]
fn mistakes_are_told_with_their_place() {
    for (config, part) in [
        ("{}", "resource.attributes: there is nothing to do"),
        ("attributes: [{key: a, action: upsert, from_context: b}]", "`from_context` is not supported"),
        ("attributes: [{action: upsert, value: 1}]", "resource.attributes[0]: `upsert` needs a `key`"),
        ("actions: []", "unknown key `actions`"),
    ] {
        let error = create::<ResourceFactory>(config).err().unwrap();
        assert!(error.contains(part), "{config}: {error}");
    }
}
