//! Packed labels of all series, in chunks: append-only, with the space of forgotten records won back chunk by chunk.
//! An address is a chunk's number and an offset in units of four bytes: 32 bits for 16 GiB.

/// Bytes in a chunk. Small enough that a sparse process stays small, large enough for the longest record.
const CHUNK: usize = 1 << 18;
/// Records start at multiples of this.
const UNIT: usize = 4;
const OFFSET_BITS: u32 = (CHUNK / UNIT).trailing_zeros();
/// The owner of a record that was freed.
const DEAD: u32 = u32::MAX;

/// Where the parts of a record lie, from its start.
const OWNER: usize = 0;
const FAMILY: usize = 4;
const KEYS: usize = 8;
const LEN: usize = 12;
const PARTS: usize = 14;

/// Whether a record has eight bytes for a guard's hash, and for a start time.
const HAS_GUARD: u32 = 1 << 31;
const HAS_START: u32 = 1 << 30;
const KEYS_MASK: u32 = HAS_START - 1;

/// The longest run of packed label values that a record can hold.
pub(crate) const MAX_LABELS: usize = u16::MAX as usize;

/// Where a record lies.
pub(crate) type Address = u32;

/// What identifies a series, and what of it is rare enough to be kept apart from its entry.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Record<'a> {
    /// The id of the entry that the record belongs to.
    pub owner: u32,
    /// The metric, its scope and its resource.
    pub family: u32,
    /// The label names.
    pub keys: u32,
    /// The hash under which the guard for forked series finds it, if it is guarded.
    pub guard: Option<u64>,
    /// The start time, for series that have one.
    pub start: Option<u64>,
    /// The label values, packed (see [`crate::pack`]).
    pub labels: &'a [u8],
}

#[derive(Debug, Default)]
struct Chunk {
    bytes: Vec<u8>,
    /// Bytes of freed records.
    dead: usize,
}

/// The records of all series.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    chunks: Vec<Chunk>,
    /// Numbers of chunks without memory.
    vacant: Vec<u32>,
    /// The chunk that records are appended to.
    open: usize,
    live: usize,
}

impl Arena {
    /// Bytes of records in use.
    pub(crate) fn live(&self) -> usize {
        self.live
    }

