//! The segmented log as the backing of a queue: appends are grouped and synced together, off the async threads.

use std::sync::Arc;

use steadyline_component::Folder;

use super::backing::{Backing, Restored};

/// A queue's folder.
#[derive(Debug)]
pub struct DiskQueue;

impl DiskQueue {
    pub async fn open(_: &Folder, _: String) -> Result<(Arc<dyn Backing>, Restored), String> {
        Err(String::new())
    }
}
