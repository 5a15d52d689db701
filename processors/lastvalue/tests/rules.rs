//! Each rule of the steady line as a table: config, in, out. Conservation is checked by the harness at every step.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use steadyline_component::PassEnd::{Complete, Partial, Removed, SteppedDown};
use steadyline_component::testkit::{ProcessorHarness, create};
use steadyline_processor_lastvalue::LastValueFactory;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
/// The harness starts here, in seconds since the epoch.
const START: u64 = 1_000_000;

fn harness(yaml: &str) -> ProcessorHarness {
    ProcessorHarness::new::<LastValueFactory>(yaml)
}

/// Pushes all batches of points at one moment and returns what one flush makes of them.
fn flushed(yaml: &str, batches: &[&str]) -> Vec<String> {
    let mut harness = harness(yaml);
    let mut lines: Vec<String> = batches.iter().flat_map(|points| harness.push(points)).collect();
    lines.extend(harness.advance(SECOND));
    assert_eq!(harness.processor().held(), 0);
    lines
}

fn at(seconds: u64) -> String {
    format!("@{seconds}")
}

#[test]
fn new_values_go_on_within_a_second_and_at_once_at_the_end_of_a_pass() {
    let mut harness = harness("");
    assert_eq!(harness.push("m 1 @60"), [""; 0]);
    assert_eq!(harness.processor().held(), 1);
    assert_eq!(harness.advance(Duration::from_millis(999)), [""; 0]);
    assert_eq!(harness.advance(Duration::from_millis(1)), ["m 1 @60"]);
    assert_eq!(harness.pass(1, "m 2 @70", Complete), ["m 2 @70"]);
    assert_eq!(harness.batches.last().unwrap().pass_end(), Some(Complete));
    assert_eq!(self::harness("coalesce: 0s").push("m 1 @60"), ["m 1 @60"]);
}

#[test]
fn what_was_sent_is_not_unsent() {
    let mut harness = harness("coalesce: 0s");
    assert_eq!(harness.push("m 1 @60"), ["m 1 @60"]);
    assert_eq!(harness.push("m 1 @60"), [""; 0], "a duplicate");
    assert_eq!(harness.push("m 7 @59"), [""; 0], "older");
    assert_eq!(harness.push("m 2 @60"), ["m 2 @60.001"], "equal time, later arrival");
    assert_eq!(harness.push("m 3 @60.0005"), ["m 3 @60.002"], "milliseconds rise");
    let balance = harness.tally.balance();
    assert_eq!((balance.merged, balance.dropped.get("older")), (1, Some(&1)));
}

#[test]
fn a_silent_series_is_sent_again_with_a_fresh_timestamp() {
    let mut harness = harness("hold: 1h");
    harness.push("m{a=\"x\"} 5 @60");
    assert_eq!(harness.advance(SECOND), ["m{a=\"x\"} 5 @60"]);
    assert_eq!(harness.advance(59 * SECOND), [""; 0]);
    for n in 1..=3 {
        let lines = harness.advance(MINUTE);
        assert_eq!(lines, [format!("m{{a=\"x\"}} 5 {}", at(START + 1 + n * 60))]);
        assert!(harness.tally.balance().created["republished"] == n);
    }
    harness.push("m{a=\"x\"} 6 @1000250");
    assert_eq!(harness.advance(SECOND), ["m{a=\"x\"} 6 @1000250"]);
}

#[test]
fn a_polled_series_may_be_silent_for_its_interval_and_the_timeout() {
    let mut harness = harness("");
    assert_eq!(harness.pass(1, "m 5 @1000000", Complete), ["m 5 @1000000"]);
    assert_eq!(harness.advance(119 * SECOND), [""; 0]);
    assert_eq!(harness.advance(SECOND), ["m 5 @1000120"]);
}

#[test]
fn on_change_sends_changes_and_a_heartbeat() {
    let mut harness = harness("emit: on_change");
    assert_eq!(harness.pass(1, "m 5 @1000000", Complete), ["m 5 @1000000"]);
    for epoch in 2..=3 {
        harness.advance(MINUTE);
        assert_eq!(harness.pass(epoch, &format!("m 5 {}", at(START + 60 * (epoch - 1))), Complete), [""; 0]);
    }
    assert_eq!(harness.advance(30 * SECOND), ["m 5 @1000150"], "the heartbeat");
    harness.advance(30 * SECOND);
    assert_eq!(harness.pass(4, "m 6 @1000180", Complete), ["m 6 @1000180"], "the change");
    assert_eq!(harness.tally.balance().merged, 2);
}

