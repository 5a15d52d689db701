//! The config of `file_storage`, by the Collector's keys.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steadyline_component::CreateContext;
use steadyline_config::{ByteSize, Diagnostic, Duration};

/// The smallest file that can hold anything worth keeping.
const SMALLEST: u64 = 64 * 1024;

/// Where state is kept, and how safely.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The folder. It must be there, unless `create_directory` is set: a missing one is mostly a volume that was not
    /// mounted, and what is written to its place is lost with the container.
    pub directory: PathBuf,
    /// How long to wait for another process to let go of a component's folder, as during a rolling restart; then it is
    /// an error.
    pub timeout: Duration,
    /// How large the state of one component may grow, at least 64KiB; more is refused, and the component says so.
    /// 0: as large as the disk allows. Queues have a `queue_size` of their own.
    pub max_size: ByteSize,
    /// Whether every change is on the disk before it counts as kept, so that it survives the loss of power. Without it,
    /// what is kept survives the end of the process, `kill -9` included, but the newest seconds may be lost with the power.
    pub fsync: bool,
    /// Whether to make the folder if it is missing.
    pub create_directory: bool,
    /// The permissions of folders that are made here, in octal.
    pub directory_permissions: String,
    /// Whether a damaged file is moved aside, told and counted, and the component starts as if it were new.
    /// Otherwise a damaged file stops the start. (The Collector's default is `false`.)
    pub recreate: bool,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            directory: PathBuf::from("/var/lib/steadyline"),
            timeout: Duration::from_secs(1),
            max_size: ByteSize::new(0),
            fsync: false,
            create_directory: false,
            directory_permissions: "0750".to_owned(),
            recreate: true,
        }
    }
}

impl Config {
    /// Reports what is wrong; else the permissions of new folders.
    pub(crate) fn check(&self, context: &mut CreateContext<'_>) -> Option<u32> {
        let mut good = true;
        let mut wrong = |path: &str, message: String, expected: &str| {
            context.report(path, Diagnostic::error("invalid-value", message).with_expected(expected));
            good = false;
        };
        if self.directory.as_os_str().is_empty() {
            wrong("directory", "no folder is named".into(), "a path such as `/var/lib/steadyline`");
        }
        if (1..SMALLEST).contains(&self.max_size.bytes()) {
            wrong("max_size", "so little holds nothing".into(), "at least 64KiB, or 0 for no limit");
        }
        let permissions = u32::from_str_radix(&self.directory_permissions, 8).ok().filter(|bits| *bits <= 0o777);
        // A folder that its owner may not read, write and enter is of no use.
        let usable = permissions.filter(|bits| bits & 0o700 == 0o700);
        if usable.is_none() {
            let message = format!("`{}` are no permissions that its owner could work with", self.directory_permissions);
            wrong("directory_permissions", message, "octal permissions such as `0750`, with 7 for the owner");
        }
        usable.filter(|_| good)
    }
}
