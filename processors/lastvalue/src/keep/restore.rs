//! The start: what storage has becomes series that are held, unconfirmed, as long as their sources' silence allows.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hashbrown::{HashMap, HashSet};
use steadyline_component::storage::{self, Patience};
use steadyline_component::{Area, Change, Host, Now, StartError, StorageError};
use steadyline_telemetry::{NumberKind, Temporality};
use tokio::sync::mpsc;

use super::record::{self, Row};
use super::writer::{Job, MARK, Writer};
use super::{Floor, Keep, Keeper, Shared};
use crate::arena::Record;
use crate::clock::{NANOS_PER_MS, Ticks, moment, ticks};
use crate::identity::Secret;
use crate::processor::LastValue;
use crate::series::{Entry, RESTORED};

const HEAD: &[u8] = b"0";
const GENERATION: &[u8] = b"1";
/// The version of the rows.
const VERSION: u8 = 1;
/// How long after a restart a series that storage did not know may be one that was sent before it: as long as senders
/// try again what was not acknowledged.
const FLOOR: Duration = Duration::from_secs(300);
/// How many generations are told apart; a process that restarts more often within one hold forgets the oldest.
const MOST_GENERATIONS: usize = 64;

/// What storage had.
#[derive(Default)]
struct Kept {
    secret: Option<[u8; 192]>,
    generation: u32,
    mark: u64,
    sources: HashMap<u64, u16>,
    families: HashMap<u64, Bytes>,
    names: HashMap<u64, Bytes>,
    series: Vec<(u128, Bytes)>,
    /// Keys of rows that make no sense.
    unreadable: Vec<Bytes>,
}

/// What became of it.
#[derive(Default)]
struct Outcome {
    restored: u64,
    /// Held for long enough before the restart, or while nothing ran.
    expired: u64,
    /// More than `max_series`, or added up by this config.
    refused: u64,
    /// Heads in use, and what they are here.
    families: HashMap<u64, u32>,
    names: HashMap<u64, u32>,
    changes: Vec<Change>,
}

impl LastValue {
    /// Loads the state and starts the task that keeps it from now on.
    pub(crate) async fn restore(&mut self, keep: &Keep, host: &Host) -> Result<(), StartError> {
        let failed = |error: StorageError| StartError(format!("{} cannot be read: {error}", keep.what()));
        let area = keep.storage.open(&keep.owner).await.map_err(failed)?;
        let rows = area.read_all().await.map_err(failed)?;
        let now = host.clock.now();
        let kept = self.read(rows, now).map_err(|why| StartError(format!("{} {why}", keep.what())))?;
        let (generation, mark) = (kept.generation + 1, kept.mark);
        let mut changes = Vec::new();
        if kept.secret.is_none() {
            let head = [&[VERSION][..], self.secret.bytes()].concat();
            changes.push(Change::Put(HEAD.into(), head.into()));
        }
        changes.push(record::sealed(&self.secret, GENERATION, &generation.to_le_bytes()));
        let unreadable = kept.unreadable.len();
        let outcome = self.take_in(kept, now);
        changes.extend(outcome.changes);
        self.floor = Floor { ms: mark, until: ticks(now.mono).saturating_add(ticks(FLOOR)) };
        let known: HashSet<u64> = outcome.families.into_keys().chain(outcome.names.into_keys()).collect();
        self.start_writer(keep, area, host, generation, known, changes);
        if outcome.restored > 0 {
            // A line that was silent before the end has waited long enough.
            self.sweep.restart(ticks(now.mono));
        }
        tracing::info!(
            component = %self.id, restored = outcome.restored, expired = outcome.expired, refused = outcome.refused,
            unreadable, "state was loaded; what was restored is held until its source confirms it"
        );
        Ok(())
    }

    fn start_writer(
        &mut self,
        keep: &Keep,
        area: Arc<dyn Area>,
        host: &Host,
        generation: u32,
        known: HashSet<u64>,
        changes: Vec<Change>,
    ) {
        let shared = Arc::new(Shared::default());
        let jobs = self.writer(keep, area, host, &shared);
        let mut keeper = Keeper::new(jobs, shared, generation, known);
        // What the process before may have sent is the mark until something newer is.
        keeper.sent(self.floor.ms);
        keeper.shared.mark.store(self.floor.ms, std::sync::atomic::Ordering::Relaxed);
        keeper.hand_over(Job { changes, ..Job::default() });
        keeper.changed();
        keeper.finish(host.clock.now().mono);
        self.keeper = Some(keeper);
    }

    /// Starts a task that writes to this area; gives what takes its jobs.
    pub(super) fn writer(
        &self,
        keep: &Keep,
        area: Arc<dyn Area>,
        host: &Host,
        shared: &Arc<Shared>,
    ) -> mpsc::UnboundedSender<Job> {
        let (jobs, inbox) = mpsc::unbounded_channel();
        let failures = keep.meter.counter(
            "lastvalue_state_failures",
            "Times that state could not be written; it is tried again.",
            &[],
        );
        let kept = storage::Kept { what: "the state", is: "is" };
        let writer = Writer {
            area,
            clock: host.clock.clone(),
            patience: Patience::new(kept, self.id.clone(), host, failures),
            secret: Secret::kept(*self.secret.bytes()),
            shared: Arc::clone(shared),
        };
        tokio::spawn(writer.run(inbox));
        jobs
    }

