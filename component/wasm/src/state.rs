//! Keys and values of a plugin: what a call changed is undone when it fails, counted against a limit, and kept by a storage
//! extension if there is one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use steadyline_component::{Area, Change, StorageError};
use tokio::sync::Notify;

/// The state of one plugin. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct State(Arc<Shared>);

struct Shared {
    pairs: Mutex<Pairs>,
    /// Where it is kept.
    area: Mutex<Option<Arc<dyn Area>>>,
    /// Something is to be kept.
    changed: Notify,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("State")
    }
}

#[derive(Debug, Default)]
struct Pairs {
    map: BTreeMap<String, Bytes>,
    /// Keys and values together.
    bytes: usize,
    most: usize,
    /// What the call at hand found where it changed something.
    undo: BTreeMap<String, Option<Bytes>>,
    /// Keys that storage does not know as they are.
    dirty: BTreeSet<String>,
}

/// So many keys may wait to be written. More come only while the storage fails, or from a plugin that makes up keys.
const MOST_DIRTY: usize = 50_000;
/// The longest key, in bytes.
const MOST_KEY: usize = 1024;
/// What a pair costs besides its bytes, roughly.
const PAIR: usize = 64;

impl State {
    /// No keys, and no more than so many bytes of them.
    pub fn new(most: usize) -> State {
        let pairs = Mutex::new(Pairs { most, ..Pairs::default() });
        State(Arc::new(Shared { pairs, area: Mutex::default(), changed: Notify::new() }))
    }

    /// Loads what is kept; from now on it is kept there.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn open(&self, area: Arc<dyn Area>) -> Result<(), StorageError> {
        let rows = area.read_all().await?;
        let mut pairs = self.pairs();
        for (key, value) in rows {
            let key = String::from_utf8_lossy(&key).into_owned();
            pairs.bytes += cost(&key, &value);
            pairs.map.insert(key, value);
        }
        drop(pairs);
        *lock(&self.0.area) = Some(area);
        Ok(())
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<Bytes> {
        self.pairs().map.get(key).cloned()
    }

    /// Every key that begins so, in order.
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        let pairs = self.pairs();
        let from = pairs.map.range::<str, _>((std::ops::Bound::Included(prefix), std::ops::Bound::Unbounded));
        from.map(|(key, _)| key).take_while(|key| key.starts_with(prefix)).cloned().collect()
    }

    /// Sets the value of a key.
    ///
    /// # Errors
    /// There is no room; says how much there is.
    pub fn set(&self, key: String, value: Bytes) -> Result<(), String> {
        let mut pairs = self.pairs();
        if key.len() > MOST_KEY {
            return Err(format!("the key is longer than {MOST_KEY} bytes"));
        }
        let old = pairs.map.get(&key).map_or(0, |old| cost(&key, old));
        let bytes = pairs.bytes - old + cost(&key, &value);
        if bytes > pairs.most {
            return Err(format!("no room: all keys and values may have {} bytes (`limits.state`)", pairs.most));
        }
        if pairs.dirty.len() + pairs.undo.len() >= MOST_DIRTY {
            return Err("no room: too many keys wait to be written".into());
        }
        pairs.bytes = bytes;
        let old = pairs.map.insert(key.clone(), value);
        pairs.undo.entry(key).or_insert(old);
        Ok(())
    }

    /// Removes a key.
    pub fn remove(&self, key: &str) {
        let mut pairs = self.pairs();
        let Some(old) = pairs.map.remove(key) else { return };
        pairs.bytes -= cost(key, &old);
        match pairs.undo.get(key) {
            // It came in this call and goes in it.
            Some(None) => drop(pairs.undo.remove(key)),
            Some(Some(_)) => {}
            None => drop(pairs.undo.insert(key.to_owned(), Some(old))),
        }
    }

    /// Makes everything as it was before what was not kept yet.
    pub fn undo(&self) {
        let mut pairs = self.pairs();
        for (key, old) in std::mem::take(&mut pairs.undo) {
            let there = pairs.map.get(&key).map_or(0, |value| cost(&key, value));
            pairs.bytes = pairs.bytes - there + old.as_ref().map_or(0, |old| cost(&key, old));
            match old {
                Some(old) => drop(pairs.map.insert(key, old)),
                None => drop(pairs.map.remove(&key)),
            }
        }
    }

    /// What was changed counts; it is written when [`State::flush`] is called.
    pub fn keep(&self) {
        let mut pairs = self.pairs();
        if pairs.undo.is_empty() {
            return;
        }
        let changed = std::mem::take(&mut pairs.undo).into_keys();
        if lock(&self.0.area).is_some() {
            pairs.dirty.extend(changed);
            self.0.changed.notify_one();
        }
    }

    /// Resolves when something was kept that is not written.
    pub async fn changed(&self) {
        self.0.changed.notified().await;
    }

    /// Writes what was kept. What cannot be written now is written the next time.
    ///
    /// # Errors
    /// It could not be written. After an error that is not retryable nothing will be, and it is not tried again.
    pub async fn flush(&self) -> Result<(), StorageError> {
        let Some(area) = lock(&self.0.area).clone() else { return Ok(()) };
        let (keys, changes) = {
            let mut pairs = self.pairs();
            let keys = std::mem::take(&mut pairs.dirty);
            let bytes = |key: &String| Bytes::copy_from_slice(key.as_bytes());
            let change = |key: &String| match pairs.map.get(key) {
                Some(value) => Change::Put(bytes(key), value.clone()),
                None => Change::Delete(bytes(key)),
            };
            let changes: Vec<Change> = keys.iter().map(change).collect();
            (keys, changes)
        };
        if changes.is_empty() {
            return Ok(());
        }
        let result = area.commit(changes).await;
        match &result {
            Err(error) if error.retryable => self.pairs().dirty.extend(keys),
            Err(_) => *lock(&self.0.area) = None,
            Ok(()) => {}
        }
        result
    }

    fn pairs(&self) -> MutexGuard<'_, Pairs> {
        lock(&self.0.pairs)
    }
}