    /// Bytes of memory held.
    #[cfg(test)]
    pub(crate) fn memory(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.bytes.capacity()).sum()
    }

    /// Stores a record; `None` if its labels are longer than [`MAX_LABELS`] or all addresses are taken.
    pub(crate) fn insert(&mut self, record: &Record<'_>) -> Option<Address> {
        let len = u16::try_from(record.labels.len()).ok()?;
        let size = size(record.guard.is_some(), record.start.is_some(), record.labels.len());
        let chunk = self.chunk_for(size, 1)?;
        let bytes = &mut self.chunks[chunk].bytes;
        let at = bytes.len();
        let guard = record.guard.map_or(0, |_| HAS_GUARD);
        let start = record.start.map_or(0, |_| HAS_START);
        bytes.extend_from_slice(&record.owner.to_le_bytes());
        bytes.extend_from_slice(&record.family.to_le_bytes());
        bytes.extend_from_slice(&(record.keys & KEYS_MASK | guard | start).to_le_bytes());
        bytes.extend_from_slice(&len.to_le_bytes());
        for part in [record.guard, record.start].into_iter().flatten() {
            bytes.extend_from_slice(&part.to_le_bytes());
        }
        bytes.extend_from_slice(record.labels);
        bytes.resize(at + size, 0);
        self.live += size;
        Some((chunk as u32) << OFFSET_BITS | (at / UNIT) as u32)
    }

    /// Reads a record.
    #[inline]
    pub(crate) fn get(&self, address: Address) -> Record<'_> {
        let bytes = &self.chunks[chunk_of(address)].bytes[offset_of(address)..];
        let keys = word(bytes, KEYS);
        let mut at = PARTS;
        let mut part = |flag| {
            (keys & flag != 0).then(|| {
                at += 8;
                long(bytes, at - 8)
            })
        };
        let (guard, start) = (part(HAS_GUARD), part(HAS_START));
        let labels = &bytes[at..at + usize::from(u16::from_le_bytes([bytes[LEN], bytes[LEN + 1]]))];
        Record { owner: word(bytes, OWNER), family: word(bytes, FAMILY), keys: keys & KEYS_MASK, guard, start, labels }
    }

    /// The record's family alone.
    #[inline]
    pub(crate) fn family(&self, address: Address) -> u32 {
        word(&self.chunks[chunk_of(address)].bytes, offset_of(address) + FAMILY)
    }

    /// The record's guard alone.
    pub(crate) fn guard(&self, address: Address) -> Option<u64> {
        let (bytes, at) = (&self.chunks[chunk_of(address)].bytes, offset_of(address));
        (word(bytes, at + KEYS) & HAS_GUARD != 0).then(|| long(bytes, at + PARTS))
    }

    /// Says that the record belongs to another entry.
    pub(crate) fn set_owner(&mut self, address: Address, owner: u32) {
        self.put(offset_of(address) + OWNER, address, &owner.to_le_bytes());
    }

    /// Says that the record belongs to another family.
    pub(crate) fn set_family(&mut self, address: Address, family: u32) {
        self.put(offset_of(address) + FAMILY, address, &family.to_le_bytes());
    }

    /// Sets the start time in place; false if the record has no room for one.
    pub(crate) fn set_start(&mut self, address: Address, start: u64) -> bool {
        let record = self.get(address);
        let has = record.start.is_some();
        let at = PARTS + if record.guard.is_some() { 8 } else { 0 };
        if has {
            self.put(offset_of(address) + at, address, &start.to_le_bytes());
        }
        has
    }

    /// Forgets a record. A chunk that is mostly dead moves its living records away, each told to `moved` as
    /// (owner, new address), and its memory is given back.
    pub(crate) fn remove(&mut self, address: Address, moved: impl FnMut(u32, Address)) {
        let size = self.size_at(chunk_of(address), offset_of(address));
        self.put(offset_of(address) + OWNER, address, &DEAD.to_le_bytes());
        self.live -= size;
        let number = chunk_of(address);
        let chunk = &mut self.chunks[number];
        chunk.dead += size;
        let (all_dead, mostly_dead) = (chunk.dead == chunk.bytes.len(), chunk.dead > CHUNK / 2);
        if all_dead || number != self.open && mostly_dead {
            self.evacuate(number, moved);
        }
    }

    fn evacuate(&mut self, number: usize, mut moved: impl FnMut(u32, Address)) {
        let old = std::mem::take(&mut self.chunks[number]);
        if number == self.open {
            // All of it is dead, or it would not be evacuated: the chunk stays open, without memory.
            return;
        }
        let mut at = 0;
        while at < old.bytes.len() {
            let size = record_size(&old.bytes[at..]);
            let owner = word(&old.bytes, at + OWNER);
            if owner != DEAD {
                let room = self.chunk_for(size, 0);
                let chunk =
                    room.expect("inserting leaves one chunk number free, and what is moved fits into one chunk");
                let to = self.chunks[chunk].bytes.len();
                self.chunks[chunk].bytes.extend_from_slice(&old.bytes[at..at + size]);
                moved(owner, (chunk as u32) << OFFSET_BITS | (to / UNIT) as u32);
            }
            at += size;
        }
        self.vacant.push(number as u32);
    }

    /// A chunk with room for `size` bytes that leaves `spare` chunk numbers unused.
    fn chunk_for(&mut self, size: usize, spare: usize) -> Option<usize> {
        if let Some(chunk) = self.chunks.get_mut(self.open) {
            if chunk.bytes.capacity() == 0 {
                chunk.bytes.reserve_exact(CHUNK);
            }
            if chunk.bytes.len() + size <= CHUNK {
                return Some(self.open);
            }
        }
        self.open = match self.vacant.pop() {
            Some(number) => number as usize,
            None if self.chunks.len() + spare >= 1 << (32 - OFFSET_BITS) => return None,
            None => {
                self.chunks.push(Chunk::default());
                self.chunks.len() - 1
            }
        };
        self.chunks[self.open].bytes.reserve_exact(CHUNK);
        Some(self.open)
    }

    fn size_at(&self, chunk: usize, at: usize) -> usize {
        record_size(&self.chunks[chunk].bytes[at..])
    }

    fn put(&mut self, at: usize, address: Address, bytes: &[u8]) {
        self.chunks[chunk_of(address)].bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }
}

