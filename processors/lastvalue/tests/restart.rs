//! State across restarts: the processor with a storage in memory, killed or stopped, and started again.
#![allow(clippy::unwrap_used, unreachable_pub)]

#[path = "support/lives.rs"]
mod lives;

use std::time::Duration;

use lives::{Life, START, World};
use proptest::prelude::*;
use steadyline_component::PassEnd::{Complete, Partial, SteppedDown};
use steadyline_component::{Change, StorageError};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// The seconds of a line's timestamp.
fn seconds(line: &str) -> f64 {
    line.rsplit_once('@').unwrap().1.parse().unwrap()
}

/// A line without its timestamp.
fn words(line: &str) -> &str {
    line.rsplit_once(" @").unwrap().0
}

fn puts(commits: &[Vec<Change>]) -> usize {
    let is_series = |change: &&Change| matches!(change, Change::Put(key, _) if key[0] == b'r');
    commits.iter().flatten().filter(is_series).count()
}

#[tokio::test]
async fn lines_go_on_while_their_source_is_down_and_end_when_the_hold_is_over() {
    let mut world = World::new("");
    let mut life = world.start().await;
    life.pass("m{a=\"x\"} 5\nm{a=\"y\"} 6.5", Complete).await;
    life.advance(10 * SECOND).await;
    world.kill(life);
    world.pass_time(MINUTE);
    let mut life = world.start().await;
    let mut lines = life.advance(SECOND).await;
    lines.sort();
    assert_eq!(lines.iter().map(|line| words(line)).collect::<Vec<_>>(), ["m{a=\"x\"} 5", "m{a=\"y\"} 6.5"]);
    assert!(lines.iter().all(|line| seconds(line) == (START + 70) as f64), "{lines:?}");
    // Passes that fail confirm nothing; 300 s after the last that did not, each line ends once.
    let mut ends = Vec::new();
    for _ in 0..10 {
        ends.extend(life.pass("", Partial).await);
        ends.extend(life.advance(MINUTE).await);
    }
    let stale: Vec<f64> = ends.iter().filter(|line| line.contains("stale")).map(|line| seconds(line)).collect();
    assert_eq!(stale, [(START + 300) as f64; 2], "{ends:?}");
    assert!(ends.iter().all(|line| line.contains("stale") || seconds(line) < (START + 300) as f64));
    let balance = life.tally.balance();
    assert_eq!((balance.created["stale"], balance.created.get("republished")), (2, None));
    assert_eq!(balance.created["restored"] as usize, 2 + ends.len() - 2);
    life.advance(10 * SECOND).await;
    world.kill(life);
    assert_eq!(world.start().await.series(), 0, "what has ended is not kept");
}

#[tokio::test]
async fn timestamps_rise_though_the_wall_clock_stepped_back() {
    let mut world = World::new("");
    let mut life = world.start().await;
    life.pass("m 5", Complete).await;
    life.advance(MINUTE).await;
    life.pass("m 6", Complete).await;
    life.advance(9 * SECOND).await;
    // Sent, and not kept any more.
    let last = seconds(&life.pass("m 9", Complete).await[0]);
    world.kill(life);
    world.step_wall(-3600);
    let mut life = world.start().await;
    let mut newest = last;
    for line in life.advance(3 * MINUTE).await {
        assert!(words(&line) == "m 6" && seconds(&line) > newest, "{line} after {newest}");
        newest = seconds(&line);
    }
    let line = life.pass("m 7\nn 1", Complete).await;
    assert!(line.iter().any(|line| words(line) == "m 7" && seconds(line) > newest), "{line:?} after {newest}");
    assert!(line.iter().all(|line| seconds(line) > last), "a new series might have been one of those before: {line:?}");
}

#[tokio::test]
async fn an_orderly_end_keeps_what_changed_last_and_its_mark_is_exact() {
    let mut world = World::new("");
    let mut life = world.start().await;
    life.pass("m 5", Complete).await;
    life.advance(20 * SECOND).await;
    life.push("p 1", "sender").await;
    assert_eq!(life.advance(SECOND).await.len(), 1);
    life.push("p 2", "sender").await;
    let last = life.drain().await;
    assert_eq!(last.len(), 1);
    world.kill(life);
    world.pass_time(Duration::from_millis(10));
    let mut life = world.start().await;
    let mut lines = life.advance(SECOND).await;
    lines.sort();
    assert_eq!(lines.iter().map(|line| words(line)).collect::<Vec<_>>(), ["m 5", "p 2"]);
    // Not in the future, as it would be by the mark that runs ahead.
    let now = (START + 21) as f64 + 0.01;
    assert!(lines.iter().all(|line| seconds(line) == now), "{lines:?}, not {now}");
}

