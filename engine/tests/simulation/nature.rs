//! What is drawn for a world before it begins: how much comes, how long outages last, and how each life is configured.

use std::ops::RangeInclusive;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use steadyline_config::ByteSize;

/// What a world is like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Nature {
    seed: u64,
    /// Series of each feeder.
    pub(crate) series: u32,
    /// Between two batches of a feeder there are less than so many milliseconds.
    pub(crate) pause: u64,
    /// The bound of the queue.
    pub(crate) queue_size: ByteSize,
    /// In so many of a thousand steps an outage of the network ends.
    pub(crate) recovers: u32,
}

impl Nature {
    pub(crate) fn of(seed: u64) -> Nature {
        let mut dice = StdRng::seed_from_u64(seed ^ 0x7a7);
        Nature {
            seed,
            series: [2, 3, 4][dice.random_range(0..3)],
            pause: [150, 300, 500][dice.random_range(0..3)],
            // A small one is full now and then.
            queue_size: [ByteSize::kib(24), ByteSize::mib(1)][dice.random_range(0..2)],
            recovers: [4, 10][dice.random_range(0..2)],
        }
    }

    /// Within what bounds a life shards, which begins with the batch of this number: what is on disk is sharded as it
    /// was, each life may shard otherwise. The further they are apart, the more lanes there are while shards are few.
    pub(crate) fn shards(&self, first: u64) -> RangeInclusive<u32> {
        let mut dice = StdRng::seed_from_u64(self.seed ^ 0x54a ^ first << 32);
        dice.random_range(1..=3)..=[4, 8, 16][dice.random_range(0..3)]
    }
}
