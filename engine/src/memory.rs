//! How much data may be in flight: by config, else half of the container's memory limit, else 256 MiB.

use std::path::Path;

/// Without a limit to be seen.
const DEFAULT: u64 = 256 << 20;

/// What components say that data in flight may take at most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bound {
    /// In bytes.
    pub bytes: Option<u64>,
    /// In per cent of the container's memory limit, or of the machine's memory if there is none.
    pub percent: Option<u32>,
}

impl Bound {
    /// Another bound holds too.
    pub fn also(&mut self, other: Bound) {
        self.bytes = self.bytes.into_iter().chain(other.bytes).min();
        self.percent = self.percent.into_iter().chain(other.percent).min();
    }

    /// The lower of both, where there is so much memory.
    fn within(self, memory: impl FnOnce() -> Option<u64>) -> Option<u64> {
        let share = self.percent.and_then(|percent| Some(memory()? / 100 * u64::from(percent)));
        self.bytes.into_iter().chain(share).min()
    }
}

/// The budget in bytes, at most `bound`.
pub fn budget(configured: Option<u64>, bound: Bound) -> u64 {
    let budget = configured.unwrap_or_else(|| container().map_or(DEFAULT, |limit| limit / 2));
    let bound = bound.within(|| container().or_else(machine));
    bound.map_or(budget, |bound| budget.min(bound))
}

/// The memory limit of the container.
fn container() -> Option<u64> {
    let root = Path::new("/sys/fs/cgroup");
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    tightest(root, &own)
}

/// The memory of the machine.
fn machine() -> Option<u64> {
    total(&std::fs::read_to_string("/proc/meminfo").ok()?)
}

fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// The tightest limit on the way from the process's own control group up to the root.
fn tightest(root: &Path, own: &str) -> Option<u64> {
    let path = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    let groups = Path::new(path).ancestors().map(|group| root.join(group));
    groups.filter_map(|group| cgroup_limit(&group)).min()
}

/// The memory limit of the control group, version 2 or 1; `None` if there is none.
fn cgroup_limit(root: &Path) -> Option<u64> {
    let files = ["memory.max", "memory/memory.limit_in_bytes"];
    let limit =
        files.iter().find_map(|file| std::fs::read_to_string(root.join(file)).ok()?.trim().parse::<u64>().ok())?;
    // Version 1 says "no limit" with a number near the largest.
    (limit < 1 << 50).then_some(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_bounds_the_lowest_holds() {
        let bytes = |bytes| Bound { bytes: Some(bytes), percent: None };
        assert_eq!((budget(Some(5), bytes(4)), budget(Some(5), bytes(6))), (4, 5));
        let mut bound = Bound { bytes: None, percent: Some(40) };
        bound.also(Bound { bytes: Some(700), percent: Some(50) });
        bound.also(bytes(900));
        assert_eq!(bound, Bound { bytes: Some(700), percent: Some(40) });
        assert_eq!((bound.within(|| Some(1_000)), bound.within(|| Some(9_000))), (Some(400), Some(700)));
        assert_eq!((bound.within(|| None), Bound::default().within(|| Some(9))), (Some(700), None));
    }

    #[test]
    fn the_memory_of_a_machine() {
        assert_eq!(total("MemTotal:       16303428 kB\nMemFree:         1 kB\n"), Some(16_303_428 * 1024));
        assert_eq!(total("nothing"), None);
        assert!(cfg!(not(target_os = "linux")) || machine() > Some(1 << 20));
    }

    #[test]
    fn limits_of_both_versions() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(cgroup_limit(folder.path()), None);
        std::fs::create_dir(folder.path().join("memory")).unwrap();
        std::fs::write(folder.path().join("memory/memory.limit_in_bytes"), "9223372036854771712\n").unwrap();
        assert_eq!(cgroup_limit(folder.path()), None);
        std::fs::write(folder.path().join("memory.max"), "max\n").unwrap();
        assert_eq!(cgroup_limit(folder.path()), None);
        std::fs::write(folder.path().join("memory.max"), "67108864\n").unwrap();
        assert_eq!(cgroup_limit(folder.path()), Some(64 << 20));
        assert_eq!(budget(Some(5), Bound::default()), 5);
        std::fs::create_dir_all(folder.path().join("a.slice/b.service")).unwrap();
        std::fs::write(folder.path().join("a.slice/memory.max"), "1048576\n").unwrap();
        assert_eq!(tightest(folder.path(), "0::/a.slice/b.service\n"), Some(1 << 20));
        assert_eq!(tightest(folder.path(), "0::/\n"), Some(64 << 20));
    }
}
