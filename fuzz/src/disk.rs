//! A disk in memory, and folders of a disk queue out of arbitrary bytes.
//!
//! An input is a byte of flags and then files, each with its length as four bytes before it: the cursor, the list of
//! segments, segment 1, segment 2. If the lowest flag is set the checksums are made right, so that what is behind
//! them is reached, too.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use steadyline_blocklog::{Disk, DiskFile};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// The names of the files of an input, in its order.
pub const NAMES: [&str; 4] = ["cursor", "segments", "0000000001.log", "0000000002.log"];
const HEADER: usize = 64;

type File = Arc<Mutex<Vec<u8>>>;

/// Files in memory.
#[derive(Debug, Clone, Default)]
pub struct MemoryDisk(Arc<Mutex<BTreeMap<PathBuf, File>>>);

/// One of them, open.
#[derive(Debug)]
pub struct MemoryFile(File);

impl MemoryDisk {
    /// The files of an input.
    pub fn of(input: &[u8], folder: &Path) -> MemoryDisk {
        let disk = MemoryDisk::default();
        let Some((flags, mut rest)) = input.split_first() else { return disk };
        for name in NAMES {
            let Some((length, behind)) = rest.split_at_checked(4) else { break };
            let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]) as usize;
            let (content, behind) = behind.split_at(length.min(behind.len()));
            let mut content = content.to_vec();
            if flags & 1 == 1 {
                seal(name, &mut content);
            }
            disk.files().insert(folder.join(name), Arc::new(Mutex::new(content)));
            rest = behind;
        }
        disk
    }

    /// The input that would give these files.
    pub fn to_input(&self, flags: u8, folder: &Path) -> Vec<u8> {
        let mut input = vec![flags];
        for name in NAMES {
            let content = self.files().get(&folder.join(name)).map(|file| lock(file).clone()).unwrap_or_default();
            input.extend((content.len() as u32).to_le_bytes());
            input.extend(content);
        }
        input
    }

    fn files(&self) -> MutexGuard<'_, BTreeMap<PathBuf, File>> {
        lock(&self.0)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("a target that panicked has ended")
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

/// Makes the checksums right.
fn seal(name: &str, content: &mut [u8]) {
    if content.len() < HEADER {
        return;
    }
    let sum = xxh3_64(&content[..56]);
    content[56..HEADER].copy_from_slice(&sum.to_le_bytes());
    let id = number(&content[16..24]);
    match name {
        "cursor" => {
            for at in (HEADER..content.len().saturating_sub(31)).step_by(32) {
                if content[at..at + 32].iter().any(|&byte| byte != 0) {
                    let sum = xxh3_64_with_seed(&content[at..at + 24], id ^ at as u64);
                    content[at + 24..at + 32].copy_from_slice(&sum.to_le_bytes());
                }
            }
        }
        "segments" if content.len() >= HEADER + 8 => {
            let end = content.len() - 8;
            let sum = xxh3_64_with_seed(&content[HEADER..end], id);
            content[end..].copy_from_slice(&sum.to_le_bytes());
        }
        "segments" => {}
        _ => {
            for at in (HEADER..content.len().saturating_sub(103)).step_by(64) {
                if !content[at..].starts_with(b"SLrc") {
                    continue;
                }
                let length = number(&content[at + 12..at + 16]) as usize;
                if let Some(payload) = content.get(at + 104..(at + 104).saturating_add(length)) {
                    let sum = xxh3_64(payload);
                    content[at + 88..at + 96].copy_from_slice(&sum.to_le_bytes());
                }
                let sum = xxh3_64_with_seed(&content[at..at + 96], number(&content[at + 24..at + 32]));
                content[at + 96..at + 104].copy_from_slice(&sum.to_le_bytes());
            }
        }
    }
}

impl Disk for MemoryDisk {
    type File = MemoryFile;

    fn create_folder(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let files = self.files();
        let ours = files.keys().filter(|path| path.parent() == Some(folder));
        Ok(ours.filter_map(|path| path.file_name()?.to_str().map(str::to_string)).collect())
    }

    fn create(&self, path: &Path) -> io::Result<MemoryFile> {
        let file = File::default();
        self.files().insert(path.into(), Arc::clone(&file));
        Ok(MemoryFile(file))
    }

    fn open(&self, path: &Path, _: bool) -> io::Result<MemoryFile> {
        self.files().get(path).map(|file| MemoryFile(Arc::clone(file))).ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut files = self.files();
        let file = files.remove(from).ok_or(ErrorKind::NotFound)?;
        files.insert(to.into(), file);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.files().remove(path).map(drop).ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
}

impl DiskFile for MemoryFile {
    fn preallocate(&self, bytes: u64) -> io::Result<()> {
        assert!(bytes < 1 << 24, "a file of {bytes} bytes");
        lock(&self.0).resize(bytes as usize, 0);
        Ok(())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.preallocate(bytes)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(lock(&self.0).len() as u64)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut content = lock(&self.0);
        let end = offset as usize + bytes.len();
        assert!(end < 1 << 24, "a file of {end} bytes");
        if content.len() < end {
            content.resize(end, 0);
        }
        content[offset as usize..end].copy_from_slice(bytes);
        Ok(())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let content = lock(&self.0);
        let rest = content.get(offset as usize..).unwrap_or_default();
        let read = rest.len().min(buffer.len());
        buffer[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
}
