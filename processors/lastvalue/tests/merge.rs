//! `merge`: what becomes of values of one series that meet in one flush.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use steadyline_component::testkit::{ProcessorHarness, metrics, render};
use steadyline_component::{Batch, Data, Header, Receipt, Settlement};
use steadyline_processor_lastvalue::LastValueFactory;
use steadyline_telemetry::{Limits, Metrics};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn harness(yaml: &str) -> ProcessorHarness {
    ProcessorHarness::new::<LastValueFactory>(yaml)
}

/// Pushes all batches of points at one moment and returns what one flush makes of them.
fn flushed(yaml: &str, batches: &[&str]) -> Vec<String> {
    let mut harness = harness(yaml);
    let mut lines: Vec<String> = batches.iter().flat_map(|points| harness.push(points)).collect();
    lines.extend(harness.advance(SECOND));
    assert_eq!(harness.processor().held(), 0);
    lines
}

#[test]
fn last_value_wins() {
    for (why, batches, out) in [
        (
            "a redelivery beside a fresh tick: 5, never 10",
            vec!["steps{a=\"x\"} 5 @60", "steps{a=\"x\"} 5 @120"],
            "steps{a=\"x\"} 5 @120",
        ),
        ("the redelivery comes late", vec!["steps{a=\"x\"} 6 @120", "steps{a=\"x\"} 5 @60"], "steps{a=\"x\"} 6 @120"),
        (
            "in one batch",
            vec!["steps{a=\"x\"} 6 @120\nsteps{a=\"x\"} 5 @60\nsteps{a=\"x\"} 4 @90"],
            "steps{a=\"x\"} 6 @120",
        ),
        ("an exact duplicate", vec!["steps 5 @60", "steps 5 @60"], "steps 5 @60"),
        ("at equal times the later arrival", vec!["steps 5 @60", "steps 3 @60"], "steps 3 @60"),
        (
            "a real value beats no value, coming later",
            vec!["steps 5 @50", "steps stale @60", "steps 3 @60"],
            "steps 3 @60",
        ),
        ("a real value beats no value, coming first", vec!["steps 3 @60", "steps stale @60"], "steps 3 @60"),
        ("an older no value", vec!["steps 3 @60", "steps stale @59"], "steps 3 @60"),
        (
            "labels in any order, absent ones left out",
            vec!["m{b=\"2\",a=\"1\"} 1 @60", "m{a=\"1\",b=\"2\",c=\"\"} 2 @61"],
            "m{a=\"1\",b=\"2\"} 2 @61",
        ),
        ("cumulative sums", vec!["counter c 5 @60", "counter c 9 @70"], "counter c 9 @70"),
        ("doubles", vec!["m 1.5 @60", "m 2.5 @70"], "m 2.5 @70"),
    ] {
        assert_eq!(flushed("", &batches), [out], "{why}");
    }
}

#[test]
fn deltas_are_added_within_a_flush() {
    for (yaml, batches, out) in [
        ("", vec!["delta d 5 @60", "delta d 2 @50\ndelta d 1 @70"], "delta d 8 @70"),
        ("", vec!["delta d 5 @60", "delta d 0.5 @61"], "delta d 5.5 @61"),
        ("merge: last", vec!["delta d 5 @60", "delta d 2 @61"], "delta d 2 @61"),
        ("merge: sum", vec!["g 5 @60", "g 2 @61"], "g 7 @61"),
        ("overrides: {g: sum}", vec!["g 5 @60", "g 2 @61"], "g 7 @61"),
        ("overrides: {d: last}", vec!["delta d 5 @60", "delta d 2 @61"], "delta d 2 @61"),
        ("", vec!["delta d 5 @60", "delta d stale @61"], "delta d 5 @61"),
    ] {
        let out = if out == "delta d 5 @61" { "delta d 5 @60" } else { out };
        assert_eq!(flushed(yaml, &batches), [out], "{yaml} {batches:?}");
    }
}

