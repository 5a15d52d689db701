//! State across restarts. What changed is handed to a task of its own every few seconds, in chunks, and never waits for it:
//! a storage that is slow or fails costs how much of the state is kept, not the pipeline.
//!
//! | key | value |
//! |---|---|
//! | `0` | version, and the secret that every hash here is made with |
//! | `1` | how often the state was loaded: the generation |
//! | `2` | the mark: no timestamp above it was sent |
//! | `s` + hash | a source, and when it last confirmed its series, by generation |
//! | `f` + hash | a metric with its scope and resource |
//! | `k` + hash | names of labels |
//! | `r` + identity | a series: source, metric, labels, value, the generation of its last confirmation |
//!
//! A series is written when it is new, when its value changes, and once in each generation when its source confirms it;
//! not when it is merely sent. The mark runs ahead of what is sent, so that it holds whenever the process ends.

mod record;
mod restore;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use hashbrown::{HashMap, HashSet};
use steadyline_component::{Change, Host, Meter, Owner, StartError, Storage, StorageError};
use tokio::sync::{mpsc, oneshot};

use crate::clock::Ticks;
use crate::identity::Secret;
use crate::processor::LastValue;
use crate::series::{DIRTY, RESTORED, TRANSIENT};
use crate::source::Source;
use record::{Row, Rows};
use writer::Job;

/// How long changes gather before they are handed over.
const PERIOD: Duration = Duration::from_secs(5);
/// How long to leave a writer alone that is behind.
const RETRY: Duration = Duration::from_secs(1);
/// How long a step leaves the pipeline to others.
const PAUSE: Duration = Duration::from_millis(1);
/// How many series one step looks at, and how many rows and bytes it hands over, at most.
const STEP: usize = 1 << 17;
const ROWS: usize = 4096;
const BYTES: usize = 1 << 20;
/// How many jobs wait for the writer, besides those that somebody waits for.
const JOBS: usize = 2;
/// How many removals are remembered while the writer is behind; beyond that everything is written anew.
const MOST_REMOVED: usize = 1 << 18;
/// How many names and heads may be written beyond twice those in use, before everything is written anew.
const MOST_UNUSED: usize = 4096;

/// Where state is to be kept.
pub(crate) struct Keep {
    /// The place.
    pub storage: Arc<dyn Storage>,
    /// Whose state it is.
    pub owner: Owner,
    /// For counting failures.
    pub meter: Meter,
}

/// What may have been sent of series that are not known any more: by the process before, or before the wall clock
/// stepped back.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Floor {
    /// No timestamp above this one, milliseconds since the epoch.
    pub ms: u64,
    /// Until when series that are new here may be ones that the process before knew.
    pub until: Ticks,
}

/// Hands changes to the task that writes them.
#[derive(Debug)]
pub(crate) struct Keeper {
    jobs: mpsc::UnboundedSender<Job>,
    shared: Arc<Shared>,
    /// The newest timestamp sent, milliseconds since the epoch.
    highest: u64,
    generation: u32,
    /// Series to remove from storage.
    removed: Vec<u128>,
    /// Whether everything is to be written anew.
    reset: bool,
    /// Whether nothing is sent any more.
    ended: bool,
    /// Whether something changed that no step under way will hand over.
    changed: bool,
    at: Option<Duration>,
    cursor: usize,
    /// What the table's count of removals was when the pass over it began.
    removals: u64,
    /// Names and heads that storage has.
    known: HashSet<u64>,
    /// Sources as storage has them, by their numbers.
    sources: Vec<Vec<u8>>,
}

/// What the writer and its processor tell each other.
#[derive(Debug, Default)]
struct Shared {
    /// The newest timestamp sent, milliseconds since the epoch.
    highest: AtomicU64,
    /// The mark, as it is written or about to be.
    mark: AtomicU64,
    /// How many jobs the writer has not done.
    pending: AtomicUsize,
}

impl Keep {
    fn what(&self) -> String {
        format!("the state of {}", self.owner)
    }
}

impl std::fmt::Debug for Keep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keep({})", self.owner)
    }
}

impl Keeper {
    fn new(jobs: mpsc::UnboundedSender<Job>, shared: Arc<Shared>, generation: u32, known: HashSet<u64>) -> Keeper {
        Keeper {
            jobs,
            shared,
            highest: 0,
            generation,
            removed: Vec::new(),
            reset: false,
            ended: false,
            changed: false,
            at: None,
            cursor: 0,
            removals: 0,
            known,
            sources: Vec::new(),
        }
    }

    /// Something is to be kept.
    pub(crate) fn changed(&mut self) {
        self.changed = true;
    }

    /// A timestamp was sent, in milliseconds.
    pub(crate) fn sent(&mut self, ms: u64) {
        self.highest = self.highest.max(ms);
    }

