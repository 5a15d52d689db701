//! Adding values that meet: numbers, and distributions over the same bounds.

use steadyline_telemetry::metrics::{Buckets, ExponentialHistogramView, HistogramView};
use steadyline_telemetry::wire::{FieldData, Reader, put_bytes, put_fixed64, put_tag, put_uint, put_varint};
use steadyline_telemetry::{MetricKind, NumberKind};

/// The widest run of exponential buckets that adding may make; OTLP senders use 160.
const MAX_BUCKETS: i64 = 4096;

/// The sum of two numbers, each as (kind, bits): whole while both are and it fits, else a double.
pub(crate) fn add_numbers(a: (NumberKind, u64), b: (NumberKind, u64)) -> (NumberKind, u64) {
    if let (NumberKind::Int, NumberKind::Int) = (a.0, b.0)
        && let Some(sum) = (a.1 as i64).checked_add(b.1 as i64)
    {
        return (NumberKind::Int, sum as u64);
    }
    (NumberKind::Double, (double(a) + double(b)).to_bits())
}

fn double((kind, bits): (NumberKind, u64)) -> f64 {
    match kind {
        NumberKind::Int => bits as i64 as f64,
        NumberKind::Double => f64::from_bits(bits),
        NumberKind::None | NumberKind::Body => 0.0,
    }
}

/// The sum of two distributions as a point's message; `None` if they cannot be added without loss.
pub(crate) fn add_bodies(kind: MetricKind, a: &[u8], b: &[u8]) -> Option<Vec<u8>> {
    match kind {
        MetricKind::Histogram { .. } => add_histograms(a, b),
        MetricKind::ExponentialHistogram { .. } => add_exponential(a, b),
        _ => None,
    }
}

fn add_histograms(a: &[u8], b: &[u8]) -> Option<Vec<u8>> {
    let (left, right) = (HistogramView::new(a), HistogramView::new(b));
    let bits = |view: &HistogramView<'_>| view.bounds().map(f64::to_bits).collect::<Vec<_>>();
    let counts = |view: &HistogramView<'_>| view.bucket_counts().collect::<Vec<_>>();
    let (bounds, left_counts, right_counts) = (bits(&left), counts(&left), counts(&right));
    if bounds != bits(&right) || left_counts.len() != right_counts.len() {
        return None;
    }
    let mut out = Vec::with_capacity(a.len().max(b.len()));
    put_fixed64(&mut out, 4, left.count.checked_add(right.count)?);
    put_double(&mut out, 5, left.sum.zip(right.sum).map(|(a, b)| a + b));
    let sums: Option<Vec<u64>> = left_counts.iter().zip(right_counts).map(|(a, b)| a.checked_add(b)).collect();
    put_packed(&mut out, 6, &sums?);
    put_packed(&mut out, 7, &bounds);
    put_double(&mut out, 11, left.min.zip(right.min).map(|(a, b)| a.min(b)));
    put_double(&mut out, 12, left.max.zip(right.max).map(|(a, b)| a.max(b)));
    copy_fields(&mut out, 8, [a, b]);
    Some(out)
}

fn add_exponential(a: &[u8], b: &[u8]) -> Option<Vec<u8>> {
    let (left, right) = (ExponentialHistogramView::new(a), ExponentialHistogramView::new(b));
    if left.scale != right.scale || left.zero_threshold.to_bits() != right.zero_threshold.to_bits() {
        return None;
    }
    let mut out = Vec::with_capacity(a.len() + b.len());
    put_fixed64(&mut out, 4, left.count.checked_add(right.count)?);
    put_double(&mut out, 5, left.sum.zip(right.sum).map(|(a, b)| a + b));
    put_uint(&mut out, 6, zigzag(left.scale));
    put_fixed64(&mut out, 7, left.zero_count.checked_add(right.zero_count)?);
    for (number, buckets) in
        [(8, add_buckets(&left.positive, &right.positive)?), (9, add_buckets(&left.negative, &right.negative)?)]
    {
        let mut message = Vec::new();
        put_uint(&mut message, 1, zigzag(buckets.offset));
        let mut counts = Vec::new();
        buckets.counts.iter().for_each(|&count| put_varint(&mut counts, count));
        put_bytes(&mut message, 2, &counts);
        if !buckets.counts.is_empty() {
            put_bytes(&mut out, number, &message);
        }
    }
    put_double(&mut out, 12, left.min.zip(right.min).map(|(a, b)| a.min(b)));
    put_double(&mut out, 13, left.max.zip(right.max).map(|(a, b)| a.max(b)));
    put_double(&mut out, 14, Some(left.zero_threshold).filter(|threshold| *threshold != 0.0));
    copy_fields(&mut out, 11, [a, b]);
    Some(out)
}

fn add_buckets(a: &Buckets, b: &Buckets) -> Option<Buckets> {
    let (a, b) = match (a.counts.is_empty(), b.counts.is_empty()) {
        (_, true) => return Some(a.clone()),
        (true, _) => return Some(b.clone()),
        _ => (a, b),
    };
    let end = |buckets: &Buckets| i64::from(buckets.offset) + buckets.counts.len() as i64;
    let offset = a.offset.min(b.offset);
    let width = end(a).max(end(b)) - i64::from(offset);
    if width > MAX_BUCKETS {
        return None;
    }
    let mut counts = vec![0_u64; width as usize];
    for buckets in [a, b] {
        let first = (i64::from(buckets.offset) - i64::from(offset)) as usize;
        for (sum, count) in counts[first..].iter_mut().zip(&buckets.counts) {
            *sum = sum.checked_add(*count)?;
        }
    }
    Some(Buckets { offset, counts })
}

