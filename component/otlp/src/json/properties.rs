//! Whatever JSON comes: no panic, and what is taken is protobuf that others read.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use proptest::prelude::*;
use prost::Message;
use serde_json::{Map, Value, json};
use steadyline_telemetry::Signal;

use super::schema::{self, Field, Kind};
use super::to_protobuf;

/// Values that fit a field, and now and then some that do not.
fn value(field: &'static Field, depth: u32) -> BoxedStrategy<Value> {
    let one = prop_oneof![20 => fitting(field.kind, depth), 1 => odd()];
    match field.repeated {
        true => prop_oneof![10 => prop::collection::vec(one, 0..3).prop_map(Value::from), 1 => odd()].boxed(),
        false => one.boxed(),
    }
}

fn fitting(kind: Kind, depth: u32) -> BoxedStrategy<Value> {
    match kind {
        Kind::Message(_) if depth == 0 => Just(json!({})).boxed(),
        Kind::Message(of) => message(of, depth - 1).boxed(),
        Kind::Text => "[a-z\u{1f980}\"\\\\]{0,4}".prop_map(Value::from).boxed(),
        Kind::Hex => "([0-9a-fA-F]{2}){0,4}".prop_map(Value::from).boxed(),
        Kind::Base64 => "([A-Za-z0-9+/]{4}){0,2}".prop_map(Value::from).boxed(),
        Kind::Bool => any::<bool>().prop_map(Value::from).boxed(),
        Kind::Double => {
            let words = prop::sample::select(vec!["NaN", "Infinity", "-Infinity", "1e3"]);
            prop_oneof![any::<f64>().prop_map(Value::from), words.prop_map(Value::from)].boxed()
        }
        Kind::Enum(names) => {
            prop_oneof![prop::sample::select(names.to_vec()).prop_map(Value::from), any::<u8>().prop_map(Value::from)]
                .boxed()
        }
        Kind::Sint | Kind::Int | Kind::Sfixed64 => {
            prop_oneof![any::<i32>().prop_map(Value::from), any::<i32>().prop_map(|n| n.to_string().into())].boxed()
        }
        Kind::Uint(_) | Kind::Fixed64 | Kind::Fixed32 => {
            prop_oneof![any::<u32>().prop_map(Value::from), any::<u32>().prop_map(|n| n.to_string().into())].boxed()
        }
    }
}

fn odd() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        Value::Null,
        json!({"stringValue": []}),
        json!([[null]]),
        json!(-1),
        json!(1e300),
        json!("18446744073709551616"),
        json!("zz"),
        json!(true),
    ])
}

fn message(of: &'static schema::Message, depth: u32) -> impl Strategy<Value = Value> {
    let field = prop::sample::select(of.0.iter().collect::<Vec<_>>());
    let entry = (field, any::<bool>()).prop_flat_map(move |(field, in_snake_case)| {
        let name = if in_snake_case { field.proto } else { field.json };
        value(field, depth).prop_map(move |value| (name.to_string(), value))
    });
    prop::collection::vec(entry, 0..4).prop_map(|entries| Value::from(Map::from_iter(entries)))
}

fn reads(signal: Signal, protobuf: &[u8]) -> bool {
    match signal {
        Signal::Metrics => ExportMetricsServiceRequest::decode(protobuf).is_ok(),
        Signal::Traces => ExportTraceServiceRequest::decode(protobuf).is_ok(),
        Signal::Logs => ExportLogsServiceRequest::decode(protobuf).is_ok(),
    }
}

proptest! {
    #[test]
    fn what_is_taken_is_protobuf(
        metrics in message(&schema::METRICS, 9),
        traces in message(&schema::TRACES, 9),
        logs in message(&schema::LOGS, 9),
    ) {
        for (signal, json) in [(Signal::Metrics, metrics), (Signal::Traces, traces), (Signal::Logs, logs)] {
            if let Ok(protobuf) = to_protobuf(signal, json.to_string().as_bytes()) {
                prop_assert!(reads(signal, &protobuf), "{json}");
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..64), text in "[\\[\\]{}\":,0-9a-z ]{0,64}") {
        for signal in [Signal::Metrics, Signal::Traces, Signal::Logs] {
            // Only that it returns.
            let _ = to_protobuf(signal, &bytes);
            let _ = to_protobuf(signal, text.as_bytes());
        }
    }
}
