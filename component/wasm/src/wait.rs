//! Waiting for a plugin where the caller cannot: processors are called without `await`, and a plugin that takes long must
//! not hold up what else runs on that thread.

use tokio::runtime::{Builder, Handle, Runtime, RuntimeFlavor};

/// Waits for one plugin.
#[derive(Debug, Default)]
pub struct Waiter {
    /// Only where there is no runtime of many threads around.
    own: Option<Runtime>,
}

impl Waiter {
    /// Runs a future to its end. On a runtime of many threads the tasks of this thread move to another one meanwhile.
    ///
    /// # Errors
    /// There is no runtime around, and none can be made.
    pub fn wait<T: Send>(&mut self, future: impl Future<Output = T> + Send) -> std::io::Result<T> {
        match Handle::try_current() {
            Ok(handle) if handle.runtime_flavor() == RuntimeFlavor::MultiThread => {
                Ok(tokio::task::block_in_place(|| handle.block_on(future)))
            }
            Ok(_) => {
                let own = self.own()?;
                std::thread::scope(|scope| match scope.spawn(|| own.block_on(future)).join() {
                    Ok(result) => Ok(result),
                    Err(panic) => std::panic::resume_unwind(panic),
                })
            }
            Err(_) => Ok(self.own()?.block_on(future)),
        }
    }

    fn own(&mut self) -> std::io::Result<&Runtime> {
        match self.own {
            Some(ref own) => Ok(own),
            None => Ok(self.own.insert(Builder::new_current_thread().enable_time().build()?)),
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        // A runtime must not be dropped where another one runs.
        if let Some(own) = self.own.take() {
            own.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn three() -> u32 {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        3
    }

    #[test]
    fn without_a_runtime() {
        assert_eq!(Waiter::default().wait(three()).unwrap(), 3);
    }

    #[tokio::test]
    async fn on_one_thread() {
        assert_eq!(Waiter::default().wait(three()).unwrap(), 3);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn on_many_threads_others_go_on() {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        // Queued on the only worker: it gets its turn only if this thread lets go of it.
        tokio::spawn(async move { sender.send(7) });
        assert_eq!(Waiter::default().wait(receiver).unwrap(), Ok(7));
    }
}
