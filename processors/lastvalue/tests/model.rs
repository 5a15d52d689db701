//! The processor against a naive model: a plain ordered map that is walked ten times a second.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use steadyline_component::PassEnd;
use steadyline_component::testkit::ProcessorHarness;
use steadyline_processor_lastvalue::LastValueFactory;

/// Milliseconds since the epoch at which the harness starts.
const START_MS: u64 = 1_000_000_000;
const TICK_MS: u64 = 100;
const COALESCE: u64 = 10;
const HOLD: u64 = 3_000;
const GRACE: u64 = 600;
const PUSH_SILENCE: u64 = 600;
const PASS_SILENCE: u64 = 1_200;
const HEARTBEAT: u64 = 1_500;
const MISSING_POLLS: usize = 2;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Say {
    Value(i64),
    Stale,
    Held,
}

/// A point: which series, how many seconds before now, what it says.
type Told = (u8, u64, Say);

#[derive(Debug, Clone)]
enum Op {
    Push(Vec<Told>),
    Pass(Vec<(u8, Say)>, PassEnd),
    Advance(u64),
}

/// A line as it goes out: series, value (none: stale), milliseconds.
type Line = (String, Option<i64>, u64);

#[derive(Debug, Clone, Default)]
struct Series {
    value: Option<i64>,
    /// Event time, in milliseconds.
    time: u64,
    waiting: bool,
    sent_ms: Option<u64>,
    sent_at: u64,
    /// The tick and, for the polled ones, the epoch of the last confirmation.
    seen: (u64, u64),
    ended: Option<u64>,
}

enum Due {
    Forget,
    End,
    Send,
}

#[derive(Default)]
struct Model {
    on_change: bool,
    now: u64,
    series: BTreeMap<String, Series>,
    deadline: Option<u64>,
    epoch: u64,
    complete: Vec<u64>,
    /// When an epoch last said something.
    heard: BTreeMap<u64, u64>,
    out: Vec<Line>,
}

impl Model {
    fn now_ms(&self) -> u64 {
        START_MS + self.now * TICK_MS
    }

    fn tell(&mut self, name: String, time: u64, say: Say, pass: bool) {
        let (now, epoch, on_change) = (self.now, self.epoch, self.on_change);
        let Some(series) = self.series.get_mut(&name) else {
            if let Say::Value(value) = say {
                let seen = (now, epoch);
                self.series.insert(name, Series { value: Some(value), time, waiting: true, seen, ..Series::default() });
            }
            return;
        };
        let later = pass && (series.ended.is_some() || series.seen.1 != epoch);
        let (newer, same) = (later || time > series.time, !later && time == series.time);
        match say {
            Say::Held if series.ended.is_none() && series.value.is_some() => series.seen = (now, epoch),
            Say::Held => {}
            Say::Stale if series.ended.is_some() || !newer => {}
            Say::Stale if series.sent_ms.is_none() => (series.ended, series.waiting) = (Some(now), false),
            Say::Stale => {
                (series.value, series.time, series.waiting, series.seen) = (None, time, true, (now, epoch));
            }
            Say::Value(_) if !newer && !same => {}
            Say::Value(value) if same && series.ended.is_none() && series.value == Some(value) => {
                series.seen = (now, epoch);
            }
            Say::Value(value) => {
                let known = series.ended.is_none() && series.value == Some(value);
                let unchanged = on_change && !series.waiting && series.sent_ms.is_some() && known;
                series.waiting |= !unchanged;
                (series.value, series.time, series.seen, series.ended) = (Some(value), time, (now, epoch), None);
            }
        }
    }

    fn send(&mut self, name: &str, wanted: u64) {
        let now = self.now;
        let series = self.series.get_mut(name).unwrap();
        let ms = series.sent_ms.map_or(wanted, |sent| wanted.max(sent + 1));
        (series.sent_ms, series.sent_at, series.waiting) = (Some(ms), now, false);
        if series.value.is_none() {
            series.ended = Some(now);
        }
        self.out.push((name.to_string(), series.value, ms));
    }

    fn flush(&mut self) {
        self.deadline = None;
        let waiting: Vec<_> = self.series.iter().filter(|(_, s)| s.waiting).map(|(n, s)| (n.clone(), s.time)).collect();
        waiting.into_iter().for_each(|(name, time)| self.send(&name, time));
    }

    /// What the timer has to do about a series now.
    fn due(&self, name: &str, series: &Series) -> Option<Due> {
        let now = self.now;
        if let Some(ended) = series.ended {
            return (ended + GRACE <= now).then_some(Due::Forget);
        }
        if series.waiting && series.sent_ms.is_none() {
            return None;
        }
        let polled = name.starts_with('p');
        let silence = match (self.on_change, polled) {
            (true, _) => HEARTBEAT,
            (false, true) => PASS_SILENCE,
            (false, false) => PUSH_SILENCE,
        };
        let heard = if polled { self.heard[&series.seen.1] } else { series.seen.0 };
        let newest = self.complete.len().checked_sub(MISSING_POLLS);
        let missed = polled && newest.is_some_and(|n| series.seen.1 < self.complete[n]);
        match () {
            () if missed || heard + HOLD <= now => Some(Due::End),
            () if series.sent_at + silence <= now => Some(Due::Send),
            () => None,
        }
    }

