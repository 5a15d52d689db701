//! Changing a batch: tables are copied first if another branch shares them; new bytes go to the batch's own buffer.

use std::sync::Arc;

use super::{Attributes, Metrics, Tables};
use crate::shape::ShapeId;
use crate::slot::{Slot, Value, ValueKind};
use crate::wire::put_varint;

/// Write access to one batch. The wire buffer stays as it came.
#[derive(Debug)]
pub struct Editor<'a> {
    wire: &'a [u8],
    own: &'a mut Vec<u8>,
    /// The tables, free to change; ranges must stay inside their tables.
    pub tables: &'a mut Tables,
}

impl Metrics {
    /// Opens the batch for changes. From here on it is encoded from its tables, no longer from the bytes that arrived.
    pub fn edit(&mut self) -> Editor<'_> {
        self.pristine = false;
        self.distinct = false;
        Editor { wire: &self.wire, own: Arc::make_mut(&mut self.own), tables: Arc::make_mut(&mut self.tables) }
    }
}

impl Editor<'_> {
    /// Appends bytes to the batch's own buffer under the given kind; longer than [`Slot::MAX_LEN`] is cut.
    pub fn push(&mut self, kind: ValueKind, bytes: &[u8]) -> Slot {
        push(self.own, kind, bytes)
    }

    /// Appends text.
    pub fn push_text(&mut self, text: &str) -> Slot {
        push(self.own, ValueKind::Str, text.as_bytes())
    }

    /// Appends text that `write` produces.
    pub fn push_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Slot {
        let at = self.own.len();
        write(self.own);
        Slot::own(ValueKind::Str, at, self.own.len() - at)
    }

    /// Appends any value.
    pub fn push_value(&mut self, value: Value<'_>) -> Slot {
        push_value(self.own, value)
    }

    /// The bytes of a slot.
    pub fn bytes(&self, slot: Slot) -> &[u8] {
        slot.bytes(self.wire, self.own)
    }

    /// The value of a slot.
    pub fn value(&self, slot: Slot) -> Value<'_> {
        slot.value(self.wire, self.own)
    }

    /// The buffer that arrived.
    pub fn wire(&self) -> &[u8] {
        self.wire
    }

    /// The buffer that processors append to.
    pub fn own(&self) -> &[u8] {
        self.own
    }

    /// The shape with these keys.
    pub fn shape(&mut self, keys: &[Slot]) -> ShapeId {
        self.tables.shapes.intern(keys, self.wire, self.own)
    }

    /// A new attribute set from keys and as many values.
    pub fn attributes(&mut self, keys: &[Slot], values: &[Slot]) -> Attributes {
        debug_assert_eq!(keys.len(), values.len());
        let shape = self.shape(keys);
        let at = self.tables.values.len() as u32;
        self.tables.values.extend_from_slice(values);
        Attributes { shape, values: at }
    }

    /// Keeps only the points for which `keep` says so (given the metric's row and the point), closing the gaps;
    /// metrics stay, also those without a point left.
    pub fn retain_points(&mut self, mut keep: impl FnMut(usize, &super::Point) -> bool) {
        self.retain_rows(|metric, _, point| keep(metric, point));
    }

    /// The same, given the point's row too.
    pub(super) fn retain_rows(&mut self, mut keep: impl FnMut(usize, usize, &super::Point) -> bool) {
        let Tables { metrics, points, .. } = &mut *self.tables;
        let mut to = 0usize;
        for (row, metric) in metrics.iter_mut().enumerate() {
            let start = to;
            for from in metric.points.start as usize..metric.points.end as usize {
                if keep(row, from, &points[from]) {
                    points[to] = points[from];
                    to += 1;
                }
            }
            metric.points = start as u32..to as u32;
        }
        points.truncate(to);
    }

    /// Leaves out metrics without points, then scopes without metrics, then resources without scopes: a request then
    /// carries nothing that says nothing.
    pub fn drop_empty(&mut self) {
        let Tables { resources, scopes, metrics, .. } = &mut *self.tables;
        let (all_scopes, all_metrics) = (std::mem::take(scopes), std::mem::take(metrics));
        let mut left = Vec::with_capacity(resources.len());
        for mut resource in std::mem::take(resources) {
            let first_scope = scopes.len() as u32;
            for scope in &all_scopes[resource.scopes.start as usize..resource.scopes.end as usize] {
                let (row, first_metric) = (scopes.len() as u32, metrics.len() as u32);
                let of_scope = &all_metrics[scope.metrics.start as usize..scope.metrics.end as usize];
                let full = of_scope.iter().filter(|metric| !metric.points.is_empty());
                metrics.extend(full.map(|metric| super::Metric { scope: row, ..metric.clone() }));
                if metrics.len() as u32 > first_metric {
                    let (resource, metrics) = (left.len() as u32, first_metric..metrics.len() as u32);
                    scopes.push(super::Scope { resource, metrics, ..scope.clone() });
                }
            }
            if scopes.len() as u32 > first_scope {
                resource.scopes = first_scope..scopes.len() as u32;
                left.push(resource);
            }
        }
        *resources = left;
    }
}

pub(super) fn push(own: &mut Vec<u8>, kind: ValueKind, bytes: &[u8]) -> Slot {
    let at = own.len();
    let bytes = &bytes[..bytes.len().min(Slot::MAX_LEN)];
    own.extend_from_slice(bytes);
    Slot::own(kind, at, bytes.len())
}

pub(super) fn push_value(own: &mut Vec<u8>, value: Value<'_>) -> Slot {
    let at = own.len();
    match value {
        Value::Empty => return Slot::EMPTY_VALUE,
        Value::Str(bytes) => return push(own, ValueKind::Str, bytes),
        Value::Array(bytes) => return push(own, ValueKind::Array, bytes),
        Value::Map(bytes) => return push(own, ValueKind::Map, bytes),
        Value::Bytes(bytes) => return push(own, ValueKind::Bytes, bytes),
        Value::Bool(value) => own.push(u8::from(value)),
        Value::Int(value) => put_varint(own, value as u64),
        Value::Double(value) => own.extend_from_slice(&value.to_le_bytes()),
    }
    let kind = match value {
        Value::Bool(_) => ValueKind::Bool,
        Value::Int(_) => ValueKind::Int,
        _ => ValueKind::Double,
    };
    Slot::own(kind, at, own.len() - at)
}
