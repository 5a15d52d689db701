//! The task that writes: one job after another, the mark ahead of what is sent, and patience while storage fails.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use steadyline_component::storage::Patience;
use steadyline_component::{Area, Change, Clock, StorageError};
use tokio::sync::{mpsc, oneshot};

use super::record::sealed;
use super::{PERIOD, ROWS, Shared};
use crate::clock::NANOS_PER_MS;
use crate::identity::Secret;

/// The key of the mark.
pub(super) const MARK: &[u8] = b"2";
/// How far the mark runs ahead of the clock: half as long again as until it is written anew.
const LEAD_MS: u64 = PERIOD.as_millis() as u64 * 3 / 2;

/// What to write.
#[derive(Debug, Default)]
pub(super) struct Job {
    /// Whether all series and what they share go first.
    pub clear: bool,
    /// In order; one commit for each few thousand.
    pub changes: Vec<Change>,
    /// Whether nothing is sent after this: the mark is what was sent, not ahead of it.
    pub last: bool,
    /// Whether the mark is to be written at once: something was sent above it.
    pub mark: bool,
    /// Who waits for it.
    pub done: Option<oneshot::Sender<Result<(), StorageError>>>,
}

impl Job {
    pub(super) fn is_empty(&self) -> bool {
        !self.clear && self.changes.is_empty() && !self.last && !self.mark && self.done.is_none()
    }
}

/// What the task works with.
pub(super) struct Writer {
    pub area: Arc<dyn Area>,
    pub clock: Clock,
    pub patience: Patience,
    pub secret: Secret,
    pub shared: Arc<Shared>,
}

impl Writer {
    /// Writes until the processor is gone.
    pub(super) async fn run(mut self, mut jobs: mpsc::UnboundedReceiver<Job>) {
        let mut ended = false;
        let mut next = self.clock.now().mono + PERIOD;
        loop {
            let job = tokio::select! {
                biased;
                job = jobs.recv() => job,
                () = self.clock.sleep_until(next), if !ended => Some(Job::default()),
            };
            // Gone; if another one has the state now, the mark stays ahead of all that was sent.
            let Some(mut job) = job else { return };
            let counted = !job.is_empty();
            ended |= job.last;
            let now = self.clock.now();
            if ended || job.mark || now.mono >= next {
                job.changes.extend(self.mark(now.unix_nanos / NANOS_PER_MS, ended));
                next = now.mono + PERIOD;
            }
            let done = job.done.take();
            let written = self.write(job).await;
            let is_over = written.is_err();
            if let Some(done) = done {
                // Whoever waited may have had no more time.
                let _ = done.send(written);
            }
            if is_over {
                return;
            }
            if counted {
                self.shared.pending.fetch_sub(1, Ordering::AcqRel);
            }
        }
    }

    /// The mark: above everything that may be sent before the next one is written.
    fn mark(&self, now_ms: u64, exact: bool) -> Option<Change> {
        let highest = self.shared.highest.load(Ordering::Relaxed);
        // What is above the clock rises by a millisecond with each time that it is sent: it needs no such lead, and with
        // it would run away from the clock in a process that starts over and over.
        let ahead = (now_ms + LEAD_MS).max(highest + LEAD_MS / 100);
        let mark = if exact { highest } else { ahead };
        if highest == 0 {
            return None;
        }
        self.shared.mark.store(mark, Ordering::Relaxed);
        Some(sealed(&self.secret, MARK, &mark.to_le_bytes()))
    }

    /// Writes a job, however long that takes; an error if it never will.
    async fn write(&mut self, job: Job) -> Result<(), StorageError> {
        loop {
            let attempt = self.try_write(&job).await;
            if let ControlFlow::Break(end) = self.patience.after(attempt).await {
                return end;
            }
        }
    }

    async fn try_write(&self, job: &Job) -> Result<(), StorageError> {
        if job.clear {
            let all = self.area.read_all().await?;
            // Keys of one byte say what the others mean.
            let keys: Vec<Change> =
                all.into_iter().filter(|(key, _)| key.len() > 1).map(|(key, _)| Change::Delete(key)).collect();
            for chunk in keys.chunks(ROWS) {
                self.area.commit(chunk.to_vec()).await?;
            }
        }
        for chunk in job.changes.chunks(2 * ROWS) {
            self.area.commit(chunk.to_vec()).await?;
        }
        Ok(())
    }
}
