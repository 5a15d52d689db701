//! One pass over a batch: metric names, then each point's labels by the plan of its keys.
//! A batch that is already as it should be is left alone, tables and all.

use std::collections::HashMap;
use std::sync::Arc;

use steadyline_component::telemetry::metrics::{Attributes, Editor, Tables};
use steadyline_component::telemetry::{Metric, MetricKind, Metrics, ShapeId, Slot, ValueKind};
use steadyline_component::{Meter, Tally};
use steadyline_prometheus::labels::{SERVICE_INSTANCE_ID, SERVICE_NAME, SERVICE_NAMESPACE};
use steadyline_prometheus::{NameKind, metric_name};

use crate::draft::{Draft, Format, Keys, Place, Source};
use crate::memo::Memo;
use crate::rules::Rules;
use crate::text::{Refusal, Scratch, as_text, bounded, combine};

/// A larger table of values is given back after the batch.
const SPARE_VALUES: usize = 1 << 16;

/// Rewrites batches, one after the other. State between batches is memory only: bounded, and no result depends on it.
pub(crate) struct Rewriter {
    rules: Rules,
    names: Memo<Option<Arc<str>>>,
    drafts: Memo<Arc<Draft>>,
    plans: HashMap<PlanKey, Plan>,
    context: Vec<Slot>,
    scratch: Scratch,
    key: Vec<u8>,
    spare: Vec<Slot>,
    refused: Option<String>,
}

/// What a plan depends on, in one batch. Where only points are looked at, resource and scope are the empty shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct PlanKey {
    around: Around,
    point: ShapeId,
    format: Format,
}

/// The keys above a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Around {
    resource: ShapeId,
    scope: ShapeId,
    scope_parts: [bool; 3],
}

impl Around {
    const NOTHING: Around = Around { resource: ShapeId::EMPTY, scope: ShapeId::EMPTY, scope_parts: [false; 3] };
}

/// A draft in one batch.
#[derive(Debug, Clone)]
struct Plan {
    draft: Arc<Draft>,
    /// The shape of the labels, once it is needed.
    shape: Option<ShapeId>,
}

/// A batch's tables and buffers, to read.
#[derive(Clone, Copy)]
struct View<'a> {
    tables: &'a Tables,
    wire: &'a [u8],
    own: &'a [u8],
}

impl<'a> View<'a> {
    fn of(metrics: &'a Metrics) -> Self {
        View { tables: metrics.tables(), wire: metrics.wire(), own: metrics.own() }
    }

    fn editing(editor: &'a Editor<'_>) -> Self {
        View { tables: editor.tables, wire: editor.wire(), own: editor.own() }
    }

    fn bytes(self, slot: Slot) -> &'a [u8] {
        slot.bytes(self.wire, self.own)
    }

    fn text(self, slot: Slot) -> &'a str {
        std::str::from_utf8(self.bytes(slot)).unwrap_or_default()
    }

    fn keys(self, shape: ShapeId) -> Vec<&'a str> {
        self.tables.shapes.keys(shape).iter().map(|key| self.text(*key)).collect()
    }
}

impl Rewriter {
    pub(crate) fn new(rules: Rules, meter: &Meter) -> Self {
        let evictions = meter.counter("labels_memo_evictions", "translated names and label plans forgotten", &[]);
        Rewriter {
            rules,
            names: Memo::new(Arc::clone(&evictions)),
            drafts: Memo::new(evictions),
            plans: HashMap::new(),
            context: Vec::new(),
            scratch: Scratch::default(),
            key: Vec::new(),
            spare: Vec::new(),
            refused: None,
        }
    }

    pub(crate) fn rules(&self) -> &Rules {
        &self.rules
    }

    /// An attribute without a legal name that was met since the last call.
    pub(crate) fn take_refused(&mut self) -> Option<String> {
        self.refused.take()
    }

