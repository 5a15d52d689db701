//! Opening: what the files say is pending, what of them is damaged, and making them whole again.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::cursor::{CURSOR, Cursor, CursorState, StateSlot};
use crate::disk::{Disk, DiskFile};
use crate::error::LogError;
use crate::format::{FILE_HEADER, FileHeader, FileKind, RecordHeader};
use crate::index::{Index, Place};
use crate::log::{Log, Options};
use crate::manifest::{self, MANIFEST};
use crate::quarantine::{Quarantine, Quarantined, tell};
use crate::reading::{HEADER, PAYLOAD, write_hole};
use crate::record::{Amount, Entry};
use crate::scan::{Authority, Checked, Damage, Survey, check};
use crate::segments::{Readers, Segment, Segments, listed, segment_name};
use crate::sync::Shared;
use crate::walk::{Found, Walk};

/// What was found when a log was opened.
#[derive(Debug, Clone, Default)]
pub struct Recovery {
    /// What is pending.
    pub pending: Amount,
    /// What was damaged, and what is lost with it. Told once: the log is whole again.
    pub quarantined: Vec<Quarantined>,
    /// Whether it was closed in order (or is new).
    pub clean: bool,
    /// A number above all that are in the log or in its cursor.
    pub next_seq: u64,
    /// Records that may have been sent before the crash: the first pending one of each shard, if the end was not
    /// clean.
    pub maybe_sent: Vec<Entry>,
    /// Whether no others may have been: it was a process that crashed, and the cursor is whole. A cursor that a crash of
    /// the machine left may lag.
    pub exact: bool,
    /// Bytes at the end that were written and never synced, and were not whole: cut off.
    pub torn: u64,
}

pub(crate) fn open<D: Disk>(disk: D, folder: &Path, options: Options) -> Result<(Log<D>, Recovery), LogError> {
    disk.create_folder(folder).map_err(|error| LogError::io("create", folder, error))?;
    let survey = Survey::take(&disk, folder)?;
    let id = survey.id.unwrap_or(options.id);
    let state = CursorState::decode(survey.cursor.as_deref().unwrap_or_default(), id);
    let before = survey.manifest.as_deref().and_then(|bytes| manifest::decode(bytes, id));
    let mut opening = Opening {
        quarantine: Quarantine::new(folder, options.quarantine_bytes),
        folder: folder.to_path_buf(),
        id,
        index: Index::default(),
        segments: Segments::new(),
        damages: Vec::new(),
        recovery: Recovery { clean: survey.is_new() || state.clean, ..Recovery::default() },
        highest: state.highest(),
        sync: options.sync,
        disk,
    };
    opening.tell_of_files(&survey, &state, before.is_some());
    opening.disk.ahead(&survey.numbers, &|number| opening.read_headers(number));
    let authority = Authority { manifest: before.as_ref(), synced: state.synced };
    for &number in &survey.numbers {
        opening.take_in(number, survey.numbers.last() == Some(&number), &authority, &state)?;
    }
    for &number in &survey.foreign {
        opening.put_away(number)?;
    }
    opening.tell_of_missing(&survey, &authority);
    opening.tell_of_damages(&state);
    let in_use = survey.numbers.iter().chain(&survey.foreign).chain(before.iter().flat_map(|list| list.keys()));
    let above = in_use.max().map_or(1, |highest| highest + 1);
    let next_segment = above.max(state.synced.map_or(0, |synced| synced.segment));
    opening.finish(options, state, survey.cursor.is_some(), next_segment)
}

/// A log on its way to be open.
struct Opening<D> {
    disk: D,
    folder: PathBuf,
    id: u64,
    sync: bool,
    quarantine: Quarantine,
    index: Index,
    segments: Segments,
    /// Damage that is to be told once it is known which records are there after all.
    damages: Vec<(u32, Damage, Option<PathBuf>)>,
    recovery: Recovery,
    /// The highest number seen.
    highest: u64,
}

impl<D: Disk> Opening<D> {
    /// Reads what taking in will read, to have it in memory: on a disk each header is far from the next.
    fn read_headers(&self, number: u32) {
        let Ok(file) = self.disk.open(&self.folder.join(segment_name(number)), false) else { return };
        let Ok(mut walk) = Walk::new(&file, number, self.id, u64::MAX) else { return };
        while let Ok(Some(Found::Record { .. })) = walk.step() {}
    }

    /// Takes in what a segment has and repairs it.
    fn take_in(
        &mut self,
        number: u32,
        is_last: bool,
        authority: &Authority<'_>,
        done: &CursorState,
    ) -> Result<(), LogError> {
        let path = self.folder.join(segment_name(number));
        let file = self.disk.open(&path, true).map_err(|error| LogError::io("open", &path, error))?;
        self.segments.insert(number, Segment::default());
        let report = check(&file, number, self.id, is_last, authority, |offset, header| {
            self.admit(Place { segment: number, offset }, &header, done);
        });
        let checked = report.map_err(|error| LogError::io("read", &path, error))?;
        self.repair(&file, number, checked).map_err(|error| LogError::io("sync", &path, error))
    }

