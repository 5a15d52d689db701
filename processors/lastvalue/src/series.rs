//! The table of series: 52 bytes each, dense, found by a keyed 128-bit hash of their identity.
//! Removing moves the last entry into the gap, so that a scan touches only what lives and memory shrinks with the table.

use hashbrown::HashTable;
use steadyline_telemetry::NumberKind;

use crate::arena::{Address, Arena, Record};

/// Entries in a block; blocks avoid the doubling of a growing vector.
const BLOCK: usize = 4096;

/// What is known about a series. Packed, because a million of them is the ordinary case.
#[derive(Debug, Clone, Copy)]
#[repr(C, packed(4))]
pub(crate) struct Entry {
    /// The hash of the identity; series are told apart by it alone.
    pub hash: u128,
    /// The newest value: a number's bits, or the number of a body in [`crate::bodies::Bodies`].
    pub bits: u64,
    /// Event time of the newest value, nanoseconds since the epoch.
    pub time: u64,
    /// Where metric, labels and the rare parts lie.
    pub record: Address,
    /// When the source last confirmed the series: the epoch of a pass, or a tick for sources without passes.
    /// The tick of the end, once it has ended; the tick until which it is held, while it is [`RESTORED`].
    pub seen: u32,
    sent_low: u32,
    sent_high: u16,
    /// The source that confirmed the series last.
    pub source: u16,
    /// 23 bits: the tick of the last send; 9 bits: flags.
    state: u32,
}

/// Whether the series is in the queue for the next flush.
pub(crate) const WAITING: u32 = 1 << 2;
/// Whether a point that came in waits with it, not merely a re-publication.
pub(crate) const OWED: u32 = 1 << 3;
/// Whether what waits is "no value".
pub(crate) const STALE: u32 = 1 << 4;
/// Whether the series has ended; it is kept for a while so that a late point does not bring it back.
pub(crate) const ENDED: u32 = 1 << 5;
/// Whether its values are increments, which must never be repeated.
pub(crate) const TRANSIENT: u32 = 1 << 6;
/// Whether the series comes from storage and its source has not confirmed it since.
pub(crate) const RESTORED: u32 = 1 << 7;
/// Whether storage does not know the series as it is now.
pub(crate) const DIRTY: u32 = 1 << 8;
const NUMBER: u32 = 3;
const FLAGS: u32 = 0x1ff;
const FLAG_BITS: u32 = FLAGS.count_ones();
const TICKS: u32 = u32::MAX >> FLAG_BITS;

impl Entry {
    /// An entry that has sent nothing yet.
    pub(crate) fn new(hash: u128, source: u16) -> Entry {
        let (bits, time, record, seen, sent_low, sent_high, state) = (0, 0, 0, 0, 0, 0, 0);
        Entry { hash, bits, time, record, seen, sent_low, sent_high, source, state }
    }

    /// Whether any of the flags is set.
    #[inline]
    pub(crate) fn is(&self, flags: u32) -> bool {
        self.state & flags != 0
    }

    /// Sets flags.
    #[inline]
    pub(crate) fn set(&mut self, flags: u32) {
        self.state |= flags;
    }

    /// Clears flags.
    #[inline]
    pub(crate) fn clear(&mut self, flags: u32) {
        self.state &= !flags;
    }

    /// How to read `bits`.
    #[inline]
    pub(crate) fn number(&self) -> NumberKind {
        [NumberKind::None, NumberKind::Int, NumberKind::Double, NumberKind::Body][(self.state & NUMBER) as usize]
    }

    /// Says how to read `bits`.
    #[inline]
    pub(crate) fn set_number(&mut self, number: NumberKind) {
        self.state = self.state & !NUMBER | number as u32;
    }

    /// The newest timestamp sent, in milliseconds since the epoch; 0: nothing was sent yet.
    #[inline]
    pub(crate) fn sent_ms(&self) -> u64 {
        u64::from(self.sent_high) << 32 | u64::from(self.sent_low)
    }

    /// Notes that the series was sent with a timestamp (milliseconds, 48 bits) at a tick.
    #[inline]
    pub(crate) fn sent(&mut self, ms: u64, tick: u32) {
        self.sent_low = ms as u32;
        self.sent_high = (ms >> 32) as u16;
        self.state = (tick & TICKS) << FLAG_BITS | self.state & FLAGS;
    }

