//! One attempt at a block: a request of up to ten messages, of which some may fail. Those are tried again alone, in the same attempt and in the next one:
//! what was taken already is remembered by block.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::Builder;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::types::{BatchResultErrorEntry, MessageAttributeValue, SendMessageBatchRequestEntry};
use steadyline_aws::{AwsConfig, AwsFailure, QueueConfig, SharedConfig};
use steadyline_component::{
    Attempt, Block, CheckRow, Clock, IamStatement, Outcome, Sender, TraceParent, Verdict, async_trait,
};
use tokio::sync::OnceCell;
use xxhash_rust::xxh3::xxh3_128;

use crate::encoder::{Entry, of};

/// Sends blocks to one queue.
pub(crate) struct SqsSender {
    queue: QueueConfig,
    aws: AwsConfig,
    attributes: BTreeMap<String, String>,
    clock: Clock,
    client: OnceCell<Client>,
    /// What became of the entries of blocks that are not done with.
    progress: Mutex<HashMap<u128, Progress>>,
}

/// What became of a block's entries so far.
#[derive(Clone, Debug, Default)]
struct Progress {
    /// By entry: taken, or refused for good.
    done: Vec<bool>,
    /// Points that were refused for good.
    dropped: u64,
    /// The queue's words about them.
    message: String,
}

/// How often the entries that failed are tried within one attempt.
const ROUNDS: u32 = 3;
/// How many blocks' progress is remembered; one shard has one block under way.
const MOST_BLOCKS: usize = 1024;

impl SqsSender {
    pub(crate) fn new(queue: QueueConfig, attributes: BTreeMap<String, String>, clock: &Clock) -> Self {
        Self {
            aws: queue.aws(),
            queue,
            attributes,
            clock: clock.clone(),
            client: OnceCell::new(),
            progress: Mutex::default(),
        }
    }

    async fn client(&self) -> Result<&Client, AwsFailure> {
        let make = async || {
            let shared = SharedConfig::of(&self.aws);
            let sdk = shared.sdk().await?;
            let timeouts = TimeoutConfig::builder().connect_timeout(Duration::from_secs(3)).build();
            // Attempts, and their bounds in time, are the engine's.
            let config = Builder::from(sdk).timeout_config(timeouts).retry_config(RetryConfig::disabled());
            Ok(Client::from_conf(config.build()))
        };
        self.client.get_or_try_init(make).await
    }

    /// Sends the entries that are left; what they came to is in `progress`, or the whole request failed.
    async fn round(
        &self,
        entries: &[Entry],
        progress: &mut Progress,
        trace: Option<TraceParent>,
    ) -> Result<Vec<BatchResultErrorEntry>, AwsFailure> {
        let left = entries.iter().enumerate().filter(|(index, _)| !progress.done[*index]);
        let request = left.map(|(index, entry)| self.entry(index, entry, trace)).collect();
        let send = self.client().await?.send_message_batch().queue_url(self.queue.url()).set_entries(Some(request));
        let answer = send.send().await.map_err(|error| {
            let failure = AwsFailure::from_sdk("sqs:SendMessageBatch", &error);
            SharedConfig::of(&self.aws).note(&failure);
            failure
        })?;
        let index = |id: &str| id.parse::<usize>().ok().filter(|index| *index < entries.len());
        for index in answer.successful.iter().filter_map(|entry| index(&entry.id)) {
            progress.done[index] = true;
        }
        let (finally, again): (Vec<_>, Vec<_>) = answer.failed.into_iter().partition(|entry| entry.sender_fault);
        for (index, entry) in finally.iter().filter_map(|entry| Some((index(&entry.id)?, entry))) {
            progress.done[index] = true;
            progress.dropped += entries[index].points;
            progress.message = words(entry);
        }
        Ok(again)
    }

    fn entry(&self, index: usize, entry: &Entry, trace: Option<TraceParent>) -> SendMessageBatchRequestEntry {
        let text = |value: &str| {
            let value = MessageAttributeValue::builder().data_type("String").string_value(value);
            value.build().expect("the type is there")
        };
        let mut attributes: HashMap<String, MessageAttributeValue> =
            self.attributes.iter().map(|(name, value)| (name.clone(), text(value))).collect();
        attributes.extend(trace.map(|trace| ("traceparent".to_owned(), text(&trace.to_string()))));
        let mut request = SendMessageBatchRequestEntry::builder().id(index.to_string()).message_body(&entry.body);
        if !attributes.is_empty() {
            request = request.set_message_attributes(Some(attributes));
        }
        if self.queue.is_fifo() {
            request = request.message_group_id(format!("{:016x}", entry.group)).message_deduplication_id(&entry.id);
        }
        request.build().expect("id and body are there")
    }

