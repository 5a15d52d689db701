//! Metrics with their scopes and resources, as series refer to them: packed, held once, counted by use.

use steadyline_telemetry::metrics::{Attributes, Metric};
use steadyline_telemetry::wire::put_varint;
use steadyline_telemetry::{MetricKind, Metrics, Slot, Temporality, ValueKind};

use crate::pack::{self, Unpack};
use crate::pool::Pool;

/// The metrics, scopes and resources of all series.
#[derive(Debug, Default)]
pub(crate) struct Families {
    resources: Pool,
    scopes: Pool,
    metrics: Pool,
    scratch: Vec<u8>,
    /// The scope of the batch at hand that came last: its row and id, counted as one use.
    current: Option<(u32, u32)>,
}

/// Where a family belongs in an outgoing batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// The resource's id.
    pub resource: u32,
    /// The scope's id.
    pub scope: u32,
}

/// The head of a metric, unpacked.
pub(crate) struct Head<'a> {
    /// The metric's name.
    pub name: &'a [u8],
    /// Its description.
    pub description: &'a [u8],
    /// Its unit.
    pub unit: &'a [u8],
    /// The kind of its points.
    pub kind: MetricKind,
    /// Its metadata: pairs of packed values.
    pub metadata: Unpack<'a>,
}

impl Families {
    /// The id of a metric of a batch; counts as one use.
    pub(crate) fn intern(&mut self, batch: &Metrics, metric: &Metric) -> u32 {
        let scope = self.scope(batch, metric.scope);
        let out = &mut self.scratch;
        out.clear();
        put_varint(out, u64::from(scope));
        for slot in [metric.name, metric.description, metric.unit] {
            pack::put(out, ValueKind::Str, batch.bytes(slot));
        }
        put_varint(out, kind_code(metric.kind));
        put_attributes(out, batch, metric.metadata);
        let (id, new) = self.metrics.intern(out);
        if new {
            self.scopes.retain(scope);
        }
        id
    }

    /// Says that the batch at hand is done with.
    pub(crate) fn end_batch(&mut self) {
        if let Some((_, scope)) = self.current.take() {
            self.release_scope(scope);
        }
    }

    /// Counts one more use of a metric.
    pub(crate) fn retain(&mut self, family: u32) {
        self.metrics.retain(family);
    }

    /// Counts one use of a metric less; what is then unused is freed.
    pub(crate) fn release(&mut self, family: u32) {
        if let Some(bytes) = self.metrics.release(family) {
            self.release_scope(Unpack::new(&bytes).number() as u32);
        }
    }

    /// Where a metric belongs.
    pub(crate) fn place(&self, family: u32) -> Place {
        let scope = Unpack::new(self.metrics.get(family)).number() as u32;
        let resource = Unpack::new(self.scopes.get(scope)).number() as u32;
        Place { resource, scope }
    }

