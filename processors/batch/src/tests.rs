//! What goes out when, as tables; and whatever comes in: nothing lost, order kept, bounds kept.
//! Every step checks conservation.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use proptest::prelude::*;
use steadyline_component::testkit::{self, ProcessorHarness, render};
use steadyline_component::{Batch, Budget, Data, Header, PassEnd, Receipt};
use steadyline_telemetry::{Limits, Metrics, Opaque, Signal, wire};

use crate::BatchFactory;

fn harness(yaml: &str) -> ProcessorHarness {
    ProcessorHarness::new::<BatchFactory>(yaml)
}

/// So many points of one series each, numbered on from `first`.
fn points(first: usize, count: usize) -> String {
    (first..first + count).map(|n| format!("m{{n=\"{n}\"}} {n}\n")).collect()
}

fn batch(points: &str) -> Batch {
    Batch::metrics(testkit::metrics(points))
}

fn sizes(harness: &ProcessorHarness) -> Vec<u64> {
    harness.batches.iter().map(Batch::items).collect()
}

const MS: Duration = Duration::from_millis(1);

#[test]
fn small_batches_are_joined_for_as_long_as_the_timeout() {
    let mut harness = harness("");
    assert!(harness.push("a 1 @1\nb 2 @1").is_empty());
    assert!(harness.advance(199 * MS).is_empty());
    assert!(harness.push("a 2 @2").is_empty());
    assert_eq!(harness.advance(MS), ["a 1 @1", "b 2 @1", "a 2 @2"]);
    assert_eq!(sizes(&harness), [3]);
    assert!(harness.advance(Duration::from_secs(10)).is_empty());
}

#[test]
fn a_full_batch_goes_at_once() {
    let mut harness = harness("{send_batch_size: 10, timeout: 1h}");
    assert!(harness.push(&points(0, 9)).is_empty());
    assert_eq!(harness.push(&points(9, 3)).len(), 12);
    assert_eq!(sizes(&harness), [12]);
    assert_eq!(harness.push(&points(0, 10)).len(), 10);
}

#[test]
fn no_batch_is_larger_than_the_largest() {
    let mut harness = harness("{send_batch_size: 10, send_batch_max_size: 10, timeout: 1h}");
    assert!(harness.push(&points(0, 6)).is_empty());
    harness.push(&points(6, 6));
    assert_eq!(sizes(&harness), [6]);
    // Larger than may be: what waits goes first, then equal pieces.
    let lines = harness.push(&points(12, 23));
    assert_eq!(sizes(&harness), [6, 8, 8, 7]);
    assert_eq!(lines.len(), 29);
    assert_eq!(lines[0], "m{n=\"6\"} 6");
    assert_eq!(lines[28], "m{n=\"34\"} 34");
}

#[test]
fn without_timeout_or_size_nothing_waits() {
    for yaml in ["{timeout: 0s}", "{send_batch_size: 0, send_batch_max_size: 4}"] {
        let mut harness = harness(yaml);
        assert_eq!(harness.push(&points(0, 5)).len(), 5, "{yaml}");
    }
    let mut harness = harness("{send_batch_size: 0, send_batch_max_size: 4}");
    harness.push(&points(0, 5));
    assert_eq!(sizes(&harness), [3, 2]);
}

#[tokio::test]
async fn who_waits_for_delivery_waits_a_second_at_most_and_for_all_of_it() {
    let mut harness = harness("{timeout: 60s}");
    let (receipt, mut settlement) = Receipt::new();
    harness.push_batch(batch("a 1"));
    let mut waited = batch("a 2");
    waited.header.receipts.push(receipt);
    harness.push_batch(waited);
    assert!(harness.advance(999 * MS).is_empty());
    assert_eq!(harness.advance(MS), ["a 1", "a 2"]);
    assert!((&mut settlement).now_or_never().is_none());
    harness.batches.clear();
    assert_eq!(settlement.await, Ok(()));
}

#[tokio::test]
async fn pieces_share_what_their_batch_held() {
    let budget = Budget::new(64 << 20);
    let mut harness = harness("{send_batch_size: 2, send_batch_max_size: 2}");
    let (receipt, mut settlement) = Receipt::new();
    let permit = budget.try_acquire(1 << 20);
    let header = Header { receipts: vec![receipt], permit, ..Header::default() };
    harness.push_batch(Batch { header, ..batch(&points(0, 3)) });
    assert_eq!((sizes(&harness), budget.used()), (vec![2, 1], 1 << 20));
    harness.batches.pop();
    assert!((&mut settlement).now_or_never().is_none());
    harness.batches.clear();
    assert_eq!((settlement.await, budget.used()), (Ok(()), 0));
}

#[test]
fn under_pressure_nothing_is_held() {
    let budget = Budget::new(64 << 20);
    let mut harness = harness("{timeout: 60s}");
    let with_permit = |bytes: u64| {
        let header = Header { permit: budget.try_acquire(bytes), ..Header::default() };
        Batch { header, ..batch("a 1") }
    };
    harness.push("b 1");
    assert!(harness.push_batch(with_permit(16 << 20)).is_empty());
    assert!(harness.push_batch(with_permit(16 << 20)).is_empty());
    let lines = harness.push_batch(with_permit(1 << 20));
    assert_eq!(lines, ["b 1", "a 1", "a 1", "a 1"]);
    assert_eq!(budget.used(), 33 << 20);
    harness.batches.clear();
    assert_eq!(budget.used(), 0);
}

