//! From sorted series to blocks: requests of bounded size, compressed.

use steadyline_component::Block;
use steadyline_prometheus::wire::{
    Fields, HistogramSample, Points, Sample, WireType, put_tag, put_varint, rw1, rw2, varint_len,
};
use steadyline_prometheus::{Exemplar, MetricKind};

use super::stage::{Datum, Entry, NO_FAMILY, OwnedExemplar, Stage};
use crate::block::{Compressor, Protocol, items};

/// How large a request may become.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BlockLimits {
    /// Samples and native histograms.
    pub(crate) samples: usize,
    /// Bytes before compression.
    pub(crate) bytes: usize,
    /// Bytes on the wire; a single series may exceed it.
    pub(crate) compressed: usize,
}

/// What is known about a metric, for version 2.0 and for metadata.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Family {
    /// The name, without suffixes of histograms and summaries.
    pub(crate) name: String,
    /// What Prometheus calls it.
    pub(crate) kind: MetricKind,
    /// The description.
    pub(crate) help: String,
    /// The Prometheus word for the unit.
    pub(crate) unit: String,
}

/// Writes blocks; keeps its buffers.
pub(crate) struct BlockWriter {
    limits: BlockLimits,
    request: Vec<u8>,
    request2: rw2::Request,
    body: Vec<u8>,
    compressor: Compressor,
    pending: Pending,
}

/// What the request in the making holds.
#[derive(Debug, Default)]
struct Pending {
    items: usize,
    /// Milliseconds of the earliest and latest sample.
    times: Option<(i64, i64)>,
}

/// Where finished blocks go.
pub(crate) struct Target<'a> {
    /// Version of the blocks.
    pub(crate) protocol: Protocol,
    /// Shard of the blocks.
    pub(crate) shard: u32,
    /// The metrics that entries refer to.
    pub(crate) families: &'a [Family],
    /// The finished blocks.
    pub(crate) blocks: &'a mut Vec<Block>,
}

/// A buffer larger than this is given back after a batch.
const KEEP_BYTES: usize = 8 << 20;

impl BlockWriter {
    /// A writer of requests within these limits.
    pub(crate) fn new(limits: BlockLimits) -> Self {
        BlockWriter {
            limits,
            request: Vec::new(),
            request2: rw2::Request::new(),
            body: Vec::new(),
            compressor: Compressor::new(),
            pending: Pending::default(),
        }
    }

    /// Writes all series of a sorted stage.
    pub(crate) fn write(&mut self, stage: &Stage, target: &mut Target<'_>) {
        for run in stage.runs() {
            for part in run.chunks(self.limits.samples) {
                self.write_run(stage, part, target);
            }
        }
        self.finish(target);
        if self.request.capacity() > KEEP_BYTES {
            self.request = Vec::new();
        }
    }

    /// Writes metadata of version 1.0 as requests of their own.
    pub(crate) fn write_metadata<'f>(&mut self, families: impl Iterator<Item = &'f Family>, target: &mut Target<'_>) {
        for Family { name, kind, help, unit } in families {
            let bound = name.len() + help.len() + unit.len() + 32;
            if !self.request.is_empty() && self.request.len() + bound > self.limits.bytes {
                self.finish(target);
            }
            rw1::put_metadata(&mut self.request, *kind, name, help, unit);
        }
        self.finish(target);
    }

    /// Writes samples of one series and one kind, in order of time.
    #[inline]
    fn write_run(&mut self, stage: &Stage, run: &[u32], target: &mut Target<'_>) {
        let first = stage.entry(run[0]);
        let len = stage.labels(first).len() + bound(stage, run);
        let is_full =
            self.pending.items + run.len() > self.limits.samples || self.len(target) + len > self.limits.bytes;
        if is_full && self.pending.items > 0 {
            self.finish(target);
        }
        let last = stage.entry(run[run.len() - 1]).time_ms;
        self.pending.add(run.len(), first.time_ms, last);
        match (target.protocol, run, first.datum) {
            (Protocol::V1, [_], Datum::Float(bits)) if stage.exemplars(first).is_empty() => {
                put_series(&mut self.request, stage.labels(first), bits, first.time_ms);
            }
            _ => self.write_points(stage, run, target),
        }
    }

    /// The general case of [`BlockWriter::write_run`].
    fn write_points(&mut self, stage: &Stage, run: &[u32], target: &mut Target<'_>) {
        let entries = || run.iter().map(|at| stage.entry(*at));
        let start = |entry: &Entry| (entry.start_ms != 0).then_some(entry.start_ms);
        let (mut samples, mut histograms) = (Vec::new(), Vec::new());
        for entry in entries() {
            let (timestamp_ms, start_ms) = (entry.time_ms, start(entry));
            match entry.datum {
                Datum::Float(value_bits) => samples.push(Sample { value_bits, timestamp_ms, start_ms }),
                Datum::Native(row) => {
                    histograms.push(HistogramSample { histogram: stage.native(row), timestamp_ms, start_ms });
                }
            }
        }
        let owned: Vec<&OwnedExemplar> = entries().flat_map(|entry| stage.exemplars(entry)).collect();
        let labels: Vec<Vec<(&str, &str)>> =
            owned.iter().map(|e| e.labels.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect()).collect();
        let exemplars: Vec<Exemplar<'_>> = owned
            .iter()
            .zip(&labels)
            .map(|(e, labels)| Exemplar { labels, value: e.value, timestamp_ms: Some(e.time_ms) })
            .collect();
        let points = Points { samples: &samples, histograms: &histograms, exemplars: &exemplars };
        let first = stage.entry(run[0]);
        match target.protocol {
            Protocol::V1 => self.put_points(stage.labels(first), &points),
            Protocol::V2 => {
                let metadata = metadata(target.families, first.family);
                self.request2.put_points(pairs(stage.labels(first)), &points, &metadata);
            }
        }
    }

    /// Appends a series of version 1.0 whose labels are encoded already.
    fn put_points(&mut self, labels: &[u8], points: &Points<'_>) {
        self.body.clear();
        rw1::put_points(&mut self.body, std::iter::empty(), points);
        let series = rw1::series(&self.body).next().unwrap_or_default();
        put_tag(&mut self.request, 1, WireType::Bytes);
        put_varint(&mut self.request, (labels.len() + series.len()) as u64);
        self.request.extend_from_slice(labels);
        self.request.extend_from_slice(series);
    }

    #[inline]
    fn len(&self, target: &Target<'_>) -> usize {
        match target.protocol {
            Protocol::V1 => self.request.len(),
            Protocol::V2 => self.request2.encoded_len(),
        }
    }

    /// Makes a block of what was written since the last one.
    fn finish(&mut self, target: &mut Target<'_>) {
        if !self.request2.is_empty() {
            self.request2.write_to(&mut self.request);
            self.request2.clear();
        }
        let pending = std::mem::take(&mut self.pending);
        if self.request.is_empty() {
            return;
        }
        let times = pending.times.unwrap_or_default();
        let request = std::mem::take(&mut self.request);
        self.push(&request, pending.items as u64, times, target);
        self.request = request;
        self.request.clear();
    }

    /// Compresses a request into a block; into two and more if it is too large for the wire.
    fn push(&mut self, request: &[u8], items_in_it: u64, times: (i64, i64), target: &mut Target<'_>) {
        let payload = self.compressor.compress(request);
        if payload.len() > self.limits.compressed
            && let Some(halves) = target.protocol.split(request)
        {
            for half in [halves.0, halves.1] {
                self.push(&half, items(target.protocol.count(&half)), times, target);
            }
            return;
        }
        let nanos = |millis: i64| u64::try_from(millis).unwrap_or_default().saturating_mul(1_000_000);
        target.blocks.push(Block {
            payload: payload.into(),
            items: items_in_it,
            protocol: target.protocol as u16,
            shard: target.shard,
            uncompressed: request.len() as u64,
            time_range: (nanos(times.0), nanos(times.1)),
            receipts: Vec::new(),
            term: None,
            permit: None,
        });
    }
}

