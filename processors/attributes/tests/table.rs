//! The `attributes` processor as tables: config, in, out. The kit checks conservation.
#![allow(clippy::unwrap_used)]

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, LogsData, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, TracesData};
use prost::Message;
use steadyline_attributes::Tree;
use steadyline_attributes::value::to_any;
use steadyline_component::delivery::{Receipt, SettleError};
use steadyline_component::telemetry::{Limits, Metrics, Opaque, Signal, Value};
use steadyline_component::testkit::{self, ProcessorHarness, create, create_for};
use steadyline_component::{Batch, Data, Header};
use steadyline_processor_attributes::AttributesFactory;

#[test]
fn points_that_are_meant_change() {
    let config = r#"
include: {match_type: regexp, metric_names: [^http]}
exclude: {match_type: strict, attributes: [{key: keep, value: true}]}
actions:
  - {key: env, action: insert, value: prod}
  - {key: secret, action: delete}
"#;
    let mut harness = ProcessorHarness::new::<AttributesFactory>(config);
    let lines = harness.push("http.a{secret=\"x\"} 1\nhttp.a{keep=true,secret=\"x\"} 2\nother{secret=\"x\"} 3");
    assert_eq!(lines, ["http.a{env=\"prod\"} 1", "http.a{keep=true,secret=\"x\"} 2", "other{secret=\"x\"} 3"]);
}

#[test]
fn points_that_become_identical_stay_two() {
    let mut harness = ProcessorHarness::new::<AttributesFactory>("actions: [{key: pod, action: delete}]");
    assert_eq!(harness.push("m{pod=\"1\"} 1\nm{pod=\"2\"} 2"), ["m 1", "m 2"]);
}

#[test]
fn what_is_not_meant_passes_as_the_bytes_it_came_in() {
    let config = "include: {match_type: strict, metric_names: [other]}\nactions: [{key: a, action: delete}]";
    let mut harness = ProcessorHarness::new::<AttributesFactory>(config);
    let bytes = testkit::metrics("m{a=\"1\"} 1 @5").encode();
    let metrics = Metrics::decode(bytes.clone(), &Limits::default()).unwrap();
    let header = Header { labels_final: true, ..Header::default() };
    harness.push_batch(Batch { header, data: Data::Metrics(metrics) });
    let out = &harness.batches[0];
    assert!(out.header.labels_final);
    assert_eq!(out.as_metrics().unwrap().encode().as_ptr(), bytes.as_ptr(), "not even a copy");
}

#[test]
fn labels_that_change_are_not_final_any_more() {
    let mut harness = ProcessorHarness::new::<AttributesFactory>("actions: [{key: a.b, action: insert, value: 1}]");
    let header = Header { labels_final: true, ..Header::default() };
    harness.push_batch(Batch { header, data: Data::Metrics(testkit::metrics("m 1")) });
    assert!(!harness.batches[0].header.labels_final);
}

fn pair(key: &str, value: &str) -> KeyValue {
    KeyValue { key: key.into(), value: Some(to_any(Value::text(value))), ..KeyValue::default() }
}

fn opaque(tree: &Tree) -> Batch {
    Batch { header: Header::default(), data: Data::Opaque(tree.encode()) }
}

fn out(harness: &ProcessorHarness) -> (&Opaque, Tree) {
    let Data::Opaque(opaque) = &harness.batches[0].data else { panic!("not opaque") };
    (opaque, Tree::decode(opaque).unwrap())
}

fn traces(attributes: [Vec<KeyValue>; 2]) -> Tree {
    let [one, two] = attributes.map(|attributes| Span { attributes, ..Span::default() });
    let spans = vec![Span { name: "a".into(), ..one }, Span { name: "b".into(), ..two }];
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    Tree::Traces(TracesData { resource_spans: vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }] })
}

