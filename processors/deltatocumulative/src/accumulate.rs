//! The rules: what one delta does to the total of its series.
//! Pure: a stream, a point and its delta in, a total or a reason out.

use steadyline_telemetry::{MetricKind, Point, Reading};

/// Buckets a side of an exponential histogram, as SDKs have them.
const MAX_EXPONENTIAL_BUCKETS: usize = 160;

/// A series.
#[derive(Debug)]
pub(crate) struct Stream {
    /// Where the total starts, nanoseconds since the epoch; 0 = nobody said.
    pub start: u64,
    /// The last point's time.
    pub time: u64,
    /// What it adds up to.
    pub total: Reading,
}

/// Why a point is dropped: the word it is counted under.
pub(crate) type Reason = &'static str;

/// What a delta says, checked.
pub(crate) fn read(kind: MetricKind, point: &Point, body: &[u8]) -> Result<Reading, Reason> {
    let delta = Reading::of(kind, point, body, MAX_EXPONENTIAL_BUCKETS)?;
    let is_monotonic = matches!(kind, MetricKind::Sum { monotonic: true, .. });
    if is_monotonic && delta.as_f64().is_some_and(|value| value < 0.0) { Err("negative") } else { Ok(delta) }
}

/// Adds a delta; gives it back if the sum cannot be expressed.
fn add(total: &mut Reading, delta: Reading) -> Result<(), Reading> {
    let added = match (&mut *total, &delta) {
        (Reading::Int(total), Reading::Int(delta)) => total.checked_add(*delta).map(Reading::Int),
        (Reading::Histogram(total), Reading::Histogram(other)) => return total.add(other).map_err(|_| delta),
        (Reading::Exponential(total), Reading::Exponential(other)) => {
            return total.add(other, MAX_EXPONENTIAL_BUCKETS).map_err(|_| delta);
        }
        (total, delta) => match (total.as_f64(), delta.as_f64()) {
            (Some(total), Some(delta)) => Some(total + delta).filter(|sum| sum.is_finite()).map(Reading::Double),
            _ => None,
        },
    };
    *total = added.ok_or(delta)?;
    Ok(())
}

impl Stream {
    /// A series that begins with its first delta.
    pub(crate) fn new(point: &Point, delta: Reading) -> Stream {
        Stream { start: point.start, time: point.time, total: delta }
    }

    /// Adds a delta. Says whether there was a gap before it.
    pub(crate) fn add(&mut self, point: &Point, delta: Reading) -> Result<bool, Reason> {
        if point.time <= self.time {
            return Err("out_of_order");
        }
        if point.start != 0 && point.start < self.start {
            return Err("older_start");
        }
        if let Err(delta) = add(&mut self.total, delta) {
            (self.start, self.total) = (self.time, delta);
        }
        let gap = point.start > self.time;
        self.time = point.time;
        Ok(gap)
    }
}
