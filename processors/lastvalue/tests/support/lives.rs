//! A world in which the processor lives several times, one after the other, with a storage that outlives it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use steadyline_component::leadership::TermState;
use steadyline_component::receiver::ShutdownTrigger;
use steadyline_component::testkit::{MemoryStorage, TestExtensions, create_with, metrics, render};
use steadyline_component::{
    Batch, Board, Change, Clock, Data, Header, Host, Meter, Pass, PassEnd, Processor, Shutdown, StartError,
    StorageError, Tally, Term, Work,
};
pub use steadyline_processor_lastvalue::LastValueFactory as Factory;

/// The wall clock when the world begins, in seconds.
pub const START: u64 = 1_000_000;

/// What outlives the processor.
pub struct World {
    pub yaml: String,
    pub storage: MemoryStorage,
    /// The wall clock, nanoseconds since the epoch.
    wall: u64,
}

impl World {
    pub fn new(yaml: &str) -> World {
        World { yaml: yaml.to_owned(), storage: MemoryStorage::default(), wall: START * 1_000_000_000 }
    }

    pub async fn start(&mut self) -> Life {
        self.try_start().await.unwrap()
    }

    pub async fn try_start(&mut self) -> Result<Life, StartError> {
        let clock = Clock::manual(self.wall);
        let mut extensions =
            TestExtensions(BTreeMap::from([("memory".to_owned(), Arc::new(self.storage.clone()) as _)]));
        let yaml = format!("storage: memory\n{}", self.yaml);
        let mut processor = create_with::<Factory>(&yaml, &mut extensions, &clock, &Meter::default()).unwrap();
        let (trigger, shutdown) = Shutdown::new();
        processor.start(&Host { board: Board::new(clock.clone()), clock: clock.clone(), shutdown }).await?;
        let mut life = Life {
            processor,
            clock,
            tally: Tally::default(),
            epoch: 0,
            identity: Arc::default(),
            term: None,
            batches: Vec::new(),
            trigger,
        };
        life.settle().await;
        Ok(life)
    }

    /// The process is gone at this moment: nothing that it had not kept reaches the storage any more.
    pub fn kill(&mut self, life: Life) {
        self.wall = life.clock.now().unix_nanos;
        self.storage = self.storage.copy();
    }

    /// Time goes by while nothing runs.
    pub fn pass_time(&mut self, by: Duration) {
        self.wall += by.as_nanos() as u64;
    }

    /// The wall clock is set by so many seconds while nothing runs.
    pub fn step_wall(&mut self, seconds: i64) {
        self.wall = self.wall.saturating_add_signed(seconds * 1_000_000_000);
    }

    /// The commits since the last start after a kill.
    pub fn commits(&self) -> Vec<Vec<Change>> {
        self.storage.commits()
    }

    /// What is kept.
    pub fn pairs(&self) -> BTreeMap<Bytes, Bytes> {
        self.storage.owners().first().map(|owner| self.storage.pairs(owner)).unwrap_or_default()
    }
}

/// The processor, once.
pub struct Life {
    processor: Box<dyn Processor>,
    pub clock: Clock,
    pub tally: Tally,
    epoch: u64,
    identity: Arc<[Arc<str>]>,
    term: Option<Term>,
    /// What came out of the last call, whole.
    pub batches: Vec<Batch>,
    trigger: ShutdownTrigger,
}

impl Life {
    /// What follows has these identity attributes.
    pub fn identity(&mut self, keys: &[&str]) {
        self.identity = keys.iter().map(|key| Arc::from(*key)).collect();
    }

    /// What follows is read under a term, whose timestamps are above the floor (nanoseconds since the epoch).
    pub fn term(&mut self, number: u64, floor: u64) {
        let clock = self.clock.clone();
        self.term = Some(Term::new(Arc::new(TestTerm { number, floor, clock })));
    }

    pub fn series(&self) -> u64 {
        self.processor.series()
    }

    /// A sender pushes points; those without a time are of now.
    pub async fn push(&mut self, points: &str, source: &str) -> Vec<String> {
        let header = Header { source: source.into(), ..Header::default() };
        self.batch(Batch { header, data: Data::Metrics(metrics(points)) }).await
    }

