//! The last values: families by name, series by their labels, both in byte order; bounded, and forgotten by age.

use std::collections::BTreeMap;
use std::time::Duration;

use steadyline_prometheus::MetricKind;

use crate::losses::Loss;
use crate::value::{OwnedExemplar, Value};

/// Everything that is shown.
#[derive(Debug)]
pub(crate) struct Store {
    families: BTreeMap<String, Family>,
    series: usize,
    max_series: usize,
}

/// What the series of a metric have in common.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Head {
    /// The name as it is shown.
    pub(crate) name: String,
    /// The type.
    pub(crate) kind: MetricKind,
    /// What it means.
    pub(crate) help: String,
    /// The Prometheus word for its unit.
    pub(crate) unit: String,
}

/// A metric and its series by their keys (see [`crate::labels`]).
#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) head: Head,
    pub(crate) series: BTreeMap<Box<[u8]>, Series>,
}

/// The last value of a series.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Series {
    /// Event time, nanoseconds since the Unix epoch.
    pub(crate) time: u64,
    /// When the counting began; 0 = not said.
    pub(crate) start: u64,
    /// When it was last heard of, on the monotonic clock.
    pub(crate) heard: Duration,
    pub(crate) value: Value,
    pub(crate) exemplars: Vec<OwnedExemplar>,
}

/// How old a series may be, at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Age {
    /// The moment, on the monotonic clock.
    pub(crate) now: Duration,
    /// How long a series stays after it was last heard of.
    pub(crate) most: Duration,
}

impl Age {
    /// Whether the series has been silent for too long.
    pub(crate) fn is_over(&self, series: &Series) -> bool {
        self.now.saturating_sub(series.heard) >= self.most
    }
}

/// What became of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Put {
    /// It is shown.
    Shown,
    /// A newer one is.
    Superseded,
}

/// A family with a place for its series.
pub(crate) struct FamilyMut<'s> {
    family: &'s mut Family,
    total: &'s mut usize,
    max_series: usize,
}

impl Store {
    /// An empty store for so many series.
    pub(crate) fn new(max_series: usize) -> Store {
        Store { families: BTreeMap::new(), series: 0, max_series }
    }

    /// How many series there are.
    pub(crate) fn len(&self) -> usize {
        self.series
    }

    /// The family of this name, made if there is none. The description and unit that came first stay.
    ///
    /// # Errors
    /// Its name, or one of those that its samples would have, belongs to a metric of another type.
    pub(crate) fn family(&mut self, head: &Head) -> Result<FamilyMut<'_>, Loss> {
        match self.families.get(&head.name) {
            Some(known) if known.head.kind != head.kind => return Err(Loss::TypeConflict),
            None if self.is_claimed(head) => return Err(Loss::TypeConflict),
            _ => {}
        }
        let new = || Family { head: head.clone(), series: BTreeMap::new() };
        let family = self.families.entry(head.name.clone()).or_insert_with(new);
        Ok(FamilyMut { family, total: &mut self.series, max_series: self.max_series })
    }

    /// Whether a sample of another family has a name that a sample of this one would have.
    fn is_claimed(&self, head: &Head) -> bool {
        let own =
            suffixes(head.kind).iter().any(|suffix| self.families.contains_key(&format!("{}{suffix}", head.name)));
        let others = SUFFIXES.iter().filter_map(|suffix| Some((head.name.strip_suffix(suffix)?, suffix)));
        let mut owners = others.filter_map(|(base, suffix)| Some((self.families.get(base)?.head.kind, suffix)));
        own || owners.any(|(kind, suffix)| suffixes(kind).contains(suffix))
    }

    /// Takes off every series that is too old, and families that have none left. Returns how many series went.
    pub(crate) fn expire(&mut self, age: Age) -> usize {
        let before = self.series;
        self.families.retain(|_, family| {
            let had = family.series.len();
            family.series.retain(|_, series| !age.is_over(series));
            self.series -= had - family.series.len();
            !family.series.is_empty()
        });
        before - self.series
    }

    /// Forgets families without series, so that their names are free again.
    pub(crate) fn prune(&mut self, name: &str) {
        if self.families.get(name).is_some_and(|family| family.series.is_empty()) {
            self.families.remove(name);
        }
    }

    /// The names of all families, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        self.families.keys().cloned().collect()
    }

    /// The family of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&Family> {
        self.families.get(name)
    }
}

