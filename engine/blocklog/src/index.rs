//! Where the pending records lie: by shard, in the order of their numbers, at most 16 bytes each.
//! Chunks of one generation hold entries of 12 bytes; only the chunks at both ends of a shard are not full.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use crate::format::ALIGN;
use crate::record::Entry;

/// Entries of a full chunk.
const CHUNK: usize = 32;

/// Where a record starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub segment: u32,
    pub offset: u64,
}

/// The pending records of all shards.
#[derive(Debug, Default)]
pub(crate) struct Index {
    shards: BTreeMap<u32, VecDeque<Chunk>>,
    count: u64,
}

#[derive(Debug)]
struct Chunk {
    base: u64,
    generation: u32,
    /// How many of the first entries are gone.
    start: u32,
    entries: Vec<Packed>,
}

/// Offsets in units of [`ALIGN`], numbers relative to the chunk's base.
#[derive(Debug, Clone, Copy)]
struct Packed {
    delta: u32,
    segment: u32,
    unit: u32,
}

impl Packed {
    fn new(delta: u32, place: Place) -> Packed {
        // Segments are shorter than 2^32 units: see `Options::segment_bytes`.
        Packed { delta, segment: place.segment, unit: (place.offset / ALIGN) as u32 }
    }

    fn place(self) -> Place {
        Place { segment: self.segment, offset: u64::from(self.unit) * ALIGN }
    }
}

impl Chunk {
    fn new(seq: u64, generation: u32, place: Place) -> Chunk {
        Chunk { base: seq, generation, start: 0, entries: vec![Packed::new(0, place)] }
    }

    fn live(&self) -> &[Packed] {
        &self.entries[self.start as usize..]
    }

    fn seq(&self, entry: Packed) -> u64 {
        self.base + u64::from(entry.delta)
    }

    /// Chunks of an index are never empty.
    fn first(&self) -> u64 {
        self.seq(self.live()[0])
    }

    fn find(&self, seq: u64) -> Result<usize, usize> {
        let found = self.live().binary_search_by_key(&seq, |&entry| self.seq(entry));
        found.map(|at| at + self.start as usize).map_err(|at| at + self.start as usize)
    }

    /// The number as this chunk would hold it, if the chunk can take it.
    fn admits(&self, seq: u64, generation: u32) -> Option<u32> {
        let fits = self.generation == generation && self.entries.len() < CHUNK;
        u32::try_from(seq.checked_sub(self.base)?).ok().filter(|_| fits)
    }

    /// Cuts what is at and behind a position off into a chunk of its own.
    fn split_off(&mut self, at: usize) -> Chunk {
        let base = self.seq(self.entries[at]);
        let shift = (base - self.base) as u32;
        let moved = self.entries[at..].iter().map(|&entry| Packed { delta: entry.delta - shift, ..entry });
        let entries = moved.collect();
        self.entries.truncate(at);
        Chunk { base, generation: self.generation, start: 0, entries }
    }
}

impl Index {
    /// Adds a record; if its number is there already the new place holds and the old one is returned.
    pub(crate) fn insert(&mut self, shard: u32, seq: u64, generation: u32, place: Place) -> Option<Place> {
        let chunks = self.shards.entry(shard).or_default();
        let next = chunks.partition_point(|chunk| chunk.first() <= seq);
        let Some(chunk) = next.checked_sub(1).map(|before| &mut chunks[before]) else {
            chunks.insert(0, Chunk::new(seq, generation, place));
            self.count += 1;
            return None;
        };
        let at = match chunk.find(seq) {
            Ok(at) => {
                let delta = chunk.entries[at].delta;
                return Some(std::mem::replace(&mut chunk.entries[at], Packed::new(delta, place)).place());
            }
            Err(at) => at,
        };
        self.count += 1;
        match chunk.admits(seq, generation) {
            Some(delta) => chunk.entries.insert(at, Packed::new(delta, place)),
            None if at == chunk.entries.len() => chunks.insert(next, Chunk::new(seq, generation, place)),
            None => {
                let behind = chunk.split_off(at);
                match chunk.admits(seq, generation) {
                    Some(delta) => chunk.entries.push(Packed::new(delta, place)),
                    None => chunks.insert(next, Chunk::new(seq, generation, place)),
                }
                let after = chunks.partition_point(|chunk| chunk.first() <= seq);
                chunks.insert(after, behind);
            }
        }
        None
    }

