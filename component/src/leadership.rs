//! Leadership: of several equal processes one polls. An extension holds the lease; pollers ask for it by its id.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;

/// A lease that several processes compete for.
#[async_trait]
pub trait Leadership: Send + Sync {
    /// The term under which this process leads now; `None`: another one does, or nobody yet.
    fn term(&self) -> Option<Term>;

    /// Resolves with [`Leadership::term`] once it is another one than `known`, at once if it is so already: no change is
    /// missed between two calls. Whoever waits here wants to lead; a lease that nobody waits for is left to others.
    async fn changed(&self, known: Option<&Term>) -> Option<Term>;
}

/// One unbroken time of leadership. Data that was read under it carries it; nothing of it is sent once it is over.
#[derive(Debug, Clone)]
pub struct Term(Arc<dyn TermState>);

/// What stands behind a [`Term`]; implemented by the extension.
pub trait TermState: Send + Sync + Debug {
    /// Counts the terms of the lease over all processes; never repeats.
    fn number(&self) -> u64;
    /// Whether it still holds, by this process's own monotonic clock and well before others may think it over. Once it
    /// was over it never holds again.
    fn holds(&self) -> bool;
    /// Every timestamp of this term is above this one: the highest that the terms before may have sent, nanoseconds
    /// since the Unix epoch.
    fn floor(&self) -> u64;
    /// No timestamp of this term is above this one while the term holds; it moves on with each renewal.
    fn ceiling(&self) -> u64;
    /// What a sample of now is stamped with: above the floor, and going on from the time of the leader before, so that
    /// the lines are unbroken where the wall clocks of two machines differ. It runs a tenth slower or faster than time
    /// itself until it agrees with this process's wall clock, and never backwards.
    fn time(&self) -> u64;
}

/// Whether something may be sent under a term.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It may be sent now.
    Now,
    /// Its timestamps are above what the term has reserved so far; the next renewal may reserve them.
    Later,
    /// The term is over: it must not be sent, and whoever leads now goes on.
    Never,
}

impl Term {
    /// A term.
    pub fn new(state: Arc<dyn TermState>) -> Term {
        Term(state)
    }

    /// Whether data whose newest timestamp is `newest` may be sent. To be asked right before sending.
    pub fn admits(&self, newest: u64) -> Admission {
        match (self.holds(), newest <= self.ceiling()) {
            (false, _) => Admission::Never,
            (true, true) => Admission::Now,
            (true, false) => Admission::Later,
        }
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
