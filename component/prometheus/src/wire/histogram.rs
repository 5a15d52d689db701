//! Native histograms on the wire: one message, the same in both versions of remote write.

use super::{
    HistogramSample, WireType, put_double, put_len_prefixed, put_tag, put_uint, put_varint, start_time, zigzag,
};
use crate::metric::{NativeHistogram, ResetHint, Span};

/// Appends a `Histogram` message as field `field`; `with_start` only for version 2.0.
pub(super) fn put(buf: &mut Vec<u8>, field: u32, sample: &HistogramSample<'_>, with_start: bool) {
    put_len_prefixed(buf, field, |buf| {
        put_body(buf, &sample.histogram);
        put_uint(buf, 15, sample.timestamp_ms as u64);
        put_bounds(buf, sample.histogram.custom_bounds);
        if with_start {
            put_uint(buf, 17, start_time(sample.start_ms));
        }
    });
}

fn put_body(buf: &mut Vec<u8>, histogram: &NativeHistogram<'_>) {
    // The counts are members of a oneof, and so are written even when they are 0.
    put_tag(buf, 1, WireType::Varint);
    put_varint(buf, histogram.count);
    put_double(buf, 3, histogram.sum_bits);
    put_uint(buf, 4, zigzag(histogram.schema.into()));
    put_double(buf, 5, histogram.zero_threshold.to_bits());
    put_tag(buf, 6, WireType::Varint);
    put_varint(buf, histogram.zero_count);
    put_spans(buf, 8, histogram.negative.spans);
    put_deltas(buf, 9, histogram.negative.deltas);
    put_spans(buf, 11, histogram.positive.spans);
    put_deltas(buf, 12, histogram.positive.deltas);
    if histogram.reset_hint != ResetHint::Unknown {
        put_uint(buf, 14, histogram.reset_hint as u64);
    }
}

/// Appends `BucketSpan` messages, each as field `field`.
pub(crate) fn put_spans(buf: &mut Vec<u8>, field: u32, spans: &[Span]) {
    for span in spans {
        put_len_prefixed(buf, field, |buf| {
            put_uint(buf, 1, zigzag(span.offset.into()));
            put_uint(buf, 2, span.length.into());
        });
    }
}

/// Appends packed `sint64` numbers.
pub(crate) fn put_deltas(buf: &mut Vec<u8>, field: u32, deltas: &[i64]) {
    if !deltas.is_empty() {
        put_len_prefixed(buf, field, |buf| {
            for delta in deltas {
                put_varint(buf, zigzag(*delta));
            }
        });
    }
}

fn put_bounds(buf: &mut Vec<u8>, bounds: &[f64]) {
    if !bounds.is_empty() {
        put_len_prefixed(buf, 16, |buf| {
            for bound in bounds {
                buf.extend_from_slice(&bound.to_le_bytes());
            }
        });
    }
}
