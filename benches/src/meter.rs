//! What a stage costs: CPU time of this thread and allocations, added up call by call.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::alloc::{Allocations, allocations};

/// The costs of one stage.
#[derive(Debug, Default, Clone)]
pub struct Stage {
    /// CPU time of the thread.
    pub cpu: Duration,
    /// Time on the wall: far above `cpu` on a machine that is not quiet.
    pub wall: Duration,
    /// Allocations.
    pub allocations: Allocations,
}

impl Stage {
    /// Runs `work` and adds what it cost.
    pub fn measure<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let (before, start, cpu) = (allocations(), Instant::now(), thread_cpu());
        let result = work();
        self.cpu += thread_cpu() - cpu;
        self.wall += start.elapsed();
        let after = allocations();
        self.allocations.count += after.count - before.count;
        self.allocations.bytes += after.bytes - before.bytes;
        result
    }

    /// Microseconds of CPU for each of so many items.
    pub fn micros_per(&self, items: u64) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / items as f64
    }

    /// Adds another stage's costs.
    pub fn add(&mut self, other: &Stage) {
        self.cpu += other.cpu;
        self.wall += other.wall;
        self.allocations.count += other.allocations.count;
        self.allocations.bytes += other.allocations.bytes;
    }
}

fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

/// Resident memory of this process in bytes, as Linux tells it; 0 elsewhere.
pub fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).and_then(|kib| kib.parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}
