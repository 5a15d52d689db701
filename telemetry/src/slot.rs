//! Where one value lies in a batch's buffers: eight bytes, no pointer, no allocation.
//! A batch has two buffers: the request that arrived (shared, immutable) and its own (appended by processors).

use crate::wire::Reader;

/// The kind of an attribute value, as in OTLP's `AnyValue`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ValueKind {
    /// No value at all.
    Empty = 0,
    /// UTF-8 text.
    Str = 1,
    /// A bool: one byte.
    Bool = 2,
    /// A signed integer: its varint bytes.
    Int = 3,
    /// A double: eight little-endian bytes.
    Double = 4,
    /// An array: the bytes of an `ArrayValue` message.
    Array = 5,
    /// A map: the bytes of a `KeyValueList` message.
    Map = 6,
    /// Raw bytes.
    Bytes = 7,
}

const KINDS: [ValueKind; 8] = [
    ValueKind::Empty,
    ValueKind::Str,
    ValueKind::Bool,
    ValueKind::Int,
    ValueKind::Double,
    ValueKind::Array,
    ValueKind::Map,
    ValueKind::Bytes,
];

impl ValueKind {
    /// The kind whose number is in the three lowest bits.
    #[inline]
    pub fn of_bits(bits: u32) -> ValueKind {
        KINDS[(bits & 7) as usize]
    }
}

const OWN: u32 = 1 << 31;
const KIND_SHIFT: u32 = 28;
const LEN_MASK: u32 = (1 << KIND_SHIFT) - 1;

/// A position, length and kind: bit 31 of the second word says which buffer, three bits the kind, 28 the length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Slot {
    at: u32,
    meta: u32,
}

impl Slot {
    /// Nothing: an empty string for fields, "value not set" for attributes.
    pub const NONE: Slot = Slot { at: 0, meta: 0 };
    /// An attribute value that is there but holds nothing (`AnyValue {}` as against no `AnyValue`).
    pub const EMPTY_VALUE: Slot = Slot { at: 1, meta: 0 };
    /// The longest value that a slot can describe.
    pub const MAX_LEN: usize = LEN_MASK as usize;

    /// A slot in the buffer that arrived. The caller keeps `at + len` below 4 GiB and `len` within [`Slot::MAX_LEN`].
    #[inline]
    pub fn wire(kind: ValueKind, at: usize, len: usize) -> Slot {
        debug_assert!(at <= u32::MAX as usize && len <= Slot::MAX_LEN);
        Slot { at: at as u32, meta: (kind as u32) << KIND_SHIFT | len as u32 & LEN_MASK }
    }

    /// A slot in the batch's own buffer, under the same bounds.
    #[inline]
    pub fn own(kind: ValueKind, at: usize, len: usize) -> Slot {
        let slot = Slot::wire(kind, at, len);
        Slot { at: slot.at, meta: slot.meta | OWN }
    }

    /// The value's kind.
    #[inline]
    pub fn kind(self) -> ValueKind {
        ValueKind::of_bits(self.meta >> KIND_SHIFT)
    }

    /// The same bytes under another kind.
    #[inline]
    pub fn with_kind(self, kind: ValueKind) -> Slot {
        Slot { at: self.at, meta: self.meta & (OWN | LEN_MASK) | (kind as u32) << KIND_SHIFT }
    }

    /// The value's length in bytes.
    #[inline]
    pub fn len(self) -> usize {
        (self.meta & LEN_MASK) as usize
    }

    /// Whether this is text of at most `max` bytes: one comparison, for loops over many values.
    #[inline]
    pub fn is_text_within(self, max: u32) -> bool {
        (self.meta & !OWN).wrapping_sub((ValueKind::Str as u32) << KIND_SHIFT) <= max.min(LEN_MASK)
    }

    /// The first `len` bytes of the value; all of it if it is shorter.
    #[inline]
    pub fn prefix(self, len: usize) -> Slot {
        let len = self.len().min(len) as u32;
        Slot { at: self.at, meta: self.meta & !LEN_MASK | len }
    }

    /// Whether there are no bytes.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Whether the bytes lie in the batch's own buffer.
    #[inline]
    pub fn is_own(self) -> bool {
        self.meta & OWN != 0
    }

    /// Where the bytes start in their buffer.
    #[inline]
    pub fn at(self) -> usize {
        self.at as usize
    }

