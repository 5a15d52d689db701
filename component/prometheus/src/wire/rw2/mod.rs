//! Remote write 2.0-rc.4: `io.prometheus.write.v2.Request`. Strings stand in a table of the request; series refer to them.

mod rewrite;

pub use rewrite::{join, series_labels, split, to_rw1};

use super::{
    Counts, Fields, Malformed, Points, Sample, Symbols, histogram, put_double, put_len_prefixed, put_uint, put_varint,
    start_time,
};
use crate::metric::{Exemplar, MetricKind};

const SYMBOLS: u32 = 4;
const SERIES: u32 = 5;
const LABELS: u32 = 1;
const SAMPLES: u32 = 2;
const HISTOGRAMS: u32 = 3;
const EXEMPLARS: u32 = 4;
const METADATA: u32 = 5;

/// What a series tells about its metric.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Metadata<'a> {
    /// The metric's kind; receivers may refuse an unknown one.
    pub kind: MetricKind,
    /// What it means, in a sentence.
    pub help: &'a str,
    /// The Prometheus word for its unit, see [`crate::names::unit_words`].
    pub unit: &'a str,
}

/// [`Metadata`] with its strings as references of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MetadataRefs {
    /// The metric's kind.
    pub kind: MetricKind,
    /// The reference of the help text.
    pub help: u32,
    /// The reference of the unit's word.
    pub unit: u32,
}

/// A request that grows by series. Clearing keeps its memory for the next one.
#[derive(Debug, Default)]
pub struct Request {
    symbols: Symbols,
    series: Vec<u8>,
    refs: Vec<u32>,
}

impl Request {
    /// An empty request.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a series with one float sample.
    ///
    /// `labels` are names and values, `__name__` among them, sorted by name in byte order, without empty values.
    pub fn put_series<'a>(
        &mut self,
        labels: impl Iterator<Item = (&'a [u8], &'a [u8])>,
        sample: Sample,
        metadata: &Metadata<'_>,
    ) {
        let points = Points { samples: &[sample], ..Points::default() };
        self.put_points(labels, &points, metadata);
    }

    /// Appends a series with any number of points; there must be at least one sample or histogram.
    pub fn put_points<'a>(
        &mut self,
        labels: impl Iterator<Item = (&'a [u8], &'a [u8])>,
        points: &Points<'_>,
        metadata: &Metadata<'_>,
    ) {
        let Self { symbols, series, refs } = self;
        refs.clear();
        for (name, value) in labels {
            refs.extend([symbols.intern(name), symbols.intern(value)]);
        }
        put_len_prefixed(series, SERIES, |buf| {
            put_refs(buf, refs);
            for sample in points.samples {
                put_sample(buf, sample);
            }
            for sample in points.histograms {
                histogram::put(buf, HISTOGRAMS, sample, true);
            }
            for exemplar in points.exemplars {
                put_exemplar(buf, symbols, refs, exemplar);
            }
            let metadata = MetadataRefs {
                kind: metadata.kind,
                help: symbols.intern(metadata.help.as_bytes()),
                unit: symbols.intern(metadata.unit.as_bytes()),
            };
            put_metadata(buf, metadata);
        });
    }

    /// The reference of a string, added if it is new. Good until [`Request::clear`]: whoever writes many series of one
    /// shape looks its names up once per request, and hands them to [`Request::put_series_refs`].
    pub fn intern(&mut self, symbol: &[u8]) -> u32 {
        self.symbols.intern(symbol)
    }

    /// Appends a series with one float sample from references of this request: name and value in turn, sorted by the names'
    /// strings. A reference that [`Request::intern`] did not give makes the request invalid.
    pub fn put_series_refs(&mut self, refs: &[u32], sample: Sample, metadata: MetadataRefs) {
        debug_assert!(refs.len().is_multiple_of(2), "each name has a value");
        put_len_prefixed(&mut self.series, SERIES, |buf| {
            put_refs(buf, refs);
            put_sample(buf, &sample);
            put_metadata(buf, metadata);
        });
    }

    /// Whether no series has been put.
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// The length of the request in bytes, uncompressed.
    pub fn encoded_len(&self) -> usize {
        self.symbols.encoded().len() + self.series.len()
    }

    /// Appends the request.
    pub fn write_to(&self, buf: &mut Vec<u8>) {
        buf.reserve(self.encoded_len());
        buf.extend_from_slice(self.symbols.encoded());
        buf.extend_from_slice(&self.series);
    }

    /// Forgets everything but the memory.
    pub fn clear(&mut self) {
        self.symbols.clear();
        self.series.clear();
    }
}

fn put_refs(buf: &mut Vec<u8>, refs: &[u32]) {
    if !refs.is_empty() {
        put_len_prefixed(buf, LABELS, |buf| {
            for r in refs {
                put_varint(buf, u64::from(*r));
            }
        });
    }
}

fn put_sample(buf: &mut Vec<u8>, sample: &Sample) {
    put_len_prefixed(buf, SAMPLES, |buf| {
        put_double(buf, 1, sample.value_bits);
        put_uint(buf, 2, sample.timestamp_ms as u64);
        put_uint(buf, 3, start_time(sample.start_ms));
    });
}

fn put_exemplar(buf: &mut Vec<u8>, symbols: &mut Symbols, refs: &mut Vec<u32>, exemplar: &Exemplar<'_>) {
    let Some(timestamp_ms) = exemplar.timestamp_ms else {
        return;
    };
    refs.clear();
    for (name, value) in exemplar.labels {
        refs.extend([symbols.intern(name.as_bytes()), symbols.intern(value.as_bytes())]);
    }
    put_len_prefixed(buf, EXEMPLARS, |buf| {
        put_refs(buf, refs);
        put_double(buf, 2, exemplar.value.to_bits());
        put_uint(buf, 3, timestamp_ms as u64);
    });
}

fn put_metadata(buf: &mut Vec<u8>, metadata: MetadataRefs) {
    let MetadataRefs { kind, help, unit } = metadata;
    put_metadata_fields(buf, kind as u64, help, unit);
}

fn put_metadata_fields(buf: &mut Vec<u8>, kind: u64, help_ref: u32, unit_ref: u32) {
    if kind == 0 && help_ref == 0 && unit_ref == 0 {
        return;
    }
    put_len_prefixed(buf, METADATA, |buf| {
        put_uint(buf, 1, kind);
        put_uint(buf, 3, help_ref.into());
        put_uint(buf, 4, unit_ref.into());
    });
}

/// Counts what a request holds.
pub fn count(request: &[u8]) -> Result<Counts, Malformed> {
    let mut counts = Counts::default();
    for field in Fields::new(request) {
        let field = field?;
        if field.number != SERIES {
            continue;
        }
        counts.series += 1;
        for field in Fields::new(field.bytes()?) {
            match field?.number {
                SAMPLES => counts.samples += 1,
                HISTOGRAMS => counts.histograms += 1,
                EXEMPLARS => counts.exemplars += 1,
                METADATA => counts.metadata += 1,
                _ => {}
            }
        }
    }
    Ok(counts)
}
