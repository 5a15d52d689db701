//! What a user of the log does in a day: append, sync, read, acknowledge, close, open again.
#![allow(missing_docs, clippy::unwrap_used)]

use bytes::Bytes;
use steadyline_blocklog::{Amount, Entry, Log, LogError, Meta, Options, ReadError, RealDisk, Record};

fn record(seq: u64, shard: u32, generation: u32) -> Record {
    let meta = Meta {
        seq,
        shard,
        generation,
        items: seq * 10,
        protocol: 2,
        uncompressed: 1000 + seq,
        time_range: (seq, seq + 1),
        accepted: 77 + seq,
        leased: seq.is_multiple_of(2),
    };
    Record { meta, payload: Bytes::from(vec![seq as u8; 100 + seq as usize]) }
}

fn small() -> Options {
    Options { segment_bytes: 4096, ..Options::default() }
}

fn seqs(log: &Log<RealDisk>, shard: u32) -> Vec<u64> {
    log.front(shard, usize::MAX).iter().map(|entry| entry.seq).collect()
}

#[test]
fn what_goes_in_comes_out_in_order_and_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue");
    let (mut log, recovery) = Log::open(RealDisk, &path, small()).unwrap();
    assert!(recovery.clean && recovery.next_seq == 1 && recovery.quarantined.is_empty());
    for seq in 1..=40 {
        log.append(&[record(seq, (seq % 3) as u32, 0)]).unwrap();
    }
    log.sync_job().run().unwrap();
    assert_eq!(log.pending(1), 14);
    assert_eq!(log.front(1, 2).iter().map(|entry| entry.seq).collect::<Vec<_>>(), [1, 4]);
    for seq in 1..=40 {
        let entry = Entry { seq, shard: (seq % 3) as u32, generation: 0 };
        assert_eq!(log.read(&entry).unwrap(), record(seq, (seq % 3) as u32, 0));
        assert_eq!(log.peek(&entry).unwrap(), record(seq, (seq % 3) as u32, 0).meta);
    }
    let done = log.acknowledge(1, 10).unwrap();
    assert_eq!(done, Amount { records: 4, items: 220, bytes: 422 });
    assert_eq!(log.acknowledge(1, 10).unwrap(), Amount::default());
    assert!(matches!(log.read(&Entry { seq: 4, shard: 1, generation: 0 }), Err(ReadError::Gone(4))));
    assert!(matches!(log.append(&[record(4, 1, 0)]), Err(LogError::Order { shard: 1, seq: 4 })));
    assert!(matches!(log.append(&[record(13, 1, 0)]), Err(LogError::Order { shard: 1, seq: 13 })));
    let pending = log.stats().pending;
    log.close_clean().unwrap();

    let (log, recovery) = Log::open(RealDisk, &path, small()).unwrap();
    assert!(recovery.clean && recovery.quarantined.is_empty() && recovery.maybe_sent.is_empty());
    assert_eq!((recovery.pending, recovery.next_seq), (pending, 41));
    assert_eq!(seqs(&log, 1), (13..=40).step_by(3).collect::<Vec<_>>());
    assert_eq!(seqs(&log, 0), (3..=39).step_by(3).collect::<Vec<_>>());
    drop(log);

    let (log, recovery) = Log::open(RealDisk, &path, small()).unwrap();
    assert!(!recovery.clean, "the last one was not closed");
    let sent: Vec<u64> = recovery.maybe_sent.iter().map(|entry| entry.seq).collect();
    assert_eq!(sent, [3, 13, 2]);
    assert_eq!(log.oldest().unwrap().seq, 2);
}

#[test]
fn a_crash_of_the_machine_is_told_from_one_of_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let in_boot = |boot| Log::open(RealDisk, folder.path(), Options { boot, ..small() }).unwrap();
    let (mut log, _) = in_boot(5);
    log.append(&[record(1, 0, 0), record(2, 0, 0)]).unwrap();
    drop(log);
    let (log, recovery) = in_boot(5);
    assert!(!recovery.clean && recovery.exact && recovery.maybe_sent.len() == 1);
    drop(log);
    assert!(!in_boot(6).1.exact, "another start");
    assert!(!in_boot(0).1.exact, "unknown");
    assert!(!in_boot(6).1.exact, "the one before did not know");
    std::fs::remove_file(folder.path().join("cursor")).unwrap();
    assert!(!in_boot(6).1.exact, "no cursor");
}

#[test]
fn segments_without_pending_records_are_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, _) = Log::open(RealDisk, folder.path(), small()).unwrap();
    for seq in 1..=200 {
        log.append(&[record(seq, 0, 0)]).unwrap();
        if seq > 3 {
            log.acknowledge(0, seq - 3).unwrap();
        }
        log.sync_job().run().unwrap();
        assert!(log.stats().disk_bytes <= 2 * log.stats().live_bytes + 2 * 4096, "{seq}: {:?}", log.stats());
    }
    let logs = std::fs::read_dir(folder.path())
        .unwrap()
        .flatten()
        .filter(|f| f.path().extension().is_some_and(|e| e == "log"));
    assert_eq!(logs.count() as u64, log.stats().segments);
}

#[test]
fn older_records_may_come_later_and_generations_stay_apart() {
    let folder = tempfile::tempdir().unwrap();
    let (mut log, _) = Log::open(RealDisk, folder.path(), small()).unwrap();
    log.append(&[record(10, 0, 1), record(11, 1, 2), record(12, 0, 2)]).unwrap();
    log.append(&[record(5, 0, 1), record(6, 1, 1), record(7, 0, 1)]).unwrap();
    assert_eq!(seqs(&log, 0), [5, 7, 10, 12]);
    assert_eq!(log.generations(), Some((1, vec![0, 1])));
    log.acknowledge(1, 6).unwrap();
    assert_eq!(log.generations(), Some((1, vec![0])));
    log.acknowledge(0, 10).unwrap();
    assert_eq!(log.generations(), Some((2, vec![0, 1])));
    assert_eq!(log.front(0, 5), [Entry { seq: 12, shard: 0, generation: 2 }]);
    log.acknowledge(0, 12).unwrap();
    log.acknowledge(1, 12).unwrap();
    assert_eq!(log.generations(), None);
    assert_eq!(log.stats().pending, Amount::default());
}
