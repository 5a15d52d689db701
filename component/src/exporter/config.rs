//! What a queued exporter can be told of its delivery: time, retries, queue; and what of it is out of bounds.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steadyline_config::{ByteSize, ComponentId, Duration as ConfigDuration};

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
