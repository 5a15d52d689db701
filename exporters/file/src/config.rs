//! The config of `file`: the Collector's keys, and those of every queued exporter.
//! What cannot go together is refused at load.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steadyline_component::CreateContext;
use steadyline_component::exporter::{DeliveryConfig, QueueConfig, RetryConfig};
use steadyline_config::Duration as ConfigDuration;

use crate::output::Options;

/// Writes OTLP requests to a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The file. Required.
    #[schemars(example = "./telemetry.jsonl")]
    pub path: String,
    /// How requests are written.
    pub format: FileFormat,
    /// How each request is compressed.
    pub compression: FileCompression,
    /// Whether a file that is there is kept and written on. Not together with `compression` or `rotation`.
    pub append: bool,
    /// When the file is put aside and a new one begun. Default: never.
    pub rotation: Option<Rotation>,
    /// Accepted for the Collector's sake: a request is in the file when it is counted as sent, none waits to be flushed.
    pub flush_interval: ConfigDuration,
    /// Whether the directory of the file is made if it is not there.
    pub create_directory: bool,
    /// The permissions of directories that are made, in octal.
    pub directory_permissions: String,
    /// How writes that failed are repeated.
    pub retry_on_failure: RetryConfig,
    /// The queue in front of the file.
    pub sending_queue: QueueConfig,
}

/// How requests are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FileFormat {
    /// JSON, by OTLP's rules.
    #[default]
    Json,
    /// Protobuf.
    Proto,
}

/// How each request is compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FileCompression {
    /// Not at all.
    #[default]
    #[serde(alias = "")]
    None,
    /// By zstd, each request by itself.
    Zstd,
}

/// When the file is put aside, and what becomes of those that were.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Rotation {
    /// The largest file, in MiB; a larger request has a file to itself.
    #[schemars(range(min = 1))]
    pub max_megabytes: u64,
    /// Files that were put aside are deleted after so many days; 0 = never.
    pub max_days: u64,
    /// How many files that were put aside are kept; 0 = all.
    pub max_backups: u64,
    /// Whether the names of files that were put aside carry local time instead of UTC.
    pub localtime: bool,
}

impl Default for Rotation {
    fn default() -> Self {
        Rotation { max_megabytes: 100, max_days: 0, max_backups: 100, localtime: false }
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            path: String::new(),
            format: FileFormat::Json,
            compression: FileCompression::None,
            append: false,
            rotation: None,
            flush_interval: ConfigDuration::from_secs(1),
            create_directory: false,
            directory_permissions: "0755".into(),
            retry_on_failure: RetryConfig::default(),
            sending_queue: QueueConfig::default(),
        }
    }
}

impl Config {
    /// What the file must be like; `None` after having reported what is wrong.
    pub(crate) fn check(&self, context: &mut CreateContext<'_>) -> Option<Options> {
        let mut wrong = Vec::new();
        if self.path.is_empty() {
            wrong.push(("path", "must be set: the file to write to, such as ./telemetry.jsonl".to_owned()));
        } else if self.path.ends_with('/') {
            wrong.push(("path", "this is a directory; expected a file, such as ./telemetry.jsonl".to_owned()));
        }
        if self.append && self.compression != FileCompression::None {
            wrong.push(("append", "a compressed file cannot be appended to; leave out one of the two".to_owned()));
        }
        if self.append && self.rotation.is_some() {
            wrong.push(("append", "a file that is rotated is always appended to; leave this out".to_owned()));
        }
        if self.rotation.as_ref().is_some_and(|rotation| rotation.max_megabytes == 0) {
            wrong.push(("rotation.max_megabytes", "must be at least 1".to_owned()));
        }
        let permissions = u32::from_str_radix(&self.directory_permissions, 8).ok().filter(|mode| *mode <= 0o7777);
        if permissions.is_none() {
            let message = format!("`{}` is not permissions in octal, such as \"0755\"", self.directory_permissions);
            wrong.push(("directory_permissions", message));
        }
        let sound = wrong.is_empty();
        wrong.into_iter().for_each(|(path, message)| context.error(path, message));
        let options = Options {
            path: PathBuf::from(&self.path),
            append: self.append,
            rotation: self.rotation.clone(),
            directory_mode: permissions.filter(|_| self.create_directory),
        };
        sound.then_some(options)
    }

    pub(crate) fn delivery(&self) -> DeliveryConfig {
        // A write cannot be called back: one that is given up may still happen, and would be made twice.
        let timeout = Duration::ZERO;
        DeliveryConfig { timeout, retry: self.retry_on_failure.clone(), queue: self.sending_queue.clone() }
    }
}
