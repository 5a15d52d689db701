//! Reading records back, and what happens when their bytes are not what was written.

use std::ops::Range;

use bytes::Bytes;

use crate::disk::{Disk, DiskFile};
use crate::error::{LogError, ReadError};
use crate::format::{RECORD_HEADER, RecordHeader, payload_sum};
use crate::index::Place;
use crate::log::Log;
use crate::quarantine::{Quarantined, tell};
use crate::record::{Amount, Entry, Meta, Record};
use crate::segments::segment_name;
use crate::walk::{Found, Walk};

/// What is damaged about a record.
pub(crate) const HEADER: &str = "a record's header is damaged";
pub(crate) const PAYLOAD: &str = "a record's payload is damaged";
const UNREADABLE: &str = "a record was given up, unread";

/// Where a record is damaged, and how.
struct Wound {
    place: Place,
    /// The record's, if only its payload is damaged.
    header: Option<RecordHeader>,
    why: &'static str,
}

impl<D: Disk> Log<D> {
    /// Reads a pending record and verifies it.
    ///
    /// # Errors
    /// It is damaged (and then no longer pending), not pending, or the file cannot be read now.
    pub fn read(&mut self, entry: &Entry) -> Result<Record, ReadError> {
        match self.read_whole(entry)? {
            Ok(record) => Ok(record),
            // After a failed sync the record may still stand where it was moved from.
            Err(wound) if self.moved_back(entry, wound.place) => self.read(entry),
            Err(wound) => Err(ReadError::Damaged(self.lose(entry, wound.place, wound.header, wound.why))),
        }
    }

    fn moved_back(&mut self, entry: &Entry, from: Place) -> bool {
        self.notice_failure();
        self.index.place(entry.shard, entry.seq).is_some_and(|place| place != from)
    }

    fn read_whole(&mut self, entry: &Entry) -> Result<Result<Record, Wound>, ReadError> {
        let place = self.index.place(entry.shard, entry.seq).ok_or(ReadError::Gone(entry.seq))?;
        let Some(header) = self.header_of(entry, place)? else {
            return Ok(Err(Wound { place, header: None, why: HEADER }));
        };
        let file = self.file(place.segment)?;
        let mut payload = vec![0; header.length as usize];
        let read = file
            .read_at(&mut payload, place.offset + RECORD_HEADER as u64)
            .map_err(|error| LogError::io("read", &self.folder.join(segment_name(place.segment)), error))?;
        if read < payload.len() || payload_sum(&payload) != header.sum {
            return Ok(Err(Wound { place, header: Some(header), why: PAYLOAD }));
        }
        Ok(Ok(Record { meta: header.meta, payload: Bytes::from(payload) }))
    }

    /// Reads what is known about a pending record, without its payload.
    ///
    /// # Errors
    /// As [`Log::read`].
    pub fn peek(&mut self, entry: &Entry) -> Result<Meta, ReadError> {
        let place = self.index.place(entry.shard, entry.seq).ok_or(ReadError::Gone(entry.seq))?;
        match self.header_of(entry, place)? {
            Some(header) => Ok(header.meta),
            None if self.moved_back(entry, place) => self.peek(entry),
            None => Err(ReadError::Damaged(self.lose(entry, place, None, HEADER))),
        }
    }

    /// Gives up a record that cannot be read; says what is lost. `None` if it is not pending.
    pub fn discard(&mut self, entry: &Entry) -> Option<Quarantined> {
        let place = self.index.place(entry.shard, entry.seq)?;
        let header = self.header_of(entry, place).ok().flatten();
        Some(self.lose(entry, place, header, UNREADABLE))
    }

    /// Takes a record out that makes room for others; says what is lost. `None` if it is not pending.
    pub fn remove(&mut self, entry: &Entry) -> Option<Amount> {
        let place = self.index.remove(entry.shard, entry.seq)?;
        let header = self.header_at(place).ok().flatten();
        if let (Some(header), Ok(file)) = (header, self.file(place.segment)) {
            write_hole(&*file, place.segment, self.id, &(place.offset..place.offset + header.extent()));
        }
        let known = header.map(|header| (header.meta.items, u64::from(header.length)));
        Some(self.settle_known(place, known))
    }

