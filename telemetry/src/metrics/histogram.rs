//! Histograms to compute with: read from a point's message, added up or told apart, written again.
//! Counts are integers and stay exact; what does not fit 64 bits is refused, not wrapped.

use thiserror::Error;

use super::view::{HistogramView, fields};
use crate::wire::{FieldData, LEN, put_fixed64, put_tag, put_varint};

/// An explicit-bounds histogram.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Histogram {
    /// The count, sum, smallest and largest of the observations.
    pub totals: Totals,
    /// The upper bounds of the buckets, the last (+Inf) left out.
    pub bounds: Vec<f64>,
    /// The counts of the buckets; one more than there are bounds, or none.
    pub counts: Vec<u64>,
}

/// What every kind of histogram says besides its buckets.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Totals {
    /// Number of observations.
    pub count: u64,
    /// Their sum, if the source could tell.
    pub sum: Option<f64>,
    /// The smallest observation.
    pub min: Option<f64>,
    /// The largest observation.
    pub max: Option<f64>,
}

/// Why two histograms cannot be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CannotAdd {
    /// Their buckets have different bounds.
    #[error("the buckets have different bounds")]
    Bounds,
    /// A count does not fit 64 bits.
    #[error("a count does not fit 64 bits")]
    Overflow,
}

impl Totals {
    /// Adds what was observed besides. A part that saw nothing says nothing about sum, smallest and largest.
    pub(super) fn plus(&self, other: &Totals) -> Option<Totals> {
        let count = self.count.checked_add(other.count)?;
        if other.count == 0 {
            return Some(*self);
        }
        if self.count == 0 {
            return Some(*other);
        }
        let both = |a: Option<f64>, b: Option<f64>, join: fn(f64, f64) -> f64| a.zip(b).map(|(a, b)| join(a, b));
        Some(Totals {
            count,
            sum: both(self.sum, other.sum, |a, b| a + b),
            min: both(self.min, other.min, f64::min),
            max: both(self.max, other.max, f64::max),
        })
    }

    /// What was observed since `earlier`; nobody knows the smallest and largest of those. `None` if the count fell.
    pub(super) fn since(&self, earlier: &Totals) -> Option<Totals> {
        let count = self.count.checked_sub(earlier.count)?;
        let before = if earlier.count == 0 { Some(earlier.sum.unwrap_or(0.0)) } else { earlier.sum };
        Some(Totals { count, sum: self.sum.zip(before).map(|(now, before)| now - before), min: None, max: None })
    }

    /// Writes fields 4 and 5, and smallest and largest under the given numbers.
    pub(super) fn put(&self, out: &mut Vec<u8>, min: u32, max: u32) {
        if self.count != 0 {
            put_fixed64(out, 4, self.count);
        }
        for (number, value) in [(5, self.sum), (min, self.min), (max, self.max)] {
            if let Some(value) = value {
                put_fixed64(out, number, value.to_bits());
            }
        }
    }
}

impl Histogram {
    /// Reads an OTLP `HistogramDataPoint`.
    pub fn read(body: &[u8]) -> Histogram {
        let view = HistogramView::new(body);
        Histogram {
            totals: Totals { count: view.count, sum: view.sum, min: view.min, max: view.max },
            bounds: view.bounds().collect(),
            counts: view.bucket_counts().collect(),
        }
    }

    /// Whether the other has the same buckets.
    pub fn has_bounds_of(&self, other: &Histogram) -> bool {
        self.bounds == other.bounds && self.counts.len() == other.counts.len()
    }

    /// Adds another one.
    ///
    /// # Errors
    /// They cannot be added; nothing is changed then.
    pub fn add(&mut self, other: &Histogram) -> Result<(), CannotAdd> {
        if !self.has_bounds_of(other) {
            return Err(CannotAdd::Bounds);
        }
        let totals = self.totals.plus(&other.totals).ok_or(CannotAdd::Overflow)?;
        let sums = self.counts.iter().zip(&other.counts).map(|(a, b)| a.checked_add(*b));
        self.counts = sums.collect::<Option<_>>().ok_or(CannotAdd::Overflow)?;
        self.totals = totals;
        Ok(())
    }

