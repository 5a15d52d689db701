//! Gauges in, counters out, as tables; against a plain model; and across restarts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use steadyline_component::PassEnd::Complete;
use steadyline_component::receiver::ShutdownTrigger;
use steadyline_component::testkit::{
    MemoryStorage, ProcessorHarness, TestExtensions, create, create_with, metrics, render,
};
use steadyline_component::{Batch, Board, Change, Clock, Host, Meter, Processor, Shutdown, StorageError, Tally, Work};
use steadyline_telemetry::{Limits, Metrics};

use crate::ProgressFactory;

const SECOND: Duration = Duration::from_secs(1);

const DOWN: &str = "gauges: [{name: left, counter: burned}]";
const ALL: &str =
    "gauges: [{name: left, counter: burned, stalled_seconds: stalled, eta_seconds: eta, eta_window: 60s}]";
const UP: &str = "gauges: [{name: done, direction: up, counter: grown, stalled_seconds: stalled}]";

fn harness(yaml: &str) -> ProcessorHarness {
    ProcessorHarness::new::<ProgressFactory>(yaml)
}

/// Values of a gauge, ten seconds apart, and what comes of it besides, without times.
fn made(yaml: &str, gauge: &str, values: &[&str]) -> Vec<String> {
    let mut harness = harness(yaml);
    let mut lines = Vec::new();
    for (n, value) in values.iter().enumerate() {
        let out = harness.push(&format!("{gauge} {value} @{}", 1000 + 10 * n));
        assert_eq!(out[0], format!("{gauge} {value} @{}", 1000 + 10 * n), "the gauge goes on as it came");
        lines.extend(out[1..].iter().map(|line| line.split(" @").next().unwrap().to_owned()));
    }
    lines
}

#[test]
fn counters_go_the_way_of_their_gauges_and_hold_on_the_other() {
    for (yaml, gauge, values, expected) in [
        (DOWN, "left", vec!["5", "3", "7", "6"], vec!["0", "2", "2", "3"]),
        (DOWN, "left", vec!["1.5", "1", "2", "0.25"], vec!["0", "0.5", "0.5", "2.25"]),
        (DOWN, "left", vec!["5", "2.5", "2"], vec!["0", "2.5", "3"]),
        (DOWN, "left", vec!["5", "5", "0", "-3"], vec!["0", "0", "5", "8"]),
        (DOWN, "left", vec!["-9223372036854775808", "9223372036854775807", "0"], vec!["0", "0", "9223372036854775807"]),
        (UP, "done", vec!["5", "8", "2", "3"], vec!["0", "3", "3", "4"]),
    ] {
        let counters: Vec<String> = made(yaml, gauge, &values)
            .into_iter()
            .filter_map(|line| Some(line.strip_prefix("counter ")?.to_owned()))
            .collect();
        let name = if yaml == UP { "grown" } else { "burned" };
        assert_eq!(counters, expected.iter().map(|n| format!("{name} {n}")).collect::<Vec<_>>(), "{values:?}");
    }
}

#[test]
fn stalled_time_grows_with_samples_that_do_not_move_and_not_at_the_target() {
    let lines = made(ALL, "left", &["5", "5", "5", "4", "4", "0", "0", "3"]);
    let stalled: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix("stalled ")).collect();
    assert_eq!(stalled, ["0", "10", "20", "0", "10", "0", "0", "0"]);
    let lines = made(UP, "done", &["5", "5", "5"]);
    assert!(lines.ends_with(&["stalled 20".to_owned()]), "without a target it always counts: {lines:?}");
}

#[test]
fn the_rest_takes_as_long_as_the_pace_of_the_last_window_says() {
    let lines = made(ALL, "left", &["100", "90", "80", "80", "80", "80", "80", "80", "80", "80", "0"]);
    let eta: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix("eta ")).collect();
    assert_eq!(eta[..3], ["90", "80", "120"], "{eta:?}");
    assert_eq!(eta[eta.len() - 2..], ["inf", "0"], "{eta:?}");
    let lines = made(
        "gauges: [{name: done, direction: up, counter: grown, eta_seconds: eta, target: 100}]",
        "done",
        &["0", "20", "100", "150"],
    );
    let eta: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix("eta ")).collect();
    assert_eq!(eta, ["40", "0", "0"]);
}

