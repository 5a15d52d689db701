//! Whatever happens to processes, clocks and the table, in whatever order: terms follow each other.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use steadyline_component::Term;

use super::support::*;

#[derive(Debug, Clone)]
enum Op {
    /// One process takes a step.
    Step(usize),
    /// Time passes for all.
    Pass(u64),
    /// Time passes for all but one, whose machine stands still.
    Freeze(usize, u64),
    /// A wall clock steps, by seconds.
    StepWall(usize, i64),
    /// What becomes of the next questions.
    Script(Vec<Act>),
    /// One gives the lease back, if it has it.
    Release(usize),
    /// One is replaced by a new process.
    Restart(usize),
}

fn op() -> impl Strategy<Value = Op> {
    let act = prop_oneof![3 => Just(Act::Answer), 1 => Just(Act::Fail), 1 => Just(Act::LoseAnswer)];
    prop_oneof![
        12 => (0..3_usize).prop_map(Op::Step),
        8 => (1..8000_u64).prop_map(Op::Pass),
        1 => (8000..60_000_u64).prop_map(Op::Pass),
        1 => (0..3_usize, 1000..60_000_u64).prop_map(|(who, ms)| Op::Freeze(who, ms)),
        1 => (0..3_usize, -4000..4000_i64).prop_map(|(who, by)| Op::StepWall(who, by)),
        2 => prop::collection::vec(act, 1..6).prop_map(Op::Script),
        1 => (0..3_usize).prop_map(Op::Release),
        1 => (0..3_usize).prop_map(Op::Restart),
    ]
}

struct World {
    shelf: Arc<Shelf>,
    processes: Vec<Process>,
    /// Every term there was.
    terms: Vec<Term>,
    /// Whether a machine stood still: then two may think that they lead, for a while.
    froze: bool,
    starts: usize,
}

impl World {
    fn new() -> World {
        let shelf = Arc::new(Shelf::default());
        let processes = (0..3).map(|n| Process::new(&format!("p{n}"), &shelf, (n as i64 - 1) * 300)).collect();
        World { shelf, processes, terms: Vec::new(), froze: false, starts: 3 }
    }

    async fn apply(&mut self, op: &Op) {
        match op {
            Op::Step(who) => drop(self.processes[*who].step().await),
            Op::Pass(ms) => self.pass(*ms, None),
            Op::Freeze(who, ms) => {
                self.froze = true;
                self.pass(*ms, Some(*who));
            }
            Op::StepWall(who, by) => self.processes[*who].clock.step_wall(by * 1_000_000_000),
            Op::Script(acts) => self.shelf.script(acts.clone()),
            Op::Release(who) => self.processes[*who].elector.release().await,
            Op::Restart(who) => {
                // Killed: nobody uses its term any more.
                let old = self.processes[*who].term();
                self.terms.retain(|term| Some(term) != old.as_ref());
                self.processes[*who] = Process::new(&format!("p{}", self.starts), &self.shelf, 0);
                self.starts += 1;
            }
        }
    }

    fn pass(&self, ms: u64, but: Option<usize>) {
        for (_, process) in self.processes.iter().enumerate().filter(|(at, _)| Some(*at) != but) {
            process.clock.advance(Duration::from_millis(ms));
        }
    }

    fn check(&mut self) {
        for term in self.processes.iter().filter_map(Process::term) {
            if !self.terms.contains(&term) {
                self.terms.push(term);
            }
        }
        let holding = self.terms.iter().filter(|term| term.holds()).count();
        assert!(self.froze || holding <= 1, "{holding} lead");
        self.terms.sort_by_key(|term| term.number());
        for pair in self.terms.windows(2) {
            let (before, after) = (&pair[0], &pair[1]);
            assert!(before.number() < after.number());
            // What one may send and what the next may send never meet.
            assert!(before.ceiling() <= after.floor(), "{before:?} {after:?}");
        }
        for term in self.terms.iter().filter(|term| term.holds()) {
            let (first, second) = (term.time(), term.time());
            assert!(first > term.floor() && first <= second, "{term:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn terms_follow_each_other(ops in prop::collection::vec(op(), 1..150)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new();
            for op in &ops {
                world.apply(op).await;
                world.check();
            }
        });
    }
}