    /// How many ticks ago the series was sent, up to 2^23.
    #[inline]
    pub(crate) fn ticks_since_sent(&self, tick: u32) -> u32 {
        tick.wrapping_sub(self.state >> FLAG_BITS) & TICKS
    }
}

/// All series.
#[derive(Debug, Default)]
pub(crate) struct Store {
    blocks: Vec<Vec<Entry>>,
    index: HashTable<u32>,
    guards: HashTable<u32>,
    removals: u64,
    /// What identifies each series.
    pub arena: Arena,
}

impl Store {
    /// How many entries there are, ended ones included.
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    /// The entry of an id below [`Store::len`].
    #[inline]
    pub(crate) fn get(&self, id: u32) -> &Entry {
        &self.blocks[id as usize / BLOCK][id as usize % BLOCK]
    }

    /// The entry of an id below [`Store::len`], to be changed.
    #[inline]
    pub(crate) fn get_mut(&mut self, id: u32) -> &mut Entry {
        &mut self.blocks[id as usize / BLOCK][id as usize % BLOCK]
    }

    /// The series with this identity. Sources repeat themselves in the same order, so the caller's guess (the series
    /// after the one before) mostly saves the index, whose places are random.
    #[inline]
    pub(crate) fn find(&self, hash: u128, guess: u32) -> Option<u32> {
        let guessed = self.blocks.get(guess as usize / BLOCK).and_then(|block| block.get(guess as usize % BLOCK));
        if guessed.is_some_and(|entry| { entry.hash } == hash) {
            return Some(guess);
        }
        self.index.find(hash as u64, |&id| { self.get(id).hash } == hash).copied()
    }

    /// How many entries were removed so far: while it stays the same, ids stay.
    pub(crate) fn removals(&self) -> u64 {
        self.removals
    }

