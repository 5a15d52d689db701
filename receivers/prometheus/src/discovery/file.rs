//! Targets in files. A file that changed is read soon, every file at the refresh interval; one that cannot be read keeps
//! the targets it had, one that is gone has none.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{Context, Found, Groups, glob, group_targets};
use crate::config::FileSdConfig;

/// How often files are looked at for changes.
const LOOK: Duration = Duration::from_secs(5);
/// A larger file is refused: it is no list of targets.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// Reads the files of one `file_sd_configs` entry.
#[derive(Debug)]
pub(crate) struct FileProvider {
    patterns: Vec<String>,
    refresh: Duration,
    known: BTreeMap<PathBuf, File>,
}

#[derive(Debug, Default)]
struct File {
    /// Time and size when it was read.
    stamp: Option<(SystemTime, u64)>,
    found: Vec<Found>,
}

impl FileProvider {
    /// A provider that has read nothing yet.
    pub(crate) fn new(config: &FileSdConfig) -> Self {
        let refresh = config.refresh_interval.get().max(Duration::from_millis(1));
        FileProvider { patterns: config.files.clone(), refresh, known: BTreeMap::new() }
    }

    pub(super) async fn run(mut self, context: Context) {
        let mut next_full = Duration::ZERO;
        let mut is_first = true;
        loop {
            let now = context.clock.now().mono;
            let full = now >= next_full;
            if full {
                next_full = now + self.refresh;
            }
            // Small files, read now and then.
            let changed = self.read(full, &context);
            if changed || is_first {
                is_first = false;
                context.tell(self.known.values().flat_map(|file| file.found.iter().cloned()).collect());
            }
            context.clock.sleep_until((now + LOOK).min(next_full)).await;
        }
    }

    /// Reads what changed, or everything. Whether there is anything new.
    fn read(&mut self, full: bool, context: &Context) -> bool {
        let mut paths: Vec<PathBuf> = self.patterns.iter().flat_map(|pattern| glob::files(pattern)).collect();
        paths.sort();
        paths.dedup();
        let before = self.known.len();
        self.known.retain(|path, _| paths.binary_search(path).is_ok());
        let mut changed = self.known.len() != before;
        for path in paths {
            let stamp = stamp(&path);
            let known = self.known.entry(path.clone()).or_default();
            if !full && known.stamp == stamp && stamp.is_some() {
                continue;
            }
            match load(&path) {
                Ok(found) => {
                    changed |= known.found != found;
                    known.found = found;
                }
                Err(message) => {
                    context.failures.add(1.0);
                    tracing::warn!(error = message, "targets could not be read; those known before stay");
                }
            }
            known.stamp = stamp;
        }
        changed
    }
}

fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn load(path: &Path) -> Result<Vec<Found>, String> {
    let name = path.display().to_string();
    let failed = |error: &dyn std::fmt::Display| format!("`{name}`: {error}");
    let size = std::fs::metadata(path).map_err(|error| failed(&error))?.len();
    if size > MAX_FILE_BYTES {
        return Err(failed(&format!("{size} bytes are too many for a list of targets")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| failed(&error))?;
    let is_json = path.extension().is_some_and(|extension| extension == "json");
    let groups: Groups = match is_json {
        true => serde_json::from_str(&text).map_err(|error| failed(&error))?,
        false if text.trim().is_empty() => Groups(Vec::new()),
        false => serde_saphyr::from_str(&text).map_err(|error| failed(&error))?,
    };
    Ok(groups.into_groups().flat_map(|group| group_targets(&group, &[("__meta_filepath", &name)])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(text: &str, name: &str) -> Result<Vec<Found>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        load(&path)
    }

    #[test]
    fn json_and_yaml_say_the_same() {
        let json = r#"[{"targets": ["a:1", "b:2"], "labels": {"zone": "x"}}, {"targets": ["c:3"]}]"#;
        let yaml = "- targets: [a:1, 'b:2']\n  labels: {zone: x}\n- targets:\n  - c:3\n";
        for (text, name) in [(json, "t.json"), (yaml, "t.yml")] {
            let found = addresses(text, name).unwrap();
            assert_eq!(found.len(), 3, "{name}");
            assert_eq!(found[1]["__address__"], "b:2");
            assert_eq!(found[1]["zone"], "x");
            assert!(found[2]["__meta_filepath"].ends_with(name));
            assert!(!found[2].contains_key("zone"));
        }
        assert_eq!(addresses("\n", "t.yaml"), Ok(Vec::new()));
        // Plain words that YAML may take for something else are texts here.
        let found = addresses("- targets: [a]\n  labels: {port: 80, on: yes, v: 1.10}\n", "t.yml").unwrap();
        assert_eq!((found[0]["port"].as_str(), found[0]["on"].as_str(), found[0]["v"].as_str()), ("80", "yes", "1.10"));
    }

    #[test]
    fn what_is_no_list_of_targets_is_named() {
        for (text, name) in
            [("{", "t.json"), ("[{\"target\": []}]", "t.json"), ("targets: [a]", "t.yml"), ("", "t.json")]
        {
            let error = addresses(text, name).unwrap_err();
            assert!(error.contains(name), "{error}");
        }
    }
}