#[test]
fn what_is_made_has_the_labels_resource_unit_and_start_of_its_gauge() {
    let mut harness = harness(ALL);
    let text = |value: u32, at: u32| {
        format!(
            "resource{{host=\"h\"}}\nleft{{job=\"a\",n=1}} {value} @{at}\nother 1 @{at}\nresource{{host=\"i\"}}\nleft{{job=\"a\",n=1}} 9 @{at}"
        )
    };
    harness.push(&text(5, 100));
    let lines = harness.push(&text(3, 110));
    let expected = [
        "resource{host=\"h\"}",
        "left{job=\"a\",n=1} 3 @110",
        "other 1 @110",
        "resource{host=\"i\"}",
        "left{job=\"a\",n=1} 9 @110",
        "resource{host=\"h\"}",
        "counter burned{job=\"a\",n=1} 2 @110",
        "stalled{job=\"a\",n=1} 0 @110",
        "eta{job=\"a\",n=1} 15 @110",
        "resource{host=\"i\"}",
        "counter burned{job=\"a\",n=1} 0 @110",
        "stalled{job=\"a\",n=1} 10 @110",
        "eta{job=\"a\",n=1} inf @110",
    ];
    assert_eq!(lines, expected);
    let out = harness.batches[0].as_metrics().unwrap().clone();
    let (_, _, counter) = out.iter().find(|(_, _, metric)| out.text(metric.name) == "burned").unwrap();
    assert!(out.text(counter.description).starts_with("Cumulative: how far left has gone down"));
    assert_eq!(out.points_of(counter)[0].start, 100_000_000_000);
    assert_eq!((harness.processor().series(), harness.tally.balance().created["progress"]), (2, 4 + 6));
    // What is encoded decodes to the same.
    let again = Metrics::decode(out.encode(), &Limits::default()).unwrap();
    assert_eq!(render(&again), lines);
}

#[test]
fn a_batch_without_its_gauges_stays_as_it_came() {
    let mut harness = harness(DOWN);
    let bytes = metrics("counter left 5 @1\nup 1 @1").encode();
    harness.push_batch(Batch::metrics(Metrics::decode(bytes.clone(), &Limits::default()).unwrap()));
    assert_eq!(harness.batches[0].as_metrics().unwrap().encode().as_ptr(), bytes.as_ptr());
    harness.pass(1, "", Complete);
    assert_eq!(harness.batches[0].pass_end(), Some(Complete));
}

#[test]
fn no_value_ends_what_is_made_and_confirmations_confirm_it() {
    let mut harness = harness("gauges: [{name: left, counter: burned, stalled_seconds: stalled}]");
    assert_eq!(harness.push("left held\nleft stale @90"), ["left held", "left stale @90"], "not known yet");
    harness.push("left 5 @100");
    assert_eq!(harness.push("left held @110"), ["left held @110", "counter burned held @110", "stalled held @110"]);
    assert_eq!(harness.push("left NaN @115")[1..], ["counter burned held @115", "stalled held @115"]);
    assert_eq!(harness.push("left stale @120")[1..], ["counter burned stale @120", "stalled stale @120"]);
    assert_eq!(harness.push("left 4 @130")[1..], ["counter burned 1 @130", "stalled 0 @130"]);
    assert_eq!(harness.push("left inf @140")[1..], ["counter burned held @140", "stalled held @140"]);
    assert_eq!(harness.push("left 4 @150")[1..], ["counter burned 1 @150", "stalled 20 @150"]);
}

#[test]
fn what_comes_again_or_late_counts_nothing_and_a_set_clock_is_seen() {
    let mut harness = harness(DOWN);
    harness.push("left 9 @10000");
    assert_eq!(harness.push("left 5 @10010").len(), 2);
    assert_eq!(harness.push("left 5 @10010"), ["left 5 @10010"], "again");
    assert_eq!(harness.push("left 7 @10005"), ["left 7 @10005"], "late");
    assert_eq!(
        harness.push("left 4 @10020\nleft 3 @10030")[2..],
        ["counter burned 5 @10020", "counter burned 6 @10030"]
    );
    assert_eq!(
        harness.push("left 2 @9000")[1..],
        ["counter burned 7 @9000"],
        "more than ten minutes: the clock was set"
    );
    let point = harness.batches[0].as_metrics().unwrap().tables().points[1];
    assert!(point.start <= point.time);
    assert_eq!(harness.pass(1, "left 1 @8999", Complete)[1..], ["counter burned 8 @8999"], "a later pass is newer");
    assert_eq!(harness.pass(2, "left 0 @8998", Complete)[1..], ["counter burned 9 @8998"]);
}

