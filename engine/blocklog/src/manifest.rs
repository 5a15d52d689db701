//! Which segments there are, how much of each is synced and pending: so that a file that is gone, or shorter than it
//! was, is noticed. Written anew, and renamed into place, whenever a segment comes or goes.

use std::collections::BTreeMap;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::disk::{Disk, DiskFile};
use crate::error::LogError;
use crate::format::{FILE_HEADER, FileHeader, FileKind, u32_at, u64_at};
use crate::segments::HIGHEST;

/// The file's name.
pub(crate) const MANIFEST: &str = "segments";
const ENTRY: usize = 24;
/// More segments are not read: with the smallest ones that is 4 GiB, with the usual ones 512.
const MOST: usize = 1 << 16;
/// More bytes than this are not read.
pub(crate) const MOST_BYTES: usize = FILE_HEADER + MOST * ENTRY + 8;

/// What is known of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Listed {
    /// Bytes from its start that are synced.
    pub synced: u32,
    /// Pending records.
    pub records: u32,
    /// Items in them.
    pub items: u64,
}

/// Segments by number.
pub(crate) type Manifest = BTreeMap<u32, Listed>;

/// The whole file.
pub(crate) fn encode(id: u64, manifest: &Manifest) -> Vec<u8> {
    let mut bytes = FileHeader::new(0, id).encode(FileKind::Manifest).to_vec();
    for (number, listed) in manifest.iter().take(MOST) {
        bytes.extend(number.to_le_bytes());
        bytes.extend(listed.synced.to_le_bytes());
        bytes.extend(listed.records.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(listed.items.to_le_bytes());
    }
    let sum = xxh3_64_with_seed(&bytes[FILE_HEADER..], id);
    bytes.extend(sum.to_le_bytes());
    bytes
}

/// `None`: damaged.
pub(crate) fn decode(bytes: &[u8], id: u64) -> Option<Manifest> {
    let end = bytes.len().checked_sub(8).filter(|&end| end >= FILE_HEADER)?;
    let entries = &bytes[FILE_HEADER..end];
    if u64_at(bytes, end) != xxh3_64_with_seed(entries, id) {
        return None;
    }
    let listed = |entry: &[u8]| {
        let listed = Listed { synced: u32_at(entry, 4), records: u32_at(entry, 8), items: u64_at(entry, 16) };
        (u32_at(entry, 0), listed)
    };
    Some(entries.chunks_exact(ENTRY).map(listed).filter(|(number, _)| *number <= HIGHEST).collect())
}

/// Writes a file whole under another name, makes it durable and gives it its name. The folder is left to be synced.
pub(crate) fn replace<D: Disk>(disk: &D, folder: &Path, name: &str, bytes: &[u8], sync: bool) -> Result<(), LogError> {
    let (fresh, path) = (folder.join(format!("{name}.new")), folder.join(name));
    let write = || {
        let file = disk.create(&fresh)?;
        file.write_at(bytes, 0)?;
        if sync { file.sync_data() } else { Ok(()) }
    };
    write().map_err(|error| LogError::io("write", &fresh, error))?;
    disk.rename(&fresh, &path).map_err(|error| LogError::io("rename", &fresh, error))
}
