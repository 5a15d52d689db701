//! Attributes by key, in batches of metrics and in decoded trees.
//! Of a key that occurs twice the first counts.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use steadyline_telemetry::Metrics;
use steadyline_telemetry::metrics::Attributes;

use crate::value::Read;

/// Something that has attributes.
pub trait Lookup {
    /// The value under a key, if the key is there.
    fn read(&self, key: &str) -> Option<Read<'_>>;
}

/// An attribute set of a batch of metrics.
#[derive(Debug, Clone, Copy)]
pub struct Set<'a> {
    /// The batch.
    pub metrics: &'a Metrics,
    /// Which of its sets.
    pub attributes: Attributes,
}

impl Lookup for Set<'_> {
    fn read(&self, key: &str) -> Option<Read<'_>> {
        let keys = self.metrics.keys(self.attributes.shape);
        let at = keys.iter().position(|slot| self.metrics.bytes(*slot) == key.as_bytes())?;
        Some(Read::Plain(self.metrics.value(self.metrics.values(self.attributes)[at])))
    }
}

impl Lookup for [KeyValue] {
    fn read(&self, key: &str) -> Option<Read<'_>> {
        let pair = self.iter().find(|pair| pair.key == key)?;
        Some(Read::any(pair.value.as_ref()))
    }
}
