//! Series of one batch on their way into blocks: sharded by series, put in order of time, one value per series and moment.
//!
//! A series is its encoded, sorted labels. Nothing is assumed about the order in which points arrive; a batch whose series
//! each have one point, which is nearly all of them, is passed through as it came.

use std::hash::BuildHasher;
use std::ops::Range;

use hashbrown::{DefaultHashBuilder, HashTable};
use steadyline_prometheus::{Buckets, NativeHistogram, Span};
use xxhash_rust::xxh3::xxh3_64;

use super::losses::Loss;

/// What one sample says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Datum {
    /// The bits of a float.
    Float(u64),
    /// A row of [`Stage::natives`].
    Native(u32),
}

/// A sample before it has its labels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    pub(super) time_ms: i64,
    /// When the counting began; 0 = not said.
    pub(super) start_ms: i64,
    /// The metric's row among the families; [`NO_FAMILY`] for none.
    pub(super) family: u32,
}

/// No metadata is known.
pub(super) const NO_FAMILY: u32 = u32::MAX;

/// One sample of one series.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    hash: u64,
    /// Milliseconds since the Unix epoch.
    pub(crate) time_ms: i64,
    /// When the counting began, or 0.
    pub(crate) start_ms: i64,
    /// What it says.
    pub(crate) datum: Datum,
    labels_at: u32,
    labels_len: u32,
    /// The first entry of the same series.
    pub(crate) series: u32,
    /// The metric's row among the families.
    pub(crate) family: u32,
    exemplars: (u32, u32),
}

/// A native histogram; its buckets lie in the stage.
#[derive(Debug, Clone, Copy)]
struct NativeRow {
    /// Everything but the buckets.
    head: NativeHistogram<'static>,
    positive: [u32; 4],
    negative: [u32; 4],
}

/// An exemplar of an entry.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OwnedExemplar {
    /// Sorted by name.
    pub(crate) labels: Vec<(String, String)>,
    /// The observed value.
    pub(crate) value: f64,
    /// Milliseconds since the Unix epoch.
    pub(crate) time_ms: i64,
}

/// The series of one shard.
#[derive(Debug, Default)]
pub(crate) struct Stage {
    labels: Vec<u8>,
    entries: Vec<Entry>,
    index: HashTable<u32>,
    /// Whether a series came more than once.
    repeats: bool,
    natives: Vec<NativeRow>,
    spans: Vec<Span>,
    deltas: Vec<i64>,
    exemplars: Vec<OwnedExemplar>,
    order: Vec<u32>,
}

/// The stages of all shards.
#[derive(Debug)]
pub(super) struct Stages {
    shards: Vec<Stage>,
    /// Keyed with a secret: senders cannot aim at the index.
    hasher: DefaultHashBuilder,
    max_labels: usize,
    /// Whether no series comes twice, so that none must be looked for.
    distinct: bool,
    full: bool,
}

/// Memory that a stage keeps from one batch to the next.
const KEEP_BYTES: usize = 8 << 20;
/// A stage that has so many bytes of labels is written out, however much of the batch is still to come.
const FULL_BYTES: usize = 16 << 20;

impl Stages {
    /// Stages for series whose encoded labels have at most `max_labels` bytes.
    pub(super) fn new(max_labels: usize) -> Self {
        Stages {
            shards: vec![Stage::default()],
            hasher: DefaultHashBuilder::default(),
            max_labels,
            distinct: false,
            full: false,
        }
    }

    /// Sets the number of shards, at least one, and whether no series comes twice. All stages are empty then.
    pub(super) fn begin(&mut self, shards: u32, distinct: bool) {
        self.distinct = distinct;
        self.shards.resize_with(shards.max(1) as usize, Stage::default);
    }

