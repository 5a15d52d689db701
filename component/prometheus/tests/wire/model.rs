//! Series as the tests think of them, what encodes them, and what a reader of either version must see.

use proptest::prelude::*;
use steadyline_prometheus::wire::{HistogramSample, Points, Sample, rw1, rw2};
use steadyline_prometheus::{Buckets, Exemplar, MetricKind, NativeHistogram, ResetHint, Span};

use crate::pb;

pub(crate) type Labels = Vec<(String, String)>;

/// A series as the tests think of it, and as both versions must show it.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    pub(crate) labels: Labels,
    pub(crate) samples: Vec<(u64, i64, Option<i64>)>,
    pub(crate) exemplars: Vec<(Labels, f64, i64)>,
    pub(crate) histograms: Vec<(Histogram, i64, Option<i64>)>,
    pub(crate) help: String,
}

#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    pub(crate) schema: i32,
    pub(crate) zero_count: u64,
    pub(crate) count: u64,
    pub(crate) sum_bits: u64,
    pub(crate) spans: Vec<Span>,
    pub(crate) deltas: Vec<i64>,
    pub(crate) bounds: Vec<f64>,
}

impl Histogram {
    fn native(&self) -> NativeHistogram<'_> {
        NativeHistogram {
            schema: self.schema,
            zero_threshold: 1e-128,
            zero_count: self.zero_count,
            count: self.count,
            sum_bits: self.sum_bits,
            positive: Buckets { spans: &self.spans, deltas: &self.deltas },
            negative: Buckets { spans: &self.spans, deltas: &self.deltas },
            custom_bounds: &self.bounds,
            reset_hint: ResetHint::No,
        }
    }
}

/// Calls `use_points` with the borrowed form of a model's points.
pub(crate) fn with_points<R>(model: &Model, use_points: impl FnOnce(&Points<'_>) -> R) -> R {
    let samples: Vec<Sample> = model
        .samples
        .iter()
        .map(|(value_bits, timestamp_ms, start_ms)| Sample {
            value_bits: *value_bits,
            timestamp_ms: *timestamp_ms,
            start_ms: *start_ms,
        })
        .collect();
    let labels: Vec<Vec<(&str, &str)>> = model
        .exemplars
        .iter()
        .map(|(labels, ..)| labels.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect())
        .collect();
    let exemplars: Vec<Exemplar> = model
        .exemplars
        .iter()
        .zip(&labels)
        .map(|((_, value, time), labels)| Exemplar { labels, value: *value, timestamp_ms: Some(*time) })
        .collect();
    let histograms: Vec<HistogramSample> = model
        .histograms
        .iter()
        .map(|(histogram, timestamp_ms, start_ms)| HistogramSample {
            histogram: histogram.native(),
            timestamp_ms: *timestamp_ms,
            start_ms: *start_ms,
        })
        .collect();
    use_points(&Points { samples: &samples, histograms: &histograms, exemplars: &exemplars })
}

pub(crate) fn encode_rw1(models: &[Model]) -> Vec<u8> {
    let mut buf = Vec::new();
    for model in models {
        let names: Vec<_> = model.labels.iter().map(|(n, _)| rw1::label_name_prefix(n)).collect();
        let labels = names.iter().zip(&model.labels).map(|(n, (_, v))| (&**n, v.as_bytes()));
        with_points(model, |points| rw1::put_points(&mut buf, labels, points));
    }
    buf
}

pub(crate) fn encode_rw2(models: &[Model]) -> Vec<u8> {
    let mut request = rw2::Request::new();
    for model in models {
        let labels = model.labels.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let metadata = rw2::Metadata { kind: MetricKind::Counter, help: &model.help, unit: "seconds" };
        with_points(model, |points| request.put_points(labels, points, &metadata));
    }
    let mut buf = Vec::new();
    request.write_to(&mut buf);
    assert_eq!(buf.len(), request.encoded_len());
    buf
}

pub(crate) fn expected_labels(labels: &Labels) -> Vec<pb::Label> {
    let label = |(name, value): &(String, String)| pb::Label { name: name.clone(), value: value.clone() };
    labels.iter().map(label).collect()
}

pub(crate) fn expected_histogram(histogram: &Histogram, timestamp: i64, start_timestamp: i64) -> pb::Histogram {
    let spans = |spans: &[Span]| -> Vec<pb::Span> {
        spans.iter().map(|s| pb::Span { offset: s.offset, length: s.length }).collect()
    };
    pb::Histogram {
        count_int: Some(histogram.count),
        sum: f64::from_bits(histogram.sum_bits),
        schema: histogram.schema,
        zero_threshold: 1e-128,
        zero_count_int: Some(histogram.zero_count),
        negative_spans: spans(&histogram.spans),
        negative_deltas: histogram.deltas.clone(),
        positive_spans: spans(&histogram.spans),
        positive_deltas: histogram.deltas.clone(),
        reset_hint: 2,
        timestamp,
        custom_values: histogram.bounds.clone(),
        start_timestamp,
    }
}

/// What the specification's reader must see of a model in version 1.0, where start times cannot be said.
pub(crate) fn expected_series(model: &Model) -> pb::TimeSeries {
    pb::TimeSeries {
        labels: expected_labels(&model.labels),
        samples: model
            .samples
            .iter()
            .map(|(bits, timestamp, _)| pb::Sample {
                value: f64::from_bits(*bits),
                timestamp: *timestamp,
                start_timestamp: 0,
            })
            .collect(),
        exemplars: model
            .exemplars
            .iter()
            .map(|(labels, value, timestamp)| pb::Exemplar {
                labels: expected_labels(labels),
                value: *value,
                timestamp: *timestamp,
            })
            .collect(),
        histograms: model
            .histograms
            .iter()
            .map(|(histogram, timestamp, _)| expected_histogram(histogram, *timestamp, 0))
            .collect(),
    }
}

pub(crate) fn any_labels() -> impl Strategy<Value = Labels> {
    prop::collection::btree_map("[a-zA-Z_]{1,9}", ".{1,9}|x{120,140}", 0..6)
        .prop_map(|labels| labels.into_iter().collect())
}

/// Values whose bits survive: everything but a "not a number", which no comparison of messages can see.
pub(crate) fn any_bits() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        Just((-0.0f64).to_bits()),
        any::<f64>().prop_filter("a number", |v| !v.is_nan()).prop_map(f64::to_bits)
    ]
}

