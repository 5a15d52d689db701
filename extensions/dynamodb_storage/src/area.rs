//! The state of one owner: small commits are transactions, large ones go through a journal.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use steadyline_component::{Area, Change, StorageError, StorageHealth, async_trait};
use tokio::sync::Mutex;

use crate::journal;
use crate::table::{Table, Waiting, WriteError};

/// How many changes a transaction makes, besides the check that nobody took the state.
const MOST: usize = 99;
/// How many bytes of keys and values, at most: below the 4 MB of a transaction.
const MOST_BYTES: usize = 3 << 20;
/// The longest key and value.
const MAX_KEY: usize = 1000;
const MAX_VALUE: usize = 256 * 1024;

/// Keys and values of one owner, while nobody else opens them.
pub(crate) struct TableArea {
    table: Arc<Table>,
    owner: String,
    holder: String,
    health: Arc<StorageHealth>,
    /// A large commit that is made and not applied yet.
    waiting: Mutex<Vec<Change>>,
}

impl TableArea {
    /// Takes the state and finishes what was left to apply.
    pub(crate) async fn open(
        table: Arc<Table>,
        owner: String,
        holder: String,
        health: Arc<StorageHealth>,
    ) -> Result<TableArea, StorageError> {
        let left = table.take(&owner, &holder).await?;
        let area = TableArea { table, owner, holder, health, waiting: Mutex::default() };
        if let Some(left) = left {
            let mut waiting = area.waiting.lock().await;
            *waiting = area.read_journal(&left).await?;
            area.finish(&mut waiting).await?;
        }
        // Of commits that never were.
        area.table.remove_parts(&area.owner).await?;
        Ok(area)
    }

    async fn read_journal(&self, left: &Waiting) -> Result<Vec<Change>, StorageError> {
        let mut all = Vec::new();
        for number in 0..left.parts {
            let part = self.table.part(&self.owner, &left.author, number).await?;
            let changes = part.and_then(journal::changes).ok_or_else(|| {
                let message = format!(
                    "the state of `{}` cannot be opened: part {number} of a commit is missing or damaged; remove its items to begin anew",
                    self.owner
                );
                StorageError { message, retryable: false }
            })?;
            all.extend(changes);
        }
        Ok(all)
    }

    /// Applies what is made and not applied yet. Until that is done nothing else may be read or written.
    async fn finish(&self, waiting: &mut Vec<Change>) -> Result<(), StorageError> {
        if waiting.is_empty() {
            return Ok(());
        }
        for chunk in chunks(waiting) {
            self.transact(chunk).await?;
        }
        self.table.set_journal(&self.owner, &self.holder, None).await.map_err(|error| self.words(error))?;
        waiting.clear();
        Ok(())
    }

    async fn transact(&self, changes: &[Change]) -> Result<(), StorageError> {
        self.table.transact(&self.owner, &self.holder, changes).await.map_err(|error| self.words(error))
    }

    fn words(&self, error: WriteError) -> StorageError {
        match error {
            WriteError::Failed(error) => error,
            WriteError::Taken => {
                let message = format!("another process has opened the state of `{}` since", self.owner);
                StorageError { message, retryable: false }
            }
        }
    }

    async fn make(&self, changes: Vec<Change>) -> Result<(), StorageError> {
        let mut waiting = self.waiting.lock().await;
        self.finish(&mut waiting).await?;
        let changes = settled(changes)?;
        if chunks(&changes).count() <= 1 {
            return if changes.is_empty() { Ok(()) } else { self.transact(&changes).await };
        }
        let parts = journal::parts(&changes);
        for (number, part) in (0..).zip(&parts) {
            self.table.put_part(&self.owner, &self.holder, number, part).await?;
        }
        let marked = self.table.set_journal(&self.owner, &self.holder, Some(parts.len() as u32)).await;
        marked.map_err(|error| self.words(error))?;
        // Made: from here on it is applied, by this process or the next.
        *waiting = changes;
        let finished = async {
            self.finish(&mut waiting).await?;
            self.table.remove_parts(&self.owner).await
        };
        if let Err(error) = finished.await {
            tracing::warn!(owner = %self.owner, %error, "a commit is made and will be applied before the next one");
        }
        Ok(())
    }
}

/// The last change of each key, within what the table takes.
fn settled(changes: Vec<Change>) -> Result<Vec<Change>, StorageError> {
    let mut places: HashMap<Bytes, usize> = HashMap::new();
    let mut last: Vec<Change> = Vec::with_capacity(changes.len());
    for change in changes {
        let (key, len) = match &change {
            Change::Put(key, value) => (key.clone(), value.len()),
            Change::Delete(key) => (key.clone(), 0),
        };
        if key.len() > MAX_KEY || len > MAX_VALUE {
            let message = format!(
                "a key of {} bytes with a value of {len} bytes is too large for a table: {MAX_KEY} and {MAX_VALUE} are the most",
                key.len()
            );
            return Err(StorageError { message, retryable: false });
        }
        match places.get(&key) {
            Some(&at) => last[at] = change,
            None => {
                places.insert(key, last.len());
                last.push(change);
            }
        }
    }
    Ok(last)
}

/// Changes as transactions take them.
fn chunks(changes: &[Change]) -> impl Iterator<Item = &[Change]> {
    let mut rest = changes;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |change: &&Change| {
            bytes += match change {
                Change::Put(key, value) => key.len() + value.len(),
                Change::Delete(key) => key.len(),
            };
            bytes <= MOST_BYTES
        };
        let count = rest.iter().take(MOST).take_while(fits).count();
        let (chunk, after) = rest.split_at(count);
        rest = after;
        (!chunk.is_empty()).then_some(chunk)
    })
}

#[async_trait]
impl Area for TableArea {
    async fn read_all(&self) -> Result<Vec<(Bytes, Bytes)>, StorageError> {
        let mut waiting = self.waiting.lock().await;
        self.finish(&mut waiting).await?;
        self.table.values(&self.owner).await
    }

    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        let mut waiting = self.waiting.lock().await;
        self.finish(&mut waiting).await?;
        self.table.value(&self.owner, key).await
    }

    async fn commit(&self, changes: Vec<Change>) -> Result<(), StorageError> {
        let result = self.make(changes).await;
        self.health.note(&result);
        result
    }
}
