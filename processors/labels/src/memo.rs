//! A bounded memory of what was worked out from bytes that a sender chose. Full, it forgets everything and counts that.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};
use steadyline_component::Instrument;

/// All keys together are at most this long; values are about as large as their keys.
const MAX_BYTES: usize = 4 << 20;
/// Longer keys are worked out each time: they would push out too many others.
const MAX_KEY: usize = 16 << 10;
/// What an entry costs besides its key.
const ENTRY: usize = 64;

/// Remembers a value for each key. Its hashes are keyed with a secret of the process.
pub(crate) struct Memo<V> {
    entries: HashTable<(Box<[u8]>, V)>,
    hasher: DefaultHashBuilder,
    bytes: usize,
    evictions: Arc<Instrument>,
}

impl<V: Clone> Memo<V> {
    pub(crate) fn new(evictions: Arc<Instrument>) -> Self {
        Memo { entries: HashTable::new(), hasher: DefaultHashBuilder::default(), bytes: 0, evictions }
    }

    /// The value of a key, made now if it is not remembered.
    pub(crate) fn get(&mut self, key: &[u8], make: impl FnOnce() -> V) -> V {
        let hash = self.hasher.hash_one(key);
        if let Some((_, value)) = self.entries.find(hash, |(known, _)| **known == *key) {
            return value.clone();
        }
        let value = make();
        if key.len() <= MAX_KEY {
            self.make_room(key.len() + ENTRY);
            let hasher = &self.hasher;
            self.entries.insert_unique(hash, (key.into(), value.clone()), |(known, _)| hasher.hash_one(&**known));
        }
        value
    }

    fn make_room(&mut self, bytes: usize) {
        if self.bytes + bytes > MAX_BYTES {
            self.evictions.add(self.entries.len() as f64);
            self.entries = HashTable::new();
            self.bytes = 0;
        }
        self.bytes += bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use steadyline_component::Meter;

    fn memo() -> (Memo<usize>, Arc<Instrument>) {
        let evictions = Meter::default().counter("evictions", "", &[]);
        (Memo::new(Arc::clone(&evictions)), evictions)
    }

    #[test]
    fn a_value_is_made_once() {
        let (mut memo, evictions) = memo();
        for n in 0..1000usize {
            assert_eq!(memo.get(&n.to_le_bytes(), || n), n);
        }
        for n in 0..1000usize {
            assert_eq!(memo.get(&n.to_le_bytes(), || panic!("{n} is remembered")), n);
        }
        assert_eq!(evictions.value(), 0.0);
    }

    #[test]
    fn it_never_outgrows_its_bound_and_counts_what_it_forgets() {
        let (mut memo, evictions) = memo();
        let key = |n: usize| [n.to_le_bytes().to_vec(), vec![0; 4088]].concat();
        let fit = MAX_BYTES / (4096 + ENTRY);
        for n in 0..=fit {
            memo.get(&key(n), || n);
            assert!(memo.bytes <= MAX_BYTES);
        }
        assert_eq!(evictions.value(), fit as f64);
        assert_eq!(memo.get(&key(fit), || 0), fit);
        let long = vec![1; MAX_KEY + 1];
        assert_eq!((memo.get(&long, || 1), memo.get(&long, || 2)), (1, 2));
    }
}
