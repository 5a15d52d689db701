//! Makes components one by one, and extensions when something refers to them; notes who refers to whom.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use steadyline_component::exporter::DeliveryConfig;
use steadyline_component::factory::{Build, Extensions};
use steadyline_component::{CreateContext, Extension, Kind, OwnMetrics, Owner, Storage};
use steadyline_config::{ComponentId, Diagnostic, Diagnostics, Node, path_join};
use steadyline_telemetry::Signal;

use super::reuse::{Place, Previous, Record, Records};
use super::{ExtensionNode, Shared, component_meter};
use crate::config::{ServiceConfig, same};
use crate::memory::Bound;
use crate::registry::Registry;

/// Where a queue on disk lives: in whose storage, as whose.
type QueuePlace = (Arc<dyn Storage>, Owner);

/// The error is in the diagnostics.
pub(super) struct Reported;

/// What makes components.
pub(super) struct Pool<'a> {
    pub(super) root: &'a Node,
    pub(super) registry: &'a Registry,
    pub(super) shared: &'a Shared,
    /// What runs already.
    pub(super) previous: &'a Previous,
    /// What was noted of everything that was made or kept.
    pub(super) records: Records,
    service: &'a ServiceConfig,
    made: BTreeMap<ComponentId, Option<Arc<dyn Extension>>>,
    order: Vec<(ComponentId, Arc<dyn Extension>)>,
    referenced: BTreeSet<ComponentId>,
    /// Extensions that are being made, to see a circle.
    open: Vec<ComponentId>,
    /// What is noted of components that are being made: an extension may be made for one.
    notes: Vec<Record>,
    /// Extensions whose config changed, and those under whose config they can go on.
    adapted: BTreeMap<ComponentId, Option<Arc<dyn Extension>>>,
}

