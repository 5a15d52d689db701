//! Exponential histograms of OTLP as native histograms of Prometheus: same bases, other indices, at most schema 8.

use steadyline_telemetry::metrics::ExponentialHistogramView;

use crate::metric::{Buckets, NativeHistogram, ResetHint, Span};
use crate::values::sample_bits;

/// The finest resolution that Prometheus knows; finer ones are scaled down.
pub const MAX_SCHEMA: i32 = 8;
/// The coarsest resolution that Prometheus knows; coarser ones are refused.
pub const MIN_SCHEMA: i32 = -4;
/// The width of the zero bucket where the source gives none.
pub const DEFAULT_ZERO_THRESHOLD: f64 = 1e-128;
/// Up to this many empty buckets are written out as zeros, because they take less room than a new span.
const MAX_FILLED_GAP: i64 = 1;

/// One half of an exponential histogram, as OTLP has it: bucket `i` counts what lies in (base^(offset+i), base^(offset+i+1)].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Side<'a> {
    /// The index of the first bucket.
    pub offset: i32,
    /// The counts of consecutive buckets.
    pub counts: &'a [u64],
}

/// A data point of an exponential histogram.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Exponential<'a> {
    /// The resolution: the base is 2^(2^-scale).
    pub scale: i32,
    /// All observations.
    pub count: u64,
    /// The sum of all observations, if it is known.
    pub sum: Option<f64>,
    /// Observations in the zero bucket.
    pub zero_count: u64,
    /// The width of the zero bucket; 0 means [`DEFAULT_ZERO_THRESHOLD`].
    pub zero_threshold: f64,
    /// Observations above zero.
    pub positive: Side<'a>,
    /// Observations below zero, by their absolute value.
    pub negative: Side<'a>,
}

impl<'a> Exponential<'a> {
    /// A data point of OTLP.
    pub fn of(view: &'a ExponentialHistogramView<'_>) -> Exponential<'a> {
        Exponential {
            scale: view.scale,
            count: view.count,
            sum: view.sum,
            zero_count: view.zero_count,
            zero_threshold: view.zero_threshold,
            positive: Side { offset: view.positive.offset, counts: &view.positive.counts },
            negative: Side { offset: view.negative.offset, counts: &view.negative.counts },
        }
    }
}

/// Why a data point cannot be a native histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Prometheus has no schema that coarse.
    #[error("scale {0} is below -4, the coarsest that a native histogram can have")]
    TooCoarse(i32),
    /// Without a sum there is no native histogram.
    #[error("the exponential histogram has no sum")]
    NoSum,
    /// A bucket's index leaves the range of 32 bits.
    #[error("the index of a bucket does not fit into 32 bits")]
    IndexOverflow,
    /// A count, or their sum, leaves the range of 63 bits.
    #[error("the counts of the buckets do not fit into 63 bits")]
    CountOverflow,
    /// Receivers answer 400 to the whole request.
    #[error("the count is {count}, but the buckets hold {buckets}")]
    CountMismatch {
        /// What the data point says.
        count: u64,
        /// What its buckets sum up to, the zero bucket included.
        buckets: u64,
    },
}

/// A native histogram that owns its buckets, and keeps their memory from one conversion to the next.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Native {
    schema: i32,
    zero_threshold: f64,
    zero_count: u64,
    count: u64,
    sum_bits: u64,
    positive: OwnedBuckets,
    negative: OwnedBuckets,
}

