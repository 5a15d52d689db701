//! The scraper `filesystem`: mounts, and what each says of itself.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use procfs::process::{MountInfo, MountInfos};

use super::{Part, Scrape, Unread};
use crate::filter::Filter;
use crate::machine::{Machine, Unreadable, read, read_text};
use crate::sheet::{MetricSpec, Sheet, Switches};

pub(crate) const FILESYSTEM: &[MetricSpec] = &[
    MetricSpec::updown("system.filesystem.usage", "By", "Bytes of a file system by state."),
    MetricSpec::updown("system.filesystem.inodes.usage", "{inodes}", "Inodes of a file system by state."),
    MetricSpec::gauge("system.filesystem.utilization", "1", "The part of a file system that is used.").off(),
];

pub(crate) struct Filesystem {
    on: Switches,
    devices: Filter,
    types: Filter,
    places: Filter,
    with_virtual: bool,
}

impl Filesystem {
    pub(crate) fn new(on: Switches, [devices, types, places]: [Filter; 3], with_virtual: bool) -> Filesystem {
        Filesystem { on, devices, types, places, with_virtual }
    }

    fn one(&self, machine: &Machine, sheet: &mut Sheet, mount: &Mount) -> bool {
        let Ok(stat) = rustix::fs::statvfs(machine.path(&mount.place)) else { return false };
        // What says that it has no blocks holds nothing.
        if stat.f_blocks == 0 {
            return true;
        }
        let common = [
            ("device", mount.device.as_str()),
            ("mode", mount.mode),
            ("mountpoint", mount.place.as_str()),
            ("type", mount.fs_type.as_str()),
        ];
        let with_state = |state| -> Vec<(&str, &str)> { common.into_iter().chain([("state", state)]).collect() };
        let used = stat.f_blocks.saturating_sub(stat.f_bfree);
        let reserved = stat.f_bfree.saturating_sub(stat.f_bavail);
        for (state, blocks) in [("used", used), ("free", stat.f_bavail), ("reserved", reserved)] {
            let bytes = blocks.saturating_mul(stat.f_frsize);
            sheet.int(&self.on, "system.filesystem.usage", &with_state(state), bytes);
        }
        let used_inodes = stat.f_files.saturating_sub(stat.f_ffree);
        for (state, inodes) in [("used", used_inodes), ("free", stat.f_ffree)] {
            sheet.int(&self.on, "system.filesystem.inodes.usage", &with_state(state), inodes);
        }
        // As `df`: of what others than root can use.
        let part = used as f64 / (used + stat.f_bavail).max(1) as f64;
        sheet.double(&self.on, "system.filesystem.utilization", &common, part);
        true
    }
}

/// A file system at a place.
struct Mount {
    device: String,
    mode: &'static str,
    place: String,
    fs_type: String,
}

impl Mount {
    fn of(info: MountInfo) -> Mount {
        let mode = if info.mount_options.contains_key("ro") { "ro" } else { "rw" };
        let device = unescape(info.mount_source.as_deref().unwrap_or("none"));
        Mount { device, mode, place: unescape(&info.mount_point.to_string_lossy()), fs_type: info.fs_type }
    }
}

/// The kernel writes blanks, line breaks and backslashes as octal numbers.
fn unescape(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        match part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                bytes.extend_from_slice(&part.as_bytes()[3..]);
            }
            None => {
                bytes.push(b'\\');
                bytes.extend_from_slice(part.as_bytes());
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The types that stand on a device; ZFS has a device that the kernel does not know as one.
fn on_devices(machine: &Machine) -> Result<HashSet<String>, Unreadable> {
    let text = read_text(&machine.path("proc/filesystems"))?;
    let types = text.lines().filter(|line| !line.starts_with("nodev")).map(|line| line.trim().to_string());
    Ok(types.chain(["zfs".to_string()]).collect())
}

impl Scrape for Filesystem {
    fn name(&self) -> &'static str {
        "filesystem"
    }

    fn scrape(&mut self, machine: &Machine, sheet: &mut Sheet, unread: &Unread) -> Result<(), Unreadable> {
        let MountInfos(infos) = read(&machine.mounts())?;
        let real = if self.with_virtual { None } else { Some(on_devices(machine)?) };
        // What is mounted over another hides it.
        let mounts: BTreeMap<String, Mount> =
            infos.into_iter().map(Mount::of).map(|mount| (mount.place.clone(), mount)).collect();
        let wanted = mounts.values().filter(|mount| {
            real.as_ref().is_none_or(|real| real.contains(&mount.fs_type))
                && self.devices.admits(&mount.device)
                && self.types.admits(&mount.fs_type)
                && self.places.admits(&mount.place)
        });
        for mount in wanted {
            // Files may be mounted too; only a folder is a file system of its own to people.
            let is_file = Path::is_file(&machine.path(&mount.place));
            if !is_file && !self.one(machine, sheet, mount) {
                unread.count(Part::Filesystem);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octal_numbers_are_characters() {
        assert_eq!(unescape(r"/a\040b\134c"), r"/a b\c");
        assert_eq!(unescape(r"/a\xy\04"), r"/a\xy\04");
    }
}