#[test]
fn passes_end_after_their_points_and_sources_stay_apart() {
    let mut harness = harness("{timeout: 60s}");
    assert_eq!(harness.source("a", &["id"]).pass(1, "x 1", PassEnd::Complete), ["x 1"]);
    assert_eq!(sizes(&harness), [1, 0]);
    let end = &harness.batches[1].header;
    assert_eq!((end.pass.as_ref().unwrap().end, &*end.source), (Some(PassEnd::Complete), "a"));
    harness.source("a", &["id"]).push("x 2");
    harness.source("b", &[]).push("x 3");
    harness.source("b", &["other"]).push("x 4");
    assert_eq!(sizes(&harness), [1]);
    assert_eq!(harness.drain(), ["x 2", "x 4"]);
    let sources: Vec<&str> = harness.batches.iter().map(|batch| &*batch.header.source).collect();
    assert_eq!(sources, ["a", "b"]);
}

#[test]
fn requests_that_nobody_changed_leave_as_the_bytes_that_came() {
    let mut harness = harness("");
    let requests = [testkit::metrics("a{x=\"1\"} 1 @1").encode(), testkit::metrics("b 2 @2").encode()];
    for request in &requests {
        let metrics = Metrics::decode(request.clone(), &Limits::default()).unwrap();
        harness.push_batch(Batch::metrics(metrics));
    }
    harness.advance(200 * MS);
    let joined = harness.batches[0].as_metrics().unwrap().encode();
    assert_eq!(joined, requests.concat());
}

/// A request of so many log records that say nothing.
fn logs(records: usize) -> Opaque {
    let mut scope = Vec::new();
    (0..records).for_each(|_| wire::put_bytes(&mut scope, 2, &[]));
    let (mut resource, mut request) = (Vec::new(), Vec::new());
    wire::put_bytes(&mut resource, 2, &scope);
    wire::put_bytes(&mut request, 1, &resource);
    Opaque::count(Signal::Logs, Bytes::from(request), &Limits::default()).unwrap()
}

#[test]
fn log_records_are_joined_and_cut_too() {
    let mut harness = harness("{send_batch_size: 5, send_batch_max_size: 5}");
    let batch = |records| Batch { header: Header::default(), data: Data::Opaque(logs(records)) };
    harness.push_batch(batch(2));
    harness.push_batch(batch(3));
    assert_eq!(sizes(&harness), [5]);
    harness.push_batch(batch(11));
    assert_eq!(sizes(&harness), [4, 4, 3]);
}

#[test]
fn nothing_is_passed_on_for_nothing_but_who_waits_is_told() {
    let mut harness = harness("");
    harness.push("");
    assert!(harness.batches.is_empty());
    let (receipt, _settlement) = Receipt::new();
    let mut empty = batch("");
    empty.header.receipts.push(receipt);
    harness.push_batch(empty);
    assert_eq!(sizes(&harness), [0]);
}

#[test]
fn what_cannot_be_is_said_at_load() {
    let wrong = |yaml: &str| testkit::create::<BatchFactory>(yaml).err().unwrap();
    let text = wrong("{send_batch_size: 100, send_batch_max_size: 99}");
    assert!(text.contains("batch.send_batch_max_size: 99 is less than the `send_batch_size` of 100"), "{text}");
    let text = wrong("{metadata_keys: [x-tenant]}");
    assert!(text.contains("batch.metadata_keys: batches carry no request metadata here"), "{text}");
    assert!(wrong("{send_batch_siz: 1}").contains("send_batch_siz"));
    for sound in ["", "{metadata_keys: [], metadata_cardinality_limit: 5}", "{send_batch_max_size: 8192}"] {
        assert!(testkit::create::<BatchFactory>(sound).is_ok(), "{sound}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_and_each_source_keeps_its_order(
        size in 0..20u64,
        more in prop_oneof![Just(None), (0..10u64).prop_map(Some)],
        timeout in 0..400u64,
        steps in proptest::collection::vec((0..3usize, 0..30usize, 0..300u64, any::<bool>()), 0..30),
    ) {
        let most = more.map_or(0, |more| size + more);
        let mut harness =
            harness(&format!("{{send_batch_size: {size}, send_batch_max_size: {most}, timeout: {timeout}ms}}"));
        let (mut sent, mut got) = (vec![Vec::new(); 3], vec![Vec::new(); 3]);
        let mut collect = |batches: &mut Vec<Batch>| {
            for batch in batches.drain(..) {
                assert!(most == 0 || batch.items() <= most);
                let source: usize = batch.header.source.parse().unwrap();
                got[source].extend(render(batch.as_metrics().unwrap()));
            }
        };
        let mut next = 0;
        for (source, count, pause, ends) in steps {
            let text = points(next, count);
            next += count;
            sent[source].extend(render(&testkit::metrics(&text)));
            let header = Header { source: Arc::from(source.to_string()), ..Header::default() };
            harness.push_batch(Batch { header, ..batch(&text) });
            collect(&mut harness.batches);
            if ends {
                let source = source.to_string();
                harness.source(&source, &[]).pass(1, "", PassEnd::Complete);
                collect(&mut harness.batches);
            }
            // Step by step: the harness keeps what came out of the last call only.
            for _ in 0..pause {
                harness.batches.clear();
                harness.advance(MS);
                collect(&mut harness.batches);
            }
        }
        harness.batches.clear();
        harness.drain();
        collect(&mut harness.batches);
        prop_assert_eq!(got, sent);
    }
}
