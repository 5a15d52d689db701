//! Conditions on each kind of thing that they can be about.
#![allow(clippy::unwrap_used)]

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::Event;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use proptest::prelude::*;
use steadyline_attributes::ottl::{
    Above, Condition, Context, EventSource, MetricSource, PointSource, RecordSource, SpanSource,
};
use steadyline_attributes::value::to_any;
use steadyline_component::testkit;
use steadyline_telemetry::Value;

fn pair(key: &str, value: Value<'_>) -> KeyValue {
    KeyValue { key: key.into(), value: Some(to_any(value)), ..KeyValue::default() }
}

fn parse(text: &str, context: Context) -> Condition {
    Condition::parse(text, context).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn spans_and_their_events() {
    let resource = Resource { attributes: vec![pair("service.name", Value::text("shop"))], ..Resource::default() };
    let scope = InstrumentationScope { name: "http".into(), version: "1".into(), ..InstrumentationScope::default() };
    let event = Event {
        name: "exception".into(),
        time_unix_nano: 7,
        attributes: vec![pair("e", Value::Int(1))],
        ..Event::default()
    };
    let span = Span {
        name: "GET /orgs".into(),
        kind: 2,
        trace_id: vec![0xab; 16],
        attributes: vec![
            pair("code", Value::Int(500)),
            pair("ratio", Value::Double(0.5)),
            pair("ok", Value::Bool(false)),
            pair("text", Value::text("a\"b")),
        ],
        status: Some(Status { code: 2, message: "boom".into() }),
        start_time_unix_nano: 5,
        events: vec![event.clone()],
        ..Span::default()
    };
    let above = Above { resource: Some(&resource), scope: Some(&scope) };
    let source = SpanSource { above, span: &span };
    let rows = [
        (r#"name == "GET /orgs""#, true),
        (r#"span.name != "GET /orgs""#, false),
        (r#"kind == SPAN_KIND_SERVER and kind.string == "Server""#, true),
        ("status.code == STATUS_CODE_ERROR", true),
        (r#"status.message == "boom""#, true),
        (r#"attributes["code"] >= 500"#, true),
        (r#"attributes["code"] >= 500.5"#, false),
        (r#"attributes["code"] == "500""#, false),
        (r#"attributes["code"] != "500""#, true),
        (r#"attributes["ratio"] < 1 and attributes["ratio"] > -1"#, true),
        (r#"attributes["ok"] == false"#, true),
        (r#"attributes["text"] == "a\"b""#, true),
        (r#"attributes["none"] == nil"#, true),
        (r#"attributes["none"] != nil"#, false),
        (r#"attributes["none"] < 5 or attributes["none"] >= 5"#, false),
        (r#"attributes["code"] == nil"#, false),
        (r#"not attributes["code"] == nil"#, true),
        (r#"not (name == "x" or kind == SPAN_KIND_CLIENT)"#, true),
        (r#"name == "x" or name == "y" and true"#, false),
        (r#"true or false and false"#, true),
        (r#"(true or false) and false"#, false),
        (r#"true == false"#, false),
        (r#"not not true"#, true),
        (r#"IsMatch(name, "^GET /\\w+$")"#, true),
        (r#"IsMatch(attributes["code"], "^5")"#, true),
        (r#"IsMatch(attributes["none"], ".*")"#, false),
        (r#"IsMatch(attributes["none"], ".*") == false"#, true),
        (r#"IsMatch(name, "GET") != true or IsMatch(name, "POST") == true"#, false),
        (r#"resource.attributes["service.name"] == "shop""#, true),
        (r#"instrumentation_scope.name == "http" and scope.version == "1""#, true),
        (r#"trace_id.string == "abababababababababababababababab""#, true),
        ("start_time_unix_nano == 5 and end_time_unix_nano == 0", true),
        (r#"5 <= start_time_unix_nano"#, true),
        (r#"parent_span_id.string == """#, true),
        (r#"name < "H""#, true),
    ];
    for (text, expected) in rows {
        assert_eq!(parse(text, Context::Span).holds(&source), expected, "{text}");
    }
    let event = EventSource { span: source, event: &event };
    for (text, expected) in [
        (r#"name == "exception" and attributes["e"] == 1"#, true),
        (r#"spanevent.name == "GET /orgs""#, false),
        (r#"span.name == "GET /orgs" and time_unix_nano == 7"#, true),
        (r#"resource.attributes["service.name"] == "shop""#, true),
    ] {
        assert_eq!(parse(text, Context::SpanEvent).holds(&event), expected, "{text}");
    }
    assert!(parse(r#"attributes["service.name"] == "shop""#, Context::Resource).holds(&above));
    let nothing = Above { resource: None, scope: None };
    assert!(parse(r#"attributes["x"] == nil"#, Context::Resource).holds(&nothing));
}

#[test]
fn records() {
    let body = Any::KvlistValue(KeyValueList { values: vec![pair("type", Value::text("OrgCreated"))] });
    let record = |body| LogRecord { body, severity_number: 17, severity_text: "ERROR".into(), ..LogRecord::default() };
    let [map, text, none] =
        [Some(AnyValue { value: Some(body) }), Some(to_any(Value::text("x failed"))), None].map(record);
    let rows = [
        (r#"body["type"] == "OrgCreated""#, [true, false, false]),
        (r#"IsMatch(body, "failed$")"#, [false, true, false]),
        ("body == nil", [false, false, true]),
        ("severity_number >= SEVERITY_NUMBER_ERROR", [true, true, true]),
        ("log.severity_number > SEVERITY_NUMBER_ERROR", [false, false, false]),
        (r#"severity_text == "ERROR" and body.string != nil"#, [true, true, false]),
        (r#"body.string == "{\"type\":\"OrgCreated\"}""#, [true, false, false]),
    ];
    let above = Above { resource: None, scope: None };
    for (condition, expected) in rows {
        let parsed = parse(condition, Context::Log);
        let holds = [&map, &text, &none].map(|record| parsed.holds(&RecordSource { above, record }));
        assert_eq!(holds, expected, "{condition}");
    }
}

#[test]
fn metrics_and_points() {
    let metrics =
        testkit::metrics("resource{env=\"dev\"}\ncounter hits{path=\"/a\"} 7 @1\ncounter hits{path=\"/b\"} 1.5 @2");
    let metric = MetricSource { metrics: &metrics, metric: &metrics.tables().metrics[0] };
    for (text, expected) in [
        (r#"name == "hits" and is_monotonic == true"#, true),
        ("type == METRIC_DATA_TYPE_SUM and aggregation_temporality == AGGREGATION_TEMPORALITY_CUMULATIVE", true),
        ("metric.type == METRIC_DATA_TYPE_GAUGE", false),
        (r#"resource.attributes["env"] == "dev""#, true),
        (r#"HasAttrKeyOnDatapoint("path")"#, true),
        (r#"HasAttrKeyOnDatapoint("none")"#, false),
        (r#"HasAttrOnDatapoint("path", "/b")"#, true),
        (r#"HasAttrOnDatapoint("path", "/c")"#, false),
    ] {
        assert_eq!(parse(text, Context::Metric).holds(&metric), expected, "{text}");
    }
    for (text, expected) in [
        (r#"attributes["path"] == "/a""#, [true, false]),
        ("value_int == 7", [true, false]),
        ("value_double > 1", [false, true]),
        (r#"metric.name == "hits" and datapoint.time_unix_nano == 2000000000"#, [false, true]),
        ("flags == 0 and start_time_unix_nano == 0", [true, true]),
    ] {
        let parsed = parse(text, Context::Datapoint);
        let points = metrics.points_of(metric.metric);
        let holds = [0, 1].map(|at| parsed.holds(&PointSource { metric, point: &points[at] }));
        assert_eq!(holds, expected, "{text}");
    }
}

proptest! {
    /// Whatever the text, it is a condition or an error whose column lies in it (or just behind).
    #[test]
    fn no_text_is_too_much(text in r#"([a-z_.]{1,9}|[()\[\]=<>!,"\\]|and|or|not|nil| |-?[0-9]{1,3}|"[a-z]*"|IsMatch\(|é){0,12}"#) {
        if let Err(error) = Condition::parse(&text, Context::Log) {
            prop_assert!(error.column >= 1 && error.column <= text.chars().count() + 1, "{}: {}", text, error);
        }
    }
}
