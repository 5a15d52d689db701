//! Grouping points: first it is worked out which point goes where, on the batch as it is; only if that differs from what is
//! there, the tables are written anew. Buffers stay.

use std::collections::HashMap;

use steadyline_component::telemetry::metrics::{Attributes, Editor};
use steadyline_component::telemetry::{MetricKind, Metrics, Point, ShapeId, Slot};

use crate::put;

/// Groups a batch; whether points lost attributes.
pub(crate) fn group(metrics: &mut Metrics, keys: &[String]) -> bool {
    let mut groups = Groups::new(metrics, keys);
    groups.assign();
    let Groups { roots, moves, scopes, heads, shapes, .. } = groups;
    let tables = metrics.tables();
    let as_before = (tables.resources.len(), tables.scopes.len(), tables.metrics.len());
    if moves || (roots.len(), scopes, heads) != as_before {
        write(&mut metrics.edit(), roots, shapes);
    }
    moves
}

/// A resource of the result.
struct Root {
    /// The row that it is made of.
    origin: usize,
    /// Keys and values that it gets from points.
    moved: Vec<(Slot, Slot)>,
    scopes: Vec<Scope>,
    index: HashMap<Vec<u8>, usize>,
}

struct Scope {
    origin: usize,
    metrics: Vec<Head>,
    index: HashMap<(Vec<u8>, MetricKind), usize>,
}

/// A metric of the result.
struct Head {
    origin: usize,
    /// Rows.
    points: Vec<u32>,
}

/// What becomes of the points of one shape.
struct ShapePlan {
    /// Places of the values that move, in the order of the configured keys.
    moves: Vec<usize>,
    /// Places of the values that stay.
    stays: Vec<usize>,
    /// The shape of what stays, once it is needed.
    shape: Option<ShapeId>,
}

struct Groups<'a> {
    metrics: &'a Metrics,
    keys: &'a [String],
    roots: Vec<Root>,
    index: HashMap<Vec<u8>, usize>,
    /// The group of what stays at a resource.
    unmoved: Vec<Option<usize>>,
    /// The group by the row of the resource and the moved values.
    known: HashMap<(usize, Vec<u8>), usize>,
    shapes: Vec<Option<ShapePlan>>,
    moves: bool,
    /// How many scopes and metrics the result has.
    scopes: usize,
    heads: usize,
}

impl<'a> Groups<'a> {
    fn new(metrics: &'a Metrics, keys: &'a [String]) -> Self {
        let tables = metrics.tables();
        let mut shapes = Vec::new();
        shapes.resize_with(tables.shapes.len(), || None);
        Groups {
            metrics,
            keys,
            roots: Vec::new(),
            index: HashMap::new(),
            unmoved: vec![None; tables.resources.len()],
            known: HashMap::new(),
            shapes,
            moves: false,
            scopes: 0,
            heads: 0,
        }
    }

    fn assign(&mut self) {
        let metrics = self.metrics;
        for (row, metric) in metrics.tables().metrics.iter().enumerate() {
            let resource = metrics.tables().scopes[metric.scope as usize].resource as usize;
            // Where the points of this metric go, by root.
            let mut places: HashMap<usize, (usize, usize)> = HashMap::new();
            if metric.points.is_empty() {
                let root = self.unmoved(resource);
                self.place(root, row);
            }
            for at in metric.points.clone() {
                let root = self.root_of(resource, &metrics.tables().points[at as usize]);
                let (scope, head) = *places.entry(root).or_insert_with(|| self.place(root, row));
                self.roots[root].scopes[scope].metrics[head].points.push(at);
            }
        }
    }

