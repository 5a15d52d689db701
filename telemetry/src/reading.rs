//! What a point of a sum or a histogram says: read out of it and checked, and put back into one. For processors that
//! calculate with it, next to the [`Streams`](crate::Streams) in which they keep it.

use crate::metrics::{ExponentialHistogram, Histogram, MetricKind, NumberKind, Patch, Point, Totals};

/// Buckets of a histogram that are followed; a sender decides how many there are.
const MAX_BUCKETS: usize = 4096;

/// What a point says.
#[derive(Debug, Clone, PartialEq)]
pub enum Reading {
    /// A whole number.
    Int(i64),
    /// Any other finite number.
    Double(f64),
    /// Observations by buckets.
    Histogram(Box<Histogram>),
    /// Observations by buckets of an exponential scale.
    Exponential(Box<ExponentialHistogram>),
}

/// Why a point says nothing that can be calculated with: the word it is counted under.
pub type Unreadable = &'static str;

impl Reading {
    /// What a point says, checked. `body` is its message, if it has one; exponential histograms finer than
    /// `most_exponential` buckets a side are made coarser.
    ///
    /// # Errors
    /// `no_time`, `too_many_buckets`, `malformed`, `not_finite`, `no_number`.
    pub fn of(kind: MetricKind, point: &Point, body: &[u8], most_exponential: usize) -> Result<Reading, Unreadable> {
        if point.time == 0 {
            return Err("no_time");
        }
        match kind {
            MetricKind::Histogram { .. } => {
                let histogram = Histogram::read(body);
                let (bounds, counts) = (histogram.bounds.len(), histogram.counts.len());
                if bounds > MAX_BUCKETS {
                    return Err("too_many_buckets");
                }
                if counts != bounds + 1 && (counts, bounds) != (0, 0) {
                    return Err("malformed");
                }
                finite(&histogram.totals)?;
                Ok(Reading::Histogram(Box::new(histogram)))
            }
            MetricKind::ExponentialHistogram { .. } => {
                let histogram = ExponentialHistogram::read(body, most_exponential);
                finite(&histogram.totals)?;
                Ok(Reading::Exponential(Box::new(histogram)))
            }
            _ => match point.number {
                NumberKind::Int => Ok(Reading::Int(point.bits as i64)),
                NumberKind::Double if f64::from_bits(point.bits).is_finite() => {
                    Ok(Reading::Double(f64::from_bits(point.bits)))
                }
                NumberKind::Double => Err("not_finite"),
                NumberKind::None | NumberKind::Body => Err("no_number"),
            },
        }
    }

    /// Puts it into the place of a point, which otherwise stays as it is given; `body` is the message whose exemplars stay.
    pub fn put(&self, patch: &mut Patch, row: usize, point: Point, body: &[u8]) {
        match self {
            Reading::Int(value) => {
                patch.set_point(row, Point { number: NumberKind::Int, bits: *value as u64, ..point });
            }
            Reading::Double(value) => {
                patch.set_point(row, Point { number: NumberKind::Double, bits: value.to_bits(), ..point });
            }
            Reading::Histogram(histogram) => patch.set_body(row, point, |out| histogram.write(body, out)),
            Reading::Exponential(histogram) => patch.set_body(row, point, |out| histogram.write(body, out)),
        }
    }

    /// The number, if it is one.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Reading::Int(value) => Some(*value as f64),
            Reading::Double(value) => Some(*value),
            Reading::Histogram(_) | Reading::Exponential(_) => None,
        }
    }
}

fn finite(totals: &Totals) -> Result<(), Unreadable> {
    if totals.sum.is_none_or(f64::is_finite) { Ok(()) } else { Err("not_finite") }
}
