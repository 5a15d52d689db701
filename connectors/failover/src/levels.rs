//! Which level data goes to. Pure: what is known of the pipelines comes in, a level comes out.

use std::time::Duration;

use steadyline_component::Outlook;
use steadyline_config::ComponentId;

/// The levels, first to last, and what is remembered of them.
#[derive(Debug)]
pub(crate) struct Levels {
    levels: Vec<Level>,
    retry_interval: Duration,
}

#[derive(Debug)]
struct Level {
    pipelines: Vec<ComponentId>,
    /// When it was found down last, on the monotonic clock; none: since it was used it was not.
    down: Option<Duration>,
}

/// A level, and why it is that one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Choice {
    /// Counts from 0.
    pub(crate) level: usize,
    /// For the log.
    pub(crate) why: &'static str,
}

impl Levels {
    /// At least one level, each of at least one pipeline.
    pub(crate) fn new(levels: Vec<Vec<ComponentId>>, retry_interval: Duration) -> Levels {
        let levels = levels.into_iter().map(|pipelines| Level { pipelines, down: None }).collect();
        Levels { levels, retry_interval }
    }

    pub(crate) fn pipelines(&self, level: usize) -> &[ComponentId] {
        &self.levels[level].pipelines
    }

    /// The level that data goes to now.
    pub(crate) fn choose(&mut self, now: Duration, outlook: &dyn Fn(&ComponentId) -> Outlook) -> Choice {
        let outlooks: Vec<Option<Outlook>> = self.levels.iter().map(|level| level.outlook(outlook)).collect();
        for (at, level) in self.levels.iter_mut().enumerate() {
            let waits = level.down.is_some_and(|since| now < since.saturating_add(self.retry_interval));
            match outlooks[at] {
                None => {}
                Some(_) if waits => {}
                Some(Outlook::Works) => {
                    level.down = None;
                    return Choice { level: at, why: "the first that works" };
                }
                Some(_) => level.down = Some(now),
            }
        }
        let first = |wanted: Outlook| outlooks.iter().position(|outlook| *outlook == Some(wanted));
        if let Some(level) = first(Outlook::Works) {
            return Choice { level, why: "before the end of its retry_interval, because no other works" };
        }
        if let Some(level) = first(Outlook::Failing) {
            return Choice { level, why: "the first that has room, because none works" };
        }
        let level = outlooks.iter().position(Option::is_some).unwrap_or(0);
        Choice { level, why: "the first of all, because no level has room" }
    }
}

impl Level {
    /// How it fares: as the worst of its pipelines. `None`: none of them runs.
    fn outlook(&self, outlook: &dyn Fn(&ComponentId) -> Outlook) -> Option<Outlook> {
        self.pipelines.iter().map(outlook).filter(|outlook| *outlook != Outlook::Absent).max()
    }
}
