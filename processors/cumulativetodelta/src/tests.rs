//! Totals in, deltas out, as tables; and against a plain model: what goes out adds up to what came in.
//! Every step checks conservation.

use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogram, ExponentialHistogramDataPoint, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum, exponential_histogram_data_point::Buckets, metric::Data, number_data_point,
};
use proptest::prelude::*;
use prost::Message;
use steadyline_component::Batch;
use steadyline_component::testkit::{self, ProcessorHarness};
use steadyline_telemetry::{Limits, Metrics};

use crate::CumulativeToDeltaFactory;

/// The wall clock at a harness's start, in nanoseconds.
const START: u64 = 1_000_000_000_000_000;

fn harness(yaml: &str) -> ProcessorHarness {
    ProcessorHarness::new::<CumulativeToDeltaFactory>(yaml)
}

#[test]
fn what_goes_on_is_what_was_added() {
    let mut harness = harness("{initial_value: keep}");
    assert_eq!(
        harness.push("counter hits{a=\"x\"} 2 @1\ncounter hits{a=\"y\"} 3 @1\nup 1 @1\nupdown open 4 @1"),
        ["delta hits{a=\"x\"} 2 @1", "delta hits{a=\"y\"} 3 @1", "up 1 @1", "updown open 4 @1"]
    );
    assert_eq!(
        harness.push("counter hits{a=\"y\"} 7 @2\ncounter hits{a=\"x\"} 2.5 @2"),
        ["delta hits{a=\"y\"} 4 @2", "delta hits{a=\"x\"} 0.5 @2"]
    );
    // It fell: a reset.
    assert_eq!(harness.push("counter hits{a=\"y\"} 1 @3"), ["delta hits{a=\"y\"} 1 @3"]);
    let point = harness.batches[0].as_metrics().unwrap().tables().points[0];
    assert_eq!(point.start, 2_000_000_000);
    assert_eq!(harness.push("counter hits{a=\"y\"} stale @4"), ["delta hits{a=\"y\"} stale @4"]);
    assert_eq!(harness.push("counter hits{a=\"y\"} 6 @5"), ["delta hits{a=\"y\"} 5 @5"]);
}

#[test]
fn first_points_are_kept_or_not_as_config_says() {
    let (before, after) = (START - 5, START + 5);
    for (yaml, start, kept) in [
        ("", 0, false),
        ("", before, false),
        ("", after, true),
        ("", START + 10, false),
        ("{initial_value: keep}", 0, true),
        ("{initial_value: drop}", after, false),
    ] {
        let mut harness = harness(yaml);
        let first = through(&mut harness, number(start, START + 10, 3));
        assert_eq!(first.is_some(), kept, "{yaml} {start}");
        assert_eq!(harness.dropped("initial_value"), u64::from(!kept));
        assert_eq!(sum(through(&mut harness, number(start, START + 20, 5))), Some((START + 10, START + 20, 2)));
    }
}

#[test]
fn a_later_start_is_a_reset_even_if_the_total_did_not_fall() {
    let mut harness = harness("{initial_value: drop}");
    through(&mut harness, number(START, START + 10, 3));
    assert_eq!(sum(through(&mut harness, number(START + 15, START + 20, 4))), Some((START + 15, START + 20, 4)));
    // A start that moves along with the points says nothing.
    assert_eq!(sum(through(&mut harness, number(START + 30, START + 30, 9))), Some((START + 20, START + 30, 5)));
}

#[test]
fn what_has_no_difference_is_dropped_with_a_reason() {
    let mut harness = harness("{initial_value: keep}");
    harness.push("counter hits 2 @10");
    for (point, reason) in [
        ("counter hits 3 @10", "out_of_order"),
        ("counter hits 3 @9", "out_of_order"),
        ("counter hits NaN @11", "not_finite"),
        ("counter hits inf @11", "not_finite"),
        ("counter hits 3", "no_time"),
    ] {
        let before = harness.dropped(reason);
        assert!(harness.push(point).is_empty() && harness.batches.is_empty(), "{point}");
        assert_eq!(harness.dropped(reason), before + 1, "{point}");
    }
    assert_eq!(harness.push("counter hits 3 @11"), ["delta hits 1 @11"]);
}

