//! Several batches as one: buffers stand one behind the other, rows follow with their positions moved on.
//! Keys are looked at once a shape; a point costs the copy of its rows.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::{Attributes, Metric, Metrics, Point, Resource, Scope, Tables};
use crate::shape::{ShapeId, ShapeTable};
use crate::slot::Slot;

impl Metrics {
    /// All points of all parts, in order. Resources, scopes and metrics stay as they are, equal ones included, so
    /// batches that nobody changed make one that is encoded by giving back its bytes.
    ///
    /// `None` if positions in the joined buffers or tables would not fit 32 bits (4 GiB).
    pub fn join(parts: &[Metrics]) -> Option<Metrics> {
        if let [part] = parts {
            return Some(part.clone());
        }
        let wire = concat(parts, Metrics::wire)?;
        let own = concat(parts, Metrics::own)?;
        let tables = Joiner::new(parts, &wire, &own)?.join(parts);
        let pristine = parts.iter().all(|part| part.pristine);
        Some(Metrics {
            wire: Bytes::from(wire),
            own: Arc::new(own),
            tables: Arc::new(tables),
            pristine,
            distinct: false,
        })
    }
}

fn concat(parts: &[Metrics], buffer: fn(&Metrics) -> &[u8]) -> Option<Vec<u8>> {
    let len: usize = parts.iter().map(|part| buffer(part).len()).sum();
    u32::try_from(len).ok()?;
    let mut joined = Vec::with_capacity(len);
    parts.iter().for_each(|part| joined.extend_from_slice(buffer(part)));
    Some(joined)
}

/// The tables in the making.
struct Joiner<'a> {
    wire: &'a [u8],
    own: &'a [u8],
    tables: Tables,
}

/// What is added to the positions of one part.
#[derive(Clone, Copy)]
struct Shift<'a> {
    wire: u32,
    own: u32,
    resources: u32,
    scopes: u32,
    metrics: u32,
    points: u32,
    values: u32,
    extras: u32,
    /// The joined shape of each of the part's.
    shapes: &'a [ShapeId],
}

impl<'a> Joiner<'a> {
    /// Makes room; `None` if there are more rows than 32 bits count.
    fn new(parts: &[Metrics], wire: &'a [u8], own: &'a [u8]) -> Option<Joiner<'a>> {
        let mut tables = Tables::default();
        reserve(&mut tables.resources, parts, |t| &t.resources)?;
        reserve(&mut tables.scopes, parts, |t| &t.scopes)?;
        reserve(&mut tables.metrics, parts, |t| &t.metrics)?;
        reserve(&mut tables.points, parts, |t| &t.points)?;
        reserve(&mut tables.values, parts, |t| &t.values)?;
        reserve(&mut tables.extras, parts, |t| &t.extras)?;
        Some(Joiner { wire, own, tables })
    }

    fn join(mut self, parts: &[Metrics]) -> Tables {
        let (mut wire, mut own) = (0, 0);
        for part in parts {
            let shapes = self.shapes(&part.tables.shapes, wire, own);
            self.part(&part.tables, wire, own, &shapes);
            // Both sums fit: the buffers were measured before.
            wire += part.wire.len() as u32;
            own += part.own.len() as u32;
        }
        self.tables
    }

    fn shapes(&mut self, part: &ShapeTable, wire: u32, own: u32) -> Vec<ShapeId> {
        let mut keys = Vec::new();
        let ids = (0..part.len() as u32).map(|id| {
            keys.clear();
            keys.extend(part.keys(ShapeId(id)).iter().map(|key| key.shifted(wire, own)));
            self.tables.shapes.intern(&keys, self.wire, self.own)
        });
        ids.collect()
    }

    fn part(&mut self, part: &Tables, wire: u32, own: u32, shapes: &[ShapeId]) {
        let to = &mut self.tables;
        let by = Shift {
            wire,
            own,
            resources: to.resources.len() as u32,
            scopes: to.scopes.len() as u32,
            metrics: to.metrics.len() as u32,
            points: to.points.len() as u32,
            values: to.values.len() as u32,
            extras: to.extras.len() as u32,
            shapes,
        };
        to.resources.extend(part.resources.iter().map(|resource| by.resource(resource)));
        to.scopes.extend(part.scopes.iter().map(|scope| by.scope(scope)));
        to.metrics.extend(part.metrics.iter().map(|metric| by.metric(metric)));
        to.points.extend(part.points.iter().map(|point| by.point(point)));
        to.values.extend(part.values.iter().map(|slot| slot.shifted(wire, own)));
        to.extras.extend(part.extras.iter().map(|slot| slot.shifted(wire, own)));
    }
}

impl Shift<'_> {
    fn slot(&self, slot: Slot) -> Slot {
        slot.shifted(self.wire, self.own)
    }

    fn attributes(&self, attributes: Attributes) -> Attributes {
        Attributes { shape: self.shapes[attributes.shape.index()], values: attributes.values + self.values }
    }

    fn resource(&self, resource: &Resource) -> Resource {
        Resource {
            attributes: self.attributes(resource.attributes),
            entities: moved(&resource.entities, self.extras),
            schema_url: self.slot(resource.schema_url),
            scopes: moved(&resource.scopes, self.scopes),
            ..*resource
        }
    }

    fn scope(&self, scope: &Scope) -> Scope {
        Scope {
            resource: scope.resource + self.resources,
            name: self.slot(scope.name),
            version: self.slot(scope.version),
            attributes: self.attributes(scope.attributes),
            schema_url: self.slot(scope.schema_url),
            metrics: moved(&scope.metrics, self.metrics),
            ..*scope
        }
    }

    fn metric(&self, metric: &Metric) -> Metric {
        Metric {
            scope: metric.scope + self.scopes,
            name: self.slot(metric.name),
            description: self.slot(metric.description),
            unit: self.slot(metric.unit),
            kind: metric.kind,
            metadata: self.attributes(metric.metadata),
            points: moved(&metric.points, self.points),
        }
    }

    #[inline]
    fn point(&self, point: &Point) -> Point {
        let Attributes { shape, values } = self.attributes(point.attributes());
        Point { body: self.slot(point.body), shape, values, ..*point }
    }
}

fn moved(range: &Range<u32>, by: u32) -> Range<u32> {
    range.start + by..range.end + by
}

fn reserve<T>(rows: &mut Vec<T>, parts: &[Metrics], table: fn(&Tables) -> &Vec<T>) -> Option<()> {
    let len: usize = parts.iter().map(|part| table(&part.tables).len()).sum();
    u32::try_from(len).ok()?;
    rows.reserve_exact(len);
    Some(())
}