    /// A metric's head.
    pub(crate) fn head(&self, family: u32) -> Head<'_> {
        let mut unpack = Unpack::new(self.metrics.get(family));
        unpack.number();
        let [name, description, unit] = std::array::from_fn(|_| unpack.bytes());
        let kind = kind_of(unpack.number());
        Head { name, description, unit, kind, metadata: unpack }
    }

    /// A packed scope: resource, presence, name, version, dropped attributes, schema URL, attributes.
    pub(crate) fn packed_scope(&self, scope: u32) -> Unpack<'_> {
        Unpack::new(self.scopes.get(scope))
    }

    /// A packed resource: presence, dropped attributes, schema URL, number of attributes, attributes, entities.
    pub(crate) fn packed_resource(&self, resource: u32) -> Unpack<'_> {
        Unpack::new(self.resources.get(resource))
    }

    /// A metric with its scope and resource, as bytes that mean the same in another process.
    pub(crate) fn export(&self, family: u32, out: &mut Vec<u8>) {
        let (scope, metric) = head_number(self.metrics.get(family));
        let (resource, scope) = head_number(self.scopes.get(scope));
        for part in [self.resources.get(resource), scope, metric] {
            pack::put(out, ValueKind::Bytes, part);
        }
    }

    /// The id of what [`Families::export`] wrote; counts as one use.
    pub(crate) fn import(&mut self, bytes: &[u8]) -> u32 {
        let mut unpack = Unpack::new(bytes);
        let [resource, scope, metric] = std::array::from_fn(|_| unpack.bytes());
        let resource = self.resources.intern(resource).0;
        let (scope, new) = self.scopes.intern(&numbered(resource, scope));
        if !new {
            self.resources.release(resource);
        }
        let (id, new) = self.metrics.intern(&numbered(scope, metric));
        if !new {
            self.release_scope(scope);
        }
        id
    }

    /// How many metrics, scopes and resources are held, in all.
    pub(crate) fn len(&self) -> usize {
        self.metrics.len() + self.scopes.len() + self.resources.len()
    }

    /// How many metrics, scopes and resources are held.
    #[cfg(test)]
    pub(crate) fn held(&self) -> [usize; 3] {
        [self.metrics.len(), self.scopes.len(), self.resources.len()]
    }

    fn scope(&mut self, batch: &Metrics, row: u32) -> u32 {
        if let Some((_, scope)) = self.current.filter(|(current, _)| *current == row) {
            return scope;
        }
        let scope = &batch.tables().scopes[row as usize];
        let resource = self.resource(batch, scope.resource);
        let out = &mut self.scratch;
        out.clear();
        put_varint(out, u64::from(resource));
        put_varint(out, u64::from(scope.present));
        pack::put(out, ValueKind::Str, batch.bytes(scope.name));
        pack::put(out, ValueKind::Str, batch.bytes(scope.version));
        put_varint(out, u64::from(scope.dropped_attributes));
        pack::put(out, ValueKind::Str, batch.bytes(scope.schema_url));
        put_attributes(out, batch, scope.attributes);
        let (id, new) = self.scopes.intern(out);
        if !new {
            self.resources.release(resource);
        }
        self.end_batch();
        self.current = Some((row, id));
        id
    }

    fn resource(&mut self, batch: &Metrics, row: u32) -> u32 {
        let tables = batch.tables();
        let resource = &tables.resources[row as usize];
        let out = &mut self.scratch;
        out.clear();
        put_varint(out, u64::from(resource.present));
        put_varint(out, u64::from(resource.dropped_attributes));
        pack::put(out, ValueKind::Str, batch.bytes(resource.schema_url));
        put_varint(out, batch.keys(resource.attributes.shape).len() as u64);
        put_attributes(out, batch, resource.attributes);
        for &entity in &tables.extras[resource.entities.start as usize..resource.entities.end as usize] {
            pack::put(out, ValueKind::Bytes, batch.bytes(entity));
        }
        self.resources.intern(out).0
    }

    fn release_scope(&mut self, scope: u32) {
        if let Some(bytes) = self.scopes.release(scope) {
            self.resources.release(Unpack::new(&bytes).number() as u32);
        }
    }
}

/// The number that packed bytes begin with, and the rest.
fn head_number(bytes: &[u8]) -> (u32, &[u8]) {
    let mut unpack = Unpack::new(bytes);
    let number = unpack.number() as u32;
    (number, unpack.rest())
}

/// Packed bytes that begin with a number.
fn numbered(number: u32, rest: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(rest.len() + 5);
    put_varint(&mut out, u64::from(number));
    out.extend_from_slice(rest);
    out
}

/// Appends attributes as pairs. An attribute without any value is told from one whose value is empty by a byte.
fn put_attributes(out: &mut Vec<u8>, batch: &Metrics, attributes: Attributes) {
    for (&key, &value) in batch.keys(attributes.shape).iter().zip(batch.values(attributes)) {
        pack::put(out, ValueKind::Str, batch.bytes(key));
        match value.kind() {
            ValueKind::Empty if value == Slot::NONE => pack::put(out, ValueKind::Empty, &[]),
            ValueKind::Empty => pack::put(out, ValueKind::Empty, &[0]),
            kind => pack::put(out, kind, batch.bytes(value)),
        }
    }
}

