//! Remote write 1.0: `prometheus.WriteRequest`. A request is its series one after another, so writing needs no builder:
//! append series to a buffer, and the buffer is the request.

use std::borrow::Cow;

use super::{
    Counts, Fields, Malformed, Points, Sample, WireType, histogram, middle, put_bytes, put_double, put_len_prefixed,
    put_uint, put_varint, varint_len,
};
use crate::metric::{Exemplar, MetricKind};

const SERIES: u32 = 1;
const METADATA: u32 = 3;
/// Tags of fields 1 and 2 with a length, and of a sample's value and timestamp.
const TAG_1: u8 = 1 << 3 | WireType::Bytes as u8;
const TAG_2: u8 = 2 << 3 | WireType::Bytes as u8;
const TAG_VALUE: u8 = 1 << 3 | WireType::Fixed64 as u8;
const TAG_TIME: u8 = 2 << 3 | WireType::Varint as u8;

/// Everything of a label that depends on its name only, encoded: make it once per name, use it for every series that has it.
/// That is the name's field, and the tag of the value that follows.
pub fn label_name_prefix(name: &str) -> Box<[u8]> {
    let mut out = Vec::with_capacity(name.len() + 3);
    put_bytes(&mut out, 1, name.as_bytes());
    out.push(TAG_2);
    out.into_boxed_slice()
}

/// Appends a series with one float sample: the hot path.
///
/// `labels` are pairs of an encoded name ([`label_name_prefix`]) and a value, `__name__` among them, sorted by name in byte
/// order, without empty values; they are walked twice. `value_bits` as of [`crate::values::sample_bits`].
#[inline]
pub fn put_series<'a>(
    buf: &mut Vec<u8>,
    labels: impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone,
    value_bits: u64,
    timestamp_ms: i64,
) {
    let sample_len = sample_len(value_bits, timestamp_ms);
    let len = labels_len(labels.clone()) + 2 + sample_len;
    buf.reserve(len + 11);
    put_tag_len(buf, TAG_1, len);
    put_labels(buf, labels);
    put_sample(buf, value_bits, timestamp_ms, sample_len);
}

/// Appends a series with any number of points. Labels as for [`put_series`]; start times cannot be said in 1.0.
pub fn put_points<'a>(buf: &mut Vec<u8>, labels: impl Iterator<Item = (&'a [u8], &'a [u8])>, points: &Points<'_>) {
    put_len_prefixed(buf, SERIES, |buf| {
        put_labels(buf, labels);
        for Sample { value_bits, timestamp_ms, .. } in points.samples {
            put_sample(buf, *value_bits, *timestamp_ms, sample_len(*value_bits, *timestamp_ms));
        }
        for exemplar in points.exemplars {
            put_exemplar(buf, exemplar);
        }
        for sample in points.histograms {
            histogram::put(buf, 4, sample, false);
        }
    });
}

/// Appends the description of a metric family. `unit` is the Prometheus word, see [`crate::names::unit_words`].
pub fn put_metadata(buf: &mut Vec<u8>, kind: MetricKind, family: &str, help: &str, unit: &str) {
    put_len_prefixed(buf, METADATA, |buf| {
        put_uint(buf, 1, kind as u64);
        for (field, text) in [(2, family), (4, help), (5, unit)] {
            if !text.is_empty() {
                put_bytes(buf, field, text.as_bytes());
            }
        }
    });
}

/// The length of a label's message, without tag and length.
#[inline]
fn label_len(name: &[u8], value: &[u8]) -> usize {
    name.len() + varint_len(value.len() as u64) + value.len()
}

#[inline]
fn labels_len<'a>(labels: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> usize {
    labels
        .map(|(name, value)| {
            let len = label_len(name, value);
            1 + varint_len(len as u64) + len
        })
        .sum()
}

#[inline]
fn put_labels<'a>(buf: &mut Vec<u8>, labels: impl Iterator<Item = (&'a [u8], &'a [u8])>) {
    for (name, value) in labels {
        put_tag_len(buf, TAG_1, label_len(name, value));
        buf.extend_from_slice(name);
        put_varint(buf, value.len() as u64);
        buf.extend_from_slice(value);
    }
}

/// A tag of one byte, then a length: one copy of two bytes in the usual case.
#[inline]
fn put_tag_len(buf: &mut Vec<u8>, tag: u8, len: usize) {
    if len < 0x80 {
        buf.extend_from_slice(&[tag, len as u8]);
    } else {
        buf.push(tag);
        put_varint(buf, len as u64);
    }
}

#[inline]
fn sample_len(value_bits: u64, timestamp_ms: i64) -> usize {
    let value = if value_bits == 0 { 0 } else { 9 };
    let time = if timestamp_ms == 0 { 0 } else { 1 + varint_len(timestamp_ms as u64) };
    value + time
}