#[test]
fn names_by_groups_and_both_directions_of_one_gauge() {
    let yaml = "gauges:\n  - {match: 'sync\\.(?<part>[a-z]+)\\.remaining', counter: 'sync.$${part}.burned', stalled_seconds: '$$1.stalled'}\n  - {name: sync.load.remaining, direction: up, counter: sync.load.queued}";
    let mut harness = harness(yaml);
    harness.push("sync.load.remaining 5 @1\nsync.scan.remaining 1 @1\nsync.load.remaining_bytes 1 @1");
    let lines = harness.push("sync.load.remaining 9 @2\nsync.scan.remaining 0 @2\nxsync.load.remaining 1 @2");
    assert_eq!(
        lines[3..],
        [
            "counter sync.load.burned 0 @2",
            "load.stalled 0 @2",
            "counter sync.load.queued 4 @2",
            "counter sync.scan.burned 1 @2",
            "scan.stalled 0 @2",
        ]
    );
}

#[test]
fn those_that_are_followed_keep_their_places_and_the_silent_lose_them() {
    let mut harness = harness("max_series: 2\nmax_stale: 60s\ngauges: [{name: left, counter: burned}]");
    let lines = harness.push("left{n=1} 5 @1\nleft{n=2} 5 @1\nleft{n=3} 5 @1");
    assert_eq!(lines.iter().filter(|line| line.starts_with("counter")).count(), 2);
    harness.advance(50 * SECOND);
    harness.push("left{n=2} 4 @50");
    harness.advance(50 * SECOND);
    assert_eq!(harness.processor().series(), 1);
    assert_eq!(
        harness.push("left{n=3} 3 @100\nleft{n=2} 3 @100")[2..],
        ["counter burned{n=3} 0 @100", "counter burned{n=2} 2 @100"]
    );
    harness.advance(600 * SECOND);
    assert_eq!((harness.processor().series(), harness.processor().wake_at()), (0, None));
}

