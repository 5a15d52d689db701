//! What must hold of the folder of a disk queue after anything may have happened to it: it opens, what it yields is
//! whole, and it works. The log's own tests run it, too.

use std::path::Path;

use steadyline_blocklog::{Entry, Log, LogError, Meta, Options, ReadError, Record, inspect};

use crate::disk::MemoryDisk;

const FOLDER: &str = "/queue";

/// Opens the folder that an input is, and panics if something does not hold.
pub fn recover(input: &[u8]) {
    let disk = MemoryDisk::of(input, Path::new(FOLDER));
    let options = || Options { segment_bytes: 4096, id: 7, ..Options::default() };
    let seen = match inspect(disk.clone(), Path::new(FOLDER)) {
        Ok(seen) => seen,
        Err(error) => {
            assert!(matches!(error, LogError::Version { .. }), "{error}");
            return;
        }
    };
    let (mut log, recovery) = Log::open(disk.clone(), Path::new(FOLDER), options()).expect("damage is no error");
    assert_eq!(recovery.pending.records as usize, seen.records.len());
    assert!(log.footprint() <= (64 << 10) + 64 * input.len(), "memory follows the input");
    assert!(recovery.quarantined.len() <= 1000);
    for record in &seen.records {
        let meta = record.meta;
        let entry = Entry { seq: meta.seq, shard: meta.shard, generation: meta.generation };
        match log.read(&entry) {
            Ok(read) => {
                assert_eq!(Some(read.payload), seen.payload(record).expect("memory can be read"), "checksummed")
            }
            Err(ReadError::Damaged(_)) => assert_eq!(log.discard(&entry), None, "it is no longer pending"),
            Err(error) => panic!("{error}"),
        }
    }
    for record in &seen.records {
        log.acknowledge(record.meta.shard, record.meta.seq).expect("the cursor can be written");
    }
    assert_eq!(log.stats().pending, Default::default());
    let mut expected = 0;
    if recovery.next_seq < u64::MAX {
        let meta = Meta { seq: recovery.next_seq, ..Meta::default() };
        log.append(&[Record { meta, payload: b"new"[..].into() }]).expect("it takes a new record");
        expected = 1;
    }
    log.sync_job().run().expect("it syncs");
    log.close_clean().expect("it closes");
    let (_, again) = Log::open(disk, Path::new(FOLDER), options()).expect("it opens");
    assert!(again.clean && again.quarantined.is_empty(), "told once: {:?}", again.quarantined);
    assert_eq!(again.pending.records, expected);
}
