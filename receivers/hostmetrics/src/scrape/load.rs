//! The scraper `load`: `proc/loadavg`.

use procfs::LoadAverage;

use super::{Scrape, Unread};
use crate::machine::{Machine, Unreadable, read};
use crate::sheet::{MetricSpec, Sheet, Switches};

pub(crate) const LOAD: &[MetricSpec] = &[
    MetricSpec::gauge("system.cpu.load_average.1m", "{thread}", "Average CPU load over 1 minute."),
    MetricSpec::gauge("system.cpu.load_average.5m", "{thread}", "Average CPU load over 5 minutes."),
    MetricSpec::gauge("system.cpu.load_average.15m", "{thread}", "Average CPU load over 15 minutes."),
];

pub(crate) struct Load {
    on: Switches,
    per_cpu: bool,
}

impl Load {
    pub(crate) fn new(on: Switches, per_cpu: bool) -> Load {
        Load { on, per_cpu }
    }
}

impl Scrape for Load {
    fn name(&self) -> &'static str {
        "load"
    }

    fn scrape(&mut self, machine: &Machine, sheet: &mut Sheet, _: &Unread) -> Result<(), Unreadable> {
        let load: LoadAverage = read(&machine.path("proc/loadavg"))?;
        let cpus = if self.per_cpu { machine.kernel()?.cpu_time.len().max(1) as f64 } else { 1.0 };
        let averages = [
            ("system.cpu.load_average.1m", load.one),
            ("system.cpu.load_average.5m", load.five),
            ("system.cpu.load_average.15m", load.fifteen),
        ];
        for (name, average) in averages {
            // The kernel gives hundredths; a wider float would show its own rounding.
            let average = (f64::from(average) * 100.0).round() / 100.0;
            sheet.double(&self.on, name, &[], average / cpus);
        }
        Ok(())
    }
}
