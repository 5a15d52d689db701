//! A disk in memory that forgets, in a power cut, what was not synced; that fills up; and whose syncs fail as the
//! kernel's do: what a failed one covered never becomes durable, and no later one tells.
#![allow(missing_docs, dead_code, unreachable_pub, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use steadyline_blocklog::{Disk, DiskFile, Meta, Record};

const SECTOR: usize = 512;

#[derive(Debug, Clone)]
enum Change {
    Write(u64, Vec<u8>),
    Length(u64),
}

fn apply(content: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Length(length) => content.resize(*length as usize, 0),
        Change::Write(at, bytes) => {
            let end = *at as usize + bytes.len();
            content.resize(content.len().max(end), 0);
            content[*at as usize..end].copy_from_slice(bytes);
        }
    }
}

#[derive(Debug, Clone, Default)]
struct Inode {
    /// What reads see.
    cached: Vec<u8>,
    /// What a power cut leaves at least.
    durable: Vec<u8>,
    /// What it may leave besides.
    pending: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Naming {
    Link(PathBuf, usize),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf),
}

fn name(entries: &mut BTreeMap<PathBuf, usize>, naming: &Naming) {
    match naming {
        Naming::Link(path, inode) => {
            entries.insert(path.clone(), *inode);
        }
        Naming::Unlink(path) => {
            entries.remove(path);
        }
        Naming::Rename(from, to) => {
            if let Some(inode) = entries.remove(from) {
                entries.insert(to.clone(), inode);
            }
        }
    }
}

#[derive(Debug, Default)]
pub struct State {
    inodes: Vec<Inode>,
    entries: BTreeMap<PathBuf, usize>,
    durable_entries: BTreeMap<PathBuf, usize>,
    pending_entries: Vec<Naming>,
    /// Bytes of all files together.
    pub capacity: Option<u64>,
    /// How many of the next syncs fail.
    pub failing_syncs: u32,
    /// Whether a failed sync also drops what was to be read.
    pub forgets: bool,
    /// How many of the next writes fail half done.
    pub failing_writes: u32,
    pub syncs: u64,
    random: u64,
}

impl State {
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn used(&self) -> u64 {
        self.entries.values().map(|&inode| self.inodes[inode].cached.len() as u64).sum()
    }

    fn grow(&self, inode: usize, length: u64) -> io::Result<()> {
        let more = length.saturating_sub(self.inodes[inode].cached.len() as u64);
        match self.capacity {
            Some(capacity) if more > 0 && self.used() + more > capacity => Err(ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }

    fn change(&mut self, inode: usize, change: Change) {
        let inode = &mut self.inodes[inode];
        apply(&mut inode.cached, &change);
        inode.pending.push(change);
    }

    fn fails(&mut self) -> bool {
        let fails = self.failing_syncs > 0;
        self.failing_syncs -= u32::from(fails);
        self.syncs += 1;
        fails
    }

    fn power_cut(&mut self) {
        let kept = self.random() as usize % (self.pending_entries.len() + 1);
        let mut entries = self.durable_entries.clone();
        self.pending_entries[..kept].iter().for_each(|naming| name(&mut entries, naming));
        for number in 0..self.inodes.len() {
            let mut content = self.inodes[number].durable.clone();
            for change in std::mem::take(&mut self.inodes[number].pending) {
                self.keep_part(&mut content, change);
            }
            self.inodes[number].durable.clone_from(&content);
            self.inodes[number].cached = content;
        }
        (self.entries, self.durable_entries) = (entries.clone(), entries);
        self.pending_entries.clear();
    }

    /// Of a write each sector reaches the disk, or not.
    fn keep_part(&mut self, content: &mut Vec<u8>, change: Change) {
        match change {
            Change::Write(at, bytes) => {
                let all = self.random() % 4;
                let mut start = 0;
                while start < bytes.len() {
                    let end = bytes.len().min(start + SECTOR - (at as usize + start) % SECTOR);
                    if all == 0 || (all != 1 && self.random().is_multiple_of(2)) {
                        apply(content, &Change::Write(at + start as u64, bytes[start..end].to_vec()));
                    }
                    start = end;
                }
            }
            Change::Length(_) if self.random().is_multiple_of(2) => {}
            change => apply(content, &change),
        }
    }
}

#[derive(Debug, Clone, Default)]
pub struct SimDisk(pub Arc<Mutex<State>>);

impl SimDisk {
    pub fn new(seed: u64) -> SimDisk {
        let disk = SimDisk::default();
        disk.0.lock().unwrap().random = seed;
        disk
    }

    /// What was not synced is kept in part, by chance.
    pub fn power_cut(&self) {
        self.0.lock().unwrap().power_cut();
    }

    pub fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.lock().unwrap())
    }

