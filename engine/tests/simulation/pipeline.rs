//! The process under test: a branch of the engine with its queue on the simulated disk, fed without pause. It may be
//! gone at any moment; what it was told is accepted is noted outside.

use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use steadyline_component::exporter::{DeliveryConfig, OnFull, QueueConfig, RetryConfig};
use steadyline_component::{
    Attempt, Batch, Block, Clock, Encoded, Encoder, JoinLimit, Kind, Outcome, Sender, Shutdown, testkit,
};
use steadyline_config::ByteSize;
use steadyline_engine::Shared;
use steadyline_engine::delivery::blocklog::{Log, Options};
use steadyline_engine::delivery::{Branch, BranchContext, Call, DiskQueue};
use steadyline_telemetry::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use turmoil::net::TcpStream;

use crate::Plant;
use crate::disk::{SimDisk, Unhurried};
use crate::nature::Nature;

/// Pipelines that share the exporter.
const FEEDERS: u32 = 3;

/// What is known outside of the process.
pub(crate) struct Producer {
    nature: Nature,
    /// The next value of all series.
    next: u64,
    /// What was accepted: the feeder and its value.
    pub(crate) accepted: Vec<(u32, u64)>,
    /// No more is produced.
    pub(crate) done: bool,
    /// How often series were sent in several lanes.
    pub(crate) spread: usize,
    /// The books of the life at hand.
    pub(crate) shared: Option<Shared>,
}

impl Producer {
    pub(crate) fn new(nature: Nature) -> Producer {
        Producer { nature, next: 0, accepted: Vec::new(), done: false, spread: 0, shared: None }
    }

    /// Every point that was accepted.
    pub(crate) fn points(&self) -> impl Iterator<Item = (u32, u64)> {
        self.accepted.iter().flat_map(|&(feeder, value)| self.series(feeder).map(move |series| (series, value)))
    }

    fn series(&self, feeder: u32) -> Range<u32> {
        feeder * self.nature.series..(feeder + 1) * self.nature.series
    }
}

/// One life of the process.
pub(crate) async fn live(seed: u64, plant: Plant, producer: Arc<Mutex<Producer>>) -> turmoil::Result {
    let shared = Shared::new(Clock::scaled(1_700_000_000_000_000_000, 1.0));
    let branch = open(seed, plant, &shared, Arc::clone(&producer)).await;
    producer.lock().unwrap().shared = Some(shared);
    let mut workers = JoinSet::new();
    branch.spawn_workers(&mut workers);
    let first = producer.lock().unwrap().next;
    for feeder in 0..FEEDERS {
        let dice = StdRng::seed_from_u64(seed ^ first ^ u64::from(feeder) << 32);
        workers.spawn(feed(feeder, dice, Arc::clone(&branch), Arc::clone(&producer)));
    }
    std::future::pending().await
}