    fn root_of(&mut self, resource: usize, point: &Point) -> usize {
        let (metrics, keys) = (self.metrics, self.keys);
        let plan = self.shapes[point.shape.index()].get_or_insert_with(|| ShapePlan::new(metrics, keys, point.shape));
        if plan.moves.is_empty() {
            return self.unmoved(resource);
        }
        self.moves = true;
        let (names, values) = (metrics.keys(point.shape), metrics.values(point.attributes()));
        let moved: Vec<(Slot, Slot)> = plan.moves.iter().map(|&at| (names[at], values[at])).collect();
        let mut identity = Vec::new();
        for (key, value) in &moved {
            put(&mut identity, metrics.bytes(*key));
            identity.push(value.kind() as u8);
            put(&mut identity, metrics.bytes(*value));
        }
        if let Some(root) = self.known.get(&(resource, identity.clone())) {
            return *root;
        }
        let root = self.root(resource, moved);
        self.known.insert((resource, identity), root);
        root
    }

    fn unmoved(&mut self, resource: usize) -> usize {
        if let Some(root) = self.unmoved[resource] {
            return root;
        }
        let root = self.root(resource, Vec::new());
        self.unmoved[resource] = Some(root);
        root
    }

    /// The group of a resource with some attributes more.
    fn root(&mut self, resource: usize, moved: Vec<(Slot, Slot)>) -> usize {
        let metrics = self.metrics;
        let row = &metrics.tables().resources[resource];
        let merged = merged(metrics.keys(row.attributes.shape), metrics.values(row.attributes), &moved, |slot| {
            metrics.bytes(slot)
        });
        let mut identity = vec![u8::from(row.present || !moved.is_empty())];
        put(&mut identity, metrics.bytes(row.schema_url));
        identity.extend(attributes_identity(metrics, merged));
        let next = self.roots.len();
        let root = *self.index.entry(identity).or_insert(next);
        if root == next {
            self.roots.push(Root { origin: resource, moved, scopes: Vec::new(), index: HashMap::new() });
        }
        root
    }

    /// Where the points of a metric stand below a root: (scope, metric).
    fn place(&mut self, root: usize, row: usize) -> (usize, usize) {
        let metrics = self.metrics;
        let metric = &metrics.tables().metrics[row];
        let origin = metric.scope as usize;
        let scope = &metrics.tables().scopes[origin];
        let mut identity = vec![u8::from(scope.present)];
        for slot in [scope.name, scope.version, scope.schema_url] {
            put(&mut identity, metrics.bytes(slot));
        }
        identity.extend(set_identity(metrics, scope.attributes));
        let root = &mut self.roots[root];
        let next = root.scopes.len();
        let at = *root.index.entry(identity).or_insert(next);
        if at == next {
            root.scopes.push(Scope { origin, metrics: Vec::new(), index: HashMap::new() });
            self.scopes += 1;
        }
        let mut identity = Vec::new();
        for slot in [metric.name, metric.unit, metric.description] {
            put(&mut identity, metrics.bytes(slot));
        }
        identity.extend(set_identity(metrics, metric.metadata));
        let scope = &mut root.scopes[at];
        let next = scope.metrics.len();
        let head = *scope.index.entry((identity, metric.kind)).or_insert(next);
        if head == next {
            scope.metrics.push(Head { origin: row, points: Vec::new() });
            self.heads += 1;
        }
        (at, head)
    }
}

impl ShapePlan {
    fn new(metrics: &Metrics, keys: &[String], shape: ShapeId) -> ShapePlan {
        let names = metrics.keys(shape);
        let find = |key: &String| names.iter().position(|name| metrics.bytes(*name) == key.as_bytes());
        let moves: Vec<usize> = keys.iter().filter_map(find).collect();
        let stays = (0..names.len()).filter(|at| !moves.contains(at)).collect();
        ShapePlan { moves, stays, shape: None }
    }
}

/// Attributes of a resource with those that move to it: these replace or follow.
fn merged<'b>(
    keys: &[Slot],
    values: &[Slot],
    moved: &[(Slot, Slot)],
    bytes: impl Fn(Slot) -> &'b [u8],
) -> Vec<(Slot, Slot)> {
    let mut pairs: Vec<(Slot, Slot)> = keys.iter().copied().zip(values.iter().copied()).collect();
    for (key, value) in moved {
        match pairs.iter_mut().find(|(known, _)| bytes(*known) == bytes(*key)) {
            Some((_, old)) => *old = *value,
            None => pairs.push((*key, *value)),
        }
    }
    pairs
}

