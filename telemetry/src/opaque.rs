//! Traces and logs: OTLP bytes with a count, decoded only by a component that must look inside.

use bytes::Bytes;

use crate::Signal;
use crate::limits::{DecodeError, Limits};
use crate::wire::{FieldData, Reader};

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
