//! Which events were counted lately: a table of keyed hashes and a ring in the order of their arrival. At most 40 bytes a key, bounded in number and time.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use std::collections::VecDeque;

/// What is known of an event.
pub(crate) mod state {
    /// Its numbers are in the cumulative series.
    pub(crate) const COUNTED: u8 = 1;
    /// It was delivered.
    pub(crate) const DONE: u8 = 2;
    /// It is on its way.
    pub(crate) const IN_FLIGHT: u8 = 4;
}

/// The hash of an idempotency key.
pub(crate) type KeyHash = [u64; 2];

/// The last events, by the hashes of their keys.
#[derive(Debug)]
pub(crate) struct Window {
    /// How long a key is remembered, seconds.
    span: u32,
    most: usize,
    /// Sequence numbers of keys; a key's place in the ring is its number less `base`.
    table: HashTable<u32>,
    ring: VecDeque<Known>,
    base: u32,
    evicted: u64,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    hash: KeyHash,
    /// Unix seconds.
    at: u32,
    state: u8,
}

impl Window {
    /// An empty window of `span` seconds and at most `most` keys. Memory is touched as keys come.
    pub(crate) fn new(span: u32, most: usize) -> Self {
        let (table, ring) = (HashTable::new(), VecDeque::new());
        Self { span, most: most.max(1), table, ring, base: 0, evicted: 0 }
    }

    /// What is known of a key.
    pub(crate) fn get(&self, hash: KeyHash) -> Option<u8> {
        self.place(hash).map(|place| self.ring[place].state)
    }

    /// Sets what is known of a key, remembered from `at` on (Unix seconds). Gives the keys that had to go, oldest first, to `forgotten`.
    pub(crate) fn set(&mut self, hash: KeyHash, state: u8, at: u32, forgotten: &mut Vec<KeyHash>) {
        if let Some(place) = self.place(hash) {
            self.ring[place].state = state;
            return;
        }
        self.sweep(at, forgotten);
        while self.ring.len() >= self.most {
            self.evicted += 1;
            forgotten.extend(self.pop());
        }
        self.reserve();
        let number = self.base.wrapping_add(self.ring.len() as u32);
        self.ring.push_back(Known { hash, at, state });
        let (ring, base) = (&self.ring, self.base);
        let hash_of = |number: &u32| ring[number.wrapping_sub(base) as usize].hash[0];
        if let Entry::Vacant(place) = self.table.entry(hash[0], |_| false, hash_of) {
            place.insert(number);
        }
    }

    /// Forgets what is older than the window.
    pub(crate) fn sweep(&mut self, now: u32, forgotten: &mut Vec<KeyHash>) {
        while self.ring.front().is_some_and(|known| known.at.saturating_add(self.span) < now) {
            forgotten.extend(self.pop());
        }
    }

    /// How many keys are remembered.
    pub(crate) fn len(&self) -> usize {
        self.ring.len()
    }

    /// How many keys were forgotten before their time, for lack of room.
    pub(crate) fn evicted(&self) -> u64 {
        self.evicted
    }

    /// When a key came, Unix seconds.
    pub(crate) fn at(&self, hash: KeyHash) -> Option<u32> {
        self.place(hash).map(|place| self.ring[place].at)
    }

    /// The memory it holds, in bytes.
    #[cfg(test)]
    fn memory(&self) -> usize {
        self.ring.capacity() * size_of::<Known>() + self.table.allocation_size()
    }

    fn place(&self, hash: KeyHash) -> Option<usize> {
        let place = |number: &u32| number.wrapping_sub(self.base) as usize;
        self.table.find(hash[0], |number| self.ring[place(number)].hash == hash).map(place)
    }

    fn pop(&mut self) -> Option<KeyHash> {
        let oldest = self.ring.front()?.hash;
        let number = self.base;
        if let Ok(entry) = self.table.find_entry(oldest[0], |known| *known == number) {
            entry.remove();
        }
        self.ring.pop_front();
        self.base = self.base.wrapping_add(1);
        Some(oldest)
    }

    /// Grows the ring by an eighth instead of by half: doubling would cost more than the keys themselves.
    fn reserve(&mut self) {
        if self.ring.len() == self.ring.capacity() {
            let more = (self.ring.len() / 8).max(1024).min(self.most - self.ring.len());
            self.ring.reserve_exact(more);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;
    use xxhash_rust::xxh3::xxh3_128;

    use super::*;

    fn hash(key: u64) -> KeyHash {
        let hash = xxh3_128(&key.to_le_bytes());
        [hash as u64, (hash >> 64) as u64]
    }

    proptest! {
        /// Against a plain list of (key, time, state).
        #[test]
        fn the_window_is_a_list(steps in prop::collection::vec((0_u64..30, 0_u32..4, 0_u8..8), 1..200)) {
            let mut window = Window::new(10, 8);
            let mut model: VecDeque<(u64, u32, u8)> = VecDeque::new();
            let mut now = 100;
            for (key, later, state) in steps {
                now += later;
                let mut forgotten = Vec::new();
                let mut expected = Vec::new();
                match model.iter_mut().find(|known| known.0 == key) {
                    Some(known) => known.2 = state,
                    None => {
                        while model.front().is_some_and(|known| known.1 + 10 < now) || model.len() >= 8 {
                            expected.extend(model.pop_front().map(|known| hash(known.0)));
                        }
                        model.push_back((key, now, state));
                    }
                }
                window.set(hash(key), state, now, &mut forgotten);
                prop_assert_eq!(forgotten, expected);
                prop_assert_eq!(window.len(), model.len());
                for key in 0..30 {
                    let known = model.iter().find(|known| known.0 == key);
                    prop_assert_eq!(window.get(hash(key)), known.map(|known| known.2));
                    prop_assert_eq!(window.at(hash(key)), known.map(|known| known.1));
                }
            }
        }
    }

    #[test]
    fn a_million_keys_take_at_most_40_bytes_each() {
        let mut window = Window::new(3600, 1_000_000);
        for key in 0..1_100_000 {
            window.set(hash(key), state::COUNTED, 100, &mut Vec::new());
        }
        assert_eq!((window.len(), window.evicted()), (1_000_000, 100_000));
        assert_eq!(window.get(hash(99_999)), None);
        assert_eq!(window.get(hash(100_000)), Some(state::COUNTED));
        let each = window.memory() as f64 / 1e6;
        assert!(each <= 40.0, "{each} bytes a key");
    }
}
