//! The scraper `process`: each process is a resource of its own.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use procfs::Meminfo;
use procfs::process::{Io, Stat, Status};
use steadyline_component::telemetry::Value;

use super::{Part, Scrape, Unread};
use crate::config::ProcessConfig;
use crate::filter::Filter;
use crate::machine::{Machine, Unreadable, read, read_text};
use crate::sheet::{MetricSpec, Sheet, Switches};

pub(crate) const PROCESS: &[MetricSpec] = &[
    MetricSpec::counter("process.cpu.time", "s", "CPU seconds by state."),
    MetricSpec::updown("process.memory.usage", "By", "Physical memory in use."),
    MetricSpec::updown("process.memory.virtual", "By", "Virtual memory."),
    MetricSpec::counter("process.disk.io", "By", "Disk bytes transferred."),
    MetricSpec::gauge(
        "process.cpu.utilization",
        "1",
        "The part of all CPUs' time since the last reading that the process took.",
    )
    .off(),
    MetricSpec::gauge("process.memory.utilization", "1", "The part of the physical memory in use.").off(),
    MetricSpec::updown("process.threads", "{threads}", "Threads.").off(),
    MetricSpec::updown("process.open_file_descriptors", "{count}", "File descriptors in use.").off(),
    MetricSpec::counter("process.paging.faults", "{faults}", "Page faults.").off(),
    MetricSpec::updown("process.signals_pending", "{signals}", "Signals that wait for the process.").off(),
    MetricSpec::counter("process.context_switches", "{count}", "Times that the process was switched.").off(),
    MetricSpec::counter("process.disk.operations", "{operations}", "Reads and writes that the process asked for.")
        .off(),
    MetricSpec::gauge("process.uptime", "s", "How long the process has been running.").off(),
];

pub(crate) struct Process {
    on: Switches,
    names: Filter,
    config: ProcessConfig,
    /// CPU seconds by state at the last reading, with its time; by pid and start.
    last: HashMap<(u32, u64), ([f64; 3], u64)>,
}

const STATES: [&str; 3] = ["user", "system", "wait"];

/// What holds for all processes of one reading.
struct Pass {
    boot: u64,
    cpus: f64,
    memory: Option<u64>,
    users: HashMap<u32, String>,
}

impl Process {
    pub(crate) fn new(on: Switches, names: Filter, config: &ProcessConfig) -> Process {
        Process { on, names, config: config.clone(), last: HashMap::new() }
    }

    fn one(&self, machine: &Machine, sheet: &mut Sheet, pass: &Pass, pid: u32, unread: &Unread) -> Option<Reading> {
        let folder = machine.path(&format!("proc/{pid}"));
        let miss = |part| {
            if !self.is_muted(part) {
                unread.count(part);
            }
        };
        let (stat, status) = match (read::<Stat>(&folder.join("stat")), read::<Status>(&folder.join("status"))) {
            (Ok(stat), Ok(status)) => (stat, status),
            // One that has ended meanwhile is none.
            _ if !folder.exists() => return None,
            _ => {
                miss(Part::Name);
                return None;
            }
        };
        if !self.names.admits(&status.name) {
            return None;
        }
        let start = pass.boot + (stat.starttime as f64 / machine.ticks * 1e9) as u64;
        let age = sheet.time.saturating_sub(start);
        if age < self.config.scrape_process_delay.get().as_nanos() as u64 {
            return None;
        }
        self.open_resource(sheet, &folder, pass, &status, start, &miss);
        let cpu = self.numbers(machine, sheet, pass, (&stat, &status));
        self.files(sheet, &folder, &miss);
        sheet.double(&self.on, "process.uptime", &[], age as f64 / 1e9);
        let key = (pid, stat.starttime);
        self.utilization(sheet, pass, key, cpu);
        Some((key, cpu))
    }

    fn open_resource(
        &self,
        sheet: &mut Sheet,
        folder: &Path,
        pass: &Pass,
        status: &Status,
        start: u64,
        miss: &dyn Fn(Part),
    ) {
        let exe = std::fs::read_link(folder.join("exe")).map(PathBuf::into_os_string);
        let exe = exe.ok().map(|path| path.to_string_lossy().into_owned());
        let words = std::fs::read(folder.join("cmdline")).unwrap_or_default();
        let words: Vec<String> = words
            .split(|byte| *byte == 0)
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .filter(|word| !word.is_empty())
            .collect();
        let line = words.join(" ");
        let owner = pass.users.get(&status.euid).cloned().unwrap_or_else(|| {
            miss(Part::Owner);
            status.euid.to_string()
        });
        let mut attributes = vec![
            ("process.pid", Value::Int(status.pid.into())),
            ("process.parent_pid", Value::Int(status.ppid.into())),
            ("process.executable.name", Value::text(&status.name)),
        ];
        match &exe {
            Some(path) => attributes.push(("process.executable.path", Value::text(path))),
            // A thread of the kernel has neither.
            None if words.is_empty() => {}
            None => miss(Part::Exe),
        }
        if let Some(command) = words.first() {
            attributes.push(("process.command", Value::text(command)));
            attributes.push(("process.command_line", Value::text(&line)));
        }
        attributes.push(("process.owner", Value::text(&owner)));
        sheet.resource(&attributes, start);
    }