    /// Sorts the rows; the secret and the sources take effect.
    fn read(&mut self, rows: Vec<(Bytes, Bytes)>, now: Now) -> Result<Kept, &'static str> {
        let mut kept = Kept::default();
        if let Some((_, head)) = rows.iter().find(|(key, _)| key == HEAD) {
            let (version, secret) = head.split_first().ok_or("is damaged: its first row is empty")?;
            if *version > VERSION {
                return Err("was written by a newer version; run that one, or remove the state");
            }
            let secret = *secret.first_chunk().ok_or("is damaged: its first row is cut off")?;
            (self.secret, kept.secret) = (Secret::kept(secret), Some(secret));
        }
        for (key, value) in rows.into_iter().filter(|(key, _)| key != HEAD) {
            let opened = record::open(&self.secret, &key, &value).map(|opened| value.slice_ref(opened));
            if opened.and_then(|value| self.sort(&mut kept, &key, value, now)).is_none() {
                kept.unreadable.push(key);
            }
        }
        Ok(kept)
    }

    fn sort(&mut self, kept: &mut Kept, key: &Bytes, value: Bytes, now: Now) -> Option<()> {
        match key.first()? {
            b'1' => kept.generation = u32::from_le_bytes(*value.first_chunk()?),
            _ if key == MARK => kept.mark = u64::from_le_bytes(*value.first_chunk()?),
            b's' => {
                let number = self.restore_source(&value, now)?;
                kept.sources.insert(record::head_hash_of(key)?, number);
            }
            b'f' => drop(kept.families.insert(record::head_hash_of(key)?, value)),
            b'k' => drop(kept.names.insert(record::head_hash_of(key)?, value)),
            b'r' => kept.series.push((record::series_hash(key)?, value)),
            _ => return None,
        }
        Some(())
    }

    fn restore_source(&mut self, value: &[u8], now: Now) -> Option<u16> {
        let (header, heard) = record::read_source(value)?;
        let number = self.sources.restore(&header, heard, &self.config);
        let source = self.sources.get_mut(number);
        let hold = moment(source.hold).as_nanos() as u64;
        let before = &mut source.heard.before;
        before.retain(|(_, time)| time.saturating_add(hold) > now.unix_nanos);
        before.drain(..before.len().saturating_sub(MOST_GENERATIONS));
        Some(number)
    }

    /// Takes in every series that may still be held.
    fn take_in(&mut self, mut kept: Kept, now: Now) -> Outcome {
        let mut outcome = Outcome::default();
        let delete = |key: &[u8]| Change::Delete(Bytes::copy_from_slice(key));
        outcome.changes.extend(kept.unreadable.drain(..).map(Change::Delete));
        for (hash, value) in std::mem::take(&mut kept.series) {
            let taken = Row::read(&value).and_then(|row| self.take_in_one(hash, &row, &kept, now, &mut outcome));
            if taken.is_none() {
                outcome.changes.push(delete(&record::series_key(hash)));
            }
        }
        for (kind, heads, used) in [(b'f', &kept.families, &outcome.families), (b'k', &kept.names, &outcome.names)] {
            let unused = heads.keys().filter(|hash| !used.contains_key(*hash));
            outcome.changes.extend(unused.map(|hash| delete(&record::head_key(kind, *hash))));
        }
        // Every series counts its own uses; these were for the looking up.
        outcome.families.values().for_each(|family| self.families.release(*family));
        outcome.names.values().for_each(|names| drop(self.keys.release(*names)));
        outcome
    }

    fn take_in_one(&mut self, hash: u128, row: &Row<'_>, kept: &Kept, now: Now, out: &mut Outcome) -> Option<()> {
        let number = *kept.sources.get(&row.source)?;
        let tick = ticks(now.mono);
        let Some(until) = self.held_until(number, row.generation, tick, now) else {
            out.expired += 1;
            return None;
        };
        let (packed, names) = (kept.families.get(&row.family)?, kept.names.get(&row.names)?);
        let family = *out.families.entry(row.family).or_insert_with(|| self.families.import(packed));
        let keys = *out.names.entry(row.names).or_insert_with(|| self.keys.intern(names).0);
        let head = self.families.head(family);
        let delta = head.kind.temporality() == Some(Temporality::Delta);
        let is_body = !head.kind.is_number();
        if self.config.adds(std::str::from_utf8(head.name).ok()?, delta) || delta || self.is_full() {
            out.refused += 1;
            return None;
        }
        if is_body != (row.number == NumberKind::Body) {
            return None;
        }
        let mut entry = Entry::new(hash, number);
        entry.set(RESTORED);
        (entry.seen, entry.time) = (until, row.time);
        entry.set_number(row.number);
        // Every one may have been sent up to the mark, and none was sent since.
        let silence = self.sources.get(number).silence;
        entry.sent(kept.mark.max(row.time / NANOS_PER_MS).max(1), tick.wrapping_sub(silence));
        let Row { guard, start, labels, .. } = *row;
        let id = self.store.insert(entry, &Record { owner: 0, family, keys, guard, start, labels })?;
        let bits = if is_body { self.bodies.insert(row.body) } else { row.bits };
        self.store.get_mut(id).bits = bits;
        self.families.retain(family);
        self.keys.retain(keys);
        if let Some(guard) = guard {
            self.store.set_guarded(guard, id);
        }
        out.restored += 1;
        Some(())
    }

    /// Until when a series is held that its source confirmed in this generation last; `None`: that is over. If the wall
    /// clock stands before that confirmation it was stepped back, and nobody knows how long ago it was.
    fn held_until(&self, source: u16, generation: u32, tick: Ticks, now: Now) -> Option<Ticks> {
        let source = self.sources.get(source);
        let (_, confirmed) = source.heard.before.iter().find(|(known, _)| *known == generation)?;
        let gone = Duration::from_nanos(now.unix_nanos.saturating_sub(*confirmed));
        let left = source.hold.checked_sub(ticks(gone)).filter(|left| *left > 0)?;
        Some(tick.saturating_add(left))
    }
}
