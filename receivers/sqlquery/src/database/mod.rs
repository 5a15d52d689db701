//! Rows of a database, page by page: whoever takes them decides how fast they are read.

mod decode;
mod postgres;
mod sqlite;

use std::sync::Arc;
use std::time::Duration;

use steadyline_component::PollError;
use tokio::sync::mpsc;

use crate::cell::Cell;

pub(crate) use postgres::Postgres;
pub(crate) use sqlite::Sqlite;

/// Why a pass failed; the values of `reason`.
pub(crate) const CONNECT: &str = "connect";
pub(crate) const QUERY: &str = "query";
pub(crate) const TOO_MANY_ROWS: &str = "too_many_rows";

/// A database.
#[derive(Debug)]
pub(crate) enum Database {
    /// PostgreSQL, over a connection that is kept.
    Postgres(Box<Postgres>),
    /// A file of SQLite.
    Sqlite(Sqlite),
}

/// Some rows of a result.
#[derive(Debug)]
pub(crate) struct Page {
    /// The names of the columns.
    pub(crate) columns: Arc<[String]>,
    /// The rows; each has a cell for each column.
    pub(crate) rows: Vec<Vec<Cell>>,
}

/// A result that is being read. Reading stops when this is dropped.
pub(crate) struct Rows {
    pages: mpsc::Receiver<Result<Page, PollError>>,
    /// Ends the reading.
    _stop: Stop,
}

/// What ends a reading whose result nobody wants any more.
pub(crate) enum Stop {
    /// The task that reads.
    Task(tokio::task::JoinHandle<()>),
    /// The statement that runs on a thread.
    Statement(Arc<std::sync::OnceLock<rusqlite::InterruptHandle>>),
}

impl Drop for Stop {
    fn drop(&mut self) {
        match self {
            Stop::Task(task) => task.abort(),
            Stop::Statement(handle) => {
                if let Some(handle) = handle.get() {
                    handle.interrupt();
                }
            }
        }
    }
}

impl Rows {
    /// The next page; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Result<Page, PollError>> {
        self.pages.recv().await
    }
}

impl Database {
    /// Asks. `tracked` is the first parameter.
    ///
    /// # Errors
    /// There is no connection, or the database refuses the query.
    pub(crate) async fn query(
        &mut self,
        sql: &str,
        tracked: Option<Cell>,
        max_rows: u64,
        timeout: Duration,
    ) -> Result<Rows, PollError> {
        match self {
            Database::Postgres(postgres) => postgres.query(sql, tracked, max_rows, timeout).await,
            Database::Sqlite(sqlite) => Ok(sqlite.query(sql, tracked, max_rows)),
        }
    }

    /// Forgets the connection: what it was asked last may still run there.
    pub(crate) fn reset(&mut self) {
        if let Database::Postgres(postgres) = self {
            postgres.reset();
        }
    }

    /// The database in words, without secrets.
    pub(crate) fn words(&self) -> &str {
        match self {
            Database::Postgres(postgres) => postgres.words(),
            Database::Sqlite(sqlite) => sqlite.words(),
        }
    }
}

/// Gathers rows into pages, and counts them.
struct Paging {
    columns: Arc<[String]>,
    rows: Vec<Vec<Cell>>,
    size: usize,
    count: u64,
    most: u64,
}

/// A page is full when it has so many rows, or bytes.
const PAGE_ROWS: usize = 1000;
const PAGE_BYTES: usize = 1 << 20;

impl Paging {
    fn new(columns: Arc<[String]>, most: u64) -> Paging {
        Paging { columns, rows: Vec::new(), size: 0, count: 0, most }
    }

    /// Adds a row; a page if it is full.
    fn add(&mut self, row: Vec<Cell>) -> Result<Option<Page>, PollError> {
        self.count += 1;
        if self.count > self.most {
            let message = format!("the query yields more than `max_rows` ({}) rows; bound it with `limit`", self.most);
            return Err(PollError::new(TOO_MANY_ROWS, message));
        }
        self.size += row.iter().map(Cell::size).sum::<usize>();
        self.rows.push(row);
        Ok((self.rows.len() >= PAGE_ROWS || self.size >= PAGE_BYTES).then(|| self.take()))
    }

    /// The page at hand.
    fn take(&mut self) -> Page {
        self.size = 0;
        Page { columns: Arc::clone(&self.columns), rows: std::mem::take(&mut self.rows) }
    }
}
