//! Conservation: for every component, signal and pipeline, `in + created = out + merged + dropped + held`, read from the
//! process's own metrics.

use std::collections::BTreeMap;

use super::exposition::Sample;

/// The books of one component in one place.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Account {
    /// What came in.
    pub incoming: f64,
    /// What went out.
    pub outgoing: f64,
    /// What was absorbed by a newer one.
    pub merged: f64,
    /// What waits inside.
    pub held: f64,
    /// What was made, by why.
    pub created: BTreeMap<String, f64>,
    /// What was lost, by reason.
    pub dropped: BTreeMap<String, f64>,
}

impl Account {
    /// What went astray: zero.
    pub fn missing(&self) -> f64 {
        let created: f64 = self.created.values().sum();
        let dropped: f64 = self.dropped.values().sum();
        self.incoming + created - self.outgoing - self.merged - self.held - dropped
    }

    /// What was lost; a confirmation is no data, and none is lost with it.
    pub fn lost(&self) -> f64 {
        self.dropped.iter().filter(|(reason, _)| *reason != "confirmation").map(|(_, count)| count).sum()
    }
}

/// All accounts, by `kind id signal pipeline`.
#[derive(Debug, Clone, Default)]
pub struct Books(pub BTreeMap<String, Account>);

impl Books {
    /// Reads them from the process's own metrics.
    pub fn read(samples: &[Sample]) -> Books {
        let mut books = Books::default();
        for sample in samples {
            let Some(what) = sample.name.strip_prefix("steadyline_component_") else { continue };
            let place = ["kind", "id", "signal", "pipeline"].map(|label| sample.label(label)).join(" ");
            let field = match (what, sample.label("direction")) {
                ("items_total", "in") => &mut books.account(place).incoming,
                ("items_total", "out") => &mut books.account(place).outgoing,
                ("items_total", "merged") => &mut books.account(place).merged,
                ("held_items", _) => &mut books.account(place).held,
                ("created_items_total", _) => {
                    books.account(place).created.entry(sample.label("why").into()).or_default()
                }
                ("dropped_items_total", _) => {
                    books.account(place).dropped.entry(sample.label("reason").into()).or_default()
                }
                _ => continue,
            };
            *field += sample.value;
        }
        books
    }

    fn account(&mut self, place: String) -> &mut Account {
        self.0.entry(place).or_default()
    }

    /// The account of a component, by its kind and id; the sum if it has several.
    pub fn of(&self, kind: &str, id: &str) -> Account {
        let start = format!("{kind} {id} ");
        let mut sum = Account::default();
        for (_, account) in self.0.iter().filter(|(place, _)| place.starts_with(&start)) {
            sum.incoming += account.incoming;
            sum.outgoing += account.outgoing;
            sum.merged += account.merged;
            sum.held += account.held;
            account.created.iter().for_each(|(why, count)| *sum.created.entry(why.clone()).or_default() += count);
            account.dropped.iter().for_each(|(why, count)| *sum.dropped.entry(why.clone()).or_default() += count);
        }
        sum
    }

    /// Whether there are books, and nothing went astray in any of them.
    pub fn balance(&self) -> bool {
        !self.0.is_empty() && self.0.values().all(|account| account.missing() == 0.0)
    }
}
