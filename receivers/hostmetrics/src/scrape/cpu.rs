//! The scraper `cpu`: `proc/stat` and `proc/cpuinfo`.

use std::collections::{HashMap, HashSet};

use procfs::{CpuInfo, CpuTime};

use super::{Scrape, Unread};
use crate::machine::{Machine, Unreadable, read};
use crate::sheet::{MetricSpec, Sheet, Switches};

pub(crate) const CPU: &[MetricSpec] = &[
    MetricSpec::counter("system.cpu.time", "s", "Total seconds each logical CPU spent on each mode."),
    MetricSpec::gauge(
        "system.cpu.utilization",
        "1",
        "The part of the time since the last reading that each logical CPU spent on each mode.",
    )
    .off(),
    MetricSpec::gauge("system.cpu.frequency", "Hz", "The frequency of each logical CPU now.").off(),
    MetricSpec::updown("system.cpu.logical.count", "{cpu}", "Number of logical CPUs.").off(),
    MetricSpec::updown("system.cpu.physical.count", "{cpu}", "Number of physical cores.").off(),
];

pub(crate) struct Cpu {
    on: Switches,
    /// Ticks by state at the last reading, for utilization.
    last: HashMap<usize, [u64; 8]>,
}

const STATES: [&str; 8] = ["user", "system", "idle", "interrupt", "nice", "softirq", "steal", "wait"];

fn ticks(time: &CpuTime) -> [u64; 8] {
    let or0 = Option::unwrap_or_default;
    let (irq, softirq, steal, wait) = (or0(time.irq), or0(time.softirq), or0(time.steal), or0(time.iowait));
    [time.user, time.system, time.idle, irq, time.nice, softirq, steal, wait]
}

impl Cpu {
    pub(crate) fn new(on: Switches) -> Cpu {
        Cpu { on, last: HashMap::new() }
    }

    fn info(&self, machine: &Machine, sheet: &mut Sheet) -> Result<(), Unreadable> {
        let info: CpuInfo = read(&machine.path("proc/cpuinfo"))?;
        let mut cores = HashSet::new();
        for number in 0..info.num_cores() {
            let field = |name| info.get_field(number, name);
            let core = field("core id").map_or_else(|| number.to_string(), str::to_string);
            cores.insert((field("physical id").unwrap_or("0").to_string(), core));
            if let Some(mhz) = field("cpu MHz").and_then(|text| text.parse::<f64>().ok()) {
                let cpu = format!("cpu{number}");
                sheet.double(&self.on, "system.cpu.frequency", &[("cpu", &cpu)], mhz * 1e6);
            }
        }
        sheet.int(&self.on, "system.cpu.physical.count", &[], cores.len() as u64);
        Ok(())
    }
}

impl Scrape for Cpu {
    fn name(&self) -> &'static str {
        "cpu"
    }

    fn scrape(&mut self, machine: &Machine, sheet: &mut Sheet, _: &Unread) -> Result<(), Unreadable> {
        let times = machine.kernel()?.cpu_time;
        for (number, time) in times.iter().enumerate() {
            let cpu = format!("cpu{number}");
            let now = ticks(time);
            for (state, ticks) in STATES.into_iter().zip(now) {
                let attributes = [("cpu", cpu.as_str()), ("state", state)];
                sheet.double(&self.on, "system.cpu.time", &attributes, ticks as f64 / machine.ticks);
            }
            let Some(last) = self.last.insert(number, now) else { continue };
            let passed: [u64; 8] = std::array::from_fn(|state| now[state].saturating_sub(last[state]));
            let total: u64 = passed.iter().sum();
            for (state, ticks) in STATES.into_iter().zip(passed).filter(|_| total > 0) {
                let attributes = [("cpu", cpu.as_str()), ("state", state)];
                sheet.double(&self.on, "system.cpu.utilization", &attributes, ticks as f64 / total as f64);
            }
        }
        sheet.int(&self.on, "system.cpu.logical.count", &[], times.len() as u64);
        if self.on.has("system.cpu.frequency") || self.on.has("system.cpu.physical.count") {
            self.info(machine, sheet)?;
        }
        Ok(())
    }
}
