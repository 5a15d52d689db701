//! Counters across restarts: what changed is written a second later by a task of its own, which nothing waits for.
//!
//! | key | value |
//! |---|---|
//! | `0` | version, and the secret that identities are hashed with |
//! | `p` + identity | a series: the gauge's last value and its time, the counter and its start, the stalled time |

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hashbrown::{HashMap, HashSet};
use steadyline_component::storage::{Kept, Patience};
use steadyline_component::{Area, Change, Host, Meter, Owner, StartError, Storage, StorageError};
use tokio::sync::{mpsc, oneshot};

use crate::identity::{SECRET, Secret};
use crate::processor::Followed;
use crate::series::{Number, Series};

const HEAD: &[u8] = b"0";
/// The version of the rows.
const VERSION: u8 = 1;
/// How long changes gather, and how long a writer that is behind is left alone.
const PERIOD: Duration = Duration::from_secs(1);
/// How many rows one commit has.
const ROWS: usize = 4096;
/// How many changes are remembered beyond those of series that are there, while the storage fails.
const MOST_REMOVED: usize = 1 << 16;

/// Where counters are to be kept.
pub(crate) struct Keep {
    pub storage: Arc<dyn Storage>,
    pub owner: Owner,
    /// For counting failures.
    pub meter: Meter,
    /// The component's id, for logs.
    pub id: String,
}

impl std::fmt::Debug for Keep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keep({})", self.owner)
    }
}

/// What to write, and who waits for it.
type Job = (Vec<Change>, Option<oneshot::Sender<Result<(), StorageError>>>);

/// Hands changes to the task that writes them.
#[derive(Debug)]
pub(crate) struct Keeper {
    jobs: mpsc::UnboundedSender<Job>,
    /// How many jobs the writer has not done.
    pending: Arc<AtomicUsize>,
    /// Series to write, or to remove if they are not there any more.
    dirty: HashSet<u128>,
    at: Option<Duration>,
}

impl Keep {
    /// Loads what is kept and starts the task that keeps it from now on.
    pub(crate) async fn start(
        &self,
        secret: &mut Secret,
        most: usize,
        max_stale: u64,
        host: &Host,
    ) -> Result<(Keeper, Vec<(u128, Series)>), StartError> {
        let failed = |error: StorageError| StartError(format!("the state of {} cannot be read: {error}", self.owner));
        let area = self.storage.open(&self.owner).await.map_err(failed)?;
        let rows = area.read_all().await.map_err(failed)?;
        let mut changes = Vec::new();
        match rows.iter().find(|(key, _)| key == HEAD) {
            Some((_, head)) => {
                let why = |words| StartError(format!("the state of {} {words}", self.owner));
                *secret = read_head(head).map_err(why)?;
            }
            None => {
                let head = [&[VERSION][..], &secret.0].concat();
                changes.push(Change::Put(HEAD.into(), head.into()));
            }
        }
        let now = host.clock.now().unix_nanos;
        let mut kept = Vec::new();
        let mut left_out = 0;
        for (key, value) in rows.into_iter().filter(|(key, _)| key != HEAD) {
            let fresh = |series: &Series| now.saturating_sub(series.time) < max_stale && kept.len() < most;
            match read(secret, &key, &value).filter(|(_, series)| fresh(series)) {
                Some(pair) => kept.push(pair),
                None => {
                    left_out += 1;
                    changes.push(Change::Delete(key));
                }
            }
        }
        tracing::info!(component = %self.id, restored = kept.len(), left_out, "counters were loaded");
        Ok((self.spawn(area, host, changes), kept))
    }

    /// Takes the state back from another holder; all series are to be written anew.
    pub(crate) async fn take_back(
        &self,
        series: impl Iterator<Item = u128>,
        host: &Host,
    ) -> Result<Keeper, StartError> {
        let failed = |error| StartError(format!("the state of {} cannot be taken back: {error}", self.owner));
        let area = self.storage.open(&self.owner).await.map_err(failed)?;
        let mut keeper = self.spawn(area, host, Vec::new());
        keeper.dirty.extend(series);
        Ok(keeper)
    }

    fn spawn(&self, area: Arc<dyn Area>, host: &Host, changes: Vec<Change>) -> Keeper {
        let (jobs, inbox) = mpsc::unbounded_channel();
        let pending = Arc::new(AtomicUsize::new(0));
        let help = "Times that counters could not be written; it is tried again.";
        let failures = self.meter.counter("progress_state_failures", help, &[]);
        let kept = Kept { what: "counters", is: "are" };
        let patience = Patience::new(kept, self.id.clone(), host, failures);
        let writer = Writer { area, patience, pending: Arc::clone(&pending) };
        tokio::spawn(writer.run(inbox));
        let keeper = Keeper { jobs, pending, dirty: HashSet::new(), at: None };
        keeper.hand_over(changes);
        keeper
    }
}

impl Keeper {
    /// A series changed, or is gone.
    pub(crate) fn changed(&mut self, key: u128) {
        self.dirty.insert(key);
    }

    /// When to call [`Keeper::step`].
    pub(crate) fn wake_at(&self) -> Option<Duration> {
        self.at
    }

    /// After every call of the processor.
    pub(crate) fn schedule(&mut self, now: Duration) {
        if self.at.is_none() && !self.dirty.is_empty() && !self.jobs.is_closed() {
            self.at = Some(now + PERIOD);
        }
    }

