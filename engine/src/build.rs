//! From plan to graph: every component is made, nothing is started. `validate` stops here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use steadyline_component::exporter::DeliveryConfig;
use steadyline_component::factory::{Build, Extensions, Source};
use steadyline_component::{
    Board, Clock, CreateContext, Exporter, Extension, Kind, Meter, OwnMetrics, Owner, Polling, Receiver, Sink, Storage,
};
use steadyline_config::{ComponentId, Diagnostic, Diagnostics, Node, path_join};
use steadyline_telemetry::Signal;

use crate::books::Books;
use crate::config::{PipelinePlan, Plan};
use crate::delivery::{Branch, BranchContext};
use crate::registry::Registry;
use crate::run::{Joint, Pipeline, SinkNode, Stage};
use crate::telemetry::{OwnData, Reading, Traces};

/// What components of one process share.
#[derive(Debug, Clone)]
pub struct Shared {
    /// Time.
    pub clock: Clock,
    /// Instruments.
    pub meter: Meter,
    /// Tallies.
    pub books: Books,
    /// Statuses.
    pub board: Board,
    /// All of these at a glance.
    pub reading: Reading,
    /// The same as data.
    pub own: Arc<OwnData>,
    /// Spans, if config wants them.
    pub traces: Traces,
}

impl Shared {
    /// Fresh ones around a clock.
    pub fn new(clock: Clock) -> Shared {
        let (board, meter, books) = (Board::new(clock.clone()), Meter::default(), Books::default());
        let reading = Reading::new(clock.clone(), meter.clone(), books.clone(), board.clone());
        let own = Arc::new(OwnData::new(reading.clone(), clock.now().unix_nanos));
        Shared { clock, meter, books, board, reading, own, traces: Traces::default() }
    }
}

/// A graph that is made and not started.
pub struct Graph {
    /// The plan it was made from.
    pub plan: Plan,
    /// What its components share.
    pub shared: Shared,
    /// Extensions in the order in which they must start.
    pub extensions: Vec<ExtensionNode>,
    /// Exporters with queues.
    pub branches: Vec<Arc<Branch>>,
    /// Exporters without.
    pub sinks: Vec<(ComponentId, Arc<dyn Sink>)>,
    /// Pipelines by their place in the plan.
    pub pipelines: Vec<Arc<Pipeline>>,
    /// Connectors.
    pub joints: Vec<Arc<Joint>>,
    /// Receivers and the places of their pipelines.
    pub receivers: Vec<ReceiverNode>,
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
}

/// Makes everything that the config's enabled pipelines use.
/// `None` if there are errors; all of them are in the diagnostics, warnings too.
pub fn build(root: &Node, registry: &Registry, shared: &Shared, diagnostics: &mut Diagnostics) -> Option<Graph> {
    build_graph(root, registry, shared, None, diagnostics)
}

/// Like [`build`], with one sink in place of all exporters, which are neither made nor checked.
pub fn build_with_sink(
    root: &Node,
    registry: &Registry,
    shared: &Shared,
    sink: Arc<dyn Sink>,
    diagnostics: &mut Diagnostics,
) -> Option<Graph> {
    build_graph(root, registry, shared, Some(sink), diagnostics)
}

fn build_graph(
    root: &Node,
    registry: &Registry,
    shared: &Shared,
    sink: Option<Arc<dyn Sink>>,
    diagnostics: &mut Diagnostics,
) -> Option<Graph> {
    let plan = Plan::new(root, registry, diagnostics)?;
    let mut builder = Builder::new(root, registry, shared);
    for id in &plan.service.extensions {
        builder.pool.extension(id, diagnostics);
    }
    let receivers = builder.receivers(&plan, diagnostics);
    match sink {
        Some(sink) => {
            let account = shared.books.open(Kind::Exporter, "once", Signal::Metrics, "");
            builder.capture = Some(Arc::new(SinkNode { sink, account }));
        }
        None => builder.exporters(&plan, diagnostics),
    }
    builder.connectors(&plan, diagnostics);
    let pipelines: Vec<Option<Arc<Pipeline>>> =
        plan.pipelines.iter().map(|pipeline| builder.pipeline(pipeline, diagnostics)).collect();
    if diagnostics.has_errors() {
        return None;
    }
    // Without errors, every pipeline was made.
    let pipelines: Vec<Arc<Pipeline>> = pipelines.into_iter().flatten().collect();
    builder.join(&plan, &pipelines);
    Some(Graph {
        shared: shared.clone(),
        extensions: builder.pool.nodes(),
        branches: builder.branches.into_values().collect(),
        sinks: builder.sinks.into_iter().map(|((_, id), node)| (id, Arc::clone(&node.sink))).collect(),
        joints: builder.joints.into_values().collect(),
        pipelines,
        receivers,
        plan,
    })
}

