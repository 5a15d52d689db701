//! Sums and histograms by series: one event after the other is added to them.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use steadyline_component::telemetry::metrics::{Histogram, NumberValue, Totals};
use steadyline_mapping::number::Number;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::event::EventPoint;
use crate::plan::{Output, OutputKind};

/// What tells a series from others: a keyed hash of the metric's name and the labels, the same after a restart.
pub(crate) type SeriesId = u128;

/// One series.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Series {
    pub(crate) output: usize,
    pub(crate) labels: Box<[Option<Box<str>>]>,
    pub(crate) total: Total,
    /// Since when it counts, nanoseconds since the Unix epoch.
    pub(crate) start: u64,
    /// The time of the last point that went out.
    pub(crate) stamp: u64,
    /// When the last event came, on the monotonic clock.
    pub(crate) touched: Duration,
}

/// What a series came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Total {
    /// A sum of whole numbers.
    Int(i64),
    /// Any other sum.
    Float(f64),
    /// Observations.
    Histogram(Counted),
}

/// Observations by buckets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Counted {
    count: u64,
    sum: f64,
    min: f64,
    max: f64,
    pub(crate) bounds: Vec<f64>,
    counts: Vec<u64>,
}

impl Total {
    /// Nothing yet.
    pub(crate) fn none(kind: &OutputKind) -> Self {
        match kind {
            OutputKind::Histogram { bounds } => Total::Histogram(Counted {
                bounds: bounds.to_vec(),
                counts: vec![0; bounds.len() + 1],
                ..Counted::default()
            }),
            _ => Total::Int(0),
        }
    }

    /// Adds one number.
    pub(crate) fn add(&mut self, number: Number) {
        *self = match (&*self, number) {
            (Total::Int(sum), Number::Int(int)) => match sum.checked_add(int) {
                Some(sum) => Total::Int(sum),
                None => Total::Float(*sum as f64 + int as f64),
            },
            (Total::Int(sum), Number::Float(float)) => Total::Float(*sum as f64 + float),
            (Total::Float(sum), number) => Total::Float(sum + number.as_f64()),
            (Total::Histogram(_), number) => {
                if let Total::Histogram(counted) = self {
                    counted.add(number.as_f64());
                }
                return;
            }
        };
    }

    /// The value of a point of a sum.
    pub(crate) fn number(&self) -> NumberValue {
        match self {
            Total::Int(int) => NumberValue::Int(*int),
            Total::Float(float) => NumberValue::Double(*float),
            Total::Histogram(_) => NumberValue::NoValue,
        }
    }
}

impl Counted {
    fn add(&mut self, value: f64) {
        (self.min, self.max) = match self.count {
            0 => (value, value),
            _ => (self.min.min(value), self.max.max(value)),
        };
        self.count += 1;
        self.sum += value;
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.counts[bucket] += 1;
    }

    /// Writes the point's message.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let totals = Totals { count: self.count, sum: Some(self.sum), min: Some(self.min), max: Some(self.max) };
        Histogram { totals, bounds: self.bounds.clone(), counts: self.counts.clone() }.write(&[], out);
    }
}

/// Identifies series.
#[derive(Debug)]
pub(crate) struct Identifier {
    outputs: Arc<[Output]>,
    seed: u64,
    scratch: Vec<u8>,
}

impl Identifier {
    pub(crate) fn new(outputs: Arc<[Output]>, seed: u64) -> Self {
        Self { outputs, seed, scratch: Vec::new() }
    }

    /// The id of the series that a point belongs to.
    pub(crate) fn of(&mut self, output: usize, labels: &[Option<Box<str>>]) -> SeriesId {
        let definition = &self.outputs[output];
        self.scratch.clear();
        put(&mut self.scratch, &definition.name);
        // Labels that are not there are no part of the series, and the order in which config has them is not either.
        let mut pairs: Vec<(&str, &str)> = definition
            .labels
            .iter()
            .zip(labels)
            .filter_map(|(name, value)| Some((name.as_str(), value.as_deref()?)))
            .collect();
        pairs.sort_unstable();
        for (name, value) in pairs {
            put(&mut self.scratch, name);
            put(&mut self.scratch, value);
        }
        xxh3_128_with_seed(&self.scratch, self.seed)
    }
}

