//! Exporters. Most are two parts: an encoder (CPU only, makes final compressed wire blocks) and a sender (one attempt
//! at one block). Queue, retry, order, limits, shutdown and accounting are the engine's. A sink takes batches as they are.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steadyline_config::{ByteSize, ComponentId, Duration as ConfigDuration};

use crate::batch::Batch;
use crate::check::{CheckRow, IamStatement};
use crate::delivery::Receipt;
use crate::leadership::Term;
use crate::own::TraceParent;
use crate::tally::Tally;
use crate::{Host, Permit, StartError};

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

/// The keys that every queued exporter shares, by the Collector's names.
#[derive(Debug, Clone, Default)]
pub struct DeliveryConfig {
    /// `timeout`: of one attempt.
    pub timeout: Duration,
    /// `retry_on_failure`.
    pub retry: RetryConfig,
    /// `sending_queue`.
    pub queue: QueueConfig,
}

impl DeliveryConfig {
    /// How long a block is tried before it is given up; zero: for ever. An outage that a queue on disk outlasts costs
    /// nothing that is not too old, unless config says otherwise.
    pub fn retry_budget(&self) -> Duration {
        let default = if self.queue.storage.is_some() { Duration::ZERO } else { DEFAULT_BUDGET };
        self.retry.max_elapsed_time.map_or(default, Duration::from)
    }

    /// What is out of bounds, as (path below the exporter, what is wrong). The engine reports it.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        let RetryConfig { multiplier, randomization_factor, initial_interval, max_interval, .. } = &self.retry;
        if !(1.0..=100.0).contains(multiplier) {
            problems.push(("retry_on_failure.multiplier", format!("{multiplier} is not between 1 and 100")));
        }
        if !(0.0..=1.0).contains(randomization_factor) {
            let wrong = format!("{randomization_factor} is not between 0 and 1");
            problems.push(("retry_on_failure.randomization_factor", wrong));
        }
        for (path, interval) in
            [("retry_on_failure.initial_interval", initial_interval), ("retry_on_failure.max_interval", max_interval)]
        {
            if Duration::from(*interval) < Duration::from_millis(1) {
                problems.push((path, "it must be at least 1ms: a pause of nothing is an attack on the backend".into()));
            }
        }
        problems.extend(self.queue.problems());
        problems
    }
}

/// How long a block that waits in memory is tried.
const DEFAULT_BUDGET: Duration = Duration::from_secs(3600);

/// How failed attempts are repeated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RetryConfig {
    /// Whether failed attempts are repeated at all.
    pub enabled: bool,
    /// The pause after the first failure.
    pub initial_interval: ConfigDuration,
    /// Each pause varies at random by up to this fraction of itself. At most 0.1, so that pauses never shrink.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub randomization_factor: f64,
    /// Each pause is so many times the one before.
    #[schemars(range(min = 1.0))]
    pub multiplier: f64,
    /// The longest pause.
    pub max_interval: ConfigDuration,
    /// A block that is not delivered after so long is dropped and counted; 0 = never given up. Default: 1h; with
    /// `sending_queue.storage` never, `max_age` alone decides.
    pub max_elapsed_time: Option<ConfigDuration>,
}

impl Default for RetryConfig {
    fn default() -> Self {
        RetryConfig {
            enabled: true,
            initial_interval: Duration::from_millis(50).into(),
            randomization_factor: 0.1,
            multiplier: 2.0,
            max_interval: Duration::from_secs(30).into(),
            max_elapsed_time: None,
        }
    }
}