impl<'a> Pool<'a> {
    pub(super) fn new(
        root: &'a Node,
        registry: &'a Registry,
        shared: &'a Shared,
        previous: &'a Previous,
        service: &'a ServiceConfig,
    ) -> Pool<'a> {
        let (made, order, open, notes) = (BTreeMap::new(), Vec::new(), Vec::new(), Vec::new());
        let (records, referenced, adapted) = (Records::new(), BTreeSet::new(), BTreeMap::new());
        Pool { root, registry, shared, previous, records, service, made, order, referenced, open, notes, adapted }
    }

    /// Whether what runs in this place goes on; with it goes on what it refers to.
    pub(super) fn keep(&mut self, place: &Place) -> bool {
        let Some(record) = self.unchanged(place) else { return false };
        self.records.insert(place.clone(), record.clone());
        for id in &record.refers_to {
            self.referenced.insert(id.clone());
            self.keep_extension(id);
        }
        true
    }

    /// What was noted of the component in this place, if it can go on: its config reads the same, or it can do with the
    /// new one, and so can everything it refers to.
    fn unchanged(&mut self, place: &Place) -> Option<Record> {
        let (old, new) = (self.previous.config_of(place)?, place.config_in(self.root)?);
        let record = self.previous.records.get(place)?.clone();
        if !same(old, new) && !self.adapts(place) {
            return None;
        }
        let refers = |id: &ComponentId| {
            let place = Place::new(Kind::Extension, id, "");
            self.previous.extensions.contains_key(id) && self.unchanged(&place).is_some()
        };
        record.refers_to.iter().all(refers).then_some(record)
    }

    /// Whether what runs in this place is an extension that can go on under its new config.
    fn adapts(&mut self, place: &Place) -> bool {
        if let Some(known) = self.adapted.get(&place.id).filter(|_| place.kind == Kind::Extension) {
            return known.is_some();
        }
        let Some(old) = self.previous.extensions.get(&place.id).filter(|_| place.kind == Kind::Extension) else {
            return false;
        };
        let Some(adaptable) = old.as_adaptable() else { return false };
        // What is wrong with it was found when the config was checked.
        let mut seen = Diagnostics::default();
        let next = self.make_extension(place.clone(), &mut seen).filter(|next| adaptable.can_become(&**next));
        // It is made to be asked, not to run.
        self.records.remove(place);
        self.adapted.insert(place.id.clone(), next.clone());
        next.is_some()
    }

    /// Extensions that go on, and those under whose config they do.
    pub(super) fn adapted(&self) -> Vec<(Arc<dyn Extension>, Arc<dyn Extension>)> {
        let pair = |(id, next): (&ComponentId, &Option<Arc<dyn Extension>>)| {
            let old = self.previous.extensions.get(id)?;
            let kept = self.made.get(id)?.as_ref()?;
            Arc::ptr_eq(old, kept).then_some((Arc::clone(old), next.clone()?))
        };
        self.adapted.iter().filter_map(pair).collect()
    }

    fn make_extension(&mut self, place: Place, diagnostics: &mut Diagnostics) -> Option<Arc<dyn Extension>> {
        self.make(place, Signal::Metrics, "", diagnostics, |build, context| match build {
            Build::Extension(make) => make(context),
            _ => None,
        })
    }

    fn keep_extension(&mut self, id: &ComponentId) -> Option<Arc<dyn Extension>> {
        if let Some(made) = self.made.get(id) {
            return made.clone();
        }
        let extension = Arc::clone(self.previous.extensions.get(id)?);
        // Those that it refers to come before it.
        if !self.keep(&Place::new(Kind::Extension, id, "")) {
            return None;
        }
        self.made.insert(id.clone(), Some(Arc::clone(&extension)));
        self.order.push((id.clone(), Arc::clone(&extension)));
        Some(extension)
    }

    pub(super) fn make<T>(
        &mut self,
        place: Place,
        signal: Signal,
        pipeline: &str,
        diagnostics: &mut Diagnostics,
        make: impl FnOnce(Build, &mut CreateContext<'_>) -> Option<T>,
    ) -> Option<T> {
        let (kind, id) = (place.kind, &place.id);
        // What is missing here was reported by the plan.
        let factory = self.registry.of_id(kind, id)?;
        let node = self.root.get(kind.section())?.get(id.as_str())?;
        let clock = self.shared.clock.clone();
        let meter = component_meter(&self.shared.meter, kind.name(), id);
        let own_metrics: Arc<dyn OwnMetrics> = self.shared.own.clone();
        self.notes.push(Record::default());
        let mut context = CreateContext {
            id,
            pipeline,
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
        let record = self.notes.pop().unwrap_or_default();
        if made.is_none() && !diagnostics.has_errors() {
            // A factory must say why; without that the component would be missing without a word.
            let silent = format!("{} `{id}` could not be made, and its factory does not say why", kind.name());
            let path = path_join(kind.section(), id.as_str());
            diagnostics.push(Diagnostic::error("not-made", silent).at(path, node.place()));
        }
        self.records.insert(place, record);
        made
    }

    /// The disk under an exporter's queue, if config wants one.
    pub(super) fn storage(
        &mut self,
        place: &Place,
        signal: Signal,
        delivery: &DeliveryConfig,
        diagnostics: &mut Diagnostics,
    ) -> Result<Option<QueuePlace>, Reported> {
        let Some(wanted) = &delivery.queue.storage else { return Ok(None) };
        let id = &place.id;
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
        if let Some(record) = self.records.get_mut(place) {
            record.refers_to.insert(wanted.clone());
        }
        // Its own errors are in the diagnostics.
        let extension = self.resolve(wanted, diagnostics).ok_or(Reported)?;
        let Some(storage) = extension.as_storage() else {
            let wrong = format!("extension `{wanted}` does not store anything");
            diagnostics.push(Diagnostic::error("invalid-value", wrong).at_node(node, &path, relative));
            return Err(Reported);
        };
        // One queue, one place: whoever is sending from there goes on.
        let known = self.previous.storages.iter().find(|known| known.is_place_of(&*storage)).cloned();
        let storage = known.unwrap_or(storage);
        let owner = Owner { kind: Kind::Exporter.name(), id: id.to_string(), place: signal.to_string() };
        Ok(Some((storage, owner)))
    }

    pub(super) fn delivery_is_sane(
        &self,
        id: &ComponentId,
        delivery: &DeliveryConfig,
        diagnostics: &mut Diagnostics,
    ) -> bool {
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

    pub(super) fn nodes(&self) -> Vec<ExtensionNode> {
        let node = |(id, extension): &(ComponentId, Arc<dyn Extension>)| ExtensionNode {
            id: id.clone(),
            extension: Arc::clone(extension),
            referenced: self.referenced.contains(id),
        };
        self.order.iter().map(node).collect()
    }

    /// The extension of this id, made now if it was not.
    pub(super) fn extension(&mut self, id: &ComponentId, diagnostics: &mut Diagnostics) -> Option<Arc<dyn Extension>> {
        if let Some(made) = self.made.get(id) {
            return made.clone();
        }
        if let Some(kept) = self.keep_extension(id) {
            return Some(kept);
        }
        if self.open.contains(id) {
            let message = format!("extension `{id}` refers to itself through others");
            let at = path_join("extensions", id.as_str());
            diagnostics.push(Diagnostic::error("cycle", message).at_node(self.root, "", &at).with_path(at.clone()));
            return None;
        }
        self.open.push(id.clone());
        let place = Place::new(Kind::Extension, id, "");
        let made = self.make_extension(place, diagnostics);
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
        if let Some(note) = self.notes.last_mut() {
            note.refers_to.insert(id.clone());
        }
        self.extension(id, diagnostics)
    }

    fn ids(&self) -> Vec<String> {
        let section = self.root.get(Kind::Extension.section());
        section.map(Node::entries).unwrap_or_default().iter().map(|entry| entry.key.text.to_string()).collect()
    }

    fn limit_memory(&mut self, bytes: u64) {
        if let Some(note) = self.notes.last_mut() {
            note.memory_bound.also(Bound { bytes: Some(bytes), percent: None });
        }
    }

    fn limit_memory_share(&mut self, percent: u32) {
        if let Some(note) = self.notes.last_mut() {
            note.memory_bound.also(Bound { bytes: None, percent: Some(percent) });
        }
    }

    fn fed_by(&self, connector: &ComponentId) -> Vec<ComponentId> {
        let fed = self.service.pipelines.iter().filter(|(_, _, pipeline)| pipeline.receivers.contains(connector));
        fed.map(|(id, _, _)| id.clone()).collect()
    }
}
