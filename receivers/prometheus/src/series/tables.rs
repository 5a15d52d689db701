//! The tables that series refer to: names, heads of metrics, origins, and the bytes of label values.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use steadyline_prometheus::MetricKind;

/// Things of which each is kept once, by row.
#[derive(Debug)]
pub(crate) struct Set<T> {
    rows: Vec<Arc<T>>,
    by_thing: HashMap<Arc<T>, u32>,
    /// The row that was asked for last, which is mostly the one that is asked for next.
    last: u32,
}

impl<T> Default for Set<T> {
    fn default() -> Self {
        Set { rows: Vec::new(), by_thing: HashMap::new(), last: 0 }
    }
}

impl<T: Hash + Eq> Set<T> {
    /// The row of a thing, which is made only if the thing in the row that was asked for last is another.
    pub(crate) fn intern_as(&mut self, is_it: impl FnOnce(&T) -> bool, make: impl FnOnce() -> T) -> u32 {
        match self.rows.get(self.last as usize) {
            Some(last) if is_it(last) => self.last,
            _ => {
                self.last = self.intern(make());
                self.last
            }
        }
    }

    /// The row of a thing, added if it is new.
    pub(crate) fn intern(&mut self, thing: T) -> u32 {
        if let Some(row) = self.by_thing.get(&thing) {
            return *row;
        }
        let (row, thing) = (self.rows.len() as u32, Arc::new(thing));
        self.rows.push(Arc::clone(&thing));
        self.by_thing.insert(thing, row);
        row
    }

    /// The thing in a row.
    #[inline]
    pub(crate) fn get(&self, row: u32) -> &T {
        &self.rows[row as usize]
    }
}

/// Names of metrics.
pub(crate) type Names = Set<String>;

/// What a metric of OTLP begins with.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Head {
    /// Its name.
    pub(crate) name: String,
    /// What it is to Prometheus; [`MetricKind::Unknown`] for the parts of a histogram that cannot be put together.
    pub(crate) kind: MetricKind,
    /// How its points look.
    pub(crate) form: Form,
    /// The row of its family, for help and unit; `None` if there is none.
    pub(crate) family: Option<u32>,
}

/// How the points of a metric look in OTLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Form {
    /// One number.
    Number,
    /// Counts by explicit bounds.
    Histogram,
    /// Counts by exponential bounds.
    Exponential,
    /// Quantiles.
    Summary,
}

/// What is the same for all series of a resource and scope.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    /// The label `job`; empty if the series has none.
    pub(crate) job: String,
    /// The label `instance`.
    pub(crate) instance: String,
    /// Labels `otel_scope_*`, without that prefix.
    pub(crate) scope: Vec<(String, String)>,
}

/// Origins by row.
pub(crate) type Origins = Set<Origin>;

/// Texts one after another, with their lengths.
#[derive(Debug, Default)]
pub(super) struct Arena {
    bytes: Vec<u8>,
    lens: Vec<u32>,
}

impl Arena {
    /// Appends values: where their bytes begin, and where their lengths.
    pub(super) fn push<'v>(&mut self, values: impl Iterator<Item = &'v str>) -> (u32, u32) {
        let place = (self.bytes.len() as u32, self.lens.len() as u32);
        for value in values {
            self.bytes.extend_from_slice(value.as_bytes());
            self.lens.push(value.len() as u32);
        }
        place
    }

    #[inline]
    pub(super) fn raw(&self, at: u32, lens: u32, count: usize) -> (&[u32], &[u8]) {
        let lens = &self.lens[lens as usize..lens as usize + count];
        let len: u32 = lens.iter().sum();
        (lens, &self.bytes[at as usize..(at + len) as usize])
    }

    pub(super) fn values(&self, at: u32, lens: u32) -> impl Iterator<Item = &str> {
        let mut at = at as usize;
        self.lens[lens as usize..].iter().map(move |len| {
            let value = &self.bytes[at..at + *len as usize];
            at += *len as usize;
            // Only whole texts go in.
            std::str::from_utf8(value).unwrap_or_default()
        })
    }
}
