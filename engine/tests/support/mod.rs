//! Components for the engine's own tests: a source fed by a channel, a scripted poller, a scripted backend.
//! They are found by the `name` in their config, because a factory sees nothing but config.
#![allow(dead_code, unreachable_pub, reason = "each test file is a crate of its own and uses its part")]

mod folder;
pub mod lease;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steadyline_component::exporter::{DeliveryConfig, QueueConfig, RetryConfig};
use steadyline_component::factory::Component;
use steadyline_component::testkit;
use steadyline_component::*;
use steadyline_config::{ByteSize, Diagnostics, Source, load};
use steadyline_engine::{Graph, Registry, Reloaded, Running, Shared, build};
use steadyline_telemetry::Signal;

pub use folder::FolderFactory;

/// What tests share with the components of one name.
#[derive(Default)]
pub struct Stage {
    pub outputs: Mutex<Vec<Output>>,
    pub script: Mutex<VecDeque<Outcome>>,
    pub delivered: Mutex<Vec<String>>,
    pub attempts: Mutex<Vec<String>>,
    pub polls: Mutex<Vec<(u64, u64)>>,
    pub poll_script: Mutex<VecDeque<PollAct>>,
    pub passes: Mutex<Vec<(u64, PassEnd)>>,
    pub hang: Mutex<bool>,
    /// How long each attempt takes.
    pub delay: Mutex<Duration>,
    /// Blocks that hold this word are refused for good.
    pub refuse: Mutex<Option<&'static str>>,
    /// Every so manieth attempt is to be repeated.
    pub flaky: Mutex<Option<usize>>,
    /// Attempts under way, and the most that ever were.
    pub under_way: Mutex<(usize, usize)>,
}

impl Stage {
    fn enter(&self) {
        let mut under_way = self.under_way.lock().unwrap();
        *under_way = (under_way.0 + 1, under_way.1.max(under_way.0 + 1));
    }
}

pub enum PollAct {
    Points(&'static str),
    Fail,
    Hang,
    Panic,
}

static STAGES: Mutex<BTreeMap<String, Arc<Stage>>> = Mutex::new(BTreeMap::new());

pub fn stage(name: &str) -> Arc<Stage> {
    Arc::clone(STAGES.lock().unwrap().entry(name.to_string()).or_default())
}

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NameConfig {
    pub name: String,
    pub interval: Option<steadyline_config::Duration>,
    pub queue: Option<ByteSize>,
    pub fail_start: bool,
    pub max_elapsed: Option<steadyline_config::Duration>,
    pub multiplier: Option<f64>,
    pub consumers: Option<u32>,
    pub wait: bool,
    /// A block a point, sharded by its name; what waits is joined.
    pub lanes: bool,
    /// Series that wait can be told apart, so that they are sent abreast.
    pub apart: bool,
    pub sending_queue: Option<QueueConfig>,
}

/// A component of that name, for metrics.
pub const fn spec(name: &'static str) -> Spec {
    Spec {
        name,
        aliases: &[],
        stability: Stability::Alpha,
        signals: &[Signal::Metrics],
        summary: "for tests",
        unsupported: &[],
    }
}

pub struct SourceFactory;

struct TestSource(Arc<Stage>, bool);

impl Component for SourceFactory {
    type Config = NameConfig;
    type Made = Box<dyn Receiver>;
    const SPEC: Spec = spec("source");

    fn create(config: NameConfig, _: &mut CreateContext<'_>) -> Option<Self::Made> {
        Some(Box::new(TestSource(stage(&config.name), config.fail_start)))
    }
}

#[async_trait]
impl Receiver for TestSource {
    async fn start(&mut self, _: &Host) -> Result<(), StartError> {
        if self.1 { Err(StartError::new("the port is taken")) } else { Ok(()) }
    }

    async fn run(self: Box<Self>, outputs: Outputs, shutdown: Shutdown) -> Result<(), StartError> {
        let output = outputs.of(Signal::Metrics).unwrap().clone();
        self.0.outputs.lock().unwrap().push(output);
        shutdown.wait().await;
        Ok(())
    }
}

pub struct PollFactory;

struct TestPoller(Arc<Stage>);

impl Component for PollFactory {
    type Config = NameConfig;
    type Made = Polling;
    const SPEC: Spec = spec("poll");

