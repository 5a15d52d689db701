//! Disks that fill up and fail: nothing that was promised is lost, and the log goes on when the disk does.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::path::Path;

use steadyline_blocklog::{Entry, Log, LogError, Options, Recovery};
use support::{SimDisk, record};

const FOLDER: &str = "/queue";

fn open(disk: &SimDisk) -> (Log<SimDisk>, Recovery) {
    let options = Options { segment_bytes: 4096, id: 7, ..Options::default() };
    Log::open(disk.clone(), Path::new(FOLDER), options).unwrap()
}

fn seqs(log: &Log<SimDisk>) -> Vec<u64> {
    log.front(0, usize::MAX).iter().map(|entry| entry.seq).collect()
}

#[test]
fn a_full_disk_refuses_and_takes_again_when_there_is_room() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk);
    disk.with(|state| state.capacity = Some(24 << 10));
    let mut last = 0;
    let error = loop {
        match log.append(&[record(last + 1, 0, 0, 900)]) {
            Ok(()) => last += 1,
            Err(error) => break error,
        }
        log.sync_job().run().unwrap();
    };
    assert!(error.is_full() && error.is_retryable(), "{error}");
    assert!(error.to_string().starts_with("cannot create /queue/00000000"), "{error}");
    assert!(last > 12, "most of the disk was used, not only whole segments: {last}");
    assert_eq!(seqs(&log), (1..=last).collect::<Vec<_>>());
    assert!(log.append(&[record(last + 1, 0, 0, 900)]).unwrap_err().is_full(), "it stays full");
    // A queue that is full of what it holds empties itself all the same.
    log.acknowledge(0, last / 2).unwrap();
    log.sync_job().run().unwrap();
    log.append(&[record(last + 1, 0, 0, 900)]).unwrap();
    log.sync_job().run().unwrap();
    drop(log);
    disk.power_cut();
    let (log, recovery) = open(&disk);
    assert_eq!(seqs(&log), (last / 2 + 1..=last + 1).collect::<Vec<_>>());
    assert!(recovery.quarantined.is_empty(), "{:?}", recovery.quarantined);
}

#[test]
fn it_opens_on_a_full_disk() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk);
    for seq in 1..=8 {
        log.append(&[record(seq, 0, 0, 900)]).unwrap();
    }
    log.acknowledge(0, 1).unwrap();
    log.sync_job().run().unwrap();
    drop(log);
    disk.with(|state| state.capacity = Some(0));
    let (mut log, recovery) = open(&disk);
    assert!(recovery.quarantined.is_empty(), "{:?}", recovery.quarantined);
    assert_eq!(seqs(&log), (2..=8).collect::<Vec<_>>());
    assert!(log.append(&[record(9, 0, 0, 1)]).unwrap_err().is_full());
    log.acknowledge(0, 8).unwrap();
    log.sync_job().run().unwrap();
    assert_eq!(disk.bytes(".log"), 0);
}

#[test]
fn a_failed_write_leaves_nothing_behind() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk);
    log.append(&[record(1, 0, 0, 300)]).unwrap();
    disk.with(|state| state.failing_writes = 1);
    let error = log.append(&[record(2, 0, 0, 1200), record(3, 0, 0, 1200)]).unwrap_err();
    assert!(error.is_retryable() && !error.is_full(), "{error}");
    assert_eq!(seqs(&log), [1]);
    log.append(&[record(2, 0, 0, 5)]).unwrap();
    drop(log);
    let (mut log, recovery) = open(&disk);
    assert_eq!(seqs(&log), [1, 2]);
    assert_eq!((recovery.torn, recovery.quarantined.len()), (0, 0));
    let entry = Entry { seq: 2, shard: 0, generation: 0 };
    assert_eq!(log.read(&entry).unwrap(), record(2, 0, 0, 5));
}

#[test]
fn what_a_failed_sync_covered_is_written_again() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk);
    log.append(&[record(1, 0, 0, 300)]).unwrap();
    log.sync_job().run().unwrap();
    log.append(&[record(2, 0, 0, 300)]).unwrap();
    disk.with(|state| state.failing_syncs = 1);
    assert!(matches!(log.sync_job().run(), Err(LogError::Io { what: "sync", .. })));
    log.append(&[record(3, 0, 0, 300)]).unwrap();
    // The kernel says that all is well now; of the pages it has dropped it says nothing.
    log.sync_job().run().unwrap();
    drop(log);
    disk.power_cut();
    let (mut log, recovery) = open(&disk);
    assert_eq!(seqs(&log), [1, 2, 3]);
    assert!(recovery.quarantined.is_empty(), "{:?}", recovery.quarantined);
    for seq in 1..=3 {
        assert_eq!(log.read(&Entry { seq, shard: 0, generation: 0 }).unwrap(), record(seq, 0, 0, 300));
    }
}

