//! Delivery: the queue in front of each exporter, one worker a shard, retry, split, accounting.
//! Invariants: a shard has one request in flight; a block leaves the queue only when it is settled or given up;
//! everything given up is counted under a reason and its waiters are told.

mod backing;
mod backoff;
mod branch;
mod call;
mod circuit;
mod dead_letter;
mod disk;
mod opened;
mod queue;
mod worker;

pub use backing::{Backing, Discarded, Pending, Restored, Stored};
pub use backoff::Backoff;
pub use branch::{Branch, BranchContext};
pub use call::Call;
pub use circuit::Circuit;
pub use disk::DiskQueue;
pub use queue::{PutAway, Queue, Reach, Refused};

/// The log below, for tests that put other disks under it.
pub use steadyline_blocklog as blocklog;
