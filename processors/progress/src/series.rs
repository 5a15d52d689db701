//! The rules: what one sample does to the state of its series. Pure.

use steadyline_telemetry::{NumberKind, Point};

use crate::config::{Direction, Rule};

/// A sample that is older than the last by more than this means that the clock was set.
const STEP: u64 = 600 * 1_000_000_000;

/// A number that stays whole while it can.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Number {
    Int(i64),
    Double(f64),
}

impl Number {
    /// The number of a point; `None` if it is none that could be counted.
    pub(crate) fn of(point: &Point) -> Option<Number> {
        let number = match point.number {
            NumberKind::Int => Number::Int(point.bits as i64),
            NumberKind::Double => Number::Double(f64::from_bits(point.bits)),
            NumberKind::None | NumberKind::Body => return None,
        };
        number.as_f64().is_finite().then_some(number)
    }

    pub(crate) fn as_f64(self) -> f64 {
        match self {
            Number::Int(value) => value as f64,
            Number::Double(value) => value,
        }
    }

    /// As a point holds it.
    pub(crate) fn parts(self) -> (NumberKind, u64) {
        match self {
            Number::Int(value) => (NumberKind::Int, value as u64),
            Number::Double(value) => (NumberKind::Double, value.to_bits()),
        }
    }

    fn minus(self, other: Number) -> Number {
        match (self, other) {
            (Number::Int(a), Number::Int(b)) => {
                a.checked_sub(b).map_or_else(|| Number::Double(a as f64 - b as f64), Number::Int)
            }
            _ => Number::Double(self.as_f64() - other.as_f64()),
        }
    }

    fn plus(self, other: Number) -> Number {
        match (self, other) {
            (Number::Int(a), Number::Int(b)) => {
                a.checked_add(b).map_or_else(|| Number::Double(a as f64 + b as f64), Number::Int)
            }
            _ => Number::Double(self.as_f64() + other.as_f64()),
        }
    }
}

/// A moment, and how far the counter was then.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Anchor {
    time: u64,
    total: f64,
}

/// What is known of a series. Times are nanoseconds since the epoch.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Series {
    /// The gauge's last value, and when it was so.
    pub value: Number,
    pub time: u64,
    /// How far the gauge has moved in its direction, since when.
    pub total: Number,
    pub start: u64,
    /// For how long the value has not changed, in nanoseconds.
    pub stalled: u64,
    /// The pass of the last sample, for sources that have passes.
    epoch: Option<u64>,
    /// Half to a whole window ago, and at most half of one.
    anchors: [Anchor; 2],
}

/// Where a sample stands in time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct When {
    pub time: u64,
    pub epoch: Option<u64>,
}

impl Series {
    /// A series with its first sample, which counts nothing.
    pub(crate) fn new(value: Number, when: When) -> Series {
        let total = match value {
            Number::Int(_) => Number::Int(0),
            Number::Double(_) => Number::Double(0.0),
        };
        Series::kept(value, when.time, total, when.time, 0).seen_in(when.epoch)
    }

    /// A series as storage has it. The pace is not kept: it is known again after two samples.
    pub(crate) fn kept(value: Number, time: u64, total: Number, start: u64, stalled: u64) -> Series {
        let anchors = [Anchor { time, total: total.as_f64() }; 2];
        Series { value, time, total, start, stalled, epoch: None, anchors }
    }

    fn seen_in(mut self, epoch: Option<u64>) -> Series {
        self.epoch = epoch;
        self
    }

    /// Whether a sample is newer than the last one.
    fn is_newer(&self, when: When) -> bool {
        let later_pass = when.epoch.is_some() && when.epoch != self.epoch;
        when.time > self.time || later_pass || self.time - when.time > STEP
    }

    /// Takes a sample; false if it is not newer than the last.
    pub(crate) fn take(&mut self, rule: &Rule, value: Number, when: When) -> bool {
        if !self.is_newer(when) {
            return false;
        }
        let moved = match rule.direction {
            Direction::Down => self.value.minus(value),
            Direction::Up => value.minus(self.value),
        };
        if moved.as_f64() > 0.0 {
            let total = self.total.plus(moved);
            // Beyond the largest double nothing can be counted.
            self.total = if total.as_f64().is_finite() { total } else { self.total };
        }
        let same = moved.as_f64() == 0.0;
        let passed = when.time.saturating_sub(self.time);
        self.stalled = if same && !reached(rule, value) { self.stalled.saturating_add(passed) } else { 0 };
        if when.time < self.time {
            // The clock was set: what lies before counts from here, and nothing starts in the future.
            self.start = self.start.min(when.time);
            self.anchors = [Anchor { time: when.time, total: self.total.as_f64() }; 2];
        }
        (self.value, self.time, self.epoch) = (value, when.time, when.epoch);
        true
    }

    /// Moves the pace on; to be called after [`Series::eta`].
    pub(crate) fn rotate(&mut self, rule: &Rule) {
        if self.time.saturating_sub(self.anchors[1].time) >= rule.eta_window / 2 {
            self.anchors = [self.anchors[1], Anchor { time: self.time, total: self.total.as_f64() }];
        }
    }

    /// In how many seconds the target is reached at the present pace; `None` while that is not known.
    pub(crate) fn eta(&self, rule: &Rule) -> Option<f64> {
        let target = rule.target?;
        if reached(rule, self.value) {
            return Some(0.0);
        }
        let since = self.time.saturating_sub(self.anchors[0].time);
        if since == 0 {
            return None;
        }
        let pace = (self.total.as_f64() - self.anchors[0].total) / (since as f64 / 1e9);
        let left = (self.value.as_f64() - target).abs();
        Some(if pace > 0.0 { left / pace } else { f64::INFINITY })
    }
}

/// Whether nothing is left to do.
fn reached(rule: &Rule, value: Number) -> bool {
    rule.target.is_some_and(|target| match rule.direction {
        Direction::Down => value.as_f64() <= target,
        Direction::Up => value.as_f64() >= target,
    })
}
