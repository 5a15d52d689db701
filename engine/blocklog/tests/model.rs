//! The log against a naive model: any order of appending, acknowledging, syncing, moving, crashing, on a disk that
//! forgets, fills up and fails to sync.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use proptest::prelude::*;
use steadyline_blocklog::{Log, Options, Record, Recovery, SyncJob};
use support::{SimDisk, record};

const SHARDS: u32 = 3;
const SEGMENT: u64 = 4096;
const FOLDER: &str = "/queue";

#[derive(Debug, Clone)]
enum Step {
    /// Appends so many records of a length to a shard.
    Append {
        count: usize,
        shard: u32,
        length: usize,
    },
    /// Keeps a number back, as a queue in memory does, to be appended with the next late append.
    HoldBack {
        shard: u32,
        length: usize,
    },
    AppendLate,
    Acknowledge {
        shard: u32,
        count: usize,
    },
    Sync,
    /// Only what was appended; acknowledgements may be lost.
    SyncAppended,
    /// Makes a job and runs it only after some more steps.
    BeginSync,
    EndSync,
    FailSyncs {
        count: u32,
        forgets: bool,
    },
    FailWrite,
    Fill {
        room: u64,
    },
    MakeRoom,
    Kill,
    PowerCut,
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    let shard = 0..SHARDS;
    let length = prop_oneof![4 => 0..300_usize, 2 => 300..1500_usize, 1 => 1500..6000_usize];
    prop_oneof![
        12 => (1..4_usize, shard.clone(), length.clone()).prop_map(|(count, shard, length)| Step::Append { count, shard, length }),
        2 => (shard.clone(), length).prop_map(|(shard, length)| Step::HoldBack { shard, length }),
        1 => Just(Step::AppendLate),
        8 => (shard, 1..4_usize).prop_map(|(shard, count)| Step::Acknowledge { shard, count }),
        4 => Just(Step::Sync),
        4 => Just(Step::SyncAppended),
        2 => Just(Step::BeginSync),
        2 => Just(Step::EndSync),
        1 => (1..4_u32, any::<bool>()).prop_map(|(count, forgets)| Step::FailSyncs { count, forgets }),
        1 => Just(Step::FailWrite),
        1 => (0..6000_u64).prop_map(|room| Step::Fill { room }),
        2 => Just(Step::MakeRoom),
        1 => Just(Step::Kill),
        2 => Just(Step::PowerCut),
        1 => Just(Step::Close),
    ]
}

/// What must hold of a record that was given to the log.
#[derive(Debug, Clone)]
struct Known {
    record: Record,
    /// It was appended without an error, and is not acknowledged.
    pending: bool,
    /// A sync job that covers it has succeeded.
    synced: bool,
    acknowledged: bool,
    /// A sync job that covers the acknowledgement has succeeded.
    gone: bool,
}

/// Records by shard and number.
type Keys = BTreeSet<(u32, u64)>;

struct Run {
    disk: SimDisk,
    log: Option<Log<SimDisk>>,
    known: BTreeMap<(u32, u64), Known>,
    held: Vec<Record>,
    /// A job with the records that it makes durable, and those whose acknowledgement it does.
    job: Option<(SyncJob<SimDisk>, Keys, Keys)>,
    next_seq: u64,
    /// Records that a failed sync and a forgetful disk took, and the log told of.
    lost: u64,
    /// The largest segment that was needed.
    largest: u64,
}

fn open(disk: &SimDisk) -> (Log<SimDisk>, Recovery) {
    Log::open(disk.clone(), Path::new(FOLDER), options()).unwrap()
}

fn options() -> Options {
    Options { segment_bytes: SEGMENT, id: 0x1234_5678_9abc_def0, ..Options::default() }
}

impl Run {
    fn new(seed: u64) -> Run {
        let disk = SimDisk::new(seed);
        let log = Some(open(&disk).0);
        Run { disk, log, known: BTreeMap::new(), held: Vec::new(), job: None, next_seq: 1, lost: 0, largest: SEGMENT }
    }

    fn log(&mut self) -> &mut Log<SimDisk> {
        self.log.as_mut().unwrap()
    }

    fn fresh(&mut self, shard: u32, length: usize) -> Record {
        let seq = self.next_seq;
        self.next_seq += 1;
        record(seq, shard, (seq / 20) as u32, length)
    }

