//! Logs and traces, as requests.

use bytes::Bytes;
use steadyline_component::telemetry::{Limits, Opaque, Signal};
use steadyline_component::{Batch, Data, Header};

use crate::common::harness_for;

/// A request of two log records: resource, scope, records.
const TWO: [u8; 12] = [0x0a, 0x0a, 0x12, 0x08, 0x12, 0x02, 0x10, 0x09, 0x12, 0x02, 0x10, 0x0a];

fn batch(signal: Signal) -> Batch {
    let opaque = Opaque::count(signal, Bytes::from_static(&TWO), &Limits::default()).unwrap();
    assert_eq!(opaque.items(), 2);
    Batch { header: Header::default(), data: Data::Opaque(opaque) }
}

#[test]
fn requests_go_in_and_out() {
    for signal in [Signal::Logs, Signal::Traces] {
        for (what, items) in [("pass", 2), ("drop", 0), ("twice", 4)] {
            let mut harness = harness_for(signal, what, "");
            harness.push_batch(batch(signal));
            let out: u64 = harness.batches.iter().map(Batch::items).sum();
            let balance = harness.tally.balance();
            assert_eq!(out, items, "{signal} {what}");
            let of = |reasons: &std::collections::BTreeMap<_, u64>| reasons.values().sum::<u64>();
            let books = (of(&balance.dropped), of(&balance.created));
            assert_eq!(books, (2u64.saturating_sub(items), items.saturating_sub(2)), "{signal} {what}");
        }
    }
}

#[test]
fn what_fails_goes_the_way_of_on_error() {
    for (what, reason) in [("garbage", "garbage"), ("error", "plugin_error"), ("trap", "trap")] {
        let mut pass = harness_for(Signal::Logs, what, "");
        pass.push_batch(batch(Signal::Logs));
        assert_eq!(pass.batches[0].items(), 2, "{what}");
        let mut drop = harness_for(Signal::Logs, what, "on_error: drop");
        drop.push_batch(batch(Signal::Logs));
        assert_eq!((drop.batches.len(), drop.dropped(reason)), (0, 2), "{what}");
    }
}
