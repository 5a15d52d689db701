//! Every kind of metric: classic and native histograms, summaries, exemplars, what cannot be shown.

use prost::Message;
use steadyline_prometheus::exposition::{Encoding, Format};
use steadyline_prometheus::names::Escaping;
use steadyline_telemetry::metrics::{MetricDef, MetricsBuilder};
use steadyline_telemetry::wire::{put_bytes, put_fixed64, put_uint};
use steadyline_telemetry::{MetricKind, Metrics, Temporality};

use super::Harness;

/// The parts of `io.prometheus.client.MetricFamily` that the tests read.
mod pb {
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Family {
        #[prost(string, tag = "1")]
        pub(super) name: String,
        #[prost(int32, tag = "3")]
        pub(super) kind: i32,
        #[prost(message, repeated, tag = "4")]
        pub(super) metric: Vec<Metric>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Metric {
        #[prost(message, optional, tag = "7")]
        pub(super) histogram: Option<Histogram>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Histogram {
        #[prost(uint64, tag = "1")]
        pub(super) count: u64,
        #[prost(sint32, tag = "5")]
        pub(super) schema: i32,
        #[prost(uint64, tag = "7")]
        pub(super) zero_count: u64,
        #[prost(message, repeated, tag = "12")]
        pub(super) spans: Vec<Span>,
        #[prost(sint64, repeated, tag = "13")]
        pub(super) deltas: Vec<i64>,
        #[prost(message, optional, tag = "15")]
        pub(super) created: Option<Time>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Span {
        #[prost(sint32, tag = "1")]
        pub(super) offset: i32,
        #[prost(uint32, tag = "2")]
        pub(super) length: u32,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Time {
        #[prost(int64, tag = "1")]
        pub(super) seconds: i64,
    }
}

const CUMULATIVE: Temporality = Temporality::Cumulative;
const START: u64 = 5_000_000_000;

fn one(kind: MetricKind, body: &[u8]) -> Metrics {
    let mut builder = MetricsBuilder::new();
    let metric = builder.metric(MetricDef { kind, ..MetricDef::gauge("h") });
    let shape = builder.shape(["x"]);
    let value = builder.value(steadyline_telemetry::Value::text("1"));
    builder.body(metric, shape, &[value], 9_000_000_000, START, 0, body);
    builder.finish()
}

fn packed(out: &mut Vec<u8>, number: u32, values: impl IntoIterator<Item = u64>) {
    let bytes: Vec<u8> = values.into_iter().flat_map(u64::to_le_bytes).collect();
    put_bytes(out, number, &bytes);
}

fn explicit(count: u64, sum: f64, bounds: &[f64], counts: &[u64]) -> Vec<u8> {
    let mut body = Vec::new();
    put_fixed64(&mut body, 4, count);
    put_fixed64(&mut body, 5, sum.to_bits());
    packed(&mut body, 6, counts.iter().copied());
    packed(&mut body, 7, bounds.iter().map(|bound| bound.to_bits()));
    body
}

fn exponential(scale: i32, count: u64, sum: Option<f64>, offset: i32, counts: &[u64]) -> Vec<u8> {
    let zigzag = |value: i32| u64::from(((value << 1) ^ (value >> 31)) as u32);
    let mut side = Vec::new();
    put_uint(&mut side, 1, zigzag(offset));
    counts.iter().for_each(|count| put_uint(&mut side, 2, *count));
    let mut body = Vec::new();
    put_fixed64(&mut body, 4, count);
    if let Some(sum) = sum {
        put_fixed64(&mut body, 5, sum.to_bits());
    }
    put_uint(&mut body, 6, zigzag(scale));
    put_bytes(&mut body, 8, &side);
    body
}

fn exemplar(value: f64, seconds: u64) -> Vec<u8> {
    let mut message = Vec::new();
    put_fixed64(&mut message, 2, seconds * 1_000_000_000);
    put_fixed64(&mut message, 3, value.to_bits());
    put_bytes(&mut message, 5, &[0xab; 16]);
    message
}

#[tokio::test]
async fn classic_histograms() {
    let harness = Harness::new("");
    let kind = MetricKind::Histogram { temporality: CUMULATIVE };
    harness.take_metrics(one(kind, &explicit(6, 12.5, &[0.5, 1.0], &[1, 2, 3])), true).await;
    let expected = [
        r#"h_bucket{x="1",le="0.5"} 1"#,
        r#"h_bucket{x="1",le="1"} 3"#,
        r#"h_bucket{x="1",le="+Inf"} 6"#,
        r#"h_count{x="1"} 6"#,
        r#"h_sum{x="1"} 12.5"#,
    ];
    assert_eq!(harness.lines(), expected);
}

#[tokio::test]
async fn native_histograms_have_buckets_in_protobuf_and_totals_in_text() {
    let harness = Harness::new("");
    let kind = MetricKind::ExponentialHistogram { temporality: CUMULATIVE };
    let body = exponential(3, 37, Some(9.0), 3, &[10, 0, 0, 20, 5, 2]);
    harness.take_metrics(one(kind, &body), true).await;
    assert_eq!(harness.lines(), [r#"h_bucket{x="1",le="+Inf"} 37"#, r#"h_count{x="1"} 37"#, r#"h_sum{x="1"} 9"#]);
    let format = Format { encoding: Encoding::Protobuf, escaping: Escaping::Underscores };
    let page = harness.endpoint.page(format);
    let family = pb::Family::decode_length_delimited(page.as_slice()).unwrap();
    assert_eq!((family.name.as_str(), family.kind), ("h", 4));
    let histogram = family.metric[0].histogram.clone().unwrap();
    assert_eq!((histogram.count, histogram.schema, histogram.zero_count), (37, 3, 0));
    let spans: Vec<_> = histogram.spans.iter().map(|span| (span.offset, span.length)).collect();
    assert_eq!((spans, histogram.deltas), (vec![(4, 1), (2, 3)], vec![10, 10, -15, -3]));
    assert_eq!(histogram.created, Some(pb::Time { seconds: 5 }));
}

#[tokio::test]
async fn summaries_in_order_of_their_quantiles() {
    let harness = Harness::new("");
    let mut body = Vec::new();
    put_fixed64(&mut body, 4, 3);
    put_fixed64(&mut body, 5, 1.5f64.to_bits());
    for (quantile, value) in [(0.99, 0.9), (0.5, 0.1)] {
        let mut pair = Vec::new();
        put_fixed64(&mut pair, 1, f64::to_bits(quantile));
        put_fixed64(&mut pair, 2, f64::to_bits(value));
        put_bytes(&mut body, 6, &pair);
    }
    harness.take_metrics(one(MetricKind::Summary, &body), true).await;
    let expected = [
        r#"h{x="1",quantile="0.5"} 0.1"#,
        r#"h{x="1",quantile="0.99"} 0.9"#,
        r#"h_count{x="1"} 3"#,
        r#"h_sum{x="1"} 1.5"#,
    ];
    assert_eq!(harness.lines(), expected);
}

#[tokio::test]
async fn exemplars_and_times_in_openmetrics() {
    let harness = Harness::new("send_timestamps: true");
    let mut body = explicit(2, 2.5, &[1.0], &[1, 1]);
    put_bytes(&mut body, 8, &exemplar(2.0, 8));
    put_bytes(&mut body, 8, &exemplar(0.5, 7));
    harness.take_metrics(one(MetricKind::Histogram { temporality: CUMULATIVE }, &body), true).await;
    let format = Format { encoding: Encoding::OpenMetrics, escaping: Escaping::Underscores };
    let page = String::from_utf8(harness.endpoint.page(format)).unwrap();
    let trace = "ab".repeat(16);
    let expected = [
        "# TYPE h histogram".to_owned(),
        format!(r#"h_bucket{{x="1",le="1"}} 1 9 # {{trace_id="{trace}"}} 0.5 7"#),
        format!(r#"h_bucket{{x="1",le="+Inf"}} 2 9 # {{trace_id="{trace}"}} 2 8"#),
        r#"h_count{x="1"} 2 9"#.to_owned(),
        r#"h_sum{x="1"} 2.5 9"#.to_owned(),
        "# EOF".to_owned(),
    ];
    assert_eq!(page.lines().collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn what_cannot_be_shown_is_counted_with_a_reason() {
    let histogram = |temporality| MetricKind::Histogram { temporality };
    let exponential_kind = MetricKind::ExponentialHistogram { temporality: CUMULATIVE };
    let nan = f64::NAN;
    let mut twice = Vec::new();
    for _ in 0..2 {
        let mut pair = Vec::new();
        put_fixed64(&mut pair, 1, 0.5f64.to_bits());
        put_bytes(&mut twice, 6, &pair);
    }
    let rows: Vec<(MetricKind, Vec<u8>, &str)> = vec![
        (histogram(Temporality::Delta), explicit(1, 1.0, &[1.0], &[1, 0]), "delta"),
        (histogram(Temporality::Unspecified), explicit(1, 1.0, &[1.0], &[1, 0]), "no_temporality"),
        (histogram(CUMULATIVE), explicit(1, 1.0, &[1.0, 1.0], &[1, 0, 0]), "malformed_histogram"),
        (histogram(CUMULATIVE), explicit(1, 1.0, &[nan], &[1, 0]), "malformed_histogram"),
        (histogram(CUMULATIVE), explicit(1, 1.0, &[1.0], &[1]), "malformed_histogram"),
        (histogram(CUMULATIVE), explicit(1, 1.0, &[1.0], &[1, 1]), "malformed_histogram"),
        (histogram(CUMULATIVE), explicit(u64::MAX, 1.0, &[1.0], &[u64::MAX, 1]), "malformed_histogram"),
        (exponential_kind, exponential(-5, 1, Some(1.0), 0, &[1]), "histogram_too_coarse"),
        (exponential_kind, exponential(0, 1, None, 0, &[1]), "no_sum"),
        (exponential_kind, exponential(0, 2, Some(1.0), 0, &[1]), "malformed_histogram"),
        (MetricKind::Summary, twice, "malformed_summary"),
    ];
    for (kind, body, reason) in rows {
        let harness = Harness::new("");
        harness.take_metrics(one(kind, &body), false).await;
        assert_eq!(harness.dropped(), [(reason.to_owned(), 1)], "{kind:?}");
        assert_eq!(harness.page(), "", "{kind:?}");
    }
    let harness = Harness::new("");
    harness.take("delta a 1 @1\ndelta a 2 @2\n___ 1 @1\nb{____=\"x\"} 1 @1", false).await;
    let expected = [("delta", 2), ("illegal_label_name", 1), ("no_name", 1)];
    assert_eq!(harness.dropped(), expected.map(|(reason, count)| (reason.to_owned(), count)));
}
