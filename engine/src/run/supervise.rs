//! Tasks that must not die silently: a panic becomes a failed status and a log line, and readiness is gone.

use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use steadyline_component::{ComponentStatus, Status};

/// Runs a task; a panic in it is reported on the board under the component's name.
pub async fn supervise(name: String, status: ComponentStatus, task: impl Future<Output = ()>) {
    if let Err(panic) = AssertUnwindSafe(task).catch_unwind().await {
        let text = panic
            .downcast_ref::<&str>()
            .map(|text| text.to_string())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".into());
        tracing::error!(component = %name, "a worker panicked and is gone, the process is not ready any more: {text}");
        status.set(Status::Failed(format!("a worker panicked: {text}")));
    }
}
