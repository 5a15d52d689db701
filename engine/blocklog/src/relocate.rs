//! Sync jobs, and what happens before one is made: records move to the end of the log out of segments that are mostly
//! done with, so that one stuck shard does not keep them all.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::disk::{Disk, DiskFile};
use crate::error::LogError;
use crate::format::{RECORD_HEADER, RecordHeader};
use crate::index::Place;
use crate::log::Log;
use crate::manifest;
use crate::segments::{listed, segment_name};
use crate::sync::{SyncJob, Work, lock};
use crate::walk::{Found, Walk};

/// Bytes that are moved in one write.
const BATCH: u64 = 1 << 20;

impl<D: Disk> Log<D> {
    /// What makes durable everything that was appended and acknowledged so far. Cheap, unless there are records to move.
    pub fn sync_job(&mut self) -> SyncJob<D> {
        self.notice_failure();
        match self.mend() {
            Ok(()) => SyncJob(Ok(self.work())),
            Err(error) => SyncJob(Err(error)),
        }
    }

    /// What makes durable what was appended so far. Unless more is due it leaves the rest to a later [`Log::sync_job`]:
    /// which segments there are changes seldom, and a cursor may lag.
    pub fn append_job(&mut self) -> SyncJob<D> {
        self.notice_failure();
        let stale = lock(&self.shared).manifest_stale;
        if self.suspect.is_some() || self.created || self.unlisted || stale {
            return self.sync_job();
        }
        SyncJob(Ok(self.work_with(None, Vec::new())))
    }

    fn work(&mut self) -> Work<D> {
        self.tidy();
        let dead = self.take_dead();
        let mut shared = lock(&self.shared);
        self.unlisted |= std::mem::take(&mut shared.manifest_stale);
        let manifest = std::mem::take(&mut self.unlisted).then(|| manifest::encode(self.id, &listed(&self.segments)));
        drop(shared);
        let cursor = std::mem::take(&mut self.cursor.dirty).then(|| Arc::clone(&self.cursor.file));
        Work { cursor, ..self.work_with(manifest, dead) }
    }

    fn work_with(&mut self, manifest: Option<Vec<u8>>, dead: Vec<(u32, u64)>) -> Work<D> {
        let target = match &self.active {
            Some(active) => Place { segment: active.number, offset: self.segments[&active.number].end },
            None => Place { segment: self.next_segment, offset: 0 },
        };
        Work {
            disk: self.disk.clone(),
            folder: self.folder.clone(),
            shared: Arc::clone(&self.shared),
            failures: lock(&self.shared).failures,
            sync: self.options.sync,
            segments: std::mem::take(&mut self.dirty),
            created: std::mem::take(&mut self.created),
            manifest,
            cursor: None,
            target,
            dead,
        }
    }

    /// Closes the log in order: everything is synced, and the next one to open it knows that nothing was in flight.
    ///
    /// # Errors
    /// Something could not be synced. The log may be opened again all the same, as after a crash.
    pub fn close_clean(mut self) -> Result<(), LogError> {
        self.seal();
        self.unlisted = true;
        if self.sync_job().run().is_err() {
            self.sync_job().run()?;
        }
        let path = self.folder.join(crate::cursor::CURSOR);
        let written = lock(&self.shared).slot.write(true);
        let synced = written.and_then(|()| if self.options.sync { self.cursor.file.sync_data() } else { Ok(()) });
        synced.map_err(|error| LogError::io("write", &path, error))
    }

    /// Segments with nothing pending, taken out of the log.
    fn take_dead(&mut self) -> Vec<(u32, u64)> {
        let active = self.active.as_ref().map(|active| active.number);
        let done =
            self.segments.iter().filter(|&(&number, segment)| segment.live.records == 0 && active != Some(number));
        let mut dead: Vec<(u32, u64)> = done.map(|(&number, segment)| (number, segment.size)).collect();
        let mut shared = lock(&self.shared);
        for &(number, size) in &dead {
            self.segments.remove(&number);
            self.readers.close(number);
            self.dirty.retain(|dirty| dirty.0 != number);
            self.unlisted = true;
            shared.dead_bytes += size;
        }
        dead.append(&mut shared.dead);
        dead
    }

