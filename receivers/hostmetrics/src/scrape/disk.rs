//! The scraper `disk`: `proc/diskstats`.

use procfs::DiskStats;

use super::{Scrape, Unread};
use crate::filter::Filter;
use crate::machine::{Machine, Unreadable, read};
use crate::sheet::{MetricSpec, Sheet, Switches};

pub(crate) const DISK: &[MetricSpec] = &[
    MetricSpec::counter("system.disk.io", "By", "Disk bytes transferred."),
    MetricSpec::counter("system.disk.operations", "{operations}", "Disk operations."),
    MetricSpec::counter("system.disk.io_time", "s", "Time in which the disk had something to do."),
    MetricSpec::counter("system.disk.operation_time", "s", "Time spent in disk operations."),
    MetricSpec::counter(
        "system.disk.weighted_io_time",
        "s",
        "Time in which the disk had something to do, times the length of its queue.",
    ),
    MetricSpec::updown("system.disk.pending_operations", "{operations}", "Operations that wait."),
    MetricSpec::counter("system.disk.merged", "{operations}", "Operations that were merged into others."),
];

/// The kernel counts in sectors of this many bytes, whatever the disk's are.
const SECTOR: u64 = 512;

pub(crate) struct Disk {
    on: Switches,
    devices: Filter,
}

impl Disk {
    pub(crate) fn new(on: Switches, devices: Filter) -> Disk {
        Disk { on, devices }
    }
}

impl Scrape for Disk {
    fn name(&self) -> &'static str {
        "disk"
    }

    fn scrape(&mut self, machine: &Machine, sheet: &mut Sheet, _: &Unread) -> Result<(), Unreadable> {
        let DiskStats(disks) = read(&machine.path("proc/diskstats"))?;
        let seconds = |millis: u64| millis as f64 / 1000.0;
        let on = &self.on;
        for disk in disks.iter().filter(|disk| self.devices.admits(&disk.name)) {
            let device = ("device", disk.name.as_str());
            let reads = (disk.sectors_read, disk.reads, disk.time_reading, disk.merged);
            let writes = (disk.sectors_written, disk.writes, disk.time_writing, disk.writes_merged);
            for (direction, (sectors, operations, time, merged)) in [("read", reads), ("write", writes)] {
                let attributes = [device, ("direction", direction)];
                sheet.int(on, "system.disk.io", &attributes, sectors.saturating_mul(SECTOR));
                sheet.int(on, "system.disk.operations", &attributes, operations);
                sheet.double(on, "system.disk.operation_time", &attributes, seconds(time));
                sheet.int(on, "system.disk.merged", &attributes, merged);
            }
            sheet.double(on, "system.disk.io_time", &[device], seconds(disk.time_in_progress));
            sheet.double(on, "system.disk.weighted_io_time", &[device], seconds(disk.weighted_time_in_progress));
            sheet.int(on, "system.disk.pending_operations", &[device], disk.in_progress);
        }
        Ok(())
    }
}