#[tokio::test]
async fn what_is_to_be_kept_is_waited_for_and_a_failure_is_told() {
    let mut world = World::new("");
    let mut life = world.start().await;
    world.storage.delay(Duration::from_millis(20));
    life.push("p 1", "sender").await;
    life.keep().await.unwrap();
    let mut other = World::new("");
    other.storage = world.storage.copy();
    assert_eq!(other.start().await.series(), 1);
    // It goes on, and what comes later is kept at the end.
    life.push("p 2\nq 1", "sender").await;
    life.drain().await;
    let mut other = World::new("");
    other.storage = world.storage.copy();
    assert_eq!(other.start().await.series(), 2);
    world.storage.fail(Some(StorageError { message: "the disk is full".into(), retryable: true }));
    life.push("r 1", "sender").await;
    let error = life.keep().await.unwrap_err();
    assert!(error.message.contains("the disk is full"), "{error}");
    let error = life.keep().await.unwrap_err();
    assert!(error.message.contains("given up before"), "{error}");
}

#[tokio::test]
async fn one_that_goes_on_after_all_takes_its_state_back() {
    let mut world = World::new("");
    let mut life = world.start().await;
    life.push("p 1\nq 1", "sender").await;
    life.keep().await.unwrap();
    // The one that takes its place is there for a moment, and knows less.
    let other = world.start().await;
    drop(other);
    life.resume().await;
    life.push("p 2", "sender").await;
    life.drain().await;
    world.kill(life);
    let mut life = world.start().await;
    let mut lines = life.advance(SECOND).await;
    lines.sort();
    assert_eq!(lines.iter().map(|line| words(line)).collect::<Vec<_>>(), ["p 2", "q 1"]);
}

#[tokio::test]
async fn what_is_only_sent_is_not_written_again() {
    let mut world = World::new("");
    let mut life = world.start().await;
    let page = |changed: usize| -> String {
        (0..20_000).map(|n| format!("m{{n=\"{n}\"}} {}\n", usize::from(n < changed))).collect()
    };
    life.pass(&page(0), Complete).await;
    life.advance(MINUTE).await;
    assert_eq!(puts(&world.commits()), 20_000);
    assert!(world.commits().iter().all(|commit| commit.len() <= 5000), "in chunks");
    for _ in 0..5 {
        life.pass(&page(7), Complete).await;
        life.advance(MINUTE).await;
    }
    assert_eq!(puts(&world.commits()), 20_007, "what changed, once");
    world.kill(life);
    let mut life = world.start().await;
    assert_eq!(life.series(), 20_000);
    life.pass(&page(7), Complete).await;
    life.advance(MINUTE).await;
    assert_eq!(puts(&world.commits()), 20_000, "confirmed, once in this generation");
    life.pass(&page(7), Complete).await;
    life.advance(MINUTE).await;
    assert_eq!(puts(&world.commits()), 20_000);
}

#[tokio::test]
async fn what_is_gone_when_the_source_is_back_ends_after_two_complete_passes() {
    let mut world = World::new("");
    let mut life = world.start().await;
    life.pass("m{a=\"x\"} 5\nm{a=\"y\"} 6", Complete).await;
    life.advance(10 * SECOND).await;
    world.kill(life);
    let mut life = world.start().await;
    life.advance(SECOND).await;
    assert_eq!(life.pass("m{a=\"x\"} 5", Complete).await.len(), 1);
    let second = life.pass("m{a=\"x\"} 5", Complete).await;
    assert!(second.iter().any(|line| line.starts_with("m{a=\"y\"} stale")), "{second:?}");
    assert_eq!(life.series(), 1);
    assert_eq!(life.tally.balance().created["stale"], 1);
}

#[tokio::test]
async fn restarts_do_not_hold_a_line_longer_than_its_source_allows() {
    let mut world = World::new("");
    let mut life = world.start().await;
    // Two sources: one that stays up must not hold what the other said.
    life.pass("m 5", Complete).await;
    life.push("p{n=\"gone\"} 1", "sender").await;
    life.advance(10 * SECOND).await;
    let mut lines = Vec::new();
    for _ in 0..12 {
        world.kill(life);
        life = world.start().await;
        life.push("p{n=\"here\"} 2", "sender").await;
        lines.extend(life.advance(MINUTE).await);
    }
    for (line, last) in [("m 5", 300.0), ("p{n=\"gone\"} 1", 310.0)] {
        let times: Vec<f64> = lines.iter().filter(|one| words(one) == line).map(|one| seconds(one)).collect();
        let newest = times.iter().copied().fold(0.0, f64::max) - START as f64;
        assert!(times.len() >= 4 && newest <= last, "{line}: {times:?}");
    }
    assert_eq!(life.series(), 1);
}

