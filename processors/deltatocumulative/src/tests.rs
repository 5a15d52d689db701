//! Deltas in, totals out, as tables; and against a plain model that adds up what it is given.
//! Every step checks conservation.

use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Histogram, HistogramDataPoint, Metric,
    NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, exponential_histogram_data_point::Buckets, metric::Data,
    number_data_point,
};
use proptest::prelude::*;
use prost::Message;
use steadyline_component::Batch;
use steadyline_component::testkit::{self, ProcessorHarness};
use steadyline_telemetry::{Limits, Metrics};

use crate::DeltaToCumulativeFactory;

fn harness(yaml: &str) -> ProcessorHarness {
    ProcessorHarness::new::<DeltaToCumulativeFactory>(yaml)
}

#[test]
fn deltas_add_up_by_series() {
    let mut harness = harness("");
    assert_eq!(
        harness.push("delta hits{a=\"x\"} 2 @1\ndelta hits{a=\"y\"} 3 @1\nup 1 @1"),
        ["counter hits{a=\"x\"} 2 @1", "counter hits{a=\"y\"} 3 @1", "up 1 @1"]
    );
    assert_eq!(
        harness.push("delta hits{a=\"y\"} 4 @2\ndelta hits{a=\"x\"} 0.5 @2"),
        ["counter hits{a=\"y\"} 7 @2", "counter hits{a=\"x\"} 2.5 @2"]
    );
    assert_eq!(harness.push("delta hits{a=\"x\"} 1 @3"), ["counter hits{a=\"x\"} 3.5 @3"]);
    let other = "resource{env=\"dev\"}\ndelta hits{a=\"x\"} 1 @3";
    assert_eq!(harness.push(other)[1], "counter hits{a=\"x\"} 1 @3");
    assert_eq!(harness.processor().series(), 3);
}

#[test]
fn what_cannot_be_added_is_dropped_with_a_reason() {
    let mut harness = harness("");
    harness.push("delta hits 2 @10");
    for (point, reason) in [
        ("delta hits 2 @10", "out_of_order"),
        ("delta hits 2 @9", "out_of_order"),
        ("delta hits NaN @11", "not_finite"),
        ("delta hits inf @11", "not_finite"),
        ("delta hits -1 @11", "negative"),
        ("delta hits 1", "no_time"),
    ] {
        let before = harness.dropped(reason);
        assert!(harness.push(point).is_empty(), "{point}");
        assert_eq!(harness.dropped(reason), before + 1, "{point}");
        assert!(harness.batches.is_empty());
    }
    assert_eq!(harness.push("delta hits 1 @11\ndelta hits 1 @11\nup 1"), ["counter hits 3 @11", "up 1"]);
}

#[test]
fn no_value_and_confirmations_pass() {
    let mut harness = harness("");
    harness.push("delta hits 2 @10");
    assert_eq!(harness.push("delta hits stale @11\ndelta hits held"), ["counter hits stale @11", "counter hits held"]);
    assert_eq!(harness.push("delta hits 1 @12"), ["counter hits 3 @12"]);
}

#[test]
fn integers_that_overflow_start_anew() {
    let mut harness = harness("");
    harness.push(&format!("delta hits {} @10", i64::MAX - 1));
    assert_eq!(harness.push("delta hits 1 @20"), [format!("counter hits {} @20", i64::MAX)]);
    assert_eq!(harness.push("delta hits 5 @30"), ["counter hits 5 @30"]);
    let point = harness.batches[0].as_metrics().unwrap().tables().points[0];
    assert_eq!(point.start, 20_000_000_000);
}

#[test]
fn those_that_are_followed_keep_their_places_and_the_silent_lose_them() {
    let mut harness = harness("{max_streams: 2, max_stale: 60s}");
    assert_eq!(harness.push("delta a 1 @1\ndelta b 1 @1\ndelta c 1 @1").len(), 2);
    assert_eq!(harness.dropped("stream_limit"), 1);
    harness.advance(Duration::from_secs(50));
    assert_eq!(harness.push("delta b 1 @50"), ["counter b 2 @50"]);
    harness.advance(Duration::from_secs(50));
    assert_eq!(harness.processor().series(), 1);
    assert_eq!(harness.push("delta c 1 @100\ndelta a 1 @100"), ["counter c 1 @100"]);
    harness.advance(Duration::from_secs(600));
    assert_eq!((harness.processor().series(), harness.processor().wake_at()), (0, None));
}

#[test]
fn a_batch_without_deltas_stays_as_it_came() {
    let mut harness = harness("");
    let bytes = testkit::metrics("counter hits 5 @1\nup 1 @1").encode();
    harness.push_batch(Batch::metrics(Metrics::decode(bytes.clone(), &Limits::default()).unwrap()));
    assert_eq!(harness.batches[0].as_metrics().unwrap().encode().as_ptr(), bytes.as_ptr());
}

