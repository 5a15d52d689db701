//! A term of leadership that a test ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use steadyline_component::Term;
use steadyline_component::leadership::TermState;

/// A lease with one term, which holds until it is ended.
#[derive(Debug, Default)]
pub struct Lease {
    is_over: AtomicBool,
}

impl Lease {
    /// Its term.
    pub fn term(self: &Arc<Self>) -> Term {
        Term::new(Arc::clone(self) as Arc<dyn TermState>)
    }

    /// Another process leads from now on.
    pub fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

impl TermState for Lease {
    fn number(&self) -> u64 {
        1
    }

    fn holds(&self) -> bool {
        !self.is_over.load(Ordering::Relaxed)
    }

    fn floor(&self) -> u64 {
        0
    }

    fn ceiling(&self) -> u64 {
        u64::MAX
    }

    fn time(&self) -> u64 {
        0
    }
}