    fn create(config: NameConfig, _: &mut CreateContext<'_>) -> Option<Polling> {
        let interval = config.interval.map_or(Duration::from_secs(60), Into::into);
        Some(Polling {
            poller: Box::new(TestPoller(stage(&config.name))),
            schedule: Schedule { interval, initial_delay: Duration::from_secs(1), timeout: Duration::ZERO },
            identity: Arc::default(),
            leadership: None,
        })
    }
}

#[async_trait]
impl Poller for TestPoller {
    async fn poll(&mut self, tick: &Tick, output: &PollOutput) -> Result<PassEnd, PollError> {
        self.0.polls.lock().unwrap().push((tick.epoch, tick.time));
        let act = self.0.poll_script.lock().unwrap().pop_front();
        match act {
            Some(PollAct::Points(text)) => output.send(testkit::metrics(text)).await?,
            Some(PollAct::Fail) => return Err(PollError::new("broken", "it is broken")),
            Some(PollAct::Hang) => std::future::pending().await,
            Some(PollAct::Panic) => panic!("the poller fell over"),
            None => {}
        }
        Ok(PassEnd::Complete)
    }
}

pub struct BackendFactory;

struct TestEncoder {
    lanes: bool,
}

struct TestSender {
    stage: Arc<Stage>,
    lanes: bool,
    apart: bool,
}

impl Component for BackendFactory {
    type Config = NameConfig;
    type Made = Exporter;
    const SPEC: Spec = spec("backend");

    fn create(config: NameConfig, _: &mut CreateContext<'_>) -> Option<Exporter> {
        let mut queue = config.sending_queue.clone().unwrap_or_default();
        queue.queue_size = config.queue.unwrap_or(queue.queue_size);
        let mut retry = RetryConfig::default();
        retry.max_elapsed_time = config.max_elapsed.or(retry.max_elapsed_time);
        retry.multiplier = config.multiplier.unwrap_or(retry.multiplier);
        if config.sending_queue.is_none() {
            queue.num_consumers = config.consumers.or(Some(1));
        }
        Some(Exporter::Queued {
            encoder: Box::new(TestEncoder { lanes: config.lanes }),
            sender: Arc::new(TestSender { stage: stage(&config.name), lanes: config.lanes, apart: config.apart }),
            delivery: DeliveryConfig { timeout: Duration::from_secs(5), retry, queue },
        })
    }
}

pub fn block(text: &str, items: u64) -> Block {
    Block {
        payload: text.as_bytes().to_vec().into(),
        items,
        protocol: 1,
        shard: 0,
        uncompressed: text.len() as u64,
        time_range: (0, 0),
        receipts: Vec::new(),
        term: None,
        permit: None,
    }
}

impl Encoder for TestEncoder {
    fn encode(&mut self, batch: &Batch, shards: u32, encoded: &mut Encoded<'_>) {
        let Some(metrics) = batch.as_metrics().filter(|metrics| !metrics.is_empty()) else { return };
        let lines = testkit::render(metrics);
        if self.lanes {
            let shard = |line: &str| line.split(' ').next().unwrap().bytes().map(u32::from).sum::<u32>() % shards;
            encoded.blocks.extend(lines.iter().map(|line| Block { shard: shard(line), ..block(line, 1) }));
        } else {
            encoded.blocks.push(block(&lines.join(";"), metrics.points() as u64));
        }
    }
}

#[async_trait]
impl Sender for TestSender {
    async fn send(&self, block: &Block, _: &Attempt) -> Outcome {
        let text = String::from_utf8(block.payload.bytes().to_vec()).unwrap();
        let stage = &self.stage;
        stage.attempts.lock().unwrap().push(text.clone());
        if *stage.hang.lock().unwrap() {
            std::future::pending::<()>().await;
        }
        let delay = *stage.delay.lock().unwrap();
        if !delay.is_zero() {
            stage.enter();
            tokio::time::sleep(delay).await;
            stage.under_way.lock().unwrap().0 -= 1;
        }
        let attempts = stage.attempts.lock().unwrap().len();
        if stage.flaky.lock().unwrap().is_some_and(|every| attempts.is_multiple_of(every)) {
            return Outcome::Retry { reason: "http_503".into(), message: "busy".into(), after: None };
        }
        if stage.refuse.lock().unwrap().is_some_and(|word| text.contains(word)) {
            return Outcome::Reject { reason: "http_400".into(), message: "one of them is bad".into() };
        }
        let outcome = stage.script.lock().unwrap().pop_front().unwrap_or(Outcome::DELIVERED);
        if matches!(outcome, Outcome::Delivered { .. }) {
            stage.delivered.lock().unwrap().extend(text.split(';').map(str::to_string));
        }
        outcome
    }

    fn join_limit(&self) -> JoinLimit {
        if self.lanes { JoinLimit { bytes: 1 << 20, items: 8 } } else { JoinLimit::default() }
    }

