//! From plan to graph: every component is made, nothing is started. `validate` stops here. A reload makes a graph in which
//! what runs already and did not change stands as it is.

mod pool;
mod reuse;
mod shared;

use std::collections::BTreeMap;
use std::sync::Arc;

use steadyline_component::factory::{Build, Source};
use steadyline_component::{Exporter, Extension, Instrument, Kind, Meter, Polling, Receiver, Sink};
use steadyline_config::{ComponentId, Diagnostics, Node};
use steadyline_telemetry::Signal;

use crate::config::{PipelinePlan, Plan};
use crate::delivery::{Branch, BranchContext};
use crate::memory::Bound;
use crate::registry::Registry;
use crate::run::{Joint, Outlets, Pipeline, SinkNode, Stage};
use pool::{Pool, Reported};
pub use reuse::{BranchKey, JointKey, Place, Previous, PreviousPipeline, Record, Records};
pub use shared::Shared;

/// A graph that is made and not started; after a reload, parts of it run already.
pub struct Graph {
    /// The config it was made from.
    pub root: Node,
    /// The plan it was made from.
    pub plan: Plan,
    /// What its components share.
    pub shared: Shared,
    /// Extensions in the order in which they must start.
    pub extensions: Vec<ExtensionNode>,
    /// Exporters with queues.
    pub branches: BTreeMap<BranchKey, Arc<Branch>>,
    /// Exporters without.
    pub sinks: BTreeMap<BranchKey, Arc<SinkNode>>,
    /// Pipelines by their place in the plan.
    pub pipelines: Vec<PipelineNode>,
    /// Connectors.
    pub joints: BTreeMap<JointKey, JointNode>,
    /// Receivers and the places of their pipelines.
    pub receivers: Vec<ReceiverNode>,
    /// The lowest bound that a component put on the memory budget.
    pub memory_bound: Bound,
    /// Extensions that run already and go on, and those under whose config they do.
    pub adapted: Vec<(Arc<dyn Extension>, Arc<dyn Extension>)>,
    /// What was noted of each component, for the next reload.
    pub records: Records,
}

/// An extension that is made and not started.
pub struct ExtensionNode {
    /// Its id.
    pub id: ComponentId,
    /// The extension.
    pub extension: Arc<dyn Extension>,
    /// Whether a component refers to it; else it runs only because `service.extensions` lists it.
    pub referenced: bool,
}

/// A pipeline that is made and not started.
pub struct PipelineNode {
    /// The pipeline.
    pub pipeline: Arc<Pipeline>,
    /// Processors that come with their state from the running pipeline of the same id: (place here, place there).
    pub inherits: Vec<(usize, usize)>,
}

/// A connector that is made and not started.
pub struct JointNode {
    /// The connector.
    pub joint: Arc<Joint>,
    /// The places of the pipelines on its receiver side.
    pub targets: Vec<usize>,
}

/// A receiver that is made and not started.
pub struct ReceiverNode {
    /// Its id.
    pub id: ComponentId,
    /// The receiver.
    pub source: SourceKind,
    /// The pipelines that list it, by place, for each signal.
    pub feeds: Vec<(Signal, Vec<usize>)>,
}

/// The two ways in which data comes in.
pub enum SourceKind {
    /// Read on a cadence.
    Polled(Polling),
    /// Pushes by itself.
    Pushed(Box<dyn Receiver>),
    /// It runs already, and goes on.
    Running,
}

/// Makes everything that the config's enabled pipelines use.
/// `None` if there are errors; all of them are in the diagnostics, warnings too.
pub fn build(root: &Node, registry: &Registry, shared: &Shared, diagnostics: &mut Diagnostics) -> Option<Graph> {
    build_graph(root, registry, shared, (None, &Previous::default()), diagnostics)
}

/// Like [`build`], with one sink in place of all exporters, which are neither made nor checked.
pub fn build_with_sink(
    root: &Node,
    registry: &Registry,
    shared: &Shared,
    sink: Arc<dyn Sink>,
    diagnostics: &mut Diagnostics,
) -> Option<Graph> {
    build_graph(root, registry, shared, (Some(sink), &Previous::default()), diagnostics)
}

/// Like [`build`], with everything that runs already and did not change as it is.
pub fn rebuild(
    root: &Node,
    registry: &Registry,
    shared: &Shared,
    previous: &Previous,
    diagnostics: &mut Diagnostics,
) -> Option<Graph> {
    build_graph(root, registry, shared, (None, previous), diagnostics)
}