    /// Gives metrics and points their final names and labels; `names_final` says that the metrics have theirs.
    /// Points that cannot have them are dropped and counted.
    pub(crate) fn rewrite(&mut self, metrics: &mut Metrics, names_final: bool, tally: &Tally) {
        self.plans.clear();
        if self.is_fine(View::of(metrics), names_final) {
            return;
        }
        let mut editor = metrics.edit();
        let old = std::mem::take(&mut editor.tables.values);
        let mut new = std::mem::take(&mut self.spare);
        new.clear();
        new.reserve(old.len());
        move_sets(editor.tables, &old, &mut new);
        let mut progress = Progress { old, new, kept: 0, dropped: Vec::new() };
        let mut scope = None;
        for row in 0..editor.tables.metrics.len() {
            let metric = editor.tables.metrics[row].clone();
            let first = progress.kept as u32;
            if !names_final && !self.rename(&mut editor, row, &metric) {
                progress.drop("illegal_name", metric.points.len() as u64);
            } else {
                if scope != Some(metric.scope) {
                    self.enter(&mut editor, metric.scope, &progress.new);
                    scope = Some(metric.scope);
                }
                self.points(&mut editor, &metric, &mut progress);
            }
            editor.tables.metrics[row].points = first..progress.kept as u32;
        }
        progress.dropped.iter().for_each(|(reason, points)| tally.dropped(*reason, *points));
        editor.tables.points.truncate(progress.kept);
        editor.tables.values = progress.new;
        self.spare = if progress.old.capacity() <= SPARE_VALUES { progress.old } else { Vec::new() };
    }

    /// Whether the batch has its final names and labels already.
    fn is_fine(&mut self, view: View<'_>, names_final: bool) -> bool {
        let mut scope = None;
        let mut around = Around::NOTHING;
        for metric in &view.tables.metrics {
            if !names_final && self.name(view, metric).is_none_or(|name| name.as_bytes() != view.bytes(metric.name)) {
                return false;
            }
            if scope != Some(metric.scope) {
                scope = Some(metric.scope);
                around = self.around(view, metric.scope);
            }
            let mut last: Option<ShapeId> = None;
            for point in &view.tables.points[metric.points.start as usize..metric.points.end as usize] {
                if last != Some(point.shape) {
                    let draft = self.plan(view, around, point.shape, format_of(metric.kind)).draft;
                    if !draft.unchanged || draft.labels.len() > self.rules.max_labels {
                        return false;
                    }
                    last = Some(point.shape);
                }
                let values = &view.tables.values[point.values as usize..][..view.tables.shapes.width(point.shape)];
                if !values.iter().all(|slot| slot.is_text_within(self.rules.max_value)) {
                    return false;
                }
            }
        }
        true
    }

    /// Gives a metric its final name; false if there is none.
    fn rename(&mut self, editor: &mut Editor<'_>, row: usize, metric: &Metric) -> bool {
        let Some(name) = self.name(View::editing(editor), metric) else { return false };
        if name.as_bytes() != editor.bytes(metric.name) {
            editor.tables.metrics[row].name = editor.push_text(&name);
        }
        true
    }

    fn name(&mut self, view: View<'_>, metric: &Metric) -> Option<Arc<str>> {
        let kind = match metric.kind {
            MetricKind::Gauge => NameKind::Gauge,
            MetricKind::Sum { monotonic: true, .. } => NameKind::MonotonicSum,
            _ => NameKind::Other,
        };
        let (name, unit) = (view.text(metric.name), view.text(metric.unit));
        self.key.clear();
        self.key.push(kind as u8);
        put_key(&mut self.key, unit);
        self.key.extend_from_slice(name.as_bytes());
        let rules = &self.rules;
        self.names.get(&self.key, || {
            let mut out = String::new();
            metric_name(&mut out, name, unit, kind, &rules.namespace, rules.strategy).ok().map(|()| out.into())
        })
    }

    /// The keys above the points of a scope, as far as they matter.
    fn around(&self, view: View<'_>, scope: u32) -> Around {
        let scope = &view.tables.scopes[scope as usize];
        let resource = &view.tables.resources[scope.resource as usize].attributes;
        if self.rules.looks_beyond_points() {
            let scope_parts = [scope.name, scope.version, scope.schema_url].map(|slot| !slot.is_empty());
            return Around { resource: resource.shape, scope: scope.attributes.shape, scope_parts };
        }
        let is_service = |key: &Slot| matches!(view.text(*key), SERVICE_NAME | SERVICE_INSTANCE_ID);
        if view.tables.shapes.keys(resource.shape).iter().any(is_service) {
            return Around { resource: resource.shape, ..Around::NOTHING };
        }
        Around::NOTHING
    }

