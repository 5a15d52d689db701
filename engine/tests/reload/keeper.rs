//! A processor that keeps its state in a storage, by a task of its own, and the storage: it is found by its name, also by
//! the next process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use steadyline_component::factory::Component;
use steadyline_component::testkit::{self, MemoryStorage};
use steadyline_component::*;
use tokio::sync::{mpsc, oneshot};

use crate::support::{NameConfig, spec};

static STORAGES: Mutex<BTreeMap<String, MemoryStorage>> = Mutex::new(BTreeMap::new());

pub fn storage(name: &str) -> MemoryStorage {
    STORAGES.lock().unwrap().entry(name.to_string()).or_default().clone()
}

pub struct MemoryFactory;

impl Component for MemoryFactory {
    type Config = NameConfig;
    type Made = Arc<dyn Extension>;
    const SPEC: Spec = Spec { signals: &[], ..spec("memory") };

    fn create(config: NameConfig, _: &mut CreateContext<'_>) -> Option<Self::Made> {
        Some(Arc::new(storage(&config.name)))
    }
}

/// What to write, and who waits for it.
type Job = (Vec<Change>, Option<oneshot::Sender<Result<(), StorageError>>>);

/// Remembers the last line of each series, across restarts; says what it remembers when it is asked for `recall`.
struct Keeper {
    storage: Arc<dyn Storage>,
    owner: Owner,
    fail_start: bool,
    known: BTreeMap<String, String>,
    dirty: Vec<Change>,
    jobs: Option<mpsc::UnboundedSender<Job>>,
}

pub struct KeeperFactory;

impl Component for KeeperFactory {
    type Config = NameConfig;
    type Made = Box<dyn Processor>;
    const SPEC: Spec = spec("keeper");

    fn create(config: NameConfig, context: &mut CreateContext<'_>) -> Option<Self::Made> {
        let extension = context.extensions.resolve(&"memory".parse().unwrap(), context.diagnostics)?;
        let owner = Owner { kind: "processor", id: context.id.to_string(), place: context.pipeline.to_owned() };
        Some(Box::new(Keeper {
            storage: extension.as_storage()?,
            owner,
            fail_start: config.fail_start,
            known: BTreeMap::new(),
            dirty: Vec::new(),
            jobs: None,
        }))
    }
}

impl Keeper {
    async fn open(&mut self) -> Arc<dyn Area> {
        let area = self.storage.open(&self.owner).await.unwrap();
        let (jobs, mut inbox) = mpsc::unbounded_channel::<Job>();
        let writing = Arc::clone(&area);
        tokio::spawn(async move {
            while let Some((changes, done)) = inbox.recv().await {
                let written = writing.commit(changes).await;
                if let Some(done) = done {
                    let _ = done.send(written);
                }
            }
        });
        self.jobs = Some(jobs);
        area
    }
}

fn put(series: &str, line: &str) -> Change {
    Change::Put(series.to_owned().into(), line.to_owned().into())
}

#[async_trait]
impl Processor for Keeper {
    async fn start(&mut self, _: &Host) -> Result<(), StartError> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let area = self.open().await;
        let rows = area.read_all().await.unwrap();
        self.known = rows.iter().map(|(key, value)| (text(key), text(value))).collect();
        if self.fail_start { Err(StartError::new("it has thought better of it")) } else { Ok(()) }
    }

    fn process(&mut self, batch: Batch, work: &mut Work<'_>) {
        for line in batch.as_metrics().map(testkit::render).unwrap_or_default() {
            let (series, _) = line.split_once(' ').unwrap();
            if series == "recall" {
                let known: Vec<&str> = self.known.values().map(String::as_str).collect();
                work.tally.created("recalled", known.len() as u64);
                work.emit(Batch::metrics(testkit::metrics(&known.join("\n"))));
            } else {
                self.dirty.push(put(series, &line));
                self.known.insert(series.to_string(), line.clone());
            }
        }
        work.emit(batch);
    }

    async fn keep(&mut self) -> Result<(), StorageError> {
        let (tell, told) = oneshot::channel();
        let job = (std::mem::take(&mut self.dirty), Some(tell));
        self.jobs.as_ref().unwrap().send(job).unwrap();
        told.await.unwrap()
    }

    async fn resume(&mut self, _: &Host) -> Result<(), StartError> {
        self.open().await;
        self.dirty = self.known.iter().map(|(series, line)| put(series, line)).collect();
        Ok(())
    }
}
