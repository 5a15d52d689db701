//! Keys and values in one SQLite file, and what becomes of a file that is damaged.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use rusqlite::{Connection, ErrorCode, OptionalExtension as _};
use steadyline_component::{Change, StorageError};

/// The file.
pub(crate) const FILE: &str = "state.db";
/// What its header says about whose it is: "stdl".
const APPLICATION: i64 = 0x7374_646c;
/// The version of what is in it.
const VERSION: i64 = 1;
const PAGE: u64 = 4096;
/// As many as SQLite has numbers for.
const MOST_PAGES: i64 = 4_294_967_294;
const PUT: &str =
    "INSERT INTO state (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
/// How many damaged files are kept beside it.
const MOST_DAMAGED: usize = 3;
/// A log larger than this is cut when it has been written back.
const LOG_LIMIT: i64 = 4 << 20;

/// An open file.
pub(crate) struct Database {
    connection: Connection,
    path: PathBuf,
}

/// Why a file cannot be opened.
pub(crate) enum OpenError {
    /// What is in it makes no sense.
    Damaged(String),
    /// Anything else.
    Failed(StorageError),
}

impl Database {
    /// Opens the file of a folder, new if it is not there.
    pub(crate) fn open(folder: &Path, sync: bool, max_size: u64) -> Result<Database, OpenError> {
        let path = folder.join(FILE);
        let opened = Connection::open(&path).map_err(|error| sort(&path, "open", &error))?;
        let database = Database { connection: opened, path };
        database.prepare(sync, max_size)?;
        Ok(database)
    }

    fn prepare(&self, sync: bool, max_size: u64) -> Result<(), OpenError> {
        let sorted = |error: rusqlite::Error| sort(&self.path, "open", &error);
        let c = &self.connection;
        c.pragma_update(None, "page_size", PAGE as i64).map_err(sorted)?;
        // Before the first table: pages that became free can be given back then.
        c.pragma_update(None, "auto_vacuum", "INCREMENTAL").map_err(sorted)?;
        let read = |name: &str| c.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(sorted);
        let (application, version) = (read("application_id")?, read("user_version")?);
        if application != 0 && application != APPLICATION {
            return Err(self.foreign("it is the database of another program"));
        }
        if version > VERSION {
            return Err(self.foreign("a newer version of this program wrote it"));
        }
        let checked: String = c.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(sorted)?;
        if checked != "ok" {
            return Err(OpenError::Damaged(checked));
        }
        // In WAL, NORMAL leaves the log to the kernel, which a crash of the process does not touch.
        c.pragma_update(None, "journal_mode", "WAL").map_err(sorted)?;
        self.set_bounds(sync, max_size).map_err(sorted)?;
        c.pragma_update(None, "journal_size_limit", LOG_LIMIT).map_err(sorted)?;
        c.busy_timeout(std::time::Duration::from_secs(5)).map_err(sorted)?;
        // Rows lie in the order in which they first came, so that who writes them again in that order touches each page once;
        // keys are mostly hashes, and by them every write would be somewhere else.
        c.execute_batch("CREATE TABLE IF NOT EXISTS state (key BLOB PRIMARY KEY NOT NULL, value BLOB NOT NULL)")
            .map_err(sorted)?;
        c.pragma_update(None, "application_id", APPLICATION).map_err(sorted)?;
        c.pragma_update(None, "user_version", VERSION).map_err(sorted)?;
        let (free, all) = (read("freelist_count")?, read("page_count")?);
        if free > all / 2 {
            let mut vacuum = c.prepare("PRAGMA incremental_vacuum").map_err(sorted)?;
            let mut steps = vacuum.query([]).map_err(sorted)?;
            // Each step gives back a page.
            while steps.next().map_err(sorted)?.is_some() {}
        }
        Ok(())
    }

    /// Another config holds from now on.
    pub(crate) fn tune(&mut self, sync: bool, max_size: u64) -> Result<(), StorageError> {
        self.set_bounds(sync, max_size).map_err(|error| self.failed("set up", &error))
    }

    fn set_bounds(&self, sync: bool, max_size: u64) -> rusqlite::Result<()> {
        let most = if max_size == 0 { MOST_PAGES } else { (max_size / PAGE) as i64 };
        self.connection.pragma_update(None, "synchronous", if sync { "FULL" } else { "NORMAL" })?;
        self.connection.pragma_update(None, "max_page_count", most)
    }