#[test]
fn series_are_bounded_and_forgotten() {
    let mut harness = harness("{max_streams: 1, max_staleness: 60s, initial_value: keep}");
    assert_eq!(harness.push("counter a 1 @1\ncounter b 1 @1"), ["delta a 1 @1"]);
    assert_eq!(harness.dropped("stream_limit"), 1);
    harness.advance(Duration::from_secs(100));
    assert_eq!((harness.processor().series(), harness.processor().wake_at()), (0, None));
    assert_eq!(harness.push("counter b 2 @100"), ["delta b 2 @100"]);
    let mut for_ever = self::harness("{max_staleness: 0s, initial_value: keep}");
    for_ever.push("counter a 1 @1");
    for_ever.advance(Duration::from_secs(1_000_000));
    assert_eq!(for_ever.processor().series(), 1);
}

#[test]
fn include_and_exclude_say_which() {
    let points = "counter http_a 1 @1\ncounter http_b 1 @1\ncounter queue 1 @1";
    for (yaml, turned) in [
        ("", vec!["http_a", "http_b", "queue"]),
        ("include: {metrics: [http_a, qu], match_type: strict}", vec!["http_a"]),
        ("include: {metrics: [\"^http_\"], match_type: regexp}", vec!["http_a", "http_b"]),
        ("include: {metrics: [qu], match_type: regexp}", vec!["queue"]),
        ("exclude: {metrics: [http_.*], match_type: regexp}", vec!["queue"]),
        ("include: {metric_types: [histogram]}", vec![]),
        ("exclude: {metric_types: [sum]}", vec![]),
        ("include: {metric_types: [Sum]}\nexclude: {metrics: [queue], match_type: strict}", vec!["http_a", "http_b"]),
    ] {
        let mut harness = harness(&format!("initial_value: keep\n{yaml}"));
        let lines = harness.push(points);
        let got: Vec<_> = lines.iter().filter_map(|line| line.strip_prefix("delta ")?.split(' ').next()).collect();
        assert_eq!((got, lines.len()), (turned, 3), "{yaml}");
    }
}

#[test]
fn a_batch_without_totals_stays_as_it_came() {
    let mut harness = harness("");
    let bytes = testkit::metrics("delta hits 5 @1\nup 1 @1\nupdown open 1 @1").encode();
    harness.push_batch(Batch::metrics(Metrics::decode(bytes.clone(), &Limits::default()).unwrap()));
    assert_eq!(harness.batches[0].as_metrics().unwrap().encode().as_ptr(), bytes.as_ptr());
}

#[test]
fn what_cannot_be_is_said_at_load() {
    for (yaml, message) in [
        ("include: {metrics: [a]}", "include: `match_type` says how `metrics` are compared"),
        ("exclude: {}", "exclude: there is nothing to match by"),
        ("include: {metrics: [\"(\"], match_type: regexp}", "include.metrics[0]: not a regular expression"),
        ("include: {metric_types: [gauge]}", "metric_types"),
        ("max_streams: 0", "max_streams: it is not between 1 and"),
        ("max_staleness: 1ms", "max_staleness: no series would live"),
        ("initial_value: maybe", "initial_value"),
        ("metrics: [a]", "name the metrics under `include.metrics`"),
    ] {
        let text = testkit::create::<CumulativeToDeltaFactory>(yaml).err().unwrap();
        assert!(text.contains(message), "{yaml}: {text}");
    }
}

fn request(data: Data) -> Batch {
    let metrics = vec![Metric { name: "m".into(), data: Some(data), ..Metric::default() }];
    let scope_metrics = vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }];
    let resource_metrics = vec![ResourceMetrics { scope_metrics, ..ResourceMetrics::default() }];
    let bytes = ExportMetricsServiceRequest { resource_metrics }.encode_to_vec();
    Batch::metrics(Metrics::decode(bytes.into(), &Limits::default()).unwrap())
}

/// What comes out for one metric; `None` if nothing does.
fn through(harness: &mut ProcessorHarness, data: Data) -> Option<Data> {
    harness.push_batch(request(data));
    let out = harness.batches.first()?.as_metrics()?.encode();
    let request = ExportMetricsServiceRequest::decode(out).unwrap();
    request.resource_metrics[0].scope_metrics[0].metrics[0].data.clone()
}

fn number(start: u64, time: u64, value: i64) -> Data {
    let value = Some(number_data_point::Value::AsInt(value));
    let point = NumberDataPoint { start_time_unix_nano: start, time_unix_nano: time, value, ..Default::default() };
    Data::Sum(Sum { data_points: vec![point], aggregation_temporality: 2, is_monotonic: true })
}

