//! Remote write 2.0-rc.4: `io.prometheus.write.v2.Request`. Strings stand in a table of the request; series refer to them.

use super::read::packed;
use super::{
    Counts, Fields, Malformed, Points, Sample, Symbols, histogram, middle, put_double, put_len_prefixed, put_uint,
    put_varint, rw1, start_time,
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
            put_metadata(
                buf,
                metadata.kind as u64,
                symbols.intern(metadata.help.as_bytes()),
                symbols.intern(metadata.unit.as_bytes()),
            );
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

fn put_metadata(buf: &mut Vec<u8>, kind: u64, help_ref: u32, unit_ref: u32) {
    if kind == 0 && help_ref == 0 && unit_ref == 0 {
        return;
    }
    put_len_prefixed(buf, METADATA, |buf| {
        put_uint(buf, 1, kind);
        put_uint(buf, 3, help_ref.into());
        put_uint(buf, 4, unit_ref.into());
    });
}

/// A request's parts, as they stand in its bytes.
struct Parts<'a> {
    symbols: Vec<&'a [u8]>,
    series: Vec<&'a [u8]>,
}

impl<'a> Parts<'a> {
    fn of(request: &'a [u8]) -> Result<Self, Malformed> {
        let mut parts = Self { symbols: Vec::new(), series: Vec::new() };
        for field in Fields::new(request) {
            let field = field?;
            match field.number {
                SYMBOLS => parts.symbols.push(field.bytes()?),
                SERIES => parts.series.push(field.bytes()?),
                _ => {}
            }
        }
        Ok(parts)
    }

    fn symbol(&self, r: u64) -> Result<&'a [u8], Malformed> {
        let at = usize::try_from(r).map_err(|_| Malformed)?;
        self.symbols.get(at).copied().ok_or(Malformed)
    }

    /// The names and values that packed references stand for.
    fn labels(&self, refs: &'a [u8]) -> Result<Vec<(&'a [u8], &'a [u8])>, Malformed> {
        let flat: Vec<&[u8]> = packed(refs).map(|r| self.symbol(r?)).collect::<Result<_, Malformed>>()?;
        if flat.len() % 2 == 1 {
            return Err(Malformed);
        }
        Ok(flat.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
    }
}

/// Cuts a request in two of about the same size, between two series, each with a table of just its own symbols.
/// `None` if there is nothing to cut: fewer than two series, or bytes that are no request.
pub fn split(request: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let parts = Parts::of(request).ok()?;
    let cut = middle(parts.series.iter().map(|series| series.len()))?;
    let (first, second) = parts.series.split_at(cut);
    let half = |series: &[&[u8]]| {
        let mut half = Request::new();
        for series in series {
            half.copy_series(&parts, series).ok()?;
        }
        let mut out = Vec::new();
        half.write_to(&mut out);
        Some(out)
    };
    Some((half(first)?, half(second)?))
}

impl Request {
    /// Appends a series of another request, its references translated.
    fn copy_series(&mut self, from: &Parts<'_>, message: &[u8]) -> Result<(), Malformed> {
        let Self { symbols, series, refs } = self;
        let mut copied = Ok(());
        put_len_prefixed(series, SERIES, |buf| {
            copied = copy_fields(buf, symbols, refs, from, message);
        });
        copied
    }
}

fn copy_fields(
    buf: &mut Vec<u8>,
    symbols: &mut Symbols,
    refs: &mut Vec<u32>,
    from: &Parts<'_>,
    message: &[u8],
) -> Result<(), Malformed> {
    for field in Fields::new(message) {
        let field = field?;
        match field.number {
            LABELS => copy_refs(buf, symbols, refs, from, field.bytes()?)?,
            EXEMPLARS => {
                let exemplar = field.bytes()?;
                let mut copied = Ok(());
                put_len_prefixed(buf, EXEMPLARS, |buf| {
                    copied = copy_exemplar(buf, symbols, refs, from, exemplar);
                });
                copied?;
            }
            METADATA => copy_metadata(buf, symbols, from, field.bytes()?)?,
            _ => buf.extend_from_slice(field.raw),
        }
    }
    Ok(())
}

fn copy_refs(
    buf: &mut Vec<u8>,
    symbols: &mut Symbols,
    refs: &mut Vec<u32>,
    from: &Parts<'_>,
    bytes: &[u8],
) -> Result<(), Malformed> {
    refs.clear();
    for r in packed(bytes) {
        refs.push(symbols.intern(from.symbol(r?)?));
    }
    put_refs(buf, refs);
    Ok(())
}