fn record_size(bytes: &[u8]) -> usize {
    let keys = word(bytes, KEYS);
    let len = usize::from(u16::from_le_bytes([bytes[LEN], bytes[LEN + 1]]));
    size(keys & HAS_GUARD != 0, keys & HAS_START != 0, len)
}

fn size(guard: bool, start: bool, labels: usize) -> usize {
    (PARTS + 8 * usize::from(guard) + 8 * usize::from(start) + labels).next_multiple_of(UNIT)
}

fn chunk_of(address: Address) -> usize {
    (address >> OFFSET_BITS) as usize
}

fn offset_of(address: Address) -> usize {
    (address & ((1 << OFFSET_BITS) - 1)) as usize * UNIT
}

#[inline]
fn word(bytes: &[u8], at: usize) -> u32 {
    bytes[at..].first_chunk().map_or(0, |chunk| u32::from_le_bytes(*chunk))
}

#[inline]
fn long(bytes: &[u8], at: usize) -> u64 {
    bytes[at..].first_chunk().map_or(0, |chunk| u64::from_le_bytes(*chunk))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(owner: u32, labels: &[u8]) -> Record<'_> {
        Record { owner, family: owner + 1, keys: 7, guard: None, start: None, labels }
    }

    #[test]
    fn records_read_back_with_and_without_their_rare_parts() {
        let mut arena = Arena::default();
        for (guard, start) in [(None, None), (Some(3), None), (None, Some(4)), (Some(5), Some(6))] {
            let full = Record { guard, start, ..record(9, b"abcde") };
            let at = arena.insert(&full).unwrap();
            assert_eq!(arena.get(at), full);
            assert_eq!((arena.family(at), arena.guard(at)), (10, guard));
            assert_eq!(arena.set_start(at, 8), start.is_some());
            assert_eq!(arena.get(at).start, start.map(|_| 8));
            arena.set_family(at, 77);
            arena.set_owner(at, 78);
            assert_eq!((arena.get(at).family, arena.get(at).owner, arena.get(at).labels), (77, 78, &b"abcde"[..]));
        }
        assert_eq!(arena.insert(&record(1, &vec![0; MAX_LABELS + 1])), None);
    }

    #[test]
    fn forgetting_gives_memory_back_and_moves_what_lives() {
        let mut arena = Arena::default();
        let count = 50_000_u32;
        let labels = |n: u32| format!("{n:036}").into_bytes();
        let mut at: Vec<Address> = (0..count).map(|n| arena.insert(&record(n, &labels(n))).unwrap()).collect();
        let full = arena.memory();
        for n in (0..count).filter(|n| n % 10 != 3) {
            let mut moved = Vec::new();
            arena.remove(at[n as usize], |owner, to| moved.push((owner, to)));
            moved.into_iter().for_each(|(owner, to)| at[owner as usize] = to);
        }
        for n in (0..count).filter(|n| n % 10 == 3) {
            assert_eq!(arena.get(at[n as usize]), record(n, &labels(n)));
        }
        assert_eq!(arena.live(), count as usize / 10 * 52);
        assert!(arena.memory() <= full / 4, "{} of {full} bytes are still held", arena.memory());
    }
}
