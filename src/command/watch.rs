//! Whether the files of a config changed: looked at every 2 s, by their content, so that it does not matter how they were
//! put there. What changes still is waited for.

use std::path::PathBuf;
use std::time::Duration;

use steadyline_config::Source;

/// How often the files are looked at.
const PERIOD: Duration = Duration::from_secs(2);

/// Looks at the files of a config, and at those that it takes values from.
#[derive(Debug)]
pub(super) struct Watch {
    files: Vec<PathBuf>,
    /// What they held when the config was read last.
    read: Contents,
    /// What they held when they were looked at last.
    seen: Contents,
}

/// The files with what they hold; `None`: it cannot be read.
type Contents = Vec<(PathBuf, Option<Vec<u8>>)>;

impl Watch {
    /// Of the files among these sources, as they are now.
    pub(super) fn new(sources: &[Source]) -> Watch {
        let files = sources.iter().filter_map(|source| match source {
            Source::File(path) => Some(path.clone()),
            _ => None,
        });
        let files: Vec<PathBuf> = files.collect();
        let read = contents(&files);
        Watch { seen: read.clone(), files, read }
    }

    /// Resolves when they hold something else than at the last time, and have held it for a period.
    pub(super) async fn changed(&mut self) {
        loop {
            tokio::time::sleep(PERIOD).await;
            if self.look(contents(&self.files)) {
                return;
            }
        }
    }

    /// Whether they hold something new that does not change any more.
    fn look(&mut self, now: Contents) -> bool {
        let is_settled = now == self.seen;
        self.seen = now;
        if !is_settled || self.seen == self.read {
            return false;
        }
        self.read.clone_from(&self.seen);
        true
    }
}

/// What the files hold, and those that their `${file:...}` name.
fn contents(files: &[PathBuf]) -> Contents {
    let read = |path: PathBuf| {
        let content = std::fs::read(&path).ok();
        (path, content)
    };
    let mut contents: Contents = files.iter().cloned().map(read).collect();
    let texts = contents.iter().filter_map(|(_, content)| content.as_deref());
    let named: Vec<PathBuf> = texts.flat_map(|text| named(&String::from_utf8_lossy(text))).collect();
    contents.extend(named.into_iter().map(read));
    contents
}

/// The files that a text takes values from.
fn named(text: &str) -> Vec<PathBuf> {
    let mut parts = text.split("${file:");
    parts.next();
    parts
        .filter_map(|part| Some(part.split_once('}')?.0))
        .filter(|path| !path.contains(['\n', '$']))
        .map(PathBuf::from)
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is the failure it reports")]

    use super::*;

    #[test]
    fn a_change_counts_once_and_when_it_is_complete() {
        let folder = tempfile::tempdir().unwrap();
        let (config, token) = (folder.path().join("c.yaml"), folder.path().join("token"));
        std::fs::write(&config, format!("a: ${{file:{}}}\n", token.display())).unwrap();
        std::fs::write(&token, "one").unwrap();
        let mut watch = Watch::new(&[Source::File(config.clone()), Source::parse("yaml:a: b")]);
        let mut look = || {
            let now = contents(&watch.files);
            watch.look(now)
        };
        assert!(!look());
        std::fs::write(&token, "tw").unwrap();
        assert!(!look(), "it may still be written");
        std::fs::write(&token, "two").unwrap();
        assert!(!look());
        assert!(look());
        assert!(!look(), "once");
        // As a secret that is mounted changes: another folder in the place of the first.
        std::fs::remove_file(&token).unwrap();
        assert!(!look());
        assert!(look(), "that it is gone is told by who reads the config");
        std::fs::write(&token, "two").unwrap();
        assert!(!look() && look());
    }

    #[test]
    fn files_that_values_come_from() {
        assert_eq!(
            named("a: ${file:/x/y}, b: '${file:z}${env:HOME}', c: ${file:open"),
            [PathBuf::from("/x/y"), "z".into()]
        );
    }
}
