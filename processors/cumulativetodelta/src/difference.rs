//! The rules: what was added between two points of a series.
//! Pure: a stream, a point and its reading in, a delta or a reason out.

use steadyline_telemetry::metrics::{ExponentialHistogram, Histogram, Totals};
use steadyline_telemetry::{MetricKind, NumberKind, Point};

/// Buckets of a histogram that are followed; a sender decides how many there are.
const MAX_BUCKETS: usize = 4096;
/// Buckets a side of an exponential histogram that are followed; finer ones are joined.
const MAX_EXPONENTIAL_BUCKETS: usize = 320;

/// A series: its last point.
#[derive(Debug)]
pub(crate) struct Stream {
    start: u64,
    time: u64,
    last: Reading,
}

/// What a point says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Reading {
    Int(i64),
    Double(f64),
    Histogram(Box<Histogram>),
    Exponential(Box<ExponentialHistogram>),
}

/// A delta: what was added, and since when.
#[derive(Debug, PartialEq)]
pub(crate) struct Delta {
    pub start: u64,
    pub added: Reading,
}

/// Why a point is dropped: the word it is counted under.
pub(crate) type Reason = &'static str;

impl Reading {
    /// What a point says, checked.
    pub(crate) fn of(kind: MetricKind, point: &Point, body: &[u8]) -> Result<Reading, Reason> {
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
                let histogram = ExponentialHistogram::read(body, MAX_EXPONENTIAL_BUCKETS);
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

    /// What was added since an earlier reading; `None` if this one does not go on from it.
    fn since(&self, earlier: &Reading) -> Option<Reading> {
        match (self, earlier) {
            (Reading::Int(now), Reading::Int(before)) => {
                now.checked_sub(*before).filter(|added| *added >= 0).map(Reading::Int)
            }
            (Reading::Histogram(now), Reading::Histogram(before)) => {
                now.since(before).map(|added| Reading::Histogram(Box::new(added)))
            }
            (Reading::Exponential(now), Reading::Exponential(before)) => {
                now.since(before).map(|added| Reading::Exponential(Box::new(added)))
            }
            _ => {
                let added = self.as_f64()? - earlier.as_f64()?;
                (added >= 0.0 && added.is_finite()).then_some(Reading::Double(added))
            }
        }
    }

    fn as_f64(&self) -> Option<f64> {
        match self {
            Reading::Int(value) => Some(*value as f64),
            Reading::Double(value) => Some(*value),
            Reading::Histogram(_) | Reading::Exponential(_) => None,
        }
    }
}

fn finite(totals: &Totals) -> Result<(), Reason> {
    if totals.sum.is_none_or(f64::is_finite) { Ok(()) } else { Err("not_finite") }
}

impl Stream {
    /// A series of which this is the first point.
    pub(crate) fn new(point: &Point, reading: Reading) -> Stream {
        Stream { start: point.start, time: point.time, last: reading }
    }

    /// What the next point adds.
    pub(crate) fn advance(&mut self, point: &Point, reading: Reading) -> Result<Delta, Reason> {
        if point.time <= self.time {
            return Err("out_of_order");
        }
        // Some sources say with every point that it starts where it stands; such a start says nothing.
        let starts_later = point.start >= self.time && point.start < point.time;
        let is_restart = starts_later && self.start != 0 && point.start > self.start;
        let added = if is_restart { None } else { reading.since(&self.last) };
        let delta = match added {
            Some(added) => Delta { start: self.time, added },
            None => Delta { start: if starts_later { point.start } else { self.time }, added: reading.clone() },
        };
        *self = Stream { start: point.start, time: point.time, last: reading };
        Ok(delta)
    }
}