    fn append(&mut self, records: Vec<Record>) {
        let size: u64 = records.iter().map(|record| record.payload.len() as u64 + 200).sum();
        self.largest = self.largest.max(size + 64);
        let appended = self.log().append(&records);
        for record in records {
            let key = (record.meta.shard, record.meta.seq);
            let known = Known { record, pending: appended.is_ok(), synced: false, acknowledged: false, gone: false };
            self.known.insert(key, known);
        }
        if let Err(error) = appended {
            assert!(error.is_retryable(), "{error}");
        }
    }

    fn acknowledge(&mut self, shard: u32, count: usize) {
        let front = self.log().front(shard, count);
        let Some(last) = front.last() else { return };
        let done = self.log().acknowledge(shard, last.seq);
        let Ok(done) = done else { return };
        assert_eq!(done.records as usize, front.len());
        let items: u64 = front.iter().map(|entry| self.known[&(shard, entry.seq)].record.meta.items).sum();
        // What a forgetful disk took cannot be counted.
        assert!(done.items == items || self.disk.with(|state| state.forgets));
        // Everything of the shard up to there is done, what memory held too.
        self.held.retain(|record| record.meta.shard != shard || record.meta.seq > last.seq);
        for (key, known) in self.known.range_mut((shard, 0)..=(shard, last.seq)) {
            assert!(!known.pending || front.iter().any(|entry| entry.seq == key.1));
            known.acknowledged |= known.pending;
            known.pending = false;
        }
    }

    fn begin(&mut self) {
        let job = self.log().sync_job();
        self.take_losses();
        let pending = self.known.iter().filter(|(_, known)| known.pending).map(|(key, _)| *key).collect();
        let gone = self.known.iter().filter(|(_, known)| known.acknowledged).map(|(key, _)| *key).collect();
        self.job = Some((job, pending, gone));
    }

    /// Whether there was a job, and it succeeded.
    fn end(&mut self) -> bool {
        let Some((job, pending, gone)) = self.job.take() else { return false };
        if job.run().is_err() {
            return false;
        }
        for key in pending {
            self.known.get_mut(&key).unwrap().synced = true;
        }
        for key in gone {
            self.known.get_mut(&key).unwrap().gone = true;
        }
        true
    }

    fn sync_appended(&mut self) {
        self.end();
        let job = self.log().append_job();
        self.take_losses();
        let pending = self.known.iter().filter(|(_, known)| known.pending).map(|(key, _)| *key).collect();
        self.job = Some((job, pending, Keys::new()));
        self.end();
    }

    fn sync(&mut self) {
        self.end();
        self.begin();
        if !self.end() {
            return;
        }
        let stats = self.log().stats();
        assert_eq!(stats.disk_bytes, self.disk.bytes(".log"));
        let quiet = self.disk.with(|state| !state.forgets && state.capacity.is_none());
        let bound = 2 * stats.live_bytes + 2 * self.largest;
        assert!(!quiet || stats.disk_bytes <= bound, "{stats:?}, {bound}");
    }

    /// What moving after a failed sync could not read back.
    fn take_losses(&mut self) {
        let losses = self.log().take_losses();
        if losses.is_empty() {
            return;
        }
        let forgets = self.disk.with(|state| state.forgets);
        assert!(forgets, "only a disk that forgets loses: {losses:?}");
        let told: u64 = losses.iter().map(|loss| loss.records.unwrap()).sum();
        let mut gone = 0;
        let pending = self.pending();
        for (key, known) in &mut self.known {
            if known.pending && !pending.contains(key) {
                assert!(!known.synced, "{key:?} was synced");
                known.pending = false;
                gone += 1;
            }
        }
        assert_eq!(told, gone);
        self.lost += gone;
    }

    fn pending(&mut self) -> BTreeSet<(u32, u64)> {
        let log = self.log();
        let entries = (0..SHARDS).flat_map(|shard| log.front(shard, usize::MAX));
        entries.map(|entry| (entry.shard, entry.seq)).collect()
    }

