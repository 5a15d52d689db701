//! The simulated disk: what was not synced is gone after a crash, and so are files whose folder was not.

use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use steadyline_engine::delivery::blocklog::{Disk, DiskFile};
use turmoil::fs::shim::std::fs;

use crate::Plant;

/// A disk of turmoil's, with a bug planted by choice.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SimDisk(pub(crate) Plant);

/// A file of it.
pub(crate) struct SimFile(fs::File, Plant);

impl Disk for SimDisk {
    type File = SimFile;

    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        if fs::exists(folder) {
            return Ok(());
        }
        fs::create_dir_all(folder)?;
        let parents = folder.ancestors().skip(1).filter(|parent| !parent.as_os_str().is_empty());
        parents.into_iter().try_for_each(fs::sync_dir)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let names = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        names.collect()
    }

    fn create(&self, path: &Path) -> io::Result<SimFile> {
        let file = fs::OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        Ok(SimFile(file, self.0))
    }

    fn open(&self, path: &Path, write: bool) -> io::Result<SimFile> {
        Ok(SimFile(fs::OpenOptions::new().read(true).write(write).open(path)?, self.0))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        if self.0 == Plant::FolderNotSynced { Ok(()) } else { fs::sync_dir(folder) }
    }
}

impl DiskFile for SimFile {
    fn preallocate(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match FileExt::read_at(&self.0, &mut buffer[filled..], offset + filled as u64)? {
                0 => break,
                read => filled += read,
            }
        }
        Ok(filled)
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.1 == Plant::NotSynced { Ok(()) } else { self.0.sync_data() }
    }
}
