//! What cannot fit, known before anything runs: delta sums and histograms on their way to a backend that takes only
//! cumulative ones. They would be dropped, and counted; a config that says so at load costs nobody an afternoon.

use std::collections::BTreeSet;

use steadyline_component::{Kind, RepeatEffect, TemporalityEffect};
use steadyline_config::{ComponentId, Diagnostic, Diagnostics, Node, path_index, path_join};
use steadyline_telemetry::Signal;

use super::plan::PipelinePlan;
use crate::registry::Registry;

/// Warns of every exporter that will be given deltas and drops them.
pub(super) fn deltas(root: &Node, pipelines: &[PipelinePlan], registry: &Registry, diagnostics: &mut Diagnostics) {
    let graph = Deltas { pipelines, registry };
    let cure = cure(registry);
    for pipeline in pipelines.iter().filter(|pipeline| pipeline.signal == Signal::Metrics) {
        let Some(giver) = graph.leaving(pipeline, &mut BTreeSet::new()) else { continue };
        for id in &pipeline.exporters {
            if graph.effect(Kind::Exporter, id) != TemporalityEffect::NeedsCumulative {
                continue;
            }
            let at = path_join(&path_join("service.pipelines", pipeline.id.as_str()), "exporters");
            let listed = root.at_path(&at).map(Node::items).unwrap_or_default();
            let index = listed.iter().position(|node| node.text().is_some_and(|text| *text == *id.as_str()));
            let at = path_index(&at, index.unwrap_or_default());
            let message = format!(
                "`{giver}` gives delta sums and histograms, and `{id}` cannot send them: each would be dropped and counted"
            );
            let warning = Diagnostic::warning("delta-to-cumulative", message).with_help(cure.clone());
            diagnostics.push(warning.at_node(root, "", &at).with_path(at));
        }
    }
}

/// Warns of every processor that takes points for news behind one that repeats what it was told before.
pub(super) fn repeats(root: &Node, pipelines: &[PipelinePlan], registry: &Registry, diagnostics: &mut Diagnostics) {
    let effect = |id: &ComponentId| registry.of_id(Kind::Processor, id).map(|factory| factory.repeats);
    for pipeline in pipelines {
        let repeats = |id: &ComponentId| effect(id) == Some(RepeatEffect::Repeats);
        let Some(first) = pipeline.processors.iter().position(repeats) else { continue };
        for (index, id) in pipeline.processors.iter().enumerate().skip(first + 1) {
            if effect(id) != Some(RepeatEffect::NeedsNews) {
                continue;
            }
            let repeater = &pipeline.processors[first];
            let at = path_join(&path_join("service.pipelines", pipeline.id.as_str()), "processors");
            let at = path_index(&at, index);
            let message =
                format!("`{id}` stands behind `{repeater}`, which repeats points: `{id}` takes each for news");
            let warning =
                Diagnostic::warning("news-behind-repeats", message).with_help(format!("put it before `{repeater}`"));
            diagnostics.push(warning.at_node(root, "", &at).with_path(at));
        }
    }
}

/// What to do about it, by the names of this distribution.
fn cure(registry: &Registry) -> String {
    let gives = |factory: &&steadyline_component::Factory| factory.temporality == TemporalityEffect::GivesCumulative;
    match registry.of(Kind::Processor).find(gives) {
        Some(factory) => format!("put the processor `{}` at the end of the pipeline", factory.spec.name),
        None => "send them to an OTLP backend instead".to_owned(),
    }
}

struct Deltas<'a> {
    pipelines: &'a [PipelinePlan],
    registry: &'a Registry,
}

impl<'a> Deltas<'a> {
    /// Who makes the deltas that come out of a pipeline's processors, if config alone says that some do.
    fn leaving(&self, pipeline: &'a PipelinePlan, seen: &mut BTreeSet<&'a str>) -> Option<&'a ComponentId> {
        let mut giver = self.arriving(pipeline, seen);
        for id in &pipeline.processors {
            match self.effect(Kind::Processor, id) {
                TemporalityEffect::GivesDelta => giver = Some(id),
                TemporalityEffect::GivesCumulative => giver = None,
                TemporalityEffect::Keeps | TemporalityEffect::NeedsCumulative => {}
            }
        }
        giver
    }

    fn arriving(&self, pipeline: &'a PipelinePlan, seen: &mut BTreeSet<&'a str>) -> Option<&'a ComponentId> {
        if !seen.insert(pipeline.id.as_str()) {
            return None;
        }
        let gives = |kind, id: &&ComponentId| self.effect(kind, id) == TemporalityEffect::GivesDelta;
        let own = pipeline.receivers.iter().find(|id| gives(Kind::Receiver, id));
        own.or_else(|| pipeline.from_connectors.iter().find(|id| gives(Kind::Connector, id))).or_else(|| {
            let feeds = |from: &&PipelinePlan| {
                from.signal == Signal::Metrics
                    && from.to_connectors.iter().any(|id| pipeline.from_connectors.contains(id))
            };
            self.pipelines.iter().filter(feeds).find_map(|from| self.leaving(from, seen))
        })
    }

    fn effect(&self, kind: Kind, id: &ComponentId) -> TemporalityEffect {
        self.registry.of_id(kind, id).map(|factory| factory.temporality).unwrap_or_default()
    }
}
