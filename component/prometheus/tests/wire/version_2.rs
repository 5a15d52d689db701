//! Version 2.0: `io.prometheus.write.v2.Request`, and the way back to 1.0.

use proptest::prelude::*;
use prost::Message;
use steadyline_prometheus::wire::{Points, Sample, Symbols, rw2};
use steadyline_prometheus::{Exemplar, MetricKind};

use crate::model::{any_model, damaged, encode_rw2, expected_series};
use crate::pb;

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

proptest! {
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
    fn a_cut_request_is_whole_again_when_put_together(models in prop::collection::vec(any_model(), 0..6)) {
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
    fn no_bytes_make_the_readers_panic(bytes: Vec<u8>, models in prop::collection::vec(any_model(), 1..3), at: prop::sample::Index, flip: u8) {
        for request in damaged(bytes, &models, at, flip) {
            if rw2::split(&request).is_some() {
                prop_assert!(rw2::count(&request).is_ok());
            }
            let _ = rw2::to_rw1(&request);
            let _ = rw2::series_labels(&request);
            let _ = rw2::join(&[encode_rw2(&models), request]);
        }
    }
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

#[test]
fn an_exemplar_without_a_time_is_left_out() {
    let exemplar = Exemplar { labels: &[("trace_id", "a")], value: 1.0, timestamp_ms: None };
    let points = Points { exemplars: &[exemplar], ..Points::default() };
    let mut request = rw2::Request::new();
    request.put_points(std::iter::empty(), &points, &rw2::Metadata::default());
    let mut buf = Vec::new();
    request.write_to(&mut buf);
    assert_eq!(rw2::count(&buf).unwrap().exemplars, 0);
}
