//! Structs that share one map: each is decoded from the whole of it, and a key is unknown only if none of them has it.

use std::cell::RefCell;

use serde::de::{DeserializeSeed, SeqAccess, Visitor};

use super::error::DecodeError;
use super::node::De;

/// The fields that were asked for so far.
pub(super) type Asked = RefCell<Vec<&'static str>>;

/// Hands the node to each of the structs; what no one asked for is reported.
pub(super) fn decode<'de, V: Visitor<'de>>(de: De<'_>, visitor: V) -> Result<V::Value, DecodeError> {
    if de.asked.is_some() {
        // Structs within structs: who began knows when all have asked.
        return visitor.visit_seq(Again(de));
    }
    let asked = Asked::default();
    let value = visitor.visit_seq(Again(De { asked: Some(&asked), ..de }))?;
    let asked = asked.into_inner();
    for entry in de.node.entries() {
        if !asked.contains(&&*entry.key.text) && !de.context.is_omitted(De::address(&entry.value)) {
            de.context.unknown_key(de.path, entry, &asked);
        }
    }
    Ok(value)
}

/// The same node, as often as somebody asks.
struct Again<'p>(De<'p>);

impl<'de> SeqAccess<'de> for Again<'_> {
    type Error = DecodeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, DecodeError> {
        seed.deserialize(self.0).map(Some)
    }
}
