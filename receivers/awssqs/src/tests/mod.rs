//! The receiver against the fake: the real SDK, every kind of message and failure.

mod checking;
mod config;
mod counting;
mod failures;
mod mapping;
mod traces;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use steadyline_component::receiver::{Intake, ShutdownTrigger};
use steadyline_component::telemetry::Signal;
use steadyline_component::testkit::{TestExtensions, TestIntake, create_with, render};
use steadyline_component::{
    Area, Batch, Board, Change, Clock, Extension, Folder, Host, Instrument, Meter, Output, Outputs, Owner, Shutdown,
    Storage, StorageError, async_trait,
};
use tokio::task::JoinHandle;

use crate::AwsSqs;
use crate::testkit::FakeSqs;

/// The worked example, as docs/events.md has it.
pub(crate) const TYPES: &str = r#"
discriminator: type
types:
  onboarding_progress:
    required: {env: string, accountId: string, completedSteps: int, messageId: string}
    optional: {totalSteps: int}
    attributes: {account_id: accountId, env: env}
    metrics:
      - {name: onboarding.completed_steps, unit: "{step}", value: completedSteps}
      - {name: onboarding.total_steps, unit: "{step}", value: totalSteps}
  request:
    required: {account: string, index: string, status: string, durationMs: number}
    attributes: {account: account, index: index, status: status}
    metrics:
      - {name: search.requests, type: sum}
      - {name: search.duration, type: histogram, unit: s, value: durationMs / 1000, buckets: [0.01, 0.1, 1]}
  indexer_job:
    required: {index: string, outcome: string, durationSeconds: number, documents: int}
    attributes: {index: index, outcome: outcome}
    metrics:
      - {name: indexer.jobs, type: sum}
      - {name: indexer.documents, type: sum, value: documents}
      - {name: indexer.duration, type: histogram, unit: s, value: durationSeconds, buckets: [1, 60, 3600]}
"#;

/// What every test's receiver has in common.
const BASICS: &str = "region: us-east-1
access_key_id: AKID
secret_access_key: secret
single_consumer: true
wait_time_seconds: 1
retry: {initial_interval: 0s, max_interval: 0s}
";

/// A receiver under test.
pub(crate) struct Bench {
    pub(crate) fake: FakeSqs,
    pub(crate) intake: Arc<TestIntake>,
    pub(crate) meter: Meter,
    task: JoinHandle<()>,
    trigger: ShutdownTrigger,
}

/// How long anything may take before the test has failed.
const PATIENCE: Duration = Duration::from_secs(20);

impl Bench {
    /// A receiver of the queue `events` that is running.
    pub(crate) async fn start(yaml: &str) -> Self {
        let fake = FakeSqs::start().await;
        fake.queue("events", Duration::from_secs(30));
        Self::on(fake, yaml, &mut TestExtensions::default()).await
    }

    /// The same on a fake that is prepared.
    pub(crate) async fn on(fake: FakeSqs, yaml: &str, extensions: &mut TestExtensions) -> Self {
        let intake = TestIntake::new(64 << 20);
        Self::run(fake, yaml, extensions, Arc::clone(&intake), intake).await
    }

    /// The same with an intake of the test's own.
    pub(crate) async fn with_intake(fake: FakeSqs, yaml: &str, intake: Arc<dyn Intake>) -> Self {
        Self::run(fake, yaml, &mut TestExtensions::default(), TestIntake::new(1 << 20), intake).await
    }

    async fn run(
        fake: FakeSqs,
        yaml: &str,
        extensions: &mut TestExtensions,
        kept: Arc<TestIntake>,
        intake: Arc<dyn Intake>,
    ) -> Self {
        // What a test says itself takes the place of what they have in common.
        let says = |line: &&str| {
            !line.split(':').next().is_some_and(|key| yaml.lines().any(|own| own.starts_with(&format!("{key}:"))))
        };
        let basics: String = BASICS.lines().filter(says).map(|line| format!("{line}\n")).collect();
        let yaml = format!("queue_url: {}\n{basics}{yaml}", fake.url("events"));
        let (clock, meter) = (Clock::system(), Meter::default());
        let mut receiver = create_with::<AwsSqs>(&yaml, extensions, &clock, &meter).unwrap();
        let (trigger, shutdown) = Shutdown::new();
        let host = Host { clock: clock.clone(), board: Board::new(clock), shutdown: shutdown.clone() };
        receiver.start(&host).await.unwrap();
        let signals = [Signal::Metrics, Signal::Logs, Signal::Traces];
        let outputs = Outputs::new(signals.map(|signal| (signal, Output::new(Arc::clone(&intake)))));
        let task = tokio::spawn(async move { receiver.run(outputs, shutdown).await.unwrap() });
        Self { fake, intake: kept, meter, task, trigger }
    }

