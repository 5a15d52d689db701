//! Gauges and sums: labels, values, order and what is not sent, as tables.

use crate::common::{Rig, STALE, final_batch, lines, v1};
use steadyline_component::testkit::metrics;
use steadyline_telemetry::metrics::{MetricDef, NumberValue};
use steadyline_telemetry::{MetricsBuilder, Value};

#[test]
fn final_labels_are_sent_as_they_are() {
    let mut rig = Rig::new("external_labels: {zone: z, cluster: c, Region: r}");
    let lines = rig.finals(
        r#"resource{env="never seen", service.name="nor this"}
           onboarding_completed_steps{Upper="u",account_id="a",cluster="own",env="dev"} 5 @60.0019
           onboarding_completed_steps{Upper="u",account_id="b",cluster="",env="dev"} stale @60
           counter hits{account_id="a"} 7 @61"#,
    );
    assert_eq!(
        lines,
        [
            r#"onboarding_completed_steps{Region="r",Upper="u",account_id="a",cluster="own",env="dev",zone="z"} 5 @60001"#,
            r#"onboarding_completed_steps{Region="r",Upper="u",account_id="b",cluster="c",env="dev",zone="z"} stale @60000"#,
            r#"hits{Region="r",account_id="a",cluster="c",zone="z"} 7 @61000"#,
        ]
    );
    assert_eq!(rig.lost(), []);
}

#[test]
fn otlp_is_translated() {
    let mut rig = Rig::new("namespace: my-ns\nexternal_labels: {cluster: c, job: other}");
    let lines = rig.raw(
        r#"resource{service.name="api", service.namespace="shop", service.instance.id="i", host.name="h"}
           counter http.requests{http.method="GET",2nd=true,empty="",n=3} 7 @60
           1st.gauge{} -0.5 @60"#,
    );
    assert_eq!(
        lines,
        [
            r#"my_ns_http_requests_total{cluster="c",http_method="GET",instance="i",job="shop/api",key_2nd="true",n="3"} 7 @60000"#,
            r#"my_ns_1st_gauge{cluster="c",instance="i",job="shop/api"} -0.5 @60000"#,
            r#"my_ns_target_info{cluster="c",host_name="h",instance="i",job="shop/api"} 1 @60000"#,
        ]
    );
    assert_eq!((rig.created, rig.lost()), (1, vec![]));
}