    /// The log says what the model says, and every record reads as it was written.
    fn check(&mut self) {
        let pending = self.pending();
        let expected: BTreeSet<(u32, u64)> =
            self.known.iter().filter(|(_, known)| known.pending).map(|(key, _)| *key).collect();
        assert_eq!(pending, expected);
        for shard in 0..SHARDS {
            let entries = self.log().front(shard, usize::MAX);
            assert!(entries.is_sorted_by_key(|entry| entry.seq));
            for entry in entries {
                let expected = &self.known[&(shard, entry.seq)].record.clone();
                match self.log().read(&entry) {
                    Ok(record) => assert_eq!(&record, expected),
                    // A disk that forgot what it could not write: told by whoever reads first.
                    Err(error) => {
                        let known = self.known.get_mut(&(shard, entry.seq)).unwrap();
                        assert!(self.disk.with(|state| state.forgets) && !known.synced, "{error}");
                        known.pending = false;
                        self.lost += 1;
                    }
                }
            }
        }
        let amount = self.log().stats().pending;
        let known = self.known.values().filter(|known| known.pending);
        let (records, bytes) =
            known.fold((0, 0), |(n, bytes), known| (n + 1, bytes + known.record.payload.len() as u64));
        assert_eq!(amount.records, records);
        if !self.disk.with(|state| state.forgets) {
            assert_eq!(amount.bytes, bytes);
            let items: u64 =
                self.known.values().filter(|known| known.pending).map(|known| known.record.meta.items).sum();
            assert_eq!(amount.items, items);
        }
    }

    /// Opens again; `cut` says whether what was not synced may be lost.
    fn reopen(&mut self, cut: bool, clean: bool) {
        self.disk.with(|state| (state.capacity, state.failing_syncs, state.failing_writes) = (None, 0, 0));
        self.job = None;
        let (log, recovery) = open(&self.disk);
        self.log = Some(log);
        let forgets = self.disk.with(|state| std::mem::take(&mut state.forgets));
        assert!(forgets || recovery.quarantined.is_empty(), "{:?}", recovery.quarantined);
        assert_eq!(recovery.clean, clean);
        let pending = self.pending();
        assert_eq!(recovery.pending, self.log().stats().pending);
        assert!(pending.iter().all(|key| self.known.contains_key(key)), "nothing comes from nowhere");
        for (key, known) in &mut self.known {
            let there = pending.contains(key);
            if known.pending && known.synced {
                assert!(there, "{key:?} was synced");
            }
            if known.pending && !cut && !forgets {
                assert!(there, "{key:?} was written");
            }
            if known.gone || (known.acknowledged && !cut && !forgets) {
                assert!(!there, "{key:?} was acknowledged");
            }
            known.pending = there;
            known.acknowledged &= !there;
            known.synced = there;
        }
        self.next_seq = self.next_seq.max(recovery.next_seq);
        // What was held in memory is gone with the process.
        self.held.clear();
        self.check();
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Append { count, shard, length } => {
                let records = (0..count).map(|_| self.fresh(shard, length)).collect();
                self.append(records);
            }
            Step::HoldBack { shard, length } => {
                let record = self.fresh(shard, length);
                self.held.push(record);
            }
            Step::AppendLate => {
                let held = std::mem::take(&mut self.held);
                self.append(held);
            }
            Step::Acknowledge { shard, count } => self.acknowledge(shard, count),
            Step::Sync => self.sync(),
            Step::SyncAppended => self.sync_appended(),
            Step::BeginSync => {
                self.end();
                self.begin();
            }
            Step::EndSync => {
                self.end();
            }
            Step::FailSyncs { count, forgets } => self.disk.with(|state| {
                state.failing_syncs = count;
                state.forgets |= forgets;
            }),
            Step::FailWrite => self.disk.with(|state| state.failing_writes = 1),
            Step::Fill { room } => self.disk.with(|state| state.capacity = Some(room + state.capacity.unwrap_or(8192))),
            Step::MakeRoom => self.disk.with(|state| state.capacity = None),
            Step::Kill => {
                self.log = None;
                self.reopen(false, false);
            }
            Step::PowerCut => {
                self.log = None;
                self.job = None;
                self.disk.power_cut();
                self.reopen(true, false);
            }
            Step::Close => {
                self.end();
                let closed = self.log.take().unwrap().close_clean().is_ok();
                if closed {
                    self.disk.power_cut();
                }
                self.reopen(!closed, closed);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn it_is_what_a_list_would_be(seed in any::<u64>(), steps in prop::collection::vec(step(), 1..120)) {
        let mut run = Run::new(seed);
        for step in steps {
            run.step(step);
        }
        run.check();
    }
}
