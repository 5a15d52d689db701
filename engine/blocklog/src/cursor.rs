//! How far each shard is done, and how far the log is synced: slots in pairs, written in turns, each with a checksum,
//! so that a torn write leaves the value before it.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::disk::DiskFile;
use crate::format::{FILE_HEADER, FileHeader, FileKind, u32_at, u64_at};
use crate::index::Place;
use crate::segments::HIGHEST;

/// The file's name.
pub(crate) const CURSOR: &str = "cursor";
const SLOT: usize = 32;
const PAIR: usize = 2 * SLOT;
/// The file has at least this size, so that acknowledging on a full disk needs no room.
const SIZE: usize = 4096;
/// More shards than this are not read: nobody has that many.
const MOST_PAIRS: usize = 1 << 16;
/// More bytes than this are not read.
pub(crate) const MOST_BYTES: usize = FILE_HEADER + MOST_PAIRS * PAIR;
const CLEAN: u32 = 1;

/// One value in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Slot {
    counter: u32,
    /// The shard; of the log's own slot the flags.
    tag: u32,
    value: u64,
    /// Of the log's own slot: which start of the machine this is.
    boot: u64,
}

impl Slot {
    fn encode(self, at: usize, id: u64) -> [u8; SLOT] {
        let mut bytes = [0; SLOT];
        bytes[..4].copy_from_slice(&self.counter.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.tag.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.value.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.boot.to_le_bytes());
        let sum = xxh3_64_with_seed(&bytes[..24], id ^ at as u64);
        bytes[24..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8], at: usize, id: u64) -> Option<Slot> {
        let bytes = bytes.get(at..at + SLOT)?;
        let whole = u64_at(bytes, 24) == xxh3_64_with_seed(&bytes[..24], id ^ at as u64);
        let (counter, tag) = (u32_at(bytes, 0), u32_at(bytes, 4));
        whole.then(|| Slot { counter, tag, value: u64_at(bytes, 8), boot: u64_at(bytes, 16) })
    }
}

/// Where the slot with this counter stands.
fn offset(pair: u32, counter: u32) -> usize {
    FILE_HEADER + pair as usize * PAIR + (counter % 2) as usize * SLOT
}

/// What a cursor file says.
#[derive(Debug, Default)]
pub(crate) struct CursorState {
    marks: BTreeMap<u32, Mark>,
    /// Everything before it was synced.
    pub synced: Option<Place>,
    /// The log was closed in order.
    pub clean: bool,
    /// Which start of the machine wrote it; 0: unknown.
    pub boot: u64,
    /// Pairs that have no readable slot though both were written.
    pub damaged: u32,
    pub header_is_whole: bool,
    /// Of the log's own slot.
    pub counter: u32,
    /// The first pair that nobody has used.
    free: u32,
}

#[derive(Debug, Clone, Copy)]
struct Mark {
    seq: u64,
    pair: u32,
    counter: u32,
}

impl CursorState {
    /// Reads what a file has, whatever it has.
    pub(crate) fn decode(bytes: &[u8], id: u64) -> CursorState {
        let header_is_whole = FileHeader::decode(bytes, FileKind::Cursor).is_some();
        let mut state = CursorState { header_is_whole, free: 1, ..CursorState::default() };
        let pairs = (bytes.len().saturating_sub(FILE_HEADER) / PAIR).min(MOST_PAIRS);
        for pair in 0..pairs as u32 {
            let slot = |turn| Slot::decode(bytes, offset(pair, turn), id);
            let newest = match (slot(0), slot(1)) {
                (Some(a), Some(b)) if (b.counter.wrapping_sub(a.counter) as i32) < 0 => a,
                (_, Some(slot)) | (Some(slot), None) => slot,
                (None, None) => {
                    // One alone may be the first of its pair, torn in a crash.
                    let written = |turn| bytes[offset(pair, turn)..][..SLOT].iter().any(|&byte| byte != 0);
                    state.damaged += u32::from(written(0) && written(1));
                    continue;
                }
            };
            state.take(pair, newest);
        }
        state
    }

    fn take(&mut self, pair: u32, slot: Slot) {
        self.free = pair + 1;
        if pair == 0 {
            self.synced = Some(unpack(slot.value)).filter(|synced| synced.segment <= HIGHEST);
            self.clean = slot.tag & CLEAN != 0;
            self.boot = slot.boot;
            self.counter = slot.counter;
            return;
        }
        let mark = Mark { seq: slot.value, pair, counter: slot.counter };
        if self.marks.get(&slot.tag).is_none_or(|known| known.seq < mark.seq) {
            self.marks.insert(slot.tag, mark);
        }
    }

    /// Whether a file that is there says everything that was written to it.
    pub(crate) fn is_whole(&self, exists: bool) -> bool {
        exists && self.header_is_whole && self.damaged == 0 && self.synced.is_some()
    }

