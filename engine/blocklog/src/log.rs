//! The open log: appending, acknowledging and asking what is pending.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cursor::Cursor;
use crate::disk::{Disk, DiskFile};
use crate::error::LogError;
use crate::format::{FILE_HEADER, FileHeader, FileKind, RecordHeader};
use crate::index::{Index, Place};
use crate::quarantine::{Quarantine, Quarantined};
use crate::record::{Amount, Entry, Record};
use crate::recovery::Recovery;
use crate::segments::{Active, Readers, Segment, Segments, segment_name};
use crate::sync::{SharedState, lock};

/// Bytes that one call of [`Log::append`] may write.
pub const MOST_BYTES: u64 = 1 << 30;
const SMALLEST_SEGMENT: u64 = 4 << 10;

/// How a log is kept.
#[derive(Debug, Clone)]
pub struct Options {
    /// The size of a segment, between 4 KiB and 1 GiB; one larger is made for records that do not fit.
    pub segment_bytes: u64,
    /// Whether a sync job syncs. Without, a crash of the machine may lose what was written, one of the process may not.
    pub sync: bool,
    /// How many bytes of damaged records are kept for looking at.
    pub quarantine_bytes: u64,
    /// The id that a new log gets; must not be known to whoever decides what payloads contain.
    pub id: u64,
    /// Which start of the machine this is, so that a crash of the machine is told from one of the process; 0: unknown.
    pub boot: u64,
}

impl Default for Options {
    fn default() -> Self {
        let id = RandomState::new().build_hasher().finish();
        Options { segment_bytes: 8 << 20, sync: true, quarantine_bytes: 64 << 20, id, boot: 0 }
    }
}

/// How much a log holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// What is pending.
    pub pending: Amount,
    /// Bytes of pending records with their headers.
    pub live_bytes: u64,
    /// Bytes of all segments on the disk.
    pub disk_bytes: u64,
    /// How many segments there are.
    pub segments: u64,
}

/// A log that is open. One at a time may be open in a folder; to see to that is the caller's.
pub struct Log<D: Disk> {
    pub(crate) disk: D,
    pub(crate) folder: PathBuf,
    pub(crate) options: Options,
    pub(crate) id: u64,
    pub(crate) index: Index,
    pub(crate) segments: Segments,
    pub(crate) next_segment: u32,
    pub(crate) active: Option<Active<D::File>>,
    pub(crate) readers: Readers<D::File>,
    pub(crate) cursor: Cursor<D::File>,
    pub(crate) quarantine: Quarantine,
    pub(crate) shared: SharedState<D>,
    pub(crate) pending: Amount,
    /// Segments written to since the last sync job.
    pub(crate) dirty: Vec<(u32, Arc<D::File>)>,
    /// Whether files were created since then.
    pub(crate) created: bool,
    /// Whether the manifest is out of date.
    pub(crate) unlisted: bool,
    /// After a failed sync: segments below hold records that are to be written again.
    pub(crate) suspect: Option<u32>,
    pub(crate) losses: Vec<Quarantined>,
}

impl<D: Disk> Log<D> {
    /// Opens the log in a folder, creating both if need be, and finds out what is pending. Damage is no error.
    ///
    /// # Errors
    /// The folder cannot be used, or a later version wrote it.
    pub fn open(disk: D, folder: &Path, options: Options) -> Result<(Log<D>, Recovery), LogError> {
        let segment_bytes = options.segment_bytes.clamp(SMALLEST_SEGMENT, MOST_BYTES);
        crate::recovery::open(disk, folder, Options { segment_bytes, ..options })
    }

    /// Writes records behind all others, in one piece; they are pending from then on, and durable when the next sync
    /// job has run.
    ///
    /// # Errors
    /// None of them is in the log, which goes on working; on a full disk the same may succeed after a sync job has
    /// deleted what was acknowledged.
    pub fn append(&mut self, records: &[Record]) -> Result<(), LogError> {
        self.check_order(records)?;
        let batch: Vec<(RecordHeader, &[u8])> = records
            .iter()
            .map(|record| (RecordHeader::of(record.meta, &record.payload), &record.payload[..]))
            .collect();
        let places = self.write(&batch)?;
        for ((header, payload), place) in batch.iter().zip(places) {
            let (meta, bytes) = (header.meta, payload.len() as u64);
            self.index.insert(meta.shard, meta.seq, meta.generation, place);
            self.segments.entry(place.segment).or_default().add(meta.items, bytes);
            self.pending.add(meta.items, bytes);
        }
        Ok(())
    }

