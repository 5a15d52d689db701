//! Damage at random places: the log opens, loses no more than the records that were touched, and says so, once.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use proptest::prelude::*;
use steadyline_blocklog::{Log, LogError, Options, ReadError, Record, Recovery, inspect};
use support::{SimDisk, record};

const FOLDER: &str = "/queue";

#[derive(Debug, Clone)]
enum Damage {
    Flip { place: f64, bit: u8 },
    Truncate { place: f64 },
    Zero { place: f64, length: usize },
    Garbage { place: f64, length: usize },
    Remove,
}

fn damage() -> impl Strategy<Value = Damage> {
    let place = 0.0..1.0;
    prop_oneof![
        4 => (place.clone(), 0..8_u8).prop_map(|(place, bit)| Damage::Flip { place, bit }),
        2 => place.clone().prop_map(|place| Damage::Truncate { place }),
        2 => (place.clone(), 1..3000_usize).prop_map(|(place, length)| Damage::Zero { place, length }),
        2 => (place, 1..3000_usize).prop_map(|(place, length)| Damage::Garbage { place, length }),
        1 => Just(Damage::Remove),
    ]
}

fn options() -> Options {
    Options { segment_bytes: 4096, id: 0x1234_5678_9abc_def0, ..Options::default() }
}

fn open(disk: &SimDisk) -> (Log<SimDisk>, Recovery) {
    Log::open(disk.clone(), Path::new(FOLDER), options()).unwrap()
}

/// Changes a file; says which of its bytes are not as they were.
fn apply(content: &mut Vec<u8>, damage: &Damage) -> std::ops::Range<usize> {
    let at = |place: f64| ((content.len() as f64 * place) as usize).min(content.len().saturating_sub(1));
    match *damage {
        Damage::Flip { place, bit } => {
            let at = at(place);
            content[at] ^= 1 << bit;
            at..at + 1
        }
        Damage::Truncate { place } => {
            let (at, end) = (at(place), content.len());
            content.truncate(at);
            at..end
        }
        Damage::Zero { place, length } | Damage::Garbage { place, length } => {
            let range = at(place)..content.len().min(at(place) + length);
            let fill = if matches!(damage, Damage::Zero { .. }) { 0 } else { 0xa5 };
            content[range.clone()].fill(fill);
            range
        }
        Damage::Remove => 0..content.len(),
    }
}

/// Where each record lies in the segments, by looking for its header.
fn layout(files: &BTreeMap<String, Vec<u8>>) -> BTreeMap<u64, (String, std::ops::Range<usize>)> {
    let mut places = BTreeMap::new();
    for (name, content) in files.iter().filter(|(name, _)| name.ends_with(".log")) {
        let mut at = 64;
        while at < content.len() {
            let number = |from: usize, length: usize| {
                let mut bytes = [0; 8];
                bytes[..length].copy_from_slice(&content[from..from + length]);
                u64::from_le_bytes(bytes)
            };
            let length = number(at + 12, 4) as usize;
            places.insert(number(at + 32, 8), (name.clone(), at..at + 104 + length));
            at += (104 + length).next_multiple_of(64);
        }
    }
    places
}

/// A log with records of all sizes in some segments, some of them acknowledged.
fn filled(disk: &SimDisk, clean: bool) -> BTreeMap<u64, Record> {
    let (mut log, _) = open(disk);
    let mut records = BTreeMap::new();
    for seq in 1..=40_u64 {
        let record = record(seq, (seq % 3) as u32, 0, (seq as usize * 97) % 900);
        log.append(std::slice::from_ref(&record)).unwrap();
        records.insert(seq, record);
    }
    log.acknowledge(0, 12).unwrap();
    log.sync_job().run().unwrap();
    if clean {
        log.close_clean().unwrap();
    }
    records.retain(|seq, _| seq % 3 != 0 || *seq > 12);
    records
}

