//! Shapes: ordered lists of attribute keys, held once per batch, so that work on keys is done once per list.
//! A table belongs to a batch and dies with it; nothing that a sender names outlives its request.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::slot::Slot;

/// Which shape of its batch an attribute set has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShapeId(pub u32);

impl ShapeId {
    /// The shape without keys; every table has it.
    pub const EMPTY: ShapeId = ShapeId(0);

    /// The id as an index into per-shape tables.
    #[inline]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The shapes of one batch. Keys are slots into the batch's buffers.
#[derive(Debug, Clone)]
pub struct ShapeTable {
    keys: Vec<Slot>,
    /// End of each shape's keys in `keys`; a shape starts where its predecessor ends.
    ends: Vec<u32>,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl Default for ShapeTable {
    fn default() -> Self {
        ShapeTable { keys: Vec::new(), ends: vec![0], index: HashTable::new(), hasher: DefaultHashBuilder::default() }
    }
}

impl ShapeTable {
    /// How many shapes there are, the empty one included.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Never true: the empty shape is always there.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The keys of a shape, in order.
    #[inline]
    pub fn keys(&self, shape: ShapeId) -> &[Slot] {
        let index = shape.index();
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.keys[start as usize..self.ends[index] as usize]
    }

    /// How many keys, and so values, a shape has.
    #[inline]
    pub fn width(&self, shape: ShapeId) -> usize {
        self.keys(shape).len()
    }

    /// The shape with exactly these keys in this order, added if it is new.
    /// `wire` and `own` are the buffers that all slots of the batch refer to.
    pub fn intern(&mut self, keys: &[Slot], wire: &[u8], own: &[u8]) -> ShapeId {
        if keys.is_empty() {
            return ShapeId::EMPTY;
        }
        let hash = self.hash(keys, wire, own);
        let same = |&id: &u32| same_keys(self.keys(ShapeId(id)), keys, wire, own);
        if let Some(&id) = self.index.find(hash, same) {
            return ShapeId(id);
        }
        let id = self.ends.len() as u32;
        self.keys.extend_from_slice(keys);
        self.ends.push(self.keys.len() as u32);
        let rehash: Vec<u64> =
            if self.index.len() == self.index.capacity() { self.hashes(wire, own) } else { Vec::new() };
        self.index.insert_unique(hash, id, |&id| rehash.get(id as usize).copied().unwrap_or(hash));
        ShapeId(id)
    }

    fn hashes(&self, wire: &[u8], own: &[u8]) -> Vec<u64> {
        (0..self.len() as u32).map(|id| self.hash(self.keys(ShapeId(id)), wire, own)).collect()
    }

    fn hash(&self, keys: &[Slot], wire: &[u8], own: &[u8]) -> u64 {
        use std::hash::Hasher;
        let mut hasher = self.hasher.build_hasher();
        for key in keys {
            hasher.write_usize(key.len());
            hasher.write(key.bytes(wire, own));
        }
        hasher.finish()
    }
}

fn same_keys(a: &[Slot], b: &[Slot], wire: &[u8], own: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.bytes(wire, own) == b.bytes(wire, own))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slot::ValueKind;

    #[test]
    fn equal_lists_are_one_shape_and_order_matters() {
        let wire: Vec<u8> = (0..200).collect();
        let key = |at: usize| Slot::wire(ValueKind::Str, at, 2);
        let mut table = ShapeTable::default();
        let ids: Vec<_> = (0..90).map(|n| table.intern(&[key(n), key(n + 100)], &wire, &[])).collect();
        assert_eq!(table.len(), 91);
        for (n, id) in ids.iter().enumerate() {
            assert_eq!(table.intern(&[key(n), key(n + 100)], &wire, &[]), *id);
            assert_eq!(table.keys(*id), [key(n), key(n + 100)]);
        }
        assert_ne!(table.intern(&[key(100), key(0)], &wire, &[]), ids[0]);
        assert_eq!(table.intern(&[], &wire, &[]), ShapeId::EMPTY);
        assert_eq!(table.width(ids[3]), 2);
    }
}