fn put(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u64).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// Every cumulative series, bounded in number.
#[derive(Debug)]
pub(crate) struct SeriesTable {
    known: HashMap<SeriesId, Series>,
    most: usize,
    /// The series whose state has changed since it was last kept.
    pub(crate) dirty: HashSet<SeriesId>,
}

impl SeriesTable {
    pub(crate) fn new(most: usize) -> Self {
        Self { known: HashMap::new(), most, dirty: HashSet::new() }
    }

    /// Adds a point's number to its series, which is made if there is room; `false` if there is none.
    pub(crate) fn add(
        &mut self,
        id: SeriesId,
        point: &EventPoint,
        kind: &OutputKind,
        now: u64,
        mono: Duration,
    ) -> bool {
        let is_full = self.known.len() >= self.most;
        let series = match self.known.entry(id) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(_) if is_full => return false,
            Entry::Vacant(place) => place.insert(Series {
                output: point.output,
                labels: point.labels.clone(),
                total: Total::none(kind),
                start: now,
                stamp: now,
                touched: mono,
            }),
        };
        series.total.add(point.value);
        series.touched = mono;
        self.dirty.insert(id);
        true
    }

    /// A series.
    pub(crate) fn get(&self, id: SeriesId) -> Option<&Series> {
        self.known.get(&id)
    }

    /// The series, with a stamp for its next point: now, and above the last one by what Prometheus can tell apart.
    pub(crate) fn stamped(&mut self, id: SeriesId, now: u64) -> Option<&Series> {
        let series = self.known.get_mut(&id)?;
        series.stamp = now.max(series.stamp + 1_000_000);
        Some(series)
    }

    /// Puts back a series that was kept.
    pub(crate) fn restore(&mut self, id: SeriesId, series: Series) {
        self.known.insert(id, series);
    }

    /// Forgets series without an event since `before`; says which.
    pub(crate) fn expire(&mut self, before: Duration) -> Vec<SeriesId> {
        let old: Vec<SeriesId> =
            self.known.iter().filter(|(_, series)| series.touched < before).map(|(id, _)| *id).collect();
        for id in &old {
            self.known.remove(id);
            self.dirty.remove(id);
        }
        old
    }

    /// Forgets everything; says what.
    pub(crate) fn clear(&mut self) -> Vec<SeriesId> {
        self.dirty.clear();
        self.known.drain().map(|(id, _)| id).collect()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_add_up_and_stay_whole_where_they_can() {
        let mut total = Total::none(&OutputKind::Sum { monotonic: true });
        total.add(Number::Int(2));
        total.add(Number::Int(3));
        assert_eq!(total, Total::Int(5));
        total.add(Number::Float(0.5));
        total.add(Number::Int(1));
        assert_eq!(total, Total::Float(6.5));
        let mut full = Total::Int(i64::MAX);
        full.add(Number::Int(1));
        assert_eq!(full, Total::Float(9.223_372_036_854_776e18));
    }

    #[test]
    fn observations_fall_into_buckets_and_their_bounds_belong_to_the_lower_one() {
        let mut total = Total::none(&OutputKind::Histogram { bounds: [1.0, 10.0].into() });
        for value in [0.5, 1.0, 5.0, 100.0] {
            total.add(Number::Float(value));
        }
        let Total::Histogram(counted) = &total else { panic!("a histogram") };
        assert_eq!((counted.count, counted.sum, counted.min, counted.max), (4, 106.5, 0.5, 100.0));
        assert_eq!(counted.counts, [2, 1, 1]);
        let mut out = Vec::new();
        counted.write(&mut out);
        assert_eq!(Histogram::read(&out).totals.count, 4);
    }

    #[test]
    fn a_series_is_its_name_and_the_labels_that_are_there() {
        let output = |labels: &[&str]| Output {
            name: "n".into(),
            unit: String::new(),
            description: String::new(),
            kind: OutputKind::Gauge,
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        };
        let mut identifier = Identifier::new([output(&["a", "b"]), output(&["b", "a", "c"])].into(), 7);
        let text = |text: &str| Some(Box::from(text));
        let first = identifier.of(0, &[text("x"), text("y")]);
        assert_eq!(identifier.of(1, &[text("y"), text("x"), None]), first);
        assert_ne!(identifier.of(0, &[text("y"), text("x")]), first);
        assert_ne!(identifier.of(0, &[text("x"), None]), first);
    }
}
