//! Protobuf primitives: a bounds-checked reader over bytes and an append-only writer.
//! Source: protobuf.dev, "Encoding".

use crate::limits::DecodeError;

/// Wire type 0: a varint.
pub const VARINT: u32 = 0;
/// Wire type 1: eight bytes, little endian.
pub const FIXED64: u32 = 1;
/// Wire type 2: a length and that many bytes.
pub const LEN: u32 = 2;
/// Wire type 5: four bytes, little endian.
pub const FIXED32: u32 = 5;

/// Walks the fields of one message that occupies `end - at` bytes of a buffer.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    buf: &'a [u8],
    at: usize,
    end: usize,
}

/// One field as it lies on the wire.
#[derive(Debug, Clone, Copy)]
pub struct Field<'a> {
    /// The field's number.
    pub number: u32,
    /// The field's content.
    pub data: FieldData<'a>,
    /// Where the field's tag starts in the buffer.
    pub at: usize,
}

/// The content of a field by wire type.
#[derive(Debug, Clone, Copy)]
pub enum FieldData<'a> {
    /// A varint's value.
    Varint(u64),
    /// Eight bytes as a little-endian integer.
    Fixed64(u64),
    /// Four bytes as a little-endian integer.
    Fixed32(u32),
    /// A length-delimited field: a reader over exactly its bytes.
    Len(Reader<'a>),
}

impl<'a> Reader<'a> {
    /// A reader over a whole buffer.
    pub fn new(buf: &'a [u8]) -> Self {
        Reader { buf, at: 0, end: buf.len() }
    }

    /// A reader over `buf[at..end]`, with positions counted in the whole buffer.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] if the range is not inside the buffer.
    pub fn over(buf: &'a [u8], at: usize, end: usize) -> Result<Self, DecodeError> {
        if at > end || end > buf.len() {
            return Err(DecodeError::Truncated(at));
        }
        Ok(Reader { buf, at, end })
    }

    /// Where the next byte lies in the whole buffer.
    #[inline]
    pub fn position(&self) -> usize {
        self.at
    }

    /// Where the message ends in the whole buffer.
    #[inline]
    pub fn end(&self) -> usize {
        self.end
    }

    /// How many bytes are left.
    #[inline]
    pub fn len(&self) -> usize {
        self.end - self.at
    }

