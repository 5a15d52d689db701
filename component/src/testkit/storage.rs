//! A storage that keeps everything in memory, as long as the test holds it: what is opened again finds what was kept.
//! It can fail or take its time when a test wants it to, and counts what it is given.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;

use crate::extension::Extension;
use crate::storage::{Area, Change, Folder, Owner, Storage, StorageError};

/// A storage in memory; also the extension to name in a config under test. Cheap to clone; all clones are one storage.
#[derive(Debug, Clone)]
pub struct MemoryStorage(Arc<State>);

#[derive(Debug)]
struct State {
    areas: Mutex<BTreeMap<Owner, Arc<MemoryArea>>>,
    failure: Mutex<Option<StorageError>>,
    delay: Mutex<Duration>,
    commits: watch::Sender<Vec<Vec<Change>>>,
}

/// One owner's keys and values.
#[derive(Debug)]
struct MemoryArea {
    pairs: Mutex<BTreeMap<Bytes, Bytes>>,
    /// Counts those who opened it; the last one has it.
    holder: AtomicU64,
    storage: std::sync::Weak<State>,
}

/// The same, as somebody opened it.
#[derive(Debug)]
struct Held {
    area: Arc<MemoryArea>,
    holder: u64,
}

impl Default for MemoryStorage {
    fn default() -> Self {
        let commits = watch::Sender::new(Vec::new());
        let (areas, failure, delay) = (Mutex::default(), Mutex::default(), Mutex::default());
        MemoryStorage(Arc::new(State { areas, failure, delay, commits }))
    }
}

impl MemoryStorage {
    /// From now on every call fails so; `None`: works again.
    pub fn fail(&self, error: Option<StorageError>) {
        *lock(&self.0.failure) = error;
    }

    /// From now on every commit takes so long, by tokio's clock.
    pub fn delay(&self, delay: Duration) {
        *lock(&self.0.delay) = delay;
    }

    /// Every commit that was made so far, in order.
    pub fn commits(&self) -> Vec<Vec<Change>> {
        self.0.commits.borrow().clone()
    }

    /// Waits until the commits that were made so far are such.
    pub async fn wait_for(&self, holds: impl FnMut(&Vec<Vec<Change>>) -> bool) {
        // The sender lives in self, so the channel cannot close while we wait.
        let _ = self.0.commits.subscribe().wait_for(holds).await;
    }

    /// What an owner has now.
    pub fn pairs(&self, owner: &Owner) -> BTreeMap<Bytes, Bytes> {
        lock(&self.0.areas).get(owner).map(|area| lock(&area.pairs).clone()).unwrap_or_default()
    }

    /// The owners that there are.
    pub fn owners(&self) -> Vec<Owner> {
        lock(&self.0.areas).keys().cloned().collect()
    }

    /// Another storage with what this one has now: what a process finds that starts after one that was killed here.
    pub fn copy(&self) -> MemoryStorage {
        let copy = MemoryStorage::default();
        for owner in self.owners() {
            *lock(&copy.0.area(&owner).pairs) = self.pairs(&owner);
        }
        copy
    }

    /// Puts something into an owner's area behind its back.
    pub fn put(&self, owner: &Owner, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        lock(&self.0.area(owner).pairs).insert(key.into(), value.into());
    }
}

impl State {
    fn area(self: &Arc<Self>, owner: &Owner) -> Arc<MemoryArea> {
        let storage = Arc::downgrade(self);
        let mut areas = lock(&self.areas);
        let area = areas
            .entry(owner.clone())
            .or_insert_with(|| Arc::new(MemoryArea { pairs: Mutex::default(), holder: AtomicU64::new(0), storage }));
        Arc::clone(area)
    }

    fn works(&self) -> Result<(), StorageError> {
        lock(&self.failure).clone().map_or(Ok(()), Err)
    }
}

#[async_trait]
impl Storage for MemoryStorage {
    async fn open(&self, owner: &Owner) -> Result<Arc<dyn Area>, StorageError> {
        self.0.works()?;
        let area = self.0.area(owner);
        let holder = area.holder.fetch_add(1, Ordering::Relaxed) + 1;
        Ok(Arc::new(Held { area, holder }))
    }

    async fn folder(&self, _: &Owner) -> Result<Option<Folder>, StorageError> {
        self.0.works().map(|()| None)
    }
}

impl MemoryArea {
    fn works(&self) -> Result<(), StorageError> {
        self.storage.upgrade().map_or(Ok(()), |storage| storage.works())
    }
}

#[async_trait]
impl Area for Held {
    async fn read_all(&self) -> Result<Vec<(Bytes, Bytes)>, StorageError> {
        self.area.works()?;
        Ok(lock(&self.area.pairs).iter().map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        self.area.works()?;
        Ok(lock(&self.area.pairs).get(key).cloned())
    }

    async fn commit(&self, changes: Vec<Change>) -> Result<(), StorageError> {
        let delay = self.area.storage.upgrade().map(|storage| *lock(&storage.delay)).unwrap_or_default();
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        self.area.works()?;
        if self.area.holder.load(Ordering::Relaxed) != self.holder {
            let message = "another holder has opened this state since".to_owned();
            return Err(StorageError { message, retryable: false });
        }
        let mut pairs = lock(&self.area.pairs);
        for change in changes.clone() {
            match change {
                Change::Put(key, value) => drop(pairs.insert(key, value)),
                Change::Delete(key) => drop(pairs.remove(&key)),
            }
        }
        drop(pairs);
        if let Some(storage) = self.area.storage.upgrade() {
            storage.commits.send_modify(|commits| commits.push(changes));
        }
        Ok(())
    }
}

impl Extension for MemoryStorage {
    fn as_storage(self: Arc<Self>) -> Option<Arc<dyn Storage>> {
        Some(self)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_kept_is_there_when_it_is_opened_again() {
        let storage = MemoryStorage::default();
        let owner = |id: &str| Owner { kind: "processor", id: id.into(), place: String::new() };
        let area = storage.open(&owner("a")).await.expect("it works");
        let put = |key: &'static str| Change::Put(Bytes::from_static(key.as_bytes()), Bytes::from_static(b"1"));
        area.commit(vec![put("x"), put("y"), Change::Delete(Bytes::from_static(b"x"))]).await.expect("it works");
        storage.wait_for(|commits| commits.len() == 1).await;
        let broken = StorageError { message: "no".into(), retryable: true };
        storage.fail(Some(broken));
        assert!(area.commit(vec![put("z")]).await.is_err());
        storage.fail(None);
        let again = storage.open(&owner("a")).await.expect("it works");
        assert_eq!(again.read_all().await.expect("it works"), [("y".into(), "1".into())]);
        assert!(storage.open(&owner("b")).await.expect("it works").read_all().await.expect("it works").is_empty());
    }
}
