//! The disk under a queue, as the queue sees it: records go in, are read back in order, and are acknowledged.

use std::fmt::Debug;

use async_trait::async_trait;
use steadyline_blocklog::Record;

use super::queue::Reach;

/// Keeps records of one queue.
#[async_trait]
pub trait Backing: Send + Sync + Debug {
    /// Writes records behind all others, all or none; says which append that was. From then on they survive the process.
    /// `sync`: somebody will wait until they survive the machine.
    ///
    /// # Errors
    /// None of them was kept; says why.
    async fn append(&self, records: Vec<Record>, sync: bool) -> Result<u64, String>;

    /// Resolves when everything up to this append is synced: one sync for all that wait. One that fails is repeated.
    ///
    /// # Errors
    /// It was closed before.
    async fn synced(&self, append: u64) -> Result<(), String>;

    /// The next records of a generation's shard whose sequence number is above `after`, in order: at least one if there
    /// is any, and more while they are within reach.
    async fn read(&self, place: (u32, u32), after: u64, reach: Reach) -> Vec<Stored>;

    /// Everything of a shard up to this sequence number is settled. It is written together with what comes next, and
    /// when somebody asks for that.
    fn acknowledge(&self, shard: u32, seq: u64);

    /// Resolves when what was acknowledged of a shard is written: before more of it is sent.
    async fn caught_up(&self, shard: u32);

    /// The backend took a record of a shard that a process before may have sent.
    fn taken(&self, shard: u32);

    /// Takes out the oldest record of all shards that is above what each shard has under way (`after`, by shard).
    async fn discard_oldest(&self, after: Vec<u64>) -> Option<Discarded>;

    /// Syncs and closes. `clean`: nothing was under way, so nothing will be sent twice.
    async fn close(&self, clean: bool) -> Result<(), String>;

    /// Bytes on disk, with what is not reclaimed yet.
    fn disk_bytes(&self) -> u64;
}

/// A record as it was read back.
#[derive(Debug)]
pub enum Stored {
    /// As it was written.
    Whole {
        /// The record.
        record: Record,
        /// Whether a process before may have sent it.
        replay: bool,
    },
    /// Its place on disk is damaged; it was put aside.
    Damaged {
        /// Its sequence number.
        seq: u64,
        /// Items that are lost with it.
        items: u64,
        /// Bytes that it took, as [`super::Queue`] counts them.
        bytes: u64,
        /// What is wrong.
        message: String,
    },
}

/// A record that made room.
#[derive(Debug, Clone, Copy)]
pub struct Discarded {
    /// Its generation.
    pub generation: u32,
    /// Its shard.
    pub shard: u32,
    /// Items that are lost with it.
    pub items: u64,
    /// Bytes that it took.
    pub bytes: u64,
}

/// What was found at the start.
#[derive(Debug, Default)]
pub struct Restored {
    /// Pending blocks by generation and shard, generations in order.
    pub pending: Vec<Pending>,
    /// Their items.
    pub items: u64,
    /// Their bytes, as [`super::Queue`] counts them.
    pub bytes: u64,
    /// The next sequence number.
    pub next_seq: u64,
    /// Items that were found damaged.
    pub damaged_items: u64,
}

/// What a shard of a generation has on disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pending {
    /// The generation.
    pub generation: u32,
    /// The shard.
    pub shard: u32,
    /// Its blocks.
    pub blocks: u64,
}