    fn plan(&mut self, view: View<'_>, around: Around, point: ShapeId, format: Format) -> Plan {
        let key = PlanKey { around, point, format };
        if let Some(plan) = self.plans.get(&key) {
            return plan.clone();
        }
        let keys = Keys {
            format,
            resource: view.keys(around.resource),
            scope: view.keys(around.scope),
            scope_parts: around.scope_parts,
            point: view.keys(point),
        };
        self.key.clear();
        self.key.push(format as u8);
        self.key.extend(around.scope_parts.map(u8::from));
        for list in [&keys.resource, &keys.scope, &keys.point] {
            self.key.extend_from_slice(&(list.len() as u32).to_le_bytes());
            list.iter().for_each(|key| put_key(&mut self.key, key));
        }
        let rules = &self.rules;
        let draft = self.drafts.get(&self.key, || Arc::new(Draft::new(&keys, rules)));
        if draft.refused.is_some() {
            self.refused.clone_from(&draft.refused);
        }
        let plan = Plan { draft, shape: None };
        self.plans.insert(key, plan.clone());
        plan
    }

    /// The plan of a shape, with the shape of its labels in this batch.
    fn settled_plan(
        &mut self,
        editor: &mut Editor<'_>,
        around: Around,
        point: ShapeId,
        format: Format,
    ) -> (Plan, ShapeId) {
        let plan = self.plan(View::editing(editor), around, point, format);
        if let Some(shape) = plan.shape {
            return (plan, shape);
        }
        let view = View::editing(editor);
        let known = view.tables.shapes.keys(point);
        let find = |name: &str| known.iter().copied().find(|key| view.bytes(*key) == name.as_bytes());
        let found: Vec<Option<Slot>> = plan.draft.labels.iter().map(|label| find(&label.name)).collect();
        let names: Vec<Slot> = found
            .into_iter()
            .zip(&plan.draft.labels)
            .map(|(slot, label)| slot.unwrap_or_else(|| editor.push_text(&label.name)))
            .collect();
        let shape = editor.shape(&names);
        if let Some(plan) = self.plans.get_mut(&PlanKey { around, point, format }) {
            plan.shape = Some(shape);
        }
        (plan, shape)
    }

    /// Makes the context of a scope's points: constants, then as [`Place`] says.
    fn enter(&mut self, editor: &mut Editor<'_>, scope: u32, values: &[Slot]) {
        let around = self.around(View::editing(editor), scope);
        self.context.clear();
        for (_, value) in &self.rules.constants {
            self.context.push(editor.push_text(value));
        }
        if around == Around::NOTHING {
            return;
        }
        let scope = editor.tables.scopes[scope as usize].clone();
        let resource = editor.tables.resources[scope.resource as usize].attributes;
        let service = Place::Job as usize + self.context.len();
        self.context.extend([Slot::NONE, Slot::NONE]);
        self.context.extend([scope.name, scope.version, scope.schema_url]);
        let width = |editor: &Editor<'_>, set: Attributes| editor.tables.shapes.width(set.shape);
        for set in [resource, scope.attributes] {
            for slot in &values[set.values as usize..][..width(editor, set)] {
                self.context.push(as_text(editor, *slot, &mut self.scratch));
            }
        }
        let first = service + Place::Attributes as usize;
        let attributes = self.context[first..first + width(editor, resource)].to_vec();
        let [job, instance] = service_labels(editor, resource.shape, &attributes);
        self.context[service + Place::Job as usize] = job;
        self.context[service + Place::Instance as usize] = instance;
    }

    fn points(&mut self, editor: &mut Editor<'_>, metric: &Metric, progress: &mut Progress) {
        let around = self.around(View::editing(editor), metric.scope);
        let format = format_of(metric.kind);
        let mut last: Option<(ShapeId, usize, Plan, ShapeId)> = None;
        for at in metric.points.start as usize..metric.points.end as usize {
            let mut point = editor.tables.points[at];
            let (_, width, plan, shape) = match &last {
                Some(known) if known.0 == point.shape => known,
                _ => {
                    let width = editor.tables.shapes.width(point.shape);
                    let (plan, shape) = self.settled_plan(editor, around, point.shape, format);
                    last.insert((point.shape, width, plan, shape))
                }
            };
            let values = point.values as usize..point.values as usize + width;
            point.shape = *shape;
            point.values = progress.new.len() as u32;
            match self.labels(editor, &plan.draft, &progress.old[values], &mut progress.new) {
                Ok(()) => {
                    editor.tables.points[progress.kept] = point;
                    progress.kept += 1;
                }
                Err(reason) => {
                    progress.new.truncate(point.values as usize);
                    progress.drop(reason, 1);
                }
            }
        }
    }

