//! What turned out damaged: told, and copied aside for whoever wants to look, within a bound.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::disk::{Disk, DiskFile};

/// The folder that copies go to, inside the log's own.
pub const QUARANTINE: &str = "quarantine";
/// Copies are made in pieces of this size.
const PIECE: usize = 64 << 10;
/// No more copies are made than this, however small.
const MOST_COPIES: usize = 1000;

/// A damaged range of a file of the log. Its records are no longer pending, if they were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// The file's name in the log's folder.
    pub file: String,
    /// Which bytes of it.
    pub range: Range<u64>,
    /// What is wrong with them, for people.
    pub why: Cow<'static, str>,
    /// How many pending records are lost with them, where that is known.
    pub records: Option<u64>,
    /// How many items are lost with them, where that is known.
    pub items: Option<u64>,
    /// Where the bytes were copied to; `None` if there are none, or no room.
    pub copy: Option<PathBuf>,
}

impl fmt::Display for Quarantined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Range { start, end } = self.range;
        write!(f, "{}, bytes {start} to {end}: {}; ", self.file, self.why)?;
        match (self.records, self.items) {
            (Some(0), _) => f.write_str("no pending record is lost")?,
            (Some(records), Some(items)) => write!(f, "{records} records with {items} items are lost")?,
            _ => f.write_str("how many records are lost is not known")?,
        }
        match &self.copy {
            Some(copy) => write!(f, "; copied to {}", copy.display()),
            None => Ok(()),
        }
    }
}

/// More damaged ranges are not told one by one; the last one told sums up the rest.
const MOST_TOLD: usize = 1000;

/// Adds to a list of what is damaged that does not grow without bound.
pub(crate) fn tell(list: &mut Vec<Quarantined>, next: Quarantined) {
    if list.len() < MOST_TOLD {
        list.push(next);
        return;
    }
    let Some(last) = list.last_mut() else { return };
    let sum = |a: Option<u64>, b: Option<u64>| Some(a?.saturating_add(b?));
    *last = Quarantined {
        why: "this and all further damage, taken together".into(),
        records: sum(last.records, next.records),
        items: sum(last.items, next.items),
        copy: None,
        ..next
    };
}

/// The folder of copies and how much more may go there.
#[derive(Debug)]
pub(crate) struct Quarantine {
    folder: PathBuf,
    /// Bytes that all copies together may have.
    most: u64,
}

impl Quarantine {
    pub(crate) fn new(log: &Path, most: u64) -> Quarantine {
        Quarantine { folder: log.join(QUARANTINE), most }
    }

    /// Copies a range of a file aside. `None` if there are no such bytes, no room, or the disk refuses: the log goes
    /// on in any case.
    pub(crate) fn keep<D: Disk>(&self, disk: &D, file: &D::File, name: &str, range: &Range<u64>) -> Option<PathBuf> {
        let end = range.end.min(file.size().ok()?);
        if end <= range.start {
            return None;
        }
        disk.create_folder(&self.folder).ok()?;
        let (copies, bytes) = self.held(disk);
        if copies >= MOST_COPIES || bytes + (end - range.start) > self.most {
            return None;
        }
        let path = self.folder.join(format!("{name}-{:08x}", range.start));
        match copy(disk, file, range.start..end, &path) {
            Ok(()) => {
                // A copy that a power cut takes back is no loss to the log.
                let _ = disk.sync_folder(&self.folder);
                Some(path)
            }
            Err(_) => {
                let _ = disk.remove(&path);
                None
            }
        }
    }

    /// How many copies there are, and their bytes.
    pub(crate) fn held<D: Disk>(&self, disk: &D) -> (usize, u64) {
        let names = disk.list(&self.folder).unwrap_or_default();
        let size = |name: &String| disk.open(&self.folder.join(name), false).and_then(|file| file.size()).unwrap_or(0);
        (names.len(), names.iter().map(size).sum())
    }
}

fn copy<D: Disk>(disk: &D, file: &D::File, range: Range<u64>, to: &Path) -> std::io::Result<()> {
    let target = disk.create(to)?;
    let mut piece = vec![0; PIECE];
    let mut at = range.start;
    while at < range.end {
        let want = PIECE.min((range.end - at) as usize);
        let read = file.read_at(&mut piece[..want], at)?;
        if read == 0 {
            break;
        }
        target.write_at(&piece[..read], at - range.start)?;
        at += read as u64;
    }
    target.sync_data()
}
