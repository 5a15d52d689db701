//! Plugins that fail: the batch goes the way of `on_error`, whole, and others go on.

use std::time::Duration;

use steadyline_component::testkit::{TestExtensions, create_with, metrics};
use steadyline_component::{Batch, Board, Clock, Host, Meter, Shutdown, Tally, Work};
use steadyline_processor_wasm::WasmFactory;

use crate::common::{harness, yaml};

/// What it does; what else config says; the reason.
const CASES: [(&str, &str, &str); 15] = [
    ("trap", "", "trap"),
    ("exit", "", "trap"),
    ("recurse", "", "trap"),
    ("loop", "limits: {cpu_time: 20ms}", "cpu_time"),
    ("loop", "limits: {fuel: 50000000}", "cpu_time"),
    ("hog", "limits: {memory: 16MiB}", "memory"),
    ("flood", "limits: {output: 1MiB, memory: 2GiB, cpu_time: 60s}", "too_large"),
    ("no_point", "", "garbage"),
    ("no_metric", "", "garbage"),
    ("no_name", "", "garbage"),
    ("no_text", "", "garbage"),
    ("no_key", "", "garbage"),
    ("structured", "", "garbage"),
    ("error", "", "plugin_error"),
    ("sleep", "timeout: 2s", "timeout"),
];

const POINTS: &str = "a{n=\"1\"} 1 @60\na{n=\"2\"} 2 @60";

#[test]
fn a_batch_passes_whole_or_is_dropped_under_the_reason() {
    for (what, rest, reason) in CASES {
        // So that the code is compiled before a limit in time counts.
        harness("pass", &rest.replace("timeout: 2s", "")).push(POINTS);
        let mut pass = harness(what, rest);
        assert_eq!(pass.push(POINTS), POINTS.lines().collect::<Vec<_>>(), "{what}");
        assert_eq!(pass.tally.balance().dropped.values().sum::<u64>(), 0, "{what}");
        let mut drop = harness(what, &format!("on_error: drop\n{rest}"));
        assert!(drop.push(POINTS).is_empty(), "{what}");
        assert_eq!(drop.dropped(reason), 2, "{what}: {:?}", drop.tally.balance());
    }
}

#[test]
fn one_that_fails_again_and_again_is_left_alone_and_tried_again() {
    let mut harness = harness("trap", "on_error: drop");
    for _ in 0..5 {
        harness.push(POINTS);
    }
    assert_eq!((harness.dropped("trap"), harness.dropped("not_started")), (4, 6));
    harness.clock.advance(Duration::from_secs(2));
    harness.push(POINTS);
    assert_eq!((harness.dropped("trap"), harness.dropped("not_started")), (6, 6));
}

#[test]
fn the_next_batch_finds_a_new_instance() {
    let yaml = yaml("{do: trap, once: 'yes', at: 2}", "");
    let mut harness = steadyline_component::testkit::ProcessorHarness::new::<WasmFactory>(&yaml);
    for _ in 0..4 {
        assert_eq!(harness.push(POINTS).len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_plugin_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.wasm");
    std::fs::write(&path, "nothing").unwrap();
    for (path, word) in [(path.to_str().unwrap(), "no component"), ("/nowhere", "cannot read")] {
        let clock = Clock::system();
        let yaml = format!("path: {path}");
        let mut processor =
            create_with::<WasmFactory>(&yaml, &mut TestExtensions::default(), &clock, &Meter::default()).unwrap();
        let (_trigger, shutdown) = Shutdown::new();
        let host = Host { clock: clock.clone(), board: Board::new(clock), shutdown };
        let words = processor.start(&host).await.unwrap_err().to_string();
        assert!(words.contains(word), "{words}");
    }
}

/// As many endless loops as there are threads, one after another, and a task that is due every few milliseconds is run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endless_loops_do_not_stop_others() {
    let spin = || {
        tokio::spawn(async move {
            let clock = Clock::system();
            let yaml = yaml("{do: loop}", "limits: {cpu_time: 1h}\ntimeout: 5s\non_error: drop");
            let mut processor =
                create_with::<WasmFactory>(&yaml, &mut TestExtensions::default(), &clock, &Meter::default()).unwrap();
            let (_trigger, shutdown) = Shutdown::new();
            let host = Host { clock: clock.clone(), board: Board::new(clock.clone()), shutdown };
            processor.start(&host).await.unwrap();
            let (tally, mut out) = (Tally::default(), Vec::new());
            processor
                .process(Batch::metrics(metrics(POINTS)), &mut Work { now: clock.now(), tally: &tally, out: &mut out });
            tally.balance().dropped.get("timeout").copied()
        })
    };
    let loops: Vec<_> = (0..3).map(|_| spin()).collect();
    let mut turns = 0;
    while loops.iter().any(|job| !job.is_finished()) {
        tokio::time::sleep(Duration::from_millis(5)).await;
        turns += 1;
    }
    for job in loops {
        assert_eq!(job.await.unwrap(), Some(2));
    }
    assert!(turns > 20, "{turns}");
}
