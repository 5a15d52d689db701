//! Two items with one identity. Which one counts is decided by `prefer`, then by the order of the table's key, never by arrival.
//!
//! Where the identity repeats the whole key, none of this runs: two items cannot share it. Elsewhere each pass remembers, per identity, a fingerprint of
//! 128 bits and the item's rank (its preference and those key attributes that the identity lacks): tens of bytes an item, up to [`MAX_REMEMBERED`]
//! items, gone at the end of the pass.
//!
//! An item arrives before it is known that another shares its identity, and holding every item back would hold the table. So in the pass that first
//! meets a second item, a better one overrides what has gone out already (later in the same pass, so that the last value is right), and a worse one is
//! left out. From the next pass on such an identity is *contested*: its items are kept back, and the best goes out at the end of the pass.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::key::{TableKey, write_float, write_sortable};
use super::label::LabelValue;
use crate::expr::Val;
use crate::item::Item;

/// How many identities a pass remembers; items beyond are not checked.
const MAX_REMEMBERED: usize = 4_000_000;
/// How many identities may be contested at a time; items of further ones are resolved as in a first pass.
const MAX_CONTESTED: usize = 1_000;

/// What one source's passes know about shared identities.
#[derive(Debug)]
pub(super) struct Duplicates {
    seed: u64,
    pass: u64,
    remembered: HashTable<Remembered>,
    /// The ranks of the remembered, one after the other.
    ranks: Vec<u8>,
    contested: HashMap<u128, Contest>,
    unchecked: u64,
    is_unsettled: bool,
}

#[derive(Clone, Copy, Debug)]
struct Remembered {
    fingerprint: [u64; 2],
    at: u32,
    preference: u16,
    key: u16,
}

#[derive(Debug)]
struct Contest {
    /// The pass that found it.
    since: u64,
    /// The best item of the current pass so far.
    best: Option<(Rank, Item)>,
    /// How many items came in the current pass.
    items: u32,
}

/// How an item compares with others of the same identity.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Rank {
    preference: Vec<u8>,
    key: Vec<u8>,
}

/// What is to become of an item.
#[derive(Debug)]
pub(super) enum Verdict {
    /// Nothing speaks against it.
    Counts,
    /// The same item came before in this pass: it moved, or was read twice. It counts, and not again in aggregates.
    Again,
    /// It is better than one that went out before.
    Overrides(Decision),
    /// It is worse than one that went out before.
    Loses(Decision),
    /// It is kept back until the end of the pass; the decision is against the loser if there is one already.
    Kept(Option<Decision>),
}

/// A comparison of two items of one identity.
#[derive(Debug)]
pub(super) struct Decision {
    pub(super) winner: Rank,
    pub(super) loser: Rank,
}

impl Decision {
    /// Whether `prefer` decided.
    pub(super) fn is_preferred(&self) -> bool {
        self.winner.preference != self.loser.preference
    }
}

impl Duplicates {
    pub(super) fn new() -> Self {
        Self {
            seed: RandomState::new().hash_one(0),
            pass: 0,
            remembered: HashTable::new(),
            ranks: Vec::new(),
            contested: HashMap::new(),
            unchecked: 0,
            is_unsettled: false,
        }
    }

    /// Begins a pass: what the last one remembered is forgotten, what it found contested is not.
    pub(super) fn begin(&mut self) {
        self.pass += 1;
        self.remembered.clear();
        self.ranks.clear();
        self.unchecked = 0;
        self.is_unsettled = false;
        for contest in self.contested.values_mut() {
            contest.best = None;
            contest.items = 0;
        }
    }

