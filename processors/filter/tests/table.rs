//! The `filter` processor as tables: config, in, out. The kit checks conservation.
#![allow(clippy::unwrap_used)]

use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, LogsData, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::Event;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, TracesData};
use steadyline_attributes::Tree;
use steadyline_attributes::value::to_any;
use steadyline_component::telemetry::{Limits, Metrics, Signal, Value};
use steadyline_component::testkit::{self, ProcessorHarness, create};
use steadyline_component::{Batch, Data, Header, PassEnd};
use steadyline_processor_filter::FilterFactory;

const POINTS: &str = r#"
    resource{env="dev"}
    counter hits{code="200"} 1
    counter hits{code="404"} 2
    load 3
    resource{env="prod"}
    counter hits{code="500"} 4
    load.avg{n=1} 5
"#;

/// The values of the points that pass.
fn values(config: &str) -> Vec<u64> {
    let mut harness = ProcessorHarness::new::<FilterFactory>(config);
    harness.push(POINTS);
    let out = harness.batches.first().and_then(Batch::as_metrics);
    let values: Vec<u64> = out.map_or_else(Vec::new, |m| m.tables().points.iter().map(|p| p.bits).collect());
    let dropped = harness.tally.balance().dropped.get("filtered").copied().unwrap_or_default();
    assert_eq!(dropped + values.len() as u64, 5);
    if let Some(metrics) = out {
        assert!(metrics.tables().metrics.iter().all(|metric| !metric.points.is_empty()));
        let again = Metrics::decode(metrics.encode(), &Limits::default()).unwrap();
        assert_eq!(testkit::render(&again), testkit::render(metrics));
    }
    values
}

#[test]
fn points_by_names_and_attributes() {
    let rows: [(&str, &[u64]); 9] = [
        ("metrics: {include: {match_type: strict, metric_names: [load]}}", &[3]),
        ("metrics: {include: {match_type: regexp, metric_names: [^load]}}", &[3, 5]),
        ("metrics: {exclude: {match_type: regexp, metric_names: [^load]}}", &[1, 2, 4]),
        ("metrics: {include: {match_type: strict, resource_attributes: [{key: env, value: prod}]}}", &[4, 5]),
        (
            "metrics: {include: {match_type: strict, metric_names: [hits], resource_attributes: [{key: env, value: prod}]}}",
            &[4],
        ),
        // Either is enough.
        (
            "metrics: {exclude: {match_type: strict, metric_names: [hits], resource_attributes: [{key: env, value: prod}]}}",
            &[3],
        ),
        (
            "metrics:\n  include: {match_type: strict, metric_names: [hits, load]}\n  exclude: {match_type: regexp, resource_attributes: [{key: env, value: ^d}]}",
            &[4],
        ),
        ("metrics: {include: {match_type: strict, metric_names: [none]}}", &[]),
        ("{}", &[1, 2, 3, 4, 5]),
    ];
    for (config, expected) in rows {
        assert_eq!(values(config), expected, "{config}");
    }
}

#[test]
fn points_by_conditions() {
    let rows: [(&str, &[u64]); 11] = [
        ("metrics: {metric: ['name == \"hits\"']}", &[3, 5]),
        ("metrics: {metric: ['type == METRIC_DATA_TYPE_SUM and is_monotonic == true']}", &[3, 5]),
        ("metrics: {metric: ['HasAttrOnDatapoint(\"code\", \"404\")']}", &[3, 4, 5]),
        ("metrics: {datapoint: ['attributes[\"code\"] == \"404\"', 'value_int == 5']}", &[1, 3, 4]),
        ("metrics: {datapoint: ['metric.name == \"hits\" and IsMatch(attributes[\"code\"], \"^[45]\")']}", &[1, 3, 5]),
        ("metrics: {resource: ['attributes[\"env\"] == \"dev\"']}", &[4, 5]),
        ("metric_conditions: ['metric.name == \"hits\"', 'datapoint.value_int == 3']", &[5]),
        (
            "metric_conditions: [{context: datapoint, error_mode: silent, conditions: ['attributes[\"code\"] != nil']}]",
            &[3, 5],
        ),
        ("metric_conditions: [{conditions: ['resource.attributes[\"env\"] == \"dev\"']}]", &[4, 5]),
        ("error_mode: propagate\nmetrics: {metric: ['name == \"nothing\"']}", &[1, 2, 3, 4, 5]),
        ("metrics:\n  include: {match_type: strict, metric_names: [hits]}\n  datapoint: ['value_int < 4']", &[4]),
    ];
    for (config, expected) in rows {
        assert_eq!(values(config), expected, "{config}");
    }
}

