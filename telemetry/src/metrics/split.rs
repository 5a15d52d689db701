//! One batch as several: the pieces share its buffers, each has rows of its own for its points and what is above them.
//! A piece costs what it holds, however large the whole is.

use std::sync::Arc;

use super::{Attributes, Metric, Metrics, Point, Resource, Scope, Tables};
use crate::shape::ShapeId;

impl Metrics {
    /// The batch in pieces of at most `most` points (at least 1), in order. A batch that is small enough comes back as
    /// it is; once it is cut, what has no points is left out.
    pub fn split(&self, most: usize) -> Vec<Metrics> {
        let most = most.max(1);
        if self.points() <= most {
            return vec![self.clone()];
        }
        let mut pieces = Vec::with_capacity(self.points().div_ceil(most));
        let mut cutter = Cutter::new(self);
        for row in 0..self.tables.metrics.len() {
            let mut left = self.points_of(&self.tables.metrics[row]);
            while !left.is_empty() {
                let room = most - cutter.tables.points.len();
                let (first, rest) = left.split_at(left.len().min(room));
                cutter.take(row, first);
                left = rest;
                if cutter.tables.points.len() == most {
                    pieces.push(std::mem::replace(&mut cutter, Cutter::new(self)).finish());
                }
            }
        }
        if !cutter.tables.points.is_empty() {
            pieces.push(cutter.finish());
        }
        pieces
    }
}

/// A piece in the making.
struct Cutter<'a> {
    whole: &'a Metrics,
    tables: Tables,
    /// The rows of the whole that are open in the piece.
    resource: Option<u32>,
    scope: Option<u32>,
    /// The piece's shape for each shape of the whole, once it is used.
    shapes: Vec<Option<ShapeId>>,
}

impl<'a> Cutter<'a> {
    fn new(whole: &'a Metrics) -> Cutter<'a> {
        let shapes = vec![None; whole.tables.shapes.len()];
        Cutter { whole, tables: Tables::default(), resource: None, scope: None, shapes }
    }

    fn finish(self) -> Metrics {
        let (wire, own) = (self.whole.wire.clone(), Arc::clone(&self.whole.own));
        Metrics { wire, own, tables: Arc::new(self.tables), pristine: false, distinct: false }
    }

    /// Adds points of one metric of the whole.
    fn take(&mut self, row: usize, points: &[Point]) {
        let metric = &self.whole.tables.metrics[row];
        self.open(metric.scope);
        let first = self.tables.points.len() as u32;
        for point in points {
            let Attributes { shape, values } = self.attributes(point.attributes());
            self.tables.points.push(Point { shape, values, ..*point });
        }
        let metadata = self.attributes(metric.metadata);
        let scope = self.tables.scopes.len() as u32 - 1;
        let points = first..self.tables.points.len() as u32;
        self.tables.metrics.push(Metric { scope, metadata, points, ..metric.clone() });
        if let Some(scope) = self.tables.scopes.last_mut() {
            scope.metrics.end = self.tables.metrics.len() as u32;
        }
    }

    /// Opens a scope of the whole, and its resource, unless they are open.
    fn open(&mut self, row: u32) {
        if self.scope == Some(row) {
            return;
        }
        let scope = &self.whole.tables.scopes[row as usize];
        if self.resource != Some(scope.resource) {
            self.open_resource(scope.resource);
        }
        let attributes = self.attributes(scope.attributes);
        let metrics = self.tables.metrics.len() as u32;
        let resource = self.tables.resources.len() as u32 - 1;
        self.tables.scopes.push(Scope { resource, attributes, metrics: metrics..metrics, ..scope.clone() });
        if let Some(resource) = self.tables.resources.last_mut() {
            resource.scopes.end = self.tables.scopes.len() as u32;
        }
        self.scope = Some(row);
    }

    fn open_resource(&mut self, row: u32) {
        let resource = &self.whole.tables.resources[row as usize];
        let attributes = self.attributes(resource.attributes);
        let first = self.tables.extras.len() as u32;
        let entities = resource.entities.start as usize..resource.entities.end as usize;
        self.tables.extras.extend_from_slice(&self.whole.tables.extras[entities]);
        let entities = first..self.tables.extras.len() as u32;
        let scopes = self.tables.scopes.len() as u32;
        self.tables.resources.push(Resource { attributes, entities, scopes: scopes..scopes, ..resource.clone() });
        self.resource = Some(row);
    }

    fn attributes(&mut self, attributes: Attributes) -> Attributes {
        let whole = self.whole;
        let shapes = &mut self.tables.shapes;
        let shape = *self.shapes[attributes.shape.index()]
            .get_or_insert_with(|| shapes.intern(whole.keys(attributes.shape), &whole.wire, &whole.own));
        let values = self.tables.values.len() as u32;
        self.tables.values.extend_from_slice(whole.values(attributes));
        Attributes { shape, values }
    }
}