fn put_double(out: &mut Vec<u8>, number: u32, value: Option<f64>) {
    if let Some(value) = value {
        put_fixed64(out, number, value.to_bits());
    }
}

fn put_packed(out: &mut Vec<u8>, number: u32, words: &[u64]) {
    if !words.is_empty() {
        put_tag(out, number, steadyline_telemetry::wire::LEN);
        put_varint(out, words.len() as u64 * 8);
        words.iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
    }
}

/// Copies the length-delimited fields of a number from messages that were checked when they were decoded.
fn copy_fields(out: &mut Vec<u8>, number: u32, messages: [&[u8]; 2]) {
    for message in messages {
        let mut reader = Reader::new(message);
        while let Ok(Some(field)) = reader.field() {
            if let (true, FieldData::Len(inner)) = (field.number == number, field.data) {
                put_bytes(out, number, inner.rest());
            }
        }
    }
}

fn zigzag(value: i32) -> u64 {
    u64::from((value << 1 ^ value >> 31) as u32)
}

#[cfg(test)]
mod tests {
    use steadyline_telemetry::Temporality;

    use super::*;

    const HISTOGRAM: MetricKind = MetricKind::Histogram { temporality: Temporality::Delta };
    const EXPONENTIAL: MetricKind = MetricKind::ExponentialHistogram { temporality: Temporality::Delta };

    fn histogram(sum: Option<f64>, counts: &[u64], bounds: &[f64]) -> Vec<u8> {
        let mut out = Vec::new();
        put_fixed64(&mut out, 4, counts.iter().sum());
        put_double(&mut out, 5, sum);
        put_packed(&mut out, 6, counts);
        put_packed(&mut out, 7, &bounds.iter().map(|bound| bound.to_bits()).collect::<Vec<_>>());
        put_double(&mut out, 11, Some(counts[0] as f64));
        out
    }

    fn exponential(scale: i32, offset: i32, counts: &[u64]) -> Vec<u8> {
        let mut out = Vec::new();
        put_fixed64(&mut out, 4, counts.iter().sum());
        put_uint(&mut out, 6, zigzag(scale));
        let mut message = Vec::new();
        put_uint(&mut message, 1, zigzag(offset));
        counts.iter().for_each(|&count| put_uint(&mut message, 2, count));
        put_bytes(&mut out, 8, &message);
        out
    }

    #[test]
    fn numbers_stay_whole_while_they_can() {
        let int = |n: i64| (NumberKind::Int, n as u64);
        let double = |n: f64| (NumberKind::Double, n.to_bits());
        for (a, b, sum) in [
            (int(5), int(-7), int(-2)),
            (int(1), double(0.5), double(1.5)),
            (double(0.25), double(0.5), double(0.75)),
            (int(i64::MAX), int(1), double(i64::MAX as f64 + 1.0)),
        ] {
            assert_eq!(add_numbers(a, b), sum);
        }
    }

    #[test]
    fn histograms_over_equal_bounds_are_added_and_others_are_not() {
        let a = histogram(Some(1.5), &[1, 2, 3], &[1.0, 2.0]);
        let b = histogram(Some(2.5), &[4, 0, 1], &[1.0, 2.0]);
        let sum = add_bodies(HISTOGRAM, &a, &b).unwrap();
        let view = HistogramView::new(&sum);
        assert_eq!((view.count, view.sum, view.min, view.max), (11, Some(4.0), Some(1.0), None));
        assert_eq!(view.bucket_counts().collect::<Vec<_>>(), [5, 2, 4]);
        assert_eq!(view.bounds().collect::<Vec<_>>(), [1.0, 2.0]);
        assert_eq!(add_bodies(HISTOGRAM, &a, &histogram(Some(1.0), &[1, 2, 3], &[1.0, 3.0])), None);
        let unsummed = add_bodies(HISTOGRAM, &a, &histogram(None, &[1, 0, 0], &[1.0, 2.0])).unwrap();
        assert_eq!(HistogramView::new(&unsummed).sum, None);
    }

    #[test]
    fn exponential_histograms_of_one_scale_are_added_by_bucket() {
        let sum = add_bodies(EXPONENTIAL, &exponential(3, -2, &[1, 2]), &exponential(3, 1, &[4, 5])).unwrap();
        let view = ExponentialHistogramView::new(&sum);
        assert_eq!((view.count, view.scale), (12, 3));
        assert_eq!(view.positive, Buckets { offset: -2, counts: vec![1, 2, 0, 4, 5] });
        for other in [exponential(4, 0, &[1]), exponential(3, i32::MAX - 9, &[1])] {
            assert_eq!(add_bodies(EXPONENTIAL, &exponential(3, -2, &[1, 2]), &other), None);
        }
    }

    #[test]
    fn summaries_are_never_added() {
        assert_eq!(add_bodies(MetricKind::Summary, &[], &[]), None);
    }
}
