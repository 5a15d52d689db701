//! Exponential histograms to compute with. Different scales meet at the coarser one, different zero thresholds at the
//! wider one, and no side keeps more buckets than it is allowed: the scale falls until it fits.
//! Source: OpenTelemetry metrics data model, "ExponentialHistogram".

use super::histogram::{CannotAdd, Totals, put_fields};
use super::view::{Buckets, ExponentialHistogramView};
use crate::wire::{LEN, put_bytes, put_fixed64, put_tag, put_uint, put_varint, varint_len};

/// An exponential histogram.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ExponentialHistogram {
    /// The count, sum, smallest and largest of the observations.
    pub totals: Totals,
    /// The base is 2^(2^-scale).
    pub scale: i32,
    /// Observations within the zero threshold.
    pub zero_count: u64,
    /// The width of the zero bucket: zero or more.
    pub zero_threshold: f64,
    /// Buckets of positive observations, without empty ones at either end.
    pub positive: Buckets,
    /// Buckets of negative observations, by magnitude, without empty ones at either end.
    pub negative: Buckets,
}

impl ExponentialHistogram {
    /// Reads an OTLP `ExponentialHistogramDataPoint`, with at most `most` buckets a side (at least 2).
    pub fn read(body: &[u8], most: usize) -> ExponentialHistogram {
        let view = ExponentialHistogramView::new(body);
        let threshold = view.zero_threshold;
        let mut histogram = ExponentialHistogram {
            totals: Totals { count: view.count, sum: view.sum, min: view.min, max: view.max },
            scale: view.scale,
            zero_count: view.zero_count,
            // A threshold that is none would never compare.
            zero_threshold: if threshold > 0.0 { threshold } else { 0.0 },
            positive: view.positive.trimmed(),
            negative: view.negative.trimmed(),
        };
        let by = shift_to_fit(&[histogram.positive.range(), histogram.negative.range()], most);
        histogram.downscale(by);
        histogram
    }

    /// Adds another one; the result has at most `most` buckets a side (at least 2).
    ///
    /// # Errors
    /// A count does not fit; nothing is changed then.
    pub fn add(&mut self, other: &ExponentialHistogram, most: usize) -> Result<(), CannotAdd> {
        let totals = self.totals.plus(&other.totals).ok_or(CannotAdd::Overflow)?;
        let (mut a, mut b) = (self.clone(), other.clone());
        while a.zero_threshold != b.zero_threshold {
            let widest = a.zero_threshold.max(b.zero_threshold);
            a.widen_zero(widest);
            b.widen_zero(widest);
        }
        let coarser = a.scale.min(b.scale);
        a.downscale(a.scale.abs_diff(coarser));
        b.downscale(b.scale.abs_diff(coarser));
        let sides = [hull(a.positive.range(), b.positive.range()), hull(a.negative.range(), b.negative.range())];
        let by = shift_to_fit(&sides, most);
        a.downscale(by);
        b.downscale(by);
        a.zero_count = a.zero_count.checked_add(b.zero_count).ok_or(CannotAdd::Overflow)?;
        a.positive = a.positive.plus(&b.positive).ok_or(CannotAdd::Overflow)?;
        a.negative = a.negative.plus(&b.negative).ok_or(CannotAdd::Overflow)?;
        a.totals = totals;
        *self = a;
        Ok(())
    }

    /// What was observed since `earlier`. `None` if this one does not go on from it: it is finer, its zero bucket is
    /// narrower or a count fell.
    pub fn since(&self, earlier: &ExponentialHistogram) -> Option<ExponentialHistogram> {
        if self.scale > earlier.scale || self.zero_threshold < earlier.zero_threshold {
            return None;
        }
        let mut before = earlier.clone();
        before.widen_zero(self.zero_threshold);
        before.downscale(before.scale.abs_diff(self.scale));
        if before.zero_threshold != self.zero_threshold {
            return None;
        }
        Some(ExponentialHistogram {
            totals: self.totals.since(&before.totals)?,
            scale: self.scale,
            zero_count: self.zero_count.checked_sub(before.zero_count)?,
            zero_threshold: self.zero_threshold,
            positive: self.positive.minus(&before.positive)?,
            negative: self.negative.minus(&before.negative)?,
        })
    }

