//! Where the next pass goes on: the tracked value of each query, kept in a storage if there is one.

use std::sync::Arc;

use bytes::Bytes;
use steadyline_component::{Area, Change, Owner, StartError, Storage, StorageError};

use crate::cell::Cell;
use crate::config::Query;

/// The tracked values of a receiver's queries.
pub(crate) struct Tracking {
    storage: Option<Arc<dyn Storage>>,
    owner: Owner,
    area: Option<Arc<dyn Area>>,
    values: Vec<Option<Cell>>,
}

impl Tracking {
    pub(crate) fn new(queries: &[Query], storage: Option<Arc<dyn Storage>>, owner: Owner) -> Tracking {
        Tracking { storage, owner, area: None, values: queries.iter().map(start_value).collect() }
    }

    /// Reads what was kept. A query that was changed begins anew.
    pub(crate) async fn open(&mut self, queries: &[Query]) -> Result<(), StartError> {
        let Some(storage) = &self.storage else { return Ok(()) };
        let area = storage.open(&self.owner).await.map_err(StartError::new)?;
        for (value, query) in self.values.iter_mut().zip(queries) {
            let Some(kept) = area.get(&key(query)).await.map_err(StartError::new)? else { continue };
            if value.is_some() {
                *value = decode(&kept).or(value.take());
            }
        }
        self.area = Some(area);
        Ok(())
    }

    /// The parameter of a query, if it is tracked.
    pub(crate) fn value(&self, row: usize) -> Option<Cell> {
        self.values.get(row).cloned().flatten()
    }

    /// The rows up to this value were sent.
    ///
    /// # Errors
    /// It could not be kept; in memory it is.
    pub(crate) async fn sent(&mut self, row: usize, query: &Query, value: Cell) -> Result<(), StorageError> {
        let kept = encode(&value);
        self.values[row] = Some(value);
        match &self.area {
            Some(area) => area.commit(vec![Change::Put(key(query).into(), kept)]).await,
            None => Ok(()),
        }
    }
}

fn start_value(query: &Query) -> Option<Cell> {
    if query.tracking_column.is_empty() {
        return None;
    }
    // A database that knows types must not be asked whether a number is above a text.
    let text = &query.tracking_start_value;
    let number = text.parse().ok().filter(|int: &i64| int.to_string() == *text);
    Some(number.map_or_else(|| Cell::Text(text.clone()), Cell::Int))
}

fn key(query: &Query) -> Vec<u8> {
    [query.tracking_column.as_bytes(), b"\n", query.sql.as_bytes()].concat()
}

/// A letter for the kind, and the text.
fn encode(cell: &Cell) -> Bytes {
    let kind = match cell {
        Cell::Int(_) => 'i',
        Cell::Double(_) => 'd',
        _ => 't',
    };
    Bytes::from(format!("{kind}{}", cell.text().unwrap_or_default()))
}

fn decode(kept: &[u8]) -> Option<Cell> {
    let text = std::str::from_utf8(kept).ok()?;
    let (kind, text) = text.split_at_checked(1)?;
    match kind {
        "i" => text.parse().ok().map(Cell::Int),
        "d" => text.parse().ok().map(Cell::Double),
        "t" => Some(Cell::Text(text.to_string())),
        _ => None,
    }
}