    fn foreign(&self, why: &str) -> OpenError {
        let message =
            format!("{} cannot be used: {why}; move it away, or choose another `directory`", self.path.display());
        OpenError::Failed(StorageError { message, retryable: false })
    }

    /// Everything, in the order of the keys.
    pub(crate) fn read_all(&self) -> Result<Vec<(Bytes, Bytes)>, StorageError> {
        let read = || -> rusqlite::Result<Vec<(Bytes, Bytes)>> {
            let mut statement = self.connection.prepare("SELECT key, value FROM state ORDER BY key")?;
            let pair = |row: &rusqlite::Row<'_>| Ok((blob(row, 0)?, blob(row, 1)?));
            statement.query_map([], pair)?.collect()
        };
        read().map_err(|error| self.failed("read", &error))
    }

    /// One value.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        let query = "SELECT value FROM state WHERE key = ?1";
        let found = self.connection.query_row(query, [key], |row| blob(row, 0)).optional();
        found.map_err(|error| self.failed("read", &error))
    }

    /// Makes all changes or none.
    pub(crate) fn commit(&mut self, changes: &[Change]) -> Result<(), StorageError> {
        let made = self.connection.transaction().and_then(|transaction| {
            {
                let mut put = transaction.prepare(PUT)?;
                let mut delete = transaction.prepare("DELETE FROM state WHERE key = ?1")?;
                for change in changes {
                    match change {
                        Change::Put(key, value) => put.execute([&key[..], &value[..]])?,
                        Change::Delete(key) => delete.execute([&key[..]])?,
                    };
                }
            }
            transaction.commit()
        });
        made.map_err(|error| self.failed("write", &error))
    }

    /// Writes the log back into the file, so that what is left is one file.
    pub(crate) fn settle(&self) -> Result<(), StorageError> {
        let settled = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        settled.map_err(|error| self.failed("write", &error))
    }

    fn failed(&self, what: &str, error: &rusqlite::Error) -> StorageError {
        match sort(&self.path, what, error) {
            OpenError::Failed(error) => error,
            OpenError::Damaged(why) => {
                let message = format!(
                    "{} is damaged ({why}); it is checked at the next start, where `recreate: true` moves it aside",
                    self.path.display()
                );
                StorageError { message, retryable: false }
            }
        }
    }
}

fn blob(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Bytes> {
    row.get::<_, Vec<u8>>(column).map(Bytes::from)
}

/// Tells damage from trouble.
fn sort(path: &Path, what: &str, error: &rusqlite::Error) -> OpenError {
    let Some(code) = error.sqlite_error_code() else { return OpenError::Damaged(error.to_string()) };
    let retryable = match code {
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => return OpenError::Damaged(error.to_string()),
        ErrorCode::PermissionDenied | ErrorCode::ReadOnly | ErrorCode::CannotOpen => false,
        _ => true,
    };
    let more = if code == ErrorCode::DiskFull { " (or `max_size` is reached)" } else { "" };
    OpenError::Failed(StorageError { message: format!("cannot {what} {}: {error}{more}", path.display()), retryable })
}

/// Moves a damaged file aside, its log with it; the name that it has now. Older ones beyond the newest few go.
pub(crate) fn move_aside(folder: &Path, unix_seconds: u64) -> std::io::Result<PathBuf> {
    let from = folder.join(FILE);
    let mut number = unix_seconds;
    let aside = loop {
        let candidate = folder.join(format!("{FILE}.damaged-{number}"));
        if !candidate.exists() {
            break candidate;
        }
        number += 1;
    };
    std::fs::rename(&from, &aside)?;
    for suffix in ["-wal", "-shm"] {
        let beside = |path: &Path| PathBuf::from(format!("{}{suffix}", path.display()));
        match std::fs::rename(beside(&from), beside(&aside)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    forget_old(folder)?;
    Ok(aside)
}

fn forget_old(folder: &Path) -> std::io::Result<()> {
    let start = format!("{FILE}.damaged-");
    let mut kept: Vec<(u64, String)> = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let number = name.strip_prefix(&start).and_then(|rest| rest.parse().ok());
        kept.extend(number.map(|number| (number, name)));
    }
    kept.sort_unstable();
    let surplus = kept.len().saturating_sub(MOST_DAMAGED);
    for (_, name) in &kept[..surplus] {
        std::fs::remove_file(folder.join(name))?;
        for suffix in ["-wal", "-shm"] {
            // Mostly there is none.
            let _ = std::fs::remove_file(folder.join(format!("{name}{suffix}")));
        }
    }
    Ok(())
}