    /// A whole pass of the source `table`, with a 60 s interval.
    pub async fn pass(&mut self, points: &str, end: PassEnd) -> Vec<String> {
        self.epoch += 1;
        let interval = Duration::from_secs(60);
        let time = self.clock.now().unix_nanos;
        let pass = Pass { epoch: self.epoch, time, interval, timeout: interval, end: None };
        let (identity, term) = (Arc::clone(&self.identity), self.term.clone());
        let header = Header { source: "table".into(), pass: Some(pass), identity, term, ..Header::default() };
        let mut lines = self.batch(Batch { header: header.clone(), data: Data::Metrics(metrics(points)) }).await;
        lines.extend(self.end(header, end).await);
        lines
    }

    /// The end of a pass, or of a source.
    pub async fn end(&mut self, header: Header, end: PassEnd) -> Vec<String> {
        let pass = header.pass.clone().map(|pass| Pass { end: Some(end), ..pass });
        self.batch(Batch { header: Header { pass, ..header }, data: Data::Metrics(metrics("")) }).await
    }

    pub async fn batch(&mut self, batch: Batch) -> Vec<String> {
        self.tally.incoming(batch.items());
        let lines = self.call(|processor, work| processor.process(batch, work));
        self.settle().await;
        lines
    }

    /// Time goes by; the task that keeps state gets its turn whenever the processor does.
    pub async fn advance(&mut self, by: Duration) -> Vec<String> {
        let target = self.clock.now().mono + by;
        let mut lines = Vec::new();
        while self.clock.now().mono < target {
            let wake = self.processor.wake_at().filter(|at| *at <= target);
            // Never further than the task's own timer.
            let step = self.clock.now().mono + Duration::from_secs(5);
            let at = wake.unwrap_or(target).min(target).min(step);
            self.clock.advance(at.saturating_sub(self.clock.now().mono));
            if wake.is_some_and(|wake| wake <= at) {
                lines.extend(self.call(|processor, work| processor.wake(work)));
            }
            self.settle().await;
        }
        lines
    }

    /// An orderly end: what waits is sent, and all is kept.
    pub async fn drain(&mut self) -> Vec<String> {
        self.trigger.fire();
        let lines = self.call(|processor, work| processor.drain(work));
        self.keep().await.unwrap();
        lines
    }

    pub async fn keep(&mut self) -> Result<(), StorageError> {
        self.processor.keep().await
    }

    /// Another one was started in its place, and is gone again.
    pub async fn resume(&mut self) {
        let (_, shutdown) = Shutdown::new();
        let (clock, board) = (self.clock.clone(), Board::new(self.clock.clone()));
        self.processor.resume(&Host { board, clock, shutdown }).await.unwrap();
    }

    /// Lets the task that keeps state do all that it can: with this storage it never waits for anything but the clock.
    async fn settle(&mut self) {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }

    fn call(&mut self, call: impl FnOnce(&mut dyn Processor, &mut Work<'_>)) -> Vec<String> {
        let mut out = Vec::new();
        call(&mut *self.processor, &mut Work { now: self.clock.now(), tally: &self.tally, out: &mut out });
        self.tally.outgoing(out.iter().map(Batch::items).sum());
        self.tally.set_held(self.processor.held());
        assert_eq!(self.tally.balance().missing(), 0, "{:?}", self.tally.balance());
        self.batches = out;
        let lines = self.batches.iter().filter_map(Batch::as_metrics).flat_map(render);
        lines.filter(|line| !line.starts_with("resource{")).collect()
    }
}

/// A term that lasts.
#[derive(Debug)]
struct TestTerm {
    number: u64,
    floor: u64,
    clock: Clock,
}

impl TermState for TestTerm {
    fn number(&self) -> u64 {
        self.number
    }

    fn holds(&self) -> bool {
        true
    }

    fn floor(&self) -> u64 {
        self.floor
    }

    fn ceiling(&self) -> u64 {
        u64::MAX
    }

    fn time(&self) -> u64 {
        self.clock.now().unix_nanos
    }
}