    /// Bytes of the files whose name ends so.
    pub fn bytes(&self, suffix: &str) -> u64 {
        let state = self.0.lock().unwrap();
        let ours = state.entries.iter().filter(|(path, _)| path.to_string_lossy().ends_with(suffix));
        ours.map(|(_, &inode)| state.inodes[inode].cached.len() as u64).sum()
    }

    /// The files of a folder with their content.
    pub fn files(&self, folder: &str) -> BTreeMap<String, Vec<u8>> {
        let state = self.0.lock().unwrap();
        let ours = state.entries.iter().filter(|(path, _)| path.parent() == Some(Path::new(folder)));
        let file = |(path, &inode): (&PathBuf, &usize)| {
            (path.file_name().unwrap().to_string_lossy().into_owned(), state.inodes[inode].cached.clone())
        };
        ours.map(file).collect()
    }

    /// Replaces what is on the disk for good.
    pub fn put(&self, path: &str, content: Option<Vec<u8>>) {
        let mut state = self.0.lock().unwrap();
        state.entries.remove(Path::new(path));
        if let Some(content) = content {
            let inode = state.inodes.len();
            state.inodes.push(Inode { cached: content.clone(), durable: content, pending: Vec::new() });
            state.entries.insert(path.into(), inode);
        }
        state.durable_entries = state.entries.clone();
        state.pending_entries.clear();
    }
}

pub struct SimFile {
    state: Arc<Mutex<State>>,
    inode: usize,
}

impl Disk for SimDisk {
    type File = SimFile;

    fn create_folder(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let state = self.0.lock().unwrap();
        let ours = state.entries.keys().filter(|path| path.parent() == Some(folder));
        Ok(ours.map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect())
    }

    fn create(&self, path: &Path) -> io::Result<SimFile> {
        let mut state = self.0.lock().unwrap();
        let inode = state.inodes.len();
        state.inodes.push(Inode::default());
        state.entries.insert(path.into(), inode);
        state.pending_entries.push(Naming::Link(path.into(), inode));
        Ok(SimFile { state: Arc::clone(&self.0), inode })
    }

    fn open(&self, path: &Path, _: bool) -> io::Result<SimFile> {
        let state = self.0.lock().unwrap();
        let inode = *state.entries.get(path).ok_or(ErrorKind::NotFound)?;
        Ok(SimFile { state: Arc::clone(&self.0), inode })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        let naming = Naming::Rename(from.into(), to.into());
        name(&mut state.entries, &naming);
        state.pending_entries.push(naming);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        state.entries.remove(path).ok_or(ErrorKind::NotFound)?;
        state.pending_entries.push(Naming::Unlink(path.into()));
        Ok(())
    }

    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        if state.fails() {
            return Err(ErrorKind::Other.into());
        }
        state.durable_entries = state.entries.clone();
        state.pending_entries.clear();
        Ok(())
    }
}

impl DiskFile for SimFile {
    fn preallocate(&self, bytes: u64) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        state.grow(self.inode, bytes)?;
        state.change(self.inode, Change::Length(bytes));
        Ok(())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.preallocate(bytes)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.state.lock().unwrap().inodes[self.inode].cached.len() as u64)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        state.grow(self.inode, offset + bytes.len() as u64)?;
        if state.failing_writes > 0 {
            state.failing_writes -= 1;
            // A sector is written whole or not at all.
            let end = (offset as usize + bytes.len() / 2) / SECTOR * SECTOR;
            let written = end.saturating_sub(offset as usize);
            state.change(self.inode, Change::Write(offset, bytes[..written].to_vec()));
            return Err(ErrorKind::Other.into());
        }
        state.change(self.inode, Change::Write(offset, bytes.to_vec()));
        Ok(())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.state.lock().unwrap();
        let content = state.inodes[self.inode].cached.get(offset as usize..).unwrap_or_default();
        let read = content.len().min(buffer.len());
        buffer[..read].copy_from_slice(&content[..read]);
        Ok(read)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        let fails = state.fails();
        let forgets = state.forgets;
        let inode = &mut state.inodes[self.inode];
        let pending = std::mem::take(&mut inode.pending);
        if !fails {
            pending.iter().for_each(|change| apply(&mut inode.durable, change));
            return Ok(());
        }
        // The length is metadata, and journaled apart from the data.
        let lengths = pending.into_iter().filter(|change| matches!(change, Change::Length(_)));
        inode.pending = lengths.collect();
        if forgets {
            let length = inode.cached.len();
            inode.cached.clone_from(&inode.durable);
            inode.cached.resize(length, 0);
        }
        Err(ErrorKind::Other.into())
    }
}

/// A record whose content follows from its number.
pub fn record(seq: u64, shard: u32, generation: u32, length: usize) -> Record {
    let meta = Meta { seq, shard, generation, items: seq % 7 + 1, accepted: seq * 3, ..Meta::default() };
    let payload = (0..length).map(|at| (seq.wrapping_mul(31) as usize + at * 7) as u8).collect::<Vec<_>>();
    Record { meta, payload: Bytes::from(payload) }
}
