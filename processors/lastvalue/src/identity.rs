//! What tells series apart: a keyed 128-bit hash over length-prefixed parts. Work on label names is done once per shape.

use std::hash::{BuildHasher, RandomState};

use steadyline_telemetry::metrics::{Attributes, Metric, Point};
use steadyline_telemetry::wire::put_varint;
use steadyline_telemetry::{MetricKind, Metrics, Slot, Temporality, ValueKind};
use xxhash_rust::xxh3::xxh3_128_with_secret;

use crate::pack;
use crate::pool::Pool;

/// A secret of this process (or of its storage), so that nobody outside can make label sets that collide.
pub(crate) struct Secret([u8; 192]);

impl Secret {
    /// A secret that was kept.
    pub(crate) fn kept(bytes: [u8; 192]) -> Secret {
        Secret(bytes)
    }

    /// For keeping.
    pub(crate) fn bytes(&self) -> &[u8; 192] {
        &self.0
    }

    /// A new secret from the system's randomness.
    pub(crate) fn random() -> Secret {
        let mut bytes = [0; 192];
        for (n, chunk) in bytes.chunks_exact_mut(8).enumerate() {
            // Two unrelated keys a word: each state is seeded by the system when it is made.
            let word = RandomState::new().hash_one(n) ^ RandomState::new().hash_one(!n);
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        Secret(bytes)
    }

    /// The keyed hash of bytes.
    #[inline]
    pub(crate) fn hash(&self, bytes: &[u8]) -> u128 {
        xxh3_128_with_secret(bytes, &self.0)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// What identity needs of one shape of a batch.
#[derive(Debug, Clone)]
struct Plan {
    /// Positions of the keys in the order of their names; empty if they are in order already.
    order: Vec<u16>,
    names: Names,
}

/// A list of label names.
#[derive(Debug, Clone, Copy)]
struct Names {
    /// Their id in the pool.
    keys: u32,
    /// Their hash.
    digest: u128,
}

/// The identities of the points of one batch. Buffers are reused from batch to batch.
#[derive(Debug, Default)]
pub(crate) struct Identifier {
    plans: Vec<Option<Plan>>,
    /// Uses of the pool that the batch holds.
    held: Vec<u32>,
    /// Identity of the resource and scope at hand.
    scope: Option<(u32, u128)>,
    scratch: Vec<u8>,
    names: Vec<u8>,
}

/// Where the packed values begin in the scratch buffer: after the hashes of metric and label names.
const VALUES: usize = 32;

/// The identity of one point.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Identity {
    /// The hash over everything.
    pub hash: u128,
    /// The label names' id in the pool.
    pub keys: u32,
}

impl Identifier {
    /// The part of identity that all points of a metric share: its name and the sort of its points; and resource and
    /// scope, unless labels are final (then they are among the labels as far as the backend sees them).
    pub(crate) fn metric(&mut self, secret: &Secret, batch: &Metrics, metric: &Metric, labels_final: bool) -> u128 {
        let scope = if labels_final { 0 } else { self.scope(secret, batch, metric.scope) };
        let out = &mut self.scratch;
        out.clear();
        out.extend_from_slice(&scope.to_le_bytes());
        out.push(sort_of(metric.kind));
        pack::put(out, ValueKind::Str, batch.bytes(metric.name));
        secret.hash(out)
    }

    /// The identity of a point, given that of its metric.
    #[inline]
    pub(crate) fn point(
        &mut self,
        secret: &Secret,
        pool: &mut Pool,
        batch: &Metrics,
        metric: u128,
        point: &Point,
    ) -> Identity {
        let index = point.shape.index();
        if self.plans.get(index).is_none_or(Option::is_none) {
            self.plan(secret, pool, batch, point);
        }
        let Some(Some(plan)) = self.plans.get(index) else { unreachable!("the shape was planned above") };
        let values = batch.values(point.attributes());
        let out = &mut self.scratch;
        out.clear();
        out.extend_from_slice(&metric.to_le_bytes());
        out.extend_from_slice(&plan.names.digest.to_le_bytes());
        let mut complete = true;
        let mut put = |slot: Slot| {
            if is_absent(slot) {
                complete = false;
            } else {
                pack::put(out, slot.kind(), batch.bytes(slot));
            }
        };
        match plan.order.as_slice() {
            [] => values.iter().for_each(|&slot| put(slot)),
            order => order.iter().for_each(|&n| put(values[usize::from(n)])),
        }
        let keys = plan.names.keys;
        if complete {
            return Identity { hash: secret.hash(&self.scratch), keys };
        }
        self.sparse(secret, pool, batch, metric, point)
    }

    /// The packed label values of the point whose identity was asked for last.
    pub(crate) fn values(&self) -> &[u8] {
        self.scratch.get(VALUES..).unwrap_or_default()
    }

    /// Says that the batch at hand is done with.
    pub(crate) fn end_batch(&mut self, pool: &mut Pool) {
        self.plans.clear();
        self.scope = None;
        for keys in self.held.drain(..) {
            pool.release(keys);
        }
    }

    #[cold]
    fn plan(&mut self, secret: &Secret, pool: &mut Pool, batch: &Metrics, point: &Point) {
        let keys = batch.keys(point.shape);
        let order = batch.order_of(keys);
        let names = self.names(secret, pool, order.iter().map(|&n| batch.bytes(keys[usize::from(n)])));
        let in_order = order.is_sorted();
        let index = point.shape.index();
        if self.plans.len() <= index {
            self.plans.resize(index + 1, None);
        }
        self.plans[index] = Some(Plan { order: if in_order { Vec::new() } else { order }, names });
    }

    /// The identity of a point some of whose labels have no value: those count as absent.
    #[cold]
    fn sparse(&mut self, secret: &Secret, pool: &mut Pool, batch: &Metrics, metric: u128, point: &Point) -> Identity {
        let (keys, values) = (batch.keys(point.shape), batch.values(point.attributes()));
        let mut order = batch.order_of(keys);
        order.retain(|&n| !is_absent(values[usize::from(n)]));
        let names = self.names(secret, pool, order.iter().map(|&n| batch.bytes(keys[usize::from(n)])));
        let out = &mut self.scratch;
        out.clear();
        out.extend_from_slice(&metric.to_le_bytes());
        out.extend_from_slice(&names.digest.to_le_bytes());
        for n in order {
            let slot = values[usize::from(n)];
            pack::put(out, slot.kind(), batch.bytes(slot));
        }
        Identity { hash: secret.hash(&self.scratch), keys: names.keys }
    }

    fn names<'k>(&mut self, secret: &Secret, pool: &mut Pool, keys: impl Iterator<Item = &'k [u8]>) -> Names {
        self.names.clear();
        keys.for_each(|key| pack::put(&mut self.names, ValueKind::Str, key));
        let (id, _) = pool.intern(&self.names);
        self.held.push(id);
        Names { keys: id, digest: secret.hash(&self.names) }
    }

    fn scope(&mut self, secret: &Secret, batch: &Metrics, row: u32) -> u128 {
        if let Some((_, digest)) = self.scope.filter(|(current, _)| *current == row) {
            return digest;
        }
        let scope = &batch.tables().scopes[row as usize];
        let resource = &batch.tables().resources[scope.resource as usize];
        let mut out = std::mem::take(&mut self.scratch);
        out.clear();
        put_sorted(&mut out, batch, resource.attributes);
        pack::put(&mut out, ValueKind::Str, batch.bytes(scope.name));
        pack::put(&mut out, ValueKind::Str, batch.bytes(scope.version));
        put_sorted(&mut out, batch, scope.attributes);
        let digest = secret.hash(&out);
        self.scratch = out;
        self.scope = Some((row, digest));
        digest
    }
}

/// Whether an attribute counts as absent.
#[inline]
pub(crate) fn is_absent(slot: Slot) -> bool {
    slot.is_empty()
}

/// Points of different sorts are never merged: numbers, increments, and each kind of distribution.
fn sort_of(kind: MetricKind) -> u8 {
    let sort = match kind {
        MetricKind::Empty | MetricKind::Gauge | MetricKind::Sum { .. } => 0,
        MetricKind::Histogram { .. } => 1,
        MetricKind::ExponentialHistogram { .. } => 2,
        MetricKind::Summary => 3,
    };
    sort << 1 | u8::from(kind.temporality() == Some(Temporality::Delta))
}

fn put_sorted(out: &mut Vec<u8>, batch: &Metrics, attributes: Attributes) {
    let (keys, values) = (batch.keys(attributes.shape), batch.values(attributes));
    let order = batch.order_of(keys);
    let present = || order.iter().map(|&n| usize::from(n)).filter(|&n| !is_absent(values[n]));
    put_varint(out, present().count() as u64);
    for n in present() {
        pack::put(out, ValueKind::Str, batch.bytes(keys[n]));
        pack::put(out, values[n].kind(), batch.bytes(values[n]));
    }
}

#[cfg(test)]
mod tests {
    use steadyline_component::testkit::metrics;

