//! What of a running graph a new one may use again: a component goes on if its config reads the same after all expansion,
//! and so does that of everything it refers to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use steadyline_component::{Extension, Kind, Storage};
use steadyline_config::{ComponentId, Node};
use steadyline_telemetry::Signal;

use crate::delivery::Branch;
use crate::memory::Bound;
use crate::run::{Joint, Pipeline, SinkNode};

/// An exporter: one for each signal and id.
pub type BranchKey = (Signal, ComponentId);

/// A connector: one for each signal that it takes, signal that it gives, and id.
pub type JointKey = (Signal, Signal, ComponentId);

/// What was noted of each component when it was made.
pub type Records = BTreeMap<Place, Record>;

/// Where an instance of a component stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// What it is.
    pub kind: Kind,
    /// Its id.
    pub id: ComponentId,
    /// The pipeline of a processor, the signals of an exporter or connector; else empty.
    pub part: String,
}

impl Place {
    /// A place.
    pub fn new(kind: Kind, id: &ComponentId, part: &str) -> Place {
        Place { kind, id: id.clone(), part: part.to_string() }
    }
}

/// What was noted of a component when it was made.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// The extensions that it refers to.
    pub refers_to: BTreeSet<ComponentId>,
    /// Its bound on the memory budget.
    pub memory_bound: Bound,
}

/// What runs, as far as it may be used again.
#[derive(Default)]
pub struct Previous {
    /// The config that it was made from.
    pub root: Option<Node>,
    /// What was noted when it was made.
    pub records: Records,
    /// Extensions.
    pub extensions: BTreeMap<ComponentId, Arc<dyn Extension>>,
    /// What stores, of these and of extensions that are gone while something still uses them; oldest first.
    pub storages: Vec<Arc<dyn Storage>>,
    /// Exporters with queues.
    pub branches: BTreeMap<BranchKey, Arc<Branch>>,
    /// The same and those that are on their way out or fell over: who takes their place goes on with their queue.
    pub queues: Vec<(BranchKey, Arc<Branch>)>,
    /// Exporters without queues.
    pub sinks: BTreeMap<BranchKey, Arc<SinkNode>>,
    /// Connectors.
    pub joints: BTreeMap<JointKey, Arc<Joint>>,
    /// Pipelines.
    pub pipelines: BTreeMap<ComponentId, PreviousPipeline>,
    /// Receivers, and the signals of which pipelines list them.
    pub receivers: BTreeMap<ComponentId, Vec<Signal>>,
}

/// A pipeline that runs.
pub struct PreviousPipeline {
    /// The pipeline.
    pub pipeline: Arc<Pipeline>,
    /// Its processors, in order.
    pub processors: Vec<ComponentId>,
}

impl Previous {
    /// The config of a component, as it runs.
    pub(super) fn config_of(&self, place: &Place) -> Option<&Node> {
        place.config_in(self.root.as_ref()?)
    }
}

impl Place {
    /// The component's config in this tree.
    pub(super) fn config_in<'a>(&self, root: &'a Node) -> Option<&'a Node> {
        root.get(self.kind.section())?.get(self.id.as_str())
    }
}
