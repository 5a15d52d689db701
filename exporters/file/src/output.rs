//! The file: opened once for all signals of an exporter, written record by record, put aside when it is full.
//! What a failed write left behind is cut off again.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use steadyline_component::Clock;

use crate::backups::Backups;
use crate::config::Rotation;

/// What a file must be like.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Options {
    pub path: PathBuf,
    /// Whether what is in the file stays there.
    pub append: bool,
    pub rotation: Option<Rotation>,
    /// The permissions of directories that are made; `None`: none are made.
    pub directory_mode: Option<u32>,
}

/// A file that one exporter writes to, whatever signals it is listed for.
#[derive(Debug)]
pub(crate) struct OutputFile {
    /// The exporter's id.
    owner: String,
    options: Options,
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    open: Option<Open>,
    /// Whether the file was opened before: then what is in it is ours.
    was_open: bool,
    /// Where a record begins that could be neither finished nor cut off.
    torn_at: Option<u64>,
}

#[derive(Debug)]
struct Open {
    file: File,
    /// Bytes of whole records.
    len: u64,
    /// Not a terminal or a pipe: those cannot be cut or renamed.
    is_regular: bool,
    backups: Option<Backups>,
}

/// The files of this process, by path.
static FILES: Mutex<BTreeMap<PathBuf, Weak<OutputFile>>> = Mutex::new(BTreeMap::new());

impl OutputFile {
    /// The file of an exporter: the same for each of its signals. Nothing is opened yet.
    ///
    /// # Errors
    /// Another exporter writes to this path.
    pub(crate) fn shared(owner: &str, options: Options, clock: &Clock) -> Result<Arc<OutputFile>, String> {
        let mut files = lock(&FILES);
        files.retain(|_, file| file.strong_count() > 0);
        let known = files.get(&options.path).and_then(Weak::upgrade);
        match known {
            Some(known) if known.owner != owner => {
                return Err(format!("exporter `{}` writes to this file; give each a file of its own", known.owner));
            }
            Some(known) if known.options == options => return Ok(known),
            _ => {}
        }
        let path = options.path.clone();
        let state = Mutex::default();
        let file = Arc::new(OutputFile { owner: owner.to_owned(), options, clock: clock.clone(), state });
        files.insert(path, Arc::downgrade(&file));
        Ok(file)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.options.path
    }

    /// Opens the file, if it is not open.
    pub(crate) fn open(&self) -> io::Result<()> {
        self.opened(&mut lock(&self.state)).map(drop)
    }

    /// Writes a record, whole or not at all.
    pub(crate) fn append(&self, record: &[u8]) -> io::Result<()> {
        let mut state = lock(&self.state);
        let open = self.opened(&mut state)?;
        let limit = self.options.rotation.as_ref().map(|rotation| rotation.max_megabytes << 20);
        if limit.is_some_and(|limit| open.len > 0 && open.len + record.len() as u64 > limit) {
            self.rotate(&mut state)?;
        }
        let open = self.opened(&mut state)?;
        match open.file.write_all(record) {
            Ok(()) => {
                open.len += record.len() as u64;
                Ok(())
            }
            Err(error) => {
                let len = open.len;
                if open.is_regular && open.file.set_len(len).is_err() {
                    // What cannot be taken back now may be when the file is opened again.
                    (state.open, state.torn_at) = (None, Some(len));
                }
                Err(error)
            }
        }
    }

    fn opened<'a>(&self, state: &'a mut State) -> io::Result<&'a mut Open> {
        let State { open, was_open, torn_at } = state;
        match open {
            Some(open) => Ok(open),
            none => {
                let keep = self.options.append || self.options.rotation.is_some() || *was_open;
                let mut opened = self.open_file(keep)?;
                if let Some(len) = torn_at.filter(|len| *len < opened.len) {
                    opened.file.set_len(len)?;
                    opened.len = len;
                }
                (*was_open, *torn_at) = (true, None);
                Ok(none.insert(opened))
            }
        }
    }

    fn open_file(&self, keep: bool) -> io::Result<Open> {
        let path = self.path();
        if let (Some(mode), Some(directory)) = (self.options.directory_mode, path.parent()) {
            make_directory(directory, mode)?;
        }
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let metadata = file.metadata()?;
        let is_regular = metadata.is_file();
        if is_regular && !keep {
            file.set_len(0)?;
        }
        let len = if is_regular && keep { metadata.len() } else { 0 };
        let backups = match &self.options.rotation {
            Some(_) if !is_regular => return Err(io::Error::other("this is no regular file, so it cannot be rotated")),
            Some(rotation) => Some(Backups::new(path, rotation)),
            None => None,
        };
        Ok(Open { file, len, is_regular, backups })
    }

    fn rotate(&self, state: &mut State) -> io::Result<()> {
        let Some(Open { backups: Some(backups), .. }) = &state.open else { return Ok(()) };
        let now = self.clock.now().unix_nanos;
        fs::rename(self.path(), backups.next_name(now))?;
        if let Err(error) = backups.prune(now) {
            tracing::warn!(exporter = %self.owner, %error, "files that were put aside could not be deleted");
        }
        state.open = None;
        Ok(())
    }
}

#[cfg(unix)]
fn make_directory(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(mode).create(path)
}

#[cfg(not(unix))]
fn make_directory(path: &Path, _: u32) -> io::Result<()> {
    fs::create_dir_all(path)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_cut_off_is_when_the_file_is_opened_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("t");
        let options = Options { path: path.clone(), append: false, rotation: None, directory_mode: None };
        let output = OutputFile::shared("file", options.clone(), &Clock::manual(0)).unwrap();
        output.append(b"whole\n").unwrap();
        fs::write(&path, b"whole\nto").unwrap();
        *lock(&output.state) = State { open: None, was_open: true, torn_at: Some(6) };
        output.append(b"next\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole\nnext\n");
        let other = OutputFile::shared("file/other", options.clone(), &Clock::manual(0)).unwrap_err();
        assert_eq!(other, "exporter `file` writes to this file; give each a file of its own");
        drop(output);
        assert!(OutputFile::shared("file/other", options, &Clock::manual(0)).is_ok());
    }
}
