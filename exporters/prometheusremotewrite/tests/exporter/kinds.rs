//! Histograms, summaries, exponential histograms and exemplars, from OTLP requests.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1 as otlp;
use otlp::metric::Data;
use otlp::summary_data_point::ValueAtQuantile;

use crate::common::{Rig, v1};

const CUMULATIVE: i32 = 2;
const SECOND: u64 = 1_000_000_000;

pub(crate) fn request(name: &str, data: Data) -> ExportMetricsServiceRequest {
    let metric = otlp::Metric { name: name.into(), data: Some(data), ..Default::default() };
    let scope = otlp::ScopeMetrics { metrics: vec![metric], ..Default::default() };
    let resource = otlp::ResourceMetrics { scope_metrics: vec![scope], ..Default::default() };
    ExportMetricsServiceRequest { resource_metrics: vec![resource] }
}

fn text(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(any_value::Value::StringValue(value.into())) });
    KeyValue { key: key.into(), value, ..Default::default() }
}

fn histogram(point: otlp::HistogramDataPoint) -> ExportMetricsServiceRequest {
    let data = otlp::Histogram { data_points: vec![point], aggregation_temporality: CUMULATIVE };
    request("wait", Data::Histogram(data))
}

fn point(bounds: &[f64], counts: &[u64], count: u64) -> otlp::HistogramDataPoint {
    otlp::HistogramDataPoint {
        time_unix_nano: 60 * SECOND,
        start_time_unix_nano: SECOND,
        explicit_bounds: bounds.to_vec(),
        bucket_counts: counts.to_vec(),
        count,
        sum: Some(12.5),
        ..Default::default()
    }
}

#[test]
fn a_histogram_becomes_cumulative_buckets() {
    let mut rig = Rig::new("");
    let mut whole = point(&[1.0, 2.5, 1e9], &[1, 2, 0, 4], 7);
    whole.attributes = vec![text("zone", "z")];
    let expected = [
        r#"wait_bucket{le="1",zone="z"} 1 @60000"#,
        r#"wait_bucket{le="2.5",zone="z"} 3 @60000"#,
        r#"wait_bucket{le="1000000000",zone="z"} 3 @60000"#,
        r#"wait_bucket{le="+Inf",zone="z"} 7 @60000"#,
        r#"wait_sum{zone="z"} 12.5 @60000"#,
        r#"wait_count{zone="z"} 7 @60000"#,
    ];
    assert_eq!(rig.otlp(&histogram(whole.clone())), expected);
    assert_eq!((rig.created, rig.lost()), (5, vec![]));
    whole.flags = 1;
    let stale = rig.otlp(&histogram(whole));
    let markers: Vec<String> =
        expected.iter().map(|line| format!("{} stale @60000", line.rsplitn(3, ' ').last().unwrap())).collect();
    assert_eq!(stale, markers);
}

#[test]
fn histograms_at_the_edges() {
    let count_only = ["wait_bucket{le=\"+Inf\"} 3 @60000", "wait_sum 12.5 @60000", "wait_count 3 @60000"];
    let mut rig = Rig::new("");
    assert_eq!(rig.otlp(&histogram(point(&[], &[], 3))), count_only);
    assert_eq!(rig.otlp(&histogram(point(&[], &[3], 3))), count_only);
    // A bound of infinity is the last bucket, not one more.
    assert_eq!(rig.otlp(&histogram(point(&[f64::INFINITY], &[3, 0], 3))), count_only);
    let mut no_sum = point(&[], &[], 3);
    no_sum.sum = None;
    assert_eq!(rig.otlp(&histogram(no_sum)), [count_only[0], count_only[2]]);
}