fn set_identity(metrics: &Metrics, set: Attributes) -> Vec<u8> {
    let (keys, values) = (metrics.keys(set.shape), metrics.values(set));
    attributes_identity(metrics, keys.iter().copied().zip(values.iter().copied()).collect())
}

/// The same for the same pairs in any order.
fn attributes_identity(metrics: &Metrics, mut pairs: Vec<(Slot, Slot)>) -> Vec<u8> {
    pairs.sort_by(|(a, _), (b, _)| metrics.bytes(*a).cmp(metrics.bytes(*b)));
    let mut identity = Vec::new();
    put(&mut identity, &(pairs.len() as u64).to_le_bytes());
    for (key, value) in pairs {
        put(&mut identity, metrics.bytes(key));
        identity.push(value.kind() as u8);
        put(&mut identity, metrics.bytes(value));
    }
    identity
}

/// Writes the tables anew.
fn write(editor: &mut Editor<'_>, roots: Vec<Root>, mut shapes: Vec<Option<ShapePlan>>) {
    let (old_resources, old_scopes) =
        (std::mem::take(&mut editor.tables.resources), std::mem::take(&mut editor.tables.scopes));
    let (old_metrics, old_points) =
        (std::mem::take(&mut editor.tables.metrics), std::mem::take(&mut editor.tables.points));
    editor.tables.points.reserve_exact(old_points.len());
    for root in roots {
        let mut resource = old_resources[root.origin].clone();
        if !root.moved.is_empty() {
            let set = resource.attributes;
            let keys = editor.tables.shapes.keys(set.shape);
            let values = &editor.tables.values[set.values as usize..][..keys.len()];
            let (wire, own) = (editor.wire(), editor.own());
            let (keys, values): (Vec<Slot>, Vec<Slot>) =
                merged(keys, values, &root.moved, |slot| slot.bytes(wire, own)).into_iter().unzip();
            resource.attributes = editor.attributes(&keys, &values);
            resource.present = true;
        }
        let row = editor.tables.resources.len() as u32;
        let first = editor.tables.scopes.len() as u32;
        for scope in root.scopes {
            let scope_row = editor.tables.scopes.len() as u32;
            let first = editor.tables.metrics.len() as u32;
            for head in scope.metrics {
                let first = editor.tables.points.len() as u32;
                for at in head.points {
                    let point = strip(editor, &mut shapes, old_points[at as usize]);
                    editor.tables.points.push(point);
                }
                let mut metric = old_metrics[head.origin].clone();
                (metric.scope, metric.points) = (scope_row, first..editor.tables.points.len() as u32);
                editor.tables.metrics.push(metric);
            }
            let mut scope = old_scopes[scope.origin].clone();
            (scope.resource, scope.metrics) = (row, first..editor.tables.metrics.len() as u32);
            editor.tables.scopes.push(scope);
        }
        resource.scopes = first..editor.tables.scopes.len() as u32;
        editor.tables.resources.push(resource);
    }
}

/// A point without the attributes that move.
fn strip(editor: &mut Editor<'_>, shapes: &mut [Option<ShapePlan>], mut point: Point) -> Point {
    let Some(plan) = shapes[point.shape.index()].as_mut().filter(|plan| !plan.moves.is_empty()) else { return point };
    let shape = *plan.shape.get_or_insert_with(|| {
        let names = editor.tables.shapes.keys(point.shape);
        let names: Vec<Slot> = plan.stays.iter().map(|&at| names[at]).collect();
        editor.shape(&names)
    });
    let old = point.values as usize;
    (point.shape, point.values) = (shape, editor.tables.values.len() as u32);
    for at in &plan.stays {
        let value = editor.tables.values[old + at];
        editor.tables.values.push(value);
    }
    point
}
