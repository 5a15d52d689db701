//! One attempt: a record into the file, on a thread that may block.
//! A failure is tried again: a disk may get room, a directory may come back.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use async_trait::async_trait;
use steadyline_component::{Attempt, Block, Host, Outcome, Sender, StartError};

use crate::output::OutputFile;

#[derive(Debug)]
pub(crate) struct FileSender {
    output: Arc<OutputFile>,
}

impl FileSender {
    pub(crate) fn new(output: Arc<OutputFile>) -> FileSender {
        FileSender { output }
    }

    /// Runs what may block on a thread that may.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&OutputFile) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let output = Arc::clone(&self.output);
        let done = tokio::task::spawn_blocking(move || work(&output)).await;
        done.unwrap_or_else(|panic| Err(io::Error::other(panic)))
    }
}

#[async_trait]
impl Sender for FileSender {
    async fn start(&self, _: &Host) -> Result<(), StartError> {
        let name = self.output.path().display();
        self.blocking(OutputFile::open).await.map_err(|error| StartError(format!("cannot write to `{name}`: {error}")))
    }

    async fn send(&self, block: &Block, _: &Attempt) -> Outcome {
        let record = block.payload.bytes().clone();
        match self.blocking(move |output| output.append(&record)).await {
            Ok(()) => Outcome::DELIVERED,
            Err(error) => Outcome::Retry {
                reason: reason(&error).into(),
                message: format!("cannot write to `{}`: {error}", self.output.path().display()),
                after: None,
            },
        }
    }
}

/// The word that a failure is counted under.
fn reason(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => "disk_full",
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => "permission",
        _ => "write_error",
    }
}
