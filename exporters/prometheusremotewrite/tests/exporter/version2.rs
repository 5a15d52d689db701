//! Version 2.0: symbols per block, metadata, start times, and the way back to 1.0.

use steadyline_component::testkit::metrics;
use steadyline_telemetry::metrics::{MetricDef, NumberValue};
use steadyline_telemetry::{MetricKind, MetricsBuilder, ShapeId, Temporality};

use crate::common::{Rig, final_batch, lines, v2};

const V2: &str = "protobuf_message: io.prometheus.write.v2.Request";

#[test]
fn series_refer_to_the_symbols_of_their_own_block() {
    let points: String = (0..10).map(|n| format!("steps{{account_id=\"{n}\"}} {n} @60\n")).collect();
    let batch = final_batch(metrics(&points));
    let mut rig = Rig::new(&format!("{V2}\nmax_samples_per_send: 4"));
    let blocks = rig.blocks(&batch);
    assert_eq!(blocks.iter().map(|block| block.items).collect::<Vec<_>>(), [4, 4, 2]);
    assert_eq!(v2(&blocks[2]).symbols, ["", "__name__", "steps", "account_id", "8", "9"]);
    let expected: Vec<String> = blocks.iter().flat_map(lines).collect();
    assert_eq!(Rig::new("").blocks(&batch).iter().flat_map(lines).collect::<Vec<_>>(), expected);
    // An old receiver gets the same in the older version.
    let recoded: Vec<String> = blocks
        .iter()
        .flat_map(|block| {
            let recoded = rig.sender.recode(block).unwrap();
            assert_eq!((recoded.protocol, recoded.items), (1, block.items));
            assert!(rig.sender.recode(&recoded).is_none());
            lines(&recoded)
        })
        .collect();
    assert_eq!(recoded, expected);
}

#[test]
fn counters_have_a_start_and_every_series_its_metadata() {
    let mut builder = MetricsBuilder::new();
    let sum = MetricKind::Sum { temporality: Temporality::Cumulative, monotonic: true };
    let counter = builder.metric(MetricDef { name: "hits", description: "how often", unit: "By", kind: sum });
    let gauge = builder.metric(MetricDef::gauge("level"));
    for metric in [counter, gauge] {
        builder.number(metric, ShapeId::EMPTY, &[], 60_000_000_000, 5_000_000_000, NumberValue::Int(1));
    }
    let mut rig = Rig::new(V2);
    let blocks = rig.blocks(&steadyline_component::Batch::metrics(builder.finish()));
    assert_eq!(lines(&blocks[0]), ["hits_bytes_total 1 @60000 from 5000", "level 1 @60000"]);
    let request = v2(&blocks[0]);
    let described: Vec<(i32, &str, &str)> = request
        .timeseries
        .iter()
        .map(|series| {
            let metadata = series.metadata.clone().unwrap();
            let text = |r: u32| request.symbols[r as usize].as_str();
            (metadata.kind, text(metadata.help_ref), text(metadata.unit_ref))
        })
        .collect();
    assert_eq!(described, [(1, "how often", "bytes"), (2, "", "")]);
}

#[test]
fn names_may_keep_their_characters() {
    let mut rig = Rig::new(&format!("{V2}\ntranslation_strategy: NoTranslation"));
    assert_eq!(rig.raw(r#"http.wait{http.method="GET"} 1 @1"#), [r#"http.wait{http.method="GET"} 1 @1000"#]);
}
