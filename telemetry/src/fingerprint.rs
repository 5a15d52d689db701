//! What tells series apart, for whoever keeps state about them: a keyed 128-bit hash of resource, scope, metric and
//! attributes. Work on attribute keys is done once a shape; the order in which attributes stand does not matter.

use std::hash::{BuildHasher, RandomState};

use xxhash_rust::xxh3::xxh3_128_with_secret;

use crate::metrics::{Attributes, Metric, MetricKind, Metrics, Point};
use crate::slot::{Slot, ValueKind};
use crate::wire::put_varint;

/// Makes fingerprints under a secret of its own, so that nobody outside can make series that collide.
/// Fingerprints of different makers have nothing to do with each other.
pub struct Fingerprinter {
    secret: [u8; 192],
    plans: Vec<Option<Plan>>,
    scratch: Vec<u8>,
}

/// What is known of one shape of the batch at hand.
struct Plan {
    /// Positions of the keys in the order of their names; empty if they stand in order already.
    order: Vec<u16>,
    /// The hash of the keys.
    keys: u128,
}

/// The fingerprints of one batch.
pub struct Fingerprints<'a> {
    maker: &'a mut Fingerprinter,
    batch: &'a Metrics,
    /// The hash of the scope at hand, and of its resource.
    scope: Option<(u32, u128)>,
}

impl Default for Fingerprinter {
    fn default() -> Self {
        let mut secret = [0; 192];
        for (n, chunk) in secret.chunks_exact_mut(8).enumerate() {
            // The system seeds every state when it is made.
            let word = RandomState::new().hash_one(n) ^ RandomState::new().hash_one(!n);
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        Fingerprinter { secret, plans: Vec::new(), scratch: Vec::new() }
    }
}

impl Fingerprinter {
    /// The fingerprints of a batch.
    pub fn of<'a>(&'a mut self, batch: &'a Metrics) -> Fingerprints<'a> {
        self.plans.clear();
        self.plans.resize_with(batch.tables().shapes.len(), || None);
        Fingerprints { maker: self, batch, scope: None }
    }
}

impl Fingerprints<'_> {
    /// What the points of a metric share: resource, scope, name, unit and sort, but not the temporality.
    pub fn metric(&mut self, metric: &Metric) -> u128 {
        let scope = self.scope(metric.scope);
        let out = &mut self.maker.scratch;
        out.clear();
        out.extend_from_slice(&scope.to_le_bytes());
        out.push(sort_of(metric.kind));
        put(out, ValueKind::Str, self.batch.bytes(metric.name));
        put(out, ValueKind::Str, self.batch.bytes(metric.unit));
        xxh3_128_with_secret(out, &self.maker.secret)
    }

    /// The fingerprint of a point, given what its metric's points share.
    #[inline]
    pub fn point(&mut self, metric: u128, point: &Point) -> u128 {
        let index = point.shape.index();
        if self.maker.plans[index].is_none() {
            self.plan(point);
        }
        let Fingerprinter { secret, plans, scratch: out } = &mut *self.maker;
        let Some(plan) = &plans[index] else { unreachable!("the shape was planned above") };
        let values = self.batch.values(point.attributes());
        out.clear();
        out.extend_from_slice(&metric.to_le_bytes());
        out.extend_from_slice(&plan.keys.to_le_bytes());
        let mut put = |slot: Slot| put(out, slot.kind(), self.batch.bytes(slot));
        match plan.order.as_slice() {
            [] => values.iter().for_each(|&slot| put(slot)),
            order => order.iter().for_each(|&n| put(values[usize::from(n)])),
        }
        xxh3_128_with_secret(out, secret)
    }

    #[cold]
    fn plan(&mut self, point: &Point) {
        let keys = self.batch.keys(point.shape);
        let order = self.batch.order_of(keys);
        let out = &mut self.maker.scratch;
        out.clear();
        order.iter().for_each(|&n| put(out, ValueKind::Str, self.batch.bytes(keys[usize::from(n)])));
        let keys = xxh3_128_with_secret(out, &self.maker.secret);
        let order = if order.is_sorted() { Vec::new() } else { order };
        self.maker.plans[point.shape.index()] = Some(Plan { order, keys });
    }

    fn scope(&mut self, row: u32) -> u128 {
        if let Some((_, hash)) = self.scope.filter(|(at_hand, _)| *at_hand == row) {
            return hash;
        }
        let scope = &self.batch.tables().scopes[row as usize];
        let resource = &self.batch.tables().resources[scope.resource as usize];
        let out = &mut self.maker.scratch;
        out.clear();
        put_attributes(out, self.batch, resource.attributes);
        put(out, ValueKind::Str, self.batch.bytes(scope.name));
        put(out, ValueKind::Str, self.batch.bytes(scope.version));
        put_attributes(out, self.batch, scope.attributes);
        let hash = xxh3_128_with_secret(out, &self.maker.secret);
        self.scope = Some((row, hash));
        hash
    }
}