#[inline]
fn put_sample(buf: &mut Vec<u8>, value_bits: u64, timestamp_ms: i64, len: usize) {
    // At most 20 bytes: the length is one byte.
    buf.extend_from_slice(&[TAG_2, len as u8]);
    if value_bits != 0 {
        buf.push(TAG_VALUE);
        buf.extend_from_slice(&value_bits.to_le_bytes());
    }
    if timestamp_ms != 0 {
        buf.push(TAG_TIME);
        put_varint(buf, timestamp_ms as u64);
    }
}

fn put_exemplar(buf: &mut Vec<u8>, exemplar: &Exemplar<'_>) {
    let Some(timestamp_ms) = exemplar.timestamp_ms else {
        return;
    };
    put_len_prefixed(buf, 3, |buf| {
        for (name, value) in exemplar.labels {
            put_label(buf, name.as_bytes(), value.as_bytes());
        }
        put_double(buf, 2, exemplar.value.to_bits());
        put_uint(buf, 3, timestamp_ms as u64);
    });
}

/// Appends a label whose name is not encoded yet.
pub(super) fn put_label(buf: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    put_len_prefixed(buf, 1, |buf| {
        put_bytes(buf, 1, name);
        put_bytes(buf, 2, value);
    });
}

/// Cuts a request in two of about the same size, between two of its series or descriptions; their bytes are moved, not
/// decoded. `None` if there is nothing to cut: fewer than two of them, or bytes that are no request.
pub fn split(request: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let sizes: Vec<usize> =
        Fields::new(request).map(|field| field.map(|field| field.raw.len())).collect::<Result<_, _>>().ok()?;
    let cut = middle(sizes.iter().copied())?;
    let (first, second) = request.split_at(sizes[..cut].iter().sum());
    Some((first.to_vec(), second.to_vec()))
}

/// Sorts the series of a request into lanes, by their encoded labels; their bytes are moved, not decoded. Descriptions go
/// to the first lane.
///
/// # Errors
/// The bytes are no request; some of it may have been moved.
pub fn spread(request: &[u8], lanes: &mut [Vec<u8>], lane: impl Fn(&[u8]) -> usize) -> Result<(), Malformed> {
    for field in Fields::new(request) {
        let field = field?;
        let to = if field.number == SERIES { lane(labels_of(field.bytes()?)?) } else { 0 };
        if let Some(to) = lanes.get_mut(to) {
            to.extend_from_slice(field.raw);
        }
    }
    Ok(())
}

/// The encoded labels that a series begins with.
fn labels_of(series: &[u8]) -> Result<&[u8], Malformed> {
    let mut end = 0;
    for field in Fields::new(series) {
        let field = field?;
        if field.number != 1 {
            break;
        }
        end += field.raw.len();
    }
    Ok(&series[..end])
}

/// Counts what a request holds.
pub fn count(request: &[u8]) -> Result<Counts, Malformed> {
    let mut counts = Counts::default();
    for field in Fields::new(request) {
        let field = field?;
        match field.number {
            SERIES => {
                counts.series += 1;
                count_series(field.bytes()?, &mut counts)?;
            }
            METADATA => counts.metadata += 1,
            _ => {}
        }
    }
    Ok(counts)
}

fn count_series(series: &[u8], counts: &mut Counts) -> Result<(), Malformed> {
    for field in Fields::new(series) {
        match field?.number {
            2 => counts.samples += 1,
            3 => counts.exemplars += 1,
            4 => counts.histograms += 1,
            _ => {}
        }
    }
    Ok(())
}

/// The series of a request, each as the bytes of its message. Ends where the bytes are no request any more.
pub fn series(request: &[u8]) -> impl Iterator<Item = &[u8]> {
    Fields::new(request)
        .map_while(Result::ok)
        .filter(|field| field.number == SERIES)
        .filter_map(|field| field.bytes().ok())
}

/// The labels of a series, for a log: text that is not UTF-8 is shown with replacement characters.
pub fn series_labels(series: &[u8]) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    Fields::new(series)
        .map_while(Result::ok)
        .filter(|field| field.number == 1)
        .filter_map(|field| field.bytes().ok())
        .map(label)
}

fn label(message: &[u8]) -> (Cow<'_, str>, Cow<'_, str>) {
    let mut pair = (Cow::Borrowed(""), Cow::Borrowed(""));
    for field in Fields::new(message).map_while(Result::ok) {
        let text = String::from_utf8_lossy(field.bytes().unwrap_or_default());
        match field.number {
            1 => pair.0 = text,
            2 => pair.1 = text,
            _ => {}
        }
    }
    pair
}
