//! Remote write messages, written by hand into a buffer that the caller keeps: [`rw1`] is version 1.0, [`rw2`] is 2.0-rc.4.
//! Proto3 rules: a field with its default value is left out; -0.0 is not the default, and is written.

mod histogram;
mod read;
pub mod rw1;
pub mod rw2;
mod symbols;

pub(crate) use histogram::{put_deltas, put_spans};
pub use read::{Field, Fields, Malformed, Value};
pub use steadyline_telemetry::wire::{put_varint, varint_len};
pub use symbols::Symbols;

use crate::metric::{Exemplar, NativeHistogram};

/// What a request holds, as counted by [`rw1::count`] and [`rw2::count`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Time series, each with its labels.
    pub series: usize,
    /// Float samples.
    pub samples: usize,
    /// Native histograms.
    pub histograms: usize,
    /// Exemplars.
    pub exemplars: usize,
    /// Descriptions of metrics: messages of their own in 1.0, part of a series in 2.0.
    pub metadata: usize,
}

/// One float sample.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sample {
    /// Bits of the value, see [`crate::values::sample_bits`].
    pub value_bits: u64,
    /// Milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// When the counting began, in milliseconds since the Unix epoch. Version 2.0 only; 1.0 cannot say it.
    pub start_ms: Option<i64>,
}

/// One native histogram and its time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HistogramSample<'a> {
    /// The histogram.
    pub histogram: NativeHistogram<'a>,
    /// Milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// When the counting began, in milliseconds since the Unix epoch. Version 2.0 only.
    pub start_ms: Option<i64>,
}

/// Everything that one series sends at once, in order of time. Samples and histograms exclude each other.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Points<'a> {
    /// Float samples.
    pub samples: &'a [Sample],
    /// Native histograms.
    pub histograms: &'a [HistogramSample<'a>],
    /// Exemplars; one without a timestamp is not valid here and is left out.
    pub exemplars: &'a [Exemplar<'a>],
}

/// How a field's value is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireType {
    /// A variable-length integer.
    Varint = 0,
    /// Eight bytes, little end first.
    Fixed64 = 1,
    /// A length, then that many bytes.
    Bytes = 2,
    /// Four bytes, little end first.
    Fixed32 = 5,
}

/// Maps a signed integer so that small magnitudes are short: protobuf's `sint32` and `sint64`.
#[inline]
pub const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// Appends a field's number and layout.
#[inline]
pub fn put_tag(buf: &mut Vec<u8>, field: u32, wire_type: WireType) {
    put_varint(buf, u64::from(field) << 3 | wire_type as u64);
}

/// Appends an integer field, unless it is 0.
pub fn put_uint(buf: &mut Vec<u8>, field: u32, value: u64) {
    if value != 0 {
        put_tag(buf, field, WireType::Varint);
        put_varint(buf, value);
    }
}

/// Appends a `double` field from its bits, unless they are those of +0.0.
pub fn put_double(buf: &mut Vec<u8>, field: u32, bits: u64) {
    if bits != 0 {
        put_tag(buf, field, WireType::Fixed64);
        buf.extend_from_slice(&bits.to_le_bytes());
    }
}

/// Appends a string or bytes field, also when it is empty.
pub fn put_bytes(buf: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    put_tag(buf, field, WireType::Bytes);
    put_varint(buf, bytes.len() as u64);
    buf.extend_from_slice(bytes);
}

/// Appends a field that holds whatever `write` appends: a message, or packed numbers.
///
/// One byte is kept free for the length; a body of 128 bytes and more is moved to make room. Where a length is cheap to
/// know beforehand, writing it first is faster.
pub fn put_len_prefixed(buf: &mut Vec<u8>, field: u32, write: impl FnOnce(&mut Vec<u8>)) {
    put_tag(buf, field, WireType::Bytes);
    put_with_len(buf, write);
}

/// As [`put_len_prefixed`], without a field number: the framing of delimited streams.
pub fn put_with_len(buf: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let at = buf.len();
    buf.push(0);
    write(buf);
    patch_len(buf, at);
}

/// Writes the length of everything behind the byte kept free at `at`, moving it if one byte is not enough.
pub(crate) fn patch_len(buf: &mut Vec<u8>, at: usize) {
    let body = at + 1;
    let len = buf.len() - body;
    let more = varint_len(len as u64) - 1;
    if more > 0 {
        let end = buf.len();
        buf.resize(end + more, 0);
        buf.copy_within(body..end, body + more);
    }
    let mut rest = len;
    for byte in &mut buf[at..at + more] {
        *byte = rest as u8 | 0x80;
        rest >>= 7;
    }
    buf[at + more] = rest as u8;
}

/// Version 2.0 reads a start time of 0 as "unset": a true 0 is moved by one millisecond.
fn start_time(start_ms: Option<i64>) -> u64 {
    match start_ms {
        None => 0,
        Some(0) => 1,
        Some(millis) => millis as u64,
    }
}

/// Where to cut `sizes` so that both sides hold about the same number of bytes and at least one element.
fn middle(sizes: impl ExactSizeIterator<Item = usize> + Clone) -> Option<usize> {
    let (count, total) = (sizes.len(), sizes.clone().sum::<usize>());
    if count < 2 {
        return None;
    }
    let mut before = 0;
    let full = sizes.take_while(|size| {
        before += size;
        before * 2 <= total
    });
    Some(full.count().clamp(1, count - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_have_the_length_that_is_promised() {
        let edges = (0..64).flat_map(|bit| [(1u64 << bit) - 1, 1 << bit, (1 << bit) + 1]);
        for value in edges.chain([0, u64::MAX]) {
            let mut buf = Vec::new();
            put_varint(&mut buf, value);
            assert_eq!(buf.len(), varint_len(value), "{value}");
        }
    }

    #[test]
    fn a_patched_length_reads_back_at_every_size() {
        for size in [0, 1, 127, 128, 129, 16_383, 16_384, 3_000_000] {
            let mut buf = vec![9];
            put_len_prefixed(&mut buf, 3, |buf| buf.resize(buf.len() + size, 7));
            let field = Fields::new(&buf[1..]).next().expect("one field").expect("well formed");
            assert_eq!(field.number, 3);
            assert_eq!(field.value, Value::Bytes(&vec![7; size]));
        }
    }

    #[test]
    fn zigzag_keeps_small_magnitudes_small() {
        for (value, mapped) in [(0, 0), (-1, 1), (1, 2), (i64::MAX, u64::MAX - 1), (i64::MIN, u64::MAX)] {
            assert_eq!(zigzag(value), mapped);
        }
    }

    #[test]
    fn the_middle_leaves_something_on_both_sides() {
        for (sizes, cut) in [
            (vec![], None),
            (vec![5], None),
            (vec![1, 1], Some(1)),
            (vec![100, 1, 1], Some(1)),
            (vec![1, 1, 100], Some(2)),
            (vec![5, 5, 5, 5], Some(2)),
        ] {
            assert_eq!(middle(sizes.iter().copied()), cut, "{sizes:?}");
        }
    }
}