#[test]
fn suffixes_scope_and_resource_labels_by_choice() {
    let mut builder = MetricsBuilder::new();
    builder.resource([
        ("service.name", Value::text("api")),
        ("host.name", Value::text("h")),
        ("a.b", Value::text("r")),
    ]);
    builder.scope("lib", "1.2");
    let metric = builder.metric(MetricDef { unit: "s", ..MetricDef::gauge("wait") });
    let shape = builder.shape(["a.b"]);
    let value = builder.value(Value::text("point"));
    builder.number(metric, shape, &[value], 60_000_000_000, 0, NumberValue::Int(1));
    let batch = builder.finish();
    let scoped = r#"otel_scope_name="lib",otel_scope_version="1.2""#;
    for (yaml, expected) in [
        ("", format!(r#"wait_seconds{{a_b="point",job="api",{scoped}}} 1 @60000"#)),
        ("add_metric_suffixes: false\ndisable_scope_info: true", r#"wait{a_b="point",job="api"} 1 @60000"#.into()),
        (
            "resource_to_telemetry_conversion: {enabled: true}",
            format!(r#"wait_seconds{{a_b="point",host_name="h",job="api",{scoped},service_name="api"}} 1 @60000"#),
        ),
        (
            "resource_to_telemetry_conversion: {enabled: true, exclude_service_attributes: true}",
            format!(r#"wait_seconds{{a_b="point",host_name="h",job="api",{scoped}}} 1 @60000"#),
        ),
    ] {
        let mut rig = Rig::new(&format!("target_info: {{enabled: false}}\n{yaml}"));
        assert_eq!(rig.metrics(batch.clone()), [expected], "{yaml}");
    }
}

#[test]
fn attributes_that_want_one_label() {
    let points = r#"g{a_b="under",a.b="dot",a-b="",job="mine"} 1 @1"#;
    for (policy, expected, lost) in [
        ("join", vec![r#"g{a_b="dot;under",job="mine"} 1 @1000"#], vec![]),
        ("first", vec![r#"g{a_b="dot",job="mine"} 1 @1000"#], vec![]),
        ("last", vec![r#"g{a_b="under",job="mine"} 1 @1000"#], vec![]),
        ("drop", vec![], vec![("label_collision", 1)]),
    ] {
        let mut rig = Rig::new(&format!("on_collision: {policy}"));
        assert_eq!(rig.raw(points), expected, "{policy}");
        assert_eq!(rig.lost(), lost, "{policy}");
        assert_eq!(rig.counter("remote_write_label_collisions"), 1.0, "{policy}");
    }
    let mut rig = Rig::new("");
    let taken = r#"resource{service.name="api"}
                   g{__name__="x",job="mine",a.b="1",a_b=""} 1 @1"#;
    assert_eq!(rig.raw(taken), [r#"g{a_b="1",job="api"} 1 @1000"#]);
    assert_eq!(rig.counter("remote_write_label_collisions"), 2.0);
}

#[test]
fn what_is_not_sent_is_counted_by_reason() {
    let mut rig = Rig::new("");
    let lines = rig.finals(
        r#"a{} 1 @1
           a{x="held"} held @1
           a{x="no time"} 1
           delta d{} 1 @1
           illegal-name{} 1 @1
           b{illegal.label="x"} 1 @1"#,
    );
    assert_eq!(lines, ["a 1 @1000"]);
    let lost = [("confirmation", 1), ("delta", 1), ("illegal_label_name", 1), ("illegal_name", 1), ("no_timestamp", 1)];
    assert_eq!(rig.lost(), lost);
    assert_eq!(rig.raw("... 1 @1"), Vec::<String>::new());
    assert_eq!(rig.lost(), [("no_name", 1)]);
}

#[test]
fn values_keep_their_bits_and_only_no_value_is_a_marker() {
    let mut builder = MetricsBuilder::new();
    let metric = builder.metric(MetricDef::gauge("g"));
    let shape = builder.shape(["n"]);
    let values = [
        (NumberValue::Double(f64::from_bits(STALE)), 0x7ff8_0000_0000_0001),
        (NumberValue::Double(f64::from_bits(0xfff8_1234_0000_0000)), 0x7ff8_0000_0000_0001),
        (NumberValue::NoValue, STALE),
        (NumberValue::Double(0.0), 0),
        (NumberValue::Double(-0.0), (-0.0f64).to_bits()),
        (NumberValue::Double(f64::MIN_POSITIVE), f64::MIN_POSITIVE.to_bits()),
        (NumberValue::Double(f64::MAX), f64::MAX.to_bits()),
        (NumberValue::Double(f64::NEG_INFINITY), f64::NEG_INFINITY.to_bits()),
        (NumberValue::Int(1 << 53), 9_007_199_254_740_992f64.to_bits()),
        (NumberValue::Int((1 << 53) + 1), 9_007_199_254_740_992f64.to_bits()),
        (NumberValue::Int(i64::MAX), (i64::MAX as f64).to_bits()),
        (NumberValue::Int(i64::MIN), (i64::MIN as f64).to_bits()),
    ];
    for (at, (value, _)) in values.iter().enumerate() {
        let n = builder.value(Value::Int(at as i64));
        builder.number(metric, shape, &[n], 1_000_000, 0, *value);
    }
    let mut rig = Rig::new("");
    let blocks = rig.blocks(&final_batch(builder.finish()));
    let bits: Vec<u64> = v1(&blocks[0]).timeseries.iter().map(|s| s.samples[0].value).collect();
    assert_eq!(bits, values.map(|(_, bits)| bits));
    assert_eq!(rig.counter("remote_write_lossy_integers"), 2.0);
}

#[test]
fn one_value_per_series_and_moment_in_order_of_time() {
    let mut rig = Rig::new("");
    let lines = rig.finals(
        r#"a{x="1"} 10 @3
           a{x="2"} 1 @1
           a{x="1"} 5 @1
           a{x="1"} 11 @3
           a{x="1"} stale @2
           a{x="1"} 12 @3"#,
    );
    let expected = [r#"a{x="1"} 5 @1000"#, r#"a{x="1"} stale @2000"#, r#"a{x="1"} 12 @3000"#, r#"a{x="2"} 1 @1000"#];
    assert_eq!(lines, expected);
    assert_eq!(rig.merged, 2);
    // The same name from a metric of another unit, kind or scope is the same series.
    let lines = rig.raw("updown same.name 1 @1\n same_name 2 @1");
    assert_eq!((lines, rig.merged), (vec!["same_name 2 @1000".to_string()], 1));
}

#[test]
fn requests_are_cut_by_samples_bytes_and_shards() {
    let points: String = (0..1000).map(|n| format!("steps{{account_id=\"{n}-{}\"}} 5 @60\n", "x".repeat(90))).collect();
    let batch = final_batch(metrics(&points));
    let mut whole = Rig::new("");
    let all: Vec<String> = whole.blocks(&batch).iter().flat_map(lines).collect();
    assert_eq!(all.len(), 1000);
    let mut by_samples = Rig::new("max_samples_per_send: 300");
    let items: Vec<u64> = by_samples.blocks(&batch).iter().map(|block| block.items).collect();
    assert_eq!(items, [300, 300, 300, 100]);
    let mut by_bytes = Rig::new("max_batch_size_bytes: 20000");
    let blocks = by_bytes.blocks(&batch);
    assert!(blocks.len() > 5 && blocks.iter().all(|block| block.uncompressed <= 20_000));
    assert_eq!(blocks.iter().flat_map(lines).collect::<Vec<_>>(), all);
    for shards in [2, 7] {
        let mut sharded = Rig::new("");
        sharded.shards = shards;
        let blocks = sharded.blocks(&batch);
        assert_eq!(blocks.len(), shards as usize);
        assert_eq!(blocks.iter().map(|block| block.shard).collect::<Vec<_>>(), (0..shards).collect::<Vec<_>>());
        let mut lines: Vec<String> = blocks.iter().flat_map(lines).collect();
        let mut expected = all.clone();
        lines.sort();
        expected.sort();
        assert_eq!(lines, expected);
        // The same series go the same way, in the same bytes, also from another encoder.
        let mut other = Rig::new("");
        other.shards = shards;
        let again = other.blocks(&batch);
        let bytes = |blocks: &[steadyline_component::Block]| -> Vec<_> {
            blocks.iter().map(|b| b.payload.bytes().clone()).collect()
        };
        assert_eq!(bytes(&blocks), bytes(&again));
    }
}

#[test]
fn requests_stay_below_the_bound_on_the_wire() {
    // Text that does not compress, in base 36 from a simple generator.
    let mut state = 1u64;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from_digit((state >> 40) as u32 % 36, 36).unwrap()
    };
    let points: String =
        (0..300).map(|_| format!("g{{id=\"{}\"}} 1 @1\n", (0..400).map(|_| noise()).collect::<String>())).collect();
    let mut rig = Rig::new("max_request_size_bytes: 20000");
    let blocks = rig.blocks(&final_batch(metrics(&points)));
    assert!(blocks.len() > 4);
    assert!(blocks.iter().all(|block| block.payload.bytes().len() <= 20_000));
    assert_eq!(blocks.iter().map(|block| block.items).sum::<u64>(), 300);
}

#[test]
fn a_series_that_fits_no_request_is_counted_and_the_rest_goes_on() {
    let mut rig = Rig::new("max_batch_size_bytes: 20000");
    let long = "x".repeat(400_000);
    let lines = rig.finals(&format!("g{{a=\"{long}\"}} 1 @1\n g{{a=\"b\"}} 2 @1"));
    assert_eq!(lines, [r#"g{a="b"} 2 @1000"#]);
    assert_eq!(rig.lost(), [("series_too_large", 1)]);
    // Also where the text is the resource's, on each of its points.
    let mut rig = Rig::new("max_batch_size_bytes: 20000\nresource_to_telemetry_conversion: {enabled: true}");
    let lines =
        rig.raw(&format!("resource{{a=\"{long}\"}}\n g 1 @1\n g{{b=\"1\"}} 1 @1\n resource{{a=\"b\"}}\n g 2 @1"));
    assert_eq!(lines, [r#"g{a="b"} 2 @1000"#]);
    assert_eq!(rig.lost(), [("series_too_large", 2)]);
}

#[test]
fn target_info_is_sent_rarely_and_never_backwards() {
    let mut rig = Rig::new("");
    let at = |rig: &mut Rig, second: u64| {
        let lines =
            rig.raw(&format!("resource{{service.name=\"a\",zone=\"z\"}}\n g 1 @{second}\n g 2 @{}", second - 1));
        lines.iter().filter(|line| line.starts_with("target_info")).cloned().collect::<Vec<_>>()
    };
    assert_eq!(at(&mut rig, 1000), [r#"target_info{job="a",zone="z"} 1 @1000000"#]);
    assert_eq!(at(&mut rig, 1060), Vec::<String>::new());
    assert_eq!(at(&mut rig, 1120), [r#"target_info{job="a",zone="z"} 1 @1120000"#]);
    assert_eq!(at(&mut rig, 1000), Vec::<String>::new());
    for points in ["resource{service.name=\"a\"}\n g 1 @1", "resource{zone=\"z\"}\n g 1 @1"] {
        assert_eq!(rig.raw(points).len(), 1, "{points}");
    }
}

#[test]
fn metadata_goes_in_requests_of_its_own_once_a_minute() {
    let mut rig = Rig::new("send_metadata: true");
    let batch = || {
        let mut builder = MetricsBuilder::new();
        let metric = builder.metric(MetricDef { description: "how long", unit: "s", ..MetricDef::gauge("wait") });
        builder.number(metric, steadyline_telemetry::ShapeId::EMPTY, &[], 1_000_000, 0, NumberValue::Int(1));
        steadyline_component::Batch::metrics(builder.finish())
    };
    let blocks = rig.blocks(&batch());
    let [samples, metadata] = &blocks[..] else { panic!("{blocks:?}") };
    assert_eq!((samples.items, metadata.items), (1, 0));
    let described = &v1(metadata).metadata[0];
    assert_eq!((described.kind, described.metric_family_name.as_str()), (2, "wait_seconds"));
    assert_eq!((described.help.as_str(), described.unit.as_str()), ("how long", "seconds"));
    assert_eq!(rig.blocks(&batch()).len(), 1);
    rig.clock.advance(std::time::Duration::from_secs(60));
    assert_eq!(rig.blocks(&batch()).len(), 2);
}