impl Native {
    /// Becomes the native form of `point`: scaled down to schema 8 where it is finer, indices moved by one (Prometheus
    /// names a bucket by its upper bound), empty buckets left out between spans. After a refusal its content is undefined.
    ///
    /// The count must be what the buckets hold; where the sum is not a number it may be more.
    pub fn convert(&mut self, point: &Exponential<'_>) -> Result<(), Refusal> {
        if point.scale < MIN_SCHEMA {
            return Err(Refusal::TooCoarse(point.scale));
        }
        let sum = point.sum.ok_or(Refusal::NoSum)?;
        check_count(point, sum)?;
        self.schema = point.scale.min(MAX_SCHEMA);
        self.zero_count = point.zero_count;
        self.zero_threshold = match point.zero_threshold {
            0.0 => DEFAULT_ZERO_THRESHOLD,
            threshold => threshold,
        };
        self.count = point.count;
        self.sum_bits = sample_bits(sum);
        let by = point.scale.abs_diff(self.schema);
        self.positive.fill(point.positive, by)?;
        self.negative.fill(point.negative, by)
    }

    /// The histogram, ready for an encoder. The reset hint is unknown: the receiver compares the counts.
    pub fn histogram(&self) -> NativeHistogram<'_> {
        NativeHistogram {
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count,
            count: self.count,
            sum_bits: self.sum_bits,
            positive: self.positive.buckets(),
            negative: self.negative.buckets(),
            custom_bounds: &[],
            reset_hint: ResetHint::Unknown,
        }
    }
}

/// Merges buckets until the scale is `by` smaller: 2^`by` buckets become one. Replaces the content of `out` with the
/// merged counts, empty ones included, and returns the index of the first.
pub fn downscale(side: Side<'_>, by: u32, out: &mut Vec<u64>) -> Result<i32, Refusal> {
    out.clear();
    let first = scaled(side.offset.into(), by);
    for (index, count) in merged(side, by) {
        let at = usize::try_from(index - first).map_err(|_| Refusal::IndexOverflow)?;
        out.resize(at, 0);
        out.push(count.ok_or(Refusal::CountOverflow)?);
    }
    let last = i64::from(side.offset) + side.counts.len().saturating_sub(1) as i64;
    out.resize(if side.counts.is_empty() { 0 } else { (scaled(last, by) - first + 1) as usize }, 0);
    i32::try_from(first).map_err(|_| Refusal::IndexOverflow)
}

fn check_count(point: &Exponential<'_>, sum: f64) -> Result<(), Refusal> {
    let mut counts = point.positive.counts.iter().chain(point.negative.counts);
    let buckets = counts
        .try_fold(point.zero_count, |total, count| total.checked_add(*count))
        .filter(|total| i64::try_from(*total).is_ok())
        .ok_or(Refusal::CountOverflow)?;
    let holds = if sum.is_nan() { point.count >= buckets } else { point.count == buckets };
    if holds { Ok(()) } else { Err(Refusal::CountMismatch { count: point.count, buckets }) }
}

fn scaled(index: i64, by: u32) -> i64 {
    index >> by.min(63)
}

/// The buckets that are not empty after merging, with their new indices in rising order; a count is `None` if it overflows.
fn merged(side: Side<'_>, by: u32) -> impl Iterator<Item = (i64, Option<u64>)> {
    let mut counts = (i64::from(side.offset)..).zip(side.counts).filter(|(_, count)| **count > 0).peekable();
    std::iter::from_fn(move || {
        let (index, count) = counts.next()?;
        let index = scaled(index, by);
        let mut total = Some(*count);
        while let Some((_, count)) = counts.next_if(|(next, _)| scaled(*next, by) == index) {
            total = total.and_then(|total| total.checked_add(*count));
        }
        Some((index, total))
    })
}

#[derive(Debug, Clone, Default, PartialEq)]
struct OwnedBuckets {
    spans: Vec<Span>,
    deltas: Vec<i64>,
}

