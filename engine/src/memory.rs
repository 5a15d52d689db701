//! How much data may be in flight: by config, else half of the container's memory limit, else 256 MiB.

use std::path::Path;

/// Without a limit to be seen.
const DEFAULT: u64 = 256 << 20;

/// The budget in bytes.
pub fn budget(configured: Option<u64>) -> u64 {
    configured.unwrap_or_else(|| cgroup_limit(Path::new("/sys/fs/cgroup")).map_or(DEFAULT, |limit| limit / 2))
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
        assert_eq!(budget(Some(5)), 5);
    }
}