#[test]
fn a_batch_of_which_nothing_goes_keeps_its_bytes_and_a_pass_its_end() {
    let mut harness = ProcessorHarness::new::<FilterFactory>("metrics: {metric: ['name == \"x\"']}");
    let bytes = testkit::metrics(POINTS).encode();
    harness.push_batch(Batch::metrics(Metrics::decode(bytes.clone(), &Limits::default()).unwrap()));
    assert_eq!(harness.batches[0].as_metrics().unwrap().encode().as_ptr(), bytes.as_ptr());
    harness.pass(1, "x 1", PassEnd::Complete);
    assert_eq!(harness.batches.len(), 1, "the end of the pass, without a point");
    assert_eq!(harness.batches[0].pass_end(), Some(PassEnd::Complete));
}

fn pair(key: &str, value: Value<'_>) -> KeyValue {
    KeyValue { key: key.into(), value: Some(to_any(value)), ..KeyValue::default() }
}

fn traces() -> Tree {
    let span = |name: &str, code| Span {
        name: name.into(),
        kind: 2,
        attributes: vec![pair("code", Value::Int(code))],
        events: vec![
            Event { name: "heartbeat".into(), ..Event::default() },
            Event { name: "exception".into(), ..Event::default() },
        ],
        ..Span::default()
    };
    let root = |service: &str, scopes: &[(&str, &[(&str, i64)])]| ResourceSpans {
        resource: Some(Resource {
            attributes: vec![pair("service.name", Value::text(service))],
            ..Resource::default()
        }),
        scope_spans: scopes
            .iter()
            .map(|(name, spans)| ScopeSpans {
                scope: Some(InstrumentationScope { name: (*name).into(), ..InstrumentationScope::default() }),
                spans: spans.iter().map(|(name, code)| span(name, *code)).collect(),
                ..ScopeSpans::default()
            })
            .collect(),
        ..ResourceSpans::default()
    };
    let shop = root("shop", &[("http", &[("GET /", 200), ("GET /healthz", 200)]), ("db", &[("select", 0)])]);
    Tree::Traces(TracesData { resource_spans: vec![shop, root("web", &[("http", &[("GET /", 500)])])] })
}

#[test]
fn spans_and_their_events() {
    let rows: [(&str, &[&str], usize); 9] = [
        ("spans: {include: {match_type: strict, services: [web]}}", &["GET /"], 2),
        ("spans: {exclude: {match_type: regexp, span_names: [healthz$]}}", &["GET /", "select", "GET /"], 2),
        ("spans: {exclude: {match_type: strict, libraries: [{name: http}]}}", &["select"], 2),
        ("traces: {span: ['attributes[\"code\"] == 200']}", &["select", "GET /"], 2),
        ("traces: {resource: ['attributes[\"service.name\"] == \"shop\"']}", &["GET /"], 2),
        ("trace_conditions: ['scope.name == \"http\"']", &["select"], 2),
        (
            "trace_conditions: ['span.name == \"select\" or resource.attributes[\"service.name\"] == \"web\"']",
            &["GET /", "GET /healthz"],
            2,
        ),
        ("traces: {spanevent: ['name == \"heartbeat\"']}", &["GET /", "GET /healthz", "select", "GET /"], 1),
        ("traces: {spanevent: ['span.name == \"x\"']}", &["GET /", "GET /healthz", "select", "GET /"], 2),
    ];
    for (config, names, events) in rows {
        let mut harness = ProcessorHarness::for_signal::<FilterFactory>(Signal::Traces, config);
        harness.push_batch(Batch { header: Header::default(), data: Data::Opaque(traces().encode()) });
        let Data::Opaque(out) = &harness.batches[0].data else { panic!("not opaque") };
        let Tree::Traces(data) = Tree::decode(out).unwrap() else { panic!("not traces") };
        let branches = || data.resource_spans.iter().flat_map(|root| &root.scope_spans);
        assert!(data.resource_spans.iter().all(|root| !root.scope_spans.is_empty()));
        assert!(branches().all(|branch| !branch.spans.is_empty()));
        let spans: Vec<&Span> = branches().flat_map(|branch| &branch.spans).collect();
        assert_eq!(spans.iter().map(|span| &*span.name).collect::<Vec<_>>(), names, "{config}");
        assert!(spans.iter().all(|span| span.events.len() == events), "{config}");
        let dropped = harness.tally.balance().dropped.get("filtered").copied().unwrap_or_default();
        assert_eq!(dropped, 4 - names.len() as u64);
    }
}

#[test]
fn spans_that_all_go_leave_nothing_to_send() {
    let mut harness = ProcessorHarness::for_signal::<FilterFactory>(Signal::Traces, "traces: {span: ['true']}");
    harness.push_batch(Batch { header: Header::default(), data: Data::Opaque(traces().encode()) });
    assert!(harness.batches.is_empty());
    assert_eq!(harness.tally.balance().dropped, [("filtered".into(), 4)].into());
}

