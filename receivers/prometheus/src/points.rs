//! The messages of OTLP data points that are more than a number: histograms, summaries, exponential histograms, exemplars.
//! Written as bytes, as batches hold them. Source: opentelemetry-proto, `metrics.proto`.

use steadyline_prometheus::{NativeHistogram, Span, is_stale};
use steadyline_scrape::Labels;
use steadyline_telemetry::wire::{LEN, len_field, put_bytes, put_fixed64, put_tag, put_varint};

/// The field of exemplars in a number's point.
pub(crate) const IN_NUMBER: u32 = 5;
/// The field of exemplars in a histogram's point.
pub(crate) const IN_HISTOGRAM: u32 = 8;
/// The field of exemplars in an exponential histogram's point.
pub(crate) const IN_EXPONENTIAL: u32 = 11;

/// More buckets than this are not written out one by one: a few bytes of input would become gigabytes.
const MAX_BUCKETS: i64 = 20_000;

/// Appends a histogram. `buckets` are bounds and cumulative counts, by bounds; what they lack against `count` is in the
/// bucket above the last bound.
pub(crate) fn put_histogram(out: &mut Vec<u8>, count: u64, sum: Option<f64>, buckets: &[(f64, u64)]) {
    put_fixed64(out, 4, count);
    if let Some(sum) = sum {
        put_fixed64(out, 5, sum.to_bits());
    }
    if buckets.is_empty() {
        return;
    }
    let finite = || buckets.iter().filter(|(bound, _)| *bound != f64::INFINITY);
    put_tag(out, 6, LEN);
    put_varint(out, (finite().count() + 1) as u64 * 8);
    let mut below = 0;
    for (_, cumulative) in finite() {
        out.extend_from_slice(&(cumulative - below).to_le_bytes());
        below = *cumulative;
    }
    out.extend_from_slice(&(count - below).to_le_bytes());
    if finite().next().is_some() {
        put_tag(out, 7, LEN);
        put_varint(out, finite().count() as u64 * 8);
        finite().for_each(|(bound, _)| out.extend_from_slice(&bound.to_le_bytes()));
    }
}

/// Appends a summary of quantiles and their values.
pub(crate) fn put_summary(out: &mut Vec<u8>, count: u64, sum: f64, quantiles: &[(f64, f64)]) {
    put_fixed64(out, 4, count);
    put_fixed64(out, 5, sum.to_bits());
    for (quantile, value) in quantiles {
        put_tag(out, 6, LEN);
        put_varint(out, 18);
        put_fixed64(out, 1, quantile.to_bits());
        put_fixed64(out, 2, value.to_bits());
    }
}

/// Appends a native histogram: exponential, or with explicit bounds if it has custom ones. False, and nothing is
/// appended, if it has too many buckets to be written out.
pub(crate) fn put_native(out: &mut Vec<u8>, native: &NativeHistogram<'_>) -> bool {
    if native.schema == CUSTOM_BOUNDS {
        return put_custom(out, native);
    }
    let (Some(positive), Some(negative)) =
        (dense(native.positive.spans, native.positive.deltas), dense(native.negative.spans, native.negative.deltas))
    else {
        return false;
    };
    put_fixed64(out, 4, native.count);
    if !is_stale(native.sum_bits) {
        put_fixed64(out, 5, native.sum_bits);
    }
    put_tag(out, 6, 0);
    put_varint(out, zigzag(native.schema));
    put_fixed64(out, 7, native.zero_count);
    put_buckets(out, 8, &positive);
    put_buckets(out, 9, &negative);
    put_fixed64(out, 14, native.zero_threshold.to_bits());
    true
}

/// The schema of native histograms with custom bounds.
pub(crate) const CUSTOM_BOUNDS: i32 = -53;