    /// The record of an entry.
    #[inline]
    pub(crate) fn record(&self, id: u32) -> Record<'_> {
        self.arena.get(self.get(id).record)
    }

    /// Adds an entry whose identity is new; its owner is set here. `None` if there is no room for the record.
    pub(crate) fn insert(&mut self, mut entry: Entry, record: &Record<'_>) -> Option<u32> {
        let id = self.len() as u32;
        entry.record = self.arena.insert(&Record { owner: id, ..*record })?;
        if self.blocks.last().is_none_or(|block| block.len() == BLOCK) {
            // The first block grows with its use, so that a small table stays small.
            self.blocks.push(if self.blocks.is_empty() { Vec::new() } else { Vec::with_capacity(BLOCK) });
        }
        if let Some(block) = self.blocks.last_mut() {
            block.push(entry);
        }
        let blocks = &self.blocks;
        self.index
            .insert_unique(entry.hash as u64, id, |&id| blocks[id as usize / BLOCK][id as usize % BLOCK].hash as u64);
        Some(id)
    }

    /// Gives an entry another record: the same identity with other rare parts. False if there is no room.
    pub(crate) fn replace_record(&mut self, id: u32, record: &Record<'_>) -> bool {
        let Some(address) = self.arena.insert(&Record { owner: id, ..*record }) else { return false };
        let old = self.get(id).record;
        self.get_mut(id).record = address;
        self.remove_record(old);
        true
    }

    /// Removes an entry. The last entry takes its id: no id may be held across this call.
    pub(crate) fn remove(&mut self, id: u32) -> Entry {
        let entry = *self.get(id);
        let last = self.len() as u32 - 1;
        self.removals += 1;
        self.forget_guard(id);
        if let Ok(found) = self.index.find_entry(entry.hash as u64, |&other| other == id) {
            found.remove();
        }
        self.remove_record(entry.record);
        if id != last {
            self.rename(last, id);
        }
        if let Some(block) = self.blocks.last_mut() {
            block.pop();
        }
        if self.blocks.last().is_some_and(Vec::is_empty) {
            self.blocks.pop();
        }
        self.shrink();
        entry
    }

    /// The series that stands for this identity of an entity, if one is guarded.
    pub(crate) fn guarded(&self, guard: u64) -> Option<u32> {
        self.guards.find(guard, |&id| self.arena.guard(self.get(id).record) == Some(guard)).copied()
    }

    /// Lets a series stand for its guarded identity.
    pub(crate) fn set_guarded(&mut self, guard: u64, id: u32) {
        let Store { blocks, guards, arena, .. } = self;
        let guard_of = |id: u32| arena.guard(blocks[id as usize / BLOCK][id as usize % BLOCK].record);
        match guards.find_mut(guard, |&other| guard_of(other) == Some(guard)) {
            Some(found) => *found = id,
            None => {
                guards.insert_unique(guard, id, |&id| guard_of(id).unwrap_or_default());
            }
        }
    }

    /// Bytes of memory held for entries and their indices, records left out.
    #[cfg(test)]
    pub(crate) fn memory(&self) -> usize {
        let entries: usize = self.blocks.iter().map(Vec::capacity).sum();
        entries * size_of::<Entry>() + self.index.allocation_size() + self.guards.allocation_size()
    }

    fn forget_guard(&mut self, id: u32) {
        let Some(guard) = self.arena.guard(self.get(id).record) else { return };
        if let Ok(found) = self.guards.find_entry(guard, |&other| other == id) {
            found.remove();
        }
    }

    fn remove_record(&mut self, address: Address) {
        let Store { blocks, arena, .. } = self;
        arena.remove(address, |owner, to| blocks[owner as usize / BLOCK][owner as usize % BLOCK].record = to);
    }

    /// Moves the entry `from` to the place `to`, whose own entry is gone from every index.
    fn rename(&mut self, from: u32, to: u32) {
        let moved = *self.get(from);
        if let Some(found) = self.index.find_mut(moved.hash as u64, |&other| other == from) {
            *found = to;
        }
        if let Some(guard) = self.arena.guard(moved.record)
            && let Some(found) = self.guards.find_mut(guard, |&other| other == from)
        {
            *found = to;
        }
        self.arena.set_owner(moved.record, to);
        *self.get_mut(to) = moved;
    }

    fn shrink(&mut self) {
        let Store { blocks, index, guards, arena, .. } = self;
        let entry = |id: u32| &blocks[id as usize / BLOCK][id as usize % BLOCK];
        if index.capacity() > 1024 && index.len() < index.capacity() / 4 {
            index.shrink_to(index.len() * 2, |&id| entry(id).hash as u64);
        }
        if guards.capacity() > 1024 && guards.len() < guards.capacity() / 4 {
            guards.shrink_to(guards.len() * 2, |&id| arena.guard(entry(id).record).unwrap_or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(labels: &[u8], guard: Option<u64>) -> Record<'_> {
        Record { owner: 0, family: 1, keys: 2, guard, start: None, labels }
    }

    #[test]
    fn an_entry_is_small_and_keeps_what_it_was_given() {
        assert_eq!(size_of::<Entry>(), 52);
        let mut entry = Entry::new(7, 3);
        entry.set_number(NumberKind::Double);
        entry.set(WAITING | OWED);
        entry.sent(1 << 47 | 5, u32::MAX - 1);
        assert_eq!((entry.number(), entry.sent_ms(), entry.is(STALE)), (NumberKind::Double, 1 << 47 | 5, false));
        assert!(entry.is(WAITING) && entry.is(OWED));
        assert_eq!(entry.ticks_since_sent(3), 5);
        entry.clear(OWED);
        assert!(!entry.is(OWED) && entry.is(WAITING));
    }

    #[test]
    fn a_table_finds_its_series_through_growth_and_removal_and_gives_memory_back() {
        let count = 100_000_u32;
        let hash = |n: u32| u128::from(n) << 64 | u128::from(n.wrapping_mul(0x9e37_79b9)) << 7;
        let guard = |n: u32| n.is_multiple_of(2).then_some(u64::from(n) << 3);
        let mut store = Store::default();
        for n in 0..count {
            let id = store.insert(Entry::new(hash(n), 0), &record(&n.to_le_bytes(), guard(n))).unwrap();
            if let Some(guard) = guard(n) {
                store.set_guarded(guard, id);
            }
        }
        let full = store.memory();
        assert!(full <= 64 * count as usize + BLOCK * size_of::<Entry>(), "{full}");
        for n in (0..count).filter(|n| n % 16 != 0) {
            let id = store.find(hash(n), n / 3).unwrap();
            store.remove(id);
        }
        for n in 0..count {
            let found = store.find(hash(n), n / 3);
            assert_eq!(found.is_some(), n % 16 == 0);
            let labels = found.map(|id| store.record(id).labels.to_vec());
            assert_eq!(labels, found.map(|_| n.to_le_bytes().to_vec()));
            assert_eq!(guard(n).and_then(|guard| store.guarded(guard)), found);
        }
        assert!(store.memory() <= full / 4, "{} of {full}", store.memory());
    }
}
