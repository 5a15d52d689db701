//! Which queues a command is about: by the config that uses them, or by a folder.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args as ClapArgs;
use steadyline_blocklog::{RealDisk, is_log};
use steadyline_config::{Node, ProcessEnvironment, Source, load};

use crate::command::Failure;
use crate::command::config::{Output, report};

/// The file in a queue's folder that is locked by the process that has it open.
const LOCK: &str = "lock";
/// Where `file_storage` keeps things if its config does not say.
const DEFAULT_DIRECTORY: &str = "/var/lib/steadyline";

/// Which queues.
#[derive(Debug, ClapArgs)]
pub(super) struct Which {
    /// The config whose queues are meant, as `run` takes it. Repeated: merged in order.
    #[arg(long = "config", value_name = "SOURCE", required_unless_present = "directory", conflicts_with = "directory")]
    config: Vec<String>,
    /// A value to put over the config. Repeated: in order.
    #[arg(long = "set", value_name = "PATH=VALUE", conflicts_with = "directory")]
    set: Vec<String>,
    /// Instead of a config: the folder of a queue, or one that has folders of queues (the `directory` of a `file_storage`).
    #[arg(long, value_name = "FOLDER")]
    directory: Option<PathBuf>,
    /// Only the queues of this exporter.
    #[arg(long, value_name = "ID")]
    exporter: Option<String>,
}

/// A queue on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Queue {
    /// The exporter's id; empty if the folder's name does not say.
    pub exporter: String,
    /// What tells several queues of one exporter apart; often empty.
    pub place: String,
    /// Its folder.
    pub folder: PathBuf,
}

impl Queue {
    /// The queue in a folder that `file_storage` has named.
    fn of(folder: &Path) -> Queue {
        let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let parts = name.strip_prefix("exporter_").and_then(|rest| rest.rsplit_once('_'));
        let (exporter, place) = parts.map_or_else(Default::default, |(id, place)| (unescape(id), unescape(place)));
        Queue { exporter, place, folder: folder.to_path_buf() }
    }

    /// How it is called: by its exporter, or else by its folder.
    pub(super) fn name(&self) -> String {
        match (self.exporter.as_str(), self.place.as_str()) {
            ("", _) => self.folder.display().to_string(),
            (exporter, "") => exporter.to_string(),
            (exporter, place) => format!("{exporter} ({place})"),
        }
    }

    /// The file that is locked while a process has the queue open.
    pub(super) fn lock_file(&self) -> PathBuf {
        self.folder.join(LOCK)
    }

    /// Whether a process has it open now.
    pub(super) fn is_in_use(&self) -> bool {
        let file = std::fs::File::open(self.lock_file());
        // A shared lock, let go of at once: it disturbs nobody who looks, too.
        file.is_ok_and(|file| matches!(file.try_lock_shared(), Err(std::fs::TryLockError::WouldBlock)))
    }
}