#[test]
fn histograms_that_do_not_fit_are_dropped_whole() {
    type Row<'a> = (&'a [f64], &'a [u64], u64);
    let rows: [Row<'_>; 8] = [
        (&[1.0, 1.0], &[1, 1, 1], 3),
        (&[2.0, 1.0], &[1, 1, 1], 3),
        (&[f64::NAN], &[1, 2], 3),
        (&[1.0, 2.0], &[1, 2], 3),
        (&[1.0], &[1, 1, 1], 3),
        (&[1.0], &[], 3),
        (&[1.0], &[1, 1], 3),
        (&[1.0], &[u64::MAX, 2], 1),
    ];
    for (bounds, counts, count) in rows {
        let mut rig = Rig::new("");
        assert_eq!(rig.otlp(&histogram(point(bounds, counts, count))), Vec::<String>::new(), "{bounds:?}");
        assert_eq!(rig.lost(), [("malformed_histogram", 1)], "{bounds:?} {counts:?}");
    }
    let delta = otlp::Histogram { data_points: vec![point(&[], &[], 1)], aggregation_temporality: 1 };
    let unsaid = otlp::Histogram { data_points: vec![point(&[], &[], 1)], aggregation_temporality: 0 };
    let mut rig = Rig::new("");
    assert!(rig.otlp(&request("h", Data::Histogram(delta))).is_empty());
    assert_eq!(rig.lost(), [("delta", 1)]);
    assert!(rig.otlp(&request("h", Data::Histogram(unsaid))).is_empty());
    assert_eq!(rig.lost(), [("no_temporality", 1)]);
}

