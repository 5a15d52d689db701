//! What was counted: the window of events and the cumulative series, kept together in one transaction where there is storage.
//!
//! An event's numbers are added once, when it first comes, and kept before anything of it is sent. If it comes again before it was delivered, its series
//! are sent again as they are; what is kept is never below what was sent, so no counter falls after a crash and no event counts twice.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use steadyline_component::{Area, Change, Now, StorageError};
use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::config::{Config, EventTemporality};
use crate::event::Event;
use crate::plan::{Output, OutputKind};
use crate::series::{Identifier, Series, SeriesId, SeriesTable, Total};
use crate::window::{KeyHash, Window, state};

/// The books of one receiver.
pub(crate) struct Ledger {
    inner: Mutex<Books>,
    /// Held while changes are kept, so that they are kept in the order in which they were made.
    keeping: tokio::sync::Mutex<Option<Arc<dyn Area>>>,
    has_storage: bool,
}

/// What a lock protects.
pub(crate) struct Books {
    seed: u64,
    pub(crate) window: Window,
    pub(crate) series: SeriesTable,
    pub(crate) identifier: Identifier,
    pub(crate) outputs: Arc<[Output]>,
    is_cumulative: bool,
    expiration: Duration,
    /// Up to when deltas were told, nanoseconds since the Unix epoch.
    pub(crate) delta_stamp: u64,
    /// The term of leadership that the series belong to.
    term: u64,
    /// Whether changes are collected to be kept.
    keeps: bool,
    changes: HashMap<Bytes, Change>,
}

/// What is to be done with an event.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Admission {
    /// It is sent. Its numbers are counted.
    Send {
        /// How many of its points found no series.
        refused: u64,
    },
    /// It was delivered before.
    Done,
    /// It is on its way already.
    InFlight,
}

#[derive(Serialize, Deserialize)]
struct Meta {
    version: u32,
    seed: u64,
    term: u64,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    name: String,
    labels: Vec<(String, String)>,
    total: Total,
    start: u64,
    stamp: u64,
}

const VERSION: u32 = 1;
const META: &[u8] = b"meta";
const KEY: u8 = b'k';
const SERIES: u8 = b's';

impl Ledger {
    /// Books without entries.
    pub(crate) fn new(config: &Config, outputs: Arc<[Output]>, now: Now) -> Self {
        let seed = RandomState::new().hash_one(0);
        let span = u32::try_from(config.idempotency.window.get().as_secs()).unwrap_or(u32::MAX);
        let books = Books {
            seed,
            window: Window::new(span, config.idempotency.max_keys),
            series: SeriesTable::new(config.max_series),
            identifier: Identifier::new(Arc::clone(&outputs), seed),
            outputs,
            is_cumulative: config.temporality == EventTemporality::Cumulative,
            expiration: config.series_expiration.get(),
            delta_stamp: now.unix_nanos,
            term: 0,
            keeps: config.storage.is_some(),
            changes: HashMap::new(),
        };
        let has_storage = config.storage.is_some();
        Self { inner: Mutex::new(books), keeping: tokio::sync::Mutex::new(None), has_storage }
    }

    /// Reads what was kept, and keeps everything from now on.
    ///
    /// # Errors
    /// It cannot be read, or was written by a later version.
    pub(crate) async fn open(&self, area: Arc<dyn Area>, now: Now) -> Result<(), StorageError> {
        let entries = area.read_all().await?;
        self.lock().load(entries, now)?;
        *self.keeping.lock().await = Some(area);
        Ok(())
    }

    /// The books.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Books> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what has changed, all of it or nothing. Without storage there is nothing to do.
    ///
    /// # Errors
    /// Nothing was kept; the changes go with those of the next call.
    pub(crate) async fn keep(&self) -> Result<(), StorageError> {
        if !self.has_storage {
            return Ok(());
        }
        let area = self.keeping.lock().await;
        let Some(area) = &*area else { return Ok(()) };
        let changes = self.lock().take_changes();
        if changes.is_empty() {
            return Ok(());
        }
        let result = area.commit(changes.clone()).await;
        if result.is_err() {
            self.lock().give_back(changes);
        }
        result
    }
}