impl FamilyMut<'_> {
    /// Shows a value, unless a newer one is shown. Of equal times the later arrival counts.
    ///
    /// # Errors
    /// The series is new, and there are as many as may be.
    pub(crate) fn put(&mut self, key: &[u8], series: Series) -> Result<Put, Loss> {
        if let Some(known) = self.family.series.get_mut(key) {
            known.heard = series.heard;
            if known.time > series.time {
                return Ok(Put::Superseded);
            }
            *known = series;
            return Ok(Put::Shown);
        }
        if *self.total >= self.max_series {
            return Err(Loss::SeriesLimit);
        }
        self.family.series.insert(key.into(), series);
        *self.total += 1;
        Ok(Put::Shown)
    }

    /// Takes a series off that has no value since `time`. A value of that very moment counts more.
    pub(crate) fn end(&mut self, key: &[u8], time: u64) -> Put {
        match self.family.series.get(key) {
            Some(known) if known.time >= time => return Put::Superseded,
            Some(_) => {
                self.family.series.remove(key);
                *self.total -= 1;
            }
            None => {}
        }
        Put::Shown
    }
}

const SUFFIXES: [&str; 3] = ["_bucket", "_count", "_sum"];

/// What the samples of a family are called besides the family's own name.
fn suffixes(kind: MetricKind) -> &'static [&'static str] {
    match kind {
        MetricKind::Histogram | MetricKind::GaugeHistogram => &SUFFIXES,
        MetricKind::Summary => &SUFFIXES[1..],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(name: &str, kind: MetricKind) -> Head {
        Head { name: name.into(), kind, ..Head::default() }
    }

    fn series(time: u64, number: f64) -> Series {
        let heard = Duration::from_secs(time);
        Series { time, start: 0, heard, value: Value::Number(number), exemplars: Vec::new() }
    }

    #[test]
    fn names_that_samples_of_other_families_have_are_taken() {
        use MetricKind::{Counter, Gauge, Histogram, Summary};
        // A family that is there, one that comes, and whether it may.
        let rows = [
            ("a", Gauge, "a", Gauge, true),
            ("a", Gauge, "a", Counter, false),
            ("a", Histogram, "a_sum", Gauge, false),
            ("a", Histogram, "a_bucket", Counter, false),
            ("a", Summary, "a_count", Counter, false),
            ("a", Summary, "a_bucket", Gauge, true),
            ("a", Gauge, "a_count", Counter, true),
            ("a_count", Counter, "a", Histogram, false),
            ("a_bucket", Gauge, "a", Summary, true),
            ("a_count", Gauge, "a", Gauge, true),
        ];
        for (there, its_kind, comes, kind, may) in rows {
            let mut store = Store::new(10);
            store.family(&head(there, its_kind)).unwrap().put(b"", series(1, 1.0)).unwrap();
            let admitted = store.family(&head(comes, kind)).is_ok();
            assert_eq!(admitted, may, "{there} {its_kind:?}, then {comes} {kind:?}");
        }
    }

    #[test]
    fn values_are_superseded_by_time_and_ended() {
        let mut store = Store::new(1);
        let mut family = store.family(&head("a", MetricKind::Gauge)).unwrap();
        assert_eq!(family.put(b"k", series(5, 1.0)), Ok(Put::Shown));
        assert_eq!(family.put(b"k", series(4, 2.0)), Ok(Put::Superseded));
        assert_eq!(family.put(b"k", series(5, 3.0)), Ok(Put::Shown));
        assert_eq!(family.put(b"other", series(9, 1.0)), Err(Loss::SeriesLimit));
        assert_eq!(family.end(b"k", 5), Put::Superseded);
        assert_eq!(family.end(b"unknown", 5), Put::Shown);
        assert_eq!(family.end(b"k", 6), Put::Shown);
        assert_eq!(store.len(), 0);
        store.prune("a");
        assert!(store.names().is_empty());
    }

    #[test]
    fn old_series_go_and_leave_their_names() {
        let mut store = Store::new(10);
        for (name, time) in [("a", 1), ("b", 2), ("b", 3)] {
            let key = [time as u8];
            store.family(&head(name, MetricKind::Gauge)).unwrap().put(&key, series(time, 1.0)).unwrap();
        }
        let age = Age { now: Duration::from_secs(12), most: Duration::from_secs(10) };
        assert_eq!(store.expire(age), 2);
        assert_eq!((store.len(), store.names()), (1, vec!["b".to_owned()]));
        assert!(store.family(&head("a", MetricKind::Counter)).is_ok());
    }
}
