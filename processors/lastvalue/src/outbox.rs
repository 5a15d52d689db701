//! Building an outgoing batch from the table: resources, scopes and metrics as they came, labels sorted, in one copy.

use hashbrown::HashMap;
use steadyline_telemetry::metrics::{Attributes, Editor, Metric, Resource, Scope};
use steadyline_telemetry::{MetricKind, Metrics, NO_RECORDED_VALUE, NumberKind, Point, ShapeId, Slot, ValueKind};

use crate::clock::stamp;
use crate::families::{Families, Place};
use crate::pack::Unpack;
use crate::processor::LastValue;
use crate::series::{Entry, OWED, STALE};

/// A series to send.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Item {
    /// The source's number.
    pub source: u16,
    /// Scope and resource.
    pub place: Place,
    /// The metric.
    pub family: u32,
    /// The series.
    pub id: u32,
}

/// Builds a batch of what series have to say now, each with its own fresh timestamp. Items come sorted by place and
/// family.
pub(crate) fn build(state: &LastValue, items: &[Item], times: Times) -> Metrics {
    let mut metrics = Metrics::default();
    let mut outbox = Outbox::new(state, metrics.edit(), items.len());
    for item in items {
        outbox.open(item);
        outbox.point(item, times);
    }
    metrics.set_distinct();
    metrics
}

/// What timestamps go by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// The time of what nobody sent: re-publications and markers of our own. Nanoseconds since the epoch.
    pub now: u64,
    /// Every timestamp is above this one, milliseconds since the epoch: the process before may have sent up to it.
    pub floor_ms: u64,
}

/// The timestamp with which a series goes out.
pub(crate) fn time_of(entry: &Entry, times: Times) -> u64 {
    stamp(if entry.is(OWED) { entry.time } else { times.now }, entry.sent_ms().max(times.floor_ms))
}

/// A batch in the making.
struct Outbox<'a> {
    state: &'a LastValue,
    editor: Editor<'a>,
    place: Option<Place>,
    family: Option<u32>,
    kind: MetricKind,
    /// Shapes of the batch by lists of label names.
    shapes: HashMap<u32, ShapeId>,
    last_shape: Option<(u32, ShapeId)>,
}

impl<'a> Outbox<'a> {
    fn new(state: &'a LastValue, editor: Editor<'a>, points: usize) -> Self {
        editor.tables.points.reserve_exact(points);
        let (shapes, kind) = (HashMap::new(), MetricKind::Empty);
        Outbox { state, editor, place: None, family: None, kind, shapes, last_shape: None }
    }

    /// Opens the resource, scope and metric of an item, unless they are open.
    fn open(&mut self, item: &Item) {
        let (editor, families) = (&mut self.editor, &self.state.families);
        if self.place != Some(item.place) {
            if self.place.is_none_or(|place| place.resource != item.place.resource) {
                open_resource(editor, families, item.place.resource);
            }
            open_scope(editor, families, item.place.scope);
            self.place = Some(item.place);
            self.family = None;
        }
        if self.family != Some(item.family) {
            self.kind = open_metric(editor, families, item.family);
            self.family = Some(item.family);
        }
    }

    fn point(&mut self, item: &Item, times: Times) {
        let entry = *self.state.store.get(item.id);
        let record = self.state.store.arena.get(entry.record);
        let shape = self.shape(record.keys);
        let values = self.editor.tables.values.len() as u32;
        let base = self.editor.push(ValueKind::Bytes, record.labels).at();
        self.editor.tables.values.extend(Unpack::new(record.labels).map(|value| value.slot(base)));
        let (number, bits, body) = self.value(item.id, &entry);
        let (time, start) = (time_of(&entry, times), record.start.unwrap_or_default());
        let flags = if entry.is(STALE) { NO_RECORDED_VALUE } else { 0 };
        let tables = &mut *self.editor.tables;
        tables.points.push(Point { time, start, bits, body, values, shape, flags, number, held: false });
        if let Some(metric) = tables.metrics.last_mut() {
            metric.points.end = tables.points.len() as u32;
        }
    }