    /// When to call [`LastValue::keep_step`].
    pub(crate) fn wake_at(&self) -> Option<Duration> {
        self.at
    }

    /// Nothing is sent after this.
    pub(crate) fn end(&mut self) {
        self.ended = true;
    }

    /// After every call of the processor.
    pub(crate) fn finish(&mut self, now: Duration) {
        self.shared.highest.store(self.highest, Ordering::Relaxed);
        let above = self.highest > self.shared.mark.load(Ordering::Relaxed);
        if above && self.shared.pending.load(Ordering::Acquire) < JOBS && !self.jobs.is_closed() {
            self.hand_over(Job { mark: true, ..Job::default() });
        }
        if self.at.is_none() && self.changed && !self.jobs.is_closed() {
            self.at = Some(now + PERIOD);
        }
    }

    fn remove(&mut self, hash: u128) {
        self.changed = true;
        if self.removed.len() < MOST_REMOVED {
            self.removed.push(hash);
        } else {
            self.reset = true;
        }
    }

    /// Hands a chunk over, if the writer takes one.
    fn step(&mut self, state: &mut LastValue, now: Duration) {
        if self.jobs.is_closed() {
            // The writer said why.
            self.at = None;
            return;
        }
        if self.shared.pending.load(Ordering::Acquire) >= JOBS {
            self.at = Some(now + RETRY);
            return;
        }
        let (job, done) = self.job(state);
        if !job.is_empty() {
            self.hand_over(job);
        }
        self.at = (!done).then_some(now + PAUSE);
    }

    fn hand_over(&self, job: Job) {
        self.shared.pending.fetch_add(1, Ordering::AcqRel);
        // Without a writer nobody waits for it either.
        let _ = self.jobs.send(job);
    }

    /// The next chunk, and whether it was the last of this pass over the table.
    fn job(&mut self, state: &mut LastValue) -> (Job, bool) {
        let mut job = Job::default();
        if self.known.len() > 2 * state.keep_heads() + MOST_UNUSED {
            self.reset = true;
        }
        if std::mem::take(&mut self.reset) {
            self.forget_everything(state);
            job.clear = true;
        }
        if self.cursor == 0 {
            (self.removals, self.changed) = (state.store.removals(), false);
        }
        let removed = self.removed.drain(..self.removed.len().min(ROWS));
        job.changes.extend(removed.map(|hash| Change::Delete(record::series_key(hash).to_vec().into())));
        let mut rows = Rows::default();
        let mut heads = Heads::default();
        let most = (self.cursor + STEP).min(state.store.len());
        while self.cursor < most && rows.len() < ROWS && rows.bytes() < BYTES {
            let id = self.cursor as u32;
            if state.store.get(id).is(DIRTY) {
                self.put(state, id, &mut heads, &mut rows);
                state.store.get_mut(id).clear(DIRTY);
            }
            self.cursor += 1;
        }
        let done = self.cursor >= state.store.len() && self.removed.is_empty();
        if done {
            self.cursor = 0;
            // What took the place of a removed one may have been passed over.
            self.changed |= self.removals != state.store.removals();
            self.put_sources(state, &mut rows);
        }
        job.changes.extend(rows.into_changes());
        (job, done)
    }

    fn forget_everything(&mut self, state: &mut LastValue) {
        self.known.clear();
        self.sources.clear();
        self.removed.clear();
        self.cursor = 0;
        for id in 0..state.store.len() as u32 {
            let entry = state.store.get_mut(id);
            if !entry.is(TRANSIENT | crate::series::ENDED) {
                entry.set(DIRTY);
            }
        }
    }

    fn put(&mut self, state: &LastValue, id: u32, heads: &mut Heads, rows: &mut Rows) {
        let entry = state.store.get(id);
        let labels = state.store.arena.get(entry.record);
        let secret = &state.secret;
        let source = *heads
            .sources
            .entry(entry.source)
            .or_insert_with(|| record::source_hash(secret, &state.sources.get(entry.source).header));
        let family = *heads.families.entry(labels.family).or_insert_with(|| {
            let mut bytes = Vec::new();
            state.families.export(labels.family, &mut bytes);
            head(&mut self.known, secret, b'f', &bytes, rows)
        });
        let names = *heads
            .names
            .entry(labels.keys)
            .or_insert_with(|| head(&mut self.known, secret, b'k', state.keys.get(labels.keys), rows));
        let body = (entry.number() == steadyline_telemetry::NumberKind::Body).then(|| state.bodies.get(entry.bits));
        let row = Row {
            // Written anew and not confirmed: no generation stands for it, and the next restart does not hold it longer.
            generation: if entry.is(RESTORED) { 0 } else { self.generation },
            source,
            family,
            names,
            number: entry.number(),
            time: entry.time,
            bits: entry.bits,
            guard: labels.guard,
            start: labels.start,
            body: body.unwrap_or_default(),
            labels: labels.labels,
        };
        rows.put(secret, &record::series_key(entry.hash), |out| row.write(out));
    }