    /// The stages, in the order of their shards.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Stage> {
        self.shards.iter_mut()
    }

    /// Whether some stage should be written out before more is added.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    /// All stages have been written out and cleared.
    pub(super) fn emptied(&mut self) {
        self.full = false;
    }

    /// Adds a float sample of the series whose labels `write` appends. Returns the place for exemplars.
    ///
    /// # Errors
    /// What `write` says, or that the labels are too long.
    #[inline]
    pub(super) fn put_float(
        &mut self,
        sample: Sample,
        bits: u64,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), Loss>,
    ) -> Result<Place, Loss> {
        let (shard, labels) = self.put_labels(write)?;
        let stage = &mut self.shards[shard];
        let datum = Datum::Float(bits);
        let entry = match self.distinct {
            true => stage.add(sample, datum, labels),
            false => stage.push(&self.hasher, sample, datum, labels),
        };
        Ok(Place { shard, entry })
    }

    /// Adds a native histogram of the series whose labels `write` appends.
    ///
    /// # Errors
    /// As [`Stages::put_float`].
    pub(super) fn put_native(
        &mut self,
        sample: Sample,
        histogram: &NativeHistogram<'_>,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), Loss>,
    ) -> Result<Place, Loss> {
        let (shard, labels) = self.put_labels(write)?;
        let stage = &mut self.shards[shard];
        let row = stage.put_histogram(histogram);
        Ok(Place { shard, entry: stage.push(&self.hasher, sample, Datum::Native(row), labels) })
    }

    /// Gives a sample its exemplars, sorted by time.
    pub(super) fn put_exemplars(&mut self, place: Place, exemplars: impl IntoIterator<Item = OwnedExemplar>) {
        let stage = &mut self.shards[place.shard];
        let from = stage.exemplars.len();
        stage.exemplars.extend(exemplars);
        stage.exemplars[from..].sort_by_key(|exemplar| exemplar.time_ms);
        stage.entries[place.entry].exemplars = (from as u32, stage.exemplars.len() as u32);
    }

    /// Lets `write` append labels, and finds out where they belong.
    #[inline]
    fn put_labels(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), Loss>,
    ) -> Result<(usize, Range<usize>), Loss> {
        let count = self.shards.len();
        let first = &mut self.shards[0].labels;
        let from = first.len();
        let written = match write(first) {
            Ok(()) if first.len() - from > self.max_labels => Err(Loss::SeriesTooLarge),
            written => written,
        };
        if let Err(loss) = written {
            first.truncate(from);
            return Err(loss);
        }
        self.full |= first.len() >= FULL_BYTES;
        if count == 1 {
            return Ok((0, from..first.len()));
        }
        // This hash has no secret: a series keeps its shard over restarts, so that blocks kept on disk stay in order.
        let shard = (xxh3_64(&first[from..]) % count as u64) as usize;
        if shard == 0 {
            return Ok((0, from..first.len()));
        }
        let (head, tail) = self.shards.split_at_mut(1);
        let (scratch, labels) = (&mut head[0].labels, &mut tail[shard - 1].labels);
        let at = labels.len();
        labels.extend_from_slice(&scratch[from..]);
        self.full |= labels.len() >= FULL_BYTES;
        scratch.truncate(from);
        Ok((shard, at..labels.len()))
    }
}

/// Where a sample was put.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    shard: usize,
    entry: usize,
}

impl Stage {
    /// Adds a sample of a series that came not before and does not come again.
    #[inline]
    fn add(&mut self, sample: Sample, datum: Datum, labels: Range<usize>) -> usize {
        let at = self.entries.len();
        self.enter(0, at as u32, sample, datum, labels);
        at
    }

    #[inline]
    fn push(&mut self, hasher: &DefaultHashBuilder, sample: Sample, datum: Datum, labels: Range<usize>) -> usize {
        let Stage { labels: bytes, entries, index, repeats, .. } = self;
        let own = &bytes[labels.clone()];
        let hash = hasher.hash_one(own);
        let at = entries.len() as u32;
        let same = |other: &u32| {
            let other = &entries[*other as usize];
            other.hash == hash && &bytes[other.labels()] == own
        };
        let rehash = |other: &u32| entries[*other as usize].hash;
        let series = match index.entry(hash, same, rehash) {
            hashbrown::hash_table::Entry::Occupied(known) => {
                *repeats = true;
                *known.get()
            }
            hashbrown::hash_table::Entry::Vacant(place) => {
                place.insert(at);
                at
            }
        };
        self.enter(hash, series, sample, datum, labels);
        at as usize
    }

    #[inline]
    fn enter(&mut self, hash: u64, series: u32, sample: Sample, datum: Datum, labels: Range<usize>) {
        let Sample { time_ms, start_ms, family } = sample;
        let (labels_at, labels_len) = (labels.start as u32, labels.len() as u32);
        let exemplars = (0, 0);
        self.entries.push(Entry { hash, time_ms, start_ms, datum, labels_at, labels_len, series, family, exemplars });
    }

