//! A walk through a segment from header to header. Behind a damaged place it looks for the next header that is whole,
//! so that no more is lost than what is damaged.

use std::io;

use xxhash_rust::xxh3::Xxh3;

use crate::disk::DiskFile;
use crate::format::{ALIGN, FILE_HEADER, RECORD_HEADER, RecordHeader};

/// Bytes read at once.
const WINDOW: usize = 64 << 10;

/// What stands at a place of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// A record; its payload is whole if the walk verifies here.
    Record { offset: u64, header: RecordHeader },
    /// Damaged bytes; with a header if only the payload is.
    Damaged { offset: u64, length: u64, header: Option<RecordHeader> },
}

/// A walk through one segment.
pub(crate) struct Walk<'a, F> {
    file: &'a F,
    segment: u32,
    id: u64,
    /// Where the walk ends at the latest.
    limit: u64,
    /// Where it stands; at its end: behind the last record.
    pub at: u64,
    /// Payloads are verified from here on.
    verify: u64,
}

impl<'a, F: DiskFile> Walk<'a, F> {
    /// A walk that verifies payloads from an offset on.
    pub(crate) fn new(file: &'a F, segment: u32, id: u64, verify: u64) -> io::Result<Walk<'a, F>> {
        let limit = file.size()?.min(u64::from(u32::MAX));
        Ok(Walk { file, segment, id, limit, at: FILE_HEADER as u64, verify })
    }

    /// Starts at a place and ends at another.
    pub(crate) fn between(mut self, start: u64, end: u64) -> Walk<'a, F> {
        self.at = start.max(FILE_HEADER as u64);
        self.limit = self.limit.min(end);
        self
    }

    /// The next find; `None` if no header follows.
    pub(crate) fn step(&mut self) -> io::Result<Option<Found>> {
        let offset = self.at;
        if offset + RECORD_HEADER as u64 > self.limit {
            return Ok(None);
        }
        let mut bytes = [0; RECORD_HEADER];
        let read = self.file.read_at(&mut bytes, offset)?;
        let Some(header) = RecordHeader::decode(&bytes[..read], self.segment, Some(self.id)) else {
            return self.resume(offset);
        };
        let end = offset + RECORD_HEADER as u64 + u64::from(header.length);
        if end > self.limit {
            // Nothing can follow: the file ends inside this record.
            self.at = self.limit;
            return Ok(Some(Found::Damaged { offset, length: self.limit - offset, header: Some(header) }));
        }
        self.at = offset + header.extent();
        if offset >= self.verify && !header.hole && self.sum(offset, header.length)? != header.sum {
            return Ok(Some(Found::Damaged { offset, length: header.extent(), header: Some(header) }));
        }
        Ok(Some(Found::Record { offset, header }))
    }

    fn sum(&self, offset: u64, length: u32) -> io::Result<u64> {
        let mut sum = Xxh3::new();
        let mut window = vec![0; WINDOW.min(length as usize)];
        let (mut at, end) = (offset + RECORD_HEADER as u64, offset + RECORD_HEADER as u64 + u64::from(length));
        while at < end {
            let want = window.len().min((end - at) as usize);
            let read = self.file.read_at(&mut window[..want], at)?;
            sum.update(&window[..read]);
            if read < want {
                break;
            }
            at += read as u64;
        }
        Ok(sum.digest())
    }

    /// What lies between a place without a header and the next header.
    fn resume(&mut self, offset: u64) -> io::Result<Option<Found>> {
        let mut window = vec![0; WINDOW + RECORD_HEADER];
        let mut start = offset + ALIGN;
        while start < self.limit {
            let read = self.file.read_at(&mut window, start)?;
            for at in (0..read.min(WINDOW)).step_by(ALIGN as usize) {
                let bytes = &window[at..read];
                if RecordHeader::may_start(bytes) && RecordHeader::decode(bytes, self.segment, Some(self.id)).is_some()
                {
                    self.at = start + at as u64;
                    return Ok(Some(Found::Damaged { offset, length: self.at - offset, header: None }));
                }
            }
            start += WINDOW as u64;
        }
        Ok(None)
    }
}
