//! The books of the whole process: one tally for each component, signal and place in the graph.

use std::sync::{Arc, Mutex, PoisonError};

use steadyline_component::tally::Balance;
use steadyline_component::{Kind, Tally};
use steadyline_telemetry::Signal;

/// All tallies. Cheap to clone; all clones are one set of books.
#[derive(Debug, Clone, Default)]
pub struct Books(Arc<Mutex<Vec<Arc<Account>>>>);

/// The books of one component in one place.
#[derive(Debug)]
pub struct Account {
    /// What kind of component it is.
    pub kind: Kind,
    /// Its id.
    pub id: String,
    /// The signal that is counted.
    pub signal: Signal,
    /// The pipeline it belongs to; empty for what pipelines share.
    pub pipeline: String,
    /// What is counted.
    pub tally: Tally,
}

impl Account {
    /// Adds what was counted apart, of what is merged, created, dropped and refused: whoever counts so says what came
    /// in, went out and is held by itself.
    pub(crate) fn take_over(&self, counted: Balance) {
        self.tally.merged(counted.merged);
        counted.created.into_iter().for_each(|(why, items)| self.tally.created(why, items));
        counted.dropped.into_iter().for_each(|(reason, items)| self.tally.dropped(reason, items));
        counted.refused.into_iter().for_each(|(reason, items)| self.tally.refused(reason, items));
    }
}

impl Books {
    /// The account of a component in a place; opened if there is none. What a reload takes away stays on the books, and
    /// what takes its place goes on with its account.
    pub fn open(&self, kind: Kind, id: &str, signal: Signal, pipeline: &str) -> Arc<Account> {
        let mut accounts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |a: &&Arc<Account>| a.kind == kind && a.id == id && a.signal == signal && a.pipeline == pipeline;
        if let Some(known) = accounts.iter().find(same) {
            return Arc::clone(known);
        }
        let account = Arc::new(Account {
            kind,
            id: id.to_string(),
            signal,
            pipeline: pipeline.to_string(),
            tally: Tally::default(),
        });
        accounts.push(Arc::clone(&account));
        account
    }

    /// Forgets accounts that nobody holds and in which nothing was ever counted: of a graph that was not started.
    pub fn tidy(&self) {
        let mut accounts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        accounts.retain(|account| Arc::strong_count(account) > 1 || account.tally.balance() != Balance::default());
    }

    /// Every account, in the order in which they were opened.
    pub fn read(&self) -> Vec<Arc<Account>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
