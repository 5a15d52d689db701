//! What plugins say is done, and what they do not mention passes as it came.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use prost::Message;
use steadyline_component::telemetry::{Limits, Metrics};
use steadyline_component::testkit::{MemoryStorage, TestExtensions, create_with};
use steadyline_component::{Batch, Board, Clock, Data, Extension, Header, Host, Meter, PassEnd, Shutdown, Tally, Work};
use steadyline_processor_wasm::WasmFactory;

use crate::common::{harness, yaml};

const THREE: &str = "a{n=\"1\",old=\"x\"} 1 @60\na{n=\"2\"} 2.5 @60\ncounter b{n=\"3\"} 3 @60";

#[test]
fn what_plugins_say_is_done() {
    let cases: [(&str, &[&str]); 8] = [
        ("pass", &["a{n=\"1\",old=\"x\"} 1 @60", "a{n=\"2\"} 2.5 @60", "counter b{n=\"3\"} 3 @60"]),
        ("drop", &[]),
        ("drop_odd", &["a{n=\"1\",old=\"x\"} 1 @60", "counter b{n=\"3\"} 3 @60"]),
        ("double", &["a{n=\"1\",old=\"x\"} 2 @60", "a{n=\"2\"} 5 @60", "counter b{n=\"3\"} 6 @60"]),
        ("end", &["a{n=\"1\",old=\"x\"} stale @60", "a{n=\"2\"} stale @60", "counter b{n=\"3\"} stale @60"]),
        ("forget", &["a{n=\"1\",old=\"x\"} held @60", "a{n=\"2\"} held @60", "counter b{n=\"3\"} held @60"]),
        ("rename", &["renamed{n=\"1\",old=\"x\"} 1 @60", "renamed{n=\"2\"} 2.5 @60", "counter b{n=\"3\"} 3 @60"]),
        (
            "create",
            &["a{n=\"1\",old=\"x\"} 1 @60", "a{n=\"2\"} 2.5 @60", "counter b{n=\"3\"} 3 @60", "points 3 @1000000"],
        ),
    ];
    for (what, expected) in cases {
        let mut harness = harness(what, "");
        assert_eq!(harness.push(THREE), expected, "{what}");
        let all = 3 - expected.len().min(3) as u64;
        assert_eq!(harness.dropped("plugin"), all, "{what}");
    }
}

#[test]
fn attributes_are_set_and_removed() {
    let lines = harness("label", "").push(THREE);
    // 7 is a number, so it shows as one.
    let expected =
        ["a{n=\"7\",seen=\"a\"} 1 @60", "a{n=\"7\",seen=\"a\"} 2.5 @60", "counter b{n=\"7\",seen=\"b\"} 3 @60"];
    let plain: Vec<String> = lines.iter().map(|line| line.replace("n=7", "n=\"7\"")).collect();
    assert_eq!(plain, expected);
    let mut harness = harness("resource", "");
    let lines = harness.push("resource{env=\"dev\",host=\"h1\"}\na 1 @60\nb 2 @60");
    assert_eq!(lines, ["resource{env=\"dev\",zone=\"b\"}", "a 1 @60", "b 2 @60"]);
}

#[test]
fn only_metrics_that_are_named_are_shown_and_others_cost_no_call() {
    let mut harness = harness("drop", "metrics: [a, 'c.*']");
    let lines = harness.push("a 1 @60\nab 2 @60\nc.d 3 @60\nb 4 @60");
    assert_eq!(lines, ["ab 2 @60", "b 4 @60"]);
    assert_eq!(harness.dropped("plugin"), 2);
    // It would break off, were it called.
    let mut harness = crate::common::harness("trap", "metrics: [a]\non_error: drop");
    assert_eq!(harness.push("b 1 @60"), ["b 1 @60"]);
    assert!(harness.push("a 1 @60").is_empty());
}

#[test]
fn ends_of_passes_and_confirmations_go_through() {
    let mut harness = harness("double", "");
    let lines = harness.pass(1, "a{n=\"1\"} 4 @60\na{n=\"2\"} held @60", PassEnd::Complete);
    assert_eq!(lines, ["a{n=\"1\"} 8 @60", "a{n=\"2\"} held @60"]);
    assert_eq!(harness.batches.last().unwrap().pass_end(), Some(PassEnd::Complete));
}