impl Pending {
    #[inline]
    fn add(&mut self, items: usize, first: i64, last: i64) {
        self.items += items;
        let (earliest, latest) = self.times.unwrap_or((first, last));
        self.times = Some((earliest.min(first), latest.max(last)));
    }
}

/// A bound of the bytes that samples take besides the labels, in either version.
#[inline]
fn bound(stage: &Stage, run: &[u32]) -> usize {
    // A series of version 2.0 may bring a new symbol for each name and value: some bytes each.
    let mut len = 64 + 40 * run.len() + stage.labels(stage.entry(run[0])).len() / 4;
    for at in run {
        let entry = stage.entry(*at);
        if let Datum::Native(row) = entry.datum {
            let histogram = stage.native(row);
            let sides = [histogram.positive, histogram.negative];
            len += 128 + sides.iter().map(|side| 16 * side.spans.len() + 10 * side.deltas.len()).sum::<usize>();
        }
        for exemplar in stage.exemplars(entry) {
            len += 48 + exemplar.labels.iter().map(|(name, value)| name.len() + value.len() + 16).sum::<usize>();
        }
    }
    len
}

/// Appends a series of version 1.0 with one float sample: the hot path.
#[inline]
fn put_series(request: &mut Vec<u8>, labels: &[u8], bits: u64, time_ms: i64) {
    let value = if bits == 0 { 0 } else { 9 };
    let time = if time_ms == 0 { 0 } else { 1 + varint_len(time_ms as u64) };
    request.reserve(labels.len() + 32);
    put_tag(request, 1, WireType::Bytes);
    put_varint(request, (labels.len() + 2 + value + time) as u64);
    request.extend_from_slice(labels);
    // In one piece: tag and length of the sample, tag and value, tag and time.
    let mut sample = [0; 22];
    sample[0] = 2 << 3 | 2;
    sample[1] = (value + time) as u8;
    if bits != 0 {
        sample[2] = 1 << 3 | 1;
        sample[3..11].copy_from_slice(&bits.to_le_bytes());
    }
    let mut at = 2 + value;
    if time_ms != 0 {
        sample[at] = 2 << 3;
        let mut rest = time_ms as u64;
        while rest >= 0x80 {
            at += 1;
            sample[at] = rest as u8 | 0x80;
            rest >>= 7;
        }
        sample[at + 1] = rest as u8;
    }
    let end = request.len() + 2 + value + time;
    request.extend_from_slice(&sample);
    request.truncate(end);
}

fn metadata(families: &[Family], row: u32) -> rw2::Metadata<'_> {
    let family = if row == NO_FAMILY { None } else { families.get(row as usize) };
    family.map_or_else(rw2::Metadata::default, |family| rw2::Metadata {
        kind: family.kind,
        help: &family.help,
        unit: &family.unit,
    })
}

/// Names and values of labels that we encoded.
fn pairs(labels: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    Fields::new(labels).map_while(Result::ok).filter_map(|label| {
        let mut fields = Fields::new(label.bytes().ok()?).map_while(Result::ok);
        Some((fields.next()?.bytes().ok()?, fields.next()?.bytes().ok()?))
    })
}