    /// Appends the values of a point's labels. The usual point has one source for each label, and values as they should be.
    #[inline]
    fn labels(
        &mut self,
        editor: &mut Editor<'_>,
        draft: &Draft,
        values: &[Slot],
        out: &mut Vec<Slot>,
    ) -> Result<(), Refusal> {
        let start = out.len();
        let context = &self.context;
        let value_of = |source: Source| match source {
            Source::Point(at) => values[at],
            Source::Context(at) => context[at],
        };
        match &draft.ordinary {
            Some(sources) => out.extend(sources.iter().map(|source| value_of(*source))),
            None => {
                for label in &draft.labels {
                    out.push(combine(editor, &label.groups, value_of, self.rules.on_collision, &mut self.scratch)?);
                }
            }
        }
        let labels = &mut out[start..];
        if !labels.iter().all(|slot| slot.is_text_within(self.rules.max_value)) {
            for slot in labels.iter_mut() {
                *slot = bounded(editor, *slot, &self.rules, &mut self.scratch)?;
            }
        }
        if labels.len() > self.rules.max_labels {
            let told = labels.iter().filter(|slot| !slot.is_empty()).count();
            if told > self.rules.max_labels {
                return Err("too_many_labels");
            }
        }
        Ok(())
    }
}

/// How far a batch is: values as they were, values as they will be, how many points were kept and how many dropped.
struct Progress {
    old: Vec<Slot>,
    new: Vec<Slot>,
    kept: usize,
    dropped: Vec<(Refusal, u64)>,
}

impl Progress {
    fn drop(&mut self, reason: Refusal, points: u64) {
        match self.dropped.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, count)) => *count += points,
            None => self.dropped.push((reason, points)),
        }
    }
}

/// Moves the values of everything but points to the new table.
fn move_sets(tables: &mut Tables, old: &[Slot], new: &mut Vec<Slot>) {
    let shapes = &tables.shapes;
    let resources = tables.resources.iter_mut().map(|resource| &mut resource.attributes);
    let scopes = tables.scopes.iter_mut().map(|scope| &mut scope.attributes);
    let metrics = tables.metrics.iter_mut().map(|metric| &mut metric.metadata);
    for set in resources.chain(scopes).chain(metrics) {
        let values = &old[set.values as usize..][..shapes.width(set.shape)];
        set.values = new.len() as u32;
        new.extend_from_slice(values);
    }
}

/// `job` and `instance` of a resource whose values are text.
fn service_labels(editor: &mut Editor<'_>, shape: ShapeId, values: &[Slot]) -> [Slot; 2] {
    let view = View::editing(editor);
    let keys = view.tables.shapes.keys(shape);
    let find = |name: &str| {
        let found = keys.iter().zip(values).find(|(key, value)| view.text(**key) == name && !value.is_empty());
        found.map(|(_, value)| *value)
    };
    let instance = find(SERVICE_INSTANCE_ID).unwrap_or(Slot::NONE);
    let job = match (find(SERVICE_NAMESPACE), find(SERVICE_NAME)) {
        (Some(namespace), Some(name)) => {
            let job = [view.bytes(namespace), b"/", view.bytes(name)].concat();
            editor.push(ValueKind::Str, &job)
        }
        (None, Some(name)) => name,
        (_, None) => Slot::NONE,
    };
    [job, instance]
}

fn format_of(kind: MetricKind) -> Format {
    match kind {
        MetricKind::Histogram { .. } => Format::Histogram,
        MetricKind::Summary => Format::Summary,
        _ => Format::Plain,
    }
}

/// Length first, so that no two lists of names are the same bytes.
fn put_key(key: &mut Vec<u8>, text: &str) {
    key.extend_from_slice(&(text.len() as u32).to_le_bytes());
    key.extend_from_slice(text.as_bytes());
}
