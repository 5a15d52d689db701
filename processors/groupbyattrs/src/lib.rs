//! The `groupbyattrs` processor: moves attributes from points, spans and records to their resources, and makes one of equal
//! resources, scopes and metrics.
//!
//! ```yaml fragment
//! processors:
//!   groupbyattrs:
//!     keys: [host.name, k8s.pod.name]
//! ```
//!
//! An item that has at least one of `keys` leaves its resource for one that has, besides the attributes of the old one, those
//! keys with the item's values; the item loses them. Where the resource had the key, the item's value wins. Items without any of
//! the keys stay where they are. Without `keys` nothing moves, and equal resources become one: compaction, for senders that
//! repeat the resource with every item.
//!
//! Resources are equal if their attributes (in any order) and schema are; scopes by name, version, attributes and schema;
//! metrics by name, unit, description, kind and metadata. Of what is no part of that (counts of dropped attributes, entities)
//! the first counts. Groups stand in the order in which their first items came; nothing is lost, and nothing is held back: only
//! what comes in one batch is grouped. `batch` in front makes batches larger.
//!
//! A batch in which nothing moves and nothing is equal passes as the bytes that it arrived in. Behind `labels`, points that
//! lose an attribute are not final any more. Traces and logs whose bytes are no OTLP are dropped{malformed}.

mod metrics;
mod trees;

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steadyline_attributes::tree;
use steadyline_component::config::path_index;
use steadyline_component::factory::Component;
use steadyline_component::telemetry::Signal;
use steadyline_component::{Batch, CreateContext, Data, Factory, Processor, Spec, Stability, Work};

/// The factory of the `groupbyattrs` processor.
pub const FACTORY: Factory = Factory::processor::<GroupByAttrsFactory>();

/// Makes `groupbyattrs` processors.
#[derive(Debug)]
pub struct GroupByAttrsFactory;

/// Moves attributes to the resource, and makes one of equal resources.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GroupByAttrsConfig {
    /// The attributes that move from points, spans and records to their resources. Empty: nothing moves, but equal resources
    /// become one.
    pub keys: Vec<String>,
}

impl Component for GroupByAttrsFactory {
    type Config = GroupByAttrsConfig;
    type Made = Box<dyn Processor>;
    const SPEC: Spec = Spec {
        name: "groupbyattrs",
        aliases: &["group_by_attrs"],
        stability: Stability::Beta,
        signals: &[Signal::Metrics, Signal::Traces, Signal::Logs],
        summary: "moves attributes to the resource and makes one of equal resources",
        unsupported: &[],
    };

    fn create(config: GroupByAttrsConfig, context: &mut CreateContext<'_>) -> Option<Box<dyn Processor>> {
        let mut known = BTreeSet::new();
        let mut fine = true;
        for (at, key) in config.keys.iter().enumerate() {
            let wrong = match (key.is_empty(), known.insert(key)) {
                (true, _) => "the key of an attribute is not empty".to_owned(),
                (false, false) => format!("`{key}` is listed twice"),
                (false, true) => continue,
            };
            context.error(&path_index("keys", at), wrong);
            fine = false;
        }
        fine.then(|| Box::new(GroupByAttrs { keys: config.keys }) as Box<dyn Processor>)
    }
}

struct GroupByAttrs {
    keys: Vec<String>,
}

impl Processor for GroupByAttrs {
    fn process(&mut self, mut batch: Batch, work: &mut Work<'_>) {
        if let Data::Metrics(metrics) = &mut batch.data {
            if metrics::group(metrics, &self.keys) {
                batch.header.labels_final = false;
            }
            work.emit(batch);
        } else if let Some(batch) = tree::rework(batch, work.tally, self) {
            work.emit(batch);
        }
    }
}

/// Bytes that are the same for the same parts only: each is preceded by its length.
pub(crate) fn put(identity: &mut Vec<u8>, part: &[u8]) {
    identity.extend_from_slice(&(part.len() as u64).to_le_bytes());
    identity.extend_from_slice(part);
}
