//! Where the machine's files are, and what holds for all scrapers.

use std::path::{Path, PathBuf};

use procfs::{FromRead, FromReadSI, KernelStats, current_system_info};
use thiserror::Error;

/// A file that cannot be read or understood.
#[derive(Debug, Error)]
#[error("{path}: {why}")]
pub(crate) struct Unreadable {
    /// Which.
    path: String,
    /// Why.
    why: String,
}

/// The machine, read from files under one root.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    root: PathBuf,
    /// Whether the files are those of another root than our own.
    is_mounted: bool,
    /// Ticks of its clock in a second.
    pub(crate) ticks: f64,
    /// Bytes of a page.
    pub(crate) page: u64,
}

impl Machine {
    pub(crate) fn new(root: &str) -> Machine {
        let info = current_system_info();
        let is_mounted = !root.is_empty() && Path::new(root) != Path::new("/");
        let root = PathBuf::from(if is_mounted { root } else { "/" });
        Machine { root, is_mounted, ticks: info.ticks_per_second() as f64, page: info.page_size() }
    }

    /// A path of the machine, as this process sees it.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// Where the network's files are: `proc/net` is that of the reader's own name space, so a mounted root's first
    /// process is asked.
    pub(crate) fn net(&self, file: &str) -> PathBuf {
        let first = self.path(&format!("proc/1/net/{file}"));
        if self.is_mounted && first.exists() { first } else { self.path(&format!("proc/net/{file}")) }
    }

    /// Where mounts are listed.
    pub(crate) fn mounts(&self) -> PathBuf {
        let first = self.path("proc/1/mountinfo");
        if self.is_mounted && first.exists() { first } else { self.path("proc/self/mountinfo") }
    }

    /// `proc/stat`.
    pub(crate) fn kernel(&self) -> Result<KernelStats, Unreadable> {
        read_si(&self.path("proc/stat"))
    }

    /// The numbers of all processes.
    pub(crate) fn pids(&self) -> Result<Vec<u32>, Unreadable> {
        let folder = self.path("proc");
        let entries = std::fs::read_dir(&folder).map_err(|error| unreadable(&folder, &error))?;
        Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect())
    }
}

/// Reads and parses a file.
pub(crate) fn read<T: FromRead>(path: &Path) -> Result<T, Unreadable> {
    T::from_file(path).map_err(|error| unreadable(path, &error))
}

/// The same, for files that count in units of the system.
pub(crate) fn read_si<T: FromReadSI>(path: &Path) -> Result<T, Unreadable> {
    T::from_file(path, current_system_info()).map_err(|error| unreadable(path, &error))
}

/// A small file as text.
pub(crate) fn read_text(path: &Path) -> Result<String, Unreadable> {
    std::fs::read_to_string(path).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, why: &dyn std::fmt::Display) -> Unreadable {
    let path = path.display().to_string();
    // Some of the parser's errors begin with the path.
    let why = why.to_string();
    Unreadable { why: why.trim_start_matches(&format!("{path}: ")).to_string(), path }
}