    /// The header of a record; `None` if it is damaged, or of another.
    fn header_of(&mut self, entry: &Entry, place: Place) -> Result<Option<RecordHeader>, LogError> {
        let header = self.header_at(place)?;
        Ok(header.filter(|header| !header.hole && (header.meta.shard, header.meta.seq) == (entry.shard, entry.seq)))
    }

    /// The header at a place; `None` if it is damaged.
    pub(crate) fn header_at(&mut self, place: Place) -> Result<Option<RecordHeader>, LogError> {
        let file = self.file(place.segment)?;
        let mut bytes = [0; RECORD_HEADER];
        let read = file
            .read_at(&mut bytes, place.offset)
            .map_err(|error| LogError::io("read", &self.folder.join(segment_name(place.segment)), error))?;
        Ok(RecordHeader::decode(&bytes[..read], place.segment, Some(self.id)))
    }

    /// Takes a record out of the log, its bytes into quarantine.
    fn lose(&mut self, entry: &Entry, place: Place, header: Option<RecordHeader>, why: &'static str) -> Quarantined {
        self.index.remove(entry.shard, entry.seq);
        let known = header.map(|header| (header.meta.items, u64::from(header.length)));
        let lost = self.settle_known(place, known);
        let length = header.map(|header| header.extent()).or_else(|| self.damaged_length(place));
        let end = length.map_or_else(
            || self.segments.get(&place.segment).map_or(place.offset, |s| s.end),
            |length| place.offset + length,
        );
        let range = place.offset..end;
        let copy = self.set_aside(place.segment, &range);
        Quarantined {
            file: segment_name(place.segment),
            range,
            why: why.into(),
            records: Some(lost.records.max(1)),
            items: header.map(|header| header.meta.items),
            copy,
        }
    }

    /// How far it is from a damaged header to the next whole one.
    fn damaged_length(&mut self, place: Place) -> Option<u64> {
        let file = self.file(place.segment).ok()?;
        let end = self.segments.get(&place.segment)?.end;
        let mut walk = Walk::new(&*file, place.segment, self.id, u64::MAX).ok()?.between(place.offset, end);
        match walk.step().ok()?? {
            Found::Damaged { length, .. } => Some(length),
            Found::Record { header, .. } => Some(header.extent()),
        }
    }

    /// Copies damaged bytes to the quarantine and closes the hole, so that they are not found again.
    pub(crate) fn set_aside(&mut self, segment: u32, range: &Range<u64>) -> Option<std::path::PathBuf> {
        let file = self.file(segment).ok()?;
        let copy = self.quarantine.keep(&self.disk, &*file, &segment_name(segment), range);
        write_hole(&*file, segment, self.id, range);
        copy
    }

    /// Notes the loss of every pending record that starts in a range of a segment.
    pub(crate) fn lose_range(&mut self, segment: u32, range: Range<u64>, header: Option<RecordHeader>) {
        let mut lost = Amount::default();
        for (shard, seq, place) in self.index.within(segment, &range) {
            self.index.remove(shard, seq);
            let known = header.filter(|header| header.meta.seq == seq);
            lost += self.settle_known(place, known.map(|header| (header.meta.items, u64::from(header.length))));
        }
        let copy = self.set_aside(segment, &range);
        let why = if header.is_some() { PAYLOAD } else { HEADER }.into();
        let items = header.map(|_| lost.items);
        let told = Quarantined { file: segment_name(segment), range, why, records: Some(lost.records), items, copy };
        tell(&mut self.losses, told);
    }
}

/// Covers a damaged range with one header, if it has room for it. A failure leaves the damage to be found again.
pub(crate) fn write_hole<F: DiskFile>(file: &F, segment: u32, id: u64, range: &Range<u64>) {
    let length = range.end - range.start;
    if length >= crate::format::extent(0) && length.is_multiple_of(crate::format::ALIGN) {
        let header = RecordHeader::hole(length).encode(segment, id);
        let _ = file.write_at(&header, range.start);
    }
}