#[test]
fn a_series_that_leaves_ends_once() {
    let mut harness = harness("");
    harness.pass(1, "m{a=\"x\"} 5 @1000000\nm{a=\"y\"} 6 @1000000", Complete);
    harness.advance(MINUTE);
    assert_eq!(harness.pass(2, "m{a=\"x\"} 5 @1000060", Complete), ["m{a=\"x\"} 5 @1000060"]);
    harness.advance(MINUTE);
    assert_eq!(
        harness.pass(3, "m{a=\"x\"} 5 @1000120", Complete),
        ["m{a=\"x\"} 5 @1000120", "m{a=\"y\"} stale @1000120.001"]
    );
    assert_eq!(harness.processor().series(), 1);
    for epoch in 4..=9 {
        harness.advance(MINUTE);
        let time = at(START + 60 * (epoch - 1));
        assert_eq!(
            harness.pass(epoch, &format!("m{{a=\"x\"}} 5 {time}"), Complete),
            [format!("m{{a=\"x\"}} 5 {time}")]
        );
    }
    assert_eq!(harness.tally.balance().created["stale"], 1);
}

#[test]
fn missing_polls_are_counted_in_complete_passes_of_the_own_source() {
    let mut harness = harness("missing_polls: 3");
    harness.pass(1, "m 5 @1000000", Complete);
    for (epoch, end) in [(2, Complete), (3, Partial), (4, Complete), (5, Partial)] {
        assert_eq!(harness.pass(epoch, "", end), [""; 0], "{epoch}");
    }
    harness.source("other", &[]);
    for epoch in 1..=5 {
        assert_eq!(harness.pass(epoch, "", Complete), [""; 0]);
    }
    harness.source("test", &[]);
    assert_eq!(harness.pass(6, "", Complete), ["m stale @1000000.001"]);
}

#[test]
fn one_pass_that_missed_it_does_not_end_a_series() {
    let mut harness = harness("");
    harness.pass(1, "m 5 @1000000", Complete);
    assert_eq!(harness.pass(2, "", Complete), [""; 0]);
    assert_eq!(harness.pass(3, "m 5 @1000001", Complete), ["m 5 @1000001"]);
    assert_eq!(harness.pass(4, "", Complete), [""; 0]);
}

#[test]
fn failed_passes_end_nothing_until_the_hold_is_over() {
    let mut harness = harness("");
    harness.pass(1, "m 5 @1000000", Complete);
    let mut lines = Vec::new();
    for epoch in 2..=8 {
        lines.extend(harness.advance(MINUTE));
        lines.extend(harness.pass(epoch, "", Partial));
    }
    lines.extend(harness.advance(10 * MINUTE));
    assert_eq!(lines, ["m 5 @1000120", "m 5 @1000240", "m stale @1000300"]);
    assert_eq!(harness.processor().series(), 0);
}

#[test]
fn a_sender_that_falls_silent_ends_after_the_hold() {
    let mut harness = harness("hold: 100s");
    harness.push("m 5 @1000000");
    let lines = harness.advance(10 * MINUTE);
    assert_eq!(lines, ["m 5 @1000000", "m 5 @1000061", "m stale @1000100"]);
    harness.push("m 6 @1000500");
    assert_eq!(harness.advance(SECOND), ["m 6 @1000500"]);
}

#[test]
fn a_held_item_is_not_absent() {
    let mut harness = harness("");
    harness.pass(1, "m{a=\"x\"} 5 @1000000", Complete);
    let mut lines = Vec::new();
    for epoch in 2..=10 {
        lines.extend(harness.advance(MINUTE));
        lines.extend(harness.pass(epoch, "m{a=\"x\"} held\nm{a=\"unknown\"} held", Complete));
    }
    let expected: Vec<String> =
        [120, 240, 360, 480].iter().map(|s| format!("m{{a=\"x\"}} 5 {}", at(START + s))).collect();
    assert_eq!(lines, expected);
    assert_eq!((harness.processor().series(), harness.tally.balance().merged), (1, 18));
}

