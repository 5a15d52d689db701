//! Exporters. Most are two parts: an encoder (CPU only, makes final compressed wire blocks) and a sender (one attempt
//! at one block). Queue, retry, order, limits, shutdown and accounting are the engine's. A sink takes batches as they are.

mod config;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::batch::Batch;
use crate::check::{CheckRow, IamStatement};
use crate::delivery::Receipt;
use crate::leadership::Term;
use crate::own::TraceParent;
use crate::tally::Tally;
use crate::{Host, Permit, StartError};

pub use config::{DeadLetterConfig, DeliveryConfig, OnFull, OnReject, QueueConfig, RetryConfig, Sizer};

/// What an exporter's factory gives to the engine.
#[expect(clippy::large_enum_variant, reason = "one is made per exporter, at start")]
pub enum Exporter {
    /// Wire blocks through a queue.
    Queued {
        /// Makes blocks.
        encoder: Box<dyn Encoder>,
        /// Sends blocks.
        sender: Arc<dyn Sender>,
        /// The keys that all such exporters share.
        delivery: DeliveryConfig,
    },
    /// Batches as they are, without a queue: a pull endpoint, a terminal.
    Direct(Arc<dyn Sink>),
}

/// Turns batches into final wire blocks. CPU only.
pub trait Encoder: Send {
    /// Encodes a batch into blocks for `shards` shards; a series is always in the same shard for the same count.
    /// Confirmations ([`steadyline_telemetry::Point::held`]) are not data: count them with [`Tally::dropped`]
    /// under `confirmation`. Points that cannot be expressed are counted with a reason.
    fn encode(&mut self, batch: &Batch, shards: u32, encoded: &mut Encoded<'_>);
}

/// Where an encoder puts blocks and counts what it leaves out.
#[derive(Debug)]
pub struct Encoded<'a> {
    /// The finished blocks, in order.
    pub blocks: &'a mut Vec<Block>,
    /// Where dropped, merged and created points are counted.
    pub tally: &'a Tally,
}

/// Sends blocks, one attempt at a time.
#[async_trait]
pub trait Sender: Send + Sync {
    /// Prepares what must be ready. Must not need the backend: one that is down is a retry, not a failed start.
    async fn start(&self, _host: &Host) -> Result<(), StartError> {
        Ok(())
    }

    /// One attempt. The engine bounds it in time and drops the future when the time is over.
    async fn send(&self, block: &Block, attempt: &Attempt) -> Outcome;

    /// Two halves of a block that was too large, in order; `None` if it cannot be split (a single series).
    fn split(&self, _block: &Block) -> Option<(Block, Block)> {
        None
    }

    /// How large a joined block may be; nothing by default: blocks are never joined.
    fn join_limit(&self) -> JoinLimit {
        JoinLimit::default()
    }

    /// One block with everything of these, in their order: all of one shard and one protocol, none too large by itself.
    /// `None` if they cannot be one, or not within what a request may hold. Called when blocks wait behind a slow
    /// backend, so that it is asked less often.
    fn join(&self, _blocks: &[Block]) -> Option<Block> {
        None
    }

    /// The series of these blocks in up to `ways` lanes, each series in one of them: what [`Sender::join`] would make,
    /// for a backend that is slow and may be asked several things at once. A lane's blocks are in order, and each within
    /// the limit. `None` if the blocks cannot be taken apart by series.
    fn spread(&self, _blocks: &[Block], _ways: usize) -> Option<Vec<Vec<Block>>> {
        None
    }

    /// The block in the protocol's older form, after [`Outcome::FallBack`].
    fn recode(&self, _block: &Block) -> Option<Block> {
        None
    }

    /// For the log after a final refusal: a series of the block, preferably the one that the backend's words name.
    fn offending_series(&self, _block: &Block, _words: &str) -> Option<String> {
        None
    }

    /// Asks the backend whether it would take data. Online.
    async fn check(&self) -> Vec<CheckRow> {
        Vec::new()
    }

    /// The permissions that sending needs. Offline.
    fn permissions(&self) -> Vec<IamStatement> {
        Vec::new()
    }
}

/// How large a block may be that [`Sender::join`] makes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JoinLimit {
    /// Bytes before compression.
    pub bytes: u64,
    /// Items.
    pub items: u64,
}

impl JoinLimit {
    /// Whether a block may go along with others.
    pub fn fits(&self, bytes: u64, items: u64) -> bool {
        bytes <= self.bytes && items <= self.items
    }