fn kind_code(kind: MetricKind) -> u64 {
    let base = match kind {
        MetricKind::Empty => 0,
        MetricKind::Gauge => 1,
        MetricKind::Sum { monotonic: false, .. } => 2,
        MetricKind::Sum { monotonic: true, .. } => 3,
        MetricKind::Histogram { .. } => 4,
        MetricKind::ExponentialHistogram { .. } => 5,
        MetricKind::Summary => 6,
    };
    base | kind.temporality().map_or(0, |temporality| (temporality as u64) << 3)
}

fn kind_of(code: u64) -> MetricKind {
    let temporality = match code >> 3 {
        1 => Temporality::Delta,
        2 => Temporality::Cumulative,
        _ => Temporality::Unspecified,
    };
    match code & 7 {
        1 => MetricKind::Gauge,
        2 => MetricKind::Sum { temporality, monotonic: false },
        3 => MetricKind::Sum { temporality, monotonic: true },
        4 => MetricKind::Histogram { temporality },
        5 => MetricKind::ExponentialHistogram { temporality },
        6 => MetricKind::Summary,
        _ => MetricKind::Empty,
    }
}

#[cfg(test)]
mod tests {
    use steadyline_component::testkit::metrics;

    use super::*;

    #[test]
    fn families_are_held_once_and_freed_with_their_last_use() {
        let mut families = Families::default();
        let batch = metrics("resource{env=\"dev\"}\na 1\ncounter b 2\nresource{env=\"prod\"}\na 3");
        let intern = |families: &mut Families| -> Vec<u32> {
            let ids = batch.tables().metrics.iter().map(|metric| families.intern(&batch, metric)).collect();
            families.end_batch();
            ids
        };
        let ids = intern(&mut families);
        assert_eq!(families.held(), [3, 2, 2]);
        assert_eq!(intern(&mut families), ids);
        let head = families.head(ids[1]);
        assert_eq!((head.name, head.kind), (&b"b"[..], batch.tables().metrics[1].kind));
        assert_eq!(families.place(ids[0]), families.place(ids[1]));
        assert_ne!(families.place(ids[0]).resource, families.place(ids[2]).resource);
        for id in ids.iter().chain(&ids) {
            families.release(*id);
        }
        assert_eq!(families.held(), [0, 0, 0]);
    }

    #[test]
    fn what_is_exported_is_imported_with_the_same_uses() {
        let batch = metrics("resource{env=\"dev\"}\na 1\ncounter b 2\nresource{env=\"prod\",n=3}\na 3");
        let (mut from, mut to) = (Families::default(), Families::default());
        // Other ids than there.
        let first = to.intern(&batch, &batch.tables().metrics[2]);
        to.end_batch();
        let mut ids = vec![first];
        for metric in &batch.tables().metrics {
            let family = from.intern(&batch, metric);
            let mut bytes = Vec::new();
            from.export(family, &mut bytes);
            let imported = to.import(&bytes);
            let mut again = Vec::new();
            to.export(imported, &mut again);
            assert_eq!(again, bytes);
            assert_eq!(
                (to.head(imported).name, to.head(imported).kind),
                (from.head(family).name, from.head(family).kind)
            );
            ids.push(imported);
        }
        assert_eq!((to.held(), ids[0]), ([3, 2, 2], ids[3]));
        ids.into_iter().for_each(|id| to.release(id));
        assert_eq!(to.held(), [0, 0, 0]);
    }

    #[test]
    fn kinds_survive_packing() {
        for temporality in [Temporality::Unspecified, Temporality::Delta, Temporality::Cumulative] {
            for kind in [
                MetricKind::Empty,
                MetricKind::Gauge,
                MetricKind::Sum { temporality, monotonic: false },
                MetricKind::Sum { temporality, monotonic: true },
                MetricKind::Histogram { temporality },
                MetricKind::ExponentialHistogram { temporality },
                MetricKind::Summary,
            ] {
                assert_eq!(kind_of(kind_code(kind)), kind);
            }
        }
    }
}
