//! Values as bytes, one after the other: a varint of length and kind, then the value's own bytes.
//! What identity is hashed over is what is stored, so the length comes first: two label sets never read the same.

use steadyline_telemetry::wire::{Reader, put_varint};
use steadyline_telemetry::{Slot, ValueKind};

/// Appends one value.
#[inline]
pub(crate) fn put(out: &mut Vec<u8>, kind: ValueKind, bytes: &[u8]) {
    put_varint(out, (bytes.len() as u64) << 3 | kind as u64);
    out.extend_from_slice(bytes);
}

/// Reads packed values one by one.
#[derive(Debug, Clone)]
pub(crate) struct Unpack<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Unpack<'a> {
    /// A reader of what [`put`] wrote.
    #[inline]
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Unpack { bytes, at: 0 }
    }

    /// A number that was written as a varint between values; 0 at the end.
    #[inline]
    pub(crate) fn number(&mut self) -> u64 {
        let mut reader = Reader::new(&self.bytes[self.at..]);
        let number = reader.varint().unwrap_or_default();
        self.at += reader.position();
        number
    }

    /// What is left.
    pub(crate) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    /// The bytes of the next value; empty at the end.
    pub(crate) fn bytes(&mut self) -> &'a [u8] {
        self.next().map_or(&[], |value| value.bytes)
    }
}

/// One packed value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Packed<'a> {
    /// The value's kind.
    pub kind: ValueKind,
    /// Where its bytes start among the packed bytes.
    pub at: usize,
    /// The value's bytes.
    pub bytes: &'a [u8],
}

impl Packed<'_> {
    /// The value's slot, if the packed bytes lie at `base` of a batch's own buffer.
    #[inline]
    pub(crate) fn slot(&self, base: usize) -> Slot {
        Slot::own(self.kind, base + self.at, self.bytes.len())
    }
}

impl<'a> Iterator for Unpack<'a> {
    type Item = Packed<'a>;

    #[inline]
    fn next(&mut self) -> Option<Packed<'a>> {
        if self.at == self.bytes.len() {
            return None;
        }
        let head = self.number();
        let (at, len) = (self.at, (head >> 3) as usize);
        let bytes = self.bytes.get(at..at + len)?;
        self.at += len;
        Some(Packed { kind: ValueKind::of_bits(head as u32), at, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_back_with_their_places() {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, 300);
        put(&mut bytes, ValueKind::Str, b"ab");
        put(&mut bytes, ValueKind::Empty, b"");
        put(&mut bytes, ValueKind::Map, &[7; 40]);
        let mut unpack = Unpack::new(&bytes);
        assert_eq!(unpack.number(), 300);
        let first = unpack.next().unwrap();
        assert_eq!((first.kind, first.at, first.bytes), (ValueKind::Str, 3, &b"ab"[..]));
        assert_eq!(first.slot(10).bytes(&[], &[&[0; 10][..], &bytes].concat()), b"ab");
        assert_eq!(unpack.next().map(|value| value.kind), Some(ValueKind::Empty));
        assert_eq!(unpack.bytes(), [7; 40]);
        assert_eq!((unpack.next(), unpack.number(), unpack.bytes()), (None, 0, &[][..]));
    }
}