fn build_graph(
    root: &Node,
    registry: &Registry,
    shared: &Shared,
    (sink, previous): (Option<Arc<dyn Sink>>, &Previous),
    diagnostics: &mut Diagnostics,
) -> Option<Graph> {
    let plan = Plan::new(root, registry, diagnostics)?;
    let mut builder = Builder::new(Pool::new(root, registry, shared, previous, &plan.service));
    for id in &plan.service.extensions {
        builder.pool.extension(id, diagnostics);
    }
    let receivers = builder.receivers(&plan, diagnostics);
    match sink {
        Some(sink) => {
            let account = shared.books.open(Kind::Exporter, "once", Signal::Metrics, "");
            builder.capture = Some(Arc::new(SinkNode { sink, account, status: shared.board.place("exporter:once") }));
        }
        None => builder.exporters(&plan, diagnostics),
    }
    builder.connectors(&plan, diagnostics);
    let pipelines: Vec<Option<PipelineNode>> =
        plan.pipelines.iter().map(|pipeline| builder.pipeline(pipeline, diagnostics)).collect();
    if diagnostics.has_errors() {
        return None;
    }
    // Without errors, every pipeline was made.
    let pipelines: Vec<PipelineNode> = pipelines.into_iter().flatten().collect();
    let joints = builder.join(&plan, &pipelines);
    let mut memory_bound = Bound::default();
    builder.pool.records.values().for_each(|record| memory_bound.also(record.memory_bound));
    Some(Graph {
        root: root.clone(),
        shared: shared.clone(),
        extensions: builder.pool.nodes(),
        branches: builder.branches,
        sinks: builder.sinks,
        joints,
        pipelines,
        receivers,
        memory_bound,
        adapted: builder.pool.adapted(),
        records: builder.pool.records,
        plan,
    })
}

struct Builder<'a> {
    pool: Pool<'a>,
    branches: BTreeMap<BranchKey, Arc<Branch>>,
    sinks: BTreeMap<BranchKey, Arc<SinkNode>>,
    joints: BTreeMap<JointKey, Arc<Joint>>,
    /// Stands in the place of every pipeline's exporters.
    capture: Option<Arc<SinkNode>>,
}

impl<'a> Builder<'a> {
    fn new(pool: Pool<'a>) -> Self {
        Builder { pool, branches: BTreeMap::new(), sinks: BTreeMap::new(), joints: BTreeMap::new(), capture: None }
    }

    /// One receiver an id, shared by all pipelines that list it: a listener's port serves every signal.
    fn receivers(&mut self, plan: &Plan, diagnostics: &mut Diagnostics) -> Vec<ReceiverNode> {
        let mut places: BTreeMap<&ComponentId, BTreeMap<Signal, Vec<usize>>> = BTreeMap::new();
        for (place, pipeline) in plan.pipelines.iter().enumerate() {
            for id in &pipeline.receivers {
                places.entry(id).or_default().entry(pipeline.signal).or_default().push(place);
            }
        }
        let mut receivers = Vec::new();
        for (id, feeds) in places {
            let feeds: Vec<(Signal, Vec<usize>)> = feeds.into_iter().collect();
            let signals: Vec<Signal> = feeds.iter().map(|(signal, _)| *signal).collect();
            let signal = signals.first().copied().unwrap_or(Signal::Metrics);
            let place = Place::new(Kind::Receiver, id, "");
            let runs = self.pool.previous.receivers.get(id).is_some_and(|of| *of == signals);
            let source = match runs && self.pool.keep(&place) {
                true => Some(SourceKind::Running),
                false => self.pool.make(place, signal, "", diagnostics, |build, context| match build {
                    Build::Poller(make) => make(context).map(SourceKind::Polled),
                    Build::Receiver(make) => make(context).map(SourceKind::Pushed),
                    Build::Source(make) => make(context).map(|source| match source {
                        Source::Polled(polling) => SourceKind::Polled(polling),
                        Source::Running(receiver) => SourceKind::Pushed(receiver),
                    }),
                    _ => None,
                }),
            };
            if let Some(source) = source {
                receivers.push(ReceiverNode { id: id.clone(), source, feeds });
            }
        }
        receivers
    }