    /// Waits for something, and gives up in the end.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(&FakeSqs) -> bool) {
        let waited = tokio::time::timeout(PATIENCE, self.fake.until(is_so)).await;
        assert!(
            waited.is_ok(),
            "{what}: deleted {:?}, left {:?}, {:?}",
            self.fake.deleted("events"),
            self.fake.messages("events"),
            self.numbers()
        );
    }

    /// Waits until so many messages are deleted.
    pub(crate) async fn until_deleted(&self, messages: usize) {
        self.until("deletion", |fake| fake.deleted("events").len() >= messages).await;
    }

    /// The points that came since the last call, one a line, sorted, without their times.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self
            .timed()
            .iter()
            .map(|line| line.rsplit_once(" @").map_or(line.as_str(), |(line, _)| line).to_owned())
            .collect();
        lines.sort();
        lines
    }

    /// The same with their times, in order.
    pub(crate) fn timed(&self) -> Vec<String> {
        self.intake.take().iter().filter_map(Batch::as_metrics).flat_map(render).collect()
    }

    /// Stops the receiver and waits for its end; the fake stays.
    pub(crate) async fn stop(self) -> FakeSqs {
        self.trigger.fire();
        tokio::time::timeout(PATIENCE, self.task).await.unwrap().unwrap();
        self.fake
    }

    /// Kills the receiver: nothing that it has in hand is finished.
    pub(crate) async fn kill(self) -> FakeSqs {
        self.task.abort();
        let _ = self.task.await;
        self.fake
    }

    /// What is counted under a name, by reason.
    pub(crate) fn counted(&self, name: &str) -> BTreeMap<String, u64> {
        let reason = |instrument: &Instrument| {
            instrument
                .labels
                .iter()
                .find(|(label, _)| label == "reason")
                .map(|(_, reason)| reason.clone())
                .unwrap_or_default()
        };
        let numbers = self.meter.read();
        numbers.iter().filter(|i| i.name == name).map(|i| (reason(i), i.value() as u64)).collect()
    }

    fn numbers(&self) -> Vec<(String, f64)> {
        let all = self.meter.read();
        all.iter()
            .map(|i| (format!("{}{:?}", i.name, i.labels), i.value()))
            .filter(|(_, value)| *value != 0.0)
            .collect()
    }
}

/// Storage in memory that survives the receiver, and that can be made to fail.
#[derive(Default)]
pub(crate) struct TestStorage {
    pub(crate) entries: std::sync::Mutex<BTreeMap<Vec<u8>, Vec<u8>>>,
    pub(crate) is_full: std::sync::atomic::AtomicBool,
}

/// The extension around it.
pub(crate) struct TestStorageExtension(pub(crate) Arc<TestStorage>);

pub(crate) fn storage(storage: &Arc<TestStorage>) -> TestExtensions {
    let extension = Arc::new(TestStorageExtension(Arc::clone(storage))) as Arc<dyn Extension>;
    TestExtensions(BTreeMap::from([("file_storage".to_owned(), extension)]))
}

#[async_trait]
impl Extension for TestStorageExtension {
    fn as_storage(self: Arc<Self>) -> Option<Arc<dyn Storage>> {
        Some(self)
    }
}

#[async_trait]
impl Storage for TestStorageExtension {
    async fn open(&self, _: &Owner) -> Result<Arc<dyn Area>, StorageError> {
        Ok(Arc::clone(&self.0) as Arc<dyn Area>)
    }

    async fn folder(&self, _: &Owner) -> Result<Option<Folder>, StorageError> {
        Ok(None)
    }
}

#[async_trait]
impl Area for TestStorage {
    async fn read_all(&self) -> Result<Vec<(bytes::Bytes, bytes::Bytes)>, StorageError> {
        let entries = self.entries.lock().unwrap();
        Ok(entries.iter().map(|(key, value)| (key.clone().into(), value.clone().into())).collect())
    }

    async fn get(&self, key: &[u8]) -> Result<Option<bytes::Bytes>, StorageError> {
        Ok(self.entries.lock().unwrap().get(key).map(|value| value.clone().into()))
    }

    async fn commit(&self, changes: Vec<Change>) -> Result<(), StorageError> {
        if self.is_full.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(StorageError { message: "no space left".to_owned(), retryable: true });
        }
        let mut entries = self.entries.lock().unwrap();
        for change in changes {
            match change {
                Change::Put(key, value) => drop(entries.insert(key.to_vec(), value.to_vec())),
                Change::Delete(key) => drop(entries.remove(key.as_ref())),
            }
        }
        Ok(())
    }
}
