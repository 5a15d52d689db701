//! The scraper `memory`: `proc/meminfo`.

use procfs::Meminfo;

use super::{Scrape, Unread};
use crate::machine::{Machine, Unreadable, read};
use crate::sheet::{MetricSpec, Sheet, Switches};

pub(crate) const MEMORY: &[MetricSpec] = &[
    MetricSpec::updown("system.memory.usage", "By", "Bytes of memory by what they are used for."),
    MetricSpec::gauge("system.memory.utilization", "1", "The part of the memory that is used for each.").off(),
    MetricSpec::updown("system.memory.limit", "By", "Bytes of memory in all.").off(),
    MetricSpec::updown(
        "system.linux.memory.available",
        "By",
        "What the kernel expects to be able to give to new programs without swapping.",
    )
    .off(),
];

pub(crate) struct Memory {
    on: Switches,
}

impl Memory {
    pub(crate) fn new(on: Switches) -> Memory {
        Memory { on }
    }
}

impl Scrape for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn scrape(&mut self, machine: &Machine, sheet: &mut Sheet, _: &Unread) -> Result<(), Unreadable> {
        let memory: Meminfo = read(&machine.path("proc/meminfo"))?;
        let reclaimable = memory.s_reclaimable.unwrap_or(0);
        let cached = memory.cached + reclaimable;
        let used = memory.mem_total.saturating_sub(memory.mem_free + memory.buffers + cached);
        let states = [
            ("used", used),
            ("free", memory.mem_free),
            ("buffered", memory.buffers),
            ("cached", cached),
            ("slab_reclaimable", reclaimable),
            ("slab_unreclaimable", memory.s_unreclaim.unwrap_or(0)),
        ];
        for (state, bytes) in states {
            let attributes = [("state", state)];
            sheet.int(&self.on, "system.memory.usage", &attributes, bytes);
            if memory.mem_total > 0 {
                let part = bytes as f64 / memory.mem_total as f64;
                sheet.double(&self.on, "system.memory.utilization", &attributes, part);
            }
        }
        sheet.int(&self.on, "system.memory.limit", &[], memory.mem_total);
        if let Some(available) = memory.mem_available {
            sheet.int(&self.on, "system.linux.memory.available", &[], available);
        }
        Ok(())
    }
}