#[test]
fn what_is_held_without_all_its_labels_is_found_by_its_identity() {
    let held = |identity: &[&str]| {
        let mut harness = harness("");
        harness.source("table", identity);
        harness.pass(1, "m{id=\"x\",plan=\"pro\"} 5 @1000000\nm{id=\"y\",plan=\"pro\"} 5 @1000000", Complete);
        let mut lines = Vec::new();
        for epoch in 2..=6 {
            lines.extend(harness.advance(MINUTE));
            lines.extend(harness.pass(epoch, "m{id=\"x\"} held", Complete));
        }
        let balance = harness.tally.balance();
        assert_eq!((balance.missing(), balance.merged), (0, 5));
        let ended = |line: &String| line.contains("stale").then(|| line[..8].to_owned());
        (harness.processor().series(), lines.iter().filter_map(ended).collect::<Vec<_>>())
    };
    assert_eq!(held(&["id"]), (1, vec!["m{id=\"y\"".to_owned()]));
    assert_eq!(held(&[]).0, 0, "without a declared identity it is unknown which series is meant");
}

#[test]
fn no_value_passes_once_and_ends_the_series() {
    let mut harness = harness("coalesce: 0s");
    assert_eq!(harness.push("m stale @50"), [""; 0], "nothing was ever sent");
    assert_eq!(harness.push("m 5 @60"), ["m 5 @60"]);
    assert_eq!(harness.push("m stale @70"), ["m stale @70"]);
    assert_eq!(harness.push("m stale @80"), [""; 0]);
    assert_eq!(harness.push("m 4 @65"), [""; 0], "a late point does not bring it back");
    assert_eq!(harness.advance(10 * MINUTE), [""; 0]);
    assert_eq!(harness.push("m 6 @1000500"), ["m 6 @1000500"]);
    assert_eq!(harness.push("m stale @1000500.0005\nm 7 @1000501"), ["m 7 @1000501"], "it came back within one flush");
    assert_eq!(flushed("", &["m 5 @60", "m stale @61"]), [""; 0], "neither was ever seen");
}

#[test]
fn who_leads_no_longer_says_nothing() {
    let mut harness = harness("");
    harness.pass(1, "m{a=\"x\"} 5 @1000000", Complete);
    assert_eq!(harness.pass(2, "m{a=\"y\"} 1 @1000001", SteppedDown), ["m{a=\"y\"} 1 @1000001"]);
    assert_eq!(harness.processor().series(), 0);
    assert_eq!(harness.advance(20 * MINUTE), [""; 0]);
    assert_eq!(harness.pass(3, "m{a=\"x\"} 7 @1001300", Complete), ["m{a=\"x\"} 7 @1001300"]);
    assert_eq!(harness.processor().series(), 1);
    assert_eq!(harness.tally.balance().created.get("stale"), None);
}

#[test]
fn a_source_that_a_reload_removes_ends_its_series_and_may_come_back() {
    let mut harness = harness("");
    harness.source("other", &[]).pass(1, "m{a=\"z\"} 1 @1000000", Complete);
    harness.source("table", &[]).pass(1, "m{a=\"x\"} 5 @1000000", Complete);
    harness.source("pushed", &[]).push("m{a=\"y\"} 6 @1000000");
    assert_eq!(harness.advance(Duration::from_secs(1)), ["m{a=\"y\"} 6 @1000000"]);
    assert_eq!(harness.source("table", &[]).pass(2, "", Removed), ["m{a=\"x\"} stale @1000001"]);
    assert_eq!(harness.source("pushed", &[]).pass(1, "", Removed), ["m{a=\"y\"} stale @1000001"]);
    assert_eq!(harness.processor().series(), 1, "the other goes on");
    assert_eq!(harness.source("table", &[]).pass(3, "m{a=\"x\"} 7 @1000001", Complete), ["m{a=\"x\"} 7 @1000001.001"]);
    harness.source("pushed", &[]).push("m{a=\"y\"} 8 @1000002");
    assert_eq!(harness.advance(Duration::from_secs(1)), ["m{a=\"y\"} 8 @1000002"]);
    assert_eq!(harness.processor().series(), 3);
    assert_eq!(harness.tally.balance().created.get("stale"), Some(&2));
}

#[test]
fn the_wall_clock_steps_back_an_hour() {
    let mut harness = harness("");
    assert_eq!(harness.pass(1, "m 5 @1000000", Complete), ["m 5 @1000000"]);
    harness.advance(MINUTE);
    harness.clock.step_wall(-3_600_000_000_000);
    assert_eq!(harness.pass(2, "m 6 @996460", Complete), ["m 6 @1000000.001"], "a later pass is newer");
    assert_eq!(harness.advance(2 * MINUTE), ["m 6 @1000000.002"], "not silent for it");
    assert_eq!(harness.pass(3, "m 7 @996580", Complete), ["m 7 @1000000.003"]);
}

