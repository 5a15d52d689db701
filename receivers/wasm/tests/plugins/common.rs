//! A receiver under test.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use steadyline_component::telemetry::Signal;
use steadyline_component::testkit::{MemoryStorage, TestExtensions, TestIntake, create_with, render};
use steadyline_component::{
    Batch, Board, Clock, Extension, Header, Host, Instrument, Meter, PassEnd, PollError, PollOutput, Polling, Shutdown,
    Tick,
};
use steadyline_receiver_wasm::WasmFactory;
pub(crate) use steadyline_wasm::testkit::probe;

/// Compiled once for all tests, but for those that are about that.
pub(crate) fn cache() -> &'static str {
    static CACHE: OnceLock<tempfile::TempDir> = OnceLock::new();
    CACHE.get_or_init(|| tempfile::tempdir().unwrap()).path().to_str().unwrap()
}

pub(crate) struct Made {
    pub(crate) polling: Polling,
    pub(crate) intake: Arc<TestIntake>,
    pub(crate) batches: Vec<Batch>,
    clock: Clock,
    meter: Meter,
    epoch: u64,
}

/// A receiver of the probe, told so.
pub(crate) fn make(config: &str, rest: &str) -> Made {
    make_with(config, rest, None)
}

pub(crate) fn make_with(config: &str, rest: &str, storage: Option<&MemoryStorage>) -> Made {
    let yaml = format!("path: {}\ncache_directory: {}\nconfig: {config}\n{rest}", probe(), cache());
    of(&yaml, storage)
}

pub(crate) fn of(yaml: &str, storage: Option<&MemoryStorage>) -> Made {
    let (clock, meter) = (Clock::system(), Meter::default());
    let storage = storage.map(|storage| ("memory".to_owned(), Arc::new(storage.clone()) as Arc<dyn Extension>));
    let mut extensions = TestExtensions(BTreeMap::from_iter(storage));
    let polling =
        create_with::<WasmFactory>(yaml, &mut extensions, &clock, &meter).unwrap_or_else(|words| panic!("{words}"));
    Made { polling, intake: TestIntake::new(1 << 30), batches: Vec::new(), clock, meter, epoch: 0 }
}

impl Made {
    pub(crate) async fn start(&mut self) -> Result<(), String> {
        let (_trigger, shutdown) = Shutdown::new();
        let host = Host { clock: self.clock.clone(), board: Board::new(self.clock.clone()), shutdown };
        self.polling.poller.start(&host).await.map_err(|error| error.to_string())
    }

    pub(crate) async fn poll(&mut self) -> Result<PassEnd, PollError> {
        self.poll_within(Duration::from_secs(300)).await
    }

    pub(crate) async fn poll_within(&mut self, limit: Duration) -> Result<PassEnd, PollError> {
        self.epoch += 1;
        let outputs = self.intake.outputs(&[Signal::Metrics, Signal::Logs, Signal::Traces]);
        let output = PollOutput::of(outputs, Header::default());
        let (_trigger, shutdown) = Shutdown::new();
        let deadline = self.clock.now().mono + limit;
        let tick = Tick { epoch: self.epoch, time: 60_000_000_000, deadline, last_complete: None, shutdown };
        let end = self.polling.poller.poll(&tick, &output).await;
        self.batches = self.intake.take();
        end
    }

    pub(crate) async fn complete(&mut self) -> Vec<String> {
        assert_eq!(self.poll().await.unwrap(), PassEnd::Complete);
        self.lines()
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.batches.iter().filter_map(|batch| batch.as_metrics()).flat_map(render).collect()
    }

    /// A poll that fails, and its reason is counted.
    pub(crate) async fn fails(&mut self, reason: &str) -> PollError {
        let before = self.failures(reason);
        let error = self.poll().await.unwrap_err();
        assert_eq!(error.reason, reason, "{error}");
        assert_eq!(self.failures(reason), before + 1.0, "{error}");
        assert!(self.batches.is_empty());
        error
    }

    pub(crate) fn failures(&self, reason: &str) -> f64 {
        let of = |one: &&Arc<Instrument>| one.labels.iter().any(|(_, value)| value == reason);
        self.meter.read().iter().filter(of).map(|one| one.value()).sum()
    }

    pub(crate) fn counted(&self, name: &str) -> f64 {
        self.meter.read().iter().filter(|one: &&Arc<Instrument>| one.name == name).map(|one| one.value()).sum()
    }
}
