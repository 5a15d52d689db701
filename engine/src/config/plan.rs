//! From the tree to a plan: which pipelines run, of what, checked as a graph. Nothing is made here.

use std::collections::{BTreeMap, BTreeSet};

use steadyline_component::Kind;
use steadyline_component::factory::Build;
use steadyline_config::{ComponentId, Diagnostic, Diagnostics, Node, Origin, path_index, path_join};
use steadyline_telemetry::Signal;

use super::mismatch;
use super::service::{PipelineConfig, ServiceConfig};
use crate::registry::Registry;

/// What is to run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The `service` section.
    pub service: ServiceConfig,
    /// The enabled pipelines.
    pub pipelines: Vec<PipelinePlan>,
}

/// One pipeline that is to run.
#[derive(Debug, Clone)]
pub struct PipelinePlan {
    /// Its id: `metrics/onboarding`.
    pub id: ComponentId,
    /// Its signal.
    pub signal: Signal,
    /// Receivers, without connectors.
    pub receivers: Vec<ComponentId>,
    /// Connectors on the receiver side.
    pub from_connectors: Vec<ComponentId>,
    /// Processors, in order.
    pub processors: Vec<ComponentId>,
    /// Exporters, without connectors.
    pub exporters: Vec<ComponentId>,
    /// Connectors on the exporter side.
    pub to_connectors: Vec<ComponentId>,
}

const SECTIONS: [Kind; 5] = [Kind::Receiver, Kind::Processor, Kind::Exporter, Kind::Connector, Kind::Extension];

impl Plan {
    /// Checks the whole tree. `None` if nothing could run; errors of parts are in the diagnostics either way.
    pub fn new(root: &Node, registry: &Registry, diagnostics: &mut Diagnostics) -> Option<Plan> {
        check_top_level(root, diagnostics);
        for kind in SECTIONS {
            check_section(root, kind, registry, diagnostics);
        }
        let service = ServiceConfig::decode(root, diagnostics)?;
        let checker = Checker { root, registry };
        let mut pipelines = Vec::new();
        for (id, signal, config) in &service.pipelines {
            let plan = checker.pipeline(id, *signal, config, diagnostics);
            if config.enabled {
                pipelines.push(plan);
            }
        }
        checker.extensions(&service, diagnostics);
        if pipelines.is_empty() && !service.pipelines.is_empty() {
            let off = Diagnostic::error("missing-field", "no pipeline is enabled, so there is nothing to run");
            diagnostics.push(off.at_node(root, "", "service.pipelines"));
        }
        checker.connectors(&pipelines, diagnostics);
        checker.cycles(&pipelines, diagnostics);
        checker.unused(&service, diagnostics);
        checker.double_writers(&pipelines, diagnostics);
        mismatch::deltas(root, &pipelines, registry, diagnostics);
        mismatch::repeats(root, &pipelines, registry, diagnostics);
        Some(Plan { service, pipelines })
    }
}

fn check_top_level(root: &Node, diagnostics: &mut Diagnostics) {
    let known: Vec<&str> = SECTIONS.iter().map(|kind| kind.section()).chain(["service"]).collect();
    for entry in root.entries() {
        if !known.contains(&&*entry.key.text) {
            let unknown = Diagnostic::error("unknown-key", format!("unknown section `{}`", entry.key.text))
                .with_expected(known.join(", "))
                .with_suggestion(&entry.key.text, known.iter().copied());
            diagnostics.push(unknown.at(&*entry.key.text, &entry.key.place));
        }
    }
}