impl std::fmt::Debug for Fingerprinter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fingerprinter")
    }
}

impl std::fmt::Debug for Fingerprints<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fingerprints")
    }
}

/// Kinds whose points are different series.
fn sort_of(kind: MetricKind) -> u8 {
    match kind {
        MetricKind::Empty => 0,
        MetricKind::Gauge => 1,
        MetricKind::Sum { monotonic: false, .. } => 2,
        MetricKind::Sum { monotonic: true, .. } => 3,
        MetricKind::Histogram { .. } => 4,
        MetricKind::ExponentialHistogram { .. } => 5,
        MetricKind::Summary => 6,
    }
}

/// A part that cannot be taken for another, nor for two.
#[inline]
fn put(out: &mut Vec<u8>, kind: ValueKind, bytes: &[u8]) {
    out.push(kind as u8);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_attributes(out: &mut Vec<u8>, batch: &Metrics, attributes: Attributes) {
    let (keys, values) = (batch.keys(attributes.shape), batch.values(attributes));
    put_varint(out, keys.len() as u64);
    for n in batch.order_of(keys) {
        let (key, value) = (keys[usize::from(n)], values[usize::from(n)]);
        put(out, ValueKind::Str, batch.bytes(key));
        put(out, value.kind(), batch.bytes(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{MetricDef, MetricsBuilder, NumberValue};
    use crate::{Temporality, Value};

    type Pairs<'a> = &'a [(&'a str, Value<'a>)];

    fn batch(resource: Pairs<'_>, scope: &str, def: MetricDef<'_>, attributes: Pairs<'_>) -> Metrics {
        let mut builder = MetricsBuilder::new();
        builder.resource(resource.iter().copied());
        builder.scope(scope, "1");
        let metric = builder.metric(def);
        let shape = builder.shape(attributes.iter().map(|(key, _)| *key));
        let values: Vec<Slot> = attributes.iter().map(|(_, value)| builder.value(*value)).collect();
        builder.number(metric, shape, &values, 1, 0, NumberValue::Int(1));
        builder.finish()
    }

    fn fingerprint(maker: &mut Fingerprinter, batch: &Metrics) -> u128 {
        let mut of = maker.of(batch);
        let metric = of.metric(&batch.tables().metrics[0]);
        of.point(metric, &batch.tables().points[0])
    }

    #[test]
    fn all_that_makes_a_series_matters_and_nothing_else() {
        let (a, b) = (("a", Value::text("1")), ("b", Value::Int(2)));
        let sum = |temporality, monotonic| MetricDef {
            kind: MetricKind::Sum { temporality, monotonic },
            ..MetricDef::gauge("m")
        };
        let delta = sum(Temporality::Delta, true);
        let of = |resource: Pairs<'_>, scope: &str, def, attributes: Pairs<'_>| batch(resource, scope, def, attributes);
        let mut maker = Fingerprinter::default();
        let known = fingerprint(&mut maker, &of(&[a, b], "s", delta, &[a, b]));
        for same in [
            of(&[b, a], "s", delta, &[b, a]),
            of(&[a, b], "s", MetricDef { description: "d", ..delta }, &[a, b]),
            of(&[a, b], "s", sum(Temporality::Cumulative, true), &[a, b]),
        ] {
            assert_eq!(fingerprint(&mut maker, &same), known);
        }
        for other in [
            of(&[a], "s", delta, &[a, b]),
            of(&[a, b], "t", delta, &[a, b]),
            of(&[a, b], "s", MetricDef { unit: "s", ..delta }, &[a, b]),
            of(&[a, b], "s", MetricDef { name: "n", ..delta }, &[a, b]),
            of(&[a, b], "s", sum(Temporality::Delta, false), &[a, b]),
            of(&[a, b], "s", delta, &[a]),
            of(&[a, b], "s", delta, &[a, ("b", Value::text("2"))]),
            of(&[a, b], "s", delta, &[("a", Value::text("")), b]),
            of(&[a, b], "s", delta, &[("ab", Value::text("1")), ("", Value::Int(2))]),
        ] {
            assert_ne!(fingerprint(&mut maker, &other), known);
        }
        assert_ne!(fingerprint(&mut Fingerprinter::default(), &of(&[a, b], "s", delta, &[a, b])), known);
    }
}
