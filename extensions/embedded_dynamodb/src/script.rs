//! The order of a script's changes in time, and the player that applies those that are due.

use std::collections::{HashMap, HashSet};
use std::iter::Peekable;
use std::sync::Arc;
use std::time::Duration;

use crate::change::{Applied, ApplyError};
use crate::database::{Database, Item};
use crate::error::Error;
use crate::seed::Seed;
use crate::template::Draw;

/// Applies a seed's changes to a database as time goes by. The caller brings the time.
pub(crate) struct Player {
    seed: Arc<Seed>,
    database: Database,
    events: Peekable<Events>,
    /// What the items that the script touched were before, to start over.
    before: HashMap<(usize, String), (Item, Option<Item>)>,
    /// Changes that were reported as impossible, each once.
    reported: HashSet<usize>,
}

impl Player {
    pub(crate) fn new(seed: Arc<Seed>, database: Database) -> Self {
        let events = Events::new(&seed).peekable();
        Self { seed, database, events, before: HashMap::new(), reported: HashSet::new() }
    }

    /// When the next change is due, counted from the start of the script.
    pub(crate) fn next_at(&mut self) -> Option<Duration> {
        self.events.peek().map(|event| event.at)
    }

    /// Applies everything that is due at `elapsed`; returns how many changes took effect.
    pub(crate) fn advance(&mut self, elapsed: Duration) -> Result<usize, Error> {
        let mut applied = 0;
        while let Some(event) = self.events.next_if(|event| event.at <= elapsed) {
            match event.what {
                What::Change { index, n } => applied += usize::from(self.apply(index, n)?),
                What::StartOver => self.start_over()?,
            }
        }
        Ok(applied)
    }

    fn apply(&mut self, index: usize, n: u64) -> Result<bool, Error> {
        let change = &self.seed.changes[index];
        let schema = &self.seed.tables[change.table].schema;
        let draw = Draw { n, seed: self.seed.seed };
        if self.seed.round.is_some()
            && let Ok(key) = change.key(schema, draw)
        {
            let place = (change.table, schema.fingerprint(&key));
            if !self.before.contains_key(&place) {
                let item = self.database.get(&schema.name, &key)?;
                self.before.insert(place, (key, item));
            }
        }
        match change.apply(schema, draw, &self.database) {
            Ok(Applied::Done(key)) => {
                tracing::debug!(table = schema.name, ?key, "changed an item by the script");
                Ok(true)
            }
            Ok(Applied::Missing(key)) => {
                if self.reported.insert(index) {
                    tracing::warn!(
                        table = schema.name,
                        ?key,
                        "changes[{index}] updates an item that is not there; it does nothing"
                    );
                }
                Ok(false)
            }
            Err(ApplyError::Fault(fault)) => {
                if self.reported.insert(index) {
                    let fault = fault.within(index).within("changes");
                    tracing::warn!("{}", self.seed.problem(&fault));
                }
                Ok(false)
            }
            Err(ApplyError::Database(error)) => Err(error),
        }
    }

    /// Puts every touched item back as it was seeded.
    fn start_over(&mut self) -> Result<(), Error> {
        for ((table, _), (key, item)) in self.before.drain() {
            let name = &self.seed.tables[table].schema.name;
            match item {
                Some(item) => self.database.put(name, item)?,
                None => self.database.delete(name, &key)?,
            }
        }
        tracing::debug!("the script starts over on the seeded tables");
        Ok(())
    }
}

/// Something that is due at a time.
#[derive(Debug, PartialEq, Eq)]
struct Event {
    at: Duration,
    what: What,
}

#[derive(Debug, PartialEq, Eq)]
enum What {
    /// The change at this position in the file, for the `n`-th time in this round, from 0.
    Change { index: usize, n: u64 },
    /// The end of a round.
    StartOver,
}

/// All events of a script in order of time; changes of one moment in the order of the file.
struct Events {
    round: Option<Duration>,
    /// Start of the round that is played.
    round_start: Duration,
    changes: Vec<Times>,
}

/// When one change happens, within a round.
struct Times {
    first: Duration,
    period: Option<Duration>,
    next: Option<Duration>,
    n: u64,
}

impl Events {
    fn new(seed: &Seed) -> Self {
        let changes = seed.changes.iter().map(|change| Times {
            first: change.first,
            period: change.period,
            next: Some(change.first),
            n: 0,
        });
        Self { round: seed.round, round_start: Duration::ZERO, changes: changes.collect() }
    }

    fn start_over(&mut self, round: Duration) -> Event {
        self.round_start += round;
        for times in &mut self.changes {
            times.next = Some(times.first);
            times.n = 0;
        }
        Event { at: self.round_start, what: What::StartOver }
    }
}

impl Iterator for Events {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        let due = self.changes.iter().enumerate().filter_map(|(index, times)| times.next.map(|at| (at, index))).min();
        match (due, self.round) {
            (Some((at, _)), Some(round)) if at >= round => Some(self.start_over(round)),
            (None, Some(round)) if !self.changes.is_empty() => Some(self.start_over(round)),
            (None, _) => None,
            (Some((at, index)), _) => {
                let times = &mut self.changes[index];
                let n = times.n;
                times.next = times.period.map(|period| at + period);
                times.n += 1;
                Some(Event { at: self.round_start + at, what: What::Change { index, n } })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(first: u64, period: Option<u64>) -> Times {
        Times {
            first: Duration::from_secs(first),
            period: period.map(Duration::from_secs),
            next: Some(Duration::from_secs(first)),
            n: 0,
        }
    }

    fn play(changes: Vec<Times>, round: Option<u64>, take: usize) -> Vec<(u64, Option<(usize, u64)>)> {
        let events = Events { round: round.map(Duration::from_secs), round_start: Duration::ZERO, changes };
        events
            .take(take)
            .map(|event| {
                let what = match event.what {
                    What::Change { index, n } => Some((index, n)),
                    What::StartOver => None,
                };
                (event.at.as_secs(), what)
            })
            .collect()
    }

    #[test]
    fn a_script_without_a_loop_ends() {
        let order = play(vec![times(9, None), times(3, None)], None, 9);
        assert_eq!(order, [(3, Some((1, 0))), (9, Some((0, 0)))]);
    }

    #[test]
    fn periods_repeat_and_ties_keep_the_order_of_the_file() {
        let order = play(vec![times(4, Some(2)), times(6, Some(6))], None, 4);
        assert_eq!(order, [(4, Some((0, 0))), (6, Some((0, 1))), (6, Some((1, 0))), (8, Some((0, 2)))]);
    }

    #[test]
    fn a_round_starts_over_with_the_same_counts() {
        let order = play(vec![times(4, Some(4)), times(0, None)], Some(10), 8);
        assert_eq!(
            order,
            [
                (0, Some((1, 0))),
                (4, Some((0, 0))),
                (8, Some((0, 1))),
                (10, None),
                (10, Some((1, 0))),
                (14, Some((0, 0))),
                (18, Some((0, 1))),
                (20, None)
            ]
        );
    }
}
