//! Include and exclude on points, spans and records, as tables.
#![allow(clippy::unwrap_used)]

use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use steadyline_attributes::matching::Spelling;
use steadyline_attributes::tree::{Branch, Root};
use steadyline_attributes::value::to_any;
use steadyline_attributes::{MatchConfig, Problems, Selection};
use steadyline_component::testkit;
use steadyline_telemetry::metrics::{MetricDef, NumberValue};
use steadyline_telemetry::{MetricsBuilder, Signal, Value};

fn selection(signal: Signal, include: &str, exclude: &str) -> Selection {
    let mut problems = Problems::default();
    let mut compile = |json: &str| {
        (!json.is_empty()).then(|| {
            let config: MatchConfig = serde_json::from_str(json).unwrap();
            config.compile(signal, "include", Spelling::PLAIN, &mut problems)
        })
    };
    let selection = Selection { include: compile(include), exclude: compile(exclude) };
    assert!(problems.errors().is_empty(), "{problems:?}");
    selection
}

const POINTS: &str = r#"
    resource{service.name="shop",env="dev"}
    cpu{core="0",n=1} 1
    cpu{core="1"} 2
    mem 3
    resource{service.name="web"}
    cpu{core="0",n=2} 4
    cpu.load{n=1} 5
"#;

#[test]
fn points_by_name_attributes_and_resource() {
    let rows = [
        ("", "", vec![1, 2, 3, 4, 5]),
        (r#"{"match_type":"strict","metric_names":["cpu","mem"]}"#, "", vec![1, 2, 3, 4]),
        (r#"{"match_type":"regexp","metric_names":["^cpu"]}"#, "", vec![1, 2, 4, 5]),
        (r#"{"match_type":"regexp","metric_names":["load$","me"]}"#, "", vec![3, 5]),
        (r#"{"match_type":"strict","attributes":[{"key":"n"}]}"#, "", vec![1, 4, 5]),
        (r#"{"match_type":"strict","attributes":[{"key":"n","value":1}]}"#, "", vec![1, 5]),
        (r#"{"match_type":"strict","attributes":[{"key":"n","value":"1"}]}"#, "", vec![]),
        (r#"{"match_type":"regexp","attributes":[{"key":"n","value":"^[12]$"},{"key":"core"}]}"#, "", vec![1, 4]),
        (r#"{"match_type":"strict","resources":[{"key":"env","value":"dev"}]}"#, "", vec![1, 2, 3]),
        (r#"{"match_type":"strict","services":["web"]}"#, "", vec![4, 5]),
        (r#"{"match_type":"strict","services":["web"],"metric_names":["cpu"]}"#, "", vec![4]),
        ("", r#"{"match_type":"strict","attributes":[{"key":"core","value":"0"}]}"#, vec![2, 3, 5]),
        (
            r#"{"match_type":"regexp","metric_names":["cpu"]}"#,
            r#"{"match_type":"strict","services":["web"],"metric_names":["cpu"]}"#,
            vec![1, 2, 5],
        ),
    ];
    let metrics = testkit::metrics(POINTS);
    for (include, exclude, expected) in rows {
        let chosen = selection(Signal::Metrics, include, exclude).points(&metrics);
        let points = metrics.tables().points.iter().enumerate().filter(|(row, _)| chosen.has(*row));
        assert_eq!(points.map(|(_, point)| point.bits).collect::<Vec<_>>(), expected, "{include} {exclude}");
    }
}

#[test]
fn libraries_by_name_and_version() {
    let mut builder = MetricsBuilder::new();
    for (n, (name, version)) in [("lib", "1.0"), ("lib", ""), ("other", "1.0")].into_iter().enumerate() {
        builder.scope(name, version);
        let metric = builder.metric(MetricDef::gauge("m"));
        let shape = builder.shape([]);
        builder.number(metric, shape, &[], 1, 0, NumberValue::Int(n as i64));
    }
    let metrics = builder.finish();
    let rows = [
        (r#"{"match_type":"strict","libraries":[{"name":"lib"}]}"#, [true, true, false]),
        (r#"{"match_type":"strict","libraries":[{"name":"lib","version":""}]}"#, [false, true, false]),
        (r#"{"match_type":"regexp","libraries":[{"name":"li","version":"^1"}]}"#, [true, false, false]),
        (r#"{"match_type":"regexp","libraries":[{"name":"li","version":""},{"name":"oth"}]}"#, [false, true, true]),
    ];
    for (include, expected) in rows {
        let chosen = selection(Signal::Metrics, include, "").points(&metrics);
        assert_eq!([0, 1, 2].map(|row| chosen.has(row)), expected, "{include}");
    }
}

fn attributes(pairs: &[(&str, Value<'_>)]) -> Vec<KeyValue> {
    let pair = |(key, value): &(&str, Value<'_>)| KeyValue {
        key: (*key).to_owned(),
        value: Some(to_any(*value)),
        ..KeyValue::default()
    };
    pairs.iter().map(pair).collect()
}

fn meant<R: Root>(selection: &Selection, root: &R) -> Vec<bool> {
    let so_far = selection.root(root);
    let branches = root.branches().iter();
    branches
        .flat_map(|branch| {
            let so_far = selection.branch(so_far, branch);
            branch.items().iter().map(move |item| selection.item(so_far, item))
        })
        .collect()
}

#[test]
fn spans() {
    let span = |name: &str, kind, attributes| Span { name: name.into(), kind, attributes, ..Span::default() };
    let root = ResourceSpans {
        resource: Some(Resource {
            attributes: attributes(&[("service.name", Value::text("shop"))]),
            ..Resource::default()
        }),
        scope_spans: vec![ScopeSpans {
            scope: Some(InstrumentationScope { name: "http".into(), ..InstrumentationScope::default() }),
            spans: vec![
                span("GET /", 2, attributes(&[("code", Value::Int(200))])),
                span("select", 3, attributes(&[("db", Value::text("pg"))])),
            ],
            ..ScopeSpans::default()
        }],
        ..ResourceSpans::default()
    };
    let rows = [
        ("", "", [true, true]),
        (r#"{"match_type":"strict","services":["shop"],"span_names":["select"]}"#, "", [false, true]),
        (r#"{"match_type":"regexp","span_names":["^GET"]}"#, "", [true, false]),
        (r#"{"match_type":"strict","span_kinds":["SPAN_KIND_CLIENT"]}"#, "", [false, true]),
        (r#"{"match_type":"regexp","attributes":[{"key":"code","value":"2.."}]}"#, "", [true, false]),
        (r#"{"match_type":"strict","libraries":[{"name":"grpc"}]}"#, "", [false, false]),
        (
            r#"{"match_type":"strict","services":["shop"]}"#,
            r#"{"match_type":"strict","span_names":["select"]}"#,
            [true, false],
        ),
    ];
    for (include, exclude, expected) in rows {
        assert_eq!(meant(&selection(Signal::Traces, include, exclude), &root), expected, "{include} {exclude}");
    }
}

#[test]
fn records() {
    let record = |body: Option<&str>, text: &str, number| LogRecord {
        body: body.map(|body| to_any(Value::text(body))),
        severity_text: text.into(),
        severity_number: number,
        ..LogRecord::default()
    };
    let root = ResourceLogs {
        scope_logs: vec![ScopeLogs {
            log_records: vec![
                record(Some("started"), "INFO", 9),
                record(Some("failed"), "ERROR", 17),
                record(None, "", 0),
            ],
            ..ScopeLogs::default()
        }],
        ..ResourceLogs::default()
    };
    let rows = [
        (r#"{"match_type":"strict","log_bodies":["failed"]}"#, [false, true, false]),
        (r#"{"match_type":"regexp","log_bodies":["ed$"]}"#, [true, true, false]),
        (r#"{"match_type":"regexp","log_severity_texts":["^(WARN|ERROR)"]}"#, [false, true, false]),
        (r#"{"match_type":"strict","log_severity_number":{"min":"WARN"}}"#, [false, true, false]),
        (r#"{"match_type":"strict","log_severity_number":{"min":9,"match_undefined":true}}"#, [true, true, true]),
        (
            r#"{"match_type":"strict","log_severity_number":{"min":"INFO2","match_undefined":true}}"#,
            [false, true, true],
        ),
    ];
    for (include, expected) in rows {
        assert_eq!(meant(&selection(Signal::Logs, include, ""), &root), expected, "{include}");
    }
}

#[test]
fn mistakes_say_where_they_are() {
    let rows = [
        (Signal::Metrics, r#"{"match_type":"strict"}"#, "include", "nothing to match by"),
        (Signal::Metrics, r#"{"match_type":"strict","span_names":["a"]}"#, "include.span_names", "is about traces"),
        (Signal::Traces, r#"{"match_type":"strict","log_bodies":["a"]}"#, "include.log_bodies", "is about logs"),
        (
            Signal::Traces,
            r#"{"match_type":"strict","span_kinds":["SERVER"]}"#,
            "include.span_kinds[0]",
            "no kind of span",
        ),
        (
            Signal::Metrics,
            r#"{"match_type":"regexp","metric_names":["a","("]}"#,
            "include.metric_names[1]",
            "unclosed group",
        ),
        (
            Signal::Logs,
            r#"{"match_type":"regexp","attributes":[{"key":"a","value":1}]}"#,
            "include.attributes[0].value",
            "put it in quotes",
        ),
        (Signal::Logs, r#"{"match_type":"strict","resources":[{"key":""}]}"#, "include.resources[0].key", "not empty"),
    ];
    for (signal, json, path, part) in rows {
        let config: MatchConfig = serde_json::from_str(json).unwrap();
        let mut problems = Problems::default();
        config.compile(signal, "include", Spelling::PLAIN, &mut problems);
        let found = problems.errors().iter().any(|(at, message)| at == path && message.contains(part));
        assert!(found, "{json}: {problems:?}");
    }
    let unknown =
        serde_json::from_str::<MatchConfig>(r#"{"match_type":"strict","log_severity_number":{"min":"LOUD"}}"#);
    assert!(unknown.unwrap_err().to_string().contains("TRACE, DEBUG"));
}
