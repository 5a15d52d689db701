//! An exporter for tests, and blocks as lines: `name{a="1"} value @milliseconds`. Every request is held against the protocol.
#![allow(unreachable_pub, missing_docs)]

pub mod pb;

use std::collections::BTreeSet;
use std::sync::Arc;

use prost::Message;
use steadyline_component::testkit::{TestExtensions, create_with, metrics};
use steadyline_component::{Batch, Block, Clock, Encoded, Encoder, Exporter, Meter, Sender, Tally};
use steadyline_exporter_prometheusremotewrite::PrometheusRemoteWriteFactory;
use steadyline_telemetry::{Limits, Metrics};

pub const STALE: u64 = 0x7ff0_0000_0000_0002;
const URL: &str = "http://127.0.0.1:1/api/v1/write";

pub struct Rig {
    pub encoder: Box<dyn Encoder>,
    pub sender: Arc<dyn Sender>,
    pub clock: Clock,
    pub meter: Meter,
    pub shards: u32,
    pub dropped: Vec<(String, u64)>,
    pub merged: u64,
    pub created: u64,
}

impl Rig {
    pub fn new(yaml: &str) -> Rig {
        Rig::at(URL, yaml)
    }

    pub fn at(url: &str, yaml: &str) -> Rig {
        Rig::with(&format!("endpoint: {url}\n{yaml}"), &mut TestExtensions::default()).unwrap()
    }

    pub fn with(yaml: &str, extensions: &mut TestExtensions) -> Result<Rig, String> {
        let (clock, meter) = (Clock::manual(0), Meter::default());
        match create_with::<PrometheusRemoteWriteFactory>(yaml, extensions, &clock, &meter)? {
            Exporter::Queued { encoder, sender, .. } => {
                Ok(Rig { encoder, sender, clock, meter, shards: 1, dropped: Vec::new(), merged: 0, created: 0 })
            }
            Exporter::Direct(_) => panic!("remote write has a queue"),
        }
    }

    /// The blocks of a batch; checks conservation and the protocol.
    pub fn blocks(&mut self, batch: &Batch) -> Vec<Block> {
        let (tally, mut blocks) = (Tally::default(), Vec::new());
        self.encoder.encode(batch, self.shards, &mut Encoded { blocks: &mut blocks, tally: &tally });
        tally.incoming(batch.items());
        tally.outgoing(blocks.iter().map(|block| block.items).sum());
        let balance = tally.balance();
        assert_eq!(balance.missing(), 0, "{balance:?}");
        self.dropped = balance.dropped.iter().map(|(reason, count)| (reason.to_string(), *count)).collect();
        self.merged = balance.merged;
        self.created = balance.created.values().sum();
        blocks.iter().for_each(check);
        blocks
    }

    /// The series of points in the notation of the test kit, as a processor left them.
    pub fn finals(&mut self, points: &str) -> Vec<String> {
        let batch = final_batch(metrics(points));
        self.blocks(&batch).iter().flat_map(lines).collect()
    }

    /// The same, untranslated.
    pub fn raw(&mut self, points: &str) -> Vec<String> {
        self.metrics(metrics(points))
    }

    pub fn metrics(&mut self, metrics: Metrics) -> Vec<String> {
        self.blocks(&Batch::metrics(metrics)).iter().flat_map(lines).collect()
    }

    /// The series of an OTLP request.
    pub fn otlp(&mut self, request: &impl Message) -> Vec<String> {
        let bytes = request.encode_to_vec();
        self.metrics(Metrics::decode(bytes.into(), &Limits::default()).unwrap())
    }

    pub fn lost(&self) -> Vec<(&str, u64)> {
        self.dropped.iter().map(|(reason, count)| (reason.as_str(), *count)).collect()
    }

    pub fn counter(&self, name: &str) -> f64 {
        self.meter.read().iter().find(|i| i.name == name).map_or(0.0, |i| i.value())
    }
}

pub fn final_batch(metrics: Metrics) -> Batch {
    let mut batch = Batch::metrics(metrics);
    batch.header.labels_final = true;
    batch
}

pub fn unpack(block: &Block) -> Vec<u8> {
    snap::raw::Decoder::new().decompress_vec(block.payload.bytes()).unwrap()
}

pub fn v1(block: &Block) -> pb::WriteRequest {
    assert_eq!(block.protocol, 1);
    pb::WriteRequest::decode(unpack(block).as_slice()).unwrap()
}