    /// One exporter a (signal, id), one queue.
    fn exporters(&mut self, plan: &Plan, diagnostics: &mut Diagnostics) {
        for pipeline in &plan.pipelines {
            for id in &pipeline.exporters {
                let key = (pipeline.signal, id.clone());
                if !self.branches.contains_key(&key) && !self.sinks.contains_key(&key) {
                    self.exporter(key, diagnostics);
                }
            }
        }
    }

    fn exporter(&mut self, key: BranchKey, diagnostics: &mut Diagnostics) {
        let (signal, id) = &key;
        let place = Place::new(Kind::Exporter, id, signal.name());
        let previous = self.pool.previous;
        let (branch, sink) = (previous.branches.get(&key), previous.sinks.get(&key));
        if (branch.is_some() || sink.is_some()) && self.pool.keep(&place) {
            self.branches.extend(branch.map(|branch| (key.clone(), Arc::clone(branch))));
            self.sinks.extend(sink.map(|sink| (key.clone(), Arc::clone(sink))));
            return;
        }
        let made = self.pool.make(place.clone(), *signal, "", diagnostics, |build, context| match build {
            Build::Exporter(make) => make(context),
            _ => None,
        });
        let shared = self.pool.shared;
        let account = shared.books.open(Kind::Exporter, id.as_str(), *signal, "");
        match made {
            Some(Exporter::Queued { encoder, sender, delivery }) => {
                if !self.pool.delivery_is_sane(id, &delivery, diagnostics) {
                    return;
                }
                let name = match signal {
                    Signal::Metrics => format!("exporter:{id}"),
                    signal => format!("exporter:{id}:{signal}"),
                };
                let storage = match self.pool.storage(&place, *signal, &delivery, diagnostics) {
                    Ok(storage) => storage,
                    Err(Reported) => return,
                };
                let status = shared.board.place(&name);
                let meter = component_meter(&shared.meter, "exporter", id);
                let mut same = previous.queues.iter().filter(|(of, _)| *of == key).map(|(_, old)| &**old);
                let heir = same.find(|old| old.has_place_of(storage.as_ref()));
                let parts = (encoder, sender, delivery);
                let (clock, traces) = (shared.clock.clone(), shared.traces.clone());
                let context = BranchContext { account, status, meter: &meter, clock, traces, storage, heir };
                let branch = Branch::new(name, parts, context);
                self.branches.insert(key, Arc::new(branch));
            }
            Some(Exporter::Direct(sink)) => {
                let status = shared.board.place(&format!("exporter:{id}"));
                self.sinks.insert(key, Arc::new(SinkNode { sink, account, status }));
            }
            None => {}
        }
    }

    fn connectors(&mut self, plan: &Plan, diagnostics: &mut Diagnostics) {
        for from in &plan.pipelines {
            for id in &from.to_connectors {
                for to in plan.pipelines.iter().filter(|to| to.from_connectors.contains(id)) {
                    let key = (from.signal, to.signal, id.clone());
                    let factory = self.pool.registry.of_id(Kind::Connector, id);
                    let Some(Build::Connector(_, pairs)) = factory.map(|f| f.build) else { continue };
                    if !self.joints.contains_key(&key) && pairs.contains(&(from.signal, to.signal)) {
                        self.connector(key, diagnostics);
                    }
                }
            }
        }
    }

    fn connector(&mut self, key: JointKey, diagnostics: &mut Diagnostics) {
        let (from, to, id) = &key;
        let place = Place::new(Kind::Connector, id, &format!("{from} to {to}"));
        if let Some(running) = self.pool.previous.joints.get(&key)
            && self.pool.keep(&place)
        {
            self.joints.insert(key, Arc::clone(running));
            return;
        }
        let made = self.pool.make(place, *from, "", diagnostics, |build, context| match build {
            Build::Connector(make, _) => make(context),
            _ => None,
        });
        if let Some(connector) = made {
            let shared = self.pool.shared;
            let account = shared.books.open(Kind::Connector, id.as_str(), *from, "");
            let status = shared.board.place(&joint_name(&key));
            self.joints.insert(key, Arc::new(Joint::new(connector, account, (shared.clock.clone(), status))));
        }
    }