#[test]
fn a_job_that_was_made_before_another_failed_proves_nothing() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk);
    log.append(&[record(1, 0, 0, 300)]).unwrap();
    let first = log.sync_job();
    log.append(&[record(2, 0, 0, 300)]).unwrap();
    let second = log.sync_job();
    disk.with(|state| state.failing_syncs = 1);
    first.run().unwrap_err();
    assert!(matches!(second.run(), Err(LogError::Superseded)));
    log.sync_job().run().unwrap();
    drop(log);
    disk.power_cut();
    assert_eq!(seqs(&open(&disk).0), [1, 2]);
}

#[test]
fn one_stuck_shard_does_not_keep_the_segments_of_the_others() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk);
    let mut most = 0;
    for seq in 1..=2000 {
        let shard = u32::from(seq % 20 != 0);
        log.append(&[record(seq, shard, 0, 300)]).unwrap();
        log.acknowledge(1, seq).unwrap();
        log.sync_job().run().unwrap();
        let stats = log.stats();
        assert_eq!(stats.disk_bytes, disk.bytes(".log"));
        assert!(stats.disk_bytes <= 2 * stats.live_bytes + 2 * 4096, "{seq}: {stats:?}");
        most = most.max(stats.disk_bytes);
    }
    assert!(most > 20_000, "there was something to bound: {most}");
    assert_eq!(seqs(&log), (20..=2000).step_by(20).collect::<Vec<_>>());
    for entry in log.front(0, usize::MAX) {
        assert_eq!(log.read(&entry).unwrap(), record(entry.seq, 0, 0, 300));
    }
    drop(log);
    disk.power_cut();
    let (log, recovery) = open(&disk);
    assert_eq!(seqs(&log), (20..=2000).step_by(20).collect::<Vec<_>>());
    assert!(recovery.quarantined.is_empty(), "{:?}", recovery.quarantined);
}

/// A stuck shard's backlog that is left behind when all others are done is moved together, without any append.
#[test]
fn what_is_left_of_many_segments_is_moved_together() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk);
    for seq in 1..=400 {
        log.append(&[record(seq, u32::from(seq % 20 != 0), 0, 300)]).unwrap();
    }
    log.sync_job().run().unwrap();
    log.acknowledge(1, 400).unwrap();
    for _ in 0..50 {
        log.sync_job().run().unwrap();
    }
    let stats = log.stats();
    assert_eq!(stats.pending.records, 20);
    assert!(stats.disk_bytes <= 2 * stats.live_bytes + 2 * 4096, "{stats:?}");
}

#[test]
fn a_record_larger_than_a_segment_gets_one_of_its_own() {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk);
    for (seq, length) in [(1, 10), (2, 100_000), (3, 10)] {
        log.append(&[record(seq, 0, 0, length)]).unwrap();
    }
    log.close_clean().unwrap();
    let (mut log, _) = open(&disk);
    assert_eq!(log.read(&Entry { seq: 2, shard: 0, generation: 0 }).unwrap(), record(2, 0, 0, 100_000));
    assert_eq!(seqs(&log), [1, 2, 3]);
}

#[test]
fn a_log_without_syncs_survives_the_process() {
    let disk = SimDisk::new(1);
    let options = || Options { segment_bytes: 4096, sync: false, id: 7, ..Options::default() };
    let (mut log, _) = Log::open(disk.clone(), Path::new(FOLDER), options()).unwrap();
    for seq in 1..=20 {
        log.append(&[record(seq, 0, 0, 500)]).unwrap();
        log.sync_job().run().unwrap();
    }
    log.acknowledge(0, 15).unwrap();
    assert_eq!(disk.with(|state| state.syncs), 0);
    drop(log);
    let (log, recovery) = Log::open(disk.clone(), Path::new(FOLDER), options()).unwrap();
    assert_eq!(seqs(&log), (16..=20).collect::<Vec<_>>());
    assert!(recovery.quarantined.is_empty());
}