    /// Moves the last pending records out of segments that are mostly done with, while the log takes more room than
    /// twice what is pending and one segment. At most half a segment at a time; what cannot be moved stays.
    fn tidy(&mut self) {
        let mut moved = 0;
        while moved <= self.options.segment_bytes / 2 {
            let active = self.active.as_ref().map(|active| active.number);
            let kept =
                self.segments.iter().filter(|&(&number, segment)| segment.live.records > 0 || active == Some(number));
            let (size, live) = kept.fold((0, 0), |(size, live), (_, kept)| (size + kept.size, live + kept.extents));
            if size <= 2 * live + self.options.segment_bytes {
                return;
            }
            let sparse =
                |segment: &crate::segments::Segment| segment.live.records > 0 && segment.extents * 2 < segment.size;
            let sealed = self.segments.iter().filter(|&(&number, segment)| active != Some(number) && sparse(segment));
            let Some((&number, segment)) = sealed.min_by_key(|(_, segment)| segment.extents) else { return };
            moved += segment.extents;
            let before = segment.live.records;
            let done = self.relocate(number, 0);
            let stuck = self.segments.get(&number).is_some_and(|segment| segment.live.records >= before);
            if done.is_err() || stuck {
                return;
            }
        }
    }

    /// Writes the pending records of a segment, from an offset on, to the end of the log.
    pub(crate) fn relocate(&mut self, number: u32, start: u64) -> Result<(), LogError> {
        let Some(end) = self.segments.get(&number).map(|segment| segment.end) else { return Ok(()) };
        let path = self.folder.join(segment_name(number));
        let broken = |error| LogError::io("read", &path, error);
        let file = self.file(number)?;
        let mut walk = Walk::new(&*file, number, self.id, 0).map_err(broken)?.between(start, end);
        let mut waiting = VecDeque::new();
        let mut bytes = 0;
        let mut behind = start;
        while let Some(found) = walk.step().map_err(broken)? {
            behind = walk.at;
            match found {
                Found::Record { header, .. } if header.hole => {}
                Found::Record { offset, header } => {
                    let place = Place { segment: number, offset };
                    if self.index.place(header.meta.shard, header.meta.seq) == Some(place) {
                        bytes += header.extent();
                        waiting.push_back((place, header));
                    }
                }
                Found::Damaged { offset, length, header } => self.lose_range(number, offset..offset + length, header),
            }
            if bytes >= BATCH {
                self.rewrite(&file, &mut waiting)?;
                bytes = 0;
            }
        }
        self.rewrite(&file, &mut waiting)?;
        if behind < end && !self.index.within(number, &(behind..end)).is_empty() {
            self.lose_range(number, behind..end, None);
        }
        Ok(())
    }

    fn rewrite(&mut self, file: &D::File, waiting: &mut VecDeque<(Place, RecordHeader)>) -> Result<(), LogError> {
        let mut moving = Vec::with_capacity(waiting.len());
        for (place, header) in waiting.drain(..) {
            let mut payload = vec![0; header.length as usize];
            let path = self.folder.join(segment_name(place.segment));
            file.read_at(&mut payload, place.offset + RECORD_HEADER as u64)
                .map_err(|error| LogError::io("read", &path, error))?;
            moving.push((place, header, payload));
        }
        let batch: Vec<(RecordHeader, &[u8])> =
            moving.iter().map(|(_, header, payload)| (*header, &payload[..])).collect();
        let places = self.write(&batch)?;
        for ((old, header, _), new) in moving.iter().zip(places) {
            let (meta, length) = (header.meta, u64::from(header.length));
            self.index.insert(meta.shard, meta.seq, meta.generation, new);
            self.segments.entry(new.segment).or_default().add(meta.items, length);
            if let Some(segment) = self.segments.get_mut(&old.segment) {
                segment.take(Some((meta.items, length)));
            }
        }
        Ok(())
    }
}
