//! An SQS for tests, in this process: AWS JSON 1.0 on a real socket, with faults on demand. Stricter than SQS where SQS leaves it open: an old receipt
//! handle deletes nothing, and says that it did.

mod queue;
mod server;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use queue::Queue;
pub use queue::Sent;

/// The fake. Gone when dropped.
pub struct FakeSqs {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

/// What a request is answered with, instead of what it asks for.
#[derive(Clone, Debug)]
pub enum Fault {
    /// A status and an error code.
    Error(u16, &'static str),
    /// An answer that is no JSON.
    Broken,
    /// The right answer, so much later.
    Slow(Duration),
    /// Never an answer.
    Hang,
    /// It is done, and the answer says nothing about any entry.
    Silent,
}

/// How an entry of a batch fails.
#[derive(Clone, Debug)]
pub struct EntryFault {
    /// The error code.
    pub code: &'static str,
    /// Whether it is the sender's fault, and no use to try again.
    pub sender_fault: bool,
}

pub(crate) struct Shared {
    pub(crate) state: Mutex<State>,
    pub(crate) changed: Notify,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) queues: BTreeMap<String, Queue>,
    faults: BTreeMap<String, VecDeque<Fault>>,
    entry_faults: BTreeMap<String, VecDeque<Option<EntryFault>>>,
    calls: BTreeMap<String, u64>,
}

impl FakeSqs {
    /// A fake on a free port, without queues.
    pub async fn start() -> Self {
        Self::start_at(([127, 0, 0, 1], 0).into()).await
    }

    /// A fake at an address that is known beforehand.
    pub async fn start_at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Notify::new() });
        let task = tokio::spawn(server::serve(listener, Arc::clone(&shared), address));
        Self { address, shared, task }
    }

    /// Makes a queue without a redrive policy whose messages are hidden for `visibility` when they are received.
    pub fn queue(&self, name: &str, visibility: Duration) -> String {
        self.lock().queues.insert(name.to_owned(), Queue::new(visibility));
        self.url(name)
    }

    /// Gives a queue a dead-letter queue: a message that was received `most` times goes there. That queue is made if it is not there.
    pub fn redrive(&self, name: &str, dead: &str, most: u32) {
        let mut state = self.lock();
        let visibility = Duration::from_secs(30);
        state.queues.entry(dead.to_owned()).or_insert_with(|| Queue::new(visibility));
        state.queues.get_mut(name).expect("the queue is there").redrive = Some((dead.to_owned(), most));
    }

    /// A queue's URL.
    pub fn url(&self, name: &str) -> String {
        format!("http://{}/000000000000/{name}", self.address)
    }

    /// Puts a message into a queue; gives its id.
    pub fn send(&self, queue: &str, message: impl Into<Sent>) -> String {
        let id = self.lock().queues.get_mut(queue).expect("the queue is there").send(message.into());
        self.shared.changed.notify_waiters();
        id
    }

    /// The next requests of an operation (`ReceiveMessage`) are answered so, one after the other.
    pub fn fault(&self, operation: &str, faults: impl IntoIterator<Item = Fault>) {
        self.lock().faults.entry(operation.to_owned()).or_default().extend(faults);
    }

    /// The next entries of batches of an operation fail so; `None`: the entry succeeds.
    pub fn fail_entries(&self, operation: &str, faults: impl IntoIterator<Item = Option<EntryFault>>) {
        self.lock().entry_faults.entry(operation.to_owned()).or_default().extend(faults);
    }

    /// The next so many messages that are received can be received again at once.
    pub fn deliver_twice(&self, queue: &str, messages: u32) {
        self.lock().queues.get_mut(queue).expect("the queue is there").twice += messages;
    }

    /// Ends the visibility timeout of everything that is hidden.
    pub fn expire(&self, queue: &str) {
        self.lock().queues.get_mut(queue).expect("the queue is there").expire_all();
        self.shared.changed.notify_waiters();
    }

    /// The ids of deleted messages, in the order of their deletion.
    pub fn deleted(&self, queue: &str) -> Vec<String> {
        self.lock().queues.get(queue).map(|queue| queue.deleted.clone()).unwrap_or_default()
    }

    /// The bodies and attributes of what is in a queue, hidden or not.
    pub fn messages(&self, queue: &str) -> Vec<Sent> {
        self.lock().queues.get(queue).map(Queue::all).unwrap_or_default()
    }

    /// How often an operation was called.
    pub fn calls(&self, operation: &str) -> u64 {
        self.lock().calls.get(operation).copied().unwrap_or(0)
    }

    /// Waits until `is_so` says yes. Asked whenever something has changed.
    pub async fn until(&self, is_so: impl Fn(&Self) -> bool) {
        loop {
            let changed = self.shared.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if is_so(self) {
                return;
            }
            changed.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.lock()
    }
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    pub(crate) fn next_fault(&mut self, operation: &str) -> Option<Fault> {
        *self.calls.entry(operation.to_owned()).or_default() += 1;
        self.faults.get_mut(operation)?.pop_front()
    }

    pub(crate) fn next_entry_fault(&mut self, operation: &str) -> Option<EntryFault> {
        self.entry_faults.get_mut(operation)?.pop_front().flatten()
    }
}

impl Drop for FakeSqs {
    fn drop(&mut self) {
        self.task.abort();
    }
}