/// The queue in front of an exporter: finished blocks, bounded in bytes, in memory or on disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct QueueConfig {
    /// Accepted for the Collector's sake; a queue is always there.
    pub enabled: bool,
    /// The least number of shards: requests that are under way at once. A series always stays in its shard, which has
    /// one request under way, so that its samples stay in order.
    #[schemars(range(min = 1, max = 200))]
    pub min_shards: u32,
    /// The most shards; their number follows the load between the two.
    #[schemars(range(min = 1, max = 200))]
    pub max_shards: u32,
    /// The Collector's word for `max_shards`, which it takes the place of.
    #[schemars(range(min = 1, max = 200))]
    pub num_consumers: Option<u32>,
    /// The bound, in units of `sizer`: of the memory queue, or of what a queue with `storage` keeps on disk.
    pub queue_size: ByteSize,
    /// What `queue_size` counts. Only `bytes`: other units do not bound memory.
    pub sizer: Sizer,
    /// What happens when the queue has been full for 5 s while another exporter of the same data has room.
    pub on_full: OnFull,
    /// The id of a storage extension such as `file_storage`: what does not fit `memory_size` waits on its disk, and what
    /// is left at a shutdown is sent after the next start.
    pub storage: Option<ComponentId>,
    /// With `storage`: everything is written and synced to disk before it counts as accepted.
    pub durable: bool,
    /// With `storage`, unless `durable`: how much waits in memory before anything goes to disk.
    pub memory_size: ByteSize,
    /// Blocks whose newest sample is older are dropped and counted as `too_old`; 0 = never. Remote write: 1h, beyond
    /// which Amazon Managed Prometheus refuses samples; other exporters: never.
    pub max_age: Option<ConfigDuration>,
    /// What happens to a request that the backend refuses for good.
    pub on_reject: OnReject,
    /// Where refused requests are kept, for people to look at; none: nowhere.
    pub dead_letter: Option<DeadLetterConfig>,
}

/// What becomes of a request that the backend refuses for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnReject {
    /// It is dropped and counted, with the backend's words and a series of it in the log.
    #[default]
    Drop,
    /// It is sent again in halves until the offending series stand alone; these are dropped. At most 64 requests more.
    Bisect,
}

/// A folder for requests that the backend refused for good.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeadLetterConfig {
    /// The folder; it is made if it is not there.
    pub directory: std::path::PathBuf,
    /// The most that it may hold; the oldest files go first.
    #[serde(default = "dead_letter_size")]
    pub max_size: ByteSize,
}

fn dead_letter_size() -> ByteSize {
    ByteSize::mib(64)
}

impl QueueConfig {
    /// The bounds of the number of shards.
    pub fn shards(&self) -> std::ops::RangeInclusive<u32> {
        let most = self.num_consumers.unwrap_or(self.max_shards).max(1);
        self.min_shards.clamp(1, most)..=most
    }

    fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        let counts = [
            ("sending_queue.min_shards", Some(self.min_shards)),
            ("sending_queue.max_shards", Some(self.max_shards)),
            ("sending_queue.num_consumers", self.num_consumers),
        ];
        for (path, count) in counts {
            if let Some(count) = count.filter(|count| !(1..=200).contains(count)) {
                problems.push((path, format!("{count} is not between 1 and 200")));
            }
        }
        let most = self.num_consumers.unwrap_or(self.max_shards);
        if self.min_shards > most {
            problems.push(("sending_queue.min_shards", format!("{} is more than the most, {most}", self.min_shards)));
        }
        if self.durable && self.storage.is_none() {
            problems.push(("sending_queue.durable", "there is no `storage` to be durable in".into()));
        }
        problems
    }
}

impl Default for QueueConfig {
    fn default() -> Self {
        QueueConfig {
            enabled: true,
            min_shards: 1,
            max_shards: 8,
            num_consumers: None,
            queue_size: ByteSize::mib(64),
            sizer: Sizer::Bytes,
            on_full: OnFull::DropNewest,
            storage: None,
            durable: false,
            memory_size: ByteSize::mib(8),
            max_age: None,
            on_reject: OnReject::Drop,
            dead_letter: None,
        }
    }
}

/// What a queue is measured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sizer {
    /// Bytes of encoded, compressed blocks.
    Bytes,
}

/// What a full branch does with new blocks while other branches have room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFull {
    /// After 5 s the newest blocks are dropped and counted as `queue_full`.
    #[serde(alias = "drop")]
    DropNewest,
    /// After 5 s the oldest blocks make room and are counted as `queue_full`.
    DropOldest,
    /// The source waits as long as it takes, and with it every other branch.
    Block,
}