    fn sweep(&mut self) {
        let due = |(name, series): (&String, &Series)| Some((name.clone(), self.due(name, series)?));
        let all: Vec<(String, Due)> = self.series.iter().filter_map(due).collect();
        for (name, due) in all {
            match due {
                Due::Forget => {
                    self.series.remove(&name);
                    continue;
                }
                Due::End => self.series.get_mut(&name).unwrap().value = None,
                Due::Send => {}
            }
            self.send(&name, self.now_ms());
        }
    }

    fn settle(&mut self) {
        let waiting = self.series.values().any(|series| series.waiting);
        self.deadline = waiting.then(|| self.deadline.unwrap_or(self.now + COALESCE));
    }

    fn apply(&mut self, op: &Op) -> Vec<Line> {
        match op {
            Op::Push(points) => {
                for (n, age, say) in points {
                    self.tell(format!("s{n}"), self.now_ms() - age * 1000, *say, false);
                }
            }
            Op::Pass(points, end) => {
                self.epoch += 1;
                self.heard.insert(self.epoch, self.now);
                for (n, say) in points {
                    self.tell(format!("p{n}"), self.now_ms(), *say, true);
                }
                self.flush();
                match end {
                    PassEnd::Complete => {
                        self.complete.push(self.epoch);
                        self.sweep();
                    }
                    PassEnd::Partial | PassEnd::Removed => {}
                    PassEnd::SteppedDown => {
                        self.series.retain(|name, series| !name.starts_with('p') || series.ended.is_some());
                        self.complete.clear();
                    }
                }
            }
            Op::Advance(ticks) => {
                for _ in 0..*ticks {
                    self.now += 1;
                    if self.deadline == Some(self.now) {
                        self.flush();
                    }
                    if self.series.iter().any(|(name, series)| self.due(name, series).is_some()) {
                        self.flush();
                        self.sweep();
                    }
                }
            }
        }
        self.settle();
        let mut out = std::mem::take(&mut self.out);
        out.sort_by_key(|(name, value, ms)| (name.clone(), *ms, *value));
        out
    }
}

fn words(say: Say) -> String {
    match say {
        Say::Value(value) => value.to_string(),
        Say::Stale => "stale".into(),
        Say::Held => "held".into(),
    }
}

struct Real {
    harness: ProcessorHarness,
    epoch: u64,
}

impl Real {
    fn apply(&mut self, op: &Op) -> Vec<Line> {
        let now = self.harness.clock.now().unix_nanos as f64 / 1e9;
        let lines = match op {
            Op::Push(points) => {
                let line = |(n, age, say): &Told| format!("s{n} {} @{}", words(*say), now - *age as f64);
                let text: Vec<String> = points.iter().map(line).collect();
                self.harness.source("push", &[]).push(&text.join("\n"))
            }
            Op::Pass(points, end) => {
                self.epoch += 1;
                let text: Vec<String> = points.iter().map(|(n, say)| format!("p{n} {} @{now}", words(*say))).collect();
                self.harness.source("poll", &[]).pass(self.epoch, &text.join("\n"), *end)
            }
            Op::Advance(ticks) => self.harness.advance(Duration::from_millis(ticks * TICK_MS)),
        };
        let mut lines: Vec<Line> = lines.iter().map(|line| parse(line)).collect();
        lines.sort_by_key(|(name, value, ms)| (name.clone(), *ms, *value));
        lines
    }
}

fn parse(line: &str) -> Line {
    let words: Vec<&str> = line.split(' ').collect();
    let seconds: f64 = words[2].trim_start_matches('@').parse().unwrap();
    (words[0].to_string(), words[1].parse().ok(), (seconds * 1000.0).round() as u64)
}

fn say() -> impl Strategy<Value = Say> {
    prop_oneof![6 => (0_i64..4).prop_map(Say::Value), 1 => Just(Say::Stale), 1 => Just(Say::Held)]
}

fn op() -> impl Strategy<Value = Op> {
    let end = prop_oneof![4 => Just(PassEnd::Complete), 2 => Just(PassEnd::Partial), 1 => Just(PassEnd::SteppedDown)];
    let age = prop_oneof![Just(0_u64), Just(1), 0_u64..90];
    prop_oneof![
        3 => proptest::collection::vec((0_u8..4, age, say()), 1..6).prop_map(Op::Push),
        2 => (proptest::collection::vec((0_u8..4, say()), 0..5), end).prop_map(|(points, end)| Op::Pass(points, end)),
        3 => prop_oneof![Just(1_u64), Just(9), Just(10), Just(100), Just(600), 1_u64..4_000].prop_map(Op::Advance),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_processor_does_what_the_model_does(
        on_change: bool,
        ops in proptest::collection::vec(op(), 1..40),
    ) {
        let yaml = if on_change { "emit: on_change" } else { "" };
        let mut real = Real { harness: ProcessorHarness::new::<LastValueFactory>(yaml), epoch: 0 };
        let mut model = Model { on_change, ..Model::default() };
        let mut newest: BTreeMap<String, u64> = BTreeMap::new();
        for (n, op) in ops.iter().enumerate() {
            let lines = real.apply(op);
            prop_assert_eq!(&lines, &model.apply(op), "step {}: {:?}", n, op);
            for (name, _, ms) in lines {
                let last = newest.insert(name, ms);
                prop_assert!(last.is_none_or(|last| last < ms), "timestamps of a series rise");
            }
            newest.retain(|name, _| model.series.contains_key(name));
        }
        let alive = model.series.values().filter(|series| series.ended.is_none()).count() as u64;
        prop_assert_eq!(real.harness.processor().series(), alive);
    }
}
