//! Remote write requests against an independent reader: `prost` structs written from the field numbers of the specification.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use prost::Message;
use steadyline_prometheus::values::{STALE_NAN_BITS, is_stale};
use steadyline_prometheus::wire::{HistogramSample, Points, Sample, Symbols, rw1, rw2};
use steadyline_prometheus::{Buckets, Exemplar, MetricKind, NativeHistogram, ResetHint, Span};

/// The messages as the specification numbers them.
mod pb {
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct WriteRequest {
        #[prost(message, repeated, tag = "1")]
        pub(crate) timeseries: Vec<TimeSeries>,
        #[prost(message, repeated, tag = "3")]
        pub(crate) metadata: Vec<MetricMetadata>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct TimeSeries {
        #[prost(message, repeated, tag = "1")]
        pub(crate) labels: Vec<Label>,
        #[prost(message, repeated, tag = "2")]
        pub(crate) samples: Vec<Sample>,
        #[prost(message, repeated, tag = "3")]
        pub(crate) exemplars: Vec<Exemplar>,
        #[prost(message, repeated, tag = "4")]
        pub(crate) histograms: Vec<Histogram>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Label {
        #[prost(string, tag = "1")]
        pub(crate) name: String,
        #[prost(string, tag = "2")]
        pub(crate) value: String,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Sample {
        #[prost(double, tag = "1")]
        pub(crate) value: f64,
        #[prost(int64, tag = "2")]
        pub(crate) timestamp: i64,
        #[prost(int64, tag = "3")]
        pub(crate) start_timestamp: i64,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Exemplar {
        #[prost(message, repeated, tag = "1")]
        pub(crate) labels: Vec<Label>,
        #[prost(double, tag = "2")]
        pub(crate) value: f64,
        #[prost(int64, tag = "3")]
        pub(crate) timestamp: i64,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct MetricMetadata {
        #[prost(int32, tag = "1")]
        pub(crate) kind: i32,
        #[prost(string, tag = "2")]
        pub(crate) metric_family_name: String,
        #[prost(string, tag = "4")]
        pub(crate) help: String,
        #[prost(string, tag = "5")]
        pub(crate) unit: String,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Span {
        #[prost(sint32, tag = "1")]
        pub(crate) offset: i32,
        #[prost(uint32, tag = "2")]
        pub(crate) length: u32,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Histogram {
        #[prost(uint64, optional, tag = "1")]
        pub(crate) count_int: Option<u64>,
        #[prost(double, tag = "3")]
        pub(crate) sum: f64,
        #[prost(sint32, tag = "4")]
        pub(crate) schema: i32,
        #[prost(double, tag = "5")]
        pub(crate) zero_threshold: f64,
        #[prost(uint64, optional, tag = "6")]
        pub(crate) zero_count_int: Option<u64>,
        #[prost(message, repeated, tag = "8")]
        pub(crate) negative_spans: Vec<Span>,
        #[prost(sint64, repeated, tag = "9")]
        pub(crate) negative_deltas: Vec<i64>,
        #[prost(message, repeated, tag = "11")]
        pub(crate) positive_spans: Vec<Span>,
        #[prost(sint64, repeated, tag = "12")]
        pub(crate) positive_deltas: Vec<i64>,
        #[prost(int32, tag = "14")]
        pub(crate) reset_hint: i32,
        #[prost(int64, tag = "15")]
        pub(crate) timestamp: i64,
        #[prost(double, repeated, tag = "16")]
        pub(crate) custom_values: Vec<f64>,
        #[prost(int64, tag = "17")]
        pub(crate) start_timestamp: i64,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Request2 {
        #[prost(string, repeated, tag = "4")]
        pub(crate) symbols: Vec<String>,
        #[prost(message, repeated, tag = "5")]
        pub(crate) timeseries: Vec<TimeSeries2>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct TimeSeries2 {
        #[prost(uint32, repeated, tag = "1")]
        pub(crate) labels_refs: Vec<u32>,
        #[prost(message, repeated, tag = "2")]
        pub(crate) samples: Vec<Sample>,
        #[prost(message, repeated, tag = "3")]
        pub(crate) histograms: Vec<Histogram>,
        #[prost(message, repeated, tag = "4")]
        pub(crate) exemplars: Vec<Exemplar2>,
        #[prost(message, optional, tag = "5")]
        pub(crate) metadata: Option<Metadata2>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Exemplar2 {
        #[prost(uint32, repeated, tag = "1")]
        pub(crate) labels_refs: Vec<u32>,
        #[prost(double, tag = "2")]
        pub(crate) value: f64,
        #[prost(int64, tag = "3")]
        pub(crate) timestamp: i64,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Metadata2 {
        #[prost(int32, tag = "1")]
        pub(crate) kind: i32,
        #[prost(uint32, tag = "3")]
        pub(crate) help_ref: u32,
        #[prost(uint32, tag = "4")]
        pub(crate) unit_ref: u32,
    }
}

type Labels = Vec<(String, String)>;

/// A series as the tests think of it, and as both versions must show it.
#[derive(Debug, Clone)]
struct Model {
    labels: Labels,
    samples: Vec<(u64, i64, Option<i64>)>,
    exemplars: Vec<(Labels, f64, i64)>,
    histograms: Vec<(Histogram, i64, Option<i64>)>,
    help: String,
}

#[derive(Debug, Clone)]
struct Histogram {
    schema: i32,
    zero_count: u64,
    count: u64,
    sum_bits: u64,
    spans: Vec<Span>,
    deltas: Vec<i64>,
    bounds: Vec<f64>,
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

fn pairs(labels: &Labels) -> impl Iterator<Item = (&[u8], &[u8])> + Clone {
    labels.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()))
}

/// Calls `use_points` with the borrowed form of a model's points.
fn with_points<R>(model: &Model, use_points: impl FnOnce(&Points<'_>) -> R) -> R {
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

fn encode_rw1(models: &[Model]) -> Vec<u8> {
    let mut buf = Vec::new();
    for model in models {
        let names: Vec<_> = model.labels.iter().map(|(n, _)| rw1::label_name_prefix(n)).collect();
        let labels = names.iter().zip(&model.labels).map(|(n, (_, v))| (&**n, v.as_bytes()));
        with_points(model, |points| rw1::put_points(&mut buf, labels, points));
    }
    buf
}

fn encode_rw2(models: &[Model]) -> Vec<u8> {
    let mut request = rw2::Request::new();
    for model in models {
        let metadata = rw2::Metadata { kind: MetricKind::Counter, help: &model.help, unit: "seconds" };
        with_points(model, |points| request.put_points(pairs(&model.labels), points, &metadata));
    }
    let mut buf = Vec::new();
    request.write_to(&mut buf);
    assert_eq!(buf.len(), request.encoded_len());
    buf
}

fn expected_labels(labels: &Labels) -> Vec<pb::Label> {
    let label = |(name, value): &(String, String)| pb::Label { name: name.clone(), value: value.clone() };
    labels.iter().map(label).collect()
}

fn expected_histogram(histogram: &Histogram, timestamp: i64, start_timestamp: i64) -> pb::Histogram {
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
fn expected_series(model: &Model) -> pb::TimeSeries {
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

/// Resolves a 2.0 request's references, with the checks that the specification demands, to `(series, starts, help)`.
fn resolve(request: &pb::Request2) -> Vec<(pb::TimeSeries, Vec<i64>, String)> {
    assert_eq!(request.symbols.first().map(String::as_str), Some(""));
    let mut unique = request.symbols.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), request.symbols.len(), "a symbol stands twice");
    let symbol = |r: u32| request.symbols[r as usize].clone();
    let labels = |refs: &[u32]| -> Vec<pb::Label> {
        assert_eq!(refs.len() % 2, 0);
        refs.chunks(2).map(|p| pb::Label { name: symbol(p[0]), value: symbol(p[1]) }).collect()
    };
    let mut all = Vec::new();
    for series in &request.timeseries {
        let mut starts: Vec<i64> = series.samples.iter().map(|s| s.start_timestamp).collect();
        starts.extend(series.histograms.iter().map(|h| h.start_timestamp));
        let metadata = series.metadata.as_ref().unwrap();
        assert_eq!((metadata.kind, symbol(metadata.unit_ref).as_str()), (1, "seconds"));
        let without_starts = pb::TimeSeries {
            labels: labels(&series.labels_refs),
            samples: series.samples.iter().map(|s| pb::Sample { start_timestamp: 0, ..*s }).collect(),
            exemplars: series
                .exemplars
                .iter()
                .map(|e| pb::Exemplar { labels: labels(&e.labels_refs), value: e.value, timestamp: e.timestamp })
                .collect(),
            histograms: series.histograms.iter().map(|h| pb::Histogram { start_timestamp: 0, ..h.clone() }).collect(),
        };
        all.push((without_starts, starts, symbol(metadata.help_ref)));
    }
    all
}

fn any_labels() -> impl Strategy<Value = Labels> {
    prop::collection::btree_map("[a-zA-Z_]{1,9}", ".{1,9}|x{120,140}", 0..6)
        .prop_map(|labels| labels.into_iter().collect())
}

/// Values whose bits survive: everything but a "not a number", which no comparison of messages can see.
fn any_bits() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        Just((-0.0f64).to_bits()),
        any::<f64>().prop_filter("a number", |v| !v.is_nan()).prop_map(f64::to_bits)
    ]
}

fn any_start() -> impl Strategy<Value = Option<i64>> {
    prop_oneof![Just(None), Just(Some(0)), any::<i64>().prop_map(Some)]
}

fn any_histogram() -> impl Strategy<Value = Histogram> {
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

fn any_model() -> impl Strategy<Value = Model> {
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

proptest! {
    #[test]
    fn version_1_reads_as_what_was_written(models in prop::collection::vec(any_model(), 0..6)) {
        let encoded = encode_rw1(&models);
        let decoded = pb::WriteRequest::decode(&*encoded).unwrap();
        let expected: Vec<_> = models.iter().map(expected_series).collect();
        prop_assert_eq!(&decoded.timeseries, &expected);
        let counts = rw1::count(&encoded).unwrap();
        prop_assert_eq!(counts.series, models.len());
        prop_assert_eq!(counts.samples, models.iter().map(|m| m.samples.len()).sum::<usize>());
        prop_assert_eq!(counts.histograms, models.iter().map(|m| m.histograms.len()).sum::<usize>());
        prop_assert_eq!(counts.exemplars, models.iter().map(|m| m.exemplars.len()).sum::<usize>());
        let labels: Vec<Labels> = rw1::series(&encoded)
            .map(|s| rw1::series_labels(s).map(|(n, v)| (n.into_owned(), v.into_owned())).collect())
            .collect();
        prop_assert_eq!(labels, models.iter().map(|m| m.labels.clone()).collect::<Vec<_>>());
    }

    #[test]
    fn the_hot_path_writes_what_prost_writes(labels in any_labels(), bits in any_bits(), time: i64) {
        let names: Vec<_> = labels.iter().map(|(n, _)| rw1::label_name_prefix(n)).collect();
        let pairs = names.iter().zip(&labels).map(|(n, (_, v))| (&**n, v.as_bytes()));
        let mut encoded = Vec::new();
        rw1::put_series(&mut encoded, pairs, bits, time);
        let sample = pb::Sample { value: f64::from_bits(bits), timestamp: time, start_timestamp: 0 };
        let series = pb::TimeSeries { labels: expected_labels(&labels), samples: vec![sample], ..Default::default() };
        let request = pb::WriteRequest { timeseries: vec![series], metadata: vec![] };
        prop_assert_eq!(pb::WriteRequest::decode(&*encoded).unwrap(), request.clone());
        // Prost takes -0.0 for the default and leaves it out; the bits must survive here.
        if bits != (-0.0f64).to_bits() {
            prop_assert_eq!(encoded, request.encode_to_vec());
        }
    }

    #[test]
    fn version_2_reads_as_what_was_written(models in prop::collection::vec(any_model(), 0..6)) {
        let encoded = encode_rw2(&models);
        let resolved = resolve(&pb::Request2::decode(&*encoded).unwrap());
        prop_assert_eq!(resolved.len(), models.len());
        for ((series, starts, help), model) in resolved.iter().zip(&models) {
            prop_assert_eq!(series, &expected_series(model));
            prop_assert_eq!(help, &model.help);
            let written = model.samples.iter().map(|s| s.2).chain(model.histograms.iter().map(|h| h.2));
            let expected: Vec<i64> = written.map(|start| match start { None => 0, Some(0) => 1, Some(t) => t }).collect();
            prop_assert_eq!(starts, &expected);
        }
        prop_assert_eq!(rw2::count(&encoded).unwrap().series, models.len());
        prop_assert_eq!(rw2::series_labels(&encoded).unwrap(), models.iter().map(|m| m.labels.clone()).collect::<Vec<_>>());
    }

    #[test]
    fn falling_back_from_2_to_1_loses_only_what_1_cannot_say(models in prop::collection::vec(any_model(), 0..6)) {
        let fallen = rw2::to_rw1(&encode_rw2(&models)).unwrap();
        let decoded = pb::WriteRequest::decode(&*fallen).unwrap();
        let expected: Vec<_> = models.iter().map(expected_series).collect();
        prop_assert_eq!(decoded.timeseries, expected);
    }

    #[test]
    fn a_cut_request_is_whole_again_when_put_together(models in prop::collection::vec(any_model(), 0..6)) {
        let encoded = encode_rw1(&models);
        match rw1::split(&encoded) {
            None => prop_assert!(models.len() < 2),
            Some((first, second)) => {
                prop_assert!(!first.is_empty() && !second.is_empty());
                prop_assert_eq!([first, second].concat(), encoded);
            }
        }
        let encoded = encode_rw2(&models);
        match rw2::split(&encoded) {
            None => prop_assert!(models.len() < 2),
            Some((first, second)) => {
                let halves = [first, second].map(|half| resolve(&pb::Request2::decode(&*half).unwrap()));
                prop_assert!(halves.iter().all(|half| !half.is_empty()));
                prop_assert_eq!(halves.concat(), resolve(&pb::Request2::decode(&*encoded).unwrap()));
            }
        }
    }

    #[test]
    fn a_request_in_lanes_has_every_series_in_one_of_them_and_in_order(
        models in prop::collection::vec(any_model(), 0..12), ways in 1_usize..5,
    ) {
        let encoded = encode_rw1(&models);
        let mut lanes = vec![Vec::new(); ways];
        rw1::spread(&encoded, &mut lanes, |labels| labels.iter().map(|&byte| usize::from(byte)).sum::<usize>() % ways).unwrap();
        let series = |request: &[u8]| pb::WriteRequest::decode(request).unwrap().timeseries;
        let mut lane_of = std::collections::HashMap::new();
        let mut found = 0;
        for (number, lane) in lanes.iter().enumerate() {
            let theirs = series(lane);
            found += theirs.len();
            for one in &theirs {
                prop_assert_eq!(*lane_of.entry(format!("{:?}", one.labels)).or_insert(number), number);
            }
            let all = series(&encoded);
            let expected: Vec<_> =
                all.into_iter().filter(|one| lane_of.get(&format!("{:?}", one.labels)) == Some(&number)).collect();
            prop_assert_eq!(theirs, expected);
        }
        prop_assert_eq!(found, models.len());
        prop_assert_eq!(lanes.iter().map(Vec::len).sum::<usize>(), encoded.len());
    }

    #[test]
    fn requests_of_version_2_become_one_with_each_string_once(all in prop::collection::vec(prop::collection::vec(any_model(), 0..4), 0..4)) {
        let requests: Vec<Vec<u8>> = all.iter().map(|models| encode_rw2(models)).collect();
        let whole = pb::Request2::decode(&*rw2::join(&requests).unwrap()).unwrap();
        let apart = requests.iter().flat_map(|request| resolve(&pb::Request2::decode(&**request).unwrap()));
        prop_assert_eq!(resolve(&whole), apart.collect::<Vec<_>>());
        let once: std::collections::BTreeSet<&String> = whole.symbols.iter().collect();
        prop_assert_eq!(once.len(), whole.symbols.len());
        // Byte for byte what the encoder would have made of all of them at once.
        prop_assert_eq!(rw2::join(&requests).unwrap(), encode_rw2(&all.concat()));
    }

    #[test]
    fn no_bytes_make_the_readers_panic(bytes: Vec<u8>, models in prop::collection::vec(any_model(), 1..3), at: prop::sample::Index, flip: u8) {
        for mut request in [bytes, encode_rw1(&models), encode_rw2(&models)] {
            if !request.is_empty() {
                let at = at.index(request.len());
                request[at] ^= flip;
            }
            if let Some((first, second)) = rw1::split(&request) {
                prop_assert_eq!([first, second].concat(), request.clone());
            }
            if rw2::split(&request).is_some() {
                prop_assert!(rw2::count(&request).is_ok());
            }
            let _ = rw1::spread(&request, &mut [Vec::new(), Vec::new()], <[u8]>::len);
            prop_assert!(rw1::series(&request).all(|s| rw1::series_labels(s).count() <= s.len()));
            let _ = rw2::to_rw1(&request);
            let _ = rw2::series_labels(&request);
            let _ = rw2::join(&[encode_rw2(&models), request]);
        }
    }
}

#[test]
fn a_stale_marker_arrives_bit_by_bit() {
    let name = rw1::label_name_prefix("__name__");
    let mut buf = Vec::new();
    rw1::put_series(&mut buf, [(&*name, &b"up"[..])].into_iter(), STALE_NAN_BITS, 5);
    let decoded = pb::WriteRequest::decode(&*buf).unwrap();
    assert!(is_stale(decoded.timeseries[0].samples[0].value.to_bits()));

    let stale = HistogramSample { histogram: NativeHistogram::STALE, timestamp_ms: 5, start_ms: None };
    let points = Points { histograms: &[stale], ..Points::default() };
    buf.clear();
    rw1::put_points(&mut buf, [(&*name, &b"h"[..])].into_iter(), &points);
    let decoded = pb::WriteRequest::decode(&*buf).unwrap();
    let histogram = &decoded.timeseries[0].histograms[0];
    assert!(is_stale(histogram.sum.to_bits()));
    assert_eq!(histogram.count_int, Some(0));
    assert!(histogram.positive_spans.is_empty() && histogram.negative_spans.is_empty());
}

#[test]
fn metadata_of_version_1() {
    let mut buf = Vec::new();
    rw1::put_metadata(&mut buf, MetricKind::Summary, "rpc_seconds", "how long", "seconds");
    let decoded = pb::WriteRequest::decode(&*buf).unwrap();
    let expected = pb::MetricMetadata {
        kind: 5,
        metric_family_name: "rpc_seconds".into(),
        help: "how long".into(),
        unit: "seconds".into(),
    };
    assert_eq!(decoded.metadata, [expected]);
    assert_eq!(rw1::count(&buf).unwrap().metadata, 1);
}

#[test]
fn an_exemplar_without_a_time_is_left_out() {
    let exemplar = Exemplar { labels: &[("trace_id", "a")], value: 1.0, timestamp_ms: None };
    let points = Points { exemplars: &[exemplar], ..Points::default() };
    let mut buf = Vec::new();
    rw1::put_points(&mut buf, std::iter::empty(), &points);
    assert_eq!(rw1::count(&buf).unwrap().exemplars, 0);
    let mut request = rw2::Request::new();
    request.put_points(std::iter::empty(), &points, &rw2::Metadata::default());
    buf.clear();
    request.write_to(&mut buf);
    assert_eq!(rw2::count(&buf).unwrap().exemplars, 0);
}

#[test]
fn symbols_are_found_again_and_forgotten_when_cleared() {
    let mut symbols = Symbols::new();
    assert_eq!(symbols.intern(b""), 0);
    let refs: Vec<u32> = (0..1000).map(|n| symbols.intern(format!("s{n}").as_bytes())).collect();
    assert_eq!(refs, (1..=1000).collect::<Vec<u32>>());
    assert_eq!(symbols.intern(b"s7"), 8);
    assert_eq!(symbols.count(), 1001);
    symbols.clear();
    assert_eq!((symbols.count(), symbols.encoded()), (1, &[0x22, 0][..]));
    assert_eq!(symbols.intern(b"s7"), 1);
}

#[test]
fn a_series_of_references_is_the_series_of_its_strings() {
    let labels = [("__name__", "up"), ("env", "dev"), ("zone", "dev")];
    let sample = Sample { value_bits: 1.5f64.to_bits(), timestamp_ms: 7, start_ms: Some(3) };
    let mut by_string = rw2::Request::new();
    let metadata = rw2::Metadata { kind: MetricKind::Gauge, help: "is it up", unit: "" };
    let pairs = labels.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes()));
    by_string.put_series(pairs, sample, &metadata);
    let mut by_ref = rw2::Request::new();
    let refs = labels.map(|(n, v)| [by_ref.intern(n.as_bytes()), by_ref.intern(v.as_bytes())]);
    let metadata = rw2::MetadataRefs { kind: MetricKind::Gauge, help: by_ref.intern(b"is it up"), unit: 0 };
    by_ref.put_series_refs(refs.as_flattened(), sample, metadata);
    let [mut strings, mut references] = [Vec::new(), Vec::new()];
    by_string.write_to(&mut strings);
    by_ref.write_to(&mut references);
    assert_eq!(strings, references);
    by_ref.clear();
    assert!(by_ref.is_empty());
}

#[test]
fn references_out_of_range_are_malformed() {
    let request = pb::Request2 {
        symbols: vec![String::new()],
        timeseries: vec![
            pb::TimeSeries2 { labels_refs: vec![1, 2], ..Default::default() },
            pb::TimeSeries2 { labels_refs: vec![0], ..Default::default() },
        ],
    };
    let encoded = request.encode_to_vec();
    assert!(rw2::split(&encoded).is_none());
    assert!(rw2::join(std::slice::from_ref(&encoded)).is_none());
    assert!(rw2::to_rw1(&encoded).is_err());
    assert!(rw2::series_labels(&encoded).is_err());
}
