//! The processor: what happens at a batch, at a timer and at the end. The rules live beside it, one file each.

use std::time::Duration;

use hashbrown::HashMap;
use steadyline_component::{Batch, Data, PassEnd, Processor, Receipt, Work};

use crate::bodies::Bodies;
use crate::clock::{Ticks, ticks};
use crate::config::Config;
use crate::counts::Counts;
use crate::families::Families;
use crate::identity::{Identifier, Secret};
use crate::outbox::Item;
use crate::pool::Pool;
use crate::series::Store;
use crate::source::Sources;
use crate::sweep::Sweep;

/// Keeps one value per series.
#[derive(Debug)]
pub(crate) struct LastValue {
    pub(crate) config: Config,
    /// The component's id, for logs.
    pub(crate) id: String,
    pub(crate) secret: Secret,
    pub(crate) identifier: Identifier,
    /// Lists of label names.
    pub(crate) keys: Pool,
    pub(crate) families: Families,
    pub(crate) store: Store,
    /// The series that the next point most likely belongs to.
    pub(crate) guess: u32,
    pub(crate) bodies: Bodies,
    /// Exemplars of numbers that wait; they are sent once.
    pub(crate) exemplars: HashMap<u32, Vec<u8>>,
    pub(crate) sources: Sources,
    /// Series to send at the next flush, in the order of arrival. Never survives a removal: ids change then.
    pub(crate) queue: Vec<u32>,
    /// How many of those owe a point that came in.
    pub(crate) owed: u64,
    /// How many series have ended and are not forgotten yet.
    pub(crate) ended: usize,
    /// When what waits must go.
    pub(crate) deadline: Option<Duration>,
    /// Who waits for what is in the queue.
    pub(crate) receipts: Vec<Receipt>,
    /// Who waits for the batch at hand.
    pub(crate) arriving: Vec<Receipt>,
    pub(crate) sweep: Sweep,
    pub(crate) counts: Counts,
    /// When a refused series was named last, by reason.
    pub(crate) named: [Option<Ticks>; 2],
    pub(crate) last_purge: Option<Ticks>,
    pub(crate) items: Vec<Item>,
    pub(crate) body: Vec<u8>,
}

impl LastValue {
    /// A processor without state.
    pub(crate) fn new(config: Config, id: String) -> LastValue {
        LastValue {
            config,
            id,
            secret: Secret::random(),
            identifier: Identifier::default(),
            keys: Pool::default(),
            families: Families::default(),
            store: Store::default(),
            guess: 0,
            bodies: Bodies::default(),
            exemplars: HashMap::new(),
            sources: Sources::default(),
            queue: Vec::new(),
            owed: 0,
            ended: 0,
            deadline: None,
            receipts: Vec::new(),
            arriving: Vec::new(),
            sweep: Sweep::default(),
            counts: Counts::default(),
            named: [None; 2],
            last_purge: None,
            items: Vec::new(),
            body: Vec::new(),
        }
    }

    /// After every call: what was counted goes to the books; without a queue nobody waits.
    fn finish(&mut self, work: &Work<'_>) {
        self.counts.settle(work.tally);
        if self.queue.is_empty() {
            self.receipts.clear();
            self.deadline = None;
        } else if self.deadline.is_none() {
            self.deadline = Some(work.now.mono + self.config.coalesce.get());
        }
    }

    fn end_pass(&mut self, source: u16, epoch: u64, end: PassEnd, work: &mut Work<'_>) {
        self.flush(work);
        let now = ticks(work.now.mono);
        if self.sources.get_mut(source).pass_ended(epoch, end, self.config.missing_polls) {
            self.sweep.restart(now);
            self.sweep_step(work);
        }
    }
}

impl Processor for LastValue {
    fn process(&mut self, batch: Batch, work: &mut Work<'_>) {
        let Batch { mut header, data } = batch;
        let metrics = match data {
            Data::Metrics(metrics) => metrics,
            Data::Opaque(_) => return work.emit(Batch { header, data }),
        };
        let tick = ticks(work.now.mono);
        let (source, seen) = self.sources.arrive(&header, &self.config, tick);
        self.sweep.schedule(self.sources.shortest(), self.store.len(), tick);
        if !metrics.is_empty() {
            self.arriving.extend(header.receipts.iter().cloned());
            self.arrive(&metrics, &header, source, seen, work);
            self.receipts.append(&mut self.arriving);
        }
        // The state has its own copies: the arrived buffers and their share of the budget go back here.
        drop(metrics);
        header.permit = None;
        let end = header.pass.as_ref().and_then(|pass| Some((pass.epoch, pass.end?)));
        if let Some((epoch, end)) = end {
            self.end_pass(source, epoch, end, work);
            work.emit(Batch { header, data: Data::Metrics(Default::default()) });
        } else if self.config.coalesce.is_zero() || self.owed == 0 {
            // Without a point that came in there is nothing to wait for: markers of our own go at once.
            self.flush(work);
        }
        self.sweep.schedule(self.sources.shortest(), self.store.len(), tick);
        self.finish(work);
    }

    fn wake_at(&self) -> Option<Duration> {
        [self.deadline, self.sweep.at].into_iter().flatten().min()
    }

    fn wake(&mut self, work: &mut Work<'_>) {
        if self.deadline.is_some_and(|at| at <= work.now.mono) {
            self.flush(work);
        }
        if self.sweep.at.is_some_and(|at| at <= work.now.mono) {
            self.sweep_step(work);
        }
        self.finish(work);
    }

    fn drain(&mut self, work: &mut Work<'_>) {
        self.flush(work);
        self.finish(work);
    }

    fn held(&self) -> u64 {
        self.owed
    }

    fn series(&self) -> u64 {
        (self.store.len() - self.ended) as u64
    }
}
