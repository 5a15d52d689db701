//! The process group of a program: killed as a whole, and never left behind.

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process_group, prlimit};
use tokio::process::Child;

use crate::config::Limits;

/// A program's process group. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Group(Option<Pid>);

impl Group {
    /// The group that a child leads; it was started with `process_group(0)`.
    pub(crate) fn of(child: &Child) -> Group {
        Group(child.id().and_then(|id| Pid::from_raw(id.cast_signed())))
    }

    /// Asks every process of the group to end.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Ends every process of the group. To be called at once when the leader has ended: its number is free then.
    pub(crate) fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.0 = None;
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.0 {
            // Fails only if nobody is left.
            let _ = kill_process_group(pid, signal);
        }
    }

    /// Sets the leader's limits; what it starts from now on inherits them.
    ///
    /// # Errors
    /// The system refuses a limit, such as one above its own.
    pub(crate) fn limit(&self, limits: &Limits) -> Result<(), String> {
        let wanted = [
            (Resource::As, "memory", limits.memory.map(|most| most.bytes())),
            (Resource::Cpu, "cpu_time", limits.cpu_time.map(|most| most.get().as_secs())),
            (Resource::Nofile, "open_files", limits.open_files),
            (Resource::Fsize, "file_size", limits.file_size.map(|most| most.bytes())),
        ];
        for (resource, key, most) in wanted {
            let Some(most) = most else { continue };
            match prlimit(self.0, resource, Rlimit { current: Some(most), maximum: Some(most) }) {
                // It has ended already.
                Ok(_) | Err(rustix::io::Errno::SRCH) => {}
                Err(error) => return Err(format!("`limits.{key}` cannot be set: {error}")),
            }
        }
        Ok(())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}