#[test]
fn labels_of_the_format_win_and_never_stand_twice() {
    let mut contested = point(&[1.0], &[1, 2], 3);
    contested.attributes = vec![text("le", "mine"), text("quantile", "mine too"), text("__name__", "x")];
    let mut rig = Rig::new("");
    let lines = rig.otlp(&histogram(contested.clone()));
    assert_eq!(lines[0], r#"wait_bucket{le="1",quantile="mine too"} 1 @60000"#);
    assert_eq!(lines[3], r#"wait_count{quantile="mine too"} 3 @60000"#);
    let mut strict = Rig::new("on_collision: drop");
    assert!(strict.otlp(&histogram(contested)).is_empty());
    assert_eq!(strict.lost(), [("label_collision", 4)]);
}

#[test]
fn a_summary_becomes_quantiles() {
    let quantiles = |pairs: &[(f64, f64)]| -> Vec<ValueAtQuantile> {
        pairs.iter().map(|(quantile, value)| ValueAtQuantile { quantile: *quantile, value: *value }).collect()
    };
    let mut point = otlp::SummaryDataPoint {
        time_unix_nano: 60 * SECOND,
        count: 4,
        sum: 2.5,
        quantile_values: quantiles(&[(0.5, 1.0), (0.99, f64::NAN), (1.0, 3.0), (0.5, 9.0)]),
        ..Default::default()
    };
    let request = |point: &otlp::SummaryDataPoint| {
        request("wait", Data::Summary(otlp::Summary { data_points: vec![point.clone()] }))
    };
    let mut rig = Rig::new("");
    let expected = [
        r#"wait{quantile="0.5"} 9 @60000"#,
        r#"wait{quantile="0.99"} NaN @60000"#,
        r#"wait{quantile="1"} 3 @60000"#,
        "wait_sum 2.5 @60000",
        "wait_count 4 @60000",
    ];
    assert_eq!(rig.otlp(&request(&point)), expected);
    assert_eq!(rig.merged, 1);
    point.flags = 1;
    assert!(rig.otlp(&request(&point)).iter().all(|line| line.ends_with("stale @60000")));
    point.quantile_values = quantiles(&[(f64::NAN, 1.0)]);
    assert!(rig.otlp(&request(&point)).is_empty());
    assert_eq!(rig.lost(), [("malformed_summary", 1)]);
}

fn exponential(point: otlp::ExponentialHistogramDataPoint) -> ExportMetricsServiceRequest {
    let data = otlp::ExponentialHistogram { data_points: vec![point], aggregation_temporality: CUMULATIVE };
    request("wait", Data::ExponentialHistogram(data))
}

#[test]
fn an_exponential_histogram_becomes_a_native_one() {
    let buckets =
        otlp::exponential_histogram_data_point::Buckets { offset: 3, bucket_counts: vec![10, 0, 0, 20, 5, 2] };
    let mut point = otlp::ExponentialHistogramDataPoint {
        time_unix_nano: 60 * SECOND,
        count: 37,
        sum: Some(4.5),
        scale: 3,
        positive: Some(buckets),
        ..Default::default()
    };
    let mut rig = Rig::new("");
    let lines = rig.otlp(&exponential(point.clone()));
    assert_eq!(lines, ["wait native(37, 4.5, 3, [(4, 1), (2, 3)], [10, 10, -15, -3]) @60000"]);
    let mut off = Rig::new("send_native_histograms: false");
    assert!(off.otlp(&exponential(point.clone())).is_empty());
    assert_eq!(off.lost(), [("native_histogram", 1)]);
    type Change = fn(&mut otlp::ExponentialHistogramDataPoint);
    let changes: [(Change, &str); 3] = [
        (|p| p.scale = -5, "histogram_too_coarse"),
        (|p| p.sum = None, "no_sum"),
        (|p| p.count = 3, "malformed_histogram"),
    ];
    for (change, reason) in changes {
        let mut changed = point.clone();
        change(&mut changed);
        assert!(rig.otlp(&exponential(changed)).is_empty());
        assert_eq!(rig.lost(), [(reason, 1)]);
    }
    point.flags = 1;
    assert_eq!(rig.otlp(&exponential(point)), ["wait native(0, stale, 0, [], []) @60000"]);
}

#[test]
fn native_histograms_are_put_in_order_of_time_too() {
    let at = |second: u64, sum: f64| otlp::ExponentialHistogramDataPoint {
        time_unix_nano: second * SECOND,
        sum: Some(sum),
        ..Default::default()
    };
    let data_points = vec![at(3, 3.0), at(1, 1.0), at(3, 4.0)];
    let data = otlp::ExponentialHistogram { data_points, aggregation_temporality: CUMULATIVE };
    let mut rig = Rig::new("");
    let lines = rig.otlp(&request("wait", Data::ExponentialHistogram(data)));
    assert_eq!(lines, ["wait native(0, 1, 0, [], []) @1000", "wait native(0, 4, 0, [], []) @3000"]);
    assert_eq!(rig.merged, 1);
}

#[test]
fn exemplars_only_on_demand_legal_and_on_their_bucket() {
    let exemplar = |value: f64, second: u64, attributes: Vec<KeyValue>| otlp::Exemplar {
        time_unix_nano: second * SECOND,
        value: Some(otlp::exemplar::Value::AsDouble(value)),
        trace_id: vec![0xab; 16],
        span_id: vec![0; 8],
        filtered_attributes: attributes,
    };
    let mut with = point(&[1.0, 2.0], &[1, 2, 0], 3);
    with.exemplars = vec![
        exemplar(1.5, 9, vec![text("z.y", "1"), text("trace_id", "forged"), text("empty", "")]),
        exemplar(1.2, 8, vec![text("long", &"x".repeat(200))]),
        exemplar(5.0, 7, vec![]),
        exemplar(0.5, 0, vec![]),
    ];
    let bytes = histogram(with);
    let decode = |rig: &mut Rig| {
        let request = prost::Message::encode_to_vec(&bytes);
        let metrics = steadyline_telemetry::Metrics::decode(request.into(), &Default::default()).unwrap();
        let blocks = rig.blocks(&steadyline_component::Batch::metrics(metrics));
        v1(&blocks[0]).timeseries
    };
    assert!(decode(&mut Rig::new("")).iter().all(|series| series.exemplars.is_empty()));
    let series = decode(&mut Rig::new("send_exemplars: true"));
    let counts: Vec<usize> = series.iter().map(|series| series.exemplars.len()).collect();
    assert_eq!(counts, [0, 2, 1, 0, 0]);
    let on_second = &series[1].exemplars;
    assert_eq!(on_second.iter().map(|e| e.timestamp).collect::<Vec<_>>(), [8000, 9000]);
    let labels = |at: usize| -> Vec<(&str, &str)> {
        on_second[at].labels.iter().map(|l| (l.name.as_str(), l.value.as_str())).collect()
    };
    let trace = "ab".repeat(16);
    assert_eq!(labels(0), [("trace_id", trace.as_str())]);
    assert_eq!(labels(1), [("trace_id", trace.as_str()), ("z_y", "1")]);
}

#[test]
fn a_point_without_a_value_is_not_zero() {
    let point = otlp::NumberDataPoint { time_unix_nano: SECOND, value: None, ..Default::default() };
    let mut rig = Rig::new("");
    assert!(rig.otlp(&request("g", Data::Gauge(otlp::Gauge { data_points: vec![point] }))).is_empty());
    assert_eq!(rig.lost(), [("no_value", 1)]);
}
