//! Which points of a batch of metrics are meant. Attribute tests are placed once per shape; only tests on values look at
//! points.

use steadyline_telemetry::{Metrics, ShapeId};

use super::test::{AttributeTest, LibraryTest, ValueTest};
use super::{Match, Selection, Verdict};
use crate::lookup::{Lookup, Set};

/// The points that are meant, by their rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chosen {
    /// All of them.
    All,
    /// None of them.
    None,
    /// Those for which it says so.
    Some(Vec<bool>),
}

impl Chosen {
    /// Whether a point is meant.
    #[inline]
    pub fn has(&self, row: usize) -> bool {
        match self {
            Chosen::All => true,
            Chosen::None => false,
            Chosen::Some(rows) => rows[row],
        }
    }

    /// From what is said of each point.
    pub fn from_rows(rows: Vec<bool>) -> Chosen {
        match (rows.iter().any(|row| *row), rows.iter().all(|row| *row)) {
            (_, true) => Chosen::All,
            (false, _) => Chosen::None,
            _ => Chosen::Some(rows),
        }
    }
}

impl Match {
    /// Whether a resource fits.
    pub fn resource(&self, attributes: &(impl Lookup + ?Sized)) -> bool {
        let service = |services: &super::Texts| {
            let name = attributes.read("service.name");
            name.is_some_and(|name| services.fits(&crate::value::text(name.value())))
        };
        AttributeTest::all(&self.resources, attributes) && self.services.as_ref().is_none_or(service)
    }

    /// Whether a scope fits.
    pub fn scope(&self, name: &str, version: &str) -> bool {
        LibraryTest::any(&self.libraries, name, version)
    }

    /// Whether the name of a metric or span fits.
    pub fn name(&self, name: &str) -> bool {
        self.names.as_ref().is_none_or(|names| names.fits(name))
    }
}

impl Selection {
    /// The points that are meant.
    pub fn points(&self, metrics: &Metrics) -> Chosen {
        if self.is_all() {
            return Chosen::All;
        }
        let tables = metrics.tables();
        let resources: Vec<Verdict> = tables
            .resources
            .iter()
            .map(|resource| {
                let set = Set { metrics, attributes: resource.attributes };
                self.narrow(self.start(), |m| m.resource(&set))
            })
            .collect();
        let scopes: Vec<Verdict> = tables
            .scopes
            .iter()
            .map(|scope| {
                let (name, version) = (metrics.text(scope.name), metrics.text(scope.version));
                self.narrow(resources[scope.resource as usize], |m| m.scope(name, version))
            })
            .collect();
        let mut keys = [Placed::new(self.include.as_ref()), Placed::new(self.exclude.as_ref())];
        let mut rows = vec![false; tables.points.len()];
        for metric in &tables.metrics {
            let verdict = self.narrow(scopes[metric.scope as usize], |m| m.name(metrics.text(metric.name)));
            if verdict.is_lost() {
                continue;
            }
            let range = metric.points.start as usize..metric.points.end as usize;
            for (row, point) in rows[range.clone()].iter_mut().zip(&tables.points[range]) {
                let values = metrics.values(point.attributes());
                let [include, exclude] = &mut keys;
                let holds = |placed: &mut Placed<'_>| placed.holds(metrics, point.shape, values);
                *row = holds(include) && !(verdict.exclude && holds(exclude));
            }
        }
        Chosen::from_rows(rows)
    }
}

/// The attribute tests of a match, placed by shape.
struct Placed<'a> {
    tests: &'a [AttributeTest],
    shapes: Vec<Option<Place<'a>>>,
}

enum Place<'a> {
    /// A key is missing.
    Never,
    /// These values must hold; without one, the keys were all that was asked for.
    Values(Vec<(usize, &'a ValueTest)>),
}

impl<'a> Placed<'a> {
    fn new(tests: Option<&'a Match>) -> Self {
        Placed { tests: tests.map_or(&[], |m| &m.attributes), shapes: Vec::new() }
    }

    fn holds(&mut self, metrics: &Metrics, shape: ShapeId, values: &[steadyline_telemetry::Slot]) -> bool {
        if self.tests.is_empty() {
            return true;
        }
        if self.shapes.len() <= shape.index() {
            self.shapes.resize_with(metrics.tables().shapes.len(), || None);
        }
        let tests = self.tests;
        match self.shapes[shape.index()].get_or_insert_with(|| place(tests, metrics, shape)) {
            Place::Never => false,
            Place::Values(tests) => tests.iter().all(|(at, test)| test.holds(metrics.value(values[*at]))),
        }
    }
}

fn place<'a>(tests: &'a [AttributeTest], metrics: &Metrics, shape: ShapeId) -> Place<'a> {
    let keys = metrics.keys(shape);
    let mut values = Vec::new();
    for test in tests {
        let Some(at) = keys.iter().position(|key| metrics.bytes(*key) == test.key.as_bytes()) else {
            return Place::Never;
        };
        values.extend(test.value.as_ref().map(|value| (at, value)));
    }
    Place::Values(values)
}
