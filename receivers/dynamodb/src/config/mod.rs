//! The receiver's own keys: what is read, and how often. What is made of it stands beside them, as `MappingConfig`.

mod query;

use schemars::JsonSchema;
use serde::Deserialize;
use steadyline_component::config::{ComponentId, Duration};

pub use query::{QueryConfig, QueryValue};

/// Polls a DynamoDB table, or one of its indexes, and turns the items into metrics.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The table's name or ARN.
    pub table: String,
    /// The name of a secondary index to read instead of the table. A narrow index costs a fraction of a wide table.
    pub index: Option<String>,
    /// Reads only items that match a key condition. Without it the table or index is scanned.
    pub query: Option<QueryConfig>,
    /// Into how many segments a scan is divided; they are read at the same time.
    #[schemars(range(min = 1, max = 64))]
    pub segments: u32,
    /// Whether reads must see every write that came before, at twice the price. A table and a local secondary index can be read so; with a global one
    /// every poll fails and says why, as only the table knows which kind its index is.
    pub consistent_read: bool,
    /// How many items a page has at most. 0: as many as DynamoDB gives, which is 1 MB of items.
    pub page_size: u32,
    /// How much of the table's capacity polling may use. Without it a poll reads as fast as the table answers.
    pub read_budget: Option<ReadBudget>,
    /// From poll to poll, aligned to multiples of itself on the wall clock.
    pub collection_interval: Duration,
    /// Before the first poll.
    pub initial_delay: Duration,
    /// How long one poll may take; 0: as long as `collection_interval`.
    pub timeout: Duration,
    /// The id of an extension that decides which of several equal processes polls, such as `leader/onboarding`. Left out:
    /// this one polls.
    pub leader: Option<ComponentId>,
    /// How long one attempt at a page may take.
    pub attempt_timeout: Duration,
    /// How long one page may take, with its retries.
    pub operation_timeout: Duration,
    /// How often a page is tried before the poll fails; throttled pages are tried until the poll's time is over.
    #[schemars(range(min = 1, max = 10))]
    pub max_attempts: u32,
    /// The table's key attributes, partition key first. Learned from the table if not given; needed where the table may not be described.
    pub key: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            table: String::new(),
            index: None,
            query: None,
            segments: 1,
            consistent_read: false,
            page_size: 1000,
            read_budget: None,
            collection_interval: Duration::from_secs(60),
            initial_delay: Duration::from_secs(1),
            timeout: Duration::ZERO,
            leader: None,
            attempt_timeout: Duration::from_secs(5),
            operation_timeout: Duration::from_secs(20),
            max_attempts: 3,
            key: Vec::new(),
        }
    }
}

/// How much read capacity polling may use.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct ReadBudget {
    /// Read units a second: one is 4 KB read consistently or 8 KB read as usual.
    pub rru_per_second: f64,
    /// Read units that may be used at once after a pause; 0: those of one second.
    #[serde(default)]
    pub burst: f64,
}

impl Config {
    /// The table, and the index if one is read, for people.
    pub fn source(&self) -> String {
        match &self.index {
            Some(index) => format!("index `{index}` of table `{}`", self.table),
            None => format!("table `{}`", self.table),
        }
    }
}
