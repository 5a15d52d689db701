//! The process under test: a branch of the engine with its queue on the simulated disk, fed without pause. It may be
//! gone at any moment; what it was told is accepted is noted outside.

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
use steadyline_engine::delivery::blocklog::{Log, Options, Record};
use steadyline_engine::delivery::{Backing, Branch, BranchContext, Call, Discarded, DiskQueue, Stored};
use steadyline_telemetry::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use turmoil::net::TcpStream;

use crate::Plant;
use crate::disk::SimDisk;

pub(crate) const SERIES: u32 = 6;

/// What is known outside of the process.
#[derive(Default)]
pub(crate) struct Producer {
    /// The next value of all series.
    next: u64,
    /// Values that were accepted.
    pub(crate) accepted: Vec<u64>,
    /// No more is produced.
    pub(crate) done: bool,
    /// The books of the life at hand.
    pub(crate) shared: Option<Shared>,
}

/// One life of the process.
pub(crate) async fn live(seed: u64, plant: Plant, producer: Arc<Mutex<Producer>>) -> turmoil::Result {
    let shared = Shared::new(Clock::scaled(1_700_000_000_000_000_000, 1.0));
    let branch = open(seed, plant, &shared).await;
    producer.lock().unwrap().shared = Some(shared);
    let mut workers = JoinSet::new();
    branch.spawn_workers(&mut workers);
    let mut dice = StdRng::seed_from_u64(seed ^ producer.lock().unwrap().next);
    let (_trigger, stop) = Shutdown::new();
    loop {
        if producer.lock().unwrap().done {
            std::future::pending::<()>().await;
        }
        let value = {
            let mut producer = producer.lock().unwrap();
            producer.next += 1;
            producer.next
        };
        let points: Vec<String> = (0..SERIES).map(|series| format!("s{series} {value}")).collect();
        let batch = Batch::metrics(testkit::metrics(&points.join("\n")));
        Call::new(stop.clone()).push(&branch, &batch).await.unwrap();
        producer.lock().unwrap().accepted.push(value);
        let pause = dice.random_range(0..200);
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
}

async fn open(seed: u64, plant: Plant, shared: &Shared) -> Arc<Branch> {
    let retry = RetryConfig {
        randomization_factor: 0.0,
        max_interval: Duration::from_secs(2).into(),
        max_elapsed_time: Some(Duration::ZERO.into()),
        ..RetryConfig::default()
    };
    let queue = QueueConfig {
        // What is on disk is sharded as it was; each life may shard otherwise.
        min_shards: 1 + (seed % 3) as u32,
        max_shards: 4,
        queue_size: ByteSize::mib(1),
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
    let branch = Branch::new("exporter:sim".into(), (Box::new(Lines), Arc::new(Wire), delivery), context);
    // The disk may fail while it is opened: as a supervisor would, it is tried again.
    let (log, recovery) = loop {
        let options = Options { segment_bytes: 4 << 10, id: seed, ..Options::default() };
        match Log::open(SimDisk(plant), Path::new("/data/queue"), options) {
            Ok(opened) => break opened,
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    };
    let (disk, restored) = DiskQueue::new(log, &recovery, "sim".into(), true);
    let backing: Arc<dyn Backing> = if plant == Plant::CursorFirst { Arc::new(Eager(disk)) } else { disk };
    branch.queue.attach(backing, &restored);
    Arc::new(branch)
}

/// A block a shard, its lines `series value`.
struct Lines;

impl Encoder for Lines {
    fn encode(&mut self, batch: &Batch, shards: u32, encoded: &mut Encoded<'_>) {
        let lines = testkit::render(batch.as_metrics().unwrap());
        for shard in 0..shards {
            let of = |line: &&String| line[1..2].parse::<u32>().unwrap() % shards == shard;
            let lines: Vec<&str> = lines.iter().filter(of).map(|line| &line[1..]).collect();
            if !lines.is_empty() {
                encoded.blocks.push(block(&lines, shard));
            }
        }
    }
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
struct Wire;

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
        JoinLimit { bytes: 200, items: 20 }
    }

    fn join(&self, blocks: &[Block]) -> Option<Block> {
        let texts: Vec<_> = blocks.iter().map(|one| String::from_utf8_lossy(one.payload.bytes())).collect();
        let lines: Vec<&str> = texts.iter().flat_map(|text| text.split(';')).collect();
        Some(block(&lines, blocks[0].shard))
    }
}

/// The planted bug of a cursor that leads: it moves on when a record is written, before it is sent.
#[derive(Debug)]
struct Eager(Arc<DiskQueue<SimDisk>>);

#[async_trait]
impl Backing for Eager {
    async fn append(&self, records: Vec<Record>, sync: bool) -> Result<(), String> {
        let ends: Vec<(u32, u64)> = records.iter().map(|record| (record.meta.shard, record.meta.seq)).collect();
        self.0.append(records, false).await?;
        for (shard, seq) in ends {
            self.0.acknowledge(shard, seq).await;
        }
        if sync { self.0.append(Vec::new(), true).await } else { Ok(()) }
    }

    async fn read(&self, generation: u32, shard: u32, after: u64, limit: JoinLimit) -> Vec<Stored> {
        self.0.read(generation, shard, after, limit).await
    }

    async fn acknowledge(&self, shard: u32, seq: u64) {
        self.0.acknowledge(shard, seq).await;
    }

    async fn discard_oldest(&self, after: Vec<u64>) -> Option<Discarded> {
        self.0.discard_oldest(after).await
    }

    async fn close(&self, clean: bool) -> Result<(), String> {
        self.0.close(clean).await
    }

    fn disk_bytes(&self) -> u64 {
        self.0.disk_bytes()
    }
}