struct Builder<'a> {
    pool: Pool<'a>,
    branches: BTreeMap<(Signal, ComponentId), Arc<Branch>>,
    sinks: BTreeMap<(Signal, ComponentId), Arc<SinkNode>>,
    joints: BTreeMap<(Signal, Signal, ComponentId), Arc<Joint>>,
    /// Stands in the place of every pipeline's exporters.
    capture: Option<Arc<SinkNode>>,
}

impl<'a> Builder<'a> {
    fn new(root: &'a Node, registry: &'a Registry, shared: &'a Shared) -> Self {
        let (made, order, open) = (BTreeMap::new(), Vec::new(), Vec::new());
        let pool = Pool { root, registry, shared, made, order, open, referenced: BTreeSet::new() };
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
            let signal = feeds.first().map_or(Signal::Metrics, |(signal, _)| *signal);
            let source = self.pool.make(Kind::Receiver, id, signal, diagnostics, |build, context| match build {
                Build::Poller(make) => make(context).map(SourceKind::Polled),
                Build::Receiver(make) => make(context).map(SourceKind::Pushed),
                Build::Source(make) => make(context).map(|source| match source {
                    Source::Polled(polling) => SourceKind::Polled(polling),
                    Source::Running(receiver) => SourceKind::Pushed(receiver),
                }),
                _ => None,
            });
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
                if self.branches.contains_key(&key) || self.sinks.contains_key(&key) {
                    continue;
                }
                let made =
                    self.pool.make(Kind::Exporter, id, pipeline.signal, diagnostics, |build, context| match build {
                        Build::Exporter(make) => make(context),
                        _ => None,
                    });
                let shared = self.pool.shared;
                let account = shared.books.open(Kind::Exporter, id.as_str(), pipeline.signal, "");
                match made {
                    Some(Exporter::Queued { encoder, sender, delivery }) => {
                        if !self.pool.delivery_is_sane(id, &delivery, diagnostics) {
                            continue;
                        }
                        let name = match pipeline.signal {
                            Signal::Metrics => format!("exporter:{id}"),
                            signal => format!("exporter:{id}:{signal}"),
                        };
                        let status = shared.board.component(&name);
                        let meter = component_meter(&shared.meter, "exporter", id);
                        let storage = match self.pool.storage(id, pipeline.signal, &delivery, diagnostics) {
                            Ok(storage) => storage,
                            Err(Reported) => continue,
                        };
                        let parts = (encoder, sender, delivery);
                        let (clock, traces) = (shared.clock.clone(), shared.traces.clone());
                        let context = BranchContext { account, status, meter: &meter, clock, traces, storage };
                        let branch = Branch::new(name, parts, context);
                        self.branches.insert(key, Arc::new(branch));
                    }
                    Some(Exporter::Direct(sink)) => {
                        self.sinks.insert(key, Arc::new(SinkNode { sink, account }));
                    }
                    None => {}
                }
            }
        }
    }

    fn connectors(&mut self, plan: &Plan, diagnostics: &mut Diagnostics) {
        for from in &plan.pipelines {
            for id in &from.to_connectors {
                for to in plan.pipelines.iter().filter(|to| to.from_connectors.contains(id)) {
                    let key = (from.signal, to.signal, id.clone());
                    let factory = self.pool.registry.of_id(Kind::Connector, id);
                    let Some(Build::Connector(_, pairs)) = factory.map(|f| f.build) else { continue };
                    if self.joints.contains_key(&key) || !pairs.contains(&(from.signal, to.signal)) {
                        continue;
                    }
                    let made =
                        self.pool.make(Kind::Connector, id, from.signal, diagnostics, |build, context| match build {
                            Build::Connector(make, _) => make(context),
                            _ => None,
                        });
                    if let Some(connector) = made {
                        let shared = self.pool.shared;
                        let account = shared.books.open(Kind::Connector, id.as_str(), from.signal, "");
                        self.joints.insert(key, Arc::new(Joint::new(connector, account, shared.clock.clone())));
                    }
                }
            }
        }
    }

    fn pipeline(&mut self, plan: &PipelinePlan, diagnostics: &mut Diagnostics) -> Option<Arc<Pipeline>> {
        let shared = self.pool.shared;
        let mut stages = Vec::new();
        for id in &plan.processors {
            let made = self.pool.make(Kind::Processor, id, plan.signal, diagnostics, |build, context| match build {
                Build::Processor(make) => make(context),
                _ => None,
            });
            // What is wrong with one does not hide what is wrong with the next.
            let Some(processor) = made else { continue };
            let meter = component_meter(&shared.meter, "processor", id).with("pipeline", plan.id.as_str());
            stages.push(Stage {
                processor,
                account: shared.books.open(Kind::Processor, id.as_str(), plan.signal, plan.id.as_str()),
                series: meter.gauge("processor_series", "Series that the processor keeps state for.", &[]),
            });
        }
        if stages.len() < plan.processors.len() {
            return None;
        }
        let key = |id: &ComponentId| (plan.signal, id.clone());
        let branches = plan.exporters.iter().filter_map(|id| self.branches.get(&key(id)).cloned()).collect();
        let sinks = match &self.capture {
            Some(node) => vec![Arc::clone(node)],
            None => plan.exporters.iter().filter_map(|id| self.sinks.get(&key(id)).cloned()).collect(),
        };
        let from_here =
            |(from, _, id): &(Signal, Signal, ComponentId)| *from == plan.signal && plan.to_connectors.contains(id);
        let joints = self.joints.iter().filter(|(key, _)| from_here(key)).map(|(_, joint)| Arc::clone(joint)).collect();
        let name = plan.id.to_string();
        Some(Arc::new(Pipeline::new(name, stages, branches, sinks, joints, shared.clock.clone())))
    }

    fn join(&self, plan: &Plan, pipelines: &[Arc<Pipeline>]) {
        for ((_, to, id), joint) in &self.joints {
            let listed = plan.pipelines.iter().zip(pipelines);
            let targets = listed.filter(|(plan, _)| plan.signal == *to && plan.from_connectors.contains(id));
            joint.set_targets(targets.map(|(_, pipeline)| Arc::clone(pipeline)).collect());
        }
    }
}