#[test]
fn what_cannot_be_is_said_at_load() {
    for (yaml, words) in [
        ("", "gauges: no gauge is named"),
        ("gauges: [{counter: x}]", "gauges[0].name: no gauge is named"),
        ("gauges: [{name: a, match: b, counter: x}]", "both `name` and `match`"),
        ("gauges: [{match: '(', counter: 'x$$1'}]", "no regular expression"),
        ("gauges: [{match: 'a(.)', counter: x}]", "every gauge that matches would make one `x`"),
        ("gauges: [{name: a}]", "the counter has no name"),
        ("gauges: [{name: a, counter: a}]", "is the name of something else"),
        ("gauges: [{name: a, counter: b, eta_seconds: b}]", "gauges[0].eta_seconds: `b` is the name of something else"),
        ("gauges: [{name: a, counter: b, stalled_seconds: ''}]", "leave the key out"),
        ("gauges: [{name: a, counter: b}, {name: a, counter: b, direction: up}]", "made twice"),
        ("gauges: [{name: a, counter: b, direction: up, eta_seconds: c}]", "set `target`"),
        ("gauges: [{name: a, counter: b, eta_window: 1s}]", "not between 10s and 7d"),
        ("gauges: [{name: a, counter: b, target: .nan}]", "target"),
        ("gauges: [{name: a, counter: b}]\nmax_series: 0", "not between 1"),
        ("gauges: [{name: a, counter: b}]\nmax_stale: 1s", "at least 1m"),
        ("gauges: [{name: a, counter: b}]\nstorage: nowhere", "there is no extension `nowhere`"),
        ("gauges: [{name: a, counter: b, direction: sideways}]", "direction"),
    ] {
        let error = create::<ProgressFactory>(yaml).err().unwrap_or_default();
        assert!(error.contains(words), "{yaml}: {error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_counter_is_the_sum_of_the_steps_down(values in proptest::collection::vec(-50_i64..50, 1..30)) {
        let mut harness = harness(ALL);
        let (mut burned, mut stalled) = (0, 0);
        for (n, value) in values.iter().enumerate() {
            if n > 0 {
                burned += (values[n - 1] - value).max(0);
                stalled = if values[n - 1] == *value && *value > 0 { stalled + 7 } else { 0 };
            }
            let at = 1000 + 7 * n;
            let lines = harness.push(&format!("left {value} @{at}"));
            prop_assert_eq!(&lines[1], &format!("counter burned {burned} @{at}"));
            prop_assert_eq!(&lines[2], &format!("stalled {stalled} @{at}"));
        }
    }
}

/// The processor, once, with a storage that outlives it.
struct Life {
    processor: Box<dyn Processor>,
    clock: Clock,
    tally: Tally,
    host: Host,
    trigger: ShutdownTrigger,
}

impl Life {
    async fn start(storage: &MemoryStorage, wall: u64, yaml: &str) -> Result<Life, String> {
        let clock = Clock::manual(wall * 1_000_000_000);
        let mut extensions = TestExtensions(BTreeMap::from([("memory".to_owned(), Arc::new(storage.clone()) as _)]));
        let yaml = format!("storage: memory\n{yaml}");
        let mut processor = create_with::<ProgressFactory>(&yaml, &mut extensions, &clock, &Meter::default())?;
        let (trigger, shutdown) = Shutdown::new();
        let host = Host { board: Board::new(clock.clone()), clock: clock.clone(), shutdown };
        processor.start(&host).await.map_err(|error| error.to_string())?;
        settle().await;
        Ok(Life { processor, clock, tally: Tally::default(), host, trigger })
    }

    fn call(&mut self, call: impl FnOnce(&mut dyn Processor, &mut Work<'_>)) -> Vec<String> {
        let mut out = Vec::new();
        call(&mut *self.processor, &mut Work { now: self.clock.now(), tally: &self.tally, out: &mut out });
        out.iter().filter_map(Batch::as_metrics).flat_map(render).collect()
    }

    fn push(&mut self, points: &str) -> Vec<String> {
        self.call(|processor, work| processor.process(Batch::metrics(metrics(points)), work))
    }

    async fn advance(&mut self, by: Duration) {
        let target = self.clock.now().mono + by;
        while self.clock.now().mono < target {
            let next = self.clock.now().mono + SECOND;
            let at = self.processor.wake_at().unwrap_or(target).min(target).min(next);
            self.clock.advance(at.saturating_sub(self.clock.now().mono));
            if self.processor.wake_at().is_some_and(|wake| wake <= at) {
                self.call(|processor, work| processor.wake(work));
            }
            settle().await;
        }
    }
}

/// Lets the task that writes do all that it can: with this storage it waits for nothing but the clock.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

fn rows(commits: &[Vec<Change>]) -> usize {
    commits.iter().flatten().filter(|change| matches!(change, Change::Put(key, _) if key[0] == b'p')).count()
}

#[tokio::test]
async fn counters_go_on_across_a_restart() {
    let storage = MemoryStorage::default();
    let mut life = Life::start(&storage, 1000, ALL).await.unwrap();
    life.push("left{job=\"a\"} 9 @1000\nleft{job=\"b\"} 2.5 @1000");
    life.push("left{job=\"a\"} 5 @1010\nleft{job=\"b\"} 1.5 @1010");
    life.advance(2 * SECOND).await;
    // Killed here; meanwhile work goes on.
    let storage = storage.copy();
    drop(life);
    let mut life = Life::start(&storage, 2000, ALL).await.unwrap();
    assert_eq!(life.processor.series(), 2);
    let lines = life.push("left{job=\"a\"} 3 @2000\nleft{job=\"b\"} 1.5 @2000");
    for line in
        ["counter burned{job=\"a\"} 6 @2000", "counter burned{job=\"b\"} 1 @2000", "stalled{job=\"b\"} 990 @2000"]
    {
        assert!(lines.contains(&line.to_owned()), "{line} is not in {lines:?}");
    }
    // An orderly end keeps what changed last.
    life.push("left{job=\"a\"} 1 @2001");
    life.trigger.fire();
    life.call(|processor, work| processor.drain(work));
    life.processor.keep().await.unwrap();
    let mut life = Life::start(&storage.copy(), 2010, ALL).await.unwrap();
    assert_eq!(life.push("left{job=\"a\"} 1 @2010")[1], "counter burned{job=\"a\"} 8 @2010");
    // Another rule has other counters.
    let mut other = Life::start(&storage.copy(), 2010, "gauges: [{name: left, counter: other}]").await.unwrap();
    assert_eq!(other.push("left{job=\"a\"} 0 @2010")[1], "counter other{job=\"a\"} 0 @2010");
}

#[tokio::test]
async fn what_is_to_be_kept_is_waited_for_and_can_be_taken_back() {
    let storage = MemoryStorage::default();
    let mut life = Life::start(&storage, 1000, ALL).await.unwrap();
    life.push("left{job=\"a\"} 9 @1000\nleft{job=\"b\"} 9 @1000");
    storage.delay(Duration::from_millis(20));
    life.push("left{job=\"a\"} 5 @1010");
    life.processor.keep().await.unwrap();
    let mut other = Life::start(&storage.copy(), 1010, ALL).await.unwrap();
    assert_eq!(other.push("left{job=\"a\"} 4 @1020")[1], "counter burned{job=\"a\"} 5 @1020");
    // Another one was there and wrote; this one goes on.
    storage.delay(Duration::ZERO);
    let mut other = Life::start(&storage, 1010, ALL).await.unwrap();
    other.push("left{job=\"a\"} 0 @1020");
    other.processor.keep().await.unwrap();
    drop(other);
    let host = life.host.clone();
    life.processor.resume(&host).await.unwrap();
    life.processor.keep().await.unwrap();
    let mut other = Life::start(&storage.copy(), 1010, ALL).await.unwrap();
    assert_eq!(other.push("left{job=\"a\"} 4 @1020")[1], "counter burned{job=\"a\"} 5 @1020");
    life.trigger.fire();
    storage.fail(Some(StorageError { message: "no room".into(), retryable: true }));
    life.push("left{job=\"a\"} 3 @1030");
    assert_eq!(life.processor.keep().await.unwrap_err().message, "no room");
    assert!(life.processor.keep().await.unwrap_err().message.contains("given up before"));
}

#[tokio::test]
async fn what_does_not_move_is_not_written_again_and_what_is_old_is_forgotten() {
    let yaml = "max_stale: 1h\ngauges: [{name: left, counter: burned}]";
    let storage = MemoryStorage::default();
    let mut life = Life::start(&storage, 1000, yaml).await.unwrap();
    for n in 0..60 {
        life.push(&format!("left 9 @{}", 1000 + 10 * n));
        life.advance(10 * SECOND).await;
    }
    assert_eq!(rows(&storage.commits()), 1);
    for n in 60..400 {
        life.push(&format!("left 9 @{}", 1000 + 10 * n));
        life.advance(10 * SECOND).await;
    }
    assert!((4..=6).contains(&rows(&storage.commits())), "once in a quarter of `max_stale`");
    let mut again = Life::start(&storage.copy(), 5100, yaml).await.unwrap();
    assert_eq!(again.processor.series(), 1);
    again.advance(2 * Duration::from_secs(3600)).await;
    assert_eq!(again.processor.series(), 0);
    assert_eq!(Life::start(&storage.copy(), 20_000, yaml).await.unwrap().processor.series(), 0);
    // Silent for too long while it runs: its row goes.
    life.advance(2 * Duration::from_secs(3600)).await;
    let owner = storage.owners().remove(0);
    assert_eq!(storage.pairs(&owner).len(), 1, "only the first row is left");
}

#[tokio::test]
async fn a_storage_that_fails_costs_what_is_kept_and_nothing_else() {
    let storage = MemoryStorage::default();
    let mut life = Life::start(&storage, 1000, DOWN).await.unwrap();
    storage.fail(Some(StorageError { message: "no room".into(), retryable: true }));
    for n in 0..30 {
        let lines = life.push(&format!("left {} @{}", 100 - n, 1000 + n));
        assert_eq!(lines[1], format!("counter burned {n} @{}", 1000 + n));
        life.advance(SECOND).await;
    }
    storage.fail(None);
    life.advance(Duration::from_secs(60)).await;
    let mut life = Life::start(&storage.copy(), 2000, DOWN).await.unwrap();
    assert_eq!(life.push("left 71 @2000")[1], "counter burned 29 @2000");
}

#[tokio::test]
async fn damaged_rows_are_left_out_and_a_newer_version_is_not_touched() {
    let storage = MemoryStorage::default();
    let mut life = Life::start(&storage, 1000, DOWN).await.unwrap();
    life.push("left{n=1} 9 @1000\nleft{n=2} 9 @1000");
    life.advance(2 * SECOND).await;
    let owner = storage.owners().remove(0);
    let (key, value) = storage.pairs(&owner).into_iter().find(|(key, _)| key[0] == b'p').unwrap();
    let mut damaged = value.to_vec();
    damaged[3] ^= 1;
    storage.put(&owner, key, damaged);
    storage.put(&owner, "junk", "");
    assert_eq!(Life::start(&storage, 1000, DOWN).await.unwrap().processor.series(), 1);
    let head = storage.pairs(&owner)[&b"0"[..]].clone();
    for (head, words) in [(vec![9; 193], "newer version"), (head[..50].to_vec(), "cut off"), (Vec::new(), "empty")] {
        storage.put(&owner, "0", head);
        let error = Life::start(&storage, 1000, DOWN).await.err().unwrap();
        assert!(error.contains(words) && error.contains("processor:progress"), "{error}");
    }
}
