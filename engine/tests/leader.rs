//! Pollers under a lease: none without a term, a pass at once when one begins, timestamps by the term, silence when it ends.
#![allow(clippy::unwrap_used, reason = "a panic is the failure it reports")]

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use steadyline_component::leadership::TermState;
use steadyline_component::receiver::{Intake, ShutdownTrigger};
use steadyline_component::testkit::{TestIntake, render};
use steadyline_component::*;
use steadyline_engine::run::PollTask;
use steadyline_telemetry::Signal;
use support::until;
use tokio::sync::watch;
use tokio::task::JoinHandle;

const START: u64 = 1_700_000_003_000_000_000;
const SECOND: u64 = 1_000_000_000;

/// A lease that the test gives and takes.
struct TestLease(watch::Sender<Option<Term>>);

#[async_trait]
impl Leadership for TestLease {
    fn term(&self) -> Option<Term> {
        self.0.borrow().clone().filter(|term| term.holds())
    }

    async fn changed(&self, known: Option<&Term>) -> Option<Term> {
        let mut terms = self.0.subscribe();
        let changed = terms.wait_for(|term| term.as_ref().filter(|term| term.holds()) != known).await;
        changed.unwrap().clone().filter(|term| term.holds())
    }
}

/// A term whose time is the clock's plus an offset.
#[derive(Debug)]
struct TestTerm {
    number: u64,
    clock: Clock,
    offset: i64,
    state: Mutex<(bool, u64)>,
}

impl TermState for TestTerm {
    fn number(&self) -> u64 {
        self.number
    }

    fn holds(&self) -> bool {
        self.state.lock().unwrap().0
    }

    fn floor(&self) -> u64 {
        0
    }

    fn ceiling(&self) -> u64 {
        self.state.lock().unwrap().1
    }

    fn time(&self) -> u64 {
        self.clock.now().unix_nanos.saturating_add_signed(self.offset)
    }
}

/// A poller that counts its passes; the one of this number never ends.
struct CountingPoller(u64, u64);

#[async_trait]
impl Poller for CountingPoller {
    async fn poll(&mut self, _: &Tick, output: &PollOutput) -> Result<PassEnd, PollError> {
        self.0 += 1;
        output.send(testkit::metrics(&format!("pass {}", self.0))).await?;
        if self.0 == self.1 {
            std::future::pending::<()>().await;
        }
        Ok(PassEnd::Complete)
    }
}

struct Scene {
    clock: Clock,
    lease: Arc<TestLease>,
    intake: Arc<TestIntake>,
    board: Board,
    seen: Vec<Batch>,
    stop: ShutdownTrigger,
    task: JoinHandle<()>,
    meter: Meter,
}

impl Scene {
    /// A poller every 10 s, whose pass number `hangs` never ends.
    fn new(hangs: u64) -> Scene {
        let clock = Clock::scaled(START, 1.0);
        let (board, meter) = (Board::new(clock.clone()), Meter::default());
        let intake = TestIntake::new(1 << 20);
        let lease = Arc::new(TestLease(watch::Sender::new(None)));
        let polling = Polling {
            poller: Box::new(CountingPoller(0, hangs)),
            schedule: Schedule {
                interval: Duration::from_secs(10),
                initial_delay: Duration::from_secs(1),
                timeout: Duration::ZERO,
            },
            identity: Arc::default(),
            leadership: Some(Arc::clone(&lease) as Arc<dyn Leadership>),
        };
        let outputs = Outputs::new([(Signal::Metrics, Output::new(Arc::clone(&intake) as Arc<dyn Intake>))]);
        let status = board.component("receiver:poll");
        let task = PollTask::new("poll", polling, outputs, clock.clone(), status, &meter);
        let (stop, stopped) = Shutdown::new();
        let task = tokio::spawn(task.run(stopped));
        Scene { clock, lease, intake, board, seen: Vec::new(), stop, task, meter }
    }

    /// A term begins, with so many seconds between its time and the clock's, that reserves so many from now.
    fn begin(&self, number: u64, offset: i64, reserved: u64) -> Arc<TestTerm> {
        let ceiling = self.clock.now().unix_nanos.saturating_add_signed(offset * SECOND as i64) + reserved * SECOND;
        let state = Mutex::new((true, ceiling));
        let term = TestTerm { number, clock: self.clock.clone(), offset: offset * SECOND as i64, state };
        let term = Arc::new(term);
        self.lease.0.send_replace(Some(Term::new(Arc::clone(&term) as Arc<dyn TermState>)));
        term
    }

    fn end(&self, term: &TestTerm) {
        term.state.lock().unwrap().0 = false;
        self.lease.0.send_replace(None);
    }

    /// Waits for so many batches in all.
    async fn batches(&mut self, count: usize) -> &[Batch] {
        let (intake, seen) = (Arc::clone(&self.intake), &mut self.seen);
        until("more batches", || {
            seen.extend(intake.take());
            seen.len() >= count
        })
        .await;
        &self.seen
    }

    async fn sleep(&mut self, seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        self.seen.extend(self.intake.take());
    }

    fn passes(&self, outcome: &str) -> f64 {
        let is = |one: &&Arc<Instrument>| {
            one.name == "receiver_polls" && one.labels.contains(&("outcome".to_owned(), outcome.to_owned()))
        };
        self.meter.read().iter().find(is).unwrap().value()
    }
}

fn lines(batch: &Batch) -> Vec<String> {
    batch.as_metrics().map(render).unwrap_or_default()
}

fn time(batch: &Batch) -> u64 {
    batch.header.pass.as_ref().unwrap().time
}

