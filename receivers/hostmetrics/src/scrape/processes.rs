//! The scraper `processes`: how many there are, by status.

use procfs::process::Stat;

use super::{Scrape, Unread};
use crate::machine::{Machine, Unreadable, read};
use crate::sheet::{MetricSpec, Sheet, Switches};

pub(crate) const PROCESSES: &[MetricSpec] = &[
    MetricSpec::updown("system.processes.count", "{processes}", "Processes by status."),
    MetricSpec::counter("system.processes.created", "{processes}", "Processes created since the boot."),
];

pub(crate) struct Processes {
    on: Switches,
}

impl Processes {
    pub(crate) fn new(on: Switches) -> Processes {
        Processes { on }
    }
}

/// The Collector's words for what Linux knows.
const STATUSES: [&str; 7] = ["blocked", "idle", "running", "sleeping", "stopped", "unknown", "zombies"];

fn status(state: char) -> &'static str {
    match state {
        'D' => "blocked",
        'I' => "idle",
        'R' => "running",
        'S' => "sleeping",
        'T' | 't' => "stopped",
        'Z' => "zombies",
        _ => "unknown",
    }
}

impl Scrape for Processes {
    fn name(&self) -> &'static str {
        "processes"
    }

    fn scrape(&mut self, machine: &Machine, sheet: &mut Sheet, _: &Unread) -> Result<(), Unreadable> {
        let mut counts = STATUSES.map(|name| (name, 0));
        for pid in machine.pids()? {
            // One that has ended meanwhile is none.
            let Ok(stat) = read::<Stat>(&machine.path(&format!("proc/{pid}/stat"))) else { continue };
            let status = status(stat.state);
            counts.iter_mut().filter(|(name, _)| *name == status).for_each(|(_, count)| *count += 1);
        }
        for (status, count) in counts {
            sheet.int(&self.on, "system.processes.count", &[("status", status)], count);
        }
        sheet.int(&self.on, "system.processes.created", &[], machine.kernel()?.processes);
        Ok(())
    }
}