#[test]
fn the_wall_clock_steps_forward_an_hour() {
    let mut harness = harness("");
    harness.pass(1, "m 5 @1000000", Complete);
    harness.advance(MINUTE);
    harness.clock.step_wall(3_600_000_000_000);
    assert_eq!(harness.pass(2, "m 6 @1003660", Complete), ["m 6 @1003660"]);
    assert_eq!(harness.advance(2 * MINUTE), ["m 6 @1003780"]);
}

#[test]
fn a_point_from_the_future_does_not_block_its_series() {
    let mut harness = harness("coalesce: 0s");
    assert_eq!(harness.push("m 5 @1003600"), ["m 5 @1000000"]);
    assert_eq!(harness.push("m 6"), ["m 6 @1000000.001"], "a point without a time is of now");
    assert_eq!(harness.push("m 7 @1000500"), ["m 7 @1000500"], "a little ahead is fine");
}

#[test]
fn forked_series() {
    let old = "m{account_id=\"a\",status=\"new\"} 1 @1000000";
    let new = "m{account_id=\"a\",status=\"done\"} 2 @1000060";
    let line = "m{account_id=\"a\",status=\"done\"} 2 @1000060";
    let end = "m{account_id=\"a\",status=\"new\"} stale @1000060";
    for (policy, second) in [
        ("on_fork: refuse", vec![]),
        ("on_fork: drop", vec![end]),
        ("on_fork: end_and_restart", vec![line, end]),
        ("", vec![line, end]),
    ] {
        let mut harness = harness(policy);
        harness.source("table", &["account_id"]);
        harness.pass(1, old, Complete);
        harness.advance(MINUTE);
        let mut lines = harness.pass(2, new, Complete);
        lines.sort();
        assert_eq!(lines, second, "{policy}");
        let dropped = harness.tally.balance().dropped.get("fork").copied();
        assert_eq!(dropped, (second.len() < 2).then_some(1), "{policy}");
    }
}

#[test]
fn a_refused_label_set_gets_in_when_the_old_one_has_ended() {
    let mut harness = harness("on_fork: refuse");
    harness.source("table", &["id"]);
    harness.pass(1, "m{id=\"a\",s=\"1\"} 1 @1000000", Complete);
    assert_eq!(harness.pass(2, "m{id=\"a\",s=\"2\"} 2 @1000001", Complete), [""; 0]);
    assert_eq!(harness.pass(3, "m{id=\"a\",s=\"2\"} 2 @1000002", Complete), ["m{id=\"a\",s=\"1\"} stale @1000000.001"]);
    assert_eq!(harness.pass(4, "m{id=\"a\",s=\"2\"} 2 @1000003", Complete), ["m{id=\"a\",s=\"2\"} 2 @1000003"]);
}

#[test]
fn an_entity_under_drop_is_dark_for_a_minute() {
    let mut harness = harness("on_fork: drop");
    harness.source("table", &["id"]);
    harness.pass(1, "m{id=\"a\",s=\"1\"} 1 @1000000", Complete);
    harness.advance(SECOND);
    assert_eq!(harness.pass(2, "m{id=\"a\",s=\"2\"} 2 @1000001", Complete), ["m{id=\"a\",s=\"1\"} stale @1000001"]);
    harness.advance(30 * SECOND);
    assert_eq!(harness.pass(3, "m{id=\"a\",s=\"2\"} 2 @1000031", Complete), [""; 0]);
    harness.advance(31 * SECOND);
    assert_eq!(harness.pass(4, "m{id=\"a\",s=\"2\"} 2 @1000062", Complete), ["m{id=\"a\",s=\"2\"} 2 @1000062"]);
}