pub fn v2(block: &Block) -> pb::Request2 {
    assert_eq!(block.protocol, 2);
    pb::Request2::decode(unpack(block).as_slice()).unwrap()
}

/// What the specifications demand of every request.
pub fn check(block: &Block) {
    assert_eq!(block.uncompressed, unpack(block).len() as u64);
    let mut known = BTreeSet::new();
    let mut items = 0;
    let mut times = Vec::new();
    for (labels, samples, histograms) in series(block) {
        let names: Vec<&str> = labels.iter().map(|(name, _)| name.as_str()).collect();
        assert!(names.is_sorted_by(|a, b| a < b), "sorted and unique: {names:?}");
        assert!(names.contains(&"__name__"), "{labels:?}");
        assert!(labels.iter().all(|(name, value)| !name.is_empty() && !value.is_empty()), "{labels:?}");
        assert!(block.protocol == 2 || labels.iter().all(|(name, value)| is_legal(name, value)), "{labels:?}");
        assert!(samples.is_empty() || histograms.is_empty(), "not both: {labels:?}");
        let own: Vec<i64> = samples.iter().map(|s| s.timestamp).chain(histograms.iter().map(|h| h.timestamp)).collect();
        assert!(!own.is_empty() && own.is_sorted_by(|a, b| a < b), "times rise: {labels:?} {own:?}");
        items += own.len() as u64;
        times.extend(own);
        assert!(known.insert((labels.clone(), histograms.is_empty())), "once per request: {labels:?}");
    }
    assert_eq!(block.items, items);
    let nanos = |ms: Option<&i64>| ms.copied().unwrap_or_default() as u64 * 1_000_000;
    assert!(block.time_range.0 <= nanos(times.iter().min()) && nanos(times.iter().max()) <= block.time_range.1);
}

fn is_legal(name: &str, value: &str) -> bool {
    let word = |text: &str, extra: &str| {
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || extra.contains(c);
        text.chars().all(legal) && !text.starts_with(|c: char| c.is_ascii_digit())
    };
    word(name, "") && (name != "__name__" || word(value, ":"))
}

type Labels = Vec<(String, String)>;

/// Labels, samples and histograms of every series, whatever the version.
pub fn series(block: &Block) -> Vec<(Labels, Vec<pb::Sample>, Vec<pb::Histogram>)> {
    if block.protocol == 1 {
        let pairs = |labels: Vec<pb::Label>| labels.into_iter().map(|l| (l.name, l.value)).collect();
        return v1(block).timeseries.into_iter().map(|s| (pairs(s.labels), s.samples, s.histograms)).collect();
    }
    let request = v2(block);
    assert_eq!(request.symbols[0], "");
    let unique: BTreeSet<_> = request.symbols.iter().collect();
    assert_eq!(unique.len(), request.symbols.len());
    let text = |r: u32| request.symbols[r as usize].clone();
    let pairs = |refs: &[u32]| refs.chunks(2).map(|pair| (text(pair[0]), text(pair[1]))).collect();
    request.timeseries.iter().map(|s| (pairs(&s.labels_refs), s.samples.clone(), s.histograms.clone())).collect()
}

/// A line per sample.
pub fn lines(block: &Block) -> Vec<String> {
    let mut lines = Vec::new();
    for (labels, samples, histograms) in series(block) {
        let name = labels.iter().find(|(name, _)| name == "__name__").map(|(_, value)| value.clone()).unwrap();
        let others: Vec<String> =
            labels.iter().filter(|(n, _)| n != "__name__").map(|(n, v)| format!("{n}={v:?}")).collect();
        let head = if others.is_empty() { name } else { format!("{name}{{{}}}", others.join(",")) };
        for sample in samples {
            let value = match sample.value {
                STALE => "stale".to_string(),
                bits => f64::from_bits(bits).to_string(),
            };
            let start =
                if sample.start_timestamp == 0 { String::new() } else { format!(" from {}", sample.start_timestamp) };
            lines.push(format!("{head} {value} @{}{start}", sample.timestamp));
        }
        for h in histograms {
            let sum = if h.sum == STALE { "stale".to_string() } else { f64::from_bits(h.sum).to_string() };
            let spans: Vec<_> = h.positive_spans.iter().map(|s| (s.offset, s.length)).collect();
            let deltas = &h.positive_deltas;
            lines.push(format!(
                "{head} native({}, {sum}, {}, {spans:?}, {deltas:?}) @{}",
                h.count, h.schema, h.timestamp
            ));
        }
    }
    lines
}
