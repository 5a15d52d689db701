//! After a failed sync: what it was to make durable is written again elsewhere. Its pages count as clean from then on,
//! so that syncing the same file again would prove nothing.

use crate::disk::{Disk, DiskFile};
use crate::error::LogError;
use crate::index::Place;
use crate::log::Log;
use crate::segments::{Segment, segment_name};
use crate::sync::{lock, precedes};
use crate::walk::{Found, Walk};

impl<D: Disk> Log<D> {
    /// Sees whether a sync has failed since last time. Nothing more goes to the segments that it covered then.
    pub(crate) fn notice_failure(&mut self) {
        if self.suspect.is_some() || !lock(&self.shared).broken {
            return;
        }
        self.seal();
        self.suspect = Some(self.next_segment);
        let dead = std::mem::take(&mut lock(&self.shared).dead);
        for (number, size) in dead {
            // One that cannot be read had nothing pending but copies of what was moved.
            if !self.take_back(number, size).unwrap_or(false) {
                lock(&self.shared).dead.push((number, size));
            }
        }
    }

    /// A move counts only when it is synced: a segment that was to be deleted holds its records again.
    fn take_back(&mut self, number: u32, size: u64) -> Result<bool, LogError> {
        let synced = lock(&self.shared).slot.synced;
        let path = self.folder.join(segment_name(number));
        let broken = |error| LogError::io("read", &path, error);
        let file = self.disk.open(&path, false).map_err(|error| LogError::io("open", &path, error))?;
        let mut walk = Walk::new(&file, number, self.id, 0).map_err(broken)?;
        let mut held = Segment { size, ..Segment::default() };
        while let Some(found) = walk.step().map_err(broken)? {
            let Found::Record { offset, header } = found else { continue };
            let (meta, old) = (header.meta, Place { segment: number, offset });
            let Some(new) = self.index.place(meta.shard, meta.seq).filter(|_| !header.hole) else { continue };
            if precedes(old, synced) && !precedes(new, synced) {
                let length = u64::from(header.length);
                self.index.insert(meta.shard, meta.seq, meta.generation, old);
                held.add(meta.items, length);
                if let Some(segment) = self.segments.get_mut(&new.segment) {
                    segment.take(Some((meta.items, length)));
                }
            }
            held.end = walk.at;
        }
        let has_any = held.live.records > 0;
        if has_any {
            self.segments.insert(number, held);
            lock(&self.shared).dead_bytes -= size;
            self.unlisted = true;
        }
        Ok(has_any)
    }

    /// Writes again what failed syncs were to make durable.
    pub(crate) fn mend(&mut self) -> Result<(), LogError> {
        let Some(until) = self.suspect else { return Ok(()) };
        let synced = lock(&self.shared).slot.synced;
        let doubtful: Vec<u32> = self.segments.range(synced.segment..until).map(|(&number, _)| number).collect();
        for number in doubtful {
            let start = if number == synced.segment { synced.offset } else { 0 };
            self.relocate(number, start)?;
            self.cut(number, start);
        }
        let path = self.folder.join(crate::cursor::CURSOR);
        self.cursor.write_again().map_err(|error| LogError::io("write", &path, error))?;
        (self.created, self.unlisted) = (true, true);
        self.suspect = None;
        lock(&self.shared).broken = false;
        Ok(())
    }

    /// Ends a segment where it was synced.
    fn cut(&mut self, number: u32, end: u64) {
        let Ok(file) = self.file(number) else { return };
        let Some(segment) = self.segments.get_mut(&number) else { return };
        segment.end = segment.end.min(end);
        if file.set_len(segment.end).is_ok() {
            segment.size = segment.end;
        }
    }
}