    fn put_sources(&mut self, state: &LastValue, rows: &mut Rows) {
        for (number, source) in state.sources.iter().enumerate() {
            let mut row = Vec::new();
            record::write_source(source, self.generation, &mut row);
            if self.sources.get(number) == Some(&row) {
                continue;
            }
            let key = record::head_key(b's', record::source_hash(&state.secret, &source.header));
            rows.put(&state.secret, &key, |out| out.extend_from_slice(&row));
            self.sources.resize(self.sources.len().max(number + 1), Vec::new());
            self.sources[number] = row;
        }
    }
}

/// Hashes of what many series of a chunk share.
#[derive(Debug, Default)]
struct Heads {
    sources: HashMap<u16, u64>,
    families: HashMap<u32, u64>,
    names: HashMap<u32, u64>,
}

/// The hash of a head; it is written first if storage does not have it.
fn head(known: &mut HashSet<u64>, secret: &Secret, kind: u8, bytes: &[u8], rows: &mut Rows) -> u64 {
    let hash = record::head_hash(secret, kind, bytes);
    if known.insert(hash) {
        rows.put(secret, &record::head_key(kind, hash), |out| out.extend_from_slice(bytes));
    }
    hash
}

impl LastValue {
    /// A series is confirmed, or has changed: storage is to know it as it is now.
    pub(crate) fn confirmed(&mut self, id: u32) {
        let Some(keeper) = &mut self.keeper else { return };
        let entry = self.store.get_mut(id);
        entry.clear(RESTORED);
        if !entry.is(TRANSIENT) {
            entry.set(DIRTY);
            keeper.changed();
        }
    }

    /// A series has ended or is forgotten: storage is to forget it too.
    pub(crate) fn not_kept(&mut self, id: u32) {
        let Some(keeper) = &mut self.keeper else { return };
        let entry = self.store.get_mut(id);
        entry.clear(DIRTY);
        if !entry.is(TRANSIENT) {
            keeper.remove(entry.hash);
        }
    }

    /// Hands over a chunk of what changed, if it is time.
    pub(crate) fn keep_step(&mut self, now: Duration) {
        let due = |keeper: &mut Keeper| keeper.at.is_some_and(|at| at <= now);
        // Taken out while it looks at the rest of the state.
        let Some(mut keeper) = self.keeper.take_if(due) else { return };
        keeper.step(self, now);
        self.keeper = Some(keeper);
    }

    /// Writes what changed and waits for it, chunk by chunk; at the end with the exact mark.
    pub(crate) async fn keep_all(&mut self) -> Result<(), StorageError> {
        loop {
            // Never out of its place while somebody waits.
            let Some(mut keeper) = self.keeper.take() else { return Ok(()) };
            let (mut job, done) = keeper.job(self);
            let (tell, written) = oneshot::channel();
            (job.last, job.done) = (done && keeper.ended, Some(tell));
            keeper.hand_over(job);
            self.keeper = Some(keeper);
            let gone = |_| {
                let message = "the state was given up before, as the log says".to_owned();
                Err(StorageError { message, retryable: false })
            };
            written.await.unwrap_or_else(gone)?;
            if done {
                return Ok(());
            }
        }
    }

    /// Takes the state back from another holder, and writes everything anew.
    pub(crate) async fn take_back(&mut self, host: &Host) -> Result<(), StartError> {
        let Some((keep, before)) = self.keep.take().zip(self.keeper.take()) else { return Ok(()) };
        let failed = |error: StorageError| StartError(format!("{} cannot be taken back: {error}", keep.what()));
        let opened = keep.storage.open(&keep.owner).await.map_err(failed);
        if let Ok(area) = opened.as_ref().map(Arc::clone) {
            let shared = Arc::clone(&before.shared);
            shared.pending.store(0, Ordering::Release);
            let jobs = self.writer(&keep, area, host, &shared);
            self.keeper = Some(Keeper { jobs, reset: true, changed: true, at: None, ..before });
        }
        self.keep = Some(keep);
        opened.map(drop)
    }

    /// How many names and heads are in use.
    fn keep_heads(&self) -> usize {
        self.families.len() + self.keys.len()
    }
}

/// The generation and the time of each confirmation that may still matter.
fn bases(source: &Source, generation: u32) -> impl Iterator<Item = (u32, u64)> + '_ {
    let now = (source.heard.now > 0).then_some((generation, source.heard.now));
    source.heard.before.iter().copied().chain(now)
}
