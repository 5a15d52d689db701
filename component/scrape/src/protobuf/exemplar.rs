//! Exemplars and timestamps of protobuf.
//! They are read where they lie, when somebody asks.

use steadyline_telemetry::wire::{FieldData, Reader};

use crate::entry::{Exemplar, Source};
use crate::error::Fault;
use crate::labels::Labels;
use crate::number::plain;
use crate::syntax::utf8;

/// An `Exemplar`, all of it checked but for repeated labels.
pub(crate) fn read_exemplar(message: &[u8]) -> Result<Exemplar<'_>, Fault> {
    let mut exemplar = Exemplar { source: Source::Message(message), value: 0.0, timestamp: None };
    let mut reader = Reader::new(message);
    while let Some(field) = reader.field()? {
        match (field.number, field.data) {
            (1, FieldData::Len(label)) => {
                let (name, value) = read_label(label)?;
                utf8(name)?;
                utf8(value)?;
            }
            (2, FieldData::Fixed64(bits)) => exemplar.value = plain(f64::from_bits(bits)),
            (3, FieldData::Len(time)) => exemplar.timestamp = Some(read_time(time)?),
            (1..=3, _) => return Err(Fault::Protobuf),
            _ => {}
        }
    }
    Ok(exemplar)
}

/// Replaces `labels` by those of an `Exemplar`.
pub(crate) fn read_exemplar_labels(message: &[u8], labels: &mut Labels) -> Result<(), Fault> {
    labels.clear();
    let mut reader = Reader::new(message);
    while let Some(field) = reader.field()? {
        if let (1, FieldData::Len(label)) = (field.number, field.data) {
            let (name, value) = read_label(label)?;
            labels.push(utf8(name)?, utf8(value)?);
        }
    }
    labels.settle()
}

/// The `Exemplar` of a `Bucket`, if it has one.
pub(crate) fn exemplar_of_bucket(bucket: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader::new(bucket);
    while let Some(field) = reader.field().ok()? {
        if let (3, FieldData::Len(exemplar)) = (field.number, field.data) {
            return Some(exemplar.rest());
        }
    }
    None
}

/// A `LabelPair`, its bytes as they are.
pub(super) fn read_label(mut message: Reader<'_>) -> Result<(&[u8], &[u8]), Fault> {
    let (mut name, mut value): (&[u8], &[u8]) = (b"", b"");
    while let Some(field) = message.field()? {
        match (field.number, field.data) {
            (1, FieldData::Len(text)) => name = text.rest(),
            (2, FieldData::Len(text)) => value = text.rest(),
            (1..=2, _) => return Err(Fault::Protobuf),
            _ => {}
        }
    }
    Ok((name, value))
}

/// A `google.protobuf.Timestamp` in milliseconds; what does not fit becomes the largest or the smallest that does.
pub(super) fn read_time(mut message: Reader<'_>) -> Result<i64, Fault> {
    let (mut seconds, mut nanos) = (0i64, 0i64);
    while let Some(field) = message.field()? {
        match (field.number, field.data) {
            (1, FieldData::Varint(number)) => seconds = number as i64,
            (2, FieldData::Varint(number)) => nanos = number as i64,
            (1..=2, _) => return Err(Fault::Protobuf),
            _ => {}
        }
    }
    Ok(seconds.saturating_mul(1000).saturating_add(nanos / 1_000_000))
}
