//! Byte strings held once and counted by use: metric heads, scopes, resources, lists of label names.
//! What nothing refers to any more is freed, so that the pool is bounded by the series that there are.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

/// A pool of byte strings. Ids are reused after their last use is released.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    index: HashTable<u32>,
    nodes: Vec<Node>,
    free: Vec<u32>,
    hasher: DefaultHashBuilder,
}

#[derive(Debug, Default)]
struct Node {
    bytes: Box<[u8]>,
    hash: u64,
    uses: u32,
}

impl Pool {
    /// The id of these bytes, and whether they are new. Counts as one use, to be released.
    pub(crate) fn intern(&mut self, bytes: &[u8]) -> (u32, bool) {
        let hash = self.hasher.hash_one(bytes);
        if let Some(&id) = self.index.find(hash, |&id| *self.nodes[id as usize].bytes == *bytes) {
            self.nodes[id as usize].uses += 1;
            return (id, false);
        }
        let node = Node { bytes: bytes.into(), hash, uses: 1 };
        let id = match self.free.pop() {
            Some(id) => {
                self.nodes[id as usize] = node;
                id
            }
            None => {
                self.nodes.push(node);
                self.nodes.len() as u32 - 1
            }
        };
        self.index.insert_unique(hash, id, |&id| self.nodes[id as usize].hash);
        (id, true)
    }

    /// The bytes of an id in use.
    #[inline]
    pub(crate) fn get(&self, id: u32) -> &[u8] {
        &self.nodes[id as usize].bytes
    }

    /// Counts one more use.
    pub(crate) fn retain(&mut self, id: u32) {
        self.nodes[id as usize].uses += 1;
    }

    /// Counts one use less; the bytes, if it was the last one.
    pub(crate) fn release(&mut self, id: u32) -> Option<Box<[u8]>> {
        let node = &mut self.nodes[id as usize];
        node.uses -= 1;
        if node.uses > 0 {
            return None;
        }
        let node = std::mem::take(node);
        if let Ok(found) = self.index.find_entry(node.hash, |&other| other == id) {
            found.remove();
        }
        self.free.push(id);
        Some(node.bytes)
    }

    /// How many byte strings are in use.
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_use_stays_and_the_rest_is_freed() {
        let mut pool = Pool::default();
        let ids: Vec<u32> = (0..100_u32).map(|n| pool.intern(&n.to_le_bytes()).0).collect();
        assert_eq!(pool.intern(&5_u32.to_le_bytes()), (ids[5], false));
        assert_eq!(pool.release(ids[5]), None);
        for &id in &ids[..50] {
            assert!(pool.release(id).is_some());
        }
        assert_eq!(pool.len(), 50);
        assert_eq!(pool.get(ids[77]), 77_u32.to_le_bytes());
        let (id, new) = pool.intern(b"new");
        assert!(new && id < 50, "a freed id is used again");
    }
}