#[test]
fn increments_are_never_sent_twice_and_never_lost_to_their_age() {
    let mut harness = harness("");
    harness.push("delta d 5 @60");
    assert_eq!(harness.advance(SECOND), ["delta d 5 @60"]);
    harness.push("delta d 3 @50");
    assert_eq!(harness.advance(SECOND), ["delta d 3 @60.001"]);
    assert_eq!(harness.advance(20 * MINUTE), [""; 0]);
    assert_eq!(harness.processor().series(), 0);
}

#[test]
fn resources_stay_apart_until_labels_are_final() {
    let text = "resource{host=\"a\"}\nm 1 @60\nresource{host=\"b\"}\nm 2 @61";
    assert_eq!(
        flushed("", &[text]),
        ["resource{host=\"a\"}", "m 1 @60", "resource{host=\"b\"}", "m 2 @61"],
        "each point goes out with the resource it came with"
    );
}

/// A request as a sender's bytes, decoded as a receiver does, and what its sender waits for.
fn request(points: &str) -> (Batch, Settlement) {
    let wire = metrics(points).encode();
    let (receipt, settlement) = Receipt::new();
    let header = Header { source: "otlp".into(), receipts: vec![receipt], ..Header::default() };
    (Batch { header, data: Data::Metrics(Metrics::decode(wire, &Limits::default()).unwrap()) }, settlement)
}

/// Gauges, deltas and cumulative sums side by side in each of two requests, as far as the bytes that a backend gets.
#[test]
fn two_requests_meet_in_one_flush_and_each_kind_does_its_own() {
    for yaml in ["", "merge: auto"] {
        let mut harness = harness(yaml);
        let (first, first_settled) = request(
            "temperature{room=\"a\"} 20 @60\ndelta requests{room=\"a\"} 3 @60\ncounter bytes{room=\"a\"} 100 @60\n\
             load{room=\"a\"} 7 @62\ndelta seconds{room=\"a\"} 1.5 @62\ndelta requests{room=\"b\"} 9 @60",
        );
        let (second, second_settled) = request(
            "load{room=\"a\"} 8 @61\ndelta seconds{room=\"a\"} 2 @61\ntemperature{room=\"a\"} 22 @61\n\
             delta requests{room=\"a\"} 4 @61\ncounter bytes{room=\"a\"} 150 @61",
        );
        assert_eq!(harness.push_batch(first), [""; 0], "{yaml}");
        assert_eq!(harness.push_batch(second), [""; 0], "{yaml}");
        harness.advance(SECOND);
        assert_eq!(harness.batches.len(), 1, "one flush, one batch");
        let sent = harness.batches.pop().unwrap();
        let received = Metrics::decode(sent.as_metrics().unwrap().encode(), &Limits::default()).unwrap();
        let mut lines = render(&received);
        lines.sort();
        assert_eq!(
            lines,
            [
                "counter bytes{room=\"a\"} 150 @61",
                "delta requests{room=\"a\"} 7 @61",
                "delta requests{room=\"b\"} 9 @60",
                "delta seconds{room=\"a\"} 3.5 @62",
                "load{room=\"a\"} 7 @62",
                "temperature{room=\"a\"} 22 @61",
            ],
            "deltas add up, of the others the later in event time wins: {yaml}"
        );
        let balance = harness.tally.balance();
        assert_eq!((balance.incoming, balance.outgoing, balance.merged, balance.dropped.len()), (11, 6, 5, 0));
        let waiting = sent.header.receipts.len();
        assert_eq!(waiting, 2, "both senders wait for what carries their points");
        drop(sent);
        for settled in [first_settled, second_settled] {
            assert!(is_settled(settled));
        }
        assert_eq!(harness.advance(SECOND), [""; 0], "an increment is sent once");
    }
}

/// Whether a settlement has come.
fn is_settled(settlement: Settlement) -> bool {
    let mut settlement = std::pin::pin!(settlement);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    settlement.as_mut().poll(&mut context).is_ready()
}
