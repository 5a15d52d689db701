//! The `file_storage` extension: state of components, and the queues of exporters, in a folder that outlives the process.
//!
//! ```yaml
//! extensions:
//!   file_storage: {directory: /var/lib/steadyline, create_directory: true}
//!   file_storage/strict: {directory: /data/steadyline, fsync: true, max_size: 1GiB}
//! processors:
//!   lastvalue: {storage: file_storage}
//! ```
//!
//! Every component has a folder of its own, `<kind>_<id>_<place>`: `processor_lastvalue_metrics~onboarding` for `lastvalue` in
//! the pipeline `metrics/onboarding`. In it are
//!
//! | file | what it is |
//! |---|---|
//! | `lock` | locked while a process uses the folder, with the number of that process; it may stay, the lock itself never does |
//! | `state.db` | keys and values, in SQLite (with `state.db-wal` and `state.db-shm` while it is in use) |
//! | `state.db.damaged-<time>` | what could not be read and was moved aside; the newest three are kept |
//!
//! and whatever else the component keeps, such as the segments of a queue.
//!
//! What is kept survives the end of the process, `kill -9` included. With `fsync` it survives the loss of power too; without,
//! the newest seconds may be gone then, never more: what is there is whole. `fsync` costs a write to the disk for each change
//! (about a millisecond where the disk is fast), which is why it is off by default, as it is in the Collector.
//!
//! The folder is for one process. A second one waits for `timeout` and then does not start, and says who is in its way.
//! Removing the folder while nothing runs is safe: components start as if they were new.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod config;
mod database;
mod directory;
mod extension;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use steadyline_component::factory::Component;
use steadyline_component::{CreateContext, Extension, Factory, Spec, Stability};

pub use config::Config;
pub use extension::FileStorage;

/// The factory of the `file_storage` extension.
pub const FACTORY: Factory = Factory::extension::<FileStorageFactory>();

/// Makes storages in folders.
#[derive(Debug)]
pub struct FileStorageFactory;

const COMPACTION: &str =
    "there is nothing to compact: the space of what was removed is used again, and given back at the next start";

impl Component for FileStorageFactory {
    type Config = Config;
    type Made = Arc<dyn Extension>;

    const SPEC: Spec = Spec {
        name: "file_storage",
        aliases: &[],
        stability: Stability::Beta,
        signals: &[],
        summary: "Keeps the state of components and the queues of exporters in a folder, across restarts.",
        unsupported: &[("compaction", COMPACTION)],
    };

    fn create(config: Config, context: &mut CreateContext<'_>) -> Option<Self::Made> {
        let permissions = config.check(context)?;
        let id = context.id.to_string();
        Some(Arc::new(FileStorage::new(config, permissions, id, context.clock.clone(), context.meter)))
    }
}