    /// Room for so many blocks of this size.
    #[must_use]
    pub fn times(&self, blocks: usize) -> JoinLimit {
        let blocks = blocks as u64;
        JoinLimit { bytes: self.bytes.saturating_mul(blocks), items: self.items.saturating_mul(blocks) }
    }
}

/// Takes batches as they are.
#[async_trait]
pub trait Sink: Send + Sync {
    /// Binds what must be bound. An error stops the start of the whole process.
    async fn start(&self, _host: &Host) -> Result<(), StartError> {
        Ok(())
    }

    /// Takes a batch. Must not wait for anything remote. Counts what it does not show in `tally`.
    async fn consume(&self, batch: Batch, tally: &Tally);

    /// Whether a full exporter beside it may be left behind for its sake. A terminal is no reason to lose data.
    fn counts_as_branch(&self) -> bool {
        true
    }

    /// The process stops; flush and close.
    async fn shutdown(&self) {}
}

/// Bytes that go over the wire, with room for their digest: computed at most once however often they are sent.
#[derive(Debug, Clone, Default)]
pub struct Payload {
    bytes: Bytes,
    sha256: Arc<OnceLock<[u8; 32]>>,
}

impl Payload {
    /// The bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The digest, by `compute` the first time.
    pub fn sha256(&self, compute: impl FnOnce(&[u8]) -> [u8; 32]) -> &[u8; 32] {
        self.sha256.get_or_init(|| compute(&self.bytes))
    }
}

impl<B: Into<Bytes>> From<B> for Payload {
    fn from(bytes: B) -> Self {
        Payload { bytes: bytes.into(), sha256: Arc::default() }
    }
}

/// A finished piece of output: encoded once, compressed, the same bytes at every attempt.
#[derive(Debug, Clone)]
pub struct Block {
    /// What goes over the wire.
    pub payload: Payload,
    /// Data points, spans or log records in it, as the engine counts them.
    pub items: u64,
    /// Which protocol and version the bytes are in; the exporter's own numbering.
    pub protocol: u16,
    /// Which shard the block's series belong to.
    pub shard: u32,
    /// Bytes before compression.
    pub uncompressed: u64,
    /// The earliest and latest sample, nanoseconds since the Unix epoch; (0, 0) if there is none.
    pub time_range: (u64, u64),
    /// Who waits for the block; the engine fills it in.
    pub receipts: Vec<Receipt>,
    /// The term of leadership that its data was read under; the engine fills it in.
    pub term: Option<Term>,
    /// The memory budget the block holds; the engine fills it in.
    pub permit: Option<Permit>,
}

/// From the earliest to the latest sample of several blocks; (0, 0) if there is none.
pub fn time_range_of(blocks: &[Block]) -> (u64, u64) {
    let ranges = || blocks.iter().map(|block| block.time_range).filter(|range| *range != (0, 0));
    let (first, last) = (ranges().map(|range| range.0).min(), ranges().map(|range| range.1).max());
    first.zip(last).unwrap_or_default()
}

/// One attempt at a block.
#[derive(Debug, Clone, Copy)]
pub struct Attempt {
    /// Counts from 0.
    pub number: u32,
    /// The process's own span around it, for protocols that carry it on; `None` unless own tracing is on.
    pub trace: Option<TraceParent>,
}

impl Attempt {
    /// The first attempt, not traced.
    pub const FIRST: Attempt = Attempt { number: 0, trace: None };
}

/// What became of one attempt.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The backend has it. `dropped` are items that it said it left out (partial success), with its words.
    Delivered {
        /// Items the backend refused, by its own count.
        dropped: u64,
        /// The backend's words about them, if any.
        message: String,
    },
    /// Try the same bytes again.
    Retry {
        /// A short word for counters: `http_503`, `timeout`, `connect`, `credentials`, ...
        reason: String,
        /// The backend's words, or what failed.
        message: String,
        /// When the backend wants to be asked again.
        after: Option<Duration>,
    },
    /// The backend says the block is too large: split and try the halves.
    TooLarge {
        /// The backend's words.
        message: String,
    },
    /// The backend does not speak this version of the protocol: recode and try again.
    FallBack {
        /// The backend's words.
        message: String,
    },
    /// Final: the backend will not take it.
    Reject {
        /// A short word for counters: `http_400`, ...
        reason: String,
        /// The backend's words.
        message: String,
    },
}

impl Outcome {
    /// Everything was taken.
    pub const DELIVERED: Outcome = Outcome::Delivered { dropped: 0, message: String::new() };
}
