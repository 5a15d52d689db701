//! The `count` connector as tables: config, in, counts out. Every step checks conservation.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, LogsData, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::Event;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, TracesData};
use steadyline_attributes::Tree;
use steadyline_attributes::value::to_any;
use steadyline_component::delivery::Receipt;
use steadyline_component::telemetry::{Limits, Opaque, Signal, Value};
use steadyline_component::testkit::{self, create_for};
use steadyline_component::{Batch, Clock, Connector, Data, Header, Tally, Work};
use steadyline_connector_count::CountFactory;

struct Harness {
    connector: Box<dyn Connector>,
    clock: Clock,
    tally: Tally,
    out: Vec<Batch>,
}

impl Harness {
    fn new(signal: Signal, config: &str) -> Harness {
        let connector = create_for::<CountFactory>(signal, config).unwrap_or_else(|text| panic!("{text}"));
        Harness { connector, clock: Clock::manual(5_000_000_000), tally: Tally::default(), out: Vec::new() }
    }

    fn push(&mut self, data: Data) -> Vec<String> {
        self.push_with(Header::default(), data)
    }

    fn push_with(&mut self, header: Header, data: Data) -> Vec<String> {
        let batch = Batch { header, data };
        self.out.clear();
        self.tally.incoming(batch.items());
        self.connector.process(batch, &mut Work { now: self.clock.now(), tally: &self.tally, out: &mut self.out });
        self.tally.outgoing(self.out.iter().map(Batch::items).sum());
        let balance = self.tally.balance();
        assert_eq!(balance.missing(), 0, "{balance:?}");
        self.out.iter().filter_map(Batch::as_metrics).flat_map(testkit::render).collect()
    }
}

fn pair(key: &str, value: Value<'_>) -> KeyValue {
    KeyValue { key: key.into(), value: Some(to_any(value)), ..KeyValue::default() }
}

fn resource(service: &str) -> Option<Resource> {
    Some(Resource { attributes: vec![pair("service.name", Value::text(service))], ..Resource::default() })
}

fn record(step: &str, severity_number: i32) -> LogRecord {
    let attributes = if step.is_empty() { vec![] } else { vec![pair("step", Value::text(step))] };
    LogRecord { attributes, severity_number, ..LogRecord::default() }
}

fn logs(roots: &[(&str, &[(&str, i32)])]) -> Data {
    let roots = roots.iter().map(|(service, records)| ResourceLogs {
        resource: resource(service),
        scope_logs: vec![ScopeLogs {
            scope: Some(InstrumentationScope {
                attributes: vec![pair("team", Value::text("growth"))],
                ..InstrumentationScope::default()
            }),
            log_records: records.iter().map(|(step, severity)| record(step, *severity)).collect(),
            ..ScopeLogs::default()
        }],
        ..ResourceLogs::default()
    });
    Data::Opaque(Tree::Logs(LogsData { resource_logs: roots.collect() }).encode())
}

#[test]
fn records_by_attribute_and_condition() {
    let config = r#"
logs:
  errors: {conditions: ['severity_number >= SEVERITY_NUMBER_ERROR', 'attributes["step"] == "OrgCreated"']}
  steps:
    description: Steps taken.
    attributes: [{key: step}]
  teams:
    attributes: [{key: step, default_value: none}, {key: team}, {key: service.name}]
"#;
    let mut harness = Harness::new(Signal::Logs, config);
    let lines = harness.push(logs(&[
        ("shop", &[("OrgCreated", 9), ("FirstDeviceData", 17), ("OrgCreated", 9), ("", 9)]),
        ("web", &[("OrgCreated", 1)]),
        ("shop", &[("OrgCreated", 9)]),
    ]));
    let expected = [
        "resource{service.name=\"shop\"}",
        "delta errors 4 @5",
        "delta steps{step=\"OrgCreated\"} 3 @5",
        "delta steps{step=\"FirstDeviceData\"} 1 @5",
        "delta teams{step=\"OrgCreated\",team=\"growth\",service.name=\"shop\"} 3 @5",
        "delta teams{step=\"FirstDeviceData\",team=\"growth\",service.name=\"shop\"} 1 @5",
        "delta teams{step=\"none\",team=\"growth\",service.name=\"shop\"} 1 @5",
        "resource{service.name=\"web\"}",
        "delta errors 1 @5",
        "delta steps{step=\"OrgCreated\"} 1 @5",
        "delta teams{step=\"OrgCreated\",team=\"growth\",service.name=\"web\"} 1 @5",
    ];
    assert_eq!(lines, expected);
    let metrics = harness.out[0].as_metrics().unwrap();
    let steps = metrics.tables().metrics.iter().find(|metric| metrics.text(metric.name) == "steps").unwrap();
    assert_eq!(metrics.text(steps.description), "Steps taken.");
    let balance = harness.tally.balance();
    assert_eq!((balance.merged, balance.created), (6, [("count".into(), 9)].into()));
}

fn traces() -> Data {
    let event = |name: &str| Event { name: name.into(), ..Event::default() };
    let span = |name: &str, kind, events| Span { name: name.into(), kind, events, ..Span::default() };
    let spans = vec![span("a", 2, vec![event("x"), event("y")]), span("b", 3, vec![event("x")])];
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let root = ResourceSpans { resource: resource("shop"), scope_spans, ..ResourceSpans::default() };
    Data::Opaque(Tree::Traces(TracesData { resource_spans: vec![root] }).encode())
}