    /// Whether there is nothing to send.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Puts the entries in order: series by their first appearance, each by time. Of several samples of one series and
    /// moment the last that arrived stays. Returns how many were superseded.
    pub(crate) fn sort(&mut self) -> u64 {
        let Stage { entries, order, .. } = self;
        order.clear();
        order.extend(0..entries.len() as u32);
        if !self.repeats {
            return 0;
        }
        let key = |at: u32| {
            let entry = &entries[at as usize];
            (entry.series, entry.time_ms)
        };
        order.sort_by_key(|at| key(*at));
        let before = order.len();
        // `dedup_by` keeps the first of a run; the last arrival is carried over to it.
        order.dedup_by(|later, kept| {
            let same = key(*later) == key(*kept);
            if same {
                *kept = *later;
            }
            same
        });
        (before - order.len()) as u64
    }

    /// The entries after [`Stage::sort`], in runs of one series and one kind of sample.
    pub(crate) fn runs(&self) -> impl Iterator<Item = &[u32]> {
        self.order.chunk_by(|a, b| {
            let (a, b) = (self.entry(*a), self.entry(*b));
            a.series == b.series && a.is_native() == b.is_native()
        })
    }

    /// An entry of a run.
    #[inline]
    pub(crate) fn entry(&self, at: u32) -> &Entry {
        &self.entries[at as usize]
    }

    /// The encoded labels of an entry.
    #[inline]
    pub(crate) fn labels(&self, entry: &Entry) -> &[u8] {
        &self.labels[entry.labels()]
    }

    /// The exemplars of an entry, by time.
    pub(crate) fn exemplars(&self, entry: &Entry) -> &[OwnedExemplar] {
        &self.exemplars[entry.exemplars.0 as usize..entry.exemplars.1 as usize]
    }

    /// The native histogram in a row.
    pub(crate) fn native(&self, row: u32) -> NativeHistogram<'_> {
        let NativeRow { head, positive, negative } = &self.natives[row as usize];
        NativeHistogram { positive: self.buckets(positive), negative: self.buckets(negative), ..*head }
    }

    fn buckets(&self, run: &[u32; 4]) -> Buckets<'_> {
        let [spans_from, spans_to, deltas_from, deltas_to] = run.map(|at| at as usize);
        Buckets { spans: &self.spans[spans_from..spans_to], deltas: &self.deltas[deltas_from..deltas_to] }
    }

    fn put_histogram(&mut self, histogram: &NativeHistogram<'_>) -> u32 {
        let [positive, negative] = [histogram.positive, histogram.negative].map(|buckets| {
            let (spans, deltas) = (self.spans.len() as u32, self.deltas.len() as u32);
            self.spans.extend_from_slice(buckets.spans);
            self.deltas.extend_from_slice(buckets.deltas);
            [spans, self.spans.len() as u32, deltas, self.deltas.len() as u32]
        });
        let none = Buckets { spans: &[], deltas: &[] };
        let head = NativeHistogram {
            schema: histogram.schema,
            zero_threshold: histogram.zero_threshold,
            zero_count: histogram.zero_count,
            count: histogram.count,
            sum_bits: histogram.sum_bits,
            positive: none,
            negative: none,
            custom_bounds: &[],
            reset_hint: histogram.reset_hint,
        };
        self.natives.push(NativeRow { head, positive, negative });
        self.natives.len() as u32 - 1
    }

    /// Forgets everything but a bounded part of the memory.
    pub(crate) fn clear(&mut self) {
        if self.labels.capacity() > KEEP_BYTES {
            *self = Stage::default();
            return;
        }
        self.labels.clear();
        self.entries.clear();
        self.index.clear();
        self.repeats = false;
        self.natives.clear();
        self.spans.clear();
        self.deltas.clear();
        self.exemplars.clear();
    }
}

impl Entry {
    fn is_native(&self) -> bool {
        matches!(self.datum, Datum::Native(_))
    }

    #[inline]
    fn labels(&self) -> Range<usize> {
        let at = self.labels_at as usize;
        at..at + self.labels_len as usize
    }
}