    fn join(&self, blocks: &[Block]) -> Option<Block> {
        let texts: Vec<_> = blocks.iter().map(|block| String::from_utf8_lossy(block.payload.bytes())).collect();
        Some(block(&texts.join(";"), blocks.iter().map(|block| block.items).sum()))
    }

    fn spread(&self, blocks: &[Block], ways: usize) -> Option<Vec<Vec<Block>>> {
        let lane = |text: &str| text.split(' ').next().unwrap().bytes().map(usize::from).sum::<usize>() % ways;
        let text = |block: &Block| String::from_utf8_lossy(block.payload.bytes()).into_owned();
        let of = |number: usize| -> Vec<Block> {
            let ours = blocks.iter().filter(|one| lane(&text(one)) == number);
            ours.cloned().collect::<Vec<_>>().chunks(8).filter_map(|blocks| self.join(blocks)).collect()
        };
        self.apart.then(|| (0..ways).map(of).filter(|lane| !lane.is_empty()).collect())
    }

    fn split(&self, part: &Block) -> Option<(Block, Block)> {
        let text = String::from_utf8(part.payload.bytes().to_vec()).ok()?;
        let (first, rest) = text.split_once(';')?;
        Some((block(first, 1), block(rest, part.items - 1)))
    }
}

pub struct WitnessFactory;

/// A sink that notes how passes ended.
struct Witness(Arc<Stage>);

impl Component for WitnessFactory {
    type Config = NameConfig;
    type Made = Exporter;
    const SPEC: Spec = spec("witness");

    fn create(config: NameConfig, _: &mut CreateContext<'_>) -> Option<Exporter> {
        Some(Exporter::Direct(Arc::new(Witness(stage(&config.name)))))
    }
}

#[async_trait]
impl Sink for Witness {
    async fn consume(&self, batch: Batch, _: &Tally) {
        if let (Some(pass), Some(end)) = (&batch.header.pass, batch.pass_end()) {
            self.0.passes.lock().unwrap().push((pass.epoch, end));
        }
        if let Some(metrics) = batch.as_metrics() {
            self.0.delivered.lock().unwrap().extend(testkit::render(metrics));
        }
    }
}

pub struct HalvesFactory;

/// Emits each point as a batch of its own; with `wait`, only when it is drained. With `fail_start` it does not start.
#[derive(Default)]
struct Halves {
    config: NameConfig,
    waiting: Vec<Batch>,
    started: bool,
}

impl Component for HalvesFactory {
    type Config = NameConfig;
    type Made = Box<dyn Processor>;
    const SPEC: Spec = spec("halves");

    fn create(config: NameConfig, _: &mut CreateContext<'_>) -> Option<Self::Made> {
        Some(Box::new(Halves { config, ..Halves::default() }))
    }
}

#[async_trait]
impl Processor for Halves {
    async fn start(&mut self, _: &Host) -> Result<(), StartError> {
        self.started = true;
        if self.config.fail_start { Err(StartError::new("nobody answers")) } else { Ok(()) }
    }

    fn process(&mut self, batch: Batch, work: &mut Work<'_>) {
        assert!(self.started, "data came before the start");
        let lines = batch.as_metrics().map(testkit::render).unwrap_or_default();
        for line in lines {
            let half = Batch { header: batch.header.clone(), data: Data::Metrics(testkit::metrics(&line)) };
            if self.config.wait { self.waiting.push(half) } else { work.emit(half) }
        }
    }

    fn drain(&mut self, work: &mut Work<'_>) {
        self.waiting.drain(..).for_each(|batch| work.emit(batch));
    }

    fn held(&self) -> u64 {
        self.waiting.iter().map(Batch::items).sum()
    }
}

pub struct JoinFactory;

/// A connector that passes everything on.
struct Join;

impl Component for JoinFactory {
    type Config = NameConfig;
    type Made = Box<dyn Connector>;
    const SPEC: Spec = Spec { signals: &[], ..spec("join") };

    fn create(_: NameConfig, _: &mut CreateContext<'_>) -> Option<Self::Made> {
        Some(Box::new(Join))
    }
}

impl Connector for Join {
    fn process(&mut self, batch: Batch, work: &mut Work<'_>) {
        work.emit(batch);
    }
}

/// Made like `halves` or `backend`, but with something to say of deltas.
pub struct ToDelta;
pub struct ToCumulative;
pub struct WantsCumulative;

impl Component for ToDelta {
    type Config = NameConfig;
    type Made = Box<dyn Processor>;
    const SPEC: Spec = spec("to_delta");
    const TEMPORALITY: TemporalityEffect = TemporalityEffect::GivesDelta;

