//! What the plugin says is to change, done to the batch: all of it or, if one part cannot be, nothing.

use std::collections::{HashMap, HashSet};

use steadyline_component::telemetry::metrics::{Attributes, Editor, NumberValue};
use steadyline_component::telemetry::{Metrics, NO_RECORDED_VALUE, NumberKind, Point, Slot};
use steadyline_wasm::bindings::processor::exports::steadyline::plugin::metrics_processor::{
    AttributeChange, Change, NameChange, Outcome, ValueChange,
};
use steadyline_wasm::bindings::processor::steadyline::plugin::types::ValueResult;
use steadyline_wasm::records;

use crate::show::Shown;

/// What was done.
#[derive(Debug)]
pub(crate) struct Changed {
    /// The batch.
    pub(crate) metrics: Metrics,
    /// How many points were dropped.
    pub(crate) dropped: u64,
    /// New points.
    pub(crate) created: Metrics,
    /// Whether names or attributes are others than before.
    pub(crate) relabelled: bool,
}

/// Changes of one attribute set: keys, and values unless they go.
type Edits<'a> = Vec<(u32, &'a str, Option<&'a ValueResult>)>;

/// Does what the plugin says.
///
/// # Errors
/// What of it cannot be done.
pub(crate) fn apply(metrics: &Metrics, shown: &Shown, outcome: &Outcome, time: u64) -> Result<Changed, String> {
    let created = records::processor::metrics(&outcome.created, time)?;
    let mut changed = Changed { metrics: metrics.clone(), dropped: 0, created, relabelled: false };
    if outcome.changes.is_empty() {
        return Ok(changed);
    }
    let mut dropped = HashSet::new();
    let (mut of_points, mut of_resources): (Edits<'_>, Edits<'_>) = Default::default();
    let mut editor = changed.metrics.edit();
    for change in &outcome.changes {
        match change {
            Change::Drop(point) => drop(dropped.insert(place(&shown.points, *point, "point")?)),
            Change::SetValue(ValueChange { point, value }) => {
                let row = place(&shown.points, *point, "point")?;
                let number = records::processor::number(*value).ok_or("`distribution` is seen and not made")?;
                set_value(&mut editor.tables.points[row as usize], number)?;
            }
            Change::SetName(NameChange { metric, name }) => {
                let row = place(&shown.metrics, *metric, "metric")?;
                if name.is_empty() {
                    return Err("a metric's new name is empty".into());
                }
                editor.tables.metrics[row as usize].name = editor.push_text(name);
                changed.relabelled = true;
            }
            Change::SetAttribute(change) => of_points.push(edit(&shown.points, change, "point")?),
            Change::SetResourceAttribute(change) => of_resources.push(edit(&shown.resources, change, "resource")?),
        }
    }
    changed.relabelled |= !of_points.is_empty() || !of_resources.is_empty();
    let mut keys = HashMap::new();
    each_set(of_points, |row, edits| {
        let attributes = editor.tables.points[row as usize].attributes();
        let attributes = edited(&mut editor, attributes, edits, &mut keys)?;
        let point = &mut editor.tables.points[row as usize];
        (point.shape, point.values) = (attributes.shape, attributes.values);
        Ok(())
    })?;
    each_set(of_resources, |row, edits| {
        let attributes = editor.tables.resources[row as usize].attributes;
        let attributes = edited(&mut editor, attributes, edits, &mut keys)?;
        let resource = &mut editor.tables.resources[row as usize];
        (resource.attributes, resource.present) = (attributes, true);
        Ok(())
    })?;
    changed.dropped = dropped.len() as u64;
    remove(&mut editor, &dropped);
    Ok(changed)
}

fn place(rows: &[u32], place: u32, what: &str) -> Result<u32, String> {
    rows.get(place as usize).copied().ok_or_else(|| format!("there is no {what} {place}; there are {}", rows.len()))
}

fn edit<'a>(
    rows: &[u32],
    change: &'a AttributeChange,
    what: &str,
) -> Result<(u32, &'a str, Option<&'a ValueResult>), String> {
    if change.key.is_empty() {
        return Err("an attribute has no name".into());
    }
    Ok((place(rows, change.of, what)?, &change.key, change.value.as_ref()))
}

fn set_value(point: &mut Point, value: NumberValue) -> Result<(), String> {
    if point.number == NumberKind::Body {
        return Err("the point of a histogram or summary has no value to set".into());
    }
    (point.number, point.bits) = match value {
        NumberValue::Int(value) => (NumberKind::Int, value as u64),
        NumberValue::Double(value) => (NumberKind::Double, value.to_bits()),
        NumberValue::NoValue | NumberValue::Held => (NumberKind::None, 0),
    };
    point.held = value == NumberValue::Held;
    point.flags &= !NO_RECORDED_VALUE;
    if value == NumberValue::NoValue {
        point.flags |= NO_RECORDED_VALUE;
    }
    Ok(())
}

/// Gives every set its changes, in their order.
fn each_set<'a>(
    mut edits: Edits<'a>,
    mut set: impl FnMut(u32, &[(u32, &'a str, Option<&'a ValueResult>)]) -> Result<(), String>,
) -> Result<(), String> {
    edits.sort_by_key(|(row, ..)| *row);
    edits.chunk_by(|a, b| a.0 == b.0).try_for_each(|edits| set(edits[0].0, edits))
}

fn edited<'a>(
    editor: &mut Editor<'_>,
    attributes: Attributes,
    edits: &[(u32, &'a str, Option<&'a ValueResult>)],
    known: &mut HashMap<&'a str, Slot>,
) -> Result<Attributes, String> {
    let mut keys = editor.tables.shapes.keys(attributes.shape).to_vec();
    let first = attributes.values as usize;
    let mut values = editor.tables.values[first..first + keys.len()].to_vec();
    for (_, key, value) in edits {
        let at = keys.iter().position(|slot| editor.bytes(*slot) == key.as_bytes());
        match (at, value) {
            (Some(at), None) => {
                keys.remove(at);
                values.remove(at);
            }
            (None, None) => {}
            (at, Some(value)) => {
                let value = editor.push_value(records::processor::value(value)?);
                match at {
                    Some(at) => values[at] = value,
                    None => {
                        keys.push(*known.entry(key).or_insert_with(|| editor.push_text(key)));
                        values.push(value);
                    }
                }
            }
        }
    }
    Ok(editor.attributes(&keys, &values))
}

fn remove(editor: &mut Editor<'_>, rows: &HashSet<u32>) {
    if rows.is_empty() {
        return;
    }
    let ranges = editor.tables.metrics.iter().map(|metric| metric.points.clone());
    // The order in which they are asked for.
    let mut order = ranges.flatten().collect::<Vec<u32>>().into_iter();
    editor.retain_points(|_, _| order.next().is_none_or(|row| !rows.contains(&row)));
    editor.drop_empty();
}
