//! Attribute sets and their values: which keys a set has, where its values lie, and whether they are what OTLP allows.

use super::{Decoder, NUMBER_ATTRIBUTE, Result};
use crate::limits::{DecodeError, Limits};
use crate::metrics::{Attributes, Tables};
use crate::slot::{Slot, ValueKind};
use crate::wire::{FIXED64, Field, FieldData, LEN, Reader, VARINT};

/// Collects one attribute set. While keys follow the guess, nothing is written but values.
pub(super) struct SetBuilder {
    first_value: usize,
    matched: bool,
    count: usize,
}

impl SetBuilder {
    #[inline]
    pub(super) fn start(decoder: &mut Decoder<'_>) -> SetBuilder {
        SetBuilder { first_value: decoder.tables.values.len(), matched: true, count: 0 }
    }

    /// Starts with the pairs of a set that is there already; one set's values must stand together.
    pub(super) fn resume(decoder: &mut Decoder<'_>, before: Attributes) -> SetBuilder {
        let mut set = SetBuilder::start(decoder);
        let count = decoder.tables.shapes.width(before.shape);
        if count > 0 {
            let first = before.values as usize;
            decoder.tables.values.extend_from_within(first..first + count);
            decoder.guess = before.shape;
            set.count = count;
        }
        set
    }

    /// Reads the attributes of a number point that stand here one after the other, as long as they are what is expected.
    /// They are most of a point and usually its last fields, so one look over what is left of it saves one for each text:
    /// tags and lengths below 128 are ASCII too.
    #[inline]
    pub(super) fn add_expected(&mut self, decoder: &mut Decoder<'_>, reader: &mut Reader<'_>) {
        if !self.matched {
            return;
        }
        // A sender may put something large behind the attributes, and have it looked over again and again.
        let ascii = reader.len() <= 4096 && reader.rest().is_ascii();
        let Tables { shapes, values, .. } = &mut decoder.tables;
        for key in &shapes.keys(decoder.guess)[self.count..] {
            let mut ahead = *reader;
            ahead.take_short_tag();
            let Ok(pair) = ahead.delimited() else { return };
            let Some(value) = expected_text(key.bytes(decoder.wire, &[]), pair, ascii) else { return };
            values.push(value);
            self.count += 1;
            *reader = ahead;
            if reader.short_tag() != Some(NUMBER_ATTRIBUTE) {
                return;
            }
        }
    }

    pub(super) fn add<'a>(&mut self, decoder: &mut Decoder<'a>, reader: Reader<'a>) -> Result<()> {
        let (key, value) = key_value(reader, decoder.limits)?;
        if self.matched {
            let expected = decoder.tables.shapes.keys(decoder.guess).get(self.count);
            let expected = expected.map(|slot| slot.bytes(decoder.wire, &[]));
            if expected != Some(key.bytes(decoder.wire, &[])) {
                self.leave_guess(decoder);
            }
        }
        if !self.matched {
            decoder.keys.push(key);
        }
        self.count += 1;
        if self.count > decoder.limits.max_attributes {
            let limit = decoder.limits.max_attributes;
            return Err(DecodeError::Limit { what: "the number of attributes of one set", limit });
        }
        decoder.tables.values.push(value);
        Ok(())
    }

    fn leave_guess(&mut self, decoder: &mut Decoder<'_>) {
        self.matched = false;
        decoder.keys.clear();
        decoder.keys.extend_from_slice(&decoder.tables.shapes.keys(decoder.guess)[..self.count]);
    }

    #[inline]
    pub(super) fn finish(mut self, decoder: &mut Decoder<'_>) -> Attributes {
        let values = self.first_value as u32;
        if self.matched && self.count == decoder.tables.shapes.width(decoder.guess) {
            return Attributes { shape: decoder.guess, values };
        }
        if self.matched {
            self.leave_guess(decoder);
        }
        decoder.guess = decoder.tables.shapes.intern(&decoder.keys, decoder.wire, &[]);
        Attributes { shape: decoder.guess, values }
    }
}

/// The value, if the pair is what encoders usually write: the key that is expected here, then a text of less than 126
/// bytes, with nothing before, between and after. `ascii` says that the text is known to be UTF-8.
#[inline]
fn expected_text(expected: &[u8], pair: Reader<'_>, ascii: bool) -> Option<Slot> {
    let (at, pair) = (pair.position(), pair.rest());
    let head = expected.len() + 6;
    let text = pair.len().checked_sub(head).filter(|len| *len < 126 && expected.len() < 128)?;
    let (key, rest) = pair.split_at(expected.len() + 2);
    let usual = key[..2] == [1 << 3 | LEN as u8, expected.len() as u8]
        && rest[..4] == [2 << 3 | LEN as u8, text as u8 + 2, 1 << 3 | LEN as u8, text as u8]
        && key[2..] == *expected;
    let checked = usual && (ascii || std::str::from_utf8(&rest[4..]).is_ok());
    checked.then(|| Slot::wire(ValueKind::Str, at + head, text))
}

