//! Values of labels: text, bounded, one for each label.

use steadyline_component::telemetry::metrics::Editor;
use steadyline_component::telemetry::{Slot, Value, ValueKind};
use steadyline_prometheus::put_attribute;

use crate::config::{Collision, LongValue};
use crate::draft::Source;
use crate::rules::Rules;

/// Why a point cannot have its labels: the reason under which it is dropped.
pub(crate) type Refusal = &'static str;

/// Buffers that are kept for their capacity.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    joined: Vec<u8>,
    value: Vec<u8>,
}

/// The value as text in the batch; text stays where it is.
pub(crate) fn as_text(editor: &mut Editor<'_>, slot: Slot, scratch: &mut Scratch) -> Slot {
    if slot.kind() == ValueKind::Str {
        return slot;
    }
    scratch.value.clear();
    put_attribute(&mut scratch.value, editor.value(slot));
    editor.push(ValueKind::Str, &scratch.value)
}

/// The value as text of legal length.
pub(crate) fn bounded(
    editor: &mut Editor<'_>,
    slot: Slot,
    rules: &Rules,
    scratch: &mut Scratch,
) -> Result<Slot, Refusal> {
    let slot = as_text(editor, slot, scratch);
    let max = rules.max_value as usize;
    if slot.len() <= max {
        return Ok(slot);
    }
    match rules.on_long_value {
        LongValue::DropPoint => Err("label_value_too_long"),
        LongValue::Truncate => {
            let bytes = editor.bytes(slot);
            let is_inside_character = |at: usize| bytes[at] & 0xc0 == 0x80;
            let end = (0..=max).rev().find(|at| !is_inside_character(*at)).unwrap_or_default();
            Ok(slot.prefix(end))
        }
    }
}

/// The value of a label that has several sources.
pub(crate) fn combine(
    editor: &mut Editor<'_>,
    groups: &[Vec<Source>],
    value_of: impl Fn(Source) -> Slot,
    policy: Collision,
    scratch: &mut Scratch,
) -> Result<Slot, Refusal> {
    for group in groups {
        let mut values = group.iter().map(|source| value_of(*source)).filter(|slot| !is_empty(editor, *slot));
        let Some(first) = values.next() else { continue };
        let rest: Vec<Slot> = values.collect();
        return match policy {
            _ if rest.is_empty() => Ok(first),
            Collision::First => Ok(first),
            Collision::Last => Ok(rest[rest.len() - 1]),
            Collision::Join | Collision::DropPoint => {
                let collided = join(editor, first, &rest, scratch);
                if collided && policy == Collision::DropPoint {
                    return Err("label_collision");
                }
                Ok(if collided { editor.push(ValueKind::Str, &scratch.joined) } else { first })
            }
        };
    }
    Ok(editor.push(ValueKind::Str, &[]))
}

fn is_empty(editor: &Editor<'_>, slot: Slot) -> bool {
    match editor.value(slot) {
        Value::Empty => true,
        Value::Str(bytes) | Value::Bytes(bytes) => bytes.is_empty(),
        _ => false,
    }
}

/// Joins values with `;`, as [`steadyline_prometheus::labels::join`] does for text; false if they are all one.
fn join(editor: &Editor<'_>, first: Slot, rest: &[Slot], scratch: &mut Scratch) -> bool {
    let Scratch { joined, value } = scratch;
    let mut collided = false;
    joined.clear();
    put_attribute(joined, editor.value(first));
    for slot in rest {
        value.clear();
        put_attribute(value, editor.value(*slot));
        if value != joined {
            collided = true;
            joined.push(b';');
            joined.extend_from_slice(value);
        }
    }
    collided
}
