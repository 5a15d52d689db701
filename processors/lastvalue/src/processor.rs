//! The processor: what happens at a batch, at a timer and at the end. The rules live beside it, one file each.

use std::time::Duration;

use hashbrown::HashMap;
use steadyline_component::{
    Batch, Data, Header, Host, PassEnd, Processor, Receipt, StartError, StorageError, Work, async_trait,
};

use crate::bodies::Bodies;
use crate::clock::{Ticks, ticks};
use crate::config::Config;
use crate::counts::Counts;
use crate::families::Families;
use crate::identity::{Identifier, Secret};
use crate::keep::{Floor, Keep, Keeper};
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
    /// Where state is to be kept.
    pub(crate) keep: Option<Keep>,
    /// What keeps it, from the start on.
    pub(crate) keeper: Option<Keeper>,
    /// What the process before may have sent.
    pub(crate) floor: Floor,
}

impl LastValue {
    /// A processor without state.
    pub(crate) fn new(config: Config, id: String, keep: Option<Keep>) -> LastValue {
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
            keep,
            keeper: None,
            floor: Floor::default(),
        }
    }

    /// After every call: what was counted goes to the books; without a queue nobody waits.
    fn finish(&mut self, work: &Work<'_>) {
        self.counts.settle(work.tally);
        if let Some(keeper) = &mut self.keeper {
            keeper.finish(work.now.mono);
        }
        if self.queue.is_empty() {
            self.receipts.clear();
            self.deadline = None;
        } else if self.deadline.is_none() {
            self.deadline = Some(work.now.mono + self.config.coalesce.get());
        }
    }

    fn end_pass(&mut self, source: u16, end: PassEnd, work: &mut Work<'_>) {
        self.flush(work);
        let source = self.sources.get_mut(source);
        if source.pass_ended(end, self.config.missing_polls, work.now.unix_nanos) {
            self.sweep_now(work);
        }
        if let Some(keeper) = &mut self.keeper {
            keeper.changed();
        }
    }

    /// A reload took a source away: all its series end, and what this batch says goes on.
    fn remove(&mut self, header: Header, work: &mut Work<'_>) {
        self.flush(work);
        if self.sources.remove(&header.source, ticks(work.now.mono)) {
            self.sweep_now(work);
        }
        work.emit(Batch { header, data: Data::Metrics(Default::default()) });
        self.finish(work);
    }

    fn sweep_now(&mut self, work: &mut Work<'_>) {
        self.sweep.restart(ticks(work.now.mono));
        self.sweep_step(work);
    }
}

#[async_trait]
impl Processor for LastValue {
    async fn start(&mut self, host: &Host) -> Result<(), StartError> {
        let Some(keep) = self.keep.take() else { return Ok(()) };
        let restored = self.restore(&keep, host).await;
        self.keep = Some(keep);
        restored
    }

    fn process(&mut self, batch: Batch, work: &mut Work<'_>) {
        let Batch { mut header, data } = batch;
        let metrics = match data {
            Data::Metrics(metrics) => metrics,
            Data::Opaque(_) => return work.emit(Batch { header, data }),
        };
        if header.pass.as_ref().is_some_and(|pass| pass.end == Some(PassEnd::Removed)) && metrics.is_empty() {
            return self.remove(header, work);
        }
        let tick = ticks(work.now.mono);
        if self.sources.changes_term(&header) {
            // What was read under the term before is sent under that one, or not at all.
            self.flush(work);
        }
        let data = (!metrics.is_empty()).then_some(work.now.unix_nanos);
        let (source, seen) = self.sources.arrive(&header, &self.config, tick, data);
        self.sweep.schedule(self.sources.shortest(), self.store.len(), tick);
        if !metrics.is_empty() {
            self.arriving.extend(header.receipts.iter().cloned());
            self.arrive(&metrics, &header, source, seen, work);
            self.receipts.append(&mut self.arriving);
        }
        // The state has its own copies: the arrived buffers and their share of the budget go back here.
        drop(metrics);
        header.permit = None;
        if let Some(end) = header.pass.as_ref().and_then(|pass| pass.end) {
            self.end_pass(source, end, work);
            work.emit(Batch { header, data: Data::Metrics(Default::default()) });
        } else if self.config.coalesce.is_zero() || self.owed == 0 {
            // Without a point that came in there is nothing to wait for: markers of our own go at once.
            self.flush(work);
        }
        self.sweep.schedule(self.sources.shortest(), self.store.len(), tick);
        self.finish(work);
    }

    fn wake_at(&self) -> Option<Duration> {
        let kept = self.keeper.as_ref().and_then(Keeper::wake_at);
        [self.deadline, self.sweep.at, kept].into_iter().flatten().min()
    }

    fn wake(&mut self, work: &mut Work<'_>) {
        if self.deadline.is_some_and(|at| at <= work.now.mono) {
            self.flush(work);
        }
        if self.sweep.at.is_some_and(|at| at <= work.now.mono) {
            self.sweep_step(work);
        }
        self.keep_step(work.now.mono);
        self.finish(work);
    }

    fn drain(&mut self, work: &mut Work<'_>) {
        self.flush(work);
        self.finish(work);
        if let Some(keeper) = &mut self.keeper {
            keeper.end();
        }
    }

    async fn keep(&mut self) -> Result<(), StorageError> {
        self.keep_all().await
    }

    async fn resume(&mut self, host: &Host) -> Result<(), StartError> {
        self.take_back(host).await
    }

    fn held(&self) -> u64 {
        self.owed
    }

