//! Folders: their names, their making, and the lock that keeps other processes out.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use steadyline_component::{Clock, Owner, StorageError};

/// The file that is locked.
const LOCK: &str = "lock";
/// How often a lock that another process holds is asked for again.
const PAUSE: Duration = Duration::from_millis(50);

/// The name of an owner's folder: no two owners have the same. The last `_` stands before the place, so the place has
/// none of its own.
pub(crate) fn name(owner: &Owner) -> String {
    let mut name = format!("{}_", owner.kind);
    escape(&mut name, &owner.id, |c| c == '_');
    name.push('_');
    escape(&mut name, &owner.place, |_| false);
    name
}

/// `/` becomes `~`; what is neither a letter, a digit, `-`, `.` nor let through is written as its bytes.
fn escape(out: &mut String, text: &str, passes: impl Fn(char) -> bool) {
    for c in text.chars() {
        match c {
            '/' => out.push('~'),
            c if c.is_ascii_alphanumeric() || c == '-' || c == '.' || passes(c) => out.push(c),
            c => {
                let mut bytes = [0; 4];
                for byte in c.encode_utf8(&mut bytes).bytes() {
                    // Writing to a string cannot fail.
                    let _ = write!(out, "%{byte:02X}");
                }
            }
        }
    }
}

/// Makes a folder, and those above it.
pub(crate) fn make(path: &Path, permissions: u32) -> Result<(), StorageError> {
    let made = DirBuilder::new().recursive(true).mode(permissions).create(path);
    made.map_err(|error| failed("make the folder", path, &error))
}

/// Keeps other processes out of a folder until this one ends. Within the process it may be asked for again: after a
/// reload the new holder follows the old one.
pub(crate) async fn lock(folder: &Path, timeout: Duration, clock: &Clock) -> Result<(), StorageError> {
    let path = folder.canonicalize().map_err(|error| failed("use", folder, &error))?;
    let deadline = clock.now().mono + timeout;
    loop {
        if try_lock(&path)? {
            return Ok(());
        }
        if clock.now().mono >= deadline {
            return Err(held(folder, timeout));
        }
        clock.sleep(PAUSE).await;
    }
}

/// Whether the lock is ours now.
fn try_lock(folder: &Path) -> Result<bool, StorageError> {
    /// The process holds a lock once, whoever in it asks; the files are open until it ends.
    static LOCKS: OnceLock<Mutex<HashMap<PathBuf, File>>> = OnceLock::new();
    let mut locks = LOCKS.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    let path = folder.join(LOCK);
    if let Some(file) = locks.get(folder)
        && is_at(file, &path)
    {
        return Ok(true);
    }
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    let mut file = opened.map_err(|error| failed("open", &path, &error))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(false),
        Err(TryLockError::Error(error)) => return Err(failed("lock", &path, &error)),
    }
    // For people; that it cannot be written does not make the lock less of one.
    let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    locks.insert(folder.to_owned(), file);
    Ok(true)
}

/// Whether a file is still the one at a path: somebody may have removed the folder and made another.
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let id = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
    match (file.metadata(), path.metadata()) {
        (Ok(held), Ok(there)) => id(held) == id(there),
        _ => false,
    }
}

fn held(folder: &Path, timeout: Duration) -> StorageError {
    let mut process = String::new();
    let read = File::open(folder.join(LOCK)).and_then(|mut file| {
        file.seek(SeekFrom::Start(0))?;
        file.take(20).read_to_string(&mut process)
    });
    let who = match (read, process.trim()) {
        (Ok(_), number) if !number.is_empty() => format!("process {number}"),
        _ => "another process".to_owned(),
    };
    let message = format!(
        "{who} uses {} and did not let go of it within {timeout:?}; stop it, or give this process a `directory` of its own",
        folder.display()
    );
    StorageError { message, retryable: true }
}

/// An error about a path, in words.
pub(crate) fn failed(what: &str, path: &Path, error: &std::io::Error) -> StorageError {
    use std::io::ErrorKind as K;
    let retryable = !matches!(error.kind(), K::PermissionDenied | K::NotFound | K::NotADirectory | K::InvalidFilename);
    StorageError { message: format!("cannot {what} {}: {error}", path.display()), retryable }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn owner(kind: &'static str, id: &str, place: &str) -> Owner {
        Owner { kind, id: id.into(), place: place.into() }
    }

    #[test]
    fn names_are_readable_and_no_two_owners_share_one() {
        assert_eq!(
            name(&owner("processor", "lastvalue", "metrics/onboarding")),
            "processor_lastvalue_metrics~onboarding"
        );
        assert_eq!(name(&owner("exporter", "otlp_x/1", "traces")), "exporter_otlp_x~1_traces");
        let mut seen: BTreeMap<String, Owner> = BTreeMap::new();
        let words =
            ["", "a", "a_b", "b", "a/b", "a~b", "a%7Eb", "..", "a b", "\u{e4}", "A", "_", "__", "a\0", "a_", "_a"];
        for kind in ["processor", "exporter"] {
            for (id, place) in words.iter().flat_map(|id| words.iter().map(move |place| (id, place))) {
                let owner = owner(kind, id, place);
                let name = name(&owner);
                assert!(!name.contains(['/', '\0']) && !name.starts_with('.'), "{name:?}");
                let other = seen.insert(name, owner.clone());
                assert_eq!(other, None, "{owner:?}");
            }
        }
    }
}