    /// Takes a record into the index, unless it is done with.
    fn admit(&mut self, place: Place, header: &RecordHeader, done: &CursorState) {
        let meta = &header.meta;
        self.highest = self.highest.max(meta.seq);
        if done.covers(meta.shard, meta.seq) {
            return;
        }
        // Of two copies, which a move that was cut short leaves, the later one holds.
        let old = self.index.insert(meta.shard, meta.seq, meta.generation, place);
        if let Some(segment) = old.and_then(|old| self.segments.get_mut(&old.segment)) {
            segment.take(Some((meta.items, u64::from(header.length))));
        }
        self.segments.entry(place.segment).or_default().add(meta.items, u64::from(header.length));
    }

    /// Puts damaged bytes into quarantine and makes the segment whole. What the disk refuses is found again next time.
    fn repair(&mut self, file: &D::File, number: u32, checked: Checked) -> std::io::Result<()> {
        let name = segment_name(number);
        // From now on all of it counts as synced.
        let mut touched = checked.end < checked.size || checked.promised.is_none_or(|promised| promised < checked.end);
        for damage in checked.damages {
            touched |= damage.inside;
            if damage.promised {
                let copy = self.quarantine.keep(&self.disk, file, &name, &damage.range);
                self.damages.push((number, damage.clone(), copy));
            } else {
                self.recovery.torn += damage.range.end - damage.range.start;
            }
            if damage.inside {
                write_hole(file, number, self.id, &damage.range);
            }
        }
        if !checked.header_is_whole {
            if checked.promised.is_none_or(|promised| promised > 0) {
                let range = 0..FILE_HEADER as u64;
                let copy = self.quarantine.keep(&self.disk, file, &name, &range);
                let why = "the file's header is damaged".into();
                // If nobody knows what it had, and it has nothing, it may have had anything.
                let none = (checked.promised.is_some() || checked.end > FILE_HEADER as u64).then_some(0);
                let told = Quarantined { file: name, range, why, records: none, items: none, copy };
                tell(&mut self.recovery.quarantined, told);
            }
            touched |= file.write_at(&FileHeader::new(number, self.id).encode(FileKind::Segment), 0).is_ok();
        }
        let mut size = checked.size;
        if checked.end < size && file.set_len(checked.end).is_ok() {
            size = checked.end;
        }
        let segment = self.segments.entry(number).or_default();
        (segment.end, segment.size) = (checked.end, size);
        if let Some(promised) = checked.promised {
            // A sync may have failed before: these bytes are right in memory, and the kernel holds them for written.
            write_back(file, promised..checked.end)?;
        }
        if touched && self.sync { file.sync_data() } else { Ok(()) }
    }

    /// A segment that is not of this log, or under a wrong name, goes into quarantine whole.
    fn put_away(&mut self, number: u32) -> Result<(), LogError> {
        let name = segment_name(number);
        let path = self.folder.join(&name);
        let failed = |error| LogError::io("move aside", &path, error);
        let file = self.disk.open(&path, false).map_err(failed)?;
        let range = 0..file.size().map_err(failed)?;
        let copy = self.quarantine.keep(&self.disk, &file, &name, &range);
        self.disk.remove(&path).map_err(failed)?;
        let why = "the file belongs to another log, or stands under a wrong name".into();
        let told = Quarantined { file: name, range, why, records: None, items: None, copy };
        tell(&mut self.recovery.quarantined, told);
        Ok(())
    }

    /// Tells of damage to the cursor file and the manifest.
    fn tell_of_files(&mut self, survey: &Survey, state: &CursorState, manifest_is_whole: bool) {
        if !survey.is_new() && survey.cursor.is_none() {
            self.tell(CURSOR, "the file is missing: what was acknowledged may be sent again".into(), Some(0));
        } else if state.damaged > 0 {
            let why = format!("{} acknowledgements are damaged: what they covered may be sent again", state.damaged);
            self.tell(CURSOR, why, Some(0));
        }
        if survey.manifest.is_some() && !manifest_is_whole {
            let why = "the list of segments is damaged: a segment that is missing would not be noticed";
            self.tell(MANIFEST, why.into(), Some(0));
        }
    }

    /// Tells of segments that should be there and are not.
    fn tell_of_missing(&mut self, survey: &Survey, authority: &Authority<'_>) {
        for (&number, listed) in authority.manifest.into_iter().flatten() {
            if survey.numbers.binary_search(&number).is_err() && listed.records > 0 {
                let (records, items) = (listed.records, listed.items);
                let why =
                    format!("the file is missing; at most {records} records with {items} items were pending in it");
                self.tell(&segment_name(number), why, None);
            }
        }
    }

    fn tell(&mut self, file: &str, why: String, records: Option<u64>) {
        let (file, why, items) = (file.to_string(), why.into(), records);
        tell(&mut self.recovery.quarantined, Quarantined { file, range: 0..0, why, records, items, copy: None });
    }

