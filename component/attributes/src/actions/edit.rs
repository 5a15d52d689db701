//! Actions on a batch of metrics: a plan per shape, carried out on every point that is meant.
//! A batch in which no plan changes anything is not opened at all.

use regex::Regex;
use steadyline_telemetry::metrics::{Attributes, Editor};
use steadyline_telemetry::{Metrics, ShapeId, Slot, Value};

use super::plan::{Cell, Plan, PlannedKey};
use super::{Actions, Subject};
use crate::matching::Chosen;
use crate::value::{ConvertedType, Fixed, convert, hash};

impl Actions {
    /// Runs the actions on the attributes of the points that are chosen; whether the batch was opened for it.
    pub fn edit_points(&self, metrics: &mut Metrics, chosen: &Chosen) -> bool {
        let points = &metrics.tables().points;
        let sets = points.iter().enumerate().filter(|(row, _)| chosen.has(*row)).map(|(_, point)| point.attributes());
        let Some(plans) = self.plans(metrics, sets) else { return false };
        let mut editor = metrics.edit();
        let mut bench = Bench::new(self, plans);
        for row in (0..editor.tables.points.len()).filter(|row| chosen.has(*row)) {
            let old = editor.tables.points[row].attributes();
            let attributes = bench.change(&mut editor, old);
            let point = &mut editor.tables.points[row];
            (point.shape, point.values) = (attributes.shape, attributes.values);
        }
        true
    }

    /// Runs the actions on the attributes of all resources; whether the batch was opened for it. No point is touched.
    pub fn edit_resources(&self, metrics: &mut Metrics) -> bool {
        let sets = metrics.tables().resources.iter().map(|resource| resource.attributes);
        let Some(plans) = self.plans(metrics, sets) else { return false };
        let mut editor = metrics.edit();
        let mut bench = Bench::new(self, plans);
        for row in 0..editor.tables.resources.len() {
            let old = editor.tables.resources[row].attributes;
            let attributes = bench.change(&mut editor, old);
            let resource = &mut editor.tables.resources[row];
            // What had no resource has one as soon as it has an attribute.
            resource.present |= attributes.shape != ShapeId::EMPTY;
            resource.attributes = attributes;
        }
        true
    }

    /// The plan of each shape that occurs; `None` if all of them change nothing.
    fn plans(&self, metrics: &Metrics, sets: impl Iterator<Item = Attributes>) -> Option<Vec<Option<Plan>>> {
        let mut plans: Vec<Option<Plan>> = Vec::new();
        plans.resize_with(metrics.tables().shapes.len(), || None);
        let mut idle = true;
        for set in sets {
            let plan = plans[set.shape.index()].get_or_insert_with(|| {
                let keys: Vec<&str> = metrics.keys(set.shape).iter().map(|key| metrics.text(*key)).collect();
                Plan::new(self, &keys)
            });
            idle &= matches!(plan, Plan::Same);
        }
        (!idle).then_some(plans)
    }
}

/// What one run over a batch needs.
struct Bench<'a> {
    actions: &'a Actions,
    /// By the shapes that the batch arrived with.
    plans: Vec<Option<Plan>>,
    /// The shape that a fixed plan leads to.
    shapes: Vec<Option<ShapeId>>,
    memory: Memory<'a>,
    scratch: Vec<Slot>,
}

/// What was copied into the batch already.
struct Memory<'a> {
    constants: &'a [Fixed],
    slots: Vec<Option<Slot>>,
    keys: Vec<(String, Slot)>,
}

impl Memory<'_> {
    fn constant(&mut self, editor: &mut Editor<'_>, index: usize) -> Slot {
        *self.slots[index].get_or_insert_with(|| editor.push_value(self.constants[index].value()))
    }

    fn key(&mut self, editor: &mut Editor<'_>, key: &str) -> Slot {
        if let Some((_, slot)) = self.keys.iter().find(|(known, _)| known == key) {
            return *slot;
        }
        let slot = editor.push_text(key);
        self.keys.push((key.to_owned(), slot));
        slot
    }
}

impl<'a> Bench<'a> {
    fn new(actions: &'a Actions, plans: Vec<Option<Plan>>) -> Self {
        let memory =
            Memory { constants: &actions.constants, slots: vec![None; actions.constants.len()], keys: Vec::new() };
        Bench { actions, shapes: vec![None; plans.len()], plans, memory, scratch: Vec::new() }
    }

