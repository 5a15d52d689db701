//! Version 1.0: `prometheus.WriteRequest`.

use proptest::prelude::*;
use prost::Message;
use steadyline_prometheus::values::{STALE_NAN_BITS, is_stale};
use steadyline_prometheus::wire::{HistogramSample, Points, rw1};
use steadyline_prometheus::{Exemplar, MetricKind, NativeHistogram};

use crate::model::{Labels, any_bits, any_labels, any_model, damaged, encode_rw1, expected_labels, expected_series};
use crate::pb;

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
    fn a_cut_request_is_whole_again_when_put_together(models in prop::collection::vec(any_model(), 0..6)) {
        let encoded = encode_rw1(&models);
        match rw1::split(&encoded) {
            None => prop_assert!(models.len() < 2),
            Some((first, second)) => {
                prop_assert!(!first.is_empty() && !second.is_empty());
                prop_assert_eq!([first, second].concat(), encoded);
            }
        }
    }

    #[test]
    fn no_bytes_make_the_readers_panic(bytes: Vec<u8>, models in prop::collection::vec(any_model(), 1..3), at: prop::sample::Index, flip: u8) {
        for request in damaged(bytes, &models, at, flip) {
            if let Some((first, second)) = rw1::split(&request) {
                prop_assert_eq!([first, second].concat(), request.clone());
            }
            let _ = rw1::spread(&request, &mut [Vec::new(), Vec::new()], <[u8]>::len);
            prop_assert!(rw1::series(&request).all(|s| rw1::series_labels(s).count() <= s.len()));
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
}