/// A pipeline: one batch at a time, each with a value that is higher than those before.
async fn feed(feeder: u32, mut dice: StdRng, branch: Arc<Branch>, producer: Arc<Mutex<Producer>>) {
    let (_trigger, stop) = Shutdown::new();
    while !producer.lock().unwrap().done {
        let (value, series, longest) = {
            let mut producer = producer.lock().unwrap();
            producer.next += 1;
            (producer.next, producer.series(feeder), producer.nature.pause)
        };
        let points: Vec<String> = series.map(|series| format!("s{series} {value}")).collect();
        let batch = Batch::metrics(testkit::metrics(&points.join("\n")));
        let call = Call::new(stop.clone());
        call.push(&branch, &batch).await.unwrap();
        call.committed().await.unwrap();
        producer.lock().unwrap().accepted.push((feeder, value));
        let pause = dice.random_range(0..longest);
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
}

async fn open(seed: u64, plant: Plant, shared: &Shared, producer: Arc<Mutex<Producer>>) -> Arc<Branch> {
    let retry = RetryConfig {
        randomization_factor: 0.0,
        max_interval: Duration::from_secs(2).into(),
        max_elapsed_time: Some(Duration::ZERO.into()),
        ..RetryConfig::default()
    };
    let (nature, first) = {
        let producer = producer.lock().unwrap();
        (producer.nature, producer.next)
    };
    let shards = nature.shards(first);
    let queue = QueueConfig {
        min_shards: *shards.start(),
        max_shards: *shards.end(),
        queue_size: nature.queue_size,
        memory_size: ByteSize::kib(1),
        storage: Some("sim".parse().unwrap()),
        durable: true,
        on_full: OnFull::Block,
        ..QueueConfig::default()
    };
    let delivery = DeliveryConfig { timeout: Duration::from_secs(2), retry, queue };
    let context = BranchContext {
        account: shared.books.open(Kind::Exporter, "sim", Signal::Metrics, ""),
        status: shared.board.component("exporter:sim"),
        meter: &shared.meter,
        clock: shared.clock.clone(),
        traces: shared.traces.clone(),
        storage: None,
        heir: None,
    };
    let branch =
        Branch::new("exporter:sim".into(), (Box::new(Lines), Arc::new(Wire(producer, plant)), delivery), context);
    // The disk may fail while it is opened: as a supervisor would, it is tried again.
    let (log, recovery) = loop {
        let options = Options { segment_bytes: 4 << 10, id: seed, ..Options::default() };
        match Log::open(SimDisk(plant), Path::new("/data/queue"), options) {
            Ok(opened) => break opened,
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    };
    let (disk, restored) = DiskQueue::new(log, &recovery, "sim".into(), true);
    branch.queue.attach(Arc::new(Unhurried::new(disk, plant, seed)), &restored);
    Arc::new(branch)
}

/// A block a shard, its lines `series value`.
struct Lines;

impl Encoder for Lines {
    fn encode(&mut self, batch: &Batch, shards: u32, encoded: &mut Encoded<'_>) {
        let lines = testkit::render(batch.as_metrics().unwrap());
        for shard in 0..shards {
            let of = |line: &&str| halves(line).0.parse::<u32>().unwrap() % shards == shard;
            let lines: Vec<&str> = lines.iter().map(|line| &line[1..]).filter(of).collect();
            if !lines.is_empty() {
                encoded.blocks.push(block(&lines, shard));
            }
        }
    }
}

/// The series and the value of a line.
fn halves(line: &str) -> (&str, &str) {
    line.split_once(' ').unwrap()
}

fn block(lines: &[&str], shard: u32) -> Block {
    let text = lines.join(";");
    Block {
        uncompressed: text.len() as u64,
        payload: Bytes::from(text).into(),
        items: lines.len() as u64,
        protocol: 1,
        shard,
        time_range: (0, 0),
        receipts: Vec::new(),
        term: None,
        permit: None,
    }
}

/// Sends to the backend.
struct Wire(Arc<Mutex<Producer>>, Plant);

#[async_trait]
impl Sender for Wire {
    async fn send(&self, block: &Block, _: &Attempt) -> Outcome {
        let exchange = async {
            let mut stream = TcpStream::connect(("backend", 80)).await?;
            let bytes = block.payload.bytes();
            stream.write_u32(bytes.len() as u32).await?;
            stream.write_all(bytes).await?;
            stream.read_u8().await
        };
        match exchange.await {
            Ok(b'd') => Outcome::DELIVERED,
            other => Outcome::Retry { reason: "network".into(), message: format!("{other:?}"), after: None },
        }
    }

    fn join_limit(&self) -> JoinLimit {
        JoinLimit { bytes: 60, items: 6 }
    }

    fn join(&self, blocks: &[Block]) -> Option<Block> {
        let texts: Vec<_> = blocks.iter().map(|one| String::from_utf8_lossy(one.payload.bytes())).collect();
        let lines: Vec<&str> = texts.iter().flat_map(|text| text.split(';')).collect();
        Some(block(&lines, blocks[0].shard))
    }

    fn spread(&self, blocks: &[Block], ways: usize) -> Option<Vec<Vec<Block>>> {
        let of = |lane: usize| {
            let texts = blocks.iter().map(|one| String::from_utf8_lossy(one.payload.bytes()).into_owned());
            let texts: Vec<String> = texts.collect();
            let is_ours = |line: &&str| {
                let (series, value) = halves(line);
                let by = if self.1 == Plant::SeriesInTwoLanes { &value[..1] } else { series };
                by.bytes().map(usize::from).sum::<usize>() % ways == lane
            };
            let blocks = texts.iter().filter_map(|text| {
                let lines: Vec<&str> = text.split(';').filter(is_ours).collect();
                (!lines.is_empty()).then(|| block(&lines, 0))
            });
            blocks.collect::<Vec<Block>>()
        };
        let lanes: Vec<Vec<Block>> = (0..ways).map(of).filter(|lane| !lane.is_empty()).collect();
        self.0.lock().unwrap().spread += usize::from(lanes.len() > 1);
        Some(lanes)
    }
}