    /// The same bytes after what stood in the two buffers moved on by so many bytes.
    #[inline]
    pub(crate) fn shifted(self, wire: u32, own: u32) -> Slot {
        // Without kind and length it is a mark, not a place.
        let by = if self.is_own() { own } else { wire };
        Slot { at: self.at.wrapping_add(if self.meta == 0 { 0 } else { by }), meta: self.meta }
    }

    /// The value's bytes.
    #[inline]
    pub fn bytes<'a>(self, wire: &'a [u8], own: &'a [u8]) -> &'a [u8] {
        if self.is_empty() {
            // The position of an empty slot is a mark, not a place.
            return &[];
        }
        let buf = if self.is_own() { own } else { wire };
        &buf[self.at()..self.at() + self.len()]
    }

    /// The value itself.
    pub fn value<'a>(self, wire: &'a [u8], own: &'a [u8]) -> Value<'a> {
        if self.kind() == ValueKind::Empty {
            return Value::Empty;
        }
        Value::new(self.kind(), self.bytes(wire, own))
    }
}

/// One attribute value, borrowed from a batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// No value.
    Empty,
    /// Text: valid UTF-8, checked when the batch was made.
    Str(&'a [u8]),
    /// A bool.
    Bool(bool),
    /// A signed integer.
    Int(i64),
    /// A double.
    Double(f64),
    /// The bytes of an OTLP `ArrayValue`.
    Array(&'a [u8]),
    /// The bytes of an OTLP `KeyValueList`.
    Map(&'a [u8]),
    /// Raw bytes.
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    /// Text as a value.
    pub fn text(text: &'a str) -> Self {
        Value::Str(text.as_bytes())
    }

    /// The text, if the value is text.
    pub fn as_str(&self) -> Option<&'a str> {
        match self {
            Value::Str(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// A value from its kind and the bytes that a [`Slot`] of that kind describes.
    pub fn new(kind: ValueKind, bytes: &'a [u8]) -> Value<'a> {
        match kind {
            ValueKind::Empty => Value::Empty,
            ValueKind::Str => Value::Str(bytes),
            ValueKind::Bool => Value::Bool(bytes.iter().any(|b| b & 0x7f != 0)),
            ValueKind::Int => Value::Int(Reader::new(bytes).varint().unwrap_or_default() as i64),
            ValueKind::Double => Value::Double(Reader::new(bytes).fixed64().map(f64::from_bits).unwrap_or_default()),
            ValueKind::Array => Value::Array(bytes),
            ValueKind::Map => Value::Map(bytes),
            ValueKind::Bytes => Value::Bytes(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_eight_bytes_and_keeps_what_it_was_given() {
        assert_eq!(size_of::<Slot>(), 8);
        for kind in KINDS {
            let slot = Slot::own(kind, 3, 4);
            assert_eq!((slot.kind(), slot.at(), slot.len(), slot.is_own()), (kind, 3, 4, true));
            assert!(!Slot::wire(kind, 0, Slot::MAX_LEN).is_own());
            assert_eq!(Slot::wire(kind, 0, Slot::MAX_LEN).len(), Slot::MAX_LEN);
        }
    }

    #[test]
    fn text_is_told_from_other_kinds_and_from_longer_text() {
        for kind in KINDS {
            for slot in [Slot::wire(kind, 7, 5), Slot::own(kind, 7, 5)] {
                assert_eq!(slot.is_text_within(5), kind == ValueKind::Str);
                assert!(!slot.is_text_within(4));
                assert_eq!((slot.prefix(2).len(), slot.prefix(9)), (2, slot));
                assert_eq!((slot.prefix(2).kind(), slot.prefix(2).is_own()), (kind, slot.is_own()));
            }
        }
        assert!(Slot::wire(ValueKind::Str, 0, Slot::MAX_LEN).is_text_within(u32::MAX));
        assert!(!Slot::wire(ValueKind::Bool, 0, 1).is_text_within(u32::MAX));
    }

    #[test]
    fn values_read_back() {
        let own = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        assert_eq!(Slot::own(ValueKind::Int, 0, 10).value(&[], &own), Value::Int(-1));
        assert_eq!(Slot::EMPTY_VALUE.value(&[], &[]), Value::Empty);
        assert_eq!(Slot::EMPTY_VALUE.bytes(&[], &[]), b"");
        assert_eq!(Slot::wire(ValueKind::Str, 0, 2).value(b"ab", &[]).as_str(), Some("ab"));
    }
}
