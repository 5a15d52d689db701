//! Looking into a log without opening it: reads only, so it may be done beside the process that has it open.
//! And emptying one, which may not.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::cursor::CursorState;
use crate::disk::{Disk, DiskFile};
use crate::error::LogError;
use crate::format::{RECORD_HEADER, RecordHeader, payload_sum};
use crate::manifest::{self, MANIFEST};
use crate::quarantine::{Quarantine, Quarantined, tell};
use crate::reading::{HEADER, PAYLOAD};
use crate::record::{Amount, Meta};
use crate::scan::{Authority, Checked, Survey, check};
use crate::segments::segment_name;

/// What a folder holds.
#[derive(Debug)]
pub struct Inspection<D> {
    disk: D,
    folder: PathBuf,
    id: u64,
    /// The pending records in the order of their numbers.
    pub records: Vec<Inspected>,
    /// What is pending.
    pub pending: Amount,
    /// What is damaged; the next to open the log puts it into quarantine.
    pub damaged: Vec<Quarantined>,
    /// How many copies of damaged bytes are kept, and how many bytes they have.
    pub quarantine: (u64, u64),
    /// Bytes of all segments.
    pub disk_bytes: u64,
    /// Whether the log was closed in order. Not so while a process has it open.
    pub clean: bool,
}

/// A pending record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inspected {
    /// What is known about it.
    pub meta: Meta,
    /// Bytes of its payload.
    pub bytes: u32,
    segment: u32,
    offset: u64,
}

/// Whether a folder holds a log.
///
/// # Errors
/// It cannot be read.
pub fn is_log<D: Disk>(disk: &D, folder: &Path) -> Result<bool, LogError> {
    Survey::take(disk, folder).map(|survey| !survey.is_new())
}

/// Reads what a folder holds. A folder without a log holds nothing.
///
/// # Errors
/// It cannot be read, or a later version wrote it.
pub fn inspect<D: Disk>(disk: D, folder: &Path) -> Result<Inspection<D>, LogError> {
    let survey = Survey::take(&disk, folder)?;
    let id = survey.id.unwrap_or(0);
    let state = CursorState::decode(survey.cursor.as_deref().unwrap_or_default(), id);
    let listed = survey.manifest.as_deref().and_then(|bytes| manifest::decode(bytes, id));
    let authority = Authority { manifest: listed.as_ref(), synced: state.synced };
    let mut records = BTreeMap::new();
    let (quarantine, mut damaged, mut disk_bytes) = (Quarantine::new(folder, 0).held(&disk), Vec::new(), 0);
    for &number in &survey.numbers {
        let path = folder.join(segment_name(number));
        let file = match disk.open(&path, false) {
            // Deleted since, by the process that has the log open.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            opened => opened.map_err(|error| LogError::io("open", &path, error))?,
        };
        let is_last = survey.numbers.last() == Some(&number);
        let checked = check(&file, number, id, is_last, &authority, |offset, header| {
            let meta = header.meta;
            if !state.covers(meta.shard, meta.seq) {
                let found = Inspected { meta, bytes: header.length, segment: number, offset };
                records.insert((meta.seq, meta.shard), found);
            }
        });
        let checked = checked.map_err(|error| LogError::io("read", &path, error))?;
        disk_bytes += checked.size;
        tell_of(&mut damaged, number, &checked);
    }
    let records: Vec<Inspected> = records.into_values().collect();
    let mut pending = Amount::default();
    records.iter().for_each(|record| pending.add(record.meta.items, u64::from(record.bytes)));
    let (copies, bytes) = quarantine;
    let folder = folder.to_path_buf();
    let quarantine = (copies as u64, bytes);
    Ok(Inspection { disk, folder, id, records, pending, damaged, quarantine, disk_bytes, clean: state.clean })
}

fn tell_of(damaged: &mut Vec<Quarantined>, number: u32, checked: &Checked) {
    for damage in checked.damages.iter().filter(|damage| damage.promised) {
        let why = if damage.header.is_some() { PAYLOAD } else { HEADER }.into();
        let (records, items) = (damage.header.map(|_| 1), damage.header.map(|header| header.meta.items));
        let (file, range) = (segment_name(number), damage.range.clone());
        tell(damaged, Quarantined { file, range, why, records, items, copy: None });
    }
}

impl<D: Disk> Inspection<D> {
    /// The payload of a record; `None` if it is damaged, or was deleted since.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn payload(&self, record: &Inspected) -> Result<Option<Bytes>, LogError> {
        let path = self.folder.join(segment_name(record.segment));
        let mut bytes = vec![0; RECORD_HEADER + record.bytes as usize];
        let read = match self.disk.open(&path, false).and_then(|file| file.read_at(&mut bytes, record.offset)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            read => read.map_err(|error| LogError::io("read", &path, error))?,
        };
        let header = RecordHeader::decode(&bytes[..read], record.segment, Some(self.id));
        let payload = Bytes::from(bytes).slice(RECORD_HEADER..);
        let whole = header.is_some_and(|header| header.meta == record.meta && header.sum == payload_sum(&payload));
        Ok(whole.then_some(payload))
    }
}

/// Deletes everything that is pending in a log that no process has open; with `quarantine` the copies of damaged bytes,
/// too. The cursor stays, so that numbers go on growing.
///
/// # Errors
/// Something could not be deleted.
pub fn purge<D: Disk>(disk: &D, folder: &Path, quarantine: bool) -> Result<(), LogError> {
    let remove = |path: &Path| match disk.remove(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(LogError::io("remove", path, error)),
        _ => Ok(()),
    };
    let survey = Survey::take(disk, folder)?;
    // It first: segments that go one by one are not missing then.
    remove(&folder.join(MANIFEST))?;
    for &number in survey.numbers.iter().chain(&survey.foreign) {
        remove(&folder.join(segment_name(number)))?;
    }
    if quarantine {
        let copies = folder.join(crate::quarantine::QUARANTINE);
        for name in disk.list(&copies).unwrap_or_default() {
            remove(&copies.join(name))?;
        }
    }
    disk.sync_folder(folder).map_err(|error| LogError::io("sync", folder, error))
}
