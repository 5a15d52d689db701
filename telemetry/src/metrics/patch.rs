//! Changes to points, gathered while a batch is read and made when all are known: reading borrows the batch, changing
//! it does too. A batch that nothing changes in stays as it came.

use std::ops::Range;

use super::{MetricKind, Metrics, Point};
use crate::slot::ValueKind;

/// What is to change in one batch. Reusable: applying it empties it.
#[derive(Debug, Default)]
pub struct Patch {
    kinds: Vec<(usize, MetricKind)>,
    points: Vec<(usize, Point, Option<Range<usize>>)>,
    dropped: Vec<usize>,
    bodies: Vec<u8>,
}

impl Patch {
    /// The metric in this row becomes one of another kind.
    pub fn set_kind(&mut self, metric: usize, kind: MetricKind) {
        self.kinds.push((metric, kind));
    }

    /// The point in this row of [`super::Tables::points`] becomes another one.
    pub fn set_point(&mut self, row: usize, point: Point) {
        self.points.push((row, point, None));
    }

    /// The same, with a message that `write` appends, of the form that [`super::MetricsBuilder::body`] takes.
    pub fn set_body(&mut self, row: usize, point: Point, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bodies.len();
        write(&mut self.bodies);
        self.points.push((row, point, Some(start..self.bodies.len())));
    }

    /// The point in this row goes. Rows are given in rising order.
    pub fn drop_point(&mut self, row: usize) {
        debug_assert!(self.dropped.last().is_none_or(|last| *last < row));
        self.dropped.push(row);
    }

    /// Whether nothing is to change.
    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty() && self.points.is_empty() && self.dropped.is_empty()
    }

    /// Changes the batch. What is left without points goes too, if points go.
    pub fn apply(&mut self, metrics: &mut Metrics) {
        if self.is_empty() {
            return;
        }
        let mut editor = metrics.edit();
        for (row, kind) in self.kinds.drain(..) {
            editor.tables.metrics[row].kind = kind;
        }
        for (row, mut point, body) in self.points.drain(..) {
            if let Some(body) = body {
                point.body = editor.push(ValueKind::Bytes, &self.bodies[body]);
            }
            editor.tables.points[row] = point;
        }
        self.bodies.clear();
        if !self.dropped.is_empty() {
            editor.retain_rows(|_, row, _| self.dropped.binary_search(&row).is_err());
            editor.drop_empty();
            self.dropped.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{HistogramView, MetricDef, MetricsBuilder, NumberValue};
    use crate::{Limits, ShapeId, Temporality};

    #[test]
    fn changes_are_made_together_and_what_is_empty_goes() {
        let mut builder = MetricsBuilder::new();
        for (name, value) in [("a", 1), ("b", 2)] {
            builder.resource([]);
            let metric = builder.metric(MetricDef::gauge(name));
            builder.number(metric, ShapeId::EMPTY, &[], value, 0, NumberValue::Int(value as i64));
        }
        let histogram = MetricKind::Histogram { temporality: Temporality::Delta };
        let metric = builder.metric(MetricDef { kind: histogram, ..MetricDef::gauge("c") });
        builder.body(metric, ShapeId::EMPTY, &[], 3, 0, 0, &[]);
        let built = Metrics::decode(builder.finish().encode(), &Limits::default()).unwrap_or_default();
        let mut patch = Patch::default();
        let mut same = built.clone();
        patch.apply(&mut same);
        assert_eq!(same.encode().as_ptr(), built.encode().as_ptr());
        let mut changed = built.clone();
        let point = built.tables().points[1];
        patch.drop_point(0);
        patch.set_point(1, Point { bits: 7, ..point });
        let body = |out: &mut Vec<u8>| crate::wire::put_fixed64(out, 4, 5);
        patch.set_body(2, Point { start: 9, ..built.tables().points[2] }, body);
        patch.set_kind(2, MetricKind::Histogram { temporality: Temporality::Cumulative });
        patch.apply(&mut changed);
        assert!(patch.is_empty());
        let again = Metrics::decode(changed.encode(), &Limits::default()).unwrap_or_default();
        let tables = again.tables();
        assert_eq!((tables.resources.len(), tables.metrics.len(), tables.points.len()), (1, 2, 2));
        assert_eq!((tables.points[0].bits, tables.points[1].start, tables.points[1].time), (7, 9, 3));
        assert_eq!(tables.metrics[1].kind.temporality(), Some(Temporality::Cumulative));
        assert_eq!(HistogramView::new(again.bytes(tables.points[1].body)).count, 5);
    }
}