    /// What `stat` and `status` say; the CPU seconds by state.
    fn numbers(&self, machine: &Machine, sheet: &mut Sheet, pass: &Pass, (stat, status): (&Stat, &Status)) -> [f64; 3] {
        let on = &self.on;
        let wait = stat.delayacct_blkio_ticks.unwrap_or(0);
        let cpu = [stat.utime, stat.stime, wait].map(|ticks| ticks as f64 / machine.ticks);
        for (state, seconds) in STATES.into_iter().zip(cpu) {
            sheet.double(on, "process.cpu.time", &[("state", state)], seconds);
        }
        let resident = stat.rss.saturating_mul(machine.page);
        sheet.int(on, "process.memory.usage", &[], resident);
        sheet.int(on, "process.memory.virtual", &[], stat.vsize);
        if let Some(memory) = pass.memory.filter(|memory| *memory > 0) {
            sheet.double(on, "process.memory.utilization", &[], resident as f64 / memory as f64);
        }
        sheet.int(on, "process.threads", &[], status.threads);
        sheet.int(on, "process.signals_pending", &[], status.sigq.0);
        for (kind, faults) in [("major", stat.majflt), ("minor", stat.minflt)] {
            sheet.int(on, "process.paging.faults", &[("type", kind)], faults);
        }
        let switches =
            [("voluntary", status.voluntary_ctxt_switches), ("involuntary", status.nonvoluntary_ctxt_switches)];
        for (kind, count) in switches {
            if let Some(count) = count {
                sheet.int(on, "process.context_switches", &[("type", kind)], count);
            }
        }
        cpu
    }

    /// What only its owner may read.
    fn files(&self, sheet: &mut Sheet, folder: &Path, miss: &dyn Fn(Part)) {
        let on = &self.on;
        if on.has("process.disk.io") || on.has("process.disk.operations") {
            match read::<Io>(&folder.join("io")) {
                Ok(io) => {
                    let reads = ("read", io.read_bytes, io.syscr);
                    for (direction, bytes, calls) in [reads, ("write", io.write_bytes, io.syscw)] {
                        sheet.int(on, "process.disk.io", &[("direction", direction)], bytes);
                        sheet.int(on, "process.disk.operations", &[("direction", direction)], calls);
                    }
                }
                Err(_) => miss(Part::Io),
            }
        }
        if on.has("process.open_file_descriptors") {
            match std::fs::read_dir(folder.join("fd")) {
                Ok(open) => sheet.int(on, "process.open_file_descriptors", &[], open.count() as u64),
                Err(_) => miss(Part::Descriptors),
            }
        }
    }

    fn utilization(&self, sheet: &mut Sheet, pass: &Pass, key: (u32, u64), cpu: [f64; 3]) {
        let Some((last, time)) = self.last.get(&key) else { return };
        let passed = sheet.time.saturating_sub(*time) as f64 / 1e9 * pass.cpus;
        if passed <= 0.0 {
            return;
        }
        for (row, state) in STATES.into_iter().enumerate() {
            let part = (cpu[row] - last[row]).max(0.0) / passed;
            sheet.double(&self.on, "process.cpu.utilization", &[("state", state)], part);
        }
    }

    fn is_muted(&self, part: Part) -> bool {
        let config = &self.config;
        config.mute_process_all_errors
            || match part {
                Part::Name => config.mute_process_name_error,
                Part::Exe => config.mute_process_exe_error,
                Part::Io | Part::Descriptors => config.mute_process_io_error,
                Part::Owner => config.mute_process_user_error,
                Part::Filesystem => false,
            }
    }
}

/// A process by pid and start, and its CPU seconds by state.
type Reading = ((u32, u64), [f64; 3]);

/// Names of users by number.
fn users(machine: &Machine) -> HashMap<u32, String> {
    let text = read_text(&machine.path("etc/passwd")).unwrap_or_default();
    let user = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        Some((fields.nth(1)?.parse().ok()?, name.to_string()))
    };
    // The first name of a number is its own.
    text.lines().rev().filter_map(user).collect()
}

impl Scrape for Process {
    fn name(&self) -> &'static str {
        "process"
    }

    fn scrape(&mut self, machine: &Machine, sheet: &mut Sheet, unread: &Unread) -> Result<(), Unreadable> {
        let kernel = machine.kernel()?;
        let memory = read::<Meminfo>(&machine.path("proc/meminfo")).ok().map(|memory| memory.mem_total);
        let cpus = kernel.cpu_time.len().max(1) as f64;
        let pass = Pass { boot: kernel.btime * 1_000_000_000, cpus, memory, users: users(machine) };
        let mut pids = machine.pids()?;
        pids.sort_unstable();
        let time = sheet.time;
        let read = pids.into_iter().filter_map(|pid| self.one(machine, sheet, &pass, pid, unread));
        self.last = read.map(|(key, cpu)| (key, (cpu, time))).collect();
        Ok(())
    }
}