#[test]
fn spans_and_their_events() {
    let rows: [(&str, &[&str]); 3] = [
        ("{}", &["delta trace.span.count 2 @5", "delta trace.span.event.count 3 @5"]),
        ("spans: {servers: {conditions: ['kind == SPAN_KIND_SERVER']}}\nspanevents: {}", &["delta servers 1 @5"]),
        (
            "spans: {}\nspanevents: {xs: {conditions: ['name == \"x\" and span.name == \"b\"'], attributes: [{key: service.name}]}}",
            &["delta xs{service.name=\"shop\"} 1 @5"],
        ),
    ];
    for (config, expected) in rows {
        let lines = Harness::new(Signal::Traces, config).push(traces());
        assert_eq!(lines[0], "resource{service.name=\"shop\"}");
        assert_eq!(&lines[1..], expected, "{config}");
    }
}

#[test]
fn metrics_and_points() {
    let points = "resource{env=\"dev\"}\nhits{code=200} 1\nhits{code=404} 2\nhits{code=404} held\nload 3";
    let rows: [(&str, &[&str]); 3] = [
        ("{}", &["delta metric.count 2 @5", "delta metric.datapoint.count 3 @5"]),
        (
            "metrics: {}\ndatapoints: {codes: {attributes: [{key: code}]}}",
            &["delta codes{code=200} 1 @5", "delta codes{code=404} 1 @5"],
        ),
        (
            "datapoints: {}\nmetrics: {hits: {conditions: ['name == \"hits\"'], attributes: [{key: env}]}}",
            &["delta hits{env=\"dev\"} 1 @5"],
        ),
    ];
    for (config, expected) in rows {
        let lines = Harness::new(Signal::Metrics, config).push(Data::Metrics(testkit::metrics(points)));
        assert_eq!(&lines[1..], expected, "{config}");
    }
}

#[test]
fn times_always_rise() {
    let mut harness = Harness::new(Signal::Traces, "spanevents: {}");
    let times: Vec<u64> = (0..3)
        .map(|n| {
            if n == 2 {
                harness.clock.advance(Duration::from_secs(1));
            }
            harness.push(traces());
            harness.out[0].as_metrics().unwrap().tables().points[0].time
        })
        .collect();
    assert_eq!(times, [5_000_000_000, 5_000_000_001, 6_000_000_000]);
}

#[test]
fn who_waits_waits_for_the_counts() {
    let mut harness = Harness::new(Signal::Logs, "{}");
    let (receipt, settlement) = Receipt::new();
    let header = Header { receipts: vec![receipt], source: "otlp".into(), labels_final: true, ..Header::default() };
    harness.push_with(header, logs(&[("shop", &[("", 9)])]));
    let out = &harness.out[0].header;
    assert_eq!((&*out.source, out.labels_final, out.receipts.len()), ("count", false, 1));
    let mut settlement = std::pin::pin!(settlement);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(std::future::Future::poll(settlement.as_mut(), &mut context).is_pending());
    harness.out.clear();
    assert_eq!(std::future::Future::poll(settlement.as_mut(), &mut context), std::task::Poll::Ready(Ok(())));
}

#[test]
fn what_is_not_counted_ends_here() {
    let mut harness = Harness::new(Signal::Logs, "logs: {none: {conditions: ['false']}}");
    assert!(harness.push(logs(&[("shop", &[("", 9)])])).is_empty());
    assert!(harness.out.is_empty());
    let wrap = |tag: u8, inner: &[u8]| [&[tag << 3 | 2, inner.len() as u8][..], inner].concat();
    let bytes = wrap(1, &wrap(2, &wrap(2, &wrap(3, &[0xff]))));
    harness.push(Data::Opaque(Opaque::count(Signal::Logs, bytes.into(), &Limits::default()).unwrap()));
    let balance = harness.tally.balance();
    assert_eq!((balance.merged, balance.dropped), (1, [("malformed".into(), 1)].into()));
}

#[test]
fn mistakes_are_told_with_their_place() {
    let rows = [
        ("logs: {m: {conditions: ['true', 'body = 1']}}", "count.logs.m.conditions[1]: column 6: expected `==`"),
        ("spans: {m: {conditions: ['metric.name == \"x\"']}}", "a condition about a span does not see `metric`"),
        ("spans: {\"\": {}}", "the name of a metric is not empty"),
        (
            "spans: {m.x: {attributes: [{key: a}, {key: \"\"}]}}",
            "count.spans[\"m.x\"].attributes[1].key: the key of an attribute is not empty",
        ),
        ("spans: {m: {attributes: [{key: a}, {key: a}]}}", "count.spans.m.attributes[1].key: `a` is listed twice"),
        ("spans: {m: {}}\nspanevents: {m: {}}", "count.spanevents.m: `m` is made under `spans`, too"),
        ("spans: {m: {attributes: [{key: a, any_depth: true}]}}", "`any_depth` is not supported"),
        ("profiles: {}", "`profiles` is not supported"),
        ("span: {}", "unknown key `span`"),
    ];
    for (config, part) in rows {
        let error =
            create_for::<CountFactory>(Signal::Traces, config).err().unwrap_or_else(|| panic!("{config} is fine"));
        assert!(error.contains(part), "{config}: {error}");
    }
}
