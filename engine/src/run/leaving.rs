//! Exporters that a reload took away: they send what they still have, until a deadline, and nobody waits for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use steadyline_component::receiver::ShutdownTrigger;
use steadyline_component::{Shutdown, Status};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::parts::RunningBranch;
use crate::delivery::{Branch, PutAway};

/// What stays on disk for an exporter of the same name is counted under this.
pub(super) const KEPT: &str = "kept_on_disk";

/// An exporter on its way out.
pub(super) struct Leaving {
    pub(super) branch: Arc<Branch>,
    /// Whether its place on the board is its own; else another exporter stands there.
    stands: Arc<AtomicBool>,
    /// Fires when a later reload brings the exporter back.
    recall: ShutdownTrigger,
    /// Gives the workers back if it was recalled.
    task: JoinHandle<JoinSet<()>>,
    gone: watch::Receiver<Option<PutAway>>,
}

impl Leaving {
    /// Lets an exporter that nobody pushes to any more drain for at most `limit`; then, or when `hard_stop` fires, what
    /// is left is given up. `stands`: no other exporter has its place on the board.
    pub(super) fn begin(running: RunningBranch, stands: bool, limit: Duration, hard_stop: Shutdown) -> Leaving {
        let (recall, recalled) = Shutdown::new();
        let (tell, gone) = watch::channel(None);
        let branch = Arc::clone(&running.branch);
        let stands = Arc::new(AtomicBool::new(stands));
        let is_standing = Arc::clone(&stands);
        if stands.load(Ordering::Relaxed) {
            branch.status.set(Status::Stopping);
        }
        branch.queue.close();
        let task = tokio::spawn(async move {
            let RunningBranch { branch, mut workers, _life } = running;
            let reason = tokio::select! {
                biased;
                () = recalled.wait() => return workers,
                () = ended(&mut workers) => "removed",
                () = hard_stop.wait() => "shutdown",
                () = tokio::time::sleep(limit) => "removed",
            };
            workers.shutdown().await;
            let left = branch.put_away_as(reason).await;
            // Off the books of this process, until an exporter of this name finds it there.
            branch.queue.give_up(KEPT);
            if left != PutAway::default() {
                let PutAway { kept, lost } = left;
                tracing::error!(component = %branch.name, kept, lost,
                    "the exporter was removed, and not everything could be delivered in time: {lost} items are lost, \
                     {kept} stay on disk for an exporter of this name");
            }
            if is_standing.load(Ordering::Relaxed) {
                branch.status.remove();
            }
            tell.send_replace(Some(left));
            workers
        });
        Leaving { branch, stands, recall, task, gone }
    }

    /// Another exporter stands in its place on the board.
    pub(super) fn step_aside(&self) {
        self.stands.store(false, Ordering::Relaxed);
    }

    /// Whether it has gone.
    pub(super) fn is_over(&self) -> bool {
        self.gone.borrow().is_some()
    }

    /// Resolves when it is gone, or recalled.
    pub(super) fn gone(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut gone = self.gone.clone();
        async move {
            // A sender that is gone without a word was recalled.
            let _ = gone.wait_for(Option::is_some).await;
        }
    }

    /// Waits until it has sent everything or given up.
    pub(super) async fn drained(&mut self) {
        self.gone().await;
    }

    /// Waits until it is gone; what it did not deliver.
    pub(super) async fn ended(self) -> PutAway {
        self.gone().await;
        self.gone.borrow().unwrap_or_default()
    }

    /// The exporter is wanted again: its workers, to be halted by who takes its place.
    pub(super) async fn recall(self) -> JoinSet<()> {
        self.recall.fire();
        // A panic there was told of where it happened.
        self.task.await.unwrap_or_default()
    }
}

async fn ended(workers: &mut JoinSet<()>) {
    while workers.join_next().await.is_some() {}
}