    /// Where a pending record lies.
    pub(crate) fn place(&self, shard: u32, seq: u64) -> Option<Place> {
        let chunk = self.chunk(shard, seq)?;
        Some(chunk.entries[chunk.find(seq).ok()?].place())
    }

    fn chunk(&self, shard: u32, seq: u64) -> Option<&Chunk> {
        let chunks = self.shards.get(&shard)?;
        chunks.get(chunks.partition_point(|chunk| chunk.first() <= seq).checked_sub(1)?)
    }

    /// Takes one record out, wherever it stands.
    pub(crate) fn remove(&mut self, shard: u32, seq: u64) -> Option<Place> {
        let chunks = self.shards.get_mut(&shard)?;
        let number = chunks.partition_point(|chunk| chunk.first() <= seq).checked_sub(1)?;
        let chunk = &mut chunks[number];
        let place = {
            let at = chunk.find(seq).ok()?;
            chunk.entries.remove(at).place()
        };
        if chunk.live().is_empty() {
            chunks.remove(number);
        }
        self.count -= 1;
        self.shrink(shard);
        Some(place)
    }

    /// Takes the first record of a shard out if its number is not above `through`.
    pub(crate) fn pop(&mut self, shard: u32, through: u64) -> Option<(u64, Place)> {
        let chunks = self.shards.get_mut(&shard)?;
        let chunk = chunks.front_mut()?;
        let first = chunk.live()[0];
        let seq = chunk.seq(first);
        if seq > through {
            return None;
        }
        chunk.start += 1;
        if chunk.live().is_empty() {
            chunks.pop_front();
            self.shrink(shard);
        }
        self.count -= 1;
        Some((seq, first.place()))
    }

    /// Gives back what a long backlog needed.
    fn shrink(&mut self, shard: u32) {
        if let Some(chunks) = self.shards.get_mut(&shard) {
            if chunks.is_empty() {
                self.shards.remove(&shard);
            } else if chunks.capacity() > 16 && chunks.len() < chunks.capacity() / 4 {
                chunks.shrink_to(chunks.len() * 2);
            }
        }
    }