    /// What was observed since `earlier`. `None` if this one does not go on from it: other bounds, or a count that fell.
    pub fn since(&self, earlier: &Histogram) -> Option<Histogram> {
        if !self.has_bounds_of(earlier) {
            return None;
        }
        let totals = self.totals.since(&earlier.totals)?;
        let counts = self.counts.iter().zip(&earlier.counts).map(|(now, before)| now.checked_sub(*before));
        Some(Histogram { totals, bounds: self.bounds.clone(), counts: counts.collect::<Option<_>>()? })
    }

    /// Writes the point's message without attributes, times and flags, with the exemplars of `exemplars`, a message of
    /// the same kind.
    pub fn write(&self, exemplars: &[u8], out: &mut Vec<u8>) {
        self.totals.put(out, 11, 12);
        put_packed(out, 6, self.counts.iter().copied());
        put_packed(out, 7, self.bounds.iter().map(|bound| bound.to_bits()));
        put_fields(out, exemplars, 8);
    }
}

fn put_packed(out: &mut Vec<u8>, number: u32, values: impl ExactSizeIterator<Item = u64>) {
    if values.len() > 0 {
        put_tag(out, number, LEN);
        put_varint(out, values.len() as u64 * 8);
        values.for_each(|value| out.extend_from_slice(&value.to_le_bytes()));
    }
}

/// Copies the length-delimited fields of one number from a message.
pub(super) fn put_fields(out: &mut Vec<u8>, message: &[u8], number: u32) {
    for field in fields(message) {
        if let FieldData::Len(inner) = field.data
            && field.number == number
        {
            crate::wire::put_bytes(out, number, inner.rest());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(bounds: &[f64], counts: &[u64], sum: f64) -> Histogram {
        let count = counts.iter().sum();
        let totals = Totals { count, sum: Some(sum), min: Some(sum - 1.0), max: Some(sum + 1.0) };
        Histogram { totals, bounds: bounds.to_vec(), counts: counts.to_vec() }
    }

    #[test]
    fn what_is_written_reads_back() {
        for histogram in [
            Histogram::default(),
            histogram(&[1.0, 2.5], &[1, 0, u64::MAX / 2], -0.5),
            Histogram { totals: Totals { count: 3, ..Totals::default() }, ..Histogram::default() },
        ] {
            let mut body = Vec::new();
            histogram.write(&[], &mut body);
            assert_eq!(Histogram::read(&body), histogram);
        }
    }

    #[test]
    fn sums_and_differences_undo_each_other() {
        let (a, b) = (histogram(&[1.0], &[1, 2], 3.0), histogram(&[1.0], &[4, 0], 5.0));
        let mut sum = a.clone();
        sum.add(&b).unwrap();
        assert_eq!((sum.totals.count, sum.totals.sum, &sum.counts[..]), (7, Some(8.0), &[5, 2][..]));
        assert_eq!((sum.totals.min, sum.totals.max), (Some(2.0), Some(6.0)));
        let back = sum.since(&a).unwrap();
        assert_eq!((&back.counts, back.totals.sum, back.totals.min), (&b.counts, Some(5.0), None));
        assert_eq!(a.since(&sum), None);
    }

    #[test]
    fn one_that_saw_nothing_changes_nothing() {
        let a = histogram(&[1.0], &[1, 2], 3.0);
        let nothing = Histogram { bounds: vec![1.0], counts: vec![0, 0], ..Histogram::default() };
        let mut sum = a.clone();
        sum.add(&nothing).unwrap();
        assert_eq!(sum, a);
        let mut sum = nothing.clone();
        sum.add(&a).unwrap();
        assert_eq!(sum, a);
        assert_eq!(a.since(&nothing).unwrap().totals.sum, Some(3.0));
    }

    #[test]
    fn what_cannot_be_added_changes_nothing() {
        let mut full = histogram(&[1.0], &[u64::MAX, 0], 1.0);
        let before = full.clone();
        assert_eq!(full.add(&histogram(&[1.0], &[1, 0], 1.0)), Err(CannotAdd::Overflow));
        assert_eq!(full.add(&histogram(&[2.0], &[1, 0], 1.0)), Err(CannotAdd::Bounds));
        assert_eq!(full.add(&histogram(&[1.0], &[], 1.0)), Err(CannotAdd::Bounds));
        assert_eq!(full, before);
    }
}