    /// Hands over what changed, if the writer has nothing else to do.
    pub(crate) fn step(&mut self, table: &HashMap<u128, Followed>, secret: &Secret, now: Duration) {
        if self.jobs.is_closed() {
            // The writer said why.
            self.at = None;
            return;
        }
        if self.pending.load(Ordering::Acquire) > 0 {
            self.bound(table);
            self.at = Some(now + PERIOD);
            return;
        }
        let changes = self.take(table, secret);
        self.hand_over(changes);
        self.at = None;
    }

    /// Writes what changed and waits for it.
    pub(crate) async fn keep(&mut self, table: &HashMap<u128, Followed>, secret: &Secret) -> Result<(), StorageError> {
        let (tell, written) = oneshot::channel();
        self.pending.fetch_add(1, Ordering::AcqRel);
        let changes = self.take(table, secret);
        // Without a writer nobody answers.
        let _ = self.jobs.send((changes, Some(tell)));
        let gone = |_| {
            let message = "counters were given up before, as the log says".to_owned();
            Err(StorageError { message, retryable: false })
        };
        written.await.unwrap_or_else(gone)
    }

    /// Rows of series that were forgotten while the storage failed stay there until they are too old for the next start.
    fn bound(&mut self, table: &HashMap<u128, Followed>) {
        if self.dirty.len() > table.len() + MOST_REMOVED {
            self.dirty.retain(|key| table.contains_key(key));
        }
    }

    fn take(&mut self, table: &HashMap<u128, Followed>, secret: &Secret) -> Vec<Change> {
        let change = |key: u128| match table.get(&key) {
            Some(followed) => write(secret, key, &followed.series),
            None => Change::Delete(row_key(key)),
        };
        self.dirty.drain().map(change).collect()
    }

    fn hand_over(&self, changes: Vec<Change>) {
        if !changes.is_empty() {
            self.pending.fetch_add(1, Ordering::AcqRel);
            // Without a writer nobody waits for it either.
            let _ = self.jobs.send((changes, None));
        }
    }
}

/// What the task works with.
struct Writer {
    area: Arc<dyn Area>,
    patience: Patience,
    pending: Arc<AtomicUsize>,
}

impl Writer {
    /// Writes until the processor is gone.
    async fn run(mut self, mut jobs: mpsc::UnboundedReceiver<Job>) {
        while let Some((changes, done)) = jobs.recv().await {
            let written = self.write_all(&changes).await;
            let is_over = written.is_err();
            if let Some(done) = done {
                // Whoever waited may have had no more time.
                let _ = done.send(written);
            }
            if is_over {
                return;
            }
            self.pending.fetch_sub(1, Ordering::AcqRel);
        }
    }

    async fn write_all(&mut self, changes: &[Change]) -> Result<(), StorageError> {
        for chunk in changes.chunks(ROWS) {
            self.write(chunk).await?;
        }
        Ok(())
    }

    /// Writes a chunk, however long that takes; an error if it never will.
    async fn write(&mut self, chunk: &[Change]) -> Result<(), StorageError> {
        loop {
            let attempt = self.area.commit(chunk.to_vec()).await;
            if let ControlFlow::Break(end) = self.patience.after(attempt).await {
                return end;
            }
        }
    }
}

fn read_head(head: &[u8]) -> Result<Secret, &'static str> {
    let (version, secret) = head.split_first().ok_or("is damaged: its first row is empty")?;
    if *version > VERSION {
        return Err("was written by a newer version; run that one, or remove the state");
    }
    let secret: [u8; SECRET] = secret.try_into().map_err(|_| "is damaged: its first row is cut off")?;
    Ok(Secret(secret))
}

fn row_key(key: u128) -> Bytes {
    [&b"p"[..], &key.to_be_bytes()].concat().into()
}

/// Bit 0: the value is a double; bit 1: the counter is.
fn write(secret: &Secret, key: u128, series: &Series) -> Change {
    let is_double = |number| matches!(number, Number::Double(_));
    let mut value = vec![u8::from(is_double(series.value)) | u8::from(is_double(series.total)) << 1];
    let words = [series.value.parts().1, series.time, series.total.parts().1, series.start, series.stalled];
    words.iter().for_each(|word| value.extend_from_slice(&word.to_le_bytes()));
    let key = row_key(key);
    value.extend_from_slice(&check(secret, &key, &value));
    Change::Put(key, value.into())
}

fn read(secret: &Secret, key: &[u8], value: &[u8]) -> Option<(u128, Series)> {
    let hash = u128::from_be_bytes(key.strip_prefix(b"p")?.try_into().ok()?);
    let (value, sum) = value.split_last_chunk::<4>()?;
    let (flags, words) = value.split_first()?;
    let (words, rest) = words.as_chunks::<8>();
    let [value_bits, time, total, start, stalled] = *words else { return None };
    if !rest.is_empty() || *sum != check(secret, key, value) {
        return None;
    }
    let number = |flag: u8, bits: [u8; 8]| match flags & flag {
        0 => Number::Int(i64::from_le_bytes(bits)),
        _ => Number::Double(f64::from_le_bytes(bits)),
    };
    let [time, start, stalled] = [time, start, stalled].map(u64::from_le_bytes);
    Some((hash, Series::kept(number(1, value_bits), time, number(2, total), start, stalled)))
}

fn check(secret: &Secret, key: &[u8], value: &[u8]) -> [u8; 4] {
    (secret.hash(&[key, value].concat()) as u32).to_le_bytes()
}