    /// Writes the point's message without attributes, times and flags, with the exemplars of `exemplars`, a message of
    /// the same kind.
    pub fn write(&self, exemplars: &[u8], out: &mut Vec<u8>) {
        self.totals.put(out, 12, 13);
        if self.scale != 0 {
            put_uint(out, 6, zigzag(self.scale));
        }
        if self.zero_count != 0 {
            put_fixed64(out, 7, self.zero_count);
        }
        put_buckets(out, 8, &self.positive);
        put_buckets(out, 9, &self.negative);
        put_fields(out, exemplars, 11);
        if self.zero_threshold != 0.0 {
            put_fixed64(out, 14, self.zero_threshold.to_bits());
        }
    }

    /// Halves the scale so many times: two buckets become one each time.
    fn downscale(&mut self, by: u32) {
        if by > 0 {
            self.scale = (i64::from(self.scale) - i64::from(by)).max(i64::from(i32::MIN)) as i32;
            self.positive = self.positive.coarser(by);
            self.negative = self.negative.coarser(by);
        }
    }

    /// Widens the zero bucket to the threshold, or to the end of the bucket that the threshold lies in.
    fn widen_zero(&mut self, threshold: f64) {
        if self.zero_threshold >= threshold {
            return;
        }
        self.zero_threshold = threshold;
        // A side that reaches into a bucket of its own moves the threshold on, which may touch the other side.
        loop {
            let before = self.zero_threshold;
            for side in [&mut self.positive, &mut self.negative] {
                let (count, reached) = side.take_below(self.zero_threshold, self.scale);
                self.zero_count = self.zero_count.saturating_add(count);
                self.zero_threshold = self.zero_threshold.max(reached);
            }
            if self.zero_threshold == before {
                return;
            }
        }
    }
}

/// The first and last index of a side that has any.
type IndexRange = Option<(i64, i64)>;

