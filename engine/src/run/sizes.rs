//! How the memory budget is shared out: queues of the default size together at most three quarters, the rest for data in
//! flight.

use std::sync::Arc;

use steadyline_component::exporter::QueueConfig;

use crate::delivery::Branch;

/// What data in flight may take beside these queues, of so many bytes in all.
pub(super) fn in_flight(total: u64, queues: u64) -> u64 {
    total.saturating_sub(queues).max(total / 4)
}

/// Makes the queues fit three quarters of the memory budget and says how much they may hold together.
/// A size that config names is left as it is, and told of if it does not fit.
pub(super) fn fit_queues<'a>(branches: impl Iterator<Item = &'a Arc<Branch>>, total: u64) -> u64 {
    let standard = bytes(&QueueConfig::default());
    let (mut fixed, mut flexible) = (0, Vec::new());
    for branch in branches {
        let config = &branch.delivery.queue;
        match bytes(config) {
            // Only what waits in memory counts.
            size if config.storage.is_some() => {
                branch.queue.set_capacity(size);
                fixed += config.memory_size.as_usize() as u64;
            }
            size if size == standard => flexible.push(branch),
            size => {
                branch.queue.set_capacity(size);
                fixed += size;
            }
        }
    }
    let limit = total / 4 * 3;
    let mut each = standard;
    if fixed + standard * flexible.len() as u64 > limit && !flexible.is_empty() {
        each = (limit.saturating_sub(fixed) / flexible.len() as u64).clamp(1 << 20, standard);
        tracing::info!(
            bytes = each,
            "queues of the default size are smaller, to fit the memory budget of {total} bytes"
        );
    }
    flexible.iter().for_each(|branch| branch.queue.set_capacity(each));
    let sum = fixed + each * flexible.len() as u64;
    if sum > limit {
        tracing::warn!("the queues may hold {sum} bytes, more than three quarters of the memory budget of {total}");
    }
    sum
}

fn bytes(queue: &QueueConfig) -> u64 {
    queue.queue_size.as_usize() as u64
}
