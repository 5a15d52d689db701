//! State about series: bounded in number, forgotten when they are silent. Those that are there keep their places.
//! Time is given, in whatever steady clock the caller has.

use std::time::Duration;

use hashbrown::HashTable;

/// State of type `T` for each of a bounded number of series, by their fingerprints.
#[derive(Debug)]
pub struct Streams<T> {
    table: HashTable<Entry<T>>,
    most: usize,
    /// How long a silent series is remembered; `None`: for ever.
    patience: Option<Duration>,
    next_sweep: Option<Duration>,
}

#[derive(Debug)]
struct Entry<T> {
    /// Two halves, so that an entry is not padded to sixteen bytes.
    key: [u64; 2],
    /// When the series was last asked for, in seconds.
    seen: u32,
    state: T,
}

/// The table is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

impl<T> Streams<T> {
    /// An empty table for so many series, each of which is forgotten after so long a silence (`None`: never).
    pub fn new(most: usize, patience: Option<Duration>) -> Streams<T> {
        Streams { table: HashTable::new(), most, patience, next_sweep: None }
    }

    /// How many series there are.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// The state of a series, which counts as heard of now.
    pub fn get(&mut self, fingerprint: u128, now: Duration) -> Option<&mut T> {
        let key = halves(fingerprint);
        let entry = self.table.find_mut(key[0], |entry| entry.key == key)?;
        entry.seen = seconds(now);
        Some(&mut entry.state)
    }

    /// Takes in a series that is not there yet.
    ///
    /// # Errors
    /// There is no room for it.
    pub fn insert(&mut self, fingerprint: u128, now: Duration, state: T) -> Result<(), Full> {
        if self.table.len() >= self.most {
            return Err(Full);
        }
        let key = halves(fingerprint);
        let entry = Entry { key, seen: seconds(now), state };
        self.table.insert_unique(key[0], entry, |entry| entry.key[0]);
        if self.next_sweep.is_none() {
            self.next_sweep = self.patience.map(|patience| now + pause(patience));
        }
        Ok(())
    }

    /// When [`Streams::sweep`] is due.
    pub fn sweep_at(&self) -> Option<Duration> {
        self.next_sweep
    }

    /// Forgets the series that were silent for too long, if it is due.
    pub fn sweep(&mut self, now: Duration) {
        let Some(patience) = self.patience else { return };
        if self.next_sweep.is_none_or(|at| now < at) {
            return;
        }
        let now_seconds = seconds(now);
        let limit = seconds(patience).max(1);
        self.table.retain(|entry| now_seconds.saturating_sub(entry.seen) < limit);
        if self.table.capacity() > 4 * self.table.len().max(64) {
            self.table.shrink_to(2 * self.table.len(), |entry| entry.key[0]);
        }
        self.next_sweep = (!self.table.is_empty()).then(|| now + pause(patience));
    }
}

/// A series is forgotten at most a quarter of its patience late.
fn pause(patience: Duration) -> Duration {
    (patience / 4).max(Duration::from_secs(1))
}

fn halves(fingerprint: u128) -> [u64; 2] {
    [fingerprint as u64, (fingerprint >> 64) as u64]
}

fn seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn those_that_are_there_keep_their_places() {
        let mut streams = Streams::new(2, Some(at(60)));
        assert_eq!(streams.insert(1, at(0), 'a'), Ok(()));
        assert_eq!(streams.insert(2, at(0), 'b'), Ok(()));
        assert_eq!(streams.insert(3, at(0), 'c'), Err(Full));
        // Equal in one half only.
        assert_eq!(streams.get(1 | 1 << 64, at(0)), None);
        assert_eq!((streams.get(1, at(0)).copied(), streams.len()), (Some('a'), 2));
    }

    #[test]
    fn the_silent_are_forgotten_and_then_nothing_is_due() {
        let mut streams = Streams::new(10, Some(at(60)));
        assert_eq!(streams.sweep_at(), None);
        streams.insert(1, at(0), ()).unwrap_or_default();
        streams.insert(2, at(0), ()).unwrap_or_default();
        let mut forgotten = Vec::new();
        while let Some(now) = streams.sweep_at() {
            if now < at(100) {
                streams.get(2, now);
            }
            let before = streams.len();
            streams.sweep(now);
            assert!(streams.sweep_at().is_none_or(|next| next > now));
            (streams.len() < before).then(|| forgotten.push(now));
        }
        assert_eq!(forgotten, [at(60), at(150)]);
        let mut for_ever = Streams::new(10, None);
        for_ever.insert(1, at(0), ()).unwrap_or_default();
        assert_eq!(for_ever.sweep_at(), None);
    }

    #[test]
    fn an_entry_costs_its_state_and_24_bytes() {
        assert_eq!(size_of::<Entry<[u64; 4]>>(), 32 + 24);
    }

    #[test]
    fn many_come_and_go() {
        let mut streams = Streams::new(10_000, Some(at(10)));
        for n in 0..10_000_u128 {
            streams.insert(n << 32 | n, at(0), n).unwrap_or_default();
        }
        assert!((0..10_000_u128).all(|n| streams.get(n << 32 | n, at(1)).copied() == Some(n)));
        streams.sweep(at(30));
        assert!(streams.is_empty() && streams.table.capacity() < 1000);
    }
}