#[test]
fn labels_that_change_back_end_the_other_line() {
    let mut harness = harness("");
    harness.source("table", &["id"]);
    let (one, two) = ("m{id=\"a\",s=\"1\"}", "m{id=\"a\",s=\"2\"}");
    for (epoch, shown, ended) in [(1, one, None), (2, two, Some(one)), (3, one, Some(two)), (4, two, Some(one))] {
        let time = START + 10 * epoch;
        harness.clock.advance(10 * SECOND);
        let mut lines = harness.pass(epoch, &format!("{shown} 1 @{time}"), Complete);
        lines.sort();
        let mut expected = vec![format!("{shown} 1 @{time}")];
        expected.extend(ended.map(|ended| format!("{ended} stale @{time}")));
        expected.sort();
        assert_eq!(lines, expected, "pass {epoch}");
    }
}

#[test]
fn what_one_pass_shows_side_by_side_is_no_fork() {
    let mut harness = harness("on_fork: refuse");
    harness.source("table", &["id"]);
    let both = |time: u64| format!("m{{id=\"a\",step=\"1\"}} 1 @{time}\nm{{id=\"a\",step=\"2\"}} 2 @{time}");
    for epoch in 1..=3 {
        assert_eq!(harness.pass(epoch, &both(START + epoch), Complete).len(), 2);
    }
    assert_eq!(harness.tally.balance().dropped.get("fork"), None);
}

#[test]
fn constants_of_the_resource_and_undeclared_identity_are_not_guarded() {
    for (identity, first, second) in [
        (
            &["id"][..],
            "resource{deploy.env=\"dev\"}\nm{id=\"a\",deploy_env=\"dev\"} 1 @1000000",
            "resource{deploy.env=\"prod\"}\nm{id=\"a\",deploy_env=\"prod\"} 1 @1000001",
        ),
        (&[], "m{id=\"a\",s=\"1\"} 1 @1000000", "m{id=\"a\",s=\"2\"} 1 @1000001"),
        (&["id", "region"], "m{id=\"a\",s=\"1\"} 1 @1000000", "m{id=\"a\",s=\"2\"} 1 @1000001"),
    ] {
        let mut harness = harness("on_fork: refuse");
        harness.source("table", identity);
        assert!(!harness.pass(1, first, Complete).is_empty());
        assert!(!harness.pass(2, second, Complete).is_empty(), "{second}");
        assert_eq!(harness.processor().series(), 2);
    }
}

#[test]
fn series_beyond_the_limit_are_refused_and_those_admitted_keep_their_places() {
    let mut harness = harness("max_series: 1000\nhold: 1h");
    let mut sent = 0;
    for page in 0..1000 {
        let points: String = (0..1000).map(|n| format!("m{{id=\"{}\"}} 1 @1000000\n", page * 1000 + n)).collect();
        sent += harness.push(&points).len();
    }
    sent += harness.advance(SECOND).len();
    assert_eq!((sent, harness.processor().series()), (1000, 1000));
    assert_eq!(harness.tally.balance().dropped["series_limit"], 999_000);
    harness.push("m{id=\"999\"} 2 @1000010\nm{id=\"1000\"} 2 @1000010");
    assert_eq!(harness.advance(SECOND), ["m{id=\"999\"} 2 @1000010"]);
    harness.push("m{id=\"7\"} stale @1000020");
    harness.advance(SECOND);
    harness.push("m{id=\"1000\"} 2 @1000030");
    assert_eq!(harness.advance(SECOND), ["m{id=\"1000\"} 2 @1000030"], "a place that is free is taken");
}

/// What tells a held line from a true one must not be shut out by a table full of entities.
#[test]
fn a_full_table_still_takes_what_is_about_its_source() {
    let mut harness = harness("max_series: 2");
    harness.source("table", &["id"]);
    harness.pass(
        1,
        "m{id=\"a\"} 1 @1000000\nm{id=\"b\"} 1 @1000000\nm{id=\"c\"} 1 @1000000\ntable_up{env=\"dev\"} 1 @1000000",
        Complete,
    );
    assert_eq!(harness.processor().series(), 3);
    assert_eq!(harness.tally.balance().dropped["series_limit"], 1);
}

#[test]
fn labels_that_are_too_long_are_refused_by_name() {
    let long = "x".repeat(400_000);
    let mut harness = harness("");
    harness.push(&format!("m{{id=\"{long}\"}} 1 @60\nm{{id=\"y\"}} 2 @60"));
    assert_eq!(harness.advance(SECOND), ["m{id=\"y\"} 2 @60"]);
    assert_eq!(harness.tally.balance().dropped["labels_too_long"], 1);
}