    use super::*;

    fn identities(text: &str, labels_final: bool) -> Vec<u128> {
        let secret = Secret([7; 192]);
        let (mut identifier, mut pool) = (Identifier::default(), Pool::default());
        let batch = metrics(text);
        let mut hashes = Vec::new();
        for (_, _, metric) in batch.iter() {
            let shared = identifier.metric(&secret, &batch, metric, labels_final);
            for point in batch.points_of(metric) {
                hashes.push(identifier.point(&secret, &mut pool, &batch, shared, point).hash);
            }
        }
        identifier.end_batch(&mut pool);
        assert_eq!(pool.len(), 0);
        hashes
    }

    #[test]
    fn order_and_absent_values_do_not_matter() {
        for same in [
            "m{b=\"2\",a=\"1\"} 1",
            "m{a=\"1\",b=\"2\",c=\"\"} 1",
            "m{c=,b=\"2\",a=\"1\"} 1",
            "counter m{a=\"1\",b=\"2\"} 1",
        ] {
            assert_eq!(identities("m{a=\"1\",b=\"2\"} 1", false), identities(same, false), "{same}");
        }
    }

    #[test]
    fn everything_else_does() {
        for other in [
            "n{a=\"1\",b=\"2\"} 1",
            "m{a=\"12\",b=\"\"} 1",
            "m{a=\"1\",b=2} 1",
            "m{a=\"2\",b=\"1\"} 1",
            "m{ab=\"12\"} 1",
            "delta m{a=\"1\",b=\"2\"} 1",
        ] {
            assert_ne!(identities("m{a=\"1\",b=\"2\"} 1", false), identities(other, false), "{other}");
        }
    }

    #[test]
    fn the_resource_matters_until_labels_are_final() {
        let text = "resource{env=\"dev\"}\nm 1\nresource{env=\"prod\"}\nm 1\nresource{env=\"dev\",x=\"\"}\nm 1";
        let raw = identities(text, false);
        assert_eq!((raw[0] == raw[1], raw[0] == raw[2]), (false, true));
        let labelled = identities(text, true);
        assert_eq!(labelled[0], labelled[1]);
    }

    #[test]
    fn secrets_differ() {
        assert_ne!(Secret::random().hash(b"x"), Secret::random().hash(b"x"));
    }
}