    /// Whether the message is read to its end.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.at >= self.end
    }

    /// The bytes that are left.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        &self.buf[self.at..self.end]
    }

    /// Reads a varint of at most ten bytes.
    ///
    /// # Errors
    /// Truncated or overlong varints.
    #[inline]
    pub fn varint(&mut self) -> Result<u64, DecodeError> {
        if self.at < self.end {
            let first = self.buf[self.at];
            if first < 0x80 {
                self.at += 1;
                return Ok(u64::from(first));
            }
        }
        self.varint_slow()
    }

    fn varint_slow(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0u64;
        for (count, shift) in (0..64).step_by(7).enumerate() {
            let Some(&byte) = self.buf[..self.end].get(self.at + count) else {
                return Err(DecodeError::Truncated(self.at));
            };
            if shift == 63 && byte > 1 {
                return Err(DecodeError::Malformed(self.at));
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                self.at += count + 1;
                return Ok(value);
            }
        }
        Err(DecodeError::Malformed(self.at))
    }

    /// Reads a length and returns a reader over that many bytes, moving past them.
    ///
    /// # Errors
    /// Truncated content.
    #[inline]
    pub fn delimited(&mut self) -> Result<Reader<'a>, DecodeError> {
        let len = self.varint()?;
        let left = self.end - self.at;
        if len > left as u64 {
            return Err(DecodeError::Truncated(self.at));
        }
        let inner = Reader { buf: self.buf, at: self.at, end: self.at + len as usize };
        self.at = inner.end;
        Ok(inner)
    }

    /// Reads eight little-endian bytes.
    ///
    /// # Errors
    /// Truncated content.
    #[inline]
    pub fn fixed64(&mut self) -> Result<u64, DecodeError> {
        match self.buf[self.at..self.end].first_chunk::<8>() {
            Some(chunk) => {
                self.at += 8;
                Ok(u64::from_le_bytes(*chunk))
            }
            None => Err(DecodeError::Truncated(self.at)),
        }
    }

    /// Reads four little-endian bytes.
    ///
    /// # Errors
    /// Truncated content.
    #[inline]
    pub fn fixed32(&mut self) -> Result<u32, DecodeError> {
        match self.buf[self.at..self.end].first_chunk::<4>() {
            Some(chunk) => {
                self.at += 4;
                Ok(u32::from_le_bytes(*chunk))
            }
            None => Err(DecodeError::Truncated(self.at)),
        }
    }

    /// The next byte, if it is a whole tag: field numbers up to 15.
    #[inline]
    pub fn short_tag(&self) -> Option<u8> {
        if self.at < self.end { Some(self.buf[self.at]).filter(|byte| *byte < 0x80) } else { None }
    }

    /// Moves past a tag that [`Reader::short_tag`] showed.
    #[inline]
    pub fn take_short_tag(&mut self) {
        self.at += 1;
    }

    /// Reads a field's tag as (number, wire type); `None` at the end of the message.
    ///
    /// # Errors
    /// Truncated tags and field number zero.
    #[inline]
    pub fn tag(&mut self) -> Result<Option<(u32, u32)>, DecodeError> {
        if self.is_empty() {
            return Ok(None);
        }
        let at = self.at;
        let tag = self.varint()?;
        let number = tag >> 3;
        if number == 0 || number > 0x1fff_ffff {
            return Err(DecodeError::Malformed(at));
        }
        Ok(Some((number as u32, (tag & 7) as u32)))
    }

    /// Moves past a field of the given wire type, groups refused.
    ///
    /// # Errors
    /// Truncated or malformed content.
    pub fn skip(&mut self, wire_type: u32) -> Result<(), DecodeError> {
        match wire_type {
            VARINT => self.varint().map(drop),
            FIXED64 => self.fixed64().map(drop),
            LEN => self.delimited().map(drop),
            FIXED32 => self.fixed32().map(drop),
            _ => Err(DecodeError::Malformed(self.at)),
        }
    }

    /// Reads the next field whole; `None` at the end of the message.
    ///
    /// # Errors
    /// Truncated or malformed content.
    #[inline]
    pub fn field(&mut self) -> Result<Option<Field<'a>>, DecodeError> {
        let at = self.at;
        let Some((number, wire_type)) = self.tag()? else { return Ok(None) };
        let data = match wire_type {
            VARINT => FieldData::Varint(self.varint()?),
            FIXED64 => FieldData::Fixed64(self.fixed64()?),
            LEN => FieldData::Len(self.delimited()?),
            FIXED32 => FieldData::Fixed32(self.fixed32()?),
            _ => return Err(DecodeError::Malformed(at)),
        };
        Ok(Some(Field { number, data, at }))
    }
}

/// How many bytes a varint takes: 1 to 10.
#[inline]
pub const fn varint_len(value: u64) -> usize {
    (((value | 1).ilog2() * 9 + 73) / 64) as usize
}

/// How many bytes a length-delimited field with a one-byte tag takes.
#[inline]
pub fn len_field(len: usize) -> usize {
    1 + varint_len(len as u64) + len
}

/// Appends a varint.
#[inline]
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a tag.
#[inline]
pub fn put_tag(out: &mut Vec<u8>, number: u32, wire_type: u32) {
    put_varint(out, u64::from(number << 3 | wire_type));
}

/// Appends a length-delimited field.
#[inline]
pub fn put_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_tag(out, number, LEN);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a length-delimited field unless it is empty (proto3's default).
#[inline]
pub fn put_bytes_nonempty(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    if !bytes.is_empty() {
        put_bytes(out, number, bytes);
    }
}

/// Appends a fixed64 field.
#[inline]
pub fn put_fixed64(out: &mut Vec<u8>, number: u32, value: u64) {
    put_tag(out, number, FIXED64);
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends a varint field.
#[inline]
pub fn put_uint(out: &mut Vec<u8>, number: u32, value: u64) {
    put_tag(out, number, VARINT);
    put_varint(out, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_round_trip_and_measure_themselves() {
        for value in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            assert_eq!(out.len(), varint_len(value));
            assert_eq!(Reader::new(&out).varint(), Ok(value));
        }
    }

    #[test]
    fn bad_bytes_are_errors() {
        assert_eq!(Reader::new(&[0x80]).varint(), Err(DecodeError::Truncated(0)));
        assert_eq!(Reader::new(&[0xff; 11]).varint(), Err(DecodeError::Malformed(0)));
        assert!(matches!(Reader::new(&[0x0a, 5, 1]).field(), Err(DecodeError::Truncated(_))));
        assert!(matches!(Reader::new(&[0x0b]).field(), Err(DecodeError::Malformed(_))));
        assert!(matches!(Reader::new(&[0x00, 0]).field(), Err(DecodeError::Malformed(_))));
    }
}
