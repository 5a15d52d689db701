//! Everything that the log does to a file system, so that tests can put a simulated or a failing one beneath it.
//! All calls are synchronous; nothing hides in threads.

use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

/// A number for this start of the machine, by the kernel's `boot_id`; 0 where there is none.
pub fn boot() -> u64 {
    let id = fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    if id.is_empty() { 0 } else { xxhash_rust::xxh3::xxh3_64(&id).max(1) }
}

/// A file system. A clone is the same one.
pub trait Disk: Clone + Send + Sync + 'static {
    /// An open file.
    type File: DiskFile;

    /// Makes a folder with all its parents; no error if it exists.
    ///
    /// # Errors
    /// As the file system has it.
    fn create_folder(&self, folder: &Path) -> io::Result<()>;

    /// The names of what is in a folder, in any order.
    ///
    /// # Errors
    /// As the file system has it; `NotFound` if there is no such folder.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;

    /// Makes an empty file, open for reading and writing; one that exists is emptied.
    ///
    /// # Errors
    /// As the file system has it.
    fn create(&self, path: &Path) -> io::Result<Self::File>;

    /// Opens a file that exists, for reading and, if `write`, for writing.
    ///
    /// # Errors
    /// As the file system has it; `NotFound` if there is none.
    fn open(&self, path: &Path, write: bool) -> io::Result<Self::File>;

    /// Gives a file another name in its folder, replacing what had it.
    ///
    /// # Errors
    /// As the file system has it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// As the file system has it; `NotFound` if there is none.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes durable which files a folder has.
    ///
    /// # Errors
    /// As the file system has it.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;

    /// Calls `read` with each of these numbers, several at a time, if that brings what it reads into memory sooner.
    /// Nothing depends on it.
    fn ahead(&self, _numbers: &[u32], _read: &(dyn Fn(u32) + Sync)) {}
}

/// An open file.
pub trait DiskFile: Send + Sync + 'static {
    /// Makes the file so long, its new part read as zeros, with room on the disk where that can be had in advance.
    ///
    /// # Errors
    /// As the file system has it; `StorageFull` if there is no room.
    fn preallocate(&self, bytes: u64) -> io::Result<()>;

    /// Makes the file so long, by cutting it or by zeros that need no room yet.
    ///
    /// # Errors
    /// As the file system has it.
    fn set_len(&self, bytes: u64) -> io::Result<()>;

    /// How long it is.
    ///
    /// # Errors
    /// As the file system has it.
    fn size(&self) -> io::Result<u64>;

    /// Writes all the bytes at a place.
    ///
    /// # Errors
    /// As the file system has it; some of the bytes may have been written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Fills the buffer from a place on; says how many bytes there were, fewer only at the end of the file.
    ///
    /// # Errors
    /// As the file system has it.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Makes durable what was written.
    ///
    /// # Errors
    /// As the file system has it. What was written before may be lost then, whatever a later call says.
    fn sync_data(&self) -> io::Result<()>;
}

/// Threads that read ahead: they wait for the disk, each for one place.
const READERS: usize = 16;

/// The file system of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    type File = fs::File;

    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let names = fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.file_name().into_string().ok()));
        // None of the log's own names is not UTF-8.
        names.filter_map(Result::transpose).collect()
    }

    fn create(&self, path: &Path) -> io::Result<fs::File> {
        fs::File::options().read(true).write(true).create(true).truncate(true).open(path)
    }

    fn open(&self, path: &Path, write: bool) -> io::Result<fs::File> {
        fs::File::options().read(true).write(write).open(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        fs::File::open(folder)?.sync_all()
    }

    fn ahead(&self, numbers: &[u32], read: &(dyn Fn(u32) + Sync)) {
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..READERS.min(numbers.len()) {
                // One thread less is only slower.
                let _ = std::thread::Builder::new().spawn_scoped(scope, || {
                    while let Some(&number) = numbers.get(next.fetch_add(1, Ordering::Relaxed)) {
                        read(number);
                    }
                });
            }
        });
    }
}

impl DiskFile for fs::File {
    fn preallocate(&self, bytes: u64) -> io::Result<()> {
        match fallocate(self, FallocateFlags::empty(), 0, bytes) {
            Ok(()) => Ok(()),
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => fs::File::set_len(self, bytes),
            Err(error) => Err(error.into()),
        }
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        fs::File::set_len(self, bytes)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match FileExt::read_at(self, &mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn sync_data(&self) -> io::Result<()> {
        fs::File::sync_data(self)
    }
}
