//! What was found, put on metrics and on logs.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use proptest::prelude::*;
use prost::Message;
use steadyline_component::telemetry::{Limits, Metrics, Opaque, Signal};
use steadyline_component::testkit::{metrics, render};

use crate::apply;
use crate::attribute::Attribute;

fn attributes() -> Vec<Attribute> {
    vec![Attribute::text("env", "prod"), Attribute::number("n", 300), Attribute::list("list", ["a".into(), "b".into()])]
}

#[test]
fn metrics_get_the_attributes_on_every_resource() {
    let points = "resource{env=\"dev\",x=\"1\"}\nup 1\nresource{y=\"2\"}\nup 2";
    let described = |overrides: bool| {
        let mut metrics = metrics(points);
        apply::to_metrics(&mut metrics, &attributes(), overrides);
        render(&Metrics::decode(metrics.encode(), &Limits::default()).unwrap())
    };
    let second = "resource{y=\"2\",env=\"prod\",n=300,list=<10 bytes>}";
    let first = "resource{env=\"prod\",x=\"1\",n=300,list=<10 bytes>}";
    assert_eq!(described(true), [first, "up 1", second, "up 2"]);
    assert_eq!(described(false), [&first.replace("prod", "dev"), "up 1", second, "up 2"]);
}

#[test]
fn what_says_it_all_already_stays_as_it_came() {
    let mut metrics = metrics("resource{a=\"1\"}\nup 1");
    apply::to_metrics(&mut metrics, &attributes(), true);
    let bytes = metrics.encode();
    let mut again = Metrics::decode(bytes.clone(), &Limits::default()).unwrap();
    apply::to_metrics(&mut again, &attributes(), true);
    assert_eq!(again.encode().as_ptr(), bytes.as_ptr());
    let logs = apply::to_opaque(&logs(&[("a", "1")]), &attributes(), true).unwrap();
    let same = apply::to_opaque(&logs, &attributes(), true).unwrap();
    assert_eq!(same.bytes().as_ptr(), logs.bytes().as_ptr());
}

fn text(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(any_value::Value::StringValue(value.into())) });
    KeyValue { key: key.into(), value, ..KeyValue::default() }
}

fn logs(resource: &[(&str, &str)]) -> Opaque {
    let attributes = resource.iter().map(|(key, value)| text(key, value)).collect();
    let record = LogRecord { severity_number: 9, ..LogRecord::default() };
    let scope_logs = vec![ScopeLogs { log_records: vec![record], ..ScopeLogs::default() }];
    let resource = Some(Resource { attributes, dropped_attributes_count: 4, ..Resource::default() });
    let bare = ResourceLogs { scope_logs: scope_logs.clone(), ..ResourceLogs::default() };
    let full = ResourceLogs { resource, scope_logs, schema_url: "u".into() };
    let bytes = ExportLogsServiceRequest { resource_logs: vec![full, bare] }.encode_to_vec();
    Opaque::count(Signal::Logs, bytes.into(), &Limits::default()).unwrap()
}

#[test]
fn logs_get_the_attributes_on_every_resource_and_nothing_else_changes() {
    for overrides in [true, false] {
        let before = logs(&[("x", "1"), ("env", "dev"), ("env", "again")]);
        let after = apply::to_opaque(&before, &attributes(), overrides).unwrap();
        assert_eq!(after.items(), 2);
        let (mut request, original) =
            [&after, &before].map(|opaque| ExportLogsServiceRequest::decode(opaque.bytes().clone()).unwrap()).into();
        let keys = |logs: &ResourceLogs| {
            let attributes = &logs.resource.as_ref().unwrap().attributes;
            attributes.iter().map(|pair| pair.key.clone()).collect::<Vec<_>>()
        };
        let first = request.resource_logs[0].resource.as_ref().unwrap();
        if overrides {
            assert_eq!(keys(&request.resource_logs[0]), ["x", "env", "n", "list"]);
            assert_eq!(first.attributes[1], text("env", "prod"));
        } else {
            assert_eq!(keys(&request.resource_logs[0]), ["x", "env", "env", "n", "list"]);
            assert_eq!(first.attributes[1], text("env", "dev"));
        }
        assert_eq!(keys(&request.resource_logs[1]), ["env", "n", "list"]);
        for (logs, original) in request.resource_logs.iter_mut().zip(&original.resource_logs) {
            match (&mut logs.resource, &original.resource) {
                (Some(resource), Some(original)) => resource.attributes.clone_from(&original.attributes),
                (resource, None) => *resource = None,
                (None, Some(_)) => panic!("the resource is gone"),
            }
        }
        assert_eq!(request, original);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn broken_resources_are_refused_or_kept_whole(
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        overrides in any::<bool>(),
    ) {
        let mut bytes = logs(&[("x", "1"), ("env", "dev")]).bytes().to_vec();
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let Ok(before) = Opaque::count(Signal::Logs, bytes.into(), &Limits::default()) else { return Ok(()) };
        if let Ok(after) = apply::to_opaque(&before, &attributes(), overrides) {
            prop_assert_eq!(after.items(), before.items());
            let readable = |opaque: &Opaque| ExportLogsServiceRequest::decode(opaque.bytes().clone()).is_ok();
            // What was readable stays so; a broken attribute may be replaced by ours.
            prop_assert!(!readable(&before) || readable(&after));
            let again = apply::to_opaque(&after, &attributes(), overrides);
            prop_assert_eq!(again, Ok(after));
        }
    }
}