    fn pipeline(&mut self, plan: &PipelinePlan, diagnostics: &mut Diagnostics) -> Option<PipelineNode> {
        let shared = self.pool.shared;
        let running = self.pool.previous.pipelines.get(&plan.id);
        let (mut stages, mut inherits, mut failed) = (Vec::new(), Vec::new(), false);
        for (at, id) in plan.processors.iter().enumerate() {
            let place = Place::new(Kind::Processor, id, plan.id.as_str());
            let from = running.and_then(|running| running.processors.iter().position(|old| old == id));
            if let Some(from) = from.filter(|_| self.pool.keep(&place)) {
                inherits.push((at, from));
                continue;
            }
            let pipeline = plan.id.as_str();
            let made = self.pool.make(place, plan.signal, pipeline, diagnostics, |build, context| match build {
                Build::Processor(make) => make(context),
                _ => None,
            });
            // What is wrong with one does not hide what is wrong with the next.
            let Some(processor) = made else {
                failed = true;
                continue;
            };
            let meter = component_meter(&shared.meter, "processor", id).with("pipeline", pipeline);
            stages.push(Stage {
                processor,
                account: shared.books.open(Kind::Processor, id.as_str(), plan.signal, pipeline),
                series: meter.gauge("processor_series", "Series that the processor keeps state for.", &[]),
                unkept: state_losses(&shared.meter, id, pipeline),
                life: None,
                fell: false,
            });
        }
        if failed {
            return None;
        }
        let outlets = self.outlets(plan);
        if let Some(running) = running {
            let all = inherits.iter().all(|(at, from)| at == from) && stages.is_empty();
            if all && inherits.len() == running.processors.len() && running.pipeline.outlets().are(&outlets) {
                return Some(PipelineNode { pipeline: Arc::clone(&running.pipeline), inherits: Vec::new() });
            }
        }
        let id = plan.id.as_str();
        let first = plan.processors.first();
        let first = first.map(|first| shared.books.open(Kind::Processor, first.as_str(), plan.signal, id));
        let status = shared.board.place(&format!("pipeline:{id}"));
        let surroundings = (shared.clock.clone(), status);
        let pipeline = Arc::new(Pipeline::new(id.to_string(), stages, (first, outlets), surroundings));
        Some(PipelineNode { pipeline, inherits })
    }

    /// Where a pipeline's data goes.
    fn outlets(&self, plan: &PipelinePlan) -> Outlets {
        let key = |id: &ComponentId| (plan.signal, id.clone());
        let branches = plan.exporters.iter().filter_map(|id| self.branches.get(&key(id)).cloned()).collect();
        let sinks = match &self.capture {
            Some(node) => vec![Arc::clone(node)],
            None => plan.exporters.iter().filter_map(|id| self.sinks.get(&key(id)).cloned()).collect(),
        };
        let from_here = |(from, _, id): &JointKey| *from == plan.signal && plan.to_connectors.contains(id);
        let joints = self.joints.iter().filter(|(key, _)| from_here(key)).map(|(_, joint)| Arc::clone(joint)).collect();
        Outlets { branches, sinks, joints }
    }

    /// Tells new connectors where their data goes; those that run learn it at the swap.
    fn join(&self, plan: &Plan, pipelines: &[PipelineNode]) -> BTreeMap<JointKey, JointNode> {
        let mut joints = BTreeMap::new();
        for (key, joint) in &self.joints {
            let (_, to, id) = key;
            let listed = plan.pipelines.iter().enumerate();
            let targets = listed.filter(|(_, plan)| plan.signal == *to && plan.from_connectors.contains(id));
            let targets: Vec<usize> = targets.map(|(place, _)| place).collect();
            if !self.pool.previous.joints.values().any(|running| Arc::ptr_eq(running, joint)) {
                joint.set_targets(targets.iter().map(|&place| Arc::clone(&pipelines[place].pipeline)).collect());
            }
            joints.insert(key.clone(), JointNode { joint: Arc::clone(joint), targets });
        }
        joints
    }
}

/// What a connector is called on the board.
pub fn joint_name((from, to, id): &JointKey) -> String {
    format!("connector:{id}:{from}:{to}")
}

/// How often a processor's state could not be kept.
pub fn state_losses(meter: &Meter, id: &ComponentId, pipeline: &str) -> Arc<Instrument> {
    let help = "Times that a processor's state could not be kept at a stop or a reload.";
    component_meter(meter, "processor", id).with("pipeline", pipeline).counter("processor_state_losses", help, &[])
}

/// The meter of one component.
pub fn component_meter(meter: &Meter, kind: &str, id: &ComponentId) -> Meter {
    meter.with(kind, id.as_str())
}