pub(crate) fn any_start() -> impl Strategy<Value = Option<i64>> {
    prop_oneof![Just(None), Just(Some(0)), any::<i64>().prop_map(Some)]
}

pub(crate) fn any_histogram() -> impl Strategy<Value = Histogram> {
    let span = (any::<i32>(), any::<u32>()).prop_map(|(offset, length)| Span { offset, length });
    (
        (-4..=8i32, any::<u64>(), any::<u64>(), any_bits()),
        prop::collection::vec(span, 0..4),
        prop::collection::vec(any::<i64>(), 0..30),
        prop::collection::vec(-1e9..1e9f64, 0..4),
    )
        .prop_map(|((schema, zero_count, count, sum_bits), spans, deltas, bounds)| Histogram {
            schema,
            zero_count,
            count,
            sum_bits,
            spans,
            deltas,
            bounds,
        })
}

pub(crate) fn any_model() -> impl Strategy<Value = Model> {
    (
        any_labels(),
        prop::collection::vec((any_bits(), any::<i64>(), any_start()), 0..4),
        prop::collection::vec((any_labels(), -1e9..1e9f64, any::<i64>()), 0..3),
        prop::collection::vec((any_histogram(), any::<i64>(), any_start()), 0..3),
        "[a-z ]{0,5}",
    )
        .prop_map(|(labels, samples, exemplars, histograms, help)| Model {
            labels,
            samples,
            exemplars,
            histograms,
            help,
        })
}

/// Requests of both versions with a byte changed, and bytes that are none.
pub(crate) fn damaged(bytes: Vec<u8>, models: &[Model], at: prop::sample::Index, flip: u8) -> [Vec<u8>; 3] {
    [bytes, encode_rw1(models), encode_rw2(models)].map(|mut request| {
        if !request.is_empty() {
            let at = at.index(request.len());
            request[at] ^= flip;
        }
        request
    })
}