/// The meter of one component.
pub fn component_meter(meter: &Meter, kind: &str, id: &ComponentId) -> Meter {
    meter.with(kind, id.as_str())
}

/// The error is in the diagnostics.
struct Reported;

/// Makes components, and extensions when something refers to them.
struct Pool<'a> {
    root: &'a Node,
    registry: &'a Registry,
    shared: &'a Shared,
    made: BTreeMap<ComponentId, Option<Arc<dyn Extension>>>,
    order: Vec<(ComponentId, Arc<dyn Extension>)>,
    referenced: BTreeSet<ComponentId>,
    /// Extensions that are being made, to see a circle.
    open: Vec<ComponentId>,
}

impl Pool<'_> {
    fn make<T>(
        &mut self,
        kind: Kind,
        id: &ComponentId,
        signal: Signal,
        diagnostics: &mut Diagnostics,
        make: impl FnOnce(Build, &mut CreateContext<'_>) -> Option<T>,
    ) -> Option<T> {
        // What is missing here was reported by the plan.
        let factory = self.registry.of_id(kind, id)?;
        let node = self.root.get(kind.section())?.get(id.as_str())?;
        let clock = self.shared.clock.clone();
        let meter = component_meter(&self.shared.meter, kind.name(), id);
        let own_metrics: Arc<dyn OwnMetrics> = self.shared.own.clone();
        let mut context = CreateContext {
            id,
            pipeline: "",
            signal,
            clock: &clock,
            meter: &meter,
            own_metrics: &own_metrics,
            node,
            path: path_join(kind.section(), id.as_str()),
            diagnostics,
            extensions: self,
        };
        let made = make(factory.build, &mut context);
        if made.is_none() && !diagnostics.has_errors() {
            // A factory must say why; without that the component would be missing without a word.
            let silent = format!("{} `{id}` could not be made, and its factory does not say why", kind.name());
            let path = path_join(kind.section(), id.as_str());
            diagnostics.push(Diagnostic::error("not-made", silent).at(path, node.place()));
        }
        made
    }

    /// The disk under an exporter's queue, if config wants one.
    fn storage(
        &mut self,
        id: &ComponentId,
        signal: Signal,
        delivery: &DeliveryConfig,
        diagnostics: &mut Diagnostics,
    ) -> Result<Option<(Arc<dyn Storage>, Owner)>, Reported> {
        let Some(wanted) = &delivery.queue.storage else { return Ok(None) };
        let (path, relative) = (path_join("exporters", id.as_str()), "sending_queue.storage");
        let node = self.root.get("exporters").and_then(|section| section.get(id.as_str())).unwrap_or(self.root);
        let known = self.ids();
        if !known.iter().any(|known| known == wanted.as_str()) {
            let missing = Diagnostic::error("unknown-reference", format!("there is no extension `{wanted}`"))
                .with_expected(format!("an id of `extensions`: {}", known.join(", ")))
                .with_suggestion(wanted.as_str(), known.iter().map(String::as_str));
            diagnostics.push(missing.at_node(node, &path, relative));
            return Err(Reported);
        }
        // Its own errors are in the diagnostics.
        let extension = self.resolve(wanted, diagnostics).ok_or(Reported)?;
        let Some(storage) = extension.as_storage() else {
            let wrong = format!("extension `{wanted}` does not store anything");
            diagnostics.push(Diagnostic::error("invalid-value", wrong).at_node(node, &path, relative));
            return Err(Reported);
        };
        let owner = Owner { kind: Kind::Exporter.name(), id: id.to_string(), place: signal.to_string() };
        Ok(Some((storage, owner)))
    }

    fn delivery_is_sane(&self, id: &ComponentId, delivery: &DeliveryConfig, diagnostics: &mut Diagnostics) -> bool {
        let node = self.root.get("exporters").and_then(|section| section.get(id.as_str())).unwrap_or(self.root);
        let mut problems = delivery.problems();
        let size =
            node.at_path("sending_queue.queue_size").and_then(Node::text).and_then(|text| text.parse::<u64>().ok());
        if let Some(size) = size.filter(|size| *size < 1 << 16) {
            let wrong = format!(
                "it is bytes, and {size} of them hold no request; the Collector counts requests: write a size such as 64MiB"
            );
            problems.push(("sending_queue.queue_size", wrong));
        }
        for (relative, problem) in &problems {
            let path = path_join("exporters", id.as_str());
            diagnostics.push(Diagnostic::error("out-of-range", problem).at_node(node, &path, relative));
        }
        problems.is_empty()
    }

    fn nodes(&self) -> Vec<ExtensionNode> {
        let node = |(id, extension): &(ComponentId, Arc<dyn Extension>)| ExtensionNode {
            id: id.clone(),
            extension: Arc::clone(extension),
            referenced: self.referenced.contains(id),
        };
        self.order.iter().map(node).collect()
    }

    /// The extension of this id, made now if it was not.
    fn extension(&mut self, id: &ComponentId, diagnostics: &mut Diagnostics) -> Option<Arc<dyn Extension>> {
        if let Some(made) = self.made.get(id) {
            return made.clone();
        }
        if self.open.contains(id) {
            let message = format!("extension `{id}` refers to itself through others");
            let at = path_join("extensions", id.as_str());
            diagnostics.push(Diagnostic::error("cycle", message).at_node(self.root, "", &at).with_path(at.clone()));
            return None;
        }
        self.open.push(id.clone());
        let made = self.make(Kind::Extension, id, Signal::Metrics, diagnostics, |build, context| match build {
            Build::Extension(make) => make(context),
            _ => None,
        });
        self.open.pop();
        self.made.insert(id.clone(), made.clone());
        if let Some(extension) = &made {
            self.order.push((id.clone(), Arc::clone(extension)));
        }
        made
    }
}

impl Extensions for Pool<'_> {
    fn resolve(&mut self, id: &ComponentId, diagnostics: &mut Diagnostics) -> Option<Arc<dyn Extension>> {
        self.referenced.insert(id.clone());
        self.extension(id, diagnostics)
    }

    fn ids(&self) -> Vec<String> {
        let section = self.root.get(Kind::Extension.section());
        section.map(Node::entries).unwrap_or_default().iter().map(|entry| entry.key.text.to_string()).collect()
    }
}