/// Undoes what `file_storage` does to ids that become names of folders.
fn unescape(name: &str) -> String {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        let code =
            rest.strip_prefix('%').and_then(|code| code.get(..2)).and_then(|code| u8::from_str_radix(code, 16).ok());
        if let Some(byte) = code {
            bytes.push(byte);
            rest = &rest[3..];
            continue;
        }
        let shown = if first == '~' { '/' } else { first };
        bytes.extend_from_slice(shown.encode_utf8(&mut [0; 4]).as_bytes());
        rest = &rest[first.len_utf8()..];
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Which {
    /// The queues, by exporter.
    pub(super) fn queues(&self) -> Result<Vec<Queue>, Failure> {
        let mut queues = match &self.directory {
            Some(directory) => by_folder(directory)?,
            None => self.by_config()?,
        };
        if let Some(exporter) = &self.exporter {
            queues.retain(|queue| queue.exporter == *exporter);
            if queues.is_empty() {
                return Err(anyhow::anyhow!(
                    "exporter {exporter} has no disk queue there; `queue ls` lists those that have"
                )
                .into());
            }
        }
        Ok(queues)
    }

    fn by_config(&self) -> Result<Vec<Queue>, Failure> {
        let sources: Vec<Source> = self.config.iter().map(|argument| Source::parse(argument)).collect();
        let (tree, diagnostics) = load(&sources, &self.set, &ProcessEnvironment);
        report(&diagnostics, Output::Text);
        let Some(tree) = tree.filter(|_| !diagnostics.has_errors()) else { return Err(Failure::Config) };
        Ok(of_config(&tree.root)?)
    }
}

/// The queues of every exporter with `sending_queue.storage`, whether a pipeline uses it or not: what is left of one
/// that no longer is must be found, too. One that never ran has none yet.
fn of_config(root: &Node) -> anyhow::Result<Vec<Queue>> {
    let (mut queues, mut named) = (Vec::new(), false);
    for exporter in root.get("exporters").map(Node::entries).unwrap_or_default() {
        let id = &exporter.key.text;
        let Some(storage) = exporter.value.at_path("sending_queue.storage").and_then(Node::as_str) else { continue };
        let Some(extension) = root.at_path("extensions").and_then(|extensions| extensions.get(storage)) else {
            bail!("exporters.{id}.sending_queue.storage: there is no extension {storage}");
        };
        if storage.split('/').next() != Some("file_storage") {
            bail!("exporters.{id}.sending_queue.storage: {storage} keeps no queues; name a file_storage");
        }
        let directory = extension.get("directory").and_then(Node::as_str).unwrap_or(DEFAULT_DIRECTORY);
        queues.extend(of_exporter(Path::new(directory), id)?);
        named = true;
    }
    if !named {
        bail!(
            "no exporter of this config has a disk queue; one that has names its storage: `sending_queue: {{storage: file_storage}}`"
        );
    }
    Ok(queues)
}

/// The queues of one exporter in the directory of a `file_storage`; none if it never ran.
fn of_exporter(directory: &Path, id: &str) -> anyhow::Result<Vec<Queue>> {
    let queues = folders(directory)?.into_iter().map(|folder| Queue::of(&folder));
    let ours = queues.filter(|queue| queue.exporter == id);
    ours.filter_map(|queue| holds_log(&queue.folder).map(|holds| holds.then_some(queue)).transpose()).collect()
}

fn by_folder(directory: &Path) -> anyhow::Result<Vec<Queue>> {
    if !directory.is_dir() {
        bail!("{} is no folder", directory.display());
    }
    if holds_log(directory)? {
        return Ok(vec![Queue::of(directory)]);
    }
    let mut queues = Vec::new();
    for folder in folders(directory)? {
        if holds_log(&folder)? {
            queues.push(Queue::of(&folder));
        }
    }
    if queues.is_empty() {
        bail!("{} holds no queue, and none of its folders does", directory.display());
    }
    Ok(queues)
}

fn holds_log(folder: &Path) -> anyhow::Result<bool> {
    Ok(is_log(&RealDisk, folder)?)
}

/// The folders in a folder, in order; none if it is not there.
fn folders(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("cannot read {}", directory.display()))?,
    };
    let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
    let mut folders: Vec<PathBuf> = paths.into_iter().filter(|path| path.is_dir()).collect();
    folders.sort();
    Ok(folders)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_folder_says_whose_it_is() {
        for (name, exporter, place) in [
            ("exporter_otlp_", "otlp", ""),
            ("exporter_otlp~my_backend_metrics", "otlp/my_backend", "metrics"),
            ("exporter_otlp~%C3%BC%20b_", "otlp/\u{fc} b", ""),
            ("exporter_otlp~50%_", "otlp/50%", ""),
            ("elsewhere", "", ""),
        ] {
            let queue = Queue::of(&Path::new("/var").join(name));
            assert_eq!((queue.exporter.as_str(), queue.place.as_str()), (exporter, place), "{name}");
        }
    }
}