    /// The pending records of a shard in order.
    pub(crate) fn entries(&self, shard: u32) -> impl Iterator<Item = Entry> + '_ {
        let chunks = self.shards.get(&shard).into_iter().flatten();
        chunks.flat_map(move |chunk| {
            let entry = move |&packed| Entry { seq: chunk.seq(packed), shard, generation: chunk.generation };
            chunk.live().iter().map(entry)
        })
    }

    /// The records that start in a range of a segment. Reads the whole index: for when something is damaged.
    pub(crate) fn within(&self, segment: u32, range: &Range<u64>) -> Vec<(u32, u64, Place)> {
        let mut found = Vec::new();
        for (&shard, chunks) in &self.shards {
            for chunk in chunks {
                let here = chunk.live().iter().map(|&packed| (shard, chunk.seq(packed), packed.place()));
                found.extend(here.filter(|(.., place)| place.segment == segment && range.contains(&place.offset)));
            }
        }
        found
    }

    /// How many records of a shard are pending.
    pub(crate) fn len(&self, shard: u32) -> u64 {
        let chunks = self.shards.get(&shard).into_iter().flatten();
        chunks.map(|chunk| chunk.live().len() as u64).sum()
    }

    /// How many records are pending.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The first pending record of each shard that has one.
    pub(crate) fn fronts(&self) -> impl Iterator<Item = Entry> + '_ {
        self.shards.keys().filter_map(|&shard| self.entries(shard).next())
    }

    /// Bytes of memory held, by the capacities.
    pub(crate) fn footprint(&self) -> usize {
        let chunk = |chunk: &Chunk| chunk.entries.capacity() * size_of::<Packed>();
        let shard =
            |chunks: &VecDeque<Chunk>| chunks.capacity() * size_of::<Chunk>() + chunks.iter().map(chunk).sum::<usize>();
        let node = size_of::<(u32, VecDeque<Chunk>)>() * 2;
        self.shards.values().map(|chunks| node + shard(chunks)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn place(number: u32) -> Place {
        Place { segment: number, offset: u64::from(number % 100) * ALIGN }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Insert(u32, u64, u32),
        Remove(u32, u64),
        Pop(u32, u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let seq = prop_oneof![0..300_u64, (1_u64 << 40)..(1 << 40) + 50];
        prop_oneof![
            4 => (0..3_u32, seq.clone(), 0..3_u32).prop_map(|(shard, seq, g)| Step::Insert(shard, seq, g)),
            1 => (0..3_u32, seq.clone()).prop_map(|(shard, seq)| Step::Remove(shard, seq)),
            1 => (0..3_u32, seq).prop_map(|(shard, seq)| Step::Pop(shard, seq)),
        ]
    }

    proptest! {
        #[test]
        fn it_is_a_sorted_map(steps in prop::collection::vec(step(), 0..400)) {
            let mut index = Index::default();
            let mut model: BTreeMap<(u32, u64), (u32, Place)> = BTreeMap::new();
            for (number, step) in steps.into_iter().enumerate() {
                let place = place(number as u32);
                match step {
                    Step::Insert(shard, seq, generation) => {
                        // A number that is there keeps its generation, as no record ever changes it.
                        let generation = model.get(&(shard, seq)).map_or(generation, |known| known.0);
                        let old = model.insert((shard, seq), (generation, place)).map(|known| known.1);
                        prop_assert_eq!(index.insert(shard, seq, generation, place), old);
                    }
                    Step::Remove(shard, seq) => {
                        let old = model.remove(&(shard, seq)).map(|known| known.1);
                        prop_assert_eq!(index.remove(shard, seq), old);
                    }
                    Step::Pop(shard, through) => {
                        let first = model.range((shard, 0)..=(shard, through)).next().map(|(key, known)| (key.1, known.1));
                        if let Some((seq, _)) = first {
                            model.remove(&(shard, seq));
                        }
                        prop_assert_eq!(index.pop(shard, through), first);
                    }
                }
                prop_assert_eq!(index.count(), model.len() as u64);
            }
            for shard in 0..3 {
                let entries: Vec<Entry> = index.entries(shard).collect();
                let expected: Vec<Entry> = model.iter().filter(|(key, _)| key.0 == shard)
                    .map(|(key, known)| Entry { seq: key.1, shard, generation: known.0 }).collect();
                prop_assert_eq!(index.len(shard), expected.len() as u64);
                prop_assert_eq!(&entries, &expected);
                for entry in entries {
                    prop_assert_eq!(index.place(shard, entry.seq), Some(model[&(shard, entry.seq)].1));
                }
            }
        }
    }

    #[test]
    fn memory_is_bounded_by_what_is_pending() {
        let bound = |records: usize| 64 * 1024 + 16 * records;
        for shards in [1, 8, 50] {
            let mut index = Index::default();
            for seq in 0..200_000_u64 {
                index.insert(seq as u32 % shards, seq, 0, place(seq as u32));
                if seq % 1000 == 0 {
                    assert!(index.footprint() <= bound(seq as usize + 1), "{shards} shards, {seq}");
                }
            }
            for shard in 0..shards {
                while index.pop(shard, u64::MAX).is_some() {
                    assert!(index.count() % 1000 != 0 || index.footprint() <= bound(index.count() as usize));
                }
            }
            assert_eq!(index.footprint(), 0);
        }
    }

    /// At shutdown older records come behind newer ones.
    #[test]
    fn memory_is_bounded_when_older_records_come_late() {
        let mut index = Index::default();
        for seq in (50_000..100_000).chain(0..50_000) {
            index.insert(seq as u32 % 8, seq, 0, place(seq as u32));
        }
        assert!(index.footprint() <= 64 * 1024 + 16 * 100_000, "{}", index.footprint());
    }
}