#[tokio::test]
async fn what_was_down_for_longer_than_the_hold_begins_anew() {
    let mut world = World::new("");
    let mut life = world.start().await;
    life.pass("m{a=\"x\"} 5", Complete).await;
    life.advance(10 * SECOND).await;
    world.kill(life);
    world.pass_time(10 * MINUTE);
    let mut life = world.start().await;
    assert_eq!((life.series(), life.advance(MINUTE).await.len()), (0, 0));
    let keys = || world.pairs().keys().map(|key| key[0] as char).collect::<String>();
    assert!(!keys().contains(['r', 'f', 'k']), "{}", keys());
    assert_eq!(life.pass("m{a=\"x\"} 5", Complete).await.len(), 1);
}

#[tokio::test]
async fn every_kind_of_point_comes_back_as_it_was_but_increments_do_not() {
    let mut world = World::new("");
    let mut life = world.start().await;
    let text = "resource{host=\"h\",n=3}\nm{b=\"2\",a=true,c=1.5} -7\ncounter c{a=\"x\"} 9\nupdown u 1.5\ndelta d 4";
    life.push(text, "sender").await;
    let before = life.advance(SECOND).await;
    life.advance(10 * SECOND).await;
    world.kill(life);
    let mut life = world.start().await;
    let after = life.advance(SECOND).await;
    let strip = |lines: &[String]| -> Vec<String> {
        let kept = lines.iter().filter(|line| !line.starts_with("delta"));
        let mut kept: Vec<String> = kept.map(|line| line.split(" @").next().unwrap().to_owned()).collect();
        kept.sort();
        kept
    };
    assert_eq!(strip(&after), strip(&before));
    assert_eq!(after.len(), before.len() - 1);
    assert_eq!(life.push(text, "sender").await, [""; 0]);
    assert_eq!(life.advance(SECOND).await.len(), before.len(), "one series each, the same as before");
    assert_eq!(life.series(), 4);
}

#[tokio::test]
async fn forks_are_seen_across_a_restart() {
    let mut world = World::new("on_fork: refuse");
    let mut life = world.start().await;
    life.identity(&["id"]);
    life.pass("m{id=\"a\",s=\"1\"} 1", Complete).await;
    life.advance(10 * SECOND).await;
    world.kill(life);
    let mut life = world.start().await;
    life.identity(&["id"]);
    life.advance(SECOND).await;
    assert_eq!(life.pass("m{id=\"a\",s=\"2\"} 1", Complete).await, [""; 0]);
    assert_eq!(life.tally.balance().dropped["fork"], 1);
    let held = life.pass("m{id=\"a\"} held", Complete).await;
    assert_eq!((held.len(), life.series()), (0, 1), "found by its identity");
}

#[tokio::test]
async fn who_led_before_is_silent_until_it_leads_again() {
    for leads_again in [true, false] {
        let mut world = World::new("");
        let mut life = world.start().await;
        life.term(1, 0);
        life.pass("m 5\nn 1", Complete).await;
        life.advance(10 * SECOND).await;
        world.kill(life);
        let mut life = world.start().await;
        assert_eq!(life.advance(2 * MINUTE).await, [""; 0], "another one may lead");
        if leads_again {
            life.term(3, (START + 200) * 1_000_000_000);
            let lines = life.pass("m 6", Complete).await;
            assert!(words(&lines[0]) == "m 6" && seconds(&lines[0]) > (START + 200) as f64, "{lines:?}");
            let lines = life.advance(2 * MINUTE).await;
            assert!(lines.iter().any(|line| words(line) == "n 1"), "{lines:?}");
        } else {
            life.pass("", SteppedDown).await;
            assert_eq!(life.series(), 0);
        }
        assert_eq!(life.advance(3 * MINUTE).await.iter().filter(|line| !leads_again && line.contains('m')).count(), 0);
    }
}

#[tokio::test]
async fn a_storage_that_fails_costs_state_and_nothing_else() {
    let mut world = World::new("");
    let mut life = world.start().await;
    world.storage.fail(Some(StorageError { message: "the disk is full".into(), retryable: true }));
    for n in 0..20 {
        assert_eq!(life.pass(&format!("m {n}\nn 1"), Complete).await.len(), 2);
        life.advance(MINUTE).await;
    }
    assert_eq!(puts(&world.commits()), 0);
    world.storage.fail(None);
    life.advance(2 * MINUTE).await;
    world.kill(life);
    let mut life = world.start().await;
    let lines = life.advance(SECOND).await;
    assert!(lines.iter().any(|line| words(line) == "m 19"), "{lines:?}");
}