    fn create(config: NameConfig, context: &mut CreateContext<'_>) -> Option<Self::Made> {
        HalvesFactory::create(config, context)
    }
}

impl Component for ToCumulative {
    type Config = NameConfig;
    type Made = Box<dyn Processor>;
    const SPEC: Spec = spec("to_cumulative");
    const TEMPORALITY: TemporalityEffect = TemporalityEffect::GivesCumulative;

    fn create(config: NameConfig, context: &mut CreateContext<'_>) -> Option<Self::Made> {
        HalvesFactory::create(config, context)
    }
}

impl Component for WantsCumulative {
    type Config = NameConfig;
    type Made = Exporter;
    const SPEC: Spec = spec("wants_cumulative");
    const TEMPORALITY: TemporalityEffect = TemporalityEffect::NeedsCumulative;

    fn create(config: NameConfig, context: &mut CreateContext<'_>) -> Option<Exporter> {
        BackendFactory::create(config, context)
    }
}

pub fn registry() -> Registry {
    Registry::new([
        Factory::receiver::<SourceFactory>(),
        Factory::poller::<PollFactory>(),
        Factory::processor::<HalvesFactory>(),
        Factory::processor::<ToDelta>(),
        Factory::processor::<ToCumulative>(),
        Factory::exporter::<BackendFactory>(),
        Factory::exporter::<WantsCumulative>(),
        Factory::exporter::<WitnessFactory>(),
        Factory::extension::<FolderFactory>(),
        Factory::connector::<JoinFactory>(&[(Signal::Metrics, Signal::Metrics)]),
    ])
}

/// The graph of a config, or what is wrong with it, one finding a line.
pub fn graph(yaml: &str, clock: Clock) -> Result<Graph, String> {
    let (tree, mut diagnostics) = load(&[Source::inline("test.yaml", yaml)], &[], &|_: &str| None);
    let made = tree.and_then(|tree| build(&tree.root, &registry(), &Shared::new(clock), &mut diagnostics));
    let lines: Vec<String> = diagnostics
        .sorted()
        .iter()
        .map(|d| {
            let line = d.place.as_ref().map_or(0, |place| place.line);
            format!("{line} {} {}: {}", d.rule, d.path, d.message)
        })
        .collect();
    made.ok_or_else(|| lines.join("\n"))
}

/// Starts a config with components of the test's own.
pub async fn start_with(registry: &Registry, yaml: &str, clock: Clock) -> (Running, Shared) {
    let (tree, mut diagnostics) = load(&[Source::inline("test.yaml", yaml)], &[], &|_: &str| None);
    let shared = Shared::new(clock);
    let graph = tree.and_then(|tree| build(&tree.root, registry, &shared, &mut diagnostics));
    let graph = graph.unwrap_or_else(|| panic!("{}", diagnostics.to_text(false)));
    (graph.start().await.unwrap(), shared)
}

/// Gives a running engine another config.
pub async fn reload_with(registry: &Registry, running: &mut Running, yaml: &str) -> (Reloaded, Diagnostics) {
    let (tree, mut diagnostics) = load(&[Source::inline("test.yaml", yaml)], &[], &|_: &str| None);
    let (_never, abort) = Shutdown::new();
    let verdict = running.reload(&tree.unwrap().root, registry, &abort, &mut diagnostics).await;
    (verdict, diagnostics)
}

pub async fn start(yaml: &str, clock: Clock) -> (Running, Shared) {
    let graph = graph(yaml, clock).unwrap_or_else(|text| panic!("{text}"));
    let shared = graph.shared.clone();
    (graph.start().await.unwrap(), shared)
}

/// Waits for a condition; the clock of these tests is paused, so waiting costs nothing.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(600), waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

pub async fn output(name: &str) -> Output {
    let stage = stage(name);
    until("the source runs", || !stage.outputs.lock().unwrap().is_empty()).await;
    stage.outputs.lock().unwrap()[0].clone()
}

pub async fn send(output: &Output, points: &str, how: Until) -> Result<(), SendError> {
    output.send(Batch::metrics(testkit::metrics(points)), how).await
}

/// Every account of the process adds up.
pub fn assert_conserved(shared: &Shared) {
    for account in shared.books.read() {
        let balance = account.tally.balance();
        assert_eq!(balance.missing(), 0, "{} {}: {balance:?}", account.kind.name(), account.id);
    }
}

pub fn dropped(shared: &Shared, id: &str, reason: &str) -> u64 {
    let books = shared.books.read();
    let account = books.iter().find(|account| account.id == id).unwrap();
    account.tally.balance().dropped.get(reason).copied().unwrap_or(0)
}