/// Reads all that is pending: what is whole, and what is told to be damaged.
fn read_all(log: &mut Log<SimDisk>) -> (BTreeMap<u64, Record>, u64) {
    let (mut whole, mut damaged) = (BTreeMap::new(), 0);
    for shard in 0..3 {
        for entry in log.front(shard, usize::MAX) {
            match log.read(&entry) {
                Ok(record) => {
                    whole.insert(entry.seq, record);
                }
                Err(ReadError::Damaged(told)) => {
                    assert_eq!(told.records, Some(1));
                    damaged += 1;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
    (whole, damaged)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn no_more_is_lost_than_what_was_touched_and_it_is_told(
        wounds in prop::collection::vec((any::<prop::sample::Index>(), damage()), 1..4),
        clean in any::<bool>(),
    ) {
        let disk = SimDisk::new(1);
        let records = filled(&disk, clean);
        let before = disk.files(FOLDER);
        let places = layout(&before);
        let mut touched: BTreeMap<String, Vec<std::ops::Range<usize>>> = BTreeMap::new();
        let mut after = before.clone();
        for (which, damage) in &wounds {
            let name = which.get(&before.keys().collect::<Vec<_>>()).to_string();
            let Some(content) = after.get_mut(&name).filter(|content| !content.is_empty()) else { continue };
            touched.entry(name.clone()).or_default().push(apply(content, damage));
            if matches!(damage, Damage::Remove) {
                after.remove(&name);
            }
        }
        for name in before.keys() {
            disk.put(&format!("{FOLDER}/{name}"), after.get(name).cloned());
        }
        // A record is touched if a byte of it changed; zeros upon zeros change none.
        let touched: BTreeSet<u64> = records.keys().copied().filter(|seq| {
            let (name, range) = &places[seq];
            let now = after.get(name).and_then(|content| content.get(range.clone()));
            now != Some(&before[name][range.clone()])
        }).collect();

        let seen = inspect(disk.clone(), Path::new(FOLDER)).unwrap();
        let (mut log, recovery) = open(&disk);
        prop_assert!(records.keys().all(|seq| recovery.next_seq > *seq) || !touched.is_empty());
        prop_assert_eq!(seen.pending, recovery.pending);
        let (whole, damaged) = read_all(&mut log);
        let expected: BTreeMap<u64, Record> =
            records.iter().filter(|(seq, _)| !touched.contains(seq)).map(|(seq, record)| (*seq, record.clone())).collect();
        for (seq, record) in &expected {
            prop_assert_eq!(whole.get(seq), Some(record), "{} was not touched: {:?}", seq, &recovery);
        }
        // What the cursor no longer tells may come again; nothing else comes.
        prop_assert!(whole.keys().all(|seq| *seq <= 40));
        prop_assert!(whole.keys().all(|seq| !touched.contains(seq)), "checksummed");
        let told = damaged as usize + recovery.quarantined.iter().filter(|told| told.records != Some(0)).count();
        // Without the list nobody knows how long a segment was.
        let knows = after.get("segments") == before.get("segments");
        prop_assert!(touched.is_empty() || told > 0 || !knows, "{:?}, {:?}", touched, recovery.quarantined);
        log.close_clean().unwrap();

        let (mut log, again) = open(&disk);
        prop_assert!(again.quarantined.is_empty(), "told once: {:?}", again.quarantined);
        let (still, damaged) = read_all(&mut log);
        prop_assert_eq!((still, damaged), (whole, 0));
    }
}

#[test]
fn a_missing_segment_is_told_with_what_it_had() {
    let disk = SimDisk::new(1);
    filled(&disk, true);
    disk.put(&format!("{FOLDER}/0000000002.log"), None);
    let (_, recovery) = open(&disk);
    let told: Vec<String> = recovery.quarantined.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("0000000002.log, bytes 0 to 0: the file is missing; at most "), "{told:?}");
}

#[test]
fn what_is_damaged_is_copied_aside_within_a_bound() {
    let disk = SimDisk::new(1);
    filled(&disk, true);
    let mut content = disk.files(FOLDER)["0000000001.log"].clone();
    content[64] ^= 1;
    disk.put(&format!("{FOLDER}/0000000001.log"), Some(content.clone()));
    let (log, recovery) = open(&disk);
    let told = &recovery.quarantined[0];
    assert_eq!((told.file.as_str(), told.range.start, told.records), ("0000000001.log", 64, None));
    let copies = disk.files(&format!("{FOLDER}/quarantine"));
    assert_eq!(copies["0000000001.log-00000040"], content[64..told.range.end as usize]);
    drop(log);

    let mut content = disk.files(FOLDER)["0000000002.log"].clone();
    content[64] ^= 1;
    disk.put(&format!("{FOLDER}/0000000002.log"), Some(content));
    let options = Options { quarantine_bytes: 1, ..options() };
    let (_, recovery) = Log::open(disk.clone(), Path::new(FOLDER), options).unwrap();
    assert_eq!((recovery.quarantined.len(), &recovery.quarantined[0].copy), (1, &None));
}

#[test]
fn a_later_version_is_refused_and_left_alone() {
    for name in ["0000000001.log", "cursor", "segments"] {
        let disk = SimDisk::new(1);
        filled(&disk, true);
        let mut content = disk.files(FOLDER)[name].clone();
        content[8] = 2;
        let sum = xxhash_rust::xxh3::xxh3_64(&content[..56]);
        content[56..64].copy_from_slice(&sum.to_le_bytes());
        disk.put(&format!("{FOLDER}/{name}"), Some(content));
        let before = disk.files(FOLDER);
        let Err(error) = Log::open(disk.clone(), Path::new(FOLDER), options()) else { panic!("{name} was taken") };
        assert!(matches!(error, LogError::Version { found: 2, known: 1, .. }), "{error}");
        assert!(error.to_string().contains("use the program that wrote it"), "{error}");
        assert_eq!(disk.files(FOLDER), before, "{name}");
    }
}

#[test]
fn segments_of_another_log_go_into_quarantine_whole() {
    let (disk, other) = (SimDisk::new(1), SimDisk::new(2));
    filled(&disk, true);
    let (mut log, _) = Log::open(other.clone(), Path::new(FOLDER), Options { id: 7, ..options() }).unwrap();
    log.append(&[record(1, 0, 0, 10)]).unwrap();
    log.close_clean().unwrap();
    let foreign = other.files(FOLDER)["0000000001.log"].clone();
    disk.put(&format!("{FOLDER}/0000000099.log"), Some(foreign.clone()));
    let pending = inspect(disk.clone(), Path::new(FOLDER)).unwrap().pending;
    let (log, recovery) = open(&disk);
    assert_eq!(recovery.pending, pending);
    assert_eq!(recovery.quarantined.len(), 1);
    assert_eq!(disk.files(&format!("{FOLDER}/quarantine"))["0000000099.log-00000000"], foreign);
    drop(log);
    assert!(open(&disk).1.quarantined.is_empty());
}
