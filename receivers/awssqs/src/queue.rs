//! The queue: what is asked of SQS, with answers read to the end. A batch that succeeded may hold entries that failed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::Builder;
use aws_sdk_sqs::config::retry::{RetryConfig, RetryPartition};
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::types::{
    BatchResultErrorEntry, ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, Message,
    MessageSystemAttributeName, QueueAttributeName,
};
use steadyline_aws::{AwsFailure, FailureKind, SharedConfig};
use steadyline_component::Clock;

use crate::config::Settings;
use crate::message::{Received, millis};

/// One queue.
#[derive(Clone)]
pub(crate) struct Queue {
    client: Client,
    /// For long polls, which take longer and are not tried again by the SDK.
    poll_client: Client,
    shared: Arc<SharedConfig>,
    url: String,
    most: i32,
    wait: i32,
    attributes: Vec<String>,
    clock: Clock,
}

/// What a queue says about itself.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Facts {
    pub(crate) visibility: Duration,
    pub(crate) has_redrive: bool,
}

/// An entry of a batch that was not done.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Undone {
    /// The entry's place in the batch.
    pub(crate) index: usize,
    /// A short word for counters.
    pub(crate) reason: &'static str,
    pub(crate) detail: String,
    /// Whether it may work later.
    pub(crate) retryable: bool,
}

/// How many entries a batch may have.
pub(crate) const BATCH: usize = 10;
/// How often what failed in a batch is tried again.
const ATTEMPTS: u32 = 6;

const NAMES: [&str; 3] = ["traceparent", "tracestate", "baggage"];

impl Queue {
    /// Gets ready. Asks nobody but the sources of region and credentials.
    ///
    /// # Errors
    /// No region, or certificates or a proxy that cannot be used.
    pub(crate) async fn connect(config: &Settings, id: &str, clock: &Clock) -> Result<Self, AwsFailure> {
        let shared = SharedConfig::of(&config.shared.aws());
        let sdk = shared.sdk().await?;
        let timeouts = |attempt: u64, whole: u64| {
            TimeoutConfig::builder()
                .connect_timeout(Duration::from_secs(3))
                .operation_attempt_timeout(Duration::from_secs(attempt))
                .operation_timeout(Duration::from_secs(whole))
                .build()
        };
        let partition = RetryPartition::custom(format!("steadyline/{id}")).build();
        let retries = RetryConfig::standard().with_max_attempts(3).with_initial_backoff(Duration::from_millis(100));
        let quick = Builder::from(sdk)
            .timeout_config(timeouts(5, 15))
            .retry_config(retries)
            .retry_partition(partition.clone())
            .build();
        let poll_time = u64::from(config.wait_time_seconds) + 8;
        let poll = Builder::from(sdk)
            .timeout_config(timeouts(poll_time, poll_time))
            .retry_config(RetryConfig::disabled())
            .retry_partition(partition)
            .build();
        let mut attributes: Vec<String> = NAMES.iter().map(|name| (*name).to_owned()).collect();
        attributes.extend(config.message_attributes.iter().cloned());
        let (client, poll_client) = (Client::from_conf(quick), Client::from_conf(poll));
        Ok(Self {
            client,
            poll_client,
            shared,
            url: config.shared.url().to_owned(),
            most: config.max_number_of_messages as i32,
            wait: config.wait_time_seconds as i32,
            attributes,
            clock: clock.clone(),
        })
    }

    /// What the queue says about itself.
    pub(crate) async fn facts(&self) -> Result<Facts, AwsFailure> {
        let names = [QueueAttributeName::VisibilityTimeout, QueueAttributeName::RedrivePolicy];
        let answer = self
            .client
            .get_queue_attributes()
            .queue_url(&self.url)
            .set_attribute_names(Some(names.to_vec()))
            .send()
            .await;
        let answer = answer.map_err(|error| AwsFailure::from_sdk("sqs:GetQueueAttributes", &error))?;
        let attributes = answer.attributes.unwrap_or_default();
        let seconds = attributes.get(&QueueAttributeName::VisibilityTimeout).and_then(|text| text.parse().ok());
        Ok(Facts {
            visibility: Duration::from_secs(seconds.unwrap_or(30)),
            has_redrive: attributes.contains_key(&QueueAttributeName::RedrivePolicy),
        })
    }

    /// Waits for messages, hidden from others for `visibility` (0: as the queue says).
    pub(crate) async fn receive(&self, visibility: Duration) -> Result<Vec<Received>, AwsFailure> {
        use MessageSystemAttributeName as Name;
        let system = [Name::SentTimestamp, Name::ApproximateReceiveCount, Name::AwsTraceHeader, Name::MessageGroupId];
        let answer = self
            .poll_client
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(self.most)
            .wait_time_seconds(self.wait)
            .set_visibility_timeout((!visibility.is_zero()).then(|| seconds(visibility)))
            .set_message_system_attribute_names(Some(system.to_vec()))
            .set_message_attribute_names(Some(self.attributes.clone()))
            .send()
            .await;
        match answer {
            Ok(answer) => Ok(answer.messages.unwrap_or_default().into_iter().map(received).collect()),
            Err(error) => Err(self.failure("sqs:ReceiveMessage", &error)),
        }
    }

