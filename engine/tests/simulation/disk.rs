//! The simulated disk: what was not synced is gone after a crash, and so are files whose folder was not.

use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use steadyline_engine::delivery::blocklog::{Disk, DiskFile, Record};
use steadyline_engine::delivery::{Backing, Discarded, DiskQueue, Reach, Stored};
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

/// The log, where everything takes its time and meets something else on the way; with the planted bug of a cursor that
/// leads: it moves on when a record is written, before it is sent.
#[derive(Debug)]
pub(crate) struct Unhurried {
    log: Arc<DiskQueue<SimDisk>>,
    plant: Plant,
    dice: Mutex<StdRng>,
}

impl Unhurried {
    pub(crate) fn new(log: Arc<DiskQueue<SimDisk>>, plant: Plant, seed: u64) -> Unhurried {
        Unhurried { log, plant, dice: Mutex::new(StdRng::seed_from_u64(seed ^ 0xd15c)) }
    }

    async fn pause(&self) {
        let pause = {
            let mut dice = self.dice.lock().unwrap();
            if dice.random_bool(0.5) { dice.random_range(1..200) } else { 0 }
        };
        if pause > 0 {
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }
}

#[async_trait]
impl Backing for Unhurried {
    async fn append(&self, records: Vec<Record>, sync: bool) -> Result<u64, String> {
        let ends: Vec<(u32, u64)> = records.iter().map(|record| (record.meta.shard, record.meta.seq)).collect();
        self.pause().await;
        let appended = self.log.append(records, sync).await;
        if self.plant == Plant::CursorFirst {
            ends.into_iter().for_each(|(shard, seq)| self.log.acknowledge(shard, seq));
        }
        self.pause().await;
        appended
    }

    async fn synced(&self, append: u64) -> Result<(), String> {
        self.pause().await;
        let synced = self.log.synced(append).await;
        self.pause().await;
        synced
    }

    async fn read(&self, place: (u32, u32), after: u64, reach: Reach) -> Vec<Stored> {
        self.pause().await;
        let read = self.log.read(place, after, reach).await;
        self.pause().await;
        read
    }

    fn acknowledge(&self, shard: u32, seq: u64) {
        self.log.acknowledge(shard, seq);
    }

    async fn caught_up(&self, shard: u32) {
        self.log.caught_up(shard).await;
    }

    fn taken(&self, shard: u32) {
        self.log.taken(shard);
    }

    async fn discard_oldest(&self, after: Vec<u64>) -> Option<Discarded> {
        self.log.discard_oldest(after).await
    }

    async fn close(&self, clean: bool) -> Result<(), String> {
        self.log.close(clean).await
    }

    fn disk_bytes(&self) -> u64 {
        self.log.disk_bytes()
    }
}
