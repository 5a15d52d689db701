//! How much data may be in flight: by config, else half of the container's memory limit, else 256 MiB.

use std::path::Path;

/// Without a limit to be seen.
const DEFAULT: u64 = 256 << 20;

/// The budget in bytes, at most `bound`.
pub fn budget(configured: Option<u64>, bound: Option<u64>) -> u64 {
    let budget = configured.unwrap_or_else(|| {
        let root = Path::new("/sys/fs/cgroup");
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        tightest(root, &own).map_or(DEFAULT, |limit| limit / 2)
    });
    bound.map_or(budget, |bound| budget.min(bound))
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
        assert_eq!((budget(Some(5), None), budget(Some(5), Some(4)), budget(Some(5), Some(6))), (5, 4, 5));
        std::fs::create_dir_all(folder.path().join("a.slice/b.service")).unwrap();
        std::fs::write(folder.path().join("a.slice/memory.max"), "1048576\n").unwrap();
        assert_eq!(tightest(folder.path(), "0::/a.slice/b.service\n"), Some(1 << 20));
        assert_eq!(tightest(folder.path(), "0::/\n"), Some(64 << 20));
    }
}