    fn recall(&self, block: u128, entries: usize) -> Progress {
        let known = self.lock().get(&block).cloned().filter(|progress| progress.done.len() == entries);
        known.unwrap_or_else(|| Progress { done: vec![false; entries], ..Progress::default() })
    }

    fn remember(&self, block: u128, progress: &Progress) {
        let mut known = self.lock();
        if known.len() >= MOST_BLOCKS && !known.contains_key(&block) {
            // Blocks that were given up leave their progress behind; without it a block is sent whole again.
            known.clear();
        }
        known.insert(block, progress.clone());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u128, Progress>> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, failure: &AwsFailure) -> Outcome {
        let message = format!("{failure}; {}", failure.advice());
        let message = message.trim_end_matches([';', ' ']).to_owned();
        if failure.text.contains("BatchRequestTooLong") {
            return Outcome::TooLarge { message };
        }
        let reason = failure.reason().to_owned();
        if failure.retryable() {
            Outcome::Retry { reason, message, after: failure.retry_after }
        } else {
            Outcome::Reject { reason, message }
        }
    }
}

fn words(entry: &BatchResultErrorEntry) -> String {
    format!("{} ({})", entry.message.as_deref().unwrap_or("no words"), entry.code)
}

#[async_trait]
impl Sender for SqsSender {
    async fn send(&self, block: &Block, attempt: &Attempt) -> Outcome {
        let entries: Vec<Entry> = match serde_json::from_slice(block.payload.bytes()) {
            Ok(entries) => entries,
            Err(error) => return Outcome::Reject { reason: "damaged".into(), message: error.to_string() },
        };
        let id = xxh3_128(block.payload.bytes());
        let mut progress = self.recall(id, entries.len());
        let mut pause = Duration::from_millis(100);
        let mut last = String::from("the answer does not say what became of some messages");
        for round in 1..=ROUNDS {
            let result = self.round(&entries, &mut progress, attempt.trace).await;
            let failed = match result {
                Ok(failed) => failed,
                Err(failure) => return self.failed(&failure),
            };
            if progress.done.iter().all(|done| *done) {
                self.lock().remove(&id);
                return Outcome::Delivered { dropped: progress.dropped, message: progress.message };
            }
            self.remember(id, &progress);
            last = failed.first().map_or(last, words);
            if round < ROUNDS {
                self.clock.sleep(pause).await;
                pause *= 2;
            }
        }
        Outcome::Retry { reason: "partial_failure".into(), message: last, after: None }
    }

    fn split(&self, block: &Block) -> Option<(Block, Block)> {
        let entries: Vec<Entry> = serde_json::from_slice(block.payload.bytes()).ok()?;
        let (first, second) = entries.split_at(entries.len() / 2);
        let half = |entries: &[Entry]| of(block.shard, block.time_range, entries);
        (!first.is_empty()).then(|| (half(first), half(second)))
    }

    async fn check(&self) -> Vec<CheckRow> {
        let what = format!("send to {}", self.queue.url());
        let client = match self.client().await {
            Ok(client) => client,
            Err(failure) => return vec![failure.row(what)],
        };
        let answer = client.get_queue_attributes().queue_url(self.queue.url()).send().await;
        match answer {
            Ok(_) => vec![CheckRow {
                what,
                verdict: Verdict::Pass,
                detail: "the queue answers".into(),
                advice: String::new(),
            }],
            Err(error) => {
                let failure = AwsFailure::from_sdk("sqs:GetQueueAttributes", &error);
                vec![CheckRow { verdict: Verdict::Warn, ..failure.row(what) }]
            }
        }
    }

    fn permissions(&self) -> Vec<IamStatement> {
        // One that is sent to an encrypted queue is encrypted with a key that KMS makes, or takes out of its wrapping again.
        self.queue.permissions("SendEvents", &["GetQueueAttributes", "SendMessage"], &["Decrypt", "GenerateDataKey"])
    }
}
