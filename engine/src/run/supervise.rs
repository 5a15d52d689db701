//! Tasks that must not die silently: a panic becomes a failed status and a log line, and readiness is gone.

use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use steadyline_component::ComponentStatus;

use super::fall::fell;

/// Runs a task; a panic in it is reported on the board under the component's name.
pub async fn supervise(name: String, status: ComponentStatus, task: impl Future<Output = ()>) {
    if let Err(panic) = AssertUnwindSafe(task).catch_unwind().await {
        fell(&name, &status, &*panic);
    }
}