#[test]
fn records() {
    let record = |body: &str, severity_number, team: &str| LogRecord {
        body: Some(to_any(Value::text(body))),
        severity_number,
        severity_text: if severity_number >= 17 { "ERROR" } else { "INFO" }.into(),
        attributes: vec![pair("team", Value::text(team))],
        ..LogRecord::default()
    };
    let log_records = vec![record("debug a", 5, "x"), record("b", 9, "y"), record("c", 17, "x"), record("d", 0, "y")];
    let logs = Tree::Logs(LogsData {
        resource_logs: vec![ResourceLogs {
            resource: Some(Resource { attributes: vec![pair("env", Value::text("dev"))], ..Resource::default() }),
            scope_logs: vec![ScopeLogs { log_records, ..ScopeLogs::default() }],
            ..ResourceLogs::default()
        }],
    });
    let rows: [(&str, &[&str]); 9] = [
        (
            "logs: {include: {match_type: strict, severity_number: {min: INFO, match_undefined: true}}}",
            &["b", "c", "d"],
        ),
        ("logs: {include: {match_type: strict, severity_texts: [ERROR]}}", &["c"]),
        ("logs: {exclude: {match_type: regexp, bodies: [^debug, '^d$']}}", &["b", "c"]),
        ("logs: {include: {match_type: strict, record_attributes: [{key: team, value: x}]}}", &["debug a", "c"]),
        (
            "logs: {exclude: {match_type: strict, resource_attributes: [{key: env, value: prod}]}}",
            &["debug a", "b", "c", "d"],
        ),
        ("logs: {log_record: ['severity_number < SEVERITY_NUMBER_WARN']}", &["c"]),
        ("log_conditions: ['IsMatch(log.body, \"^debug\")']", &["b", "c", "d"]),
        ("log_conditions: [{context: log, conditions: ['attributes[\"team\"] == \"y\"']}]", &["debug a", "c"]),
        ("metrics: {metric: ['name == \"x\"']}", &["debug a", "b", "c", "d"]),
    ];
    for (config, expected) in rows {
        let mut harness = ProcessorHarness::for_signal::<FilterFactory>(Signal::Logs, config);
        harness.push_batch(Batch { header: Header::default(), data: Data::Opaque(logs.encode()) });
        let Data::Opaque(out) = &harness.batches[0].data else { panic!("not opaque") };
        let Tree::Logs(data) = Tree::decode(out).unwrap() else { panic!("not logs") };
        let bodies = data.resource_logs[0].scope_logs[0].log_records.iter().map(|record| record.body.clone());
        let expected: Vec<_> = expected.iter().map(|body| Some(to_any(Value::text(body)))).collect();
        assert_eq!(bodies.collect::<Vec<_>>(), expected, "{config}");
    }
}

#[test]
fn mistakes_are_told_with_their_place() {
    let rows = [
        (
            "metrics: {include: {match_type: expr, expressions: [x]}}",
            "`expressions` is not supported: write a condition",
        ),
        ("metrics: {include: {match_type: expr}}", "filter.metrics.include.match_type: `expr` is not supported"),
        ("metrics: {include: {match_type: strict}}", "filter.metrics.include: there is nothing to match by"),
        (
            "metrics: {datapoint: ['true', 'foo == 1']}",
            "filter.metrics.datapoint[1]: column 1: unknown path `foo` of a datapoint",
        ),
        ("metrics: {datapoint: ['Len(attributes[\"a\"]) > 1']}", "column 1: the function `Len` is not supported yet"),
        ("traces: {span: ['name = \"x\"']}", "filter.traces.span[0]: column 6: expected `==`"),
        (
            "logs: {include: {match_type: regexp, record_attributes: [{key: a, value: '('}]}}",
            "filter.logs.include.record_attributes[0].value: not a regular",
        ),
        ("logs: {exclude: {match_type: regexp, bodies: ['(']}}", "filter.logs.exclude.bodies[0]: not a regular"),
        ("metric_conditions: ['span.name == \"x\"']", "filter.metric_conditions[0]: the condition is about a span"),
        ("metric_conditions: ['name == \"x\"']", "column 1: say what `name` is about"),
        (
            "trace_conditions: [{context: metric, conditions: ['true']}]",
            "filter.trace_conditions[0].context: `metric` is no context here; there are resource, scope, span, spanevent",
        ),
        ("log_conditions: [{context: log, conditions: ['x']}]", "filter.log_conditions[0].conditions[0]: column 1"),
        ("profiles: {}", "`profiles` is not supported"),
        ("metrics: {metrics: []}", "unknown key `metrics`"),
        ("error_mode: loud", "error_mode"),
    ];
    for (config, part) in rows {
        let error = create::<FilterFactory>(config).err().unwrap_or_else(|| panic!("{config} is fine"));
        assert!(error.contains(part), "{config}: {error}");
    }
}
