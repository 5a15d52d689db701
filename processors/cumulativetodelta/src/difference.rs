//! The rules: what was added between two points of a series.
//! Pure: a stream, a point and its reading in, a delta or a reason out.

use steadyline_telemetry::{Point, Reading};

/// Buckets a side of an exponential histogram that are followed; finer ones are joined.
pub(crate) const MAX_EXPONENTIAL_BUCKETS: usize = 320;

/// A series: its last point.
#[derive(Debug)]
pub(crate) struct Stream {
    start: u64,
    time: u64,
    last: Reading,
}

/// A delta: what was added, and since when.
#[derive(Debug, PartialEq)]
pub(crate) struct Delta {
    pub start: u64,
    pub added: Reading,
}

/// Why a point is dropped: the word it is counted under.
pub(crate) type Reason = &'static str;

/// What was added since an earlier reading; `None` if this one does not go on from it.
fn since(now: &Reading, earlier: &Reading) -> Option<Reading> {
    match (now, earlier) {
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
            let added = now.as_f64()? - earlier.as_f64()?;
            (added >= 0.0 && added.is_finite()).then_some(Reading::Double(added))
        }
    }
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
        let added = if is_restart { None } else { since(&reading, &self.last) };
        let delta = match added {
            Some(added) => Delta { start: self.time, added },
            None => Delta { start: if starts_later { point.start } else { self.time }, added: reading.clone() },
        };
        *self = Stream { start: point.start, time: point.time, last: reading };
        Ok(delta)
    }
}