/// `KeyValue.key_strindex` and `AnyValue.string_value_strindex` point into a table that only profiles have; elsewhere they
/// say nothing, but must be what they should be.
const KEY_INDEX: u32 = 3;
const STRING_INDEX: u32 = 8;

#[inline]
fn key_value(mut reader: Reader<'_>, limits: &Limits) -> Result<(Slot, Slot)> {
    let mut key = Slot::NONE.with_kind(ValueKind::Str);
    let mut value = Slot::NONE;
    while let Some((number, wire_type)) = reader.tag()? {
        match (number, wire_type) {
            (1, LEN) => {
                let text = reader.delimited()?;
                check_text(text)?;
                key = slot_of(ValueKind::Str, text);
            }
            (2, LEN) => value = any_value(reader.delimited()?, limits, limits.max_depth)?,
            (1 | 2, _) => return Err(DecodeError::Malformed(reader.position())),
            (KEY_INDEX, wire_type) if wire_type != VARINT => return Err(DecodeError::Malformed(reader.position())),
            _ => reader.skip(wire_type)?,
        }
    }
    Ok((key, value))
}

/// Reads an `AnyValue`: the slot lies over the value's payload; nested values are walked and checked, not decoded.
#[inline]
pub(in crate::metrics) fn any_value(mut reader: Reader<'_>, limits: &Limits, depth: usize) -> Result<Slot> {
    let mut slot = Slot::EMPTY_VALUE;
    while let Some((number, wire_type)) = reader.tag()? {
        let at = reader.position();
        slot = match (number, wire_type) {
            (1, LEN) => {
                let text = reader.delimited()?;
                check_text(text)?;
                slot_of(ValueKind::Str, text)
            }
            (2, VARINT) => {
                reader.varint()?;
                Slot::wire(ValueKind::Bool, at, reader.position() - at)
            }
            (3, VARINT) => {
                reader.varint()?;
                Slot::wire(ValueKind::Int, at, reader.position() - at)
            }
            (4, FIXED64) => {
                reader.fixed64()?;
                Slot::wire(ValueKind::Double, at, 8)
            }
            (5, LEN) => nested(ValueKind::Array, reader.delimited()?, limits, depth)?,
            (6, LEN) => nested(ValueKind::Map, reader.delimited()?, limits, depth)?,
            (7, LEN) => slot_of(ValueKind::Bytes, reader.delimited()?),
            (1..=STRING_INDEX, _) if (number, wire_type) != (STRING_INDEX, VARINT) => {
                return Err(DecodeError::Malformed(at));
            }
            _ => {
                reader.skip(wire_type)?;
                slot
            }
        };
    }
    Ok(slot)
}

fn nested(kind: ValueKind, mut reader: Reader<'_>, limits: &Limits, depth: usize) -> Result<Slot> {
    let slot = slot_of(kind, reader);
    let Some(depth) = depth.checked_sub(1) else {
        let limit = limits.max_depth;
        return Err(DecodeError::Limit { what: "the nesting of an attribute value", limit });
    };
    while let Some(field) = reader.field()? {
        match (field.number, field.data) {
            (1, FieldData::Len(inner)) if kind == ValueKind::Array => {
                any_value(inner, limits, depth)?;
            }
            (1, FieldData::Len(inner)) => check_key_value(inner, limits, depth)?,
            (1, _) => return Err(DecodeError::Malformed(field.at)),
            _ => {}
        }
    }
    Ok(slot)
}

pub(in crate::metrics) fn check_key_value(mut reader: Reader<'_>, limits: &Limits, depth: usize) -> Result<()> {
    while let Some(field) = reader.field()? {
        match (field.number, field.data) {
            (1, FieldData::Len(inner)) => check_text(inner)?,
            (2, FieldData::Len(inner)) => drop(any_value(inner, limits, depth)?),
            (1 | 2, _) => return Err(DecodeError::Malformed(field.at)),
            _ => check_type(field, KEY_INDEX, VARINT)?,
        }
    }
    Ok(())
}

#[inline]
pub(in crate::metrics) fn check_text(reader: Reader<'_>) -> Result<()> {
    let bytes = reader.rest();
    if bytes.is_ascii() || std::str::from_utf8(bytes).is_ok() {
        return Ok(());
    }
    Err(DecodeError::InvalidUtf8(reader.position()))
}

pub(super) fn check_type(field: Field<'_>, number: u32, wire_type: u32) -> Result<()> {
    let actual = match field.data {
        FieldData::Varint(_) => VARINT,
        FieldData::Fixed64(_) => FIXED64,
        FieldData::Fixed32(_) => crate::wire::FIXED32,
        FieldData::Len(_) => LEN,
    };
    if field.number == number && actual != wire_type {
        return Err(DecodeError::Malformed(field.at));
    }
    Ok(())
}

#[inline]
pub(super) fn slot_of(kind: ValueKind, reader: Reader<'_>) -> Slot {
    Slot::wire(kind, reader.position(), reader.len())
}