    /// Whether a record is done with.
    pub(crate) fn covers(&self, shard: u32, seq: u64) -> bool {
        self.marks.get(&shard).is_some_and(|mark| seq <= mark.seq)
    }

    /// The highest number that is done.
    pub(crate) fn highest(&self) -> u64 {
        self.marks.values().map(|mark| mark.seq).max().unwrap_or(0)
    }

    /// The same in a file of its own, whole and of no clean end.
    pub(crate) fn anew(&self, id: u64, synced: Place) -> (CursorState, Vec<u8>) {
        let mut bytes = vec![0; SIZE.max(FILE_HEADER + (self.marks.len() + 1) * PAIR)];
        bytes[..FILE_HEADER].copy_from_slice(&FileHeader::new(0, id).encode(FileKind::Cursor));
        let own = Slot { counter: 0, tag: 0, value: pack(synced), boot: 0 };
        let shards = self.marks.iter().map(|(&tag, mark)| Slot { counter: 0, tag, value: mark.seq, boot: 0 });
        for (pair, slot) in (0..).zip(std::iter::once(own).chain(shards)) {
            let at = offset(pair, 0);
            bytes[at..at + SLOT].copy_from_slice(&slot.encode(at, id));
        }
        (CursorState::decode(&bytes, id), bytes)
    }
}

fn pack(place: Place) -> u64 {
    u64::from(place.segment) << 32 | place.offset
}

fn unpack(value: u64) -> Place {
    Place { segment: (value >> 32) as u32, offset: value & u64::from(u32::MAX) }
}

/// The cursor file of an open log, by shard.
#[derive(Debug)]
pub(crate) struct Cursor<F> {
    pub file: Arc<F>,
    id: u64,
    marks: BTreeMap<u32, Mark>,
    free: u32,
    /// Whether something was written that no sync has seen.
    pub dirty: bool,
}

impl<F: DiskFile> Cursor<F> {
    /// The file that says so.
    pub(crate) fn new(file: Arc<F>, id: u64, state: &CursorState) -> Cursor<F> {
        Cursor { file, id, marks: state.marks.clone(), free: state.free, dirty: false }
    }

    /// Up to where a shard is done.
    pub(crate) fn done(&self, shard: u32) -> Option<u64> {
        self.marks.get(&shard).map(|mark| mark.seq)
    }

    /// Says up to where a shard is done. If that cannot be written nothing has changed.
    pub(crate) fn advance(&mut self, shard: u32, seq: u64) -> io::Result<()> {
        match self.marks.get(&shard) {
            Some(mark) if mark.seq >= seq => Ok(()),
            Some(mark) => self.put(shard, Mark { seq, counter: mark.counter.wrapping_add(1), ..*mark }),
            None => {
                // Whatever a torn write has left in the pair goes.
                self.file.write_at(&[0; PAIR], offset(self.free, 0) as u64)?;
                self.put(shard, Mark { seq, pair: self.free, counter: 0 })?;
                self.free += 1;
                Ok(())
            }
        }
    }

    fn put(&mut self, shard: u32, mark: Mark) -> io::Result<()> {
        let at = offset(mark.pair, mark.counter);
        let slot = Slot { counter: mark.counter, tag: shard, value: mark.seq, boot: 0 };
        self.file.write_at(&slot.encode(at, self.id), at as u64)?;
        self.marks.insert(shard, mark);
        self.dirty = true;
        Ok(())
    }

    /// Writes every shard's value once more: after a failed sync nobody knows which of them the disk has.
    pub(crate) fn write_again(&mut self) -> io::Result<()> {
        let marks: Vec<(u32, Mark)> = self.marks.iter().map(|(&shard, &mark)| (shard, mark)).collect();
        for (shard, mark) in marks {
            self.put(shard, Mark { counter: mark.counter.wrapping_add(1), ..mark })?;
        }
        Ok(())
    }
}

/// The log's own slot: how far it is synced, and whether it was closed.
#[derive(Debug)]
pub(crate) struct StateSlot<F> {
    file: Arc<F>,
    id: u64,
    boot: u64,
    counter: u32,
    pub synced: Place,
}

impl<F: DiskFile> StateSlot<F> {
    pub(crate) fn new(file: Arc<F>, (id, boot): (u64, u64), counter: u32, synced: Place) -> StateSlot<F> {
        StateSlot { file, id, boot, counter, synced }
    }

    pub(crate) fn write(&mut self, clean: bool) -> io::Result<()> {
        // A write that fails is repeated in its own slot, so that the other one stays whole.
        let counter = self.counter.wrapping_add(1);
        let at = offset(0, counter);
        let tag = if clean { CLEAN } else { 0 };
        let slot = Slot { counter, tag, value: pack(self.synced), boot: self.boot };
        self.file.write_at(&slot.encode(at, self.id), at as u64)?;
        self.counter = counter;
        Ok(())
    }
}