    /// Deletes messages by their handles, at most ten; what fails and may work later is tried again, alone. Says what was not deleted.
    pub(crate) async fn delete(&self, handles: &[String]) -> Vec<Undone> {
        self.retried(handles.len(), |indices| async move {
            let entry = |index: &usize| {
                let entry = DeleteMessageBatchRequestEntry::builder().id(index.to_string());
                entry.receipt_handle(&handles[*index]).build().expect("id and handle are there")
            };
            let entries = indices.iter().map(entry).collect();
            let answer =
                self.client.delete_message_batch().queue_url(&self.url).set_entries(Some(entries)).send().await;
            let answer = answer.map_err(|error| self.failure("sqs:DeleteMessageBatch", &error))?;
            Ok((answer.successful.into_iter().map(|entry| entry.id).collect(), answer.failed))
        })
        .await
    }

    /// Hides messages for so long from now on, at most ten, each its own time. Says for which that failed.
    pub(crate) async fn hide(&self, messages: &[(String, Duration)]) -> Vec<Undone> {
        self.retried(messages.len(), |indices| async move {
            let entry = |index: &usize| {
                let (handle, time) = &messages[*index];
                let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(index.to_string());
                let entry = entry.receipt_handle(handle).visibility_timeout(seconds(*time));
                entry.build().expect("id and handle are there")
            };
            let entries = indices.iter().map(entry).collect();
            let request = self.client.change_message_visibility_batch().queue_url(&self.url);
            let answer = request.set_entries(Some(entries)).send().await;
            let answer = answer.map_err(|error| self.failure("sqs:ChangeMessageVisibilityBatch", &error))?;
            Ok((answer.successful.into_iter().map(|entry| entry.id).collect(), answer.failed))
        })
        .await
    }

    /// Tries a batch until every entry succeeded, or failed for good, or was tried often enough. An entry of which the answer says nothing has failed.
    async fn retried<F>(&self, entries: usize, attempt: impl Fn(Vec<usize>) -> F) -> Vec<Undone>
    where
        F: Future<Output = Result<(Vec<String>, Vec<BatchResultErrorEntry>), AwsFailure>>,
    {
        let mut left: Vec<usize> = (0..entries).collect();
        let mut undone = Vec::new();
        let mut pause = Duration::from_millis(100);
        for number in 1..=ATTEMPTS {
            let mut again = Vec::new();
            match attempt(left.clone()).await {
                Ok((successful, failed)) => {
                    let failed: HashMap<&str, &BatchResultErrorEntry> =
                        failed.iter().map(|entry| (entry.id.as_str(), entry)).collect();
                    for index in left.into_iter().filter(|index| !successful.contains(&index.to_string())) {
                        again.push(entry_failure(index, failed.get(index.to_string().as_str()).copied()));
                    }
                }
                Err(failure) => again.extend(left.into_iter().map(|index| Undone {
                    index,
                    reason: failure.reason(),
                    detail: failure.text.clone(),
                    retryable: failure.retryable(),
                })),
            }
            let (retryable, finally): (Vec<Undone>, Vec<Undone>) =
                again.into_iter().partition(|undone| undone.retryable && number < ATTEMPTS);
            undone.extend(finally);
            left = retryable.into_iter().map(|undone| undone.index).collect();
            if left.is_empty() {
                break;
            }
            self.clock.sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
        undone
    }

    fn failure<E>(
        &self,
        operation: &str,
        error: &aws_sdk_sqs::error::SdkError<E, aws_sdk_sqs::config::http::HttpResponse>,
    ) -> AwsFailure
    where
        E: aws_sdk_sqs::error::ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let failure = AwsFailure::from_sdk(operation, error);
        self.shared.note(&failure);
        failure
    }
}

fn entry_failure(index: usize, entry: Option<&BatchResultErrorEntry>) -> Undone {
    let Some(entry) = entry else {
        let detail = "the answer does not say what became of it".to_owned();
        return Undone { index, reason: "malformed_answer", detail, retryable: true };
    };
    let message = entry.message.as_deref().unwrap_or_default();
    let reason = match entry.code.as_str() {
        code if code.contains("ReceiptHandleIsInvalid") => "receipt_handle_is_invalid",
        code if code.contains("NotInflight") => "message_not_inflight",
        code if code.contains("Throttl") => "throttled",
        _ if entry.sender_fault => "rejected",
        _ => "server_error",
    };
    Undone { index, reason, detail: format!("{message} ({})", entry.code), retryable: !entry.sender_fault }
}

/// Whole seconds, as SQS counts: at most 12 hours.
fn seconds(time: Duration) -> i32 {
    time.as_secs().min(43_200) as i32
}

fn received(message: Message) -> Received {
    use MessageSystemAttributeName as Name;
    let mut system = message.attributes.unwrap_or_default();
    let attributes = message.message_attributes.unwrap_or_default();
    Received {
        id: message.message_id.unwrap_or_default(),
        handle: message.receipt_handle.unwrap_or_default(),
        body: message.body.unwrap_or_default(),
        sent: system.get(&Name::SentTimestamp).and_then(|text| millis(text)).unwrap_or(0),
        receive_count: system.get(&Name::ApproximateReceiveCount).and_then(|n| n.parse().ok()).unwrap_or(1),
        group: system.remove(&Name::MessageGroupId),
        xray: system.remove(&Name::AwsTraceHeader),
        attributes: attributes.into_iter().filter_map(|(name, value)| Some((name, value.string_value?))).collect(),
    }
}

/// What somebody can do about a queue that cannot be read.
pub(crate) fn advice(failure: &AwsFailure) -> String {
    match failure.kind {
        FailureKind::NotFound => "check `queue_url`, the region and the account".to_owned(),
        _ => failure.advice(),
    }
}