    fn tell_of_damages(&mut self, done: &CursorState) {
        for (number, damage, copy) in std::mem::take(&mut self.damages) {
            let lost = damage.header.map(|header| {
                let (shard, seq) = (header.meta.shard, header.meta.seq);
                let kept = header.hole || done.covers(shard, seq) || self.index.place(shard, seq).is_some();
                if kept { (0, 0) } else { (1, header.meta.items) }
            });
            self.highest = self.highest.max(damage.header.map_or(0, |header| header.meta.seq));
            let told = Quarantined {
                file: segment_name(number),
                range: damage.range,
                why: if damage.header.is_some() { PAYLOAD } else { HEADER }.into(),
                records: lost.map(|lost| lost.0),
                items: lost.map(|lost| lost.1),
                copy,
            };
            tell(&mut self.recovery.quarantined, told);
        }
    }

    /// Writes down what holds from now on, and deletes what is done with.
    fn finish(
        mut self,
        options: Options,
        state: CursorState,
        has_cursor: bool,
        next_segment: u32,
    ) -> Result<(Log<D>, Recovery), LogError> {
        let dead: Vec<(u32, u64)> = self
            .segments
            .iter()
            .filter(|(_, segment)| segment.live.records == 0)
            .map(|(&number, segment)| (number, segment.size))
            .collect();
        self.segments.retain(|_, segment| segment.live.records > 0);
        let synced = Place { segment: next_segment, offset: 0 };
        self.recovery.exact = options.boot != 0 && state.boot == options.boot && state.is_whole(has_cursor);
        let (file, state) = self.cursor_file(&options, state, has_cursor, synced)?;
        let content = manifest::encode(self.id, &listed(&self.segments));
        let unlisted = manifest::replace(&self.disk, &self.folder, MANIFEST, &content, options.sync).is_err();
        if unlisted {
            // A disk too full for it: one that is out of date would tell of losses that are none.
            let _ = self.disk.remove(&self.folder.join(MANIFEST));
        }
        let path = self.folder.join(CURSOR);
        let mut slot = StateSlot::new(Arc::clone(&file), (self.id, options.boot), state.counter, synced);
        let mut cursor = Cursor::new(Arc::clone(&file), self.id, &state);
        let written = slot.write(false).and_then(|()| cursor.write_again());
        written.map_err(|error| LogError::io("write", &path, error))?;
        if options.sync {
            file.sync_data().map_err(|error| LogError::io("sync", &path, error))?;
            self.disk.sync_folder(&self.folder).map_err(|error| LogError::io("sync", &self.folder, error))?;
        }
        let mut shared =
            Shared { slot, failures: 0, broken: false, dead: Vec::new(), dead_bytes: 0, manifest_stale: false };
        for (number, size) in dead {
            if self.disk.remove(&self.folder.join(segment_name(number))).is_err() {
                shared.dead.push((number, size));
                shared.dead_bytes += size;
            }
        }
        for segment in self.segments.values() {
            self.recovery.pending += segment.live;
        }
        self.recovery.next_seq = self.highest.saturating_add(1);
        if !self.recovery.clean {
            self.recovery.maybe_sent = self.index.fronts().collect();
        }
        let log = Log {
            cursor,
            disk: self.disk,
            folder: self.folder,
            options,
            id: self.id,
            index: self.index,
            segments: self.segments,
            next_segment,
            active: None,
            readers: Readers::default(),
            quarantine: self.quarantine,
            shared: Arc::new(Mutex::new(shared)),
            pending: self.recovery.pending,
            dirty: Vec::new(),
            created: false,
            unlisted,
            suspect: None,
            losses: Vec::new(),
        };
        Ok((log, self.recovery))
    }

    /// The cursor file, written anew if there is none or it is damaged.
    fn cursor_file(
        &self,
        options: &Options,
        state: CursorState,
        exists: bool,
        synced: Place,
    ) -> Result<(Arc<D::File>, CursorState), LogError> {
        let path = self.folder.join(CURSOR);
        let state = if state.is_whole(exists) {
            state
        } else {
            let (state, image) = state.anew(self.id, synced);
            manifest::replace(&self.disk, &self.folder, CURSOR, &image, options.sync)?;
            state
        };
        let file = self.disk.open(&path, true).map_err(|error| LogError::io("open", &path, error))?;
        Ok((Arc::new(file), state))
    }
}

/// Writes a range of a file over itself.
fn write_back<F: DiskFile>(file: &F, range: std::ops::Range<u64>) -> std::io::Result<()> {
    let mut window = vec![0; 64 << 10];
    let mut at = range.start;
    while at < range.end {
        let want = window.len().min((range.end - at) as usize);
        let read = file.read_at(&mut window[..want], at)?;
        if read == 0 {
            break;
        }
        file.write_at(&window[..read], at)?;
        at += read as u64;
    }
    Ok(())
}