fn copy_exemplar(
    buf: &mut Vec<u8>,
    symbols: &mut Symbols,
    refs: &mut Vec<u32>,
    from: &Parts<'_>,
    message: &[u8],
) -> Result<(), Malformed> {
    for field in Fields::new(message) {
        let field = field?;
        match field.number {
            LABELS => copy_refs(buf, symbols, refs, from, field.bytes()?)?,
            _ => buf.extend_from_slice(field.raw),
        }
    }
    Ok(())
}

fn copy_metadata(buf: &mut Vec<u8>, symbols: &mut Symbols, from: &Parts<'_>, message: &[u8]) -> Result<(), Malformed> {
    let (mut kind, mut help, mut unit) = (0, 0, 0);
    for field in Fields::new(message) {
        let field = field?;
        match field.number {
            1 => kind = field.varint()?,
            3 => help = symbols.intern(from.symbol(field.varint()?)?),
            4 => unit = symbols.intern(from.symbol(field.varint()?)?),
            _ => {}
        }
    }
    put_metadata(buf, kind, help, unit);
    Ok(())
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

/// The same request in version 1.0, for a receiver that does not know 2.0. Start times and descriptions stay behind:
/// the text of 1.0 has neither.
pub fn to_rw1(request: &[u8]) -> Result<Vec<u8>, Malformed> {
    let parts = Parts::of(request)?;
    let mut out = Vec::with_capacity(request.len() * 2);
    for series in &parts.series {
        let mut written = Ok(());
        put_len_prefixed(&mut out, 1, |buf| written = put_series_rw1(buf, &parts, series));
        written?;
    }
    Ok(out)
}

fn put_series_rw1(buf: &mut Vec<u8>, parts: &Parts<'_>, series: &[u8]) -> Result<(), Malformed> {
    for field in Fields::new(series) {
        let field = field?;
        match field.number {
            LABELS => put_labels_rw1(buf, parts, field.bytes()?)?,
            SAMPLES => put_without(buf, 2, field.bytes()?, 3)?,
            HISTOGRAMS => put_without(buf, 4, field.bytes()?, 17)?,
            EXEMPLARS => {
                let exemplar = field.bytes()?;
                let mut written = Ok(());
                put_len_prefixed(buf, 3, |buf| written = put_exemplar_rw1(buf, parts, exemplar));
                written?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn put_labels_rw1(buf: &mut Vec<u8>, parts: &Parts<'_>, refs: &[u8]) -> Result<(), Malformed> {
    for (name, value) in parts.labels(refs)? {
        rw1::put_label(buf, name, value);
    }
    Ok(())
}

fn put_exemplar_rw1(buf: &mut Vec<u8>, parts: &Parts<'_>, message: &[u8]) -> Result<(), Malformed> {
    for field in Fields::new(message) {
        let field = field?;
        match field.number {
            LABELS => put_labels_rw1(buf, parts, field.bytes()?)?,
            _ => buf.extend_from_slice(field.raw),
        }
    }
    Ok(())
}

/// Appends `message` as field `field`, without its own field `left_out`.
fn put_without(buf: &mut Vec<u8>, field: u32, message: &[u8], left_out: u32) -> Result<(), Malformed> {
    let mut written = Ok(());
    put_len_prefixed(buf, field, |buf| {
        for inner in Fields::new(message) {
            match inner {
                Ok(inner) if inner.number == left_out => {}
                Ok(inner) => buf.extend_from_slice(inner.raw),
                Err(malformed) => written = Err(malformed),
            }
        }
    });
    written
}

/// The labels of each series of a request, for a log: text that is not UTF-8 is shown with replacement characters.
pub fn series_labels(request: &[u8]) -> Result<Vec<Vec<(String, String)>>, Malformed> {
    let parts = Parts::of(request)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut all = Vec::with_capacity(parts.series.len());
    for series in &parts.series {
        let mut labels = Vec::new();
        for field in Fields::new(series) {
            let field = field?;
            if field.number == LABELS {
                let pairs = parts.labels(field.bytes()?)?;
                labels.extend(pairs.into_iter().map(|(name, value)| (text(name), text(value))));
            }
        }
        all.push(labels);
    }
    Ok(all)
}