#[test]
fn spans_that_are_meant_change() {
    let config = "include: {match_type: strict, span_names: [b]}\nactions: [{key: x, action: upsert, value: new}]";
    let mut harness = ProcessorHarness::for_signal::<AttributesFactory>(Signal::Traces, config);
    harness.push_batch(opaque(&traces([vec![pair("x", "old")], vec![pair("x", "old")]])));
    assert_eq!(out(&harness).1, traces([vec![pair("x", "old")], vec![pair("x", "new")]]));
    let unchanged = opaque(&traces([vec![], vec![pair("x", "new")]]));
    let Data::Opaque(bytes) = unchanged.data.clone() else { panic!() };
    harness.push_batch(unchanged);
    assert_eq!(out(&harness).0.bytes().as_ptr(), bytes.bytes().as_ptr(), "not even a copy");
}

#[test]
fn records_that_are_meant_change() {
    let config =
        "include: {match_type: strict, log_severity_number: {min: ERROR}}\nactions: [{key: x, action: delete}]";
    let mut harness = ProcessorHarness::for_signal::<AttributesFactory>(Signal::Logs, config);
    let logs = |of_error: Vec<KeyValue>| {
        let record = |severity_number, attributes| LogRecord { severity_number, attributes, ..LogRecord::default() };
        let log_records = vec![record(9, vec![pair("x", "1")]), record(17, of_error)];
        let scope_logs = vec![ScopeLogs { log_records, ..ScopeLogs::default() }];
        Tree::Logs(LogsData { resource_logs: vec![ResourceLogs { scope_logs, ..ResourceLogs::default() }] })
    };
    harness.push_batch(opaque(&logs(vec![pair("x", "1"), pair("y", "2")])));
    assert_eq!(out(&harness).1, logs(vec![pair("y", "2")]));
}

#[test]
fn bytes_that_are_no_otlp_are_counted_and_their_waiter_learns_of_it() {
    let mut harness =
        ProcessorHarness::for_signal::<AttributesFactory>(Signal::Logs, "actions: [{key: x, action: delete}]");
    // A record whose severity text is not UTF-8: the count of records does not look that far.
    let text = [&[3 << 3 | 2, 2][..], &[0xff, 0xfe]].concat();
    let wrap = |tag: u8, inner: &[u8]| [&[tag << 3 | 2, inner.len() as u8][..], inner].concat();
    let bytes = wrap(1, &wrap(2, &wrap(2, &text)));
    assert!(LogsData::decode(&*bytes).is_err());
    let opaque = Opaque::count(Signal::Logs, bytes.into(), &Limits::default()).unwrap();
    let (receipt, settlement) = Receipt::new();
    let header = Header { receipts: vec![receipt], ..Header::default() };
    harness.push_batch(Batch { header, data: Data::Opaque(opaque) });
    assert!(harness.batches.is_empty());
    assert_eq!(harness.tally.balance().dropped, [("malformed".into(), 1)].into());
    let mut settlement = std::pin::pin!(settlement);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let settled = std::future::Future::poll(settlement.as_mut(), &mut context);
    assert_eq!(settled, std::task::Poll::Ready(Err(SettleError::Final("the logs are no OTLP".into()))));
}

#[test]
fn mistakes_are_told_with_their_place() {
    let rows = [
        ("{}", "attributes.actions: there is nothing to do"),
        ("actions: [{key: a, action: insrt, value: 1}]", "attributes.actions[0].action"),
        (
            "actions: [{key: a, action: insert, from_context: x}]",
            "attributes.actions[0].from_context: `from_context` is not supported: headers",
        ),
        ("actions: [{key: a, action: insert, value: 1, vaule: 2}]", "unknown key `vaule`"),
        ("include: {metric_names: [a]}\nactions: [{key: a, action: delete}]", "match_type"),
        (
            "include: {match_type: strict, log_bodies: [a]}\nactions: [{key: a, action: delete}]",
            "attributes.include.log_bodies: `log_bodies` is about logs",
        ),
        (
            "exclude: {match_type: regexp, metric_names: [\"[\"]}\nactions: [{key: a, action: delete}]",
            "attributes.exclude.metric_names[0]: not a regular",
        ),
    ];
    for (config, part) in rows {
        let error = create::<AttributesFactory>(config).err().unwrap();
        assert!(error.contains(part), "{config}: {error}");
    }
    let names = "include: {match_type: strict, metric_names: [a]}\nactions: [{key: a, action: delete}]";
    assert!(create_for::<AttributesFactory>(Signal::Traces, names).err().unwrap().contains("is about metrics"));
}
