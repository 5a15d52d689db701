//! The processor: what waits, and when it goes on.
//! A batch never overtakes an earlier one of its source.

use std::time::Duration;

use steadyline_component::{Batch, Permit, Processor, Work};

use crate::config::Config;
use crate::group::{Group, cut};

/// Whoever waits for delivery does not wait longer for other batches.
const LONGEST_WITH_WAITERS: Duration = Duration::from_secs(1);

/// Joins and cuts batches.
#[derive(Debug)]
pub(crate) struct BatchProcessor {
    config: Config,
    /// At most one for each source, in the order in which their first batches came.
    groups: Vec<Group>,
}

impl BatchProcessor {
    pub(crate) fn new(config: Config) -> BatchProcessor {
        BatchProcessor { config, groups: Vec::new() }
    }

    /// Puts a batch to those of its source, or starts with it.
    fn hold(&mut self, batch: Batch, work: &mut Work<'_>) {
        let deadline = work.now.mono + self.patience(&batch);
        let pressed = batch.header.permit.as_ref().is_some_and(Permit::is_pressed);
        let at = self.groups.iter().position(|group| group.admits(&batch, self.config.most()));
        let at = at.unwrap_or_else(|| {
            self.send_before(&batch, work);
            self.groups.len()
        });
        match self.groups.get_mut(at) {
            Some(group) => group.add(batch, deadline),
            None => self.groups.push(Group::new(batch, deadline)),
        }
        if self.groups[at].items >= self.config.send_batch_size {
            let group = self.groups.remove(at);
            self.send(group.join(), work);
        }
        if pressed {
            self.send_where(|_| true, work);
        }
    }

    fn patience(&self, batch: &Batch) -> Duration {
        let timeout = self.config.timeout.get();
        if batch.header.receipts.is_empty() { timeout } else { timeout.min(LONGEST_WITH_WAITERS) }
    }

    /// Sends what came from the same source before.
    fn send_before(&mut self, batch: &Batch, work: &mut Work<'_>) {
        self.send_where(|group| group.precedes(batch), work);
    }

    fn send_where(&mut self, mut which: impl FnMut(&Group) -> bool, work: &mut Work<'_>) {
        let groups: Vec<Group> = self.groups.extract_if(.., |group| which(group)).collect();
        groups.into_iter().for_each(|group| self.send(group.join(), work));
    }

    fn send(&self, batch: Batch, work: &mut Work<'_>) {
        cut(batch, self.config.most()).into_iter().for_each(|piece| work.emit(piece));
    }
}

impl Processor for BatchProcessor {
    fn process(&mut self, batch: Batch, work: &mut Work<'_>) {
        if batch.pass_end().is_some() {
            self.send_before(&batch, work);
            work.emit(batch);
        } else if batch.items() == 0 || self.config.sends_at_once() {
            self.send(batch, work);
        } else {
            self.hold(batch, work);
        }
    }

    fn wake_at(&self) -> Option<Duration> {
        self.groups.iter().map(|group| group.deadline).min()
    }

    fn wake(&mut self, work: &mut Work<'_>) {
        let now = work.now.mono;
        self.send_where(|group| group.deadline <= now, work);
    }

    fn drain(&mut self, work: &mut Work<'_>) {
        self.send_where(|_| true, work);
    }

    fn held(&self) -> u64 {
        self.groups.iter().map(|group| group.items).sum()
    }
}