#[tokio::test(start_paused = true)]
async fn without_a_term_nothing_is_polled_and_nothing_is_wrong() {
    let mut scene = Scene::new(0);
    scene.sleep(100).await;
    assert!(scene.seen.is_empty());
    assert_eq!(scene.board.read()["receiver:poll"].status, Status::Ok);
    scene.stop.fire();
    scene.task.await.unwrap();
    assert!(scene.intake.take().is_empty(), "it has nothing to say when it stops");
}

#[tokio::test(start_paused = true)]
async fn a_term_begins_with_a_pass_at_once_and_goes_on_with_the_cadence() {
    let mut scene = Scene::new(0);
    scene.sleep(33).await;
    let now = scene.clock.now().unix_nanos;
    let term = scene.begin(7, 0, 3600);
    let batches = scene.batches(4).await;
    assert_eq!((lines(&batches[0]), time(&batches[0])), (vec!["pass 1".to_string()], now));
    assert_eq!(batches[1].pass_end(), Some(PassEnd::Complete));
    assert!(batches.iter().all(|batch| batch.header.term.as_ref().unwrap().number() == 7), "data carries its term");
    assert!((time(&batches[2]) - now) < 10 * SECOND);
    scene.end(&term);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_term_is_said_once_between_two_passes() {
    let mut scene = Scene::new(0);
    scene.sleep(2).await;
    let term = scene.begin(1, 0, 3600);
    scene.batches(2).await;
    scene.end(&term);
    let batches = scene.batches(3).await;
    assert_eq!(batches[2].pass_end(), Some(PassEnd::SteppedDown));
    let epoch = |batch: &Batch| batch.header.pass.as_ref().unwrap().epoch;
    assert_eq!(epoch(&batches[2]), epoch(&batches[0]), "of all that was read so far");
    scene.sleep(100).await;
    assert_eq!(scene.seen.len(), 3, "and nothing more");
    let again = scene.begin(2, 0, 3600);
    let batches = scene.batches(5).await;
    assert_eq!(lines(&batches[3]), ["pass 2"]);
    assert!(epoch(&batches[3]) > epoch(&batches[2]));
    scene.end(&again);
}

#[tokio::test(start_paused = true)]
async fn the_pass_at_hand_is_broken_off_when_the_term_ends() {
    let mut scene = Scene::new(1);
    scene.sleep(2).await;
    let term = scene.begin(1, 0, 3600);
    scene.batches(1).await;
    scene.end(&term);
    let batches = scene.batches(2).await;
    assert_eq!(batches[1].pass_end(), Some(PassEnd::SteppedDown));
    scene.sleep(100).await;
    assert_eq!((scene.seen.len(), scene.passes("stepped_down"), scene.passes("failed")), (2, 1.0, 0.0));
    assert_eq!(scene.board.read()["receiver:poll"].status, Status::Ok);
}

#[tokio::test(start_paused = true)]
async fn a_term_that_ended_by_the_clock_alone_makes_no_pass_complete() {
    let mut scene = Scene::new(1);
    scene.sleep(2).await;
    let term = scene.begin(1, 0, 3600);
    scene.batches(1).await;
    // The process was paused: nobody was told.
    term.state.lock().unwrap().0 = false;
    let batches = scene.batches(2).await;
    assert_eq!(batches[1].pass_end(), Some(PassEnd::SteppedDown), "not a failed pass, which would hold the values");
    scene.sleep(100).await;
    assert_eq!(scene.seen.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn ticks_are_the_time_of_the_term_and_rise_from_term_to_term() {
    let mut scene = Scene::new(0);
    scene.sleep(2).await;
    let mut last = 0;
    for (number, offset) in [(1, -300), (2, 300), (3, 299)] {
        let now = scene.clock.now().unix_nanos;
        let before = scene.seen.len();
        let term = scene.begin(number, offset, 3600);
        scene.batches(before + 6).await;
        scene.end(&term);
        scene.batches(before + 7).await;
        let data: Vec<u64> = scene.seen[before..].iter().filter(|batch| batch.items() > 0).map(time).collect();
        if number < 3 {
            assert_eq!(data[0], now.saturating_add_signed(offset * SECOND as i64));
        }
        for time in data {
            assert!(time > last);
            last = time;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_stamped_above_what_is_reserved() {
    let mut scene = Scene::new(0);
    scene.sleep(2).await;
    let term = scene.begin(1, 0, 15);
    scene.sleep(100).await;
    let ceiling = term.ceiling();
    assert!(!scene.seen.is_empty());
    assert!(scene.seen.iter().all(|batch| time(batch) <= ceiling));
    let before = scene.seen.len();
    // The renewal comes.
    term.state.lock().unwrap().1 = ceiling + 3600 * SECOND;
    scene.batches(before + 2).await;
    assert!(time(&scene.seen[before]) > ceiling);
    scene.end(&term);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_a_reload_takes_away_ends_its_series_only_if_it_leads() {
    for leads in [true, false] {
        let mut scene = Scene::new(0);
        scene.sleep(2).await;
        let term = scene.begin(1, 0, 3600);
        scene.batches(2).await;
        if !leads {
            scene.end(&term);
            scene.batches(3).await;
        }
        let before = scene.seen.len();
        scene.stop.fire_for_good();
        scene.task.await.unwrap();
        let more: Vec<Option<PassEnd>> = scene.intake.take().iter().map(Batch::pass_end).collect();
        assert_eq!(more, if leads { vec![Some(PassEnd::Removed)] } else { vec![] }, "{leads} {before}");
    }
}
