//! What is on disk and what the queue thinks is there, when writing and reading are slow and meet.

use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use async_trait::async_trait;
use steadyline_blocklog::Record;
use steadyline_component::config::ByteSize;
use steadyline_component::{Attempt, Kind, Outcome, Sender};
use steadyline_telemetry::Signal;
use tokio::sync::Semaphore;

use super::super::backing::{Discarded, Stored};
use super::*;
use crate::books::Books;

/// A disk whose syncs, and whose reads that find nothing, take as long as the test wants.
#[derive(Debug)]
struct SlowDisk {
    records: Mutex<Vec<Record>>,
    slow: AtomicBool,
    syncs: Semaphore,
    empty_reads: Semaphore,
}

#[async_trait]
impl Backing for SlowDisk {
    async fn append(&self, records: Vec<Record>, _: bool) -> Result<u64, String> {
        self.records.lock().unwrap().extend(records);
        if self.slow.load(Ordering::Relaxed) {
            self.syncs.acquire().await.unwrap().forget();
        }
        Ok(0)
    }

    async fn synced(&self, _: u64) -> Result<(), String> {
        Ok(())
    }

    async fn read(&self, _: (u32, u32), after: u64, _: Reach) -> Vec<Stored> {
        let records: Vec<Record> =
            self.records.lock().unwrap().iter().filter(|of| of.meta.seq > after).cloned().collect();
        if records.is_empty() {
            self.empty_reads.acquire().await.unwrap().forget();
        }
        records.into_iter().map(|record| Stored::Whole { record, replay: false }).collect()
    }

    fn acknowledge(&self, _: u32, seq: u64) {
        self.records.lock().unwrap().retain(|record| record.meta.seq > seq);
    }

    async fn caught_up(&self, _: u32) {}

    fn taken(&self, _: u32) {}

    async fn discard_oldest(&self, _: Vec<u64>) -> Option<Discarded> {
        None
    }

    async fn close(&self, _: bool) -> Result<(), String> {
        Ok(())
    }

    fn disk_bytes(&self) -> u64 {
        0
    }
}

struct NoSender;

#[async_trait]
impl Sender for NoSender {
    async fn send(&self, _: &Block, _: &Attempt) -> Outcome {
        Outcome::DELIVERED
    }
}

fn block(name: &'static str) -> Block {
    let (receipts, term, permit) = (Vec::new(), None, None);
    let payload = name.as_bytes().into();
    Block { payload, items: 1, protocol: 0, shard: 0, uncompressed: 1, time_range: (0, 0), receipts, term, permit }
}

async fn push(queue: Arc<Queue>, name: &'static str) {
    let layout = queue.layout(true);
    queue.announce(1);
    let write = queue.try_push(&layout, block(name)).unwrap();
    queue.write(&layout, write.into_iter().collect()).await.unwrap();
}

async fn next(queue: &Queue) -> String {
    assert_eq!(queue.front(0, &NoSender, || true).await, Some(1));
    let part = queue.settled((0, 0)).unwrap();
    String::from_utf8(part.block.payload.bytes().to_vec()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_is_read_before_its_sync_is_over_hides_nothing_that_comes_after() {
    let config = QueueConfig { durable: true, max_shards: 1, memory_size: ByteSize::mib(1), ..QueueConfig::default() };
    let config = QueueConfig { storage: "file_storage".parse().ok(), ..config };
    let account = Books::default().open(Kind::Exporter, "x", Signal::Metrics, "");
    let queue = Arc::new(Queue::new(&config, Arc::clone(&account), Clock::manual(0)));
    let none = || Semaphore::new(0);
    let (syncs, empty_reads) = (none(), none());
    let disk = Arc::new(SlowDisk { records: Mutex::default(), slow: AtomicBool::new(false), syncs, empty_reads });
    queue.attach(Arc::clone(&disk) as Arc<dyn Backing>, &Restored::default());
    push(Arc::clone(&queue), "a").await;
    push(Arc::clone(&queue), "b").await;
    disk.slow.store(true, Ordering::Relaxed);
    let third = tokio::spawn(push(Arc::clone(&queue), "c"));
    while disk.records.lock().unwrap().len() < 3 {
        tokio::task::yield_now().await;
    }
    assert_eq!([next(&queue).await, next(&queue).await, next(&queue).await], ["a", "b", "c"]);
    // Only now its writer learns that it was written, and counts it.
    disk.syncs.add_permits(2);
    third.await.unwrap();
    let fourth = tokio::spawn({
        let queue = Arc::clone(&queue);
        async move { next(&queue).await }
    });
    // The worker looks for what was counted, finds nothing, and meanwhile another one comes.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    push(Arc::clone(&queue), "d").await;
    disk.empty_reads.add_permits(100);
    let fourth = tokio::time::timeout(Duration::from_secs(60), fourth).await;
    assert_eq!(fourth.expect("it is not forgotten").unwrap(), "d");
    assert_eq!((account.tally.balance().held, account.tally.balance().dropped.len()), (0, 0));
}
