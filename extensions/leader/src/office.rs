//! Where pollers learn who leads: the term at hand, and its end at the very moment.

use std::sync::Arc;

use steadyline_component::leadership::{Leadership, TermState};
use steadyline_component::{Clock, Term, async_trait};
use tokio::sync::watch;

use crate::term::Tenure;

/// The term of this process, if it leads.
#[derive(Debug)]
pub(crate) struct Office {
    clock: Clock,
    tenure: watch::Sender<Option<Arc<Tenure>>>,
    /// Whether anybody waits to lead.
    wanted: watch::Sender<bool>,
}

impl Office {
    /// Nobody's.
    pub(crate) fn new(clock: &Clock) -> Arc<Office> {
        Arc::new(Office { clock: clock.clone(), tenure: watch::Sender::new(None), wanted: watch::Sender::new(false) })
    }

    /// Says who leads from now on.
    pub(crate) fn publish(&self, tenure: Option<Arc<Tenure>>) {
        self.tenure.send_replace(tenure);
    }

    /// Resolves once somebody waits to lead.
    pub(crate) async fn wanted(&self) {
        // The sender lives in self, so the channel cannot close while we wait.
        let _ = self.wanted.subscribe().wait_for(|wanted| *wanted).await;
    }
}

fn term(tenure: Option<&Arc<Tenure>>) -> Option<Term> {
    let tenure = tenure.filter(|tenure| tenure.holds())?;
    Some(Term::new(Arc::clone(tenure) as Arc<dyn TermState>))
}

#[async_trait]
impl Leadership for Office {
    fn term(&self) -> Option<Term> {
        term(self.tenure.borrow().as_ref())
    }

    async fn changed(&self, known: Option<&Term>) -> Option<Term> {
        self.wanted.send_replace(true);
        let mut tenures = self.tenure.subscribe();
        loop {
            let tenure = tenures.borrow_and_update().clone();
            let term = term(tenure.as_ref());
            if term.as_ref() != known {
                return term;
            }
            let deadline = tenure.filter(|_| term.is_some()).map(|tenure| tenure.deadline());
            let end = async {
                match deadline {
                    Some(deadline) => self.clock.sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // The sender lives in self, so this is a change and never the end of the channel.
                _ = tenures.changed() => {}
                () = end => {}
            }
        }
    }
}