#[tokio::test]
async fn churn_while_storage_fails_is_bounded_and_comes_right() {
    let mut world = World::new("hold: 1s\ncoalesce: 0s");
    let mut life = world.start().await;
    life.advance(10 * SECOND).await;
    world.storage.fail(Some(StorageError { message: "the disk is full".into(), retryable: true }));
    for round in 0..30 {
        let page: String = (0..10_000).map(|n| format!("m{{n=\"{n}\",round=\"{round}\"}} 1\n")).collect();
        life.push(&page, "sender").await;
        life.advance(2 * MINUTE).await;
    }
    life.push("left 1", "sender").await;
    world.storage.fail(None);
    life.drain().await;
    life.advance(2 * MINUTE).await;
    let series = world.pairs().keys().filter(|key| key[0] == b'r').count();
    assert!(series <= 1, "{series} series are kept that are not there");
}

#[tokio::test]
async fn damaged_rows_are_left_out_and_a_newer_version_is_not_touched() {
    let mut world = World::new("");
    let mut life = world.start().await;
    life.pass("m{a=\"x\"} 5\nm{a=\"y\"} 6", Complete).await;
    life.advance(10 * SECOND).await;
    world.kill(life);
    let owner = world.storage.owners().remove(0);
    let pairs = world.pairs();
    let (key, value) = pairs.iter().find(|(key, _)| key[0] == b'r').unwrap();
    let mut damaged = value.to_vec();
    damaged[9] ^= 0x40;
    world.storage.put(&owner, key.clone(), damaged);
    world.storage.put(&owner, "whatever", "this is");
    let life = world.start().await;
    assert_eq!(life.series(), 1);
    world.kill(life);
    let mut head = world.pairs()[&b"0"[..]].to_vec();
    head[0] = 9;
    world.storage.put(&owner, "0", head);
    let error = world.try_start().await.err().unwrap().to_string();
    assert!(error.contains("newer version"), "{error}");
    world.storage.fail(Some(StorageError { message: "no such disk".into(), retryable: true }));
    let error = world.try_start().await.err().unwrap().to_string();
    assert!(error.contains("no such disk") && error.contains("processor:lastvalue"), "{error}");
}

#[tokio::test]
async fn fewer_places_than_before_refuse_what_does_not_fit() {
    let mut world = World::new("");
    let mut life = world.start().await;
    let page: String = (0..100).map(|n| format!("m{{n=\"{n}\"}} 1\n")).collect();
    life.pass(&page, Complete).await;
    life.advance(10 * SECOND).await;
    world.kill(life);
    world.yaml = "max_series: 30".into();
    let mut life = world.start().await;
    life.advance(10 * SECOND).await;
    assert_eq!(life.series(), 30);
    assert_eq!(world.pairs().keys().filter(|key| key[0] == b'r').count(), 30);
}

#[test]
fn the_storage_is_named_in_the_config() {
    let missing = steadyline_component::testkit::create::<lives::Factory>("storage: nowhere").err().unwrap();
    assert!(missing.contains("there is no extension `nowhere`"), "{missing}");
}

#[derive(Debug, Clone)]
enum Op {
    Push(u8, u8),
    Pass(u8, u8),
    Advance(u64),
    Kill { wall: i64, orderly: bool },
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0..4_u8, 0..3_u8).prop_map(|(series, value)| Op::Push(series, value)),
        3 => (0..4_u8, 0..3_u8).prop_map(|(series, value)| Op::Pass(series, value)),
        3 => prop_oneof![Just(100_u64), Just(1_000), Just(6_000), 0_u64..200_000].prop_map(Op::Advance),
        2 => (prop_oneof![Just(0_i64), Just(1), Just(30), Just(-1), Just(-3600), Just(900)], any::<bool>())
            .prop_map(|(wall, orderly)| Op::Kill { wall, orderly }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn timestamps_of_a_series_rise_whatever_happens(ops in proptest::collection::vec(op(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let lines = runtime.block_on(lived(&ops));
        let mut newest = std::collections::BTreeMap::new();
        for line in lines {
            let name = line.split(' ').next().unwrap().to_owned();
            let time = seconds(&line);
            let last = newest.insert(name, time);
            prop_assert!(last.is_none_or(|last| last < time), "{line} after {last:?}");
        }
    }
}

async fn lived(ops: &[Op]) -> Vec<String> {
    let mut world = World::new("hold: 1h");
    let mut life: Life = world.start().await;
    let mut lines = Vec::new();
    for op in ops {
        let said = match op {
            Op::Push(series, value) => life.push(&format!("p{series} {value}"), "sender").await,
            Op::Pass(series, value) => life.pass(&format!("q{series} {value}"), Complete).await,
            Op::Advance(ms) => life.advance(Duration::from_millis(*ms)).await,
            Op::Kill { wall, orderly } => {
                let last = if *orderly { life.drain().await } else { Vec::new() };
                world.kill(life);
                world.step_wall(*wall);
                life = world.start().await;
                last
            }
        };
        lines.extend(said);
    }
    lines
}