impl OwnedBuckets {
    fn buckets(&self) -> Buckets<'_> {
        Buckets { spans: &self.spans, deltas: &self.deltas }
    }

    fn fill(&mut self, side: Side<'_>, by: u32) -> Result<(), Refusal> {
        self.spans.clear();
        self.deltas.clear();
        // The index after the last bucket written, and that bucket's count.
        let (mut next, mut before) = (0i64, 0i64);
        for (index, count) in merged(side, by) {
            let count = count.and_then(|count| i64::try_from(count).ok());
            let count = count.ok_or(Refusal::CountOverflow)?;
            let index = index + 1;
            i32::try_from(index).map_err(|_| Refusal::IndexOverflow)?;
            let gap = index - next;
            match self.spans.last_mut() {
                Some(span) if gap <= MAX_FILLED_GAP => {
                    span.length += gap as u32 + 1;
                    for _ in 0..gap {
                        self.deltas.push(-before);
                        before = 0;
                    }
                }
                _ => {
                    let offset = i32::try_from(gap).map_err(|_| Refusal::IndexOverflow)?;
                    self.spans.push(Span { offset, length: 1 });
                }
            }
            self.deltas.push(count - before);
            (next, before) = (index + 1, count);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn convert(scale: i32, offset: i32, counts: &[u64]) -> Result<Native, Refusal> {
        let mut native = Native::default();
        native.convert(&Exponential {
            scale,
            count: counts.iter().fold(0, |sum, count| sum.saturating_add(*count)),
            sum: Some(1.5),
            positive: Side { offset, counts },
            ..Exponential::default()
        })?;
        Ok(native)
    }

    fn spans(native: &Native) -> Vec<(i32, u32)> {
        native.positive.spans.iter().map(|span| (span.offset, span.length)).collect()
    }

    /// What a receiver reads: counts by Prometheus' index, empty buckets left out.
    fn read(buckets: &OwnedBuckets) -> BTreeMap<i64, u64> {
        let (mut index, mut count) = (0i64, 0i64);
        let mut deltas = buckets.deltas.iter();
        let mut read = BTreeMap::new();
        for span in &buckets.spans {
            index += i64::from(span.offset);
            for _ in 0..span.length {
                count += deltas.next().expect("a delta for each bucket");
                if count > 0 {
                    read.insert(index, count as u64);
                }
                index += 1;
            }
        }
        assert_eq!(deltas.next(), None);
        read
    }

    #[test]
    fn the_example_of_the_specification() {
        let native = convert(3, 3, &[10, 0, 0, 20, 5, 2]).expect("valid");
        assert_eq!(spans(&native), [(4, 1), (2, 3)]);
        assert_eq!(native.positive.deltas, [10, 10, -15, -3]);
        assert_eq!(native.histogram().zero_threshold, 1e-128);
        assert_eq!(native.histogram().schema, 3);
    }

    #[test]
    fn spans_and_deltas() {
        type Row<'a> = (i32, &'a [u64], &'a [(i32, u32)], &'a [i64]);
        let rows: &[Row<'_>] = &[
            (0, &[], &[], &[]),
            (0, &[0, 0, 0], &[], &[]),
            (0, &[1], &[(1, 1)], &[1]),
            (-3, &[1, 1], &[(-2, 2)], &[1, 0]),
            (0, &[1, 0, 1], &[(1, 3)], &[1, -1, 1]),
            (0, &[0, 0, 4, 0, 0, 0, 6], &[(3, 1), (3, 1)], &[4, 2]),
            (-2_147_483_648, &[7], &[(-2_147_483_647, 1)], &[7]),
            (2_147_483_646, &[7], &[(2_147_483_647, 1)], &[7]),
        ];
        for (offset, counts, expected, deltas) in rows {
            let native = convert(0, *offset, counts).expect("valid");
            assert_eq!(spans(&native), *expected, "{offset} {counts:?}");
            assert_eq!(native.positive.deltas, *deltas, "{offset} {counts:?}");
        }
    }

    #[test]
    fn finer_scales_are_merged_also_behind_an_empty_merged_bucket() {
        // Scale 10 to 8: four become one. Indices 4..8 are empty and merge to an empty bucket 1.
        let native = convert(10, 0, &[1, 2, 3, 4, 0, 0, 0, 0, 5, 6]).expect("valid");
        assert_eq!(native.schema, 8);
        assert_eq!(read(&native.positive), BTreeMap::from([(1, 10), (3, 11)]));
        // Negative indices round down.
        let native = convert(9, -3, &[1, 2, 4, 8]).expect("valid");
        assert_eq!(read(&native.positive), BTreeMap::from([(-1, 1), (0, 6), (1, 8)]));
        let native = convert(i32::MAX, -1, &[1, 2]).expect("valid");
        assert_eq!(read(&native.positive), BTreeMap::from([(0, 1), (1, 2)]));
    }

    #[test]
    fn refusals_say_why() {
        assert_eq!(convert(-5, 0, &[1]), Err(Refusal::TooCoarse(-5)));
        assert_eq!(convert(0, i32::MAX, &[1]), Err(Refusal::IndexOverflow));
        assert_eq!(convert(0, i32::MAX - 1, &[1, 1]), Err(Refusal::IndexOverflow));
        assert_eq!(convert(0, 0, &[u64::MAX]), Err(Refusal::CountOverflow));
        assert_eq!(convert(0, 0, &[u64::MAX, 1]), Err(Refusal::CountOverflow));
        let mut point = Exponential { count: 2, ..Exponential::default() };
        assert_eq!(Native::default().convert(&point), Err(Refusal::NoSum));
        point.sum = Some(1.0);
        let mismatch = Refusal::CountMismatch { count: 2, buckets: 0 };
        assert_eq!(Native::default().convert(&point), Err(mismatch));
        point.sum = Some(f64::NAN);
        let mut native = Native::default();
        assert_eq!(native.convert(&point), Ok(()));
        assert!(!crate::is_stale(native.histogram().sum_bits));
    }

    #[test]
    fn an_index_out_of_range_is_fine_where_merging_brings_it_back() {
        let native = convert(9, i32::MAX, &[1]).expect("valid");
        assert_eq!(read(&native.positive), BTreeMap::from([(1 << 30, 1)]));
    }

    #[test]
    fn downscaling_keeps_empty_buckets() {
        let mut out = vec![9];
        let side = Side { offset: -3, counts: &[1, 0, 0, 0, 0, 0, 2, 0] };
        assert_eq!(downscale(side, 1, &mut out), Ok(-2));
        assert_eq!(out, [1, 0, 0, 2, 0]);
        assert_eq!(downscale(side, 0, &mut out), Ok(-3));
        assert_eq!(out, side.counts);
        assert_eq!(downscale(Side::default(), 3, &mut out), Ok(0));
        assert!(out.is_empty());
        let huge = Side { offset: 0, counts: &[u64::MAX, 1] };
        assert_eq!(downscale(huge, 1, &mut out), Err(Refusal::CountOverflow));
    }

    proptest! {
        #[test]
        fn every_observation_lands_in_the_bucket_that_covers_it(
            scale in -4..=20i32,
            offset in -2000..2000i32,
            counts in prop::collection::vec(prop_oneof![Just(0u64), 0..1000u64], 0..200),
        ) {
            let native = convert(scale, offset, &counts).expect("valid");
            let by = (scale - 8).max(0) as u32;
            let mut expected = BTreeMap::new();
            for (at, count) in counts.iter().enumerate() {
                if *count > 0 {
                    let index = (i64::from(offset) + at as i64).div_euclid(1 << by) + 1;
                    *expected.entry(index).or_insert(0) += count;
                }
            }
            prop_assert_eq!(read(&native.positive), expected);
            let mut once = Vec::new();
            let first = downscale(Side { offset, counts: &counts }, by, &mut once).expect("valid");
            prop_assert_eq!(once.iter().sum::<u64>(), counts.iter().sum::<u64>());
            let again = convert(8.min(scale), first, &once).expect("valid");
            prop_assert_eq!(read(&again.positive), read(&native.positive));
        }
    }
}
