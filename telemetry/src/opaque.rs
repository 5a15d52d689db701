//! Traces and logs: OTLP bytes with a count, decoded only by a component that must look inside.

use bytes::Bytes;

use crate::Signal;
use crate::limits::{DecodeError, Limits};
use crate::wire::{Field, FieldData, Reader, put_bytes};

/// A request of traces or logs as it came, counted. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opaque {
    signal: Signal,
    bytes: Bytes,
    items: usize,
}

impl Opaque {
    /// Counts the spans or log records of an OTLP export request and keeps its bytes.
    /// All three signals nest alike: resource, scope and item are fields 1, 2 and 2.
    ///
    /// # Errors
    /// Malformed or oversized bytes. What lies inside an item is not looked at.
    pub fn count(signal: Signal, bytes: Bytes, limits: &Limits) -> Result<Opaque, DecodeError> {
        if bytes.len() > limits.max_bytes {
            return Err(DecodeError::Limit { what: "the size of the request in bytes", limit: limits.max_bytes });
        }
        let mut items = 0;
        each(Reader::new(&bytes), 1, |resource| {
            each(resource, 2, |scope| {
                each(scope, 2, |_| {
                    items += 1;
                    Ok(())
                })
            })
        })?;
        Ok(Opaque { signal, bytes, items })
    }

    /// Which signal it is.
    pub fn signal(&self) -> Signal {
        self.signal
    }

    /// The OTLP export request.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// How many spans or log records it carries.
    pub fn items(&self) -> usize {
        self.items
    }

    /// Requests of one signal as one, in order: their bytes one behind the other, as protobuf joins lists.
    /// `None` if there is none, or their signals differ.
    pub fn join(parts: &[Opaque]) -> Option<Opaque> {
        let (first, rest) = parts.split_first()?;
        if rest.iter().any(|part| part.signal != first.signal) {
            return None;
        }
        if rest.is_empty() {
            return Some(first.clone());
        }
        let mut bytes = Vec::with_capacity(parts.iter().map(|part| part.bytes.len()).sum());
        parts.iter().for_each(|part| bytes.extend_from_slice(&part.bytes));
        let items = parts.iter().map(|part| part.items).sum();
        Some(Opaque { signal: first.signal, bytes: Bytes::from(bytes), items })
    }

    /// The request in pieces of at most `most` items (at least 1), in order, each under copies of its resource and
    /// scope. A request that is small enough comes back as it is; once it is cut, what has no items is left out.
    pub fn split(&self, most: usize) -> Vec<Opaque> {
        let most = most.max(1);
        if self.items <= most {
            return vec![self.clone()];
        }
        let mut cutter = Cutter { signal: self.signal, most, ..Cutter::default() };
        let whole = Reader::new(&self.bytes);
        cutter.heads[0] = head(whole, 1);
        for resource in children(whole, 1) {
            cutter.heads[1] = head(resource, 2);
            for scope in children(resource, 2) {
                cutter.heads[2] = head(scope, 2);
                children(scope, 2).for_each(|item| cutter.take(item.rest()));
                cutter.close(2);
            }
            cutter.close(1);
        }
        cutter.close(0);
        cutter.pieces
    }
}

/// Pieces of a request in the making. Levels: 0 the request, 1 a resource, 2 a scope.
struct Cutter {
    signal: Signal,
    most: usize,
    /// What stands beside the children of the level at hand.
    heads: [Vec<u8>; 3],
    /// The messages that are open.
    open: [Option<Vec<u8>>; 3],
    items: usize,
    pieces: Vec<Opaque>,
}

impl Default for Cutter {
    fn default() -> Self {
        let (heads, open) = Default::default();
        Cutter { signal: Signal::Logs, most: 1, heads, open, items: 0, pieces: Vec::new() }
    }
}

impl Cutter {
    fn take(&mut self, item: &[u8]) {
        let scope = self.open[2].get_or_insert_with(|| self.heads[2].clone());
        put_bytes(scope, 2, item);
        self.items += 1;
        if self.items == self.most {
            (0..3).rev().for_each(|level| self.close(level));
        }
    }

    /// Closes the message of a level, if it is open, into the one around it.
    fn close(&mut self, level: usize) {
        let Some(message) = self.open[level].take() else { return };
        if level == 0 {
            let items = std::mem::take(&mut self.items);
            return self.pieces.push(Opaque { signal: self.signal, bytes: Bytes::from(message), items });
        }
        let outer = self.open[level - 1].get_or_insert_with(|| self.heads[level - 1].clone());
        put_bytes(outer, level as u32, &message);
    }
}

/// The fields of a message that was walked before.
fn fields<'a>(mut reader: Reader<'a>) -> impl Iterator<Item = (Field<'a>, &'a [u8])> {
    std::iter::from_fn(move || {
        let before = reader.rest();
        let field = reader.field().ok().flatten()?;
        Some((field, &before[..before.len() - reader.len()]))
    })
}

/// The messages in one field.
fn children<'a>(reader: Reader<'a>, number: u32) -> impl Iterator<Item = Reader<'a>> {
    fields(reader).filter_map(move |(field, _)| match field.data {
        FieldData::Len(inner) if field.number == number => Some(inner),
        _ => None,
    })
}

/// Everything in a message but one field.
fn head(reader: Reader<'_>, number: u32) -> Vec<u8> {
    fields(reader).filter(|(field, _)| field.number != number).flat_map(|(_, raw)| raw).copied().collect()
}

fn each<'a>(
    mut reader: Reader<'a>,
    number: u32,
    mut visit: impl FnMut(Reader<'a>) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    while let Some(field) = reader.field()? {
        match field.data {
            FieldData::Len(inner) if field.number == number => visit(inner)?,
            _ if field.number == number => return Err(DecodeError::Malformed(field.at)),
            _ => {}
        }
    }
    Ok(())
}
