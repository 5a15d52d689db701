//! What tells series apart, for longer than a process lives: a hash under a secret that storage keeps.

use std::hash::{BuildHasher, RandomState};

use steadyline_telemetry::metrics::{Attributes, Metric};
use steadyline_telemetry::wire::put_varint;
use steadyline_telemetry::{Metrics, Point};
use xxhash_rust::xxh3::xxh3_128_with_secret;

/// How long the secret is.
pub(crate) const SECRET: usize = 192;

/// A secret, so that nobody outside can make series that collide.
#[derive(Clone)]
pub(crate) struct Secret(pub [u8; SECRET]);

impl Secret {
    /// A new one from the system's randomness.
    pub(crate) fn random() -> Secret {
        let mut bytes = [0; SECRET];
        for (n, chunk) in bytes.chunks_exact_mut(8).enumerate() {
            // The system seeds every state when it is made.
            let word = RandomState::new().hash_one(n) ^ RandomState::new().hash_one(!n);
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        Secret(bytes)
    }

    /// The hash of bytes.
    pub(crate) fn hash(&self, bytes: &[u8]) -> u128 {
        xxh3_128_with_secret(bytes, &self.0)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// Writes into `out` what the series of a metric share: the counter that is made, resource, scope and name.
pub(crate) fn metric(out: &mut Vec<u8>, metrics: &Metrics, metric: &Metric, counter: &str) {
    let scope = &metrics.tables().scopes[metric.scope as usize];
    let resource = &metrics.tables().resources[scope.resource as usize];
    out.clear();
    put(out, 0, counter.as_bytes());
    attributes(out, metrics, resource.attributes);
    put(out, 0, metrics.bytes(scope.name));
    put(out, 0, metrics.bytes(scope.version));
    attributes(out, metrics, scope.attributes);
    put(out, 0, metrics.bytes(metric.name));
}

/// The identity of a point, given what its metric's points share; `out` is as it was afterwards.
pub(crate) fn point(secret: &Secret, out: &mut Vec<u8>, metrics: &Metrics, point: &Point) -> u128 {
    let shared = out.len();
    attributes(out, metrics, point.attributes());
    let hash = secret.hash(out);
    out.truncate(shared);
    hash
}

/// Attributes in the order of their names; those without a value count as absent.
fn attributes(out: &mut Vec<u8>, metrics: &Metrics, attributes: Attributes) {
    let pairs = metrics.keys(attributes.shape).iter().zip(metrics.values(attributes));
    let mut pairs: Vec<_> = pairs.filter(|(_, value)| !value.is_empty()).collect();
    pairs.sort_by_key(|(key, _)| metrics.bytes(**key));
    put_varint(out, pairs.len() as u64);
    for (key, value) in pairs {
        put(out, 0, metrics.bytes(*key));
        put(out, value.kind() as u8, metrics.bytes(*value));
    }
}

/// A part that cannot be taken for another, nor for two.
fn put(out: &mut Vec<u8>, kind: u8, bytes: &[u8]) {
    out.push(kind);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}