    fn change(&mut self, editor: &mut Editor<'_>, set: Attributes) -> Attributes {
        match &self.plans[set.shape.index()] {
            None | Some(Plan::Same) => set,
            Some(Plan::ByValue) => self.by_value(editor, set),
            Some(Plan::Fixed { keys, cells }) => {
                self.scratch.clear();
                for cell in cells {
                    let slot = evaluate(cell, editor, set.values, &mut self.memory);
                    self.scratch.push(slot);
                }
                let memory = &mut self.memory;
                let shape = *self.shapes[set.shape.index()].get_or_insert_with(|| {
                    let keys: Vec<Slot> = keys
                        .iter()
                        .map(|key| match key {
                            PlannedKey::Old(at) => editor.tables.shapes.keys(set.shape)[*at],
                            PlannedKey::New(key) => memory.key(editor, key),
                        })
                        .collect();
                    editor.shape(&keys)
                });
                let values = editor.tables.values.len() as u32;
                editor.tables.values.extend_from_slice(&self.scratch);
                Attributes { shape, values }
            }
        }
    }

    fn by_value(&mut self, editor: &mut Editor<'_>, set: Attributes) -> Attributes {
        let keys = editor.tables.shapes.keys(set.shape).to_vec();
        let values = editor.tables.values[set.values as usize..][..keys.len()].to_vec();
        let mut subject = OnePoint { editor, keys, values, memory: &mut self.memory };
        self.actions.run(&mut subject);
        let OnePoint { editor, keys, values, .. } = subject;
        editor.attributes(&keys, &values)
    }
}

fn evaluate(cell: &Cell, editor: &mut Editor<'_>, values: u32, memory: &mut Memory<'_>) -> Slot {
    match cell {
        Cell::Old(at) => editor.tables.values[values as usize + at],
        Cell::Constant(index) => memory.constant(editor, *index),
        Cell::Hashed(inner) => {
            let slot = evaluate(inner, editor, values, memory);
            hashed(editor, slot)
        }
        Cell::Converted(to, inner) => {
            let slot = evaluate(inner, editor, values, memory);
            converted(editor, slot, *to)
        }
    }
}

fn hashed(editor: &mut Editor<'_>, slot: Slot) -> Slot {
    let hash = hash(editor.value(slot));
    editor.push_text(&hash)
}

fn converted(editor: &mut Editor<'_>, slot: Slot, to: ConvertedType) -> Slot {
    let converted = convert(editor.value(slot), to);
    converted.map_or(slot, |converted| editor.push_value(converted.value()))
}

struct OnePoint<'p, 'e, 'a> {
    editor: &'p mut Editor<'e>,
    keys: Vec<Slot>,
    values: Vec<Slot>,
    memory: &'p mut Memory<'a>,
}

impl Subject for OnePoint<'_, '_, '_> {
    type Value = Slot;

    fn len(&self) -> usize {
        self.keys.len()
    }

    fn key(&self, at: usize) -> &str {
        std::str::from_utf8(self.editor.bytes(self.keys[at])).unwrap_or_default()
    }

    fn get(&self, at: usize) -> Slot {
        self.values[at]
    }

    fn set(&mut self, at: usize, value: Slot) {
        self.values[at] = value;
    }

    fn push(&mut self, key: &str, value: Slot) {
        self.keys.push(self.memory.key(self.editor, key));
        self.values.push(value);
    }

    fn remove(&mut self, at: usize) {
        self.keys.remove(at);
        self.values.remove(at);
    }

    fn constant(&mut self, index: usize) -> Slot {
        self.memory.constant(self.editor, index)
    }

    fn hash(&mut self, at: usize) {
        self.values[at] = hashed(self.editor, self.values[at]);
    }

    fn convert(&mut self, at: usize, to: ConvertedType) {
        self.values[at] = converted(self.editor, self.values[at], to);
    }

    fn extract(&mut self, at: usize, pattern: &Regex) -> Option<Vec<Slot>> {
        let value = self.editor.value(self.values[at]);
        let Value::Str(text) = value else { return None };
        let text = std::str::from_utf8(text).ok()?;
        let captures = pattern.captures(text)?;
        let groups: Vec<String> =
            (1..captures.len()).map(|at| captures.get(at).map_or("", |group| group.as_str()).to_owned()).collect();
        Some(groups.iter().map(|group| self.editor.push_text(group)).collect())
    }
}