/// Everything that OTLP has: kinds, exemplars, schema URLs, values that are lists.
fn rich() -> ExportMetricsServiceRequest {
    serde_json::from_value(serde_json::json!({"resourceMetrics": [{
        "schemaUrl": "https://example.com/resource",
        "resource": {"attributes": [{"key": "host", "value": {"stringValue": "h1"}}], "droppedAttributesCount": 2},
        "scopeMetrics": [{
            "scope": {"name": "lib", "version": "1"},
            "metrics": [
                {"name": "h", "unit": "s", "description": "how long", "histogram": {"aggregationTemporality": 2, "dataPoints": [{
                    "startTimeUnixNano": "1", "timeUnixNano": "60", "count": "3", "sum": 4.5,
                    "bucketCounts": ["1", "2"], "explicitBounds": [1.0],
                    "exemplars": [{"timeUnixNano": "5", "asDouble": 1.5, "traceId": "00000000000000000000000000000001", "spanId": "0000000000000002"}]
                }]}},
                {"name": "g", "gauge": {"dataPoints": [{
                    "timeUnixNano": "60", "asInt": "7",
                    "attributes": [{"key": "list", "value": {"arrayValue": {"values": [{"intValue": "1"}, {"stringValue": "x"}]}}}],
                    "exemplars": [{"timeUnixNano": "5", "asInt": "6", "traceId": "", "spanId": ""}]
                }]}}
            ]
        }]
    }]}))
    .unwrap()
}

fn batch(request: &ExportMetricsServiceRequest) -> Batch {
    let metrics = Metrics::decode(Bytes::from(request.encode_to_vec()), &Limits::default()).unwrap();
    Batch { header: Header { labels_final: true, ..Header::default() }, data: Data::Metrics(metrics) }
}

#[test]
fn what_is_not_mentioned_passes_whole() {
    let encoded = |batch: &Batch| ExportMetricsServiceRequest::decode(batch.as_metrics().unwrap().encode()).unwrap();
    let mut harness = harness("pass", "");
    harness.push_batch(batch(&rich()));
    assert_eq!(encoded(&harness.batches[0]), rich());
    assert!(harness.batches[0].header.labels_final);
    let mut harness = crate::common::harness("double", "metrics: [g]");
    harness.push_batch(batch(&rich()));
    let mut expected = rich();
    let changed = encoded(&harness.batches[0]);
    assert!(harness.batches[0].header.labels_final, "a value is no label");
    let text = format!("{:?}", changed.resource_metrics[0].scope_metrics[0].metrics[1]);
    assert!(text.contains("AsInt(14)") && text.contains("AsInt(6)"), "the exemplar stays: {text}");
    expected.resource_metrics[0].scope_metrics[0].metrics[1] =
        changed.resource_metrics[0].scope_metrics[0].metrics[1].clone();
    assert_eq!(changed, expected);
    let mut harness = crate::common::harness("resource", "");
    harness.push_batch(batch(&rich()));
    assert!(!harness.batches[0].header.labels_final, "labels are others now");
}

#[test]
fn what_cannot_be_made_can_be_seen() {
    let mut harness = harness("show", "");
    harness.push_batch(batch(&rich()));
    let lines: Vec<String> =
        harness.batches[1].as_metrics().into_iter().flat_map(steadyline_component::testkit::render).collect();
    let text = lines.join("\n");
    for word in [
        "h Kind::Other",
        "count: 3",
        "sum: Some(4.5)",
        "g Kind::Gauge",
        "Integer(7)",
        "[host Value::Text",
        "[1,",
        "Structured",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn state_is_kept_in_the_background() {
    let storage = MemoryStorage::default();
    let mut values = Vec::new();
    for _ in 0..2 {
        let mut extensions =
            TestExtensions(BTreeMap::from([("memory".to_owned(), Arc::new(storage.clone()) as Arc<dyn Extension>)]));
        let (clock, meter) = (Clock::system(), Meter::default());
        let yaml = yaml("{do: state}", "storage: memory");
        let mut processor = create_with::<WasmFactory>(&yaml, &mut extensions, &clock, &meter).unwrap();
        let (trigger, shutdown) = Shutdown::new();
        let host = Host { clock: clock.clone(), board: Board::new(clock.clone()), shutdown };
        processor.start(&host).await.unwrap();
        for _ in 0..2 {
            let (tally, mut out) = (Tally::default(), Vec::new());
            let metrics = steadyline_component::testkit::metrics("a 0 @60");
            let mut work = Work { now: clock.now(), tally: &tally, out: &mut out };
            processor.process(Batch::metrics(metrics), &mut work);
            values.extend(out.iter().filter_map(Batch::as_metrics).flat_map(steadyline_component::testkit::render));
        }
        let last = [values.len() as u8];
        trigger.fire();
        let written = storage.wait_for(|commits| {
            let puts = commits.iter().flatten();
            puts.into_iter()
                .any(|change| matches!(change, steadyline_component::Change::Put(_, value) if value[..] == last))
        });
        tokio::time::timeout(std::time::Duration::from_secs(60), written).await.unwrap();
    }
    assert_eq!(values, ["a 1 @60", "a 2 @60", "a 3 @60", "a 4 @60"]);
}