impl Books {
    /// Takes note of an event that is about to be sent.
    pub(crate) fn admit(&mut self, event: &Event, now: Now) -> Admission {
        let hash = self.hash(&event.key);
        let known = self.window.get(hash).unwrap_or(0);
        if known & state::IN_FLIGHT != 0 {
            return Admission::InFlight;
        }
        if known & state::DONE != 0 {
            return Admission::Done;
        }
        let mut refused = 0;
        if known & state::COUNTED == 0 && self.is_cumulative {
            for point in event.points.iter() {
                let kind = &self.outputs[point.output].kind;
                if *kind != OutputKind::Gauge {
                    let id = self.identifier.of(point.output, &point.labels);
                    let found = self.series.add(id, point, &kind.clone(), now.unix_nanos, now.mono);
                    refused += u64::from(!found);
                }
            }
        }
        self.set(hash, state::COUNTED | state::IN_FLIGHT, now);
        Admission::Send { refused }
    }

    /// Takes note of how an event fared. One that was not delivered stays counted.
    pub(crate) fn landed(&mut self, key: &str, delivered: bool, now: Now) {
        let hash = self.hash(key);
        self.set(hash, if delivered { state::COUNTED | state::DONE } else { state::COUNTED }, now);
    }

    /// Begins a term of leadership. Series of another one's time are not ours to go on with: they begin anew.
    pub(crate) fn begin_term(&mut self, term: u64) {
        if term == self.term {
            return;
        }
        if term != self.term + 1 {
            let gone = self.series.clear();
            self.forget_series(&gone);
        }
        self.term = term;
        self.put_meta();
    }

    /// Forgets what is too old.
    pub(crate) fn sweep(&mut self, now: Now) {
        let mut forgotten = Vec::new();
        self.window.sweep(unix_seconds(now), &mut forgotten);
        self.forget_keys(&forgotten);
        if !self.expiration.is_zero() {
            let gone = self.series.expire(now.mono.saturating_sub(self.expiration));
            self.forget_series(&gone);
        }
    }

    /// The next stamp of deltas, and the one before.
    pub(crate) fn next_delta_stamp(&mut self, now: u64) -> (u64, u64) {
        let before = self.delta_stamp;
        self.delta_stamp = now.max(before + 1_000_000);
        (before, self.delta_stamp)
    }

    fn hash(&self, key: &str) -> KeyHash {
        let hash = xxh3_128_with_seed(key.as_bytes(), self.seed);
        [hash as u64, (hash >> 64) as u64]
    }

    fn set(&mut self, hash: KeyHash, state: u8, now: Now) {
        let mut forgotten = Vec::new();
        self.window.set(hash, state, unix_seconds(now), &mut forgotten);
        self.forget_keys(&forgotten);
        if self.keeps {
            let at = self.window.at(hash).unwrap_or_else(|| unix_seconds(now));
            let mut value = at.to_le_bytes().to_vec();
            // Nothing is in flight after a restart.
            value.push(state & !state::IN_FLIGHT);
            self.change(Change::Put(key_of(hash), value.into()));
        }
    }

    fn forget_keys(&mut self, keys: &[KeyHash]) {
        if self.keeps {
            keys.iter().for_each(|hash| self.change(Change::Delete(key_of(*hash))));
        }
    }

    fn forget_series(&mut self, ids: &[SeriesId]) {
        if self.keeps {
            ids.iter().for_each(|id| self.change(Change::Delete(series_key(*id))));
        }
    }

    fn change(&mut self, change: Change) {
        let (Change::Put(key, _) | Change::Delete(key)) = &change;
        self.changes.insert(key.clone(), change);
    }

    fn put_meta(&mut self) {
        if self.keeps {
            let meta = Meta { version: VERSION, seed: self.seed, term: self.term };
            let value = serde_json::to_vec(&meta).expect("three numbers are JSON");
            self.change(Change::Put(Bytes::from_static(META), value.into()));
        }
    }

    fn take_changes(&mut self) -> Vec<Change> {
        for id in std::mem::take(&mut self.series.dirty) {
            let Some(series) = self.series.get(id) else { continue };
            let value = self.kept(series);
            self.change(Change::Put(series_key(id), value));
        }
        std::mem::take(&mut self.changes).into_values().collect()
    }

    /// What was not kept, unless it has changed again since.
    fn give_back(&mut self, changes: Vec<Change>) {
        for change in changes {
            let (Change::Put(key, _) | Change::Delete(key)) = &change;
            self.changes.entry(key.clone()).or_insert(change);
        }
    }

