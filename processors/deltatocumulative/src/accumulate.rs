//! The rules: what one delta does to the total of its series.
//! Pure: a stream, a point and its delta in, a total or a reason out.

use steadyline_telemetry::metrics::{ExponentialHistogram, Histogram, Totals};
use steadyline_telemetry::{MetricKind, NumberKind, Point};

/// Buckets of a histogram that are followed; a sender decides how many there are.
const MAX_BUCKETS: usize = 4096;
/// Buckets a side of an exponential histogram, as SDKs have them.
const MAX_EXPONENTIAL_BUCKETS: usize = 160;

/// A series.
#[derive(Debug)]
pub(crate) struct Stream {
    /// Where the total starts, nanoseconds since the epoch; 0 = nobody said.
    pub start: u64,
    /// The last point's time.
    pub time: u64,
    pub total: Total,
}

/// What a series adds up to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Total {
    Int(i64),
    Double(f64),
    Histogram(Box<Histogram>),
    Exponential(Box<ExponentialHistogram>),
}

/// Why a point is dropped: the word it is counted under.
pub(crate) type Reason = &'static str;

/// What a delta says, checked.
pub(crate) fn read(kind: MetricKind, point: &Point, body: &[u8]) -> Result<Total, Reason> {
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
            Ok(Total::Histogram(Box::new(histogram)))
        }
        MetricKind::ExponentialHistogram { .. } => {
            let histogram = ExponentialHistogram::read(body, MAX_EXPONENTIAL_BUCKETS);
            finite(&histogram.totals)?;
            Ok(Total::Exponential(Box::new(histogram)))
        }
        _ => number(kind, point),
    }
}

fn number(kind: MetricKind, point: &Point) -> Result<Total, Reason> {
    let total = match point.number {
        NumberKind::Int => Total::Int(point.bits as i64),
        NumberKind::Double => Total::Double(f64::from_bits(point.bits)),
        NumberKind::None | NumberKind::Body => return Err("no_number"),
    };
    let value = total.as_f64();
    if !value.is_finite() {
        return Err("not_finite");
    }
    let falls = matches!(kind, MetricKind::Sum { monotonic: true, .. }) && value < 0.0;
    if falls { Err("negative") } else { Ok(total) }
}

fn finite(totals: &Totals) -> Result<(), Reason> {
    if totals.sum.is_none_or(f64::is_finite) { Ok(()) } else { Err("not_finite") }
}

impl Total {
    fn as_f64(&self) -> f64 {
        match self {
            Total::Int(value) => *value as f64,
            Total::Double(value) => *value,
            Total::Histogram(_) | Total::Exponential(_) => 0.0,
        }
    }

    /// Adds a delta; gives it back if the sum cannot be expressed.
    fn add(&mut self, delta: Total) -> Result<(), Total> {
        let added = match (&mut *self, &delta) {
            (Total::Int(total), Total::Int(delta)) => total.checked_add(*delta).map(Total::Int),
            (Total::Histogram(total), Total::Histogram(other)) => return total.add(other).map_err(|_| delta),
            (Total::Exponential(total), Total::Exponential(other)) => {
                return total.add(other, MAX_EXPONENTIAL_BUCKETS).map_err(|_| delta);
            }
            (total @ (Total::Int(_) | Total::Double(_)), Total::Int(_) | Total::Double(_)) => {
                let sum = total.as_f64() + delta.as_f64();
                sum.is_finite().then_some(Total::Double(sum))
            }
            _ => None,
        };
        *self = added.ok_or(delta)?;
        Ok(())
    }
}

impl Stream {
    /// A series that begins with its first delta.
    pub(crate) fn new(point: &Point, delta: Total) -> Stream {
        Stream { start: point.start, time: point.time, total: delta }
    }

    /// Adds a delta. Says whether there was a gap before it.
    pub(crate) fn add(&mut self, point: &Point, delta: Total) -> Result<bool, Reason> {
        if point.time <= self.time {
            return Err("out_of_order");
        }
        if point.start != 0 && point.start < self.start {
            return Err("older_start");
        }
        if let Err(delta) = self.total.add(delta) {
            (self.start, self.total) = (self.time, delta);
        }
        let gap = point.start > self.time;
        self.time = point.time;
        Ok(gap)
    }
}