fn cost(key: &str, value: &Bytes) -> usize {
    key.len() + value.len() + PAIR
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use steadyline_component::testkit::MemoryStorage;
    use steadyline_component::{Owner, Storage};

    use super::*;

    fn set(state: &State, key: &str, value: &'static str) -> Result<(), String> {
        state.set(key.into(), Bytes::from_static(value.as_bytes()))
    }

    #[test]
    fn what_a_failed_call_changed_is_undone() {
        let state = State::new(1000);
        set(&state, "a", "1").unwrap();
        set(&state, "ab", "2").unwrap();
        state.keep();
        set(&state, "a", "other").unwrap();
        set(&state, "a", "again").unwrap();
        set(&state, "c", "3").unwrap();
        set(&state, "d", "").unwrap();
        state.remove("d");
        state.remove("ab");
        state.remove("nothing");
        assert_eq!(state.keys(""), ["a", "c"]);
        state.undo();
        assert_eq!((state.keys("a"), state.get("a").unwrap()), (vec!["a".into(), "ab".into()], "1".into()));
        assert!(state.keys("b").is_empty() && state.get("c").is_none());
        assert_eq!(state.pairs().bytes, 5 + 2 * PAIR);
    }

    #[test]
    fn there_is_no_more_room_than_was_given() {
        let state = State::new(20 + 2 * PAIR);
        set(&state, "a", "1").unwrap();
        assert!(set(&state, "ab", "0123456789abcdefg").unwrap_err().contains("148 bytes"));
        set(&state, "ab", "0123456789abcdef").unwrap();
        set(&state, "ab", "0123456789abcde").unwrap();
        assert_eq!(state.pairs().bytes, 19 + 2 * PAIR);
        assert!(set(&state, "c", "").unwrap_err().contains("no room"), "a pair costs more than its bytes");
        assert!(set(&state, &"k".repeat(1025), "").unwrap_err().contains("1024"));
    }

    #[tokio::test]
    async fn what_was_kept_is_written_and_there_again() {
        let storage = MemoryStorage::default();
        let owner = Owner { kind: "receiver", id: "wasm".into(), place: String::new() };
        let opened = async |state: &State| {
            let area = storage.open(&owner).await.unwrap();
            state.open(area).await.unwrap();
        };
        let state = State::new(1000);
        opened(&state).await;
        set(&state, "a", "1").unwrap();
        set(&state, "b", "1").unwrap();
        state.keep();
        state.remove("b");
        state.keep();
        set(&state, "c", "1").unwrap();
        storage.fail(Some(StorageError { message: "busy".into(), retryable: true }));
        assert!(state.flush().await.unwrap_err().retryable);
        storage.fail(None);
        state.flush().await.unwrap();
        state.flush().await.unwrap();
        assert_eq!(storage.commits().len(), 1, "nothing is written twice");
        let again = State::new(1000);
        opened(&again).await;
        assert_eq!(again.keys(""), ["a"], "what was not kept is not written");
        state.keep();
        storage.fail(Some(StorageError { message: "gone".into(), retryable: false }));
        assert!(state.flush().await.is_err());
        state.flush().await.unwrap();
    }
}
