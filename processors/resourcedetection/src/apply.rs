//! Putting attributes on resources: in the tables of metrics, in the bytes of traces and logs. What says it all already
//! stays as it came; items are never looked at.

use bytes::Bytes;
use steadyline_component::telemetry::metrics::Attributes;
use steadyline_component::telemetry::wire::{FieldData, Reader, put_bytes};
use steadyline_component::telemetry::{DecodeError, Limits, Metrics, Opaque, Slot};

use crate::attribute::Attribute;

/// Puts attributes on every resource of a batch.
pub(crate) fn to_metrics(metrics: &mut Metrics, attributes: &[Attribute], overrides: bool) {
    let tables = metrics.tables();
    let changes = |of: Attributes| attributes.iter().any(|attribute| differs(metrics, of, attribute, overrides));
    let rows: Vec<usize> =
        (0..tables.resources.len()).filter(|&row| changes(tables.resources[row].attributes)).collect();
    if rows.is_empty() {
        return;
    }
    let mut editor = metrics.edit();
    let added: Vec<(Slot, Slot)> = attributes
        .iter()
        .map(|attribute| (editor.push_text(&attribute.name), editor.push_value(attribute.value())))
        .collect();
    for row in rows {
        let of = editor.tables.resources[row].attributes;
        let mut keys = editor.tables.shapes.keys(of.shape).to_vec();
        let first = of.values as usize;
        let mut values = editor.tables.values[first..first + keys.len()].to_vec();
        for (key, value) in &added {
            match keys.iter().position(|known| editor.bytes(*known) == editor.bytes(*key)) {
                Some(at) if overrides => values[at] = *value,
                Some(_) => {}
                None => {
                    keys.push(*key);
                    values.push(*value);
                }
            }
        }
        let attributes = editor.attributes(&keys, &values);
        let resource = &mut editor.tables.resources[row];
        (resource.attributes, resource.present) = (attributes, true);
    }
}

/// Whether the attribute would change this set.
fn differs(metrics: &Metrics, of: Attributes, attribute: &Attribute, overrides: bool) -> bool {
    let known = metrics.pairs(of).find(|(key, _)| *key == attribute.name);
    known.is_none_or(|(_, value)| overrides && value != attribute.value())
}

/// Puts attributes on every resource of a request of traces or logs.
///
/// # Errors
/// Bytes that are no OTLP.
pub(crate) fn to_opaque(opaque: &Opaque, attributes: &[Attribute], overrides: bool) -> Result<Opaque, DecodeError> {
    let mut out = Vec::with_capacity(opaque.bytes().len() + 256);
    let mut changed = false;
    let mut request = Reader::new(opaque.bytes());
    while let Some((number, inner, raw)) = next(&mut request)? {
        match inner {
            Some(inner) if number == 1 => {
                let mut message = Vec::with_capacity(inner.len() + 256);
                changed |= resource_message(inner, attributes, overrides, &mut message)?;
                put_bytes(&mut out, 1, &message);
            }
            _ => out.extend_from_slice(raw),
        }
    }
    if !changed {
        return Ok(opaque.clone());
    }
    let unbounded = Limits { max_bytes: usize::MAX, ..Limits::default() };
    Opaque::count(opaque.signal(), Bytes::from(out), &unbounded)
}

/// Copies a `ResourceSpans` or `ResourceLogs` with the attributes on its resource; says whether they changed it.
fn resource_message(
    message: Reader<'_>,
    attributes: &[Attribute],
    overrides: bool,
    out: &mut Vec<u8>,
) -> Result<bool, DecodeError> {
    // A message that comes in pieces is one after the other.
    let (mut resource, mut rest) = (Vec::new(), Vec::with_capacity(message.len()));
    let mut reader = message;
    while let Some((number, inner, raw)) = next(&mut reader)? {
        match inner {
            Some(inner) if number == 1 => resource.extend_from_slice(inner.rest()),
            _ => rest.extend_from_slice(raw),
        }
    }
    let described = describe(&resource, attributes, overrides)?;
    put_bytes(out, 1, described.as_deref().unwrap_or(&resource));
    out.extend_from_slice(&rest);
    Ok(described.is_some())
}

/// A `Resource` with the attributes; `None` if it says them already.
fn describe(resource: &[u8], attributes: &[Attribute], overrides: bool) -> Result<Option<Vec<u8>>, DecodeError> {
    let mut missing: Vec<&Attribute> = attributes.iter().collect();
    let mut out = Vec::with_capacity(resource.len() + 256);
    let mut changed = false;
    let mut reader = Reader::new(resource);
    while let Some((number, inner, raw)) = next(&mut reader)? {
        let name = match inner {
            Some(inner) if number == 1 => key(inner)?,
            _ => None,
        };
        let detected = name.and_then(|name| attributes.iter().find(|attribute| attribute.name.as_bytes() == name));
        match (detected, inner) {
            (Some(attribute), Some(inner)) if overrides => {
                changed |= inner.rest() != attribute.key_value;
                if let Some(at) = missing.iter().position(|missing| missing.name == attribute.name) {
                    missing.remove(at);
                    put_bytes(&mut out, 1, &attribute.key_value);
                }
            }
            (Some(attribute), _) => {
                missing.retain(|missing| missing.name != attribute.name);
                out.extend_from_slice(raw);
            }
            (None, _) => out.extend_from_slice(raw),
        }
    }
    for attribute in &missing {
        put_bytes(&mut out, 1, &attribute.key_value);
    }
    Ok((changed || !missing.is_empty()).then_some(out))
}

/// The key of a `KeyValue`.
fn key(mut reader: Reader<'_>) -> Result<Option<&[u8]>, DecodeError> {
    let mut key = None;
    while let Some((number, inner, _)) = next(&mut reader)? {
        key = inner.filter(|_| number == 1).map(|inner| inner.rest()).or(key);
    }
    Ok(key)
}

/// The next field: its number, what is in it if it has a length, and all of its bytes.
type RawField<'a> = (u32, Option<Reader<'a>>, &'a [u8]);

fn next<'a>(reader: &mut Reader<'a>) -> Result<Option<RawField<'a>>, DecodeError> {
    let before = reader.rest();
    let Some(field) = reader.field()? else { return Ok(None) };
    let raw = &before[..before.len() - reader.len()];
    let inner = match field.data {
        FieldData::Len(inner) => Some(inner),
        _ => None,
    };
    Ok(Some((field.number, inner, raw)))
}