/// Every id of a section must read, and its type must be one we have, whether it is used or not.
fn check_section(root: &Node, kind: Kind, registry: &Registry, diagnostics: &mut Diagnostics) {
    let Some(section) = root.get(kind.section()) else { return };
    if !section.is_null() && section.entries().is_empty() && !section.is_map() {
        let wrong = Diagnostic::error("wrong-type", format!("`{}` is {}", kind.section(), section.describe()))
            .with_expected("a map from ids to configs");
        diagnostics.push(wrong.at(kind.section(), section.place()));
    }
    for entry in section.entries() {
        let path = path_join(kind.section(), &entry.key.text);
        match entry.key.text.parse::<ComponentId>() {
            Err(error) => {
                diagnostics.push(Diagnostic::error("invalid-value", error.to_string()).at(path, &entry.key.place));
            }
            Ok(id) if registry.of_id(kind, &id).is_none() && registry.instead_of(kind, id.type_name()).is_some() => {
                let advice = registry.instead_of(kind, id.type_name()).unwrap_or_default();
                let message = format!("the {} `{}` of the Collector is not supported", kind.name(), id.type_name());
                diagnostics
                    .push(Diagnostic::error("unknown-type", message).with_help(advice).at(path, &entry.key.place));
            }
            Ok(id) if registry.of_id(kind, &id).is_none() => {
                let names: Vec<&str> = registry.of(kind).map(|f| f.spec.name).collect();
                let unknown = Diagnostic::error(
                    "unknown-type",
                    format!("there is no {} of type `{}`", kind.name(), id.type_name()),
                )
                .with_expected(if names.is_empty() { "none are built in".into() } else { names.join(", ") })
                .with_suggestion(id.type_name(), registry.names(kind));
                diagnostics.push(unknown.at(path, &entry.key.place));
            }
            Ok(_) => {}
        }
    }
}

struct Checker<'a> {
    root: &'a Node,
    registry: &'a Registry,
}

