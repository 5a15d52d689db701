//! Delivery: the queue in front of each exporter, one worker a shard, retry, split, accounting.
//! Invariants: a shard has one request in flight; a block leaves the queue only when it is settled or given up;
//! everything given up is counted under a reason and its waiters are told.

mod backoff;
mod branch;
mod queue;
mod worker;

pub use backoff::Backoff;
pub use branch::{Branch, Call};
pub use queue::{Queue, Refused};
