//! Finding out what a folder holds without changing it: which files, whose log, and what of each segment is whole.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::Path;

use crate::cursor::{self, CURSOR};
use crate::disk::{Disk, DiskFile};
use crate::error::LogError;
use crate::format::{ALIGN, FILE_HEADER, FileHeader, FileKind, RECORD_HEADER, RecordHeader, VERSION};
use crate::index::Place;
use crate::manifest::{self, MANIFEST, Manifest};
use crate::segments::{segment_name, segment_number};
use crate::walk::{Found, Walk};

/// The files of a folder.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    /// Segments of this log, in order.
    pub numbers: Vec<u32>,
    /// Segments of another log, or under the name of another segment.
    pub foreign: Vec<u32>,
    /// The log's id; `None` if no file tells.
    pub id: Option<u64>,
    /// The cursor file's bytes.
    pub cursor: Option<Vec<u8>>,
    /// The manifest's bytes.
    pub manifest: Option<Vec<u8>>,
}

impl Survey {
    /// Reads a folder.
    ///
    /// # Errors
    /// It cannot be read, or a later version wrote one of its files.
    pub(crate) fn take<D: Disk>(disk: &D, folder: &Path) -> Result<Survey, LogError> {
        let names = disk.list(folder).map_err(|error| LogError::io("list", folder, error))?;
        let mut numbers: Vec<u32> = names.iter().filter_map(|name| segment_number(name)).collect();
        numbers.sort_unstable();
        let mut survey = Survey {
            cursor: read_whole(disk, folder, CURSOR, cursor::MOST_BYTES)?,
            manifest: read_whole(disk, folder, MANIFEST, manifest::MOST_BYTES)?,
            ..Survey::default()
        };
        let mut votes = BTreeMap::<u64, usize>::new();
        let mut headers = BTreeMap::new();
        let files = [(CURSOR, FileKind::Cursor, &survey.cursor), (MANIFEST, FileKind::Manifest, &survey.manifest)];
        for (name, kind, bytes) in files {
            let header = bytes.as_deref().and_then(|bytes| FileHeader::decode(bytes, kind));
            if let Some(header) = known_version(folder, name, header)? {
                *votes.entry(header.id).or_default() += 1;
            }
        }
        for &number in &numbers {
            let name = segment_name(number);
            let file = disk.open(&folder.join(&name), false);
            let mut bytes = [0; FILE_HEADER];
            match file.and_then(|file| file.read_at(&mut bytes, 0)) {
                // Whoever only looks may see a segment go.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                read => read.map_err(|error| LogError::io("read", &folder.join(&name), error))?,
            };
            let header = known_version(folder, &name, FileHeader::decode(&bytes, FileKind::Segment))?;
            if let Some(header) = header {
                *votes.entry(header.id).or_default() += 1;
                headers.insert(number, header);
            }
        }
        survey.id = votes.into_iter().max_by_key(|vote| vote.1).map(|vote| vote.0);
        if survey.id.is_none() {
            survey.id = id_of_records(disk, folder, &numbers)?;
        }
        let is_foreign = |number: &u32| {
            headers.get(number).is_some_and(|header| header.number != *number || Some(header.id) != survey.id)
        };
        (survey.foreign, survey.numbers) = numbers.into_iter().partition(is_foreign);
        Ok(survey)
    }

    /// Whether there is no log yet.
    pub(crate) fn is_new(&self) -> bool {
        self.numbers.is_empty() && self.foreign.is_empty() && self.cursor.is_none() && self.manifest.is_none()
    }
}

fn known_version(folder: &Path, name: &str, header: Option<FileHeader>) -> Result<Option<FileHeader>, LogError> {
    match header {
        Some(header) if header.version > VERSION => {
            Err(LogError::Version { path: folder.join(name), found: header.version, known: VERSION })
        }
        header => Ok(header),
    }
}

/// A file of a bounded size; what it has above is not read. `None`: there is none.
fn read_whole<D: Disk>(disk: &D, folder: &Path, name: &str, most: usize) -> Result<Option<Vec<u8>>, LogError> {
    let path = folder.join(name);
    let read = || {
        let file = disk.open(&path, false)?;
        let mut bytes = vec![0; file.size()?.min(most as u64) as usize];
        let read = file.read_at(&mut bytes, 0)?;
        bytes.truncate(read);
        Ok(bytes)
    };
    match read() {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if io::Error::kind(&error) == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(LogError::io("read", &path, error)),
    }
}