#[test]
fn what_cannot_be_is_said_at_load() {
    let wrong = |yaml: &str| testkit::create::<DeltaToCumulativeFactory>(yaml).err().unwrap();
    assert!(wrong("{max_stale: 0s}").contains("deltatocumulative.max_stale: no series would live"));
    assert!(wrong("{max_streams: 0}").contains("deltatocumulative.max_streams: it is not between 1"));
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

fn histogram(time: u64, bounds: &[f64], counts: &[u64], sum: f64) -> HistogramDataPoint {
    HistogramDataPoint {
        start_time_unix_nano: time - 10,
        time_unix_nano: time,
        count: counts.iter().sum(),
        sum: Some(sum),
        bucket_counts: counts.to_vec(),
        explicit_bounds: bounds.to_vec(),
        exemplars: vec![Exemplar { time_unix_nano: time, ..Exemplar::default() }],
        min: Some(sum / 2.0),
        max: Some(sum),
        ..HistogramDataPoint::default()
    }
}

fn histograms(point: HistogramDataPoint) -> Data {
    Data::Histogram(Histogram { data_points: vec![point], aggregation_temporality: 1 })
}

#[test]
fn histograms_add_up_and_keep_their_exemplars() {
    let mut harness = harness("");
    let first = histogram(110, &[1.0, 2.0], &[1, 2, 3], 8.0);
    let Some(Data::Histogram(out)) = through(&mut harness, histograms(first.clone())) else { panic!("a histogram") };
    assert_eq!((out.aggregation_temporality, &out.data_points[0]), (2, &first));
    let second = histogram(120, &[1.0, 2.0], &[10, 0, 10], 4.0);
    let Some(Data::Histogram(out)) = through(&mut harness, histograms(second.clone())) else { panic!("a histogram") };
    let wanted = HistogramDataPoint {
        start_time_unix_nano: 100,
        count: 26,
        sum: Some(12.0),
        bucket_counts: vec![11, 2, 13],
        min: Some(2.0),
        max: Some(8.0),
        ..second
    };
    assert_eq!(out.data_points, [wanted]);
    // Other bounds: the series starts anew at its last point.
    let third = histogram(130, &[5.0], &[1, 1], 7.0);
    let Some(Data::Histogram(out)) = through(&mut harness, histograms(third.clone())) else { panic!("a histogram") };
    assert_eq!(out.data_points, [HistogramDataPoint { start_time_unix_nano: 120, ..third }]);
}

#[test]
fn histograms_that_make_no_sense_are_dropped() {
    let mut harness = harness("");
    let bounds: Vec<f64> = (0..5000).map(f64::from).collect();
    for (point, reason) in [
        (histogram(110, &[1.0], &[1, 2, 3], 8.0), "malformed"),
        (histogram(110, &[1.0], &[1, 2], f64::NAN), "not_finite"),
        (histogram(110, &bounds, &[0; 5001], 1.0), "too_many_buckets"),
    ] {
        assert_eq!(through(&mut harness, histograms(point)), None);
        assert_eq!(harness.dropped(reason), 1, "{reason}");
    }
}

fn exponential(time: u64, scale: i32, offset: i32, counts: &[u64]) -> Data {
    let point = ExponentialHistogramDataPoint {
        start_time_unix_nano: time - 10,
        time_unix_nano: time,
        count: counts.iter().sum(),
        sum: Some(1.0),
        scale,
        positive: Some(Buckets { offset, bucket_counts: counts.to_vec() }),
        ..ExponentialHistogramDataPoint::default()
    };
    Data::ExponentialHistogram(ExponentialHistogram { data_points: vec![point], aggregation_temporality: 1 })
}

#[test]
fn exponential_histograms_meet_at_the_coarser_scale() {
    let mut harness = harness("");
    through(&mut harness, exponential(110, 1, 0, &[1, 2, 3, 4]));
    let Some(Data::ExponentialHistogram(out)) = through(&mut harness, exponential(120, 0, 1, &[10])) else {
        panic!("an exponential histogram")
    };
    let point = &out.data_points[0];
    assert_eq!((out.aggregation_temporality, point.start_time_unix_nano, point.scale, point.count), (2, 100, 0, 20));
    let wanted = Buckets { offset: 0, bucket_counts: vec![3, 17] };
    assert_eq!((point.positive.as_ref(), point.sum), (Some(&wanted), Some(2.0)));
}

fn number(start: u64, time: u64, value: i64) -> Data {
    let value = Some(number_data_point::Value::AsInt(value));
    let point = NumberDataPoint { start_time_unix_nano: start, time_unix_nano: time, value, ..Default::default() };
    Data::Sum(Sum { data_points: vec![point], aggregation_temporality: 1, is_monotonic: false })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn totals_are_what_a_plain_sum_says(
        points in proptest::collection::vec((0..40u64, 1..40u64, -1000..1000i64), 1..40),
    ) {
        let mut harness = harness("");
        let mut model: Option<(u64, u64, i64)> = None;
        for (start, time, value) in points {
            let wanted = match model {
                None => Some((start, time, value)),
                Some((begin, last, total)) if time > last && (start == 0 || start >= begin) => {
                    Some((begin, time, total + value))
                }
                Some(_) => None,
            };
            let got = through(&mut harness, number(start, time, value));
            let got = got.map(|data| {
                let Data::Sum(sum) = data else { panic!("a sum") };
                assert_eq!(sum.aggregation_temporality, 2);
                let point = &sum.data_points[0];
                let Some(number_data_point::Value::AsInt(value)) = point.value else { panic!("an integer") };
                (point.start_time_unix_nano, point.time_unix_nano, value)
            });
            prop_assert_eq!(got, wanted);
            model = wanted.or(model);
        }
    }
}