#[test]
fn draining_sends_what_waits_and_no_markers() {
    let mut harness = harness("");
    harness.pass(1, "m{a=\"x\"} 5 @1000000", Complete);
    harness.push("m{a=\"y\"} 6 @1000001");
    assert_eq!(harness.drain(), ["m{a=\"y\"} 6 @1000001"]);
    assert_eq!(harness.drain(), [""; 0]);
}

#[test]
fn config_is_checked() {
    for (yaml, message) in [
        ("publish_interval: 151s", "`publish_interval` must be between 1s and 150s"),
        ("heartbeat: 0s", "`heartbeat` must be between"),
        ("coalesce: 2s", "`coalesce` must be at most 1s"),
        ("hold: 0s", "`hold` must be at least 1s"),
        ("missing_polls: 0", "`missing_polls` must be between 1 and 1000"),
        ("max_series: 0", "`max_series` must be between"),
        ("merge: average", "merge"),
        ("on_fork: ignore", "on_fork"),
        ("interval: 60s", "interval"),
        ("overrides: {m: auto}", "overrides"),
    ] {
        let text = create::<LastValueFactory>(yaml).err().unwrap_or_default();
        assert!(text.contains("error") && text.contains(message), "{yaml}: {text}");
    }
    assert!(create::<LastValueFactory>("").is_ok());
}

/// What a reload says of a source that it took away.
fn removed(source: &str) -> steadyline_component::Batch {
    use steadyline_component::{Batch, Data, Header, Pass, PassEnd};
    let zero = Duration::ZERO;
    let pass = Pass { epoch: 0, time: 0, interval: zero, timeout: zero, end: Some(PassEnd::Removed) };
    Batch {
        header: Header { source: source.into(), pass: Some(pass), ..Header::default() },
        data: Data::Metrics(Default::default()),
    }
}

#[test]
fn a_source_that_a_reload_takes_away_ends_its_series_and_no_others() {
    let mut harness = harness("");
    harness.source("table", &[]).pass(1, "m{a=\"x\"} 5 @1000000", Complete);
    harness.source("sender", &[]).push("p 1 @1000000\ndelta d 3 @1000000");
    harness.source("other", &[]).push("o 1 @1000000");
    harness.advance(10 * SECOND);
    let lines = harness.push_batch(removed("table"));
    assert_eq!(lines, ["m{a=\"x\"} stale @1000010"]);
    let end = harness.batches.last().unwrap();
    assert_eq!((&*end.header.source, end.pass_end()), ("table", Some(steadyline_component::PassEnd::Removed)));
    assert_eq!(harness.push_batch(removed("sender")), ["p stale @1000010"]);
    assert_eq!(harness.push_batch(removed("sender")), [""; 0], "once");
    assert_eq!(harness.push_batch(removed("nobody")), [""; 0]);
    assert_eq!(harness.processor().series(), 1);
    // Another reload may bring them back, in the same moment.
    harness.source("sender", &[]).push("p 2 @1000010.5");
    assert_eq!(harness.advance(SECOND), ["p 2 @1000010.5"]);
    assert_eq!(harness.source("table", &[]).pass(1, "m{a=\"x\"} 6 @1000011", Complete), ["m{a=\"x\"} 6 @1000011"]);
    assert_eq!(harness.processor().series(), 3);
    assert_eq!(harness.advance(90 * SECOND).iter().filter(|line| line.contains("stale")).count(), 0);
    assert_eq!(harness.tally.balance().created["stale"], 2);
}

#[test]
fn what_waits_goes_before_its_source_ends() {
    let mut harness = harness("");
    harness.source("sender", &[]).push("p 1 @1000000");
    let mut lines = harness.push_batch(removed("sender"));
    lines.sort();
    assert_eq!(lines, ["p 1 @1000000", "p stale @1000000.001"]);
}

/// A reload that changes a source starts its passes from 1 again.
#[test]
fn passes_that_count_from_one_again_are_later_ones() {
    let mut harness = harness("");
    for epoch in 1..=5 {
        harness.pass(epoch, &format!("m {epoch} @{}", START + epoch), Complete);
    }
    for epoch in 1..=3 {
        let time = START + 10 + epoch;
        assert_eq!(harness.pass(epoch, &format!("m 9{epoch} @{time}"), Complete), [format!("m 9{epoch} @{time}")]);
    }
    assert_eq!(harness.pass(4, "", Complete), [""; 0]);
    assert_eq!(harness.pass(5, "", Complete), ["m stale @1000013.001"]);
}