    fn series(&self) -> u64 {
        (self.store.len() - self.ended) as u64
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use steadyline_component::testkit::metrics;
    use steadyline_component::{Clock, Header, Pass, Tally};

    use super::*;
    use crate::config::{Emit, Merge, OnFork};

    struct Driver {
        state: LastValue,
        clock: Clock,
        tally: Tally,
        epoch: u64,
    }

    impl Driver {
        fn call(&mut self, call: impl FnOnce(&mut LastValue, &mut Work<'_>)) {
            let mut out = Vec::new();
            call(&mut self.state, &mut Work { now: self.clock.now(), tally: &self.tally, out: &mut out });
            self.tally.outgoing(out.iter().map(Batch::items).sum());
            self.tally.set_held(self.state.held());
            assert_eq!(self.tally.balance().missing(), 0, "{:?}", self.tally.balance());
            assert!(self.state.store.len() <= self.state.config.max_series as usize + crate::hold::RESERVE);
        }

        fn push(&mut self, text: &str, end: Option<Option<PassEnd>>) {
            let interval = Duration::from_secs(60);
            let (epoch, time) = (self.epoch, self.clock.now().unix_nanos);
            let pass = end.map(|end| Pass { epoch, time, interval, timeout: interval, end });
            let identity: Arc<[Arc<str>]> = Arc::from([Arc::from("id")]);
            let data = Data::Metrics(metrics(text));
            let batch = Batch { header: Header { pass, identity, ..Header::default() }, data };
            self.tally.incoming(batch.items());
            self.call(|state, work| state.process(batch, work));
        }

        fn advance(&mut self, by: Duration) {
            let target = self.clock.now().mono + by;
            while let Some(at) = self.state.wake_at().filter(|at| *at <= target) {
                self.clock.advance(at.saturating_sub(self.clock.now().mono));
                self.call(|state, work| state.wake(work));
                assert!(self.state.wake_at().is_none_or(|next| next > at));
            }
            self.clock.advance(target.saturating_sub(self.clock.now().mono));
        }
    }

    #[derive(Debug, Clone)]
    enum Op {
        Push(Vec<String>),
        Pass(Vec<String>, PassEnd),
        Advance(u64),
        StepWall(i64),
    }

    fn line() -> impl Strategy<Value = String> {
        let kind = prop_oneof![Just(""), Just("delta "), Just("counter ")];
        let value = prop_oneof![3 => Just("1"), 1 => Just("2.5"), 1 => Just("stale"), 1 => Just("held")];
        let time = prop_oneof![Just(""), Just(" @999990"), Just(" @1000000"), Just(" @1000100"), Just(" @2000000")];
        (kind, 0..3, 0..3, value, time).prop_map(|(kind, id, status, value, time)| match status {
            0 => format!("{kind}m{{id=\"{id}\",s=\"\"}} {value}{time}"),
            _ => format!("{kind}m{{s=\"{status}\",id=\"{id}\"}} {value}{time}"),
        })
    }

    fn op() -> impl Strategy<Value = Op> {
        let lines = || proptest::collection::vec(line(), 0..6);
        let end =
            prop_oneof![3 => Just(PassEnd::Complete), 1 => Just(PassEnd::Partial), 1 => Just(PassEnd::SteppedDown)];
        prop_oneof![
            4 => lines().prop_map(Op::Push),
            3 => (lines(), end).prop_map(|(lines, end)| Op::Pass(lines, end)),
            3 => prop_oneof![Just(100_u64), Just(1_000), Just(60_000), 0_u64..400_000].prop_map(Op::Advance),
            1 => prop_oneof![Just(-3600_i64), Just(3600)].prop_map(Op::StepWall),
        ]
    }

    fn config() -> impl Strategy<Value = Config> {
        let fork = prop_oneof![Just(OnFork::Refuse), Just(OnFork::Drop), Just(OnFork::EndAndRestart)];
        let merge = prop_oneof![Just(Merge::Auto), Just(Merge::Last), Just(Merge::Sum)];
        let emit = prop_oneof![Just(Emit::Every), Just(Emit::OnChange)];
        let most = prop_oneof![Just(2_u32), Just(4), Just(1000)];
        (fork, merge, emit, most).prop_map(|(on_fork, merge, emit, max_series)| Config {
            on_fork,
            merge,
            emit,
            max_series,
            ..Config::default()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn nothing_is_lost_and_nothing_is_kept(config in config(), ops in proptest::collection::vec(op(), 1..30)) {
            let clock = Clock::manual(1_000_000_000_000_000);
            let state = LastValue::new(config, "lastvalue".into(), None);
            let mut driver = Driver { state, clock, tally: Tally::default(), epoch: 0 };
            for op in ops {
                match op {
                    Op::Push(lines) => driver.push(&lines.join("\n"), None),
                    Op::Pass(lines, end) => {
                        driver.epoch += 1;
                        driver.push(&lines.join("\n"), Some(None));
                        driver.push("", Some(Some(end)));
                    }
                    Op::Advance(ms) => driver.advance(Duration::from_millis(ms)),
                    Op::StepWall(seconds) => driver.clock.step_wall(seconds * 1_000_000_000),
                }
            }
            driver.advance(Duration::from_secs(1));
            prop_assert_eq!(driver.state.held(), 0);
            driver.advance(Duration::from_secs(600));
            let state = &driver.state;
            prop_assert_eq!((state.series(), state.store.len(), state.ended), (0, 0, 0));
            prop_assert_eq!((state.families.held(), state.keys.len(), state.store.arena.live()), ([0; 3], 0, 0));
            prop_assert!(state.exemplars.is_empty() && state.receipts.is_empty() && state.wake_at().is_none());
        }
    }
}
