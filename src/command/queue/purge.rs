//! `queue purge`: deletes what waits, while nobody has the queue open.

use std::fs::{File, TryLockError};

use anyhow::{Context, bail};
use steadyline_blocklog::{RealDisk, inspect};

use super::select::Queue;
use crate::command::{Failure, message};

pub(super) fn purge(queues: &[Queue], quarantined: bool, yes: bool) -> Result<(), Failure> {
    // All locks before the first deletion: it is all of them or none.
    let locks = queues.iter().map(lock).collect::<anyhow::Result<Vec<File>>>()?;
    let mut blocks = 0;
    for queue in queues {
        let seen = inspect(RealDisk, &queue.folder).context("cannot look into the queue")?;
        let (records, items) = (seen.pending.records, seen.pending.items);
        blocks += records;
        let verb = if yes { "deleting" } else { "would delete" };
        let copies = match seen.quarantine.0 {
            copies if quarantined && copies > 0 => format!(" and {copies} copies of damaged records"),
            _ => String::new(),
        };
        message(&format!("steadyline: {verb} {records} blocks with {items} items{copies} of {}", queue.name()));
        if yes {
            steadyline_blocklog::purge(&RealDisk, &queue.folder, quarantined)?;
        }
    }
    drop(locks);
    if !yes {
        return Err(anyhow::anyhow!("nothing was deleted; `--yes` deletes these {blocks} blocks for good").into());
    }
    Ok(())
}

fn lock(queue: &Queue) -> anyhow::Result<File> {
    let path = queue.lock_file();
    let file = File::options().read(true).write(true).create(true).truncate(false).open(&path);
    let file = file.with_context(|| format!("cannot open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!(
            "a running process has the queue of {} open; stop it first, or use `queue export`, which may run beside it",
            queue.name()
        ),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
    }
}
