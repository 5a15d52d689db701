//! The fuzz target `recovery` for a short while: its seeds, whole and changed at random places, as folders of a log.
#![allow(missing_docs, dead_code, unreachable_pub, clippy::unwrap_used)]

#[path = "../../../fuzz/src/disk.rs"]
mod disk;
#[path = "../../../fuzz/src/recovery.rs"]
mod recovery;

use std::path::Path;

use proptest::prelude::*;
use proptest::sample::Index;

fn seeds() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/recovery");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

#[derive(Debug, Clone)]
enum Change {
    /// Another byte.
    Set(Index, u8),
    /// Bytes that stand elsewhere.
    Copy(Index, Index, Index),
    /// The end is missing.
    Cut(Index),
    /// Whether checksums are made right.
    Seal(bool),
}

impl Change {
    fn apply(&self, input: &mut Vec<u8>) {
        if input.is_empty() {
            return;
        }
        let length = input.len();
        match self {
            Change::Set(at, byte) => input[at.index(length)] = *byte,
            Change::Copy(from, to, bytes) => {
                let (from, to) = (from.index(length), to.index(length));
                let bytes = bytes.index(length - from.max(to));
                input.copy_within(from..from + bytes, to);
            }
            Change::Cut(at) => input.truncate(at.index(length)),
            Change::Seal(whole) => input[0] = u8::from(*whole),
        }
    }
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    prop_oneof![
        6 => (at(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        2 => (at(), at(), at()).prop_map(|(from, to, bytes)| Change::Copy(from, to, bytes)),
        1 => at().prop_map(Change::Cut),
        2 => any::<bool>().prop_map(Change::Seal),
    ]
}

#[test]
fn every_seed_recovers() {
    let seeds = seeds();
    assert!(seeds.len() >= 6);
    seeds.iter().for_each(|seed| recovery::recover(seed));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn what_becomes_of_them_recovers_too(seed in any::<Index>(), changes in prop::collection::vec(change(), 1..12)) {
        let mut input = seed.get(&seeds()).clone();
        changes.iter().for_each(|change| change.apply(&mut input));
        recovery::recover(&input);
    }
}