    /// What the series says: (how to read it, bits, body).
    fn value(&mut self, id: u32, entry: &Entry) -> (NumberKind, u64, Slot) {
        if entry.is(STALE) {
            let number = if self.kind.is_number() { NumberKind::None } else { NumberKind::Body };
            return (number, 0, Slot::NONE);
        }
        if entry.number() == NumberKind::Body {
            return (NumberKind::Body, 0, self.editor.push(ValueKind::Bytes, self.state.bodies.get(entry.bits)));
        }
        let exemplars = if self.state.exemplars.is_empty() { None } else { self.state.exemplars.get(&id) };
        let body = exemplars.map_or(Slot::NONE, |body| self.editor.push(ValueKind::Bytes, body));
        (entry.number(), entry.bits, body)
    }

    fn shape(&mut self, keys: u32) -> ShapeId {
        if let Some((_, shape)) = self.last_shape.filter(|(last, _)| *last == keys) {
            return shape;
        }
        let (editor, names) = (&mut self.editor, self.state.keys.get(keys));
        let shape = *self.shapes.entry(keys).or_insert_with(|| shape_of(editor, names));
        self.last_shape = Some((keys, shape));
        shape
    }
}

fn open_resource(editor: &mut Editor<'_>, families: &Families, id: u32) {
    let mut unpack = families.packed_resource(id);
    let present = unpack.number() != 0;
    let dropped_attributes = unpack.number() as u32;
    let schema_url = editor.push(ValueKind::Str, unpack.bytes());
    let count = unpack.number() as usize;
    let attributes = attributes(editor, &mut unpack, count);
    let first = editor.tables.extras.len() as u32;
    for entity in unpack {
        let slot = editor.push(ValueKind::Bytes, entity.bytes);
        editor.tables.extras.push(slot);
    }
    let entities = first..editor.tables.extras.len() as u32;
    let scopes = editor.tables.scopes.len() as u32;
    editor.tables.resources.push(Resource {
        present,
        attributes,
        dropped_attributes,
        entities,
        schema_url,
        scopes: scopes..scopes,
    });
}

fn open_scope(editor: &mut Editor<'_>, families: &Families, id: u32) {
    let mut unpack = families.packed_scope(id);
    unpack.number();
    let present = unpack.number() != 0;
    let name = editor.push(ValueKind::Str, unpack.bytes());
    let version = editor.push(ValueKind::Str, unpack.bytes());
    let dropped_attributes = unpack.number() as u32;
    let schema_url = editor.push(ValueKind::Str, unpack.bytes());
    let attributes = attributes(editor, &mut unpack, usize::MAX);
    let metrics = editor.tables.metrics.len() as u32;
    let resource = editor.tables.resources.len() as u32 - 1;
    let metrics = metrics..metrics;
    editor.tables.scopes.push(Scope {
        resource,
        present,
        name,
        version,
        attributes,
        dropped_attributes,
        schema_url,
        metrics,
    });
    let end = editor.tables.scopes.len() as u32;
    if let Some(resource) = editor.tables.resources.last_mut() {
        resource.scopes.end = end;
    }
}

fn open_metric(editor: &mut Editor<'_>, families: &Families, id: u32) -> MetricKind {
    let mut head = families.head(id);
    let [name, description, unit] =
        [head.name, head.description, head.unit].map(|text| editor.push(ValueKind::Str, text));
    let metadata = attributes(editor, &mut head.metadata, usize::MAX);
    let points = editor.tables.points.len() as u32;
    let scope = editor.tables.scopes.len() as u32 - 1;
    let points = points..points;
    editor.tables.metrics.push(Metric { scope, name, description, unit, kind: head.kind, metadata, points });
    let end = editor.tables.metrics.len() as u32;
    if let Some(scope) = editor.tables.scopes.last_mut() {
        scope.metrics.end = end;
    }
    head.kind
}

/// Copies up to `count` packed pairs.
fn attributes(editor: &mut Editor<'_>, unpack: &mut Unpack<'_>, count: usize) -> Attributes {
    let (mut keys, mut values) = (Vec::new(), Vec::new());
    while let Some(key) = if keys.len() < count { unpack.next() } else { None } {
        keys.push(editor.push(ValueKind::Str, key.bytes));
        let Some(value) = unpack.next() else { break };
        values.push(match value.kind {
            ValueKind::Empty if value.bytes.is_empty() => Slot::NONE,
            ValueKind::Empty => Slot::EMPTY_VALUE,
            kind => editor.push(kind, value.bytes),
        });
    }
    editor.attributes(&keys, &values)
}

fn shape_of(editor: &mut Editor<'_>, names: &[u8]) -> ShapeId {
    let keys: Vec<Slot> = Unpack::new(names).map(|name| editor.push(ValueKind::Str, name.bytes)).collect();
    editor.shape(&keys)
}