fn hull(a: IndexRange, b: IndexRange) -> IndexRange {
    match (a, b) {
        (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
        (a, b) => a.or(b),
    }
}

/// By how much the scale must fall until no side has more than `most` buckets.
fn shift_to_fit(sides: &[IndexRange; 2], most: usize) -> u32 {
    let most = most.max(2) as i64;
    let fits = |by: u32| sides.iter().flatten().all(|(first, last)| (last >> by) - (first >> by) < most);
    // Indexes have 32 bits and one: at the latest then there are two buckets.
    (0..=33).find(|by| fits(*by)).unwrap_or(33)
}

impl Buckets {
    /// Without empty buckets at either end.
    fn trimmed(mut self) -> Buckets {
        let filled = |count: &u64| *count > 0;
        let Some(last) = self.counts.iter().rposition(filled) else { return Buckets::default() };
        let first = self.counts.iter().position(filled).unwrap_or(0);
        self.counts.truncate(last + 1);
        self.counts.drain(..first);
        // An index beyond 32 bits is none; the last one that is stands for it.
        self.offset = (i64::from(self.offset) + first as i64).min(i64::from(i32::MAX)) as i32;
        self
    }

    fn range(&self) -> IndexRange {
        let first = i64::from(self.offset);
        (!self.counts.is_empty()).then(|| (first, first + self.counts.len() as i64 - 1))
    }

    fn indexed(&self) -> impl Iterator<Item = (i64, u64)> {
        self.counts.iter().enumerate().map(|(n, count)| (i64::from(self.offset) + n as i64, *count))
    }

    fn coarser(&self, by: u32) -> Buckets {
        let Some((first, last)) = self.range() else { return Buckets::default() };
        let by = by.min(62);
        let mut counts = vec![0_u64; ((last >> by) - (first >> by) + 1) as usize];
        for (index, count) in self.indexed() {
            let count_there = &mut counts[((index >> by) - (first >> by)) as usize];
            *count_there = count_there.saturating_add(count);
        }
        Buckets { offset: (first >> by) as i32, counts }
    }

    /// `None` if a count overflows. Both are of one scale, and the caller has bounded the span of both together.
    fn plus(&self, other: &Buckets) -> Option<Buckets> {
        let Some((first, last)) = hull(self.range(), other.range()) else { return Some(Buckets::default()) };
        let mut counts = vec![0_u64; (last - first + 1) as usize];
        for (index, count) in self.indexed().chain(other.indexed()) {
            let there = &mut counts[(index - first) as usize];
            *there = there.checked_add(count)?;
        }
        Some(Buckets { offset: first as i32, counts })
    }

    /// `None` if a count is less than the other's.
    fn minus(&self, other: &Buckets) -> Option<Buckets> {
        let mut left = self.clone();
        for (index, count) in other.indexed().filter(|(_, count)| *count > 0) {
            let at = usize::try_from(index - i64::from(self.offset)).ok()?;
            let there = left.counts.get_mut(at)?;
            *there = there.checked_sub(count)?;
        }
        Some(left.trimmed())
    }

    /// Takes out the buckets that begin below the threshold: their count, and where the last of them ends.
    fn take_below(&mut self, threshold: f64, scale: i32) -> (u64, f64) {
        let width = f64::from(scale.saturating_neg()).exp2();
        let start = |index: i64| (index as f64 * width).exp2();
        let below = self.indexed().take_while(|(index, _)| start(*index) < threshold).count();
        if below == 0 {
            return (0, 0.0);
        }
        let end = start(i64::from(self.offset) + below as i64);
        let count = self.counts.drain(..below).fold(0, u64::saturating_add);
        let offset = (i64::from(self.offset) + below as i64).min(i64::from(i32::MAX)) as i32;
        *self = Buckets { offset, counts: std::mem::take(&mut self.counts) }.trimmed();
        (count, end)
    }
}

fn put_buckets(out: &mut Vec<u8>, number: u32, buckets: &Buckets) {
    if buckets.counts.is_empty() {
        return;
    }
    let mut message = Vec::new();
    if buckets.offset != 0 {
        put_uint(&mut message, 1, zigzag(buckets.offset));
    }
    put_tag(&mut message, 2, LEN);
    put_varint(&mut message, buckets.counts.iter().map(|count| varint_len(*count) as u64).sum());
    buckets.counts.iter().for_each(|count| put_varint(&mut message, *count));
    put_bytes(out, number, &message);
}

fn zigzag(value: i32) -> u64 {
    u64::from((value << 1 ^ value >> 31) as u32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn side(offset: i32, counts: &[u64]) -> Buckets {
        Buckets { offset, counts: counts.to_vec() }
    }

    fn histogram(scale: i32, zero_count: u64, positive: Buckets, negative: Buckets) -> ExponentialHistogram {
        let count = zero_count + positive.counts.iter().chain(&negative.counts).sum::<u64>();
        let totals = Totals { count, sum: Some(1.0), ..Totals::default() };
        ExponentialHistogram { totals, scale, zero_count, zero_threshold: 0.0, positive, negative }
    }

    fn sum(a: &ExponentialHistogram, b: &ExponentialHistogram, most: usize) -> ExponentialHistogram {
        let mut sum = a.clone();
        sum.add(b, most).unwrap();
        sum
    }

    #[test]
    fn what_is_written_reads_back() {
        for histogram in [
            ExponentialHistogram::default(),
            histogram(-3, 2, side(-70, &[1, 0, 300]), side(5, &[7])),
            ExponentialHistogram {
                zero_threshold: 0.25,
                ..histogram(20, 0, side(i32::MIN, &[1]), side(i32::MAX, &[1]))
            },
        ] {
            let mut body = Vec::new();
            histogram.write(&[], &mut body);
            assert_eq!(ExponentialHistogram::read(&body, 160), histogram);
        }
    }

    #[test]
    fn scales_meet_at_the_coarser_one() {
        // Scale 1 has two buckets for each of scale 0; indexes -1 and 0 are not neighbours at the coarser scale.
        let fine = histogram(1, 1, side(-1, &[1, 2, 4, 8]), Buckets::default());
        let coarse = histogram(0, 2, side(1, &[16]), side(0, &[32]));
        let both = sum(&fine, &coarse, 160);
        assert_eq!(sum(&coarse, &fine, 160), both);
        assert_eq!((both.scale, both.zero_count, both.totals.count), (0, 3, 15 + 1 + 48 + 2));
        assert_eq!((both.positive, both.negative), (side(-1, &[1, 6, 24]), side(0, &[32])));
    }

    #[test]
    fn buckets_are_bounded() {
        let low = histogram(3, 0, side(-1000, &[1]), Buckets::default());
        let high = histogram(3, 0, side(1000, &[1]), side(i32::MAX, &[1]));
        let both = sum(&low, &high, 160);
        assert_eq!((both.scale, both.positive.counts.len()), (3 - 4, 126));
        assert_eq!(both.positive.counts.iter().sum::<u64>(), 2);
        let widest = sum(&histogram(20, 0, side(i32::MIN, &[1]), Buckets::default()), &high, 2);
        assert_eq!(widest.positive.counts, [1, 1]);
        assert_eq!(widest.positive.offset, -1);
    }

    #[test]
    fn zero_buckets_meet_at_the_wider_one() {
        // At scale 0: (0.5, 1], (1, 2], (2, 4]; a threshold of 1.5 swallows the first two and reaches 2.
        let narrow = histogram(0, 1, side(-1, &[1, 2, 4]), Buckets::default());
        let wide = ExponentialHistogram { zero_threshold: 1.5, ..histogram(0, 8, Buckets::default(), side(1, &[16])) };
        for both in [sum(&narrow, &wide, 160), sum(&wide, &narrow, 160)] {
            assert_eq!((both.zero_threshold, both.zero_count), (2.0, 1 + 1 + 2 + 8));
            assert_eq!((both.positive, both.negative), (side(1, &[4]), side(1, &[16])));
        }
    }

    #[test]
    fn differences_undo_sums() {
        let a = histogram(2, 3, side(-5, &[1, 2, 3]), side(4, &[5]));
        for b in
            [histogram(2, 1, side(-9, &[1, 0, 9]), side(4, &[1])), histogram(0, 0, side(3, &[7]), Buckets::default())]
        {
            let both = sum(&a, &b, 160);
            let back = both.since(&a).unwrap();
            assert_eq!((back.scale, back.zero_count, back.totals.count), (both.scale, b.zero_count, b.totals.count));
            assert_eq!((back.positive, back.negative), (b.positive.clone(), b.negative.clone()));
            assert_eq!(a.since(&both), None, "{b:?}");
        }
    }

    #[test]
    fn numbers_that_mean_nothing_do_no_harm() {
        let odd = [f64::NAN, -1.0, f64::INFINITY, f64::MIN_POSITIVE];
        for (threshold, scale) in odd.into_iter().flat_map(|t| [i32::MIN, -1, 30, i32::MAX].map(|s| (t, s))) {
            let mut body = Vec::new();
            let mut odd = histogram(scale, 1, side(i32::MAX, &[1, 1, 1]), side(i32::MIN, &[1, 0, 1]));
            odd.zero_threshold = threshold;
            odd.write(&[], &mut body);
            let read = ExponentialHistogram::read(&body, 160);
            let plain = histogram(0, 1, side(0, &[1]), side(0, &[1]));
            for both in [sum(&read, &plain, 160), sum(&plain, &read, 160), sum(&read, &read, 160)] {
                assert!(both.positive.counts.len() <= 160 && both.negative.counts.len() <= 160);
            }
            let _ = (read.since(&plain), plain.since(&read));
        }
        let full = histogram(0, u64::MAX, Buckets::default(), Buckets::default());
        let mut more = full.clone();
        assert_eq!(more.add(&full, 160), Err(CannotAdd::Overflow));
        assert_eq!(more, full);
    }

    fn any_side() -> impl Strategy<Value = Buckets> {
        let counts = prop_oneof![3 => 0..4_u64, 1 => 0..1_000_000_u64];
        (-500..500_i32, proptest::collection::vec(counts, 0..200))
            .prop_map(|(offset, counts)| Buckets { offset, counts }.trimmed())
    }

    fn any_histogram() -> impl Strategy<Value = ExponentialHistogram> {
        let threshold = prop_oneof![3 => Just(0.0), 1 => 0.0..4.0];
        (-10..21_i32, 0..9_u64, threshold, any_side(), any_side()).prop_map(|(scale, zeros, zero_threshold, a, b)| {
            let mut body = Vec::new();
            ExponentialHistogram { zero_threshold, ..histogram(scale, zeros, a, b) }.write(&[], &mut body);
            ExponentialHistogram::read(&body, 160)
        })
    }

    fn observations(histogram: &ExponentialHistogram) -> u64 {
        let sides = histogram.positive.counts.iter().chain(&histogram.negative.counts);
        histogram.zero_count + sides.sum::<u64>()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_observation_is_lost_and_order_does_not_matter(a in any_histogram(), b in any_histogram()) {
            let both = sum(&a, &b, 160);
            prop_assert_eq!(observations(&both), observations(&a) + observations(&b));
            prop_assert_eq!(observations(&both), both.totals.count);
            prop_assert!(both.positive.counts.len() <= 160 && both.negative.counts.len() <= 160);
            prop_assert!(both.scale <= a.scale.min(b.scale));
            prop_assert_eq!(&sum(&b, &a, 160), &both);
            if let Some(back) = both.since(&a) {
                prop_assert_eq!(observations(&back), observations(&b));
            } else {
                // Only a threshold that a bucket of one of them moved on has no way back.
                prop_assert!(a.zero_threshold != b.zero_threshold);
            }
        }
    }
}
