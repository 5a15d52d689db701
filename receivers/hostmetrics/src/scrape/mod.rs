//! One file a scraper: what it reads and what it calls it.

mod cpu;
mod disk;
mod filesystem;
mod load;
mod memory;
mod network;
mod process;
mod processes;

use std::sync::Arc;

use steadyline_component::{Instrument, Meter};

use crate::machine::{Machine, Unreadable};
use crate::sheet::Sheet;

pub(crate) use cpu::{CPU, Cpu};
pub(crate) use disk::{DISK, Disk};
pub(crate) use filesystem::{FILESYSTEM, Filesystem};
pub(crate) use load::{LOAD, Load};
pub(crate) use memory::{MEMORY, Memory};
pub(crate) use network::{NETWORK, Network};
pub(crate) use process::{PROCESS, Process};
pub(crate) use processes::{PROCESSES, Processes};

/// A part of the machine that is read.
pub(crate) trait Scrape: Send {
    /// Its name in the config.
    fn name(&self) -> &'static str;

    /// Writes everything that it reads on the sheet.
    ///
    /// # Errors
    /// What cannot be read. What was written until then counts.
    fn scrape(&mut self, machine: &Machine, sheet: &mut Sheet, unread: &Unread) -> Result<(), Unreadable>;
}

/// Counts what could not be read and is no failure of the pass.
#[derive(Debug, Clone)]
pub(crate) struct Unread {
    name: Arc<Instrument>,
    exe: Arc<Instrument>,
    io: Arc<Instrument>,
    descriptors: Arc<Instrument>,
    owner: Arc<Instrument>,
    filesystem: Arc<Instrument>,
}

/// What of a process may be unreadable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Its status.
    Name,
    /// Its executable.
    Exe,
    /// Its reads and writes.
    Io,
    /// Its open files.
    Descriptors,
    /// Its owner.
    Owner,
    /// A mounted file system.
    Filesystem,
}

impl Unread {
    pub(crate) fn new(meter: &Meter) -> Unread {
        let counter = |what| {
            let help = "Parts of processes and file systems that could not be read and were left out.";
            meter.counter("hostmetrics_unreadable", help, &[("what", what)])
        };
        Unread {
            name: counter("process_status"),
            exe: counter("process_exe"),
            io: counter("process_io"),
            descriptors: counter("process_descriptors"),
            owner: counter("process_owner"),
            filesystem: counter("filesystem"),
        }
    }

    pub(crate) fn count(&self, part: Part) {
        let counter = match part {
            Part::Name => &self.name,
            Part::Exe => &self.exe,
            Part::Io => &self.io,
            Part::Descriptors => &self.descriptors,
            Part::Owner => &self.owner,
            Part::Filesystem => &self.filesystem,
        };
        counter.add(1.0);
    }
}
