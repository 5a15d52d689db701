//! Files that were put aside: how they are called, and which of them are kept.
//! Nothing is ever overwritten, and nothing deleted that does not carry a name from here.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::config::Rotation;

/// What stands between name and extension: `2026-11-21T14-30-00.000`.
const FORMAT: &str = "%Y-%m-%dT%H-%M-%S%.3f";
const DAY: i64 = 24 * 3600;

/// The files beside one that is rotated.
#[derive(Debug)]
pub(crate) struct Backups {
    directory: PathBuf,
    /// What names begin with: `telemetry-`.
    prefix: String,
    /// What names end with: `.jsonl`.
    suffix: String,
    max_backups: u64,
    max_days: u64,
    zone: TimeZone,
}

impl Backups {
    /// The files beside `path`.
    pub(crate) fn new(path: &Path, rotation: &Rotation) -> Backups {
        let text = |part: Option<&std::ffi::OsStr>| part.map(|part| part.to_string_lossy().into_owned());
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        Backups {
            directory: directory.unwrap_or(Path::new(".")).to_owned(),
            prefix: text(path.file_stem()).unwrap_or_default() + "-",
            suffix: text(path.extension()).map_or(String::new(), |extension| format!(".{extension}")),
            max_backups: rotation.max_backups,
            max_days: rotation.max_days,
            zone: if rotation.localtime { local_zone() } else { TimeZone::UTC },
        }
    }

    /// A name that is free, for a file that is put aside at this time (nanoseconds since the epoch).
    pub(crate) fn next_name(&self, now: u64) -> PathBuf {
        let mut name = self.name(now);
        // Rotated twice within a millisecond, or a clock that was set back: nothing is ever overwritten.
        for later in 1.. {
            if !name.exists() {
                break;
            }
            name = self.name(now + later * 1_000_000);
        }
        name
    }

    fn name(&self, time: u64) -> PathBuf {
        let time = Timestamp::from_nanosecond(i128::from(time)).unwrap_or(Timestamp::UNIX_EPOCH);
        let time = time.to_zoned(self.zone.clone()).strftime(FORMAT).to_string();
        self.directory.join(format!("{}{time}{}", self.prefix, self.suffix))
    }

    /// Deletes what is not kept.
    pub(crate) fn prune(&self, now: u64) -> io::Result<()> {
        let mut backups = self.list()?;
        backups.sort();
        let too_many = backups.len().saturating_sub(self.max_backups as usize);
        let too_many = if self.max_backups == 0 { 0 } else { too_many };
        let oldest = (now / 1_000_000_000) as i64 - (self.max_days as i64).saturating_mul(DAY);
        for (at, (written, path)) in backups.into_iter().enumerate() {
            if at < too_many || self.max_days > 0 && written < oldest {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// When each was put aside, in seconds since the epoch, and where it is.
    fn list(&self) -> io::Result<Vec<(i64, PathBuf)>> {
        let mut backups = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            if let Some(time) = self.time(&entry.file_name().to_string_lossy()) {
                backups.push((time, entry.path()));
            }
        }
        Ok(backups)
    }

    /// The time in a name, if it is one that this gives.
    fn time(&self, name: &str) -> Option<i64> {
        let time = name.strip_prefix(&self.prefix)?.strip_suffix(&self.suffix)?;
        let time = DateTime::strptime(FORMAT, time).ok()?;
        Some(time.to_zoned(self.zone.clone()).ok()?.timestamp().as_second())
    }
}

/// The machine's time zone: `TZ`, else what `/etc/localtime` says, else UTC.
fn local_zone() -> TimeZone {
    let read = |name: &str, path: &Path| TimeZone::tzif(name, &fs::read(path).ok()?).ok();
    let named = std::env::var("TZ").ok().filter(|name| !name.is_empty()).and_then(|name| {
        let name = name.trim_start_matches(':');
        read(name, &Path::new("/usr/share/zoneinfo").join(name)).or_else(|| TimeZone::posix(name).ok())
    });
    named.or_else(|| read("local", Path::new("/etc/localtime"))).unwrap_or(TimeZone::UTC)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_763_735_400_123_456_789;

    fn backups(directory: &Path, max_backups: u64, max_days: u64) -> Backups {
        Backups::new(&directory.join("t.jsonl"), &Rotation { max_backups, max_days, ..Rotation::default() })
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = entries.collect();
        names.sort();
        names
    }

    #[test]
    fn names_carry_the_time_and_are_never_taken_twice() {
        let directory = tempfile::tempdir().unwrap();
        let backups = backups(directory.path(), 0, 0);
        for millisecond in [123, 124, 125] {
            let path = backups.next_name(NOW);
            let name = path.file_name().unwrap().to_str().unwrap();
            assert_eq!(name, format!("t-2025-11-21T14-30-00.{millisecond}.jsonl"));
            assert_eq!(backups.time(name), Some(1_763_735_400));
            fs::write(path, b"").unwrap();
        }
        for other in ["t.jsonl", "t-.jsonl", "t-2025-11-21.jsonl", "u-2025-11-21T14-30-00.123.jsonl", "t-x.log"] {
            assert_eq!(backups.time(other), None, "{other}");
        }
    }

    #[test]
    fn what_is_too_much_or_too_old_is_deleted_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let all: Vec<String> = (10..20).map(|day| format!("t-2025-11-{day}T00-00-00.000.jsonl")).collect();
        let others = ["t.jsonl", "t-notes.jsonl", "t-2025-11-11T00-00-00.000.txt"];
        for name in all.iter().map(String::as_str).chain(others) {
            fs::write(path.join(name), b"").unwrap();
        }
        backups(path, 0, 0).prune(NOW).unwrap();
        assert_eq!(names(path).len(), 13);
        backups(path, 0, 8).prune(NOW).unwrap();
        assert_eq!(names(path).len(), 9);
        backups(path, 2, 8).prune(NOW).unwrap();
        let mut kept = vec![all[8].clone(), all[9].clone()];
        kept.extend(others.map(str::to_owned));
        kept.sort();
        assert_eq!(names(path), kept);
    }

    #[test]
    fn a_file_without_extension_is_told_from_its_backups() {
        let backups = Backups::new(Path::new("telemetry"), &Rotation::default());
        assert_eq!(backups.next_name(NOW), Path::new("./telemetry-2025-11-21T14-30-00.123"));
        assert_eq!(
            (backups.time("telemetry"), backups.time("telemetry-2025-11-21T14-30-00.123").is_some()),
            (None, true)
        );
    }
}