impl Checker<'_> {
    fn pipeline(
        &self,
        id: &ComponentId,
        signal: Signal,
        config: &PipelineConfig,
        diagnostics: &mut Diagnostics,
    ) -> PipelinePlan {
        let path = path_join("service.pipelines", id.as_str());
        let (from_connectors, receivers) =
            self.ends(&path, Kind::Receiver, signal, &config.receivers, config.enabled, diagnostics);
        let (to_connectors, exporters) =
            self.ends(&path, Kind::Exporter, signal, &config.exporters, config.enabled, diagnostics);
        let mut processors = Vec::new();
        for (index, processor) in config.processors.iter().enumerate() {
            let at = path_index(&path_join(&path, "processors"), index);
            if processors.contains(processor) {
                let twice = format!("processor `{processor}` stands twice in one pipeline");
                self.report(&at, Diagnostic::error("duplicate-reference", twice), diagnostics);
            }
            if self.refer(&at, &[Kind::Processor], signal, processor, diagnostics).is_some() {
                processors.push(processor.clone());
            }
        }
        PipelinePlan { id: id.clone(), signal, receivers, from_connectors, processors, exporters, to_connectors }
    }

    /// Sorts the ids at one end of a pipeline into (connectors, components).
    fn ends(
        &self,
        path: &str,
        kind: Kind,
        signal: Signal,
        ids: &[ComponentId],
        enabled: bool,
        diagnostics: &mut Diagnostics,
    ) -> (Vec<ComponentId>, Vec<ComponentId>) {
        let list = path_join(path, kind.section());
        if ids.is_empty() && enabled {
            let none = Diagnostic::error("missing-field", format!("the pipeline has no {}", kind.name()))
                .with_expected(format!("at least one id of `{}`", kind.section()));
            self.report(&list, none, diagnostics);
        }
        let (mut connectors, mut components) = (Vec::new(), Vec::new());
        for (index, id) in ids.iter().enumerate() {
            let at = path_index(&list, index);
            let known = connectors.contains(id) || components.contains(id);
            if known {
                let twice = Diagnostic::error("duplicate-reference", format!("`{id}` stands twice in one list"));
                self.report(&at, twice, diagnostics);
                continue;
            }
            match self.refer(&at, &[kind, Kind::Connector], signal, id, diagnostics) {
                Some(Kind::Connector) => connectors.push(id.clone()),
                Some(_) => components.push(id.clone()),
                None => {}
            }
        }
        (connectors, components)
    }

    /// The kind under which `id` is configured, or a diagnostic.
    fn refer(
        &self,
        at: &str,
        kinds: &[Kind],
        signal: Signal,
        id: &ComponentId,
        diagnostics: &mut Diagnostics,
    ) -> Option<Kind> {
        let has = |kind: &&Kind| self.root.get(kind.section()).is_some_and(|s| s.get(id.as_str()).is_some());
        let Some(&kind) = kinds.iter().find(has) else {
            let ids: Vec<&str> = kinds.iter().flat_map(|kind| self.ids(*kind)).collect();
            let missing = Diagnostic::error("unknown-reference", format!("there is no {} `{id}`", kinds[0].name()))
                .with_expected(match ids.is_empty() {
                    true => format!("an id of `{}`, which has none", kinds[0].section()),
                    false => format!("an id of `{}`: {}", kinds[0].section(), ids.join(", ")),
                })
                .with_suggestion(id.as_str(), ids.iter().copied());
            self.report(at, missing, diagnostics);
            return None;
        };
        // An unknown type was reported where it stands.
        let factory = self.registry.of_id(kind, id)?;
        if kind != Kind::Connector && !factory.spec.signals.contains(&signal) {
            let names: Vec<&str> = factory.spec.signals.iter().map(|s| s.name()).collect();
            let wrong = format!("{} `{id}` does not do {signal}", kind.name());
            let wrong =
                Diagnostic::error("wrong-signal", wrong).with_expected(format!("a pipeline of {}", names.join(" or ")));
            self.report(at, wrong, diagnostics);
            return None;
        }
        Some(kind)
    }

    fn ids(&self, kind: Kind) -> impl Iterator<Item = &str> {
        self.root.get(kind.section()).map(Node::entries).unwrap_or_default().iter().map(|entry| &*entry.key.text)
    }

    fn extensions(&self, service: &ServiceConfig, diagnostics: &mut Diagnostics) {
        for (index, id) in service.extensions.iter().enumerate() {
            let at = path_index("service.extensions", index);
            self.refer_extension(&at, id, diagnostics);
        }
    }

    fn refer_extension(&self, at: &str, id: &ComponentId, diagnostics: &mut Diagnostics) {
        let ids: Vec<&str> = self.ids(Kind::Extension).collect();
        if !ids.contains(&id.as_str()) {
            let missing = Diagnostic::error("unknown-reference", format!("there is no extension `{id}`"))
                .with_expected(format!("an id of `extensions`: {}", ids.join(", ")))
                .with_suggestion(id.as_str(), ids.iter().copied());
            self.report(at, missing, diagnostics);
        }
    }

    /// A connector must join: be an exporter of some pipeline and a receiver of another, in signals that it can join.
    fn connectors(&self, pipelines: &[PipelinePlan], diagnostics: &mut Diagnostics) {
        let mut takers: BTreeMap<&ComponentId, Vec<&PipelinePlan>> = BTreeMap::new();
        let mut givers: BTreeMap<&ComponentId, Vec<&PipelinePlan>> = BTreeMap::new();
        for pipeline in pipelines {
            pipeline.to_connectors.iter().for_each(|id| takers.entry(id).or_default().push(pipeline));
            pipeline.from_connectors.iter().for_each(|id| givers.entry(id).or_default().push(pipeline));
        }
        let ids: BTreeSet<&ComponentId> = takers.keys().chain(givers.keys()).copied().collect();
        for id in ids {
            let at = path_join("connectors", id.as_str());
            match (takers.get(id), givers.get(id)) {
                (Some(from), None) => {
                    self.report(&at, one_sided(id, "an exporter", from, "a receiver"), diagnostics);
                }
                (None, Some(to)) => self.report(&at, one_sided(id, "a receiver", to, "an exporter"), diagnostics),
                (Some(from), Some(to)) => self.connector_signals(&at, id, from, to, diagnostics),
                (None, None) => {}
            }
        }
    }

    fn connector_signals(
        &self,
        at: &str,
        id: &ComponentId,
        from: &[&PipelinePlan],
        to: &[&PipelinePlan],
        diagnostics: &mut Diagnostics,
    ) {
        let Some(Build::Connector(_, pairs)) = self.registry.of_id(Kind::Connector, id).map(|f| f.build) else {
            return;
        };
        let fits = |a: Signal, b: Signal| pairs.contains(&(a, b));
        for pipeline in from.iter().filter(|p| !to.iter().any(|q| fits(p.signal, q.signal))) {
            let wrong = format!("connector `{id}` cannot take {} from pipeline `{}`", pipeline.signal, pipeline.id);
            self.report(at, Diagnostic::error("wrong-signal", wrong), diagnostics);
        }
        for pipeline in to.iter().filter(|q| !from.iter().any(|p| fits(p.signal, q.signal))) {
            let wrong = format!("connector `{id}` cannot give {} to pipeline `{}`", pipeline.signal, pipeline.id);
            self.report(at, Diagnostic::error("wrong-signal", wrong), diagnostics);
        }
    }

    /// Pipelines joined by connectors must not form a cycle.
    fn cycles(&self, pipelines: &[PipelinePlan], diagnostics: &mut Diagnostics) {
        let next = |at: usize| {
            let ends = &pipelines[at].to_connectors;
            (0..pipelines.len()).filter(move |&to| pipelines[to].from_connectors.iter().any(|id| ends.contains(id)))
        };
        let mut done = vec![false; pipelines.len()];
        for start in 0..pipelines.len() {
            let mut trail = vec![start];
            if let Some(cycle) = find_cycle(&next, &mut trail, &mut done) {
                let names: Vec<&str> = cycle.iter().map(|&at| pipelines[at].id.as_str()).collect();
                let message = format!("pipelines feed each other in a cycle: {}", names.join(" -> "));
                let at = path_join("service.pipelines", names[0]);
                self.report(&at, Diagnostic::error("cycle", message), diagnostics);
                return;
            }
        }
    }

    /// What is configured and used by no pipeline, enabled or not, is probably a slip.
    fn unused(&self, service: &ServiceConfig, diagnostics: &mut Diagnostics) {
        let mut used = BTreeSet::new();
        for (_, _, pipeline) in &service.pipelines {
            used.extend(pipeline.receivers.iter().chain(&pipeline.processors).chain(&pipeline.exporters));
        }
        for kind in [Kind::Receiver, Kind::Processor, Kind::Exporter, Kind::Connector] {
            if self.chosen_from_outside(kind) {
                continue;
            }
            for entry in self.root.get(kind.section()).map(Node::entries).unwrap_or_default() {
                if !used.iter().any(|id| id.as_str() == &*entry.key.text) {
                    let message =
                        format!("{} `{}` is used by no pipeline and will not run", kind.name(), entry.key.text);
                    let path = path_join(kind.section(), &entry.key.text);
                    diagnostics.push(Diagnostic::warning("unused-component", message).at(path, &entry.key.place));
                }
            }
        }
    }

    /// Whether some pipeline's list of this kind comes from a variable: what it leaves out is a choice, not a slip.
    fn chosen_from_outside(&self, kind: Kind) -> bool {
        let pipelines = self.root.at_path("service.pipelines").map(Node::entries).unwrap_or_default();
        let lists = pipelines.iter().filter_map(|entry| entry.value.get(kind.section()));
        lists.into_iter().any(|list| matches!(list.origin(), Origin::Expanded { .. }))
    }

    /// Two pipelines that carry the same source to the same exporter write every series twice.
    fn double_writers(&self, pipelines: &[PipelinePlan], diagnostics: &mut Diagnostics) {
        for (index, a) in pipelines.iter().enumerate() {
            for b in &pipelines[index + 1..] {
                let source = a.receivers.iter().find(|id| b.receivers.contains(id));
                let target = a.exporters.iter().find(|id| b.exporters.contains(id));
                if let (Some(source), Some(target), true) = (source, target, a.signal == b.signal) {
                    let message = format!(
                        "pipelines `{}` and `{}` both carry `{source}` to `{target}`: each series would be written twice",
                        a.id, b.id
                    );
                    let at = path_join("service.pipelines", b.id.as_str());
                    self.report(&at, Diagnostic::warning("double-writer", message), diagnostics);
                }
            }
        }
    }

    fn report(&self, path: &str, diagnostic: Diagnostic, diagnostics: &mut Diagnostics) {
        diagnostics.push(diagnostic.at_node(self.root, "", path).with_path(path));
    }
}

fn one_sided(id: &ComponentId, is: &str, pipelines: &[&PipelinePlan], lacks: &str) -> Diagnostic {
    let names: Vec<&str> = pipelines.iter().map(|p| p.id.as_str()).collect();
    let message = format!("connector `{id}` is {is} of {} and {lacks} of no enabled pipeline", names.join(", "));
    Diagnostic::error("dangling-connector", message)
        .with_expected("a connector stands in `exporters` of one pipeline and in `receivers` of another")
}

fn find_cycle<I: Iterator<Item = usize>>(
    next: &impl Fn(usize) -> I,
    trail: &mut Vec<usize>,
    done: &mut [bool],
) -> Option<Vec<usize>> {
    let at = *trail.last()?;
    if done[at] {
        return None;
    }
    for to in next(at) {
        if let Some(start) = trail.iter().position(|&seen| seen == to) {
            let mut cycle = trail[start..].to_vec();
            cycle.push(to);
            return Some(cycle);
        }
        trail.push(to);
        if let Some(cycle) = find_cycle(next, trail, done) {
            return Some(cycle);
        }
        trail.pop();
    }
    done[at] = true;
    None
}