fn put_custom(out: &mut Vec<u8>, native: &NativeHistogram<'_>) -> bool {
    let Some((offset, counts)) = dense(native.positive.spans, native.positive.deltas) else { return false };
    let mut cumulative = 0;
    let buckets: Vec<(f64, u64)> = (0i64..)
        .zip(native.custom_bounds)
        .map(|(at, bound)| {
            let count = usize::try_from(at - i64::from(offset)).ok().and_then(|at| counts.get(at));
            cumulative += count.copied().unwrap_or_default();
            (*bound, cumulative)
        })
        .collect();
    if cumulative > native.count {
        return false;
    }
    put_histogram(out, native.count, Some(f64::from_bits(native.sum_bits)), &buckets);
    true
}

/// The index of the first bucket and the counts of all up to the last; `None` if there are too many.
fn dense(spans: &[Span], deltas: &[i64]) -> Option<(i32, Vec<u64>)> {
    let gaps = spans.iter().skip(1).map(|span| i64::from(span.offset));
    let width: i64 = spans.iter().map(|span| i64::from(span.length)).chain(gaps).fold(0i64, i64::saturating_add);
    if width > MAX_BUCKETS {
        return None;
    }
    let mut counts = Vec::with_capacity(width.max(0) as usize);
    let (mut count, mut deltas) = (0i64, deltas.iter());
    for (at, span) in spans.iter().enumerate() {
        if at > 0 {
            counts.resize(counts.len() + usize::try_from(span.offset).ok()?, 0);
        }
        for delta in deltas.by_ref().take(span.length as usize) {
            count += delta;
            counts.push(u64::try_from(count).ok()?);
        }
    }
    Some((spans.first().map_or(0, |span| span.offset), counts))
}

/// Prometheus counts a bucket by its upper bound, OTLP by its lower one.
fn put_buckets(out: &mut Vec<u8>, field: u32, (first, counts): &(i32, Vec<u64>)) {
    if counts.is_empty() {
        return;
    }
    let mut message = Vec::with_capacity(counts.len() * 2 + 16);
    put_tag(&mut message, 1, 0);
    put_varint(&mut message, zigzag(first.saturating_sub(1)));
    let mut packed = Vec::with_capacity(counts.len() * 2);
    counts.iter().for_each(|count| put_varint(&mut packed, *count));
    put_bytes(&mut message, 2, &packed);
    put_bytes(out, field, &message);
}

fn zigzag(value: i32) -> u64 {
    u64::from(((value << 1) ^ (value >> 31)) as u32)
}

/// Appends an exemplar as the given field of a point. `time` in nanoseconds. Labels `trace_id` and `span_id` that are ids
/// become ids.
pub(crate) fn put_exemplar(out: &mut Vec<u8>, field: u32, value: f64, time: u64, labels: &Labels) {
    let mut message = Vec::with_capacity(64);
    if time > 0 {
        put_fixed64(&mut message, 2, time);
    }
    put_fixed64(&mut message, 3, value.to_bits());
    for (name, value) in labels.iter() {
        match name {
            "trace_id" if put_id(&mut message, 5, value, 16) => {}
            "span_id" if put_id(&mut message, 4, value, 8) => {}
            _ => put_attribute(&mut message, 7, name, value),
        }
    }
    put_bytes(out, field, &message);
}

/// Appends an id of so many bytes, written in hexadecimal digits; false if it is none.
fn put_id(out: &mut Vec<u8>, field: u32, text: &str, len: usize) -> bool {
    if text.len() != len * 2 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return false;
    }
    let id: Vec<u8> = (0..len).filter_map(|at| u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).ok()).collect();
    put_bytes(out, field, &id);
    true
}

fn put_attribute(out: &mut Vec<u8>, field: u32, name: &str, value: &str) {
    let any = len_field(value.len());
    put_tag(out, field, LEN);
    put_varint(out, (len_field(name.len()) + len_field(any)) as u64);
    put_bytes(out, 1, name.as_bytes());
    put_tag(out, 2, LEN);
    put_varint(out, any as u64);
    put_bytes(out, 1, value.as_bytes());
}

