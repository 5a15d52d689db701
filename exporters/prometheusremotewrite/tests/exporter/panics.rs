//! What an encoder that fell over does with the batch after: nothing of the one before is in it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use steadyline_component::testkit::metrics;
use steadyline_component::{Batch, Encoded, Tally};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::common::{Rig, lines};

/// A log that falls over, and with it whoever writes to it.
struct Fragile;

impl Subscriber for Fragile {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {
        panic!("the log fell over");
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[test]
fn what_a_panic_left_is_not_sent_with_the_next_batch() {
    for yaml in ["", "protobuf_message: io.prometheus.write.v2.Request"] {
        let mut rig = Rig::new(yaml);
        // The delta is refused, which is told in the log when all else has been encoded.
        let points = "a 1 @60\na 2 @60\ncounter c_total 1 @60\ndelta d 1 @60";
        let encoded = tracing::subscriber::with_default(Fragile, || {
            let (batch, tally) = (Batch::metrics(metrics(points)), Tally::default());
            let encode = || rig.encoder.encode(&batch, 2, &mut Encoded { blocks: &mut Vec::new(), tally: &tally });
            catch_unwind(AssertUnwindSafe(encode))
        });
        assert!(encoded.is_err(), "{yaml}");
        // The rig checks that the books of each batch are whole.
        let mut sent = |points: &str| {
            let blocks = rig.blocks(&Batch::metrics(metrics(points)));
            (blocks.iter().flat_map(lines).collect::<Vec<_>>(), rig.merged, rig.dropped.len())
        };
        for time in [61, 62] {
            let (lines, merged, dropped) = sent(&format!("b 3 @{time}"));
            assert_eq!((lines.len(), merged, dropped), (1, 0, 0), "{yaml}: {lines:?}");
            assert!(lines[0].contains("b"), "{lines:?}");
        }
    }
}
