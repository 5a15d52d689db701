//! SQLite: a file, opened read-only for each query, on a thread where waiting holds up nobody.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, InterruptHandle, OpenFlags, Statement};
use steadyline_component::PollError;
use tokio::sync::mpsc;

use super::{CONNECT, Page, Paging, QUERY, Rows, Stop};
use crate::cell::Cell;
use crate::config::Config;

/// A file.
#[derive(Debug)]
pub(crate) struct Sqlite {
    path: String,
    words: String,
}

/// How long a file that is being written to is waited for.
const BUSY: Duration = Duration::from_secs(5);

impl Sqlite {
    pub(crate) fn new(config: &Config) -> Result<Sqlite, (&'static str, String)> {
        let path = match config.datasource.expose() {
            "" => config.database.clone(),
            datasource => datasource.to_string(),
        };
        if path.is_empty() {
            return Err(("datasource", "expected the path of the file".into()));
        }
        if !config.host.is_empty() || config.port.is_some() {
            return Err(("host", "SQLite is a file, without a host".into()));
        }
        let path = path.strip_prefix("sqlite://").map(str::to_string).unwrap_or(path);
        let words = format!("SQLite file `{}`", path.split('?').next().unwrap_or_default());
        Ok(Sqlite { path, words })
    }

    pub(crate) fn words(&self) -> &str {
        &self.words
    }

    pub(crate) fn query(&self, sql: &str, tracked: Option<Cell>, max_rows: u64) -> Rows {
        let (sender, pages) = mpsc::channel(1);
        let handle = Arc::new(OnceLock::new());
        let (path, words, sql) = (self.path.clone(), self.words.clone(), sql.to_string());
        let shared = Arc::clone(&handle);
        tokio::task::spawn_blocking(move || {
            let reading = Reading { words: &words, sender: &sender, handle: &shared };
            if let Err(error) = reading.run(&path, &sql, tracked, max_rows) {
                // If nobody wants it any more there is nobody to tell.
                let _ = sender.blocking_send(Err(error));
            }
        });
        Rows { pages, _stop: Stop::Statement(handle) }
    }
}

struct Reading<'a> {
    words: &'a str,
    sender: &'a mpsc::Sender<Result<Page, PollError>>,
    handle: &'a OnceLock<InterruptHandle>,
}

impl Reading<'_> {
    fn run(&self, path: &str, sql: &str, tracked: Option<Cell>, max_rows: u64) -> Result<(), PollError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)
            .and_then(|connection| connection.busy_timeout(BUSY).map(|()| connection))
            .map_err(|error| PollError::new(CONNECT, format!("cannot open the {}: {error}", self.words)))?;
        let _ = self.handle.set(connection.get_interrupt_handle());
        // Whoever gave up before the handle was there could not interrupt.
        if self.sender.is_closed() {
            return Ok(());
        }
        self.read(&connection, sql, tracked, max_rows)
    }

    fn read(&self, connection: &Connection, sql: &str, tracked: Option<Cell>, max_rows: u64) -> Result<(), PollError> {
        let failed = |error: rusqlite::Error| PollError::new(QUERY, format!("the {} refuses: {error}", self.words));
        let mut statement = connection.prepare(sql).map_err(failed)?;
        let wanted = statement.parameter_count();
        let given = usize::from(tracked.is_some());
        if wanted != given {
            let message =
                format!("the query has {wanted} parameters and gets {given}: the tracked value is the only one");
            return Err(PollError::new(QUERY, message));
        }
        let columns: Vec<String> = statement.column_names().into_iter().map(str::to_string).collect();
        let mut paging = Paging::new(columns.into(), max_rows);
        self.rows(&mut statement, tracked, &mut paging, &failed)?;
        let _ = self.sender.blocking_send(Ok(paging.take()));
        Ok(())
    }

    fn rows(
        &self,
        statement: &mut Statement<'_>,
        tracked: Option<Cell>,
        paging: &mut Paging,
        failed: &dyn Fn(rusqlite::Error) -> PollError,
    ) -> Result<(), PollError> {
        let width = paging.columns.len();
        let parameters = tracked.map(Parameter);
        let mut rows = statement.query(rusqlite::params_from_iter(parameters)).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let cells: Result<Vec<Cell>, rusqlite::Error> = (0..width).map(|at| row.get_ref(at).map(cell)).collect();
            if let Some(page) = paging.add(cells.map_err(failed)?)?
                && self.sender.blocking_send(Ok(page)).is_err()
            {
                return Ok(());
            }
        }
        Ok(())
    }
}

fn cell(value: ValueRef<'_>) -> Cell {
    match value {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(int) => Cell::Int(int),
        ValueRef::Real(double) => Cell::Double(double),
        ValueRef::Text(text) => Cell::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Cell::Text(super::decode::hex(bytes)),
    }
}

/// A cell as SQLite takes it.
struct Parameter(Cell);

impl rusqlite::ToSql for Parameter {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Owned(match &self.0 {
            Cell::Int(int) => Value::Integer(*int),
            Cell::Double(double) => Value::Real(*double),
            other => other.text().map_or(Value::Null, |text| Value::Text(text.into_owned())),
        }))
    }
}
