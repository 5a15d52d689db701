//! The table of strings of a remote write 2.0 request: each string once, found by its bytes.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::{WireType, put_tag, put_varint};

/// An append-only interner. Clearing keeps its memory; hashes are keyed per instance, so senders cannot aim at them.
#[derive(Debug)]
pub struct Symbols {
    refs: HashTable<u32>,
    /// Where each symbol lies in `encoded`: start and end of its bytes.
    places: Vec<(usize, usize)>,
    /// All symbols in the wire's own form, tags and lengths included.
    encoded: Vec<u8>,
    hasher: DefaultHashBuilder,
}

impl Symbols {
    /// The field of a request that holds a symbol.
    const FIELD: u32 = 4;

    /// A table that holds the empty string only, as the protocol demands.
    pub fn new() -> Self {
        let mut symbols = Self {
            refs: HashTable::new(),
            places: Vec::new(),
            encoded: Vec::new(),
            hasher: DefaultHashBuilder::default(),
        };
        symbols.intern(b"");
        symbols
    }

    /// The reference of `symbol`, which is added if it is new. The empty string is 0.
    pub fn intern(&mut self, symbol: &[u8]) -> u32 {
        if symbol.is_empty() && !self.places.is_empty() {
            return 0;
        }
        let hash = self.hasher.hash_one(symbol);
        let (places, encoded) = (&self.places, &self.encoded);
        let of = |r: &u32| {
            let (start, end) = places[*r as usize];
            &encoded[start..end]
        };
        if let Some(found) = self.refs.find(hash, |r| of(r) == symbol) {
            return *found;
        }
        let next = u32::try_from(places.len()).expect("a request has fewer than 2^32 symbols");
        self.refs.insert_unique(hash, next, |r| self.hasher.hash_one(of(r)));
        put_tag(&mut self.encoded, Self::FIELD, WireType::Bytes);
        put_varint(&mut self.encoded, symbol.len() as u64);
        let start = self.encoded.len();
        self.encoded.extend_from_slice(symbol);
        self.places.push((start, self.encoded.len()));
        next
    }

    /// The number of symbols, the empty string included.
    pub fn count(&self) -> usize {
        self.places.len()
    }

    /// The symbols as they stand in a request.
    pub fn encoded(&self) -> &[u8] {
        &self.encoded
    }

    /// Forgets all symbols but the empty string, and keeps the memory.
    pub fn clear(&mut self) {
        self.refs.clear();
        self.places.clear();
        self.encoded.clear();
        self.intern(b"");
    }
}

impl Default for Symbols {
    fn default() -> Self {
        Self::new()
    }
}