    fn kept(&self, series: &Series) -> Bytes {
        let output = &self.outputs[series.output];
        let pairs = output.labels.iter().zip(&series.labels);
        let labels = pairs.filter_map(|(name, value)| Some((name.clone(), value.as_deref()?.to_owned()))).collect();
        let total = series.total.clone();
        let kept = Kept { name: output.name.clone(), labels, total, start: series.start, stamp: series.stamp };
        serde_json::to_vec(&kept).expect("texts and finite numbers are JSON").into()
    }

    fn load(&mut self, entries: Vec<(Bytes, Bytes)>, now: Now) -> Result<(), StorageError> {
        let meta = entries.iter().find(|(key, _)| key.as_ref() == META);
        let meta: Option<Meta> = match meta {
            Some((_, value)) => Some(serde_json::from_slice(value).map_err(damaged)?),
            None => None,
        };
        if let Some(meta) = &meta {
            if meta.version != VERSION {
                let message = format!("the state is of version {}, this is version {VERSION}", meta.version);
                return Err(StorageError { message, retryable: false });
            }
            self.seed = meta.seed;
            self.term = meta.term;
            self.identifier = Identifier::new(Arc::clone(&self.outputs), meta.seed);
        }
        let mut keys = Vec::new();
        let mut unreadable = 0_u64;
        for (key, value) in entries {
            match key.split_first() {
                Some((&KEY, hash)) if hash.len() == 16 && value.len() == 5 => keys.push(key_entry(hash, &value)),
                Some((&SERIES, _)) => self.restore(&key, &value, now)?,
                _ => unreadable += u64::from(key != META),
            }
        }
        if unreadable > 0 {
            tracing::warn!(
                "{unreadable} entries of the state of events are damaged or of no known kind, and are left out"
            );
        }
        keys.sort_unstable_by_key(|(at, ..)| *at);
        let mut forgotten = Vec::new();
        for (at, hash, state) in keys {
            self.window.set(hash, state, at, &mut forgotten);
        }
        self.forget_keys(&forgotten);
        self.put_meta();
        Ok(())
    }

    /// A kept series; one that config has no metric for any more is forgotten.
    fn restore(&mut self, key: &Bytes, value: &[u8], now: Now) -> Result<(), StorageError> {
        let kept: Kept = serde_json::from_slice(value).map_err(damaged)?;
        let fits = |output: &Output| {
            let kind = match (&output.kind, &kept.total) {
                (OutputKind::Histogram { bounds }, Total::Histogram(counted)) => counted.bounds[..] == bounds[..],
                (OutputKind::Sum { .. }, Total::Int(_) | Total::Float(_)) => true,
                _ => false,
            };
            kind && output.name == kept.name && kept.labels.iter().all(|(name, _)| output.labels.contains(name))
        };
        let Some(output) = self.outputs.iter().position(fits) else {
            self.change(Change::Delete(key.clone()));
            return Ok(());
        };
        let value =
            |name: &String| kept.labels.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str().into());
        let labels: Box<[Option<Box<str>>]> = self.outputs[output].labels.iter().map(value).collect();
        let id = self.identifier.of(output, &labels);
        let Kept { total, start, stamp, .. } = kept;
        self.series.restore(id, Series { output, labels, total, start, stamp, touched: now.mono });
        Ok(())
    }
}

fn damaged(error: serde_json::Error) -> StorageError {
    StorageError { message: format!("the state does not read: {error}"), retryable: false }
}

fn key_entry(hash: &[u8], value: &[u8]) -> (u32, KeyHash, u8) {
    let half = |from: usize| u64::from_le_bytes(hash[from..from + 8].try_into().expect("eight of sixteen bytes"));
    let at = u32::from_le_bytes(value[..4].try_into().expect("four of five bytes"));
    (at, [half(0), half(8)], value[4])
}

fn key_of(hash: KeyHash) -> Bytes {
    let mut key = vec![KEY];
    hash.iter().for_each(|half| key.extend_from_slice(&half.to_le_bytes()));
    key.into()
}

fn series_key(id: SeriesId) -> Bytes {
    let mut key = vec![SERIES];
    key.extend_from_slice(&id.to_le_bytes());
    key.into()
}

fn unix_seconds(now: Now) -> u32 {
    (now.unix_nanos / 1_000_000_000) as u32
}