/// Start, time and value of the one point of a delta sum.
fn sum(data: Option<Data>) -> Option<(u64, u64, i64)> {
    let Data::Sum(sum) = data? else { panic!("a sum") };
    assert_eq!((sum.aggregation_temporality, sum.is_monotonic), (1, true));
    let point = &sum.data_points[0];
    let Some(number_data_point::Value::AsInt(value)) = point.value else { panic!("an integer") };
    Some((point.start_time_unix_nano, point.time_unix_nano, value))
}

fn histogram(time: u64, bounds: &[f64], counts: &[u64], sum: f64) -> HistogramDataPoint {
    HistogramDataPoint {
        start_time_unix_nano: 5,
        time_unix_nano: time,
        count: counts.iter().sum(),
        sum: Some(sum),
        bucket_counts: counts.to_vec(),
        explicit_bounds: bounds.to_vec(),
        max: Some(9.0),
        ..HistogramDataPoint::default()
    }
}

#[test]
fn histograms_are_subtracted_bucket_by_bucket() {
    let mut harness = harness("{initial_value: keep}");
    let mut push = |point: HistogramDataPoint| {
        let data = Data::Histogram(Histogram { data_points: vec![point], aggregation_temporality: 2 });
        let Some(Data::Histogram(out)) = through(&mut harness, data) else { panic!("a histogram") };
        assert_eq!(out.aggregation_temporality, 1);
        out.data_points[0].clone()
    };
    let first = histogram(10, &[1.0, 2.0], &[1, 2, 3], 8.0);
    assert_eq!(push(first.clone()), first);
    let second = push(histogram(20, &[1.0, 2.0], &[1, 5, 4], 12.0));
    let wanted = histogram(20, &[1.0, 2.0], &[0, 3, 1], 4.0);
    assert_eq!(second, HistogramDataPoint { start_time_unix_nano: 10, max: None, ..wanted });
    // One bucket fell, or the bounds are others: a reset.
    for third in [histogram(30, &[1.0, 2.0], &[9, 4, 9], 20.0), histogram(40, &[1.0], &[20, 20], 30.0)] {
        let start = third.time_unix_nano - 10;
        assert_eq!(push(third.clone()), HistogramDataPoint { start_time_unix_nano: start, ..third });
    }
}

#[test]
fn exponential_histograms_are_subtracted_at_the_coarser_scale() {
    let mut harness = harness("{initial_value: drop}");
    let mut push = |time: u64, scale: i32, offset: i32, counts: &[u64]| {
        let point = ExponentialHistogramDataPoint {
            start_time_unix_nano: 5,
            time_unix_nano: time,
            count: counts.iter().sum(),
            sum: Some(time as f64),
            scale,
            positive: Some(Buckets { offset, bucket_counts: counts.to_vec() }),
            ..ExponentialHistogramDataPoint::default()
        };
        let data = ExponentialHistogram { data_points: vec![point], aggregation_temporality: 2 };
        match through(&mut harness, Data::ExponentialHistogram(data)) {
            Some(Data::ExponentialHistogram(out)) => Some(out.data_points[0].clone()),
            _ => None,
        }
    };
    assert_eq!(push(10, 1, 0, &[1, 2, 3, 4]), None);
    let point = push(20, 0, 0, &[3, 8, 5]).unwrap();
    let wanted = Buckets { offset: 1, bucket_counts: vec![1, 5] };
    assert_eq!((point.start_time_unix_nano, point.scale, point.count), (10, 0, 6));
    assert_eq!((point.positive.as_ref(), point.sum), (Some(&wanted), Some(10.0)));
    // A finer scale than before: only a restarted source does that.
    assert_eq!(push(30, 1, 0, &[50, 50]).unwrap().count, 100);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn deltas_add_up_to_the_totals(
        points in proptest::collection::vec((1..50u64, 0..1000i64, any::<bool>()), 1..40),
    ) {
        let mut harness = harness("{initial_value: keep}");
        let (mut time, mut total, mut counted, mut added) = (0, 0, 0, 0);
        let mut last_time = 0;
        for (step, by, restarts) in points {
            time += step;
            total = if restarts { by } else { total + by };
            // A restart that does not fall cannot be seen by value; what is counted is what the values show.
            let before = counted;
            counted = total;
            let wanted = if total >= before { total - before } else { total };
            let (start, at, value) = sum(through(&mut harness, number(0, time, total))).unwrap();
            prop_assert_eq!((start, at, value), (last_time, time, wanted));
            last_time = time;
            added += value;
        }
        prop_assert!(added >= total);
        prop_assert_eq!(harness.processor().series(), 1);
    }
}