#[cfg(test)]
mod tests {
    use steadyline_prometheus::{Buckets, ResetHint};
    use steadyline_telemetry::metrics::{ExponentialHistogramView, HistogramView, SummaryView, exemplars};

    use super::*;

    #[test]
    fn histograms_and_summaries_read_back() {
        let mut body = Vec::new();
        put_histogram(&mut body, 10, Some(2.5), &[(1.0, 3), (2.0, 7), (f64::INFINITY, 10)]);
        let view = HistogramView::new(&body);
        assert_eq!((view.count, view.sum), (10, Some(2.5)));
        assert_eq!(view.bounds().collect::<Vec<_>>(), [1.0, 2.0]);
        assert_eq!(view.bucket_counts().collect::<Vec<_>>(), [3, 4, 3]);
        let mut body = Vec::new();
        put_summary(&mut body, 3, 1.5, &[(0.5, 4.0), (0.9, f64::NAN)]);
        let view = SummaryView::new(&body);
        assert_eq!((view.count, view.sum), (3, 1.5));
        let quantiles: Vec<_> = view.quantiles().collect();
        assert_eq!(quantiles[0], (0.5, 4.0));
        assert!(quantiles[1].1.is_nan());
    }

    #[test]
    fn native_histograms_become_exponential_ones() {
        let spans = [Span { offset: 4, length: 2 }, Span { offset: 2, length: 1 }];
        let native = NativeHistogram {
            schema: 3,
            zero_threshold: 1e-128,
            zero_count: 1,
            count: 36,
            sum_bits: 7.5f64.to_bits(),
            positive: Buckets { spans: &spans, deltas: &[10, 10, -15] },
            negative: Buckets::default(),
            custom_bounds: &[],
            reset_hint: ResetHint::Unknown,
        };
        let mut body = Vec::new();
        assert!(put_native(&mut body, &native));
        let view = ExponentialHistogramView::new(&body);
        assert_eq!((view.scale, view.count, view.zero_count, view.sum), (3, 36, 1, Some(7.5)));
        assert_eq!((view.positive.offset, view.positive.counts), (3, vec![10, 20, 0, 0, 5]));

        let bounds = [1.0, 2.0, 4.0];
        let spans = [Span { offset: 1, length: 2 }];
        let positive = Buckets { spans: &spans, deltas: &[5, -3] };
        let custom =
            NativeHistogram { schema: -53, custom_bounds: &bounds, positive, zero_count: 0, count: 8, ..native };
        let mut body = Vec::new();
        assert!(put_native(&mut body, &custom));
        let view = HistogramView::new(&body);
        assert_eq!(view.bucket_counts().collect::<Vec<_>>(), [0, 5, 2, 1]);

        let wide = [Span { offset: 0, length: 1 }, Span { offset: i32::MAX, length: 1 }];
        let positive = Buckets { spans: &wide, deltas: &[1, 0] };
        let mut body = Vec::new();
        assert!(!put_native(&mut body, &NativeHistogram { positive, ..native }));
        assert!(body.is_empty());
    }

    #[test]
    fn exemplars_keep_their_ids_and_labels() {
        let labels = Labels::from_iter([
            ("trace_id", "0102030405060708090a0b0c0d0e0f10"),
            ("span_id", "not an id"),
            ("user", "a"),
        ]);
        let mut body = Vec::new();
        put_exemplar(&mut body, IN_NUMBER, 0.25, 5_000_000, &labels);
        let all: Vec<_> = exemplars(&body, IN_NUMBER).collect();
        assert_eq!((all[0].value, all[0].time, all[0].trace_id[15]), (0.25, 5_000_000, 16));
        let kept: Vec<_> = all[0].filtered_attributes().map(|(name, value)| (name, value.as_str().unwrap())).collect();
        assert_eq!(kept, [("span_id", "not an id"), ("user", "a")]);
    }
}