    fn check_order(&self, records: &[Record]) -> Result<(), LogError> {
        let mut batch = BTreeSet::new();
        for record in records {
            let (shard, seq) = (record.meta.shard, record.meta.seq);
            let done = self.cursor.done(shard).is_some_and(|done| seq <= done);
            if done || self.index.place(shard, seq).is_some() || !batch.insert((shard, seq)) {
                return Err(LogError::Order { shard, seq });
            }
        }
        Ok(())
    }

    /// Writes records to the active segment, or to a new one if they do not fit it. On an error nothing has changed.
    pub(crate) fn write(&mut self, batch: &[(RecordHeader, &[u8])]) -> Result<Vec<Place>, LogError> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let bytes: u64 = batch.iter().map(|(_, payload)| crate::format::extent(payload.len() as u64)).sum();
        let most = MOST_BYTES - FILE_HEADER as u64;
        if bytes > most {
            return Err(LogError::TooLarge { bytes, most });
        }
        self.notice_failure();
        let (number, file, start) = self.room(bytes)?;
        let mut buffer = Vec::with_capacity(bytes as usize);
        let mut places = Vec::with_capacity(batch.len());
        for (header, payload) in batch {
            places.push(Place { segment: number, offset: start + buffer.len() as u64 });
            buffer.extend_from_slice(&header.encode(number, self.id));
            buffer.extend_from_slice(payload);
            buffer.resize(buffer.len().next_multiple_of(crate::format::ALIGN as usize), 0);
        }
        if let Err(error) = file.write_at(&buffer, start) {
            // Whatever part of it was written is cut off again.
            self.seal();
            return Err(LogError::io("write", &self.folder.join(segment_name(number)), error));
        }
        self.segments.entry(number).or_default().end = start + bytes;
        if self.dirty.iter().all(|dirty| dirty.0 != number) {
            self.dirty.push((number, file));
        }
        Ok(places)
    }

    /// The segment with room for so many bytes, and where they go.
    fn room(&mut self, bytes: u64) -> Result<(u32, Arc<D::File>, u64), LogError> {
        let fits = |log: &Self| {
            let active = log.active.as_ref()?;
            let end = log.segments.get(&active.number)?.end;
            (end + bytes <= active.capacity).then(|| (active.number, Arc::clone(&active.file), end))
        };
        match fits(self) {
            Some(room) => Ok(room),
            None => self.roll(bytes),
        }
    }

    /// Starts a new segment with room for so many bytes; if the disk is too full for a whole one, one of just that size.
    fn roll(&mut self, bytes: u64) -> Result<(u32, Arc<D::File>, u64), LogError> {
        let start = FILE_HEADER as u64;
        let least = start + bytes;
        let usual = least.max(self.options.segment_bytes);
        let ((number, file), capacity) = match self.create(usual) {
            Err(error) if error.is_full() && usual > least => (self.create(least)?, least),
            created => (created?, usual),
        };
        self.seal();
        let file = Arc::new(file);
        self.segments.insert(number, Segment { end: start, size: capacity, ..Segment::default() });
        self.active = Some(Active { number, file: Arc::clone(&file), capacity });
        (self.created, self.unlisted) = (true, true);
        Ok((number, file, start))
    }

    /// A new segment's file. A number is never used again, not even after a failure: which of two files of one name a
    /// crash leaves is not for us to say.
    fn create(&mut self, capacity: u64) -> Result<(u32, D::File), LogError> {
        let number = self.next_segment;
        self.next_segment += 1;
        let path = self.folder.join(segment_name(number));
        let header = FileHeader::new(number, self.id).encode(FileKind::Segment);
        let created = self.disk.create(&path).and_then(|file| {
            file.preallocate(capacity)?;
            file.write_at(&header, 0)?;
            Ok((number, file))
        });
        created.map_err(|error| {
            let _ = self.disk.remove(&path);
            LogError::io("create", &path, error)
        })
    }

    /// Ends the active segment and gives back what it has not used.
    pub(crate) fn seal(&mut self) {
        let Some(active) = self.active.take() else { return };
        let Some(segment) = self.segments.get_mut(&active.number) else { return };
        if active.file.set_len(segment.end).is_ok() {
            segment.size = segment.end;
        }
        self.unlisted = true;
        if self.dirty.iter().all(|dirty| dirty.0 != active.number) {
            self.dirty.push((active.number, active.file));
        }
    }

    /// Everything of a shard up to a number is done: delivered, or given up. Written to the cursor at once, durable with
    /// the next sync job, which also deletes segments that have nothing pending. Says what is no longer pending.
    ///
    /// # Errors
    /// The cursor could not be written; nothing has changed.
    pub fn acknowledge(&mut self, shard: u32, through: u64) -> Result<Amount, LogError> {
        let mut done = Amount::default();
        if self.index.entries(shard).next().is_none_or(|front| front.seq > through) {
            return Ok(done);
        }
        let path = self.folder.join(crate::cursor::CURSOR);
        self.cursor.advance(shard, through).map_err(|error| LogError::io("write", &path, error))?;
        while let Some((_, place)) = self.index.pop(shard, through) {
            done += self.settle(place);
        }
        Ok(done)
    }

    /// Takes a record that is no longer in the index out of the counts.
    pub(crate) fn settle(&mut self, place: Place) -> Amount {
        let header = self.header_at(place).ok().flatten();
        let known = header.map(|header| (header.meta.items, u64::from(header.length)));
        self.settle_known(place, known)
    }

    pub(crate) fn settle_known(&mut self, place: Place, known: Option<(u64, u64)>) -> Amount {
        let segment = self.segments.get_mut(&place.segment);
        let amount = segment.map_or_else(Amount::default, |segment| segment.take(known));
        self.pending.subtract(amount);
        if self.index.count() == 0 {
            self.pending = Amount::default();
        }
        amount
    }

    /// How many records of a shard are pending.
    pub fn pending(&self, shard: u32) -> u64 {
        self.index.len(shard)
    }

    /// The first pending records of a shard in order, at most so many.
    pub fn front(&self, shard: u32, most: usize) -> Vec<Entry> {
        self.index.entries(shard).take(most).collect()
    }

    /// The first pending record of a shard above a number.
    pub fn first_after(&self, shard: u32, seq: u64) -> Option<Entry> {
        self.index.entries(shard).find(|entry| entry.seq > seq)
    }

    /// The pending record with the lowest number of all.
    pub fn oldest(&self) -> Option<Entry> {
        self.index.fronts().min_by_key(|entry| entry.seq)
    }

    /// The lowest generation that has pending records, and its shards in order.
    pub fn generations(&self) -> Option<(u32, Vec<u32>)> {
        let lowest = self.index.fronts().map(|entry| entry.generation).min()?;
        let fronts = self.index.fronts().filter(|entry| entry.generation == lowest);
        Some((lowest, fronts.map(|entry| entry.shard).collect()))
    }

    /// How much it holds.
    pub fn stats(&self) -> Stats {
        let size: u64 = self.segments.values().map(|segment| segment.size).sum();
        Stats {
            pending: self.pending,
            live_bytes: self.segments.values().map(|segment| segment.extents).sum(),
            disk_bytes: size + lock(&self.shared).dead_bytes,
            segments: self.segments.len() as u64,
        }
    }

    /// Bytes of memory that its tables hold, by their capacities.
    pub fn footprint(&self) -> usize {
        // A B-tree node holds at least half of what it has room for.
        let segments = self.segments.len() * 2 * size_of::<(u32, Segment)>();
        self.index.footprint() + segments
    }

    /// What was found damaged, other than by [`Log::read`], since this was last asked.
    pub fn take_losses(&mut self) -> Vec<Quarantined> {
        std::mem::take(&mut self.losses)
    }

    /// The file of a segment.
    pub(crate) fn file(&mut self, number: u32) -> Result<Arc<D::File>, LogError> {
        match &self.active {
            Some(active) if active.number == number => Ok(Arc::clone(&active.file)),
            _ => self.readers.file(&self.disk, &self.folder, number),
        }
    }
}