/// The id by the first record that is whole in itself: for when no file header is left.
fn id_of_records<D: Disk>(disk: &D, folder: &Path, numbers: &[u32]) -> Result<Option<u64>, LogError> {
    const WINDOW: usize = 64 << 10;
    let mut window = vec![0; WINDOW + RECORD_HEADER];
    for &number in numbers {
        let path = folder.join(segment_name(number));
        let Ok(file) = disk.open(&path, false) else { continue };
        let mut start = FILE_HEADER as u64;
        loop {
            let read = file.read_at(&mut window, start).map_err(|error| LogError::io("read", &path, error))?;
            let places = (0..read.min(WINDOW)).step_by(ALIGN as usize);
            if let Some(id) = places.filter_map(|at| RecordHeader::id(&window[at..read], number)).next() {
                return Ok(Some(id));
            }
            if read < window.len() {
                break;
            }
            start += WINDOW as u64;
        }
    }
    Ok(None)
}

/// What is known of how much of each segment was synced.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Authority<'a> {
    pub manifest: Option<&'a Manifest>,
    pub synced: Option<Place>,
}

impl Authority<'_> {
    /// Up to where a segment was synced; `None` if nobody knows.
    fn promised(&self, number: u32) -> Option<u64> {
        let by_slot = self.synced.filter(|synced| synced.segment == number).map(|synced| synced.offset);
        match (self.manifest, self.synced) {
            (Some(manifest), _) => {
                let listed = manifest.get(&number).map_or(0, |listed| u64::from(listed.synced));
                Some(listed.max(by_slot.unwrap_or(0)))
            }
            (None, Some(synced)) if number >= synced.segment => Some(by_slot.unwrap_or(0)),
            _ => None,
        }
    }
}

/// Damaged bytes of a segment.
#[derive(Debug, Clone)]
pub(crate) struct Damage {
    pub range: Range<u64>,
    /// The record's, if only its payload is damaged.
    pub header: Option<RecordHeader>,
    /// Whether the bytes had been synced; else they are what a crash may leave.
    pub promised: bool,
    /// Whether records follow.
    pub inside: bool,
}

/// What a segment turned out to be.
#[derive(Debug)]
pub(crate) struct Checked {
    /// Behind its last record.
    pub end: u64,
    /// The size of its file.
    pub size: u64,
    pub header_is_whole: bool,
    /// Up to where it was synced; `None` if nobody knows.
    pub promised: Option<u64>,
    pub damages: Vec<Damage>,
}

/// Walks through a segment. The last one is verified whole, of others what was not synced. Every record goes to `record`.
pub(crate) fn check<F: DiskFile>(
    file: &F,
    number: u32,
    id: u64,
    is_last: bool,
    authority: &Authority<'_>,
    mut record: impl FnMut(u64, RecordHeader),
) -> io::Result<Checked> {
    let mut bytes = [0; FILE_HEADER];
    file.read_at(&mut bytes, 0)?;
    let size = file.size()?;
    let promised = authority.promised(number);
    let verify = if is_last { 0 } else { promised.unwrap_or(u64::MAX) };
    let mut walk = Walk::new(file, number, id, verify)?;
    let mut end = size.min(FILE_HEADER as u64);
    let mut damages: Vec<Damage> = Vec::new();
    let mut inside = 0;
    while let Some(found) = walk.step()? {
        match found {
            Found::Record { offset, header } => {
                end = walk.at.min(size);
                inside = damages.len();
                if !header.hole {
                    record(offset, header);
                }
            }
            Found::Damaged { offset, length, header } => {
                let promised = promised.is_none_or(|promised| offset < promised);
                damages.push(Damage { range: offset..offset + length, header, promised, inside: false });
            }
        }
    }
    damages[..inside].iter_mut().for_each(|damage| damage.inside = true);
    let promise = match promised {
        Some(promised) => promised,
        None if is_last || is_blank(file, end, size)? => end,
        None => size,
    };
    damages[inside..].iter_mut().for_each(|damage| damage.promised = damage.range.start < promise);
    let told = damages.last().map_or(end, |damage| damage.range.end.max(end));
    if told < promise {
        damages.push(Damage { range: told..promise, header: None, promised: true, inside: false });
    }
    let header_is_whole = FileHeader::decode(&bytes, FileKind::Segment).is_some();
    Ok(Checked { end, size, header_is_whole, promised, damages })
}

/// Whether there are only zeros.
fn is_blank<F: DiskFile>(file: &F, start: u64, end: u64) -> io::Result<bool> {
    let mut window = vec![0; 64 << 10];
    let mut at = start;
    while at < end {
        let read = file.read_at(&mut window, at)?;
        if read == 0 {
            break;
        }
        if window[..read].iter().any(|&byte| byte != 0) {
            return Ok(false);
        }
        at += read as u64;
    }
    Ok(true)
}
