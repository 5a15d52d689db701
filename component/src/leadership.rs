//! Leadership: of several equal processes one polls. An extension holds the lease; pollers ask for it by its id.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;

/// A lease that several processes compete for.
#[async_trait]
pub trait Leadership: Send + Sync {
    /// The term under which this process leads now; `None`: another one does, or nobody yet.
    fn term(&self) -> Option<Term>;

    /// Resolves when [`Leadership::term`] has begun or ended since the call.
    async fn changed(&self);
}

/// One unbroken time of leadership. Data that was read under it carries it; nothing of it is sent once it is over.
#[derive(Debug, Clone)]
pub struct Term(Arc<dyn TermState>);

/// What stands behind a [`Term`]; implemented by the extension.
pub trait TermState: Send + Sync + Debug {
    /// Counts the terms of the lease over all processes; never repeats.
    fn number(&self) -> u64;
    /// Whether it still holds, by this process's own monotonic clock and well before others may think it over.
    fn holds(&self) -> bool;
    /// Every timestamp of this term is above this one: the highest that the terms before may have sent, nanoseconds
    /// since the Unix epoch.
    fn floor(&self) -> u64;
    /// No timestamp of this term is above this one while the term holds; it moves on with each renewal.
    fn ceiling(&self) -> u64;
}

impl Term {
    /// A term.
    pub fn new(state: Arc<dyn TermState>) -> Term {
        Term(state)
    }
}

impl std::ops::Deref for Term {
    type Target = dyn TermState;

    fn deref(&self) -> &(dyn TermState + 'static) {
        &*self.0
    }
}

impl PartialEq for Term {
    fn eq(&self, other: &Term) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
