//! The protobuf exposition against an independent reader: `prost` structs from the field numbers of `metrics.proto`.
#![allow(clippy::unwrap_used)]

use prost::Message;
use steadyline_prometheus::exposition::{Encoding, Family, Format, Histogram, SampleValue, Series, Summary, Writer};
use steadyline_prometheus::names::Escaping;
use steadyline_prometheus::{Buckets, Exemplar, MetricKind, NativeHistogram, Span};

mod pb {
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Family {
        #[prost(string, optional, tag = "1")]
        pub(crate) name: Option<String>,
        #[prost(string, optional, tag = "2")]
        pub(crate) help: Option<String>,
        #[prost(int32, optional, tag = "3")]
        pub(crate) kind: Option<i32>,
        #[prost(message, repeated, tag = "4")]
        pub(crate) metric: Vec<Metric>,
        #[prost(string, optional, tag = "5")]
        pub(crate) unit: Option<String>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Metric {
        #[prost(message, repeated, tag = "1")]
        pub(crate) label: Vec<Label>,
        #[prost(message, optional, tag = "2")]
        pub(crate) gauge: Option<Number>,
        #[prost(message, optional, tag = "3")]
        pub(crate) counter: Option<Number>,
        #[prost(message, optional, tag = "4")]
        pub(crate) summary: Option<Summary>,
        #[prost(message, optional, tag = "5")]
        pub(crate) untyped: Option<Number>,
        #[prost(int64, optional, tag = "6")]
        pub(crate) timestamp_ms: Option<i64>,
        #[prost(message, optional, tag = "7")]
        pub(crate) histogram: Option<Histogram>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Label {
        #[prost(string, tag = "1")]
        pub(crate) name: String,
        #[prost(string, tag = "2")]
        pub(crate) value: String,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Number {
        #[prost(double, tag = "1")]
        pub(crate) value: f64,
        #[prost(message, optional, tag = "2")]
        pub(crate) exemplar: Option<Exemplar>,
        #[prost(message, optional, tag = "3")]
        pub(crate) created: Option<Time>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Summary {
        #[prost(uint64, tag = "1")]
        pub(crate) count: u64,
        #[prost(double, tag = "2")]
        pub(crate) sum: f64,
        #[prost(message, repeated, tag = "3")]
        pub(crate) quantile: Vec<Quantile>,
        #[prost(message, optional, tag = "4")]
        pub(crate) created: Option<Time>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Quantile {
        #[prost(double, tag = "1")]
        pub(crate) quantile: f64,
        #[prost(double, tag = "2")]
        pub(crate) value: f64,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Histogram {
        #[prost(uint64, tag = "1")]
        pub(crate) count: u64,
        #[prost(double, optional, tag = "2")]
        pub(crate) sum: Option<f64>,
        #[prost(message, repeated, tag = "3")]
        pub(crate) bucket: Vec<Bucket>,
        #[prost(sint32, tag = "5")]
        pub(crate) schema: i32,
        #[prost(double, tag = "6")]
        pub(crate) zero_threshold: f64,
        #[prost(uint64, tag = "7")]
        pub(crate) zero_count: u64,
        #[prost(message, repeated, tag = "9")]
        pub(crate) negative_span: Vec<Span>,
        #[prost(sint64, repeated, packed = "false", tag = "10")]
        pub(crate) negative_delta: Vec<i64>,
        #[prost(message, repeated, tag = "12")]
        pub(crate) positive_span: Vec<Span>,
        #[prost(sint64, repeated, packed = "false", tag = "13")]
        pub(crate) positive_delta: Vec<i64>,
        #[prost(message, optional, tag = "15")]
        pub(crate) created: Option<Time>,
        #[prost(message, repeated, tag = "16")]
        pub(crate) exemplars: Vec<Exemplar>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Bucket {
        #[prost(uint64, tag = "1")]
        pub(crate) count: u64,
        #[prost(double, tag = "2")]
        pub(crate) bound: f64,
        #[prost(message, optional, tag = "3")]
        pub(crate) exemplar: Option<Exemplar>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Span {
        #[prost(sint32, tag = "1")]
        pub(crate) offset: i32,
        #[prost(uint32, tag = "2")]
        pub(crate) length: u32,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Exemplar {
        #[prost(message, repeated, tag = "1")]
        pub(crate) label: Vec<Label>,
        #[prost(double, tag = "2")]
        pub(crate) value: f64,
        #[prost(message, optional, tag = "3")]
        pub(crate) timestamp: Option<Time>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Time {
        #[prost(int64, tag = "1")]
        pub(crate) seconds: i64,
        #[prost(int32, tag = "2")]
        pub(crate) nanos: i32,
    }
}

fn write(families: &[(Family<'_>, &[Series<'_>])]) -> Vec<pb::Family> {
    let mut out = Vec::new();
    let format = Format { encoding: Encoding::Protobuf, escaping: Escaping::Underscores };
    let mut writer = Writer::new(&mut out, format);
    for (family, series) in families {
        writer.family(family, series.iter().copied());
    }
    writer.finish();
    let mut rest = &out[..];
    let mut read = Vec::new();
    while !rest.is_empty() {
        read.push(pb::Family::decode_length_delimited(&mut rest).unwrap());
    }
    read
}

fn family(name: &'static str, kind: MetricKind) -> Family<'static> {
    Family { name, help: "help", unit: "", kind }
}

fn label(name: &str, value: &str) -> pb::Label {
    pb::Label { name: name.into(), value: value.into() }
}

#[test]
fn families_follow_one_another_at_any_size() {
    let values: Vec<String> = (0..2000).map(|n| format!("account-{n}")).collect();
    let labels: Vec<[(&str, &str); 1]> = values.iter().map(|v| [("account.id", v.as_str())]).collect();
    let many: Vec<Series> = labels.iter().map(|l| Series::new(l, SampleValue::Number(2.0))).collect();
    let one = [Series::new(&[], SampleValue::Number(0.0))];
    let gauge = family("a", MetricKind::Gauge);
    let none: &[Series] = &[];
    let read = write(&[(gauge, &many), (gauge, none), (family("b", MetricKind::Unknown), &one)]);
    assert_eq!(read.len(), 2);
    assert_eq!(read[0].metric.len(), 2000);
    assert_eq!(read[0].metric[1999].label, [label("account_id", "account-1999")]);
    assert_eq!(read[0].metric[7].gauge.as_ref().unwrap().value, 2.0);
    assert_eq!((read[0].kind, read[1].kind), (Some(1), Some(3)));
    assert_eq!(read[1].metric[0].untyped, Some(pb::Number::default()));
    assert_eq!((read[0].name.as_deref(), read[0].help.as_deref()), (Some("a"), Some("help")));
}

#[test]
fn a_counter_shows_its_last_exemplar_and_its_start() {
    let exemplars = [
        Exemplar { labels: &[("trace_id", "1")], value: 1.0, timestamp_ms: None },
        Exemplar { labels: &[("trace_id", "2")], value: 2.0, timestamp_ms: Some(-1) },
    ];
    let series = Series {
        labels: &[],
        value: SampleValue::Number(9.0),
        timestamp_ms: Some(-5),
        start_ms: Some(1_234),
        exemplars: &exemplars,
    };
    let read = write(&[(family("a_total", MetricKind::Counter), &[series])]);
    let expected = pb::Number {
        value: 9.0,
        exemplar: Some(pb::Exemplar {
            label: vec![label("trace_id", "2")],
            value: 2.0,
            timestamp: Some(pb::Time { seconds: -1, nanos: 999_000_000 }),
        }),
        created: Some(pb::Time { seconds: 1, nanos: 234_000_000 }),
    };
    assert_eq!(read[0].kind, Some(0));
    assert_eq!(read[0].metric[0].counter, Some(expected));
    assert_eq!(read[0].metric[0].timestamp_ms, Some(-5));
}

#[test]
fn a_summary_and_a_classic_histogram() {
    let summary = Summary { quantiles: &[(0.5, 1.5)], sum: 3.0, count: 2 };
    let histogram = Histogram { buckets: &[(1.0, 1), (f64::INFINITY, 2)], sum: None, count: 2 };
    let read = write(&[
        (family("s", MetricKind::Summary), &[Series::new(&[], SampleValue::Summary(summary))]),
        (family("h", MetricKind::Histogram), &[Series::new(&[], SampleValue::Histogram(histogram))]),
    ]);
    let quantile = vec![pb::Quantile { quantile: 0.5, value: 1.5 }];
    let expected = pb::Summary { count: 2, sum: 3.0, quantile, created: None };
    assert_eq!((read[0].kind, &read[0].metric[0].summary), (Some(2), &Some(expected)));
    let bucket = vec![
        pb::Bucket { count: 1, bound: 1.0, exemplar: None },
        pb::Bucket { count: 2, bound: f64::INFINITY, exemplar: None },
    ];
    let expected = pb::Histogram { count: 2, bucket, ..Default::default() };
    assert_eq!((read[1].kind, &read[1].metric[0].histogram), (Some(4), &Some(expected)));
}

#[test]
fn native_histograms_also_empty_ones() {
    let spans = [Span { offset: -3, length: 2 }];
    let deltas = [3, -1];
    let half = Buckets { spans: &spans, deltas: &deltas };
    let native = NativeHistogram {
        schema: -2,
        zero_threshold: 1e-128,
        zero_count: 4,
        count: 14,
        sum_bits: 2.5f64.to_bits(),
        positive: half,
        negative: half,
        ..NativeHistogram::STALE
    };
    let exemplars = [Exemplar { labels: &[], value: 1.0, timestamp_ms: Some(0) }];
    let mut series = Series::new(&[], SampleValue::NativeHistogram(native));
    series.exemplars = &exemplars;
    let read = write(&[(family("n", MetricKind::Histogram), &[series])]);
    let span = vec![pb::Span { offset: -3, length: 2 }];
    let expected = pb::Histogram {
        count: 14,
        sum: Some(2.5),
        schema: -2,
        zero_threshold: 1e-128,
        zero_count: 4,
        negative_span: span.clone(),
        negative_delta: deltas.to_vec(),
        positive_span: span,
        positive_delta: deltas.to_vec(),
        exemplars: vec![pb::Exemplar { label: vec![], value: 1.0, timestamp: Some(pb::Time::default()) }],
        ..Default::default()
    };
    assert_eq!(read[0].metric[0].histogram, Some(expected));

    let empty = NativeHistogram { sum_bits: 0, ..NativeHistogram::STALE };
    let series = [Series::new(&[], SampleValue::NativeHistogram(empty))];
    let read = write(&[(family("n", MetricKind::Histogram), &series)]);
    let histogram = read[0].metric[0].histogram.as_ref().unwrap();
    assert_eq!(histogram.positive_span, [pb::Span { offset: 0, length: 0 }]);
}

#[test]
fn a_unit_is_shown_only_where_the_name_ends_with_it() {
    let rows = [
        ("age_seconds", MetricKind::Gauge, Some("seconds")),
        ("age", MetricKind::Gauge, None),
        ("ageseconds", MetricKind::Gauge, None),
        ("seconds", MetricKind::Gauge, None),
        ("work_seconds_total", MetricKind::Counter, Some("seconds")),
        ("work_seconds", MetricKind::Counter, Some("seconds")),
        ("work_seconds_total", MetricKind::Gauge, None),
    ];
    for (name, kind, unit) in rows {
        let family = Family { unit: "seconds", ..family(name, kind) };
        let series: &[Series<'_>] = &[Series::new(&[], SampleValue::Number(1.0))];
        assert_eq!(write(&[(family, series)])[0].unit.as_deref(), unit, "{name} {kind:?}");
    }
}