    /// Judges an item.
    pub(super) fn judge(&mut self, identity: &[LabelValue<'_>], rank: Rank, item: &Item) -> Verdict {
        let fingerprint = self.fingerprint(identity);
        let pass = self.pass;
        if let Some(contest) = self.contested.get_mut(&fingerprint).filter(|contest| contest.since < pass) {
            return contest.keep(rank, item);
        }
        match self.remember(fingerprint, &rank) {
            Memory::New => Verdict::Counts,
            Memory::Full => {
                self.unchecked += 1;
                Verdict::Counts
            }
            Memory::Known(earlier) if earlier == rank => Verdict::Again,
            Memory::Known(earlier) => {
                if self.contested.len() < MAX_CONTESTED {
                    self.contested.entry(fingerprint).or_insert(Contest { since: pass, best: None, items: 0 });
                }
                if rank > earlier {
                    self.replace(fingerprint, &rank);
                    self.is_unsettled = true;
                    Verdict::Overrides(Decision { winner: rank, loser: earlier })
                } else {
                    Verdict::Loses(Decision { winner: earlier, loser: rank })
                }
            }
        }
    }

    /// Ends a complete pass: the best items of the contested identities. Those that only one item claimed are not contested any more.
    pub(super) fn settle(&mut self) -> Vec<Item> {
        let pass = self.pass;
        let mut winners = Vec::new();
        self.contested.retain(|_, contest| {
            winners.extend(contest.best.take().map(|(_, item)| item));
            contest.since == pass || contest.items > 1
        });
        winners
    }

    /// Whether an item that went out earlier in this pass was overridden, so that sums over the pass count both.
    pub(super) fn is_unsettled(&self) -> bool {
        self.is_unsettled
    }

    /// How many items of this pass were not checked for lack of room.
    pub(super) fn unchecked(&self) -> u64 {
        self.unchecked
    }

    fn fingerprint(&self, identity: &[LabelValue<'_>]) -> u128 {
        let mut bytes = Vec::with_capacity(64);
        for label in identity {
            let text = label.as_deref().unwrap_or_default();
            bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        xxh3_128_with_seed(&bytes, self.seed)
    }

    fn remember(&mut self, fingerprint: u128, rank: &Rank) -> Memory {
        let halves = [fingerprint as u64, (fingerprint >> 64) as u64];
        let is_full = self.remembered.len() >= MAX_REMEMBERED || self.ranks.len() + rank.bytes() > u32::MAX as usize;
        match self.remembered.entry(halves[0], |known| known.fingerprint == halves, |known| known.fingerprint[0]) {
            Entry::Occupied(known) => Memory::Known(rank_at(&self.ranks, *known.get())),
            Entry::Vacant(_) if is_full => Memory::Full,
            Entry::Vacant(place) => {
                place.insert(store(&mut self.ranks, halves, rank));
                Memory::New
            }
        }
    }

    fn replace(&mut self, fingerprint: u128, rank: &Rank) {
        let halves = [fingerprint as u64, (fingerprint >> 64) as u64];
        if self.ranks.len() + rank.bytes() > u32::MAX as usize {
            return;
        }
        if let Some(known) = self.remembered.find_mut(halves[0], |known| known.fingerprint == halves) {
            *known = store(&mut self.ranks, halves, rank);
        }
    }
}

enum Memory {
    New,
    Full,
    Known(Rank),
}

fn store(ranks: &mut Vec<u8>, fingerprint: [u64; 2], rank: &Rank) -> Remembered {
    let at = ranks.len() as u32;
    ranks.extend_from_slice(&rank.preference);
    ranks.extend_from_slice(&rank.key);
    Remembered { fingerprint, at, preference: rank.preference.len() as u16, key: rank.key.len() as u16 }
}

fn rank_at(ranks: &[u8], remembered: Remembered) -> Rank {
    let start = remembered.at as usize;
    let middle = start + usize::from(remembered.preference);
    let end = middle + usize::from(remembered.key);
    Rank { preference: ranks[start..middle].to_vec(), key: ranks[middle..end].to_vec() }
}

impl Contest {
    fn keep(&mut self, rank: Rank, item: &Item) -> Verdict {
        self.items += 1;
        let Some((best, _)) = &self.best else {
            self.best = Some((rank, item.clone()));
            return Verdict::Kept(None);
        };
        match rank.cmp(best) {
            // The newest reading of the same item.
            Ordering::Equal => {
                self.items -= 1;
                self.best = Some((rank, item.clone()));
                Verdict::Kept(None)
            }
            Ordering::Greater => {
                let loser = best.clone();
                self.best = Some((rank.clone(), item.clone()));
                Verdict::Kept(Some(Decision { winner: rank, loser }))
            }
            Ordering::Less => Verdict::Kept(Some(Decision { winner: best.clone(), loser: rank })),
        }
    }
}

/// The longest part of a rank; what is longer is cut, and items that differ only beyond count as the same.
const MAX_RANK_PART: usize = 2048;

impl Rank {
    /// The rank of an item: `preference` first, then the key attributes in `key`.
    pub(super) fn new(preference: &Val<'_>, key: &TableKey, item: &Item) -> Self {
        let mut rank = Rank::default();
        write_preference(preference, &mut rank.preference);
        key.write_sortable(item, &mut rank.key);
        rank.preference.truncate(MAX_RANK_PART);
        rank.key.truncate(MAX_RANK_PART);
        rank
    }

    /// The key for people.
    pub(super) fn describe(&self) -> String {
        let mut parts = Vec::new();
        let mut rest = self.key.as_slice();
        while let Some((tag, after)) = rest.split_first() {
            let after = if *tag == 2 { after.get(8..).unwrap_or_default() } else { after };
            let end = after.iter().position(|byte| *byte == 0).unwrap_or(after.len());
            let text = String::from_utf8_lossy(&after[..end]);
            match tag {
                3 => parts.push(format!("{:?}", crate::expr::shorten(&text))),
                4 => parts.push(format!("<{end} bytes>")),
                2 => parts.push(crate::expr::shorten(&text).into_owned()),
                _ => {}
            }
            rest = after.get(end + 1..).unwrap_or_default();
        }
        parts.join(", ")
    }

    fn bytes(&self) -> usize {
        self.preference.len() + self.key.len()
    }
}

impl Ord for Rank {
    fn cmp(&self, other: &Self) -> Ordering {
        self.preference.cmp(&other.preference).then_with(|| self.key.cmp(&other.key))
    }
}

impl PartialOrd for Rank {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

fn write_preference(preference: &Val<'_>, out: &mut Vec<u8>) {
    match preference {
        Val::Bool(flag) => out.extend([1, u8::from(*flag)]),
        Val::Int(int) => {
            out.push(2);
            write_float(*int as f64, out);
        }
        Val::Float(float) => {
            out.push(2);
            write_float(*float, out);
        }
        Val::Str(text) => {
            out.push(3);
            out.extend_from_slice(text.as_bytes());
        }
        Val::Coll(attribute) => write_sortable(attribute, out),
        _ => out.push(0),
    }
}
