//! Plugins that do what they should not: each harms nothing but itself. The next call finds a new instance, and others in the
//! process go on.

use std::time::Duration;

use crate::common::{Made, make};

/// What it does; what else its config says; the reason under which it counts; a word of what is told.
const CASES: [(&str, &str, &str, &str); 16] = [
    ("trap", "", "trap", "told you so"),
    ("exit", "", "trap", "exited"),
    ("recurse", "", "trap", "memory access"),
    ("loop", "limits: {cpu_time: 50ms}", "cpu_time", "processor time"),
    ("loop", "limits: {fuel: 50000000}", "cpu_time", "fuel"),
    ("hog", "limits: {memory: 16MiB}", "memory", "memory"),
    ("flood", "limits: {output: 1MiB}", "too_large", "limits.output"),
    ("flood_records", "limits: {memory: 2GiB, cpu_time: 60s, output: 1MiB}", "too_large", "limits.output"),
    ("flood_log", "limits: {output: 1MiB}", "too_large", "limits.output"),
    ("garbage", "", "garbage", "metrics"),
    ("garbage_logs", "", "garbage", "logs"),
    ("no_text", "", "garbage", "utf-8"),
    ("no_text_name", "", "garbage", "utf-8"),
    ("no_name", "", "garbage", "no name"),
    ("no_key", "", "garbage", "no name"),
    ("other", "", "garbage", "use OTLP"),
];

#[tokio::test(flavor = "multi_thread")]
async fn each_fails_under_its_reason() {
    for (what, rest, reason, word) in CASES {
        let mut made = make(&format!("{{do: {what}, bytes: 2000000}}"), rest);
        let error = made.fails(reason).await;
        assert!(error.message.contains(word), "{what}: {error}");
        assert!(!error.message.contains(char::is_control), "{what}: {error:?}");
        // At once a new one, which fails alike; after that it is left alone for a while.
        made.fails(reason).await;
        let error = made.fails("not_started").await;
        assert!(error.message.contains("tried again in"), "{what}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_always_has_more_has_an_end() {
    let error = make("{do: more}", "").fails("garbage").await;
    assert!(error.message.contains("there is more"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_call_after_finds_a_new_instance() {
    for what in ["trap", "exit", "recurse", "loop", "hog"] {
        let rest = "limits: {cpu_time: 50ms, memory: 16MiB}";
        let mut made = make(&format!("{{do: {what}, once: 'yes', at: 2}}"), rest);
        made.complete().await;
        assert!(made.poll().await.is_err(), "{what}");
        // The first call of the new one.
        made.complete().await;
        assert_eq!(made.counted("wasm_replaced"), 2.0, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sleeps_is_given_up_in_time() {
    for what in ["{do: sleep}", "{start: sleep}"] {
        let mut made = make(what, "");
        made.start().await.unwrap();
        let error = made.poll_within(Duration::from_secs(1)).await.unwrap_err();
        assert_eq!(error.reason, "timeout", "{what}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_start_is_tried_again_later() {
    for (what, rest, reason, word) in [
        ("refuse", "", "not_started", "not today"),
        ("trap", "", "trap", "told you so"),
        ("loop", "limits: {cpu_time: 50ms}", "cpu_time", "processor time"),
        ("hog", "limits: {memory: 16MiB}", "memory", "memory"),
    ] {
        let mut made = make(&format!("{{start: {what}}}"), &format!("restart: {{initial_interval: 30s}}\n{rest}"));
        assert!(made.fails(reason).await.message.contains(word), "{what}");
        assert!(made.fails("not_started").await.message.contains("tried again in"), "{what}");
        assert_eq!(made.counted("wasm_calls"), 0.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_fails_keeps_its_instance_if_it_says_so_itself() {
    let mut made = make("{do: error}", "");
    for _ in 0..3 {
        let error = made.fails("plugin_error").await;
        assert_eq!(error.message, "the plugin says: the source is away for good");
    }
    assert_eq!(made.counted("wasm_replaced"), 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_broken_call_set_is_undone_and_state_has_its_limit() {
    let mut made = make("{do: forget}", "");
    assert_eq!(made.complete().await, ["seen{n=\"1\"} 1 @60"]);
    made.fails("trap").await;
    assert_eq!(made.complete().await, ["seen{n=\"1\"} 2 @60"]);
    let error = make("{do: fill}", "").fails("plugin_error").await;
    assert!(error.message.contains("limits.state"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_talks_without_end_is_cut_short_and_heard() {
    make("{do: chatter}", "limits: {cpu_time: 60s}").complete().await;
}

/// Both threads have an endless loop to run, and a third plugin is polled all the same, as is a timer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endless_loops_do_not_stop_others() {
    let spin = || async {
        let mut made = make("{do: loop}", "limits: {cpu_time: 1h}");
        made.start().await.unwrap();
        made.poll_within(Duration::from_secs(6)).await.unwrap_err().reason
    };
    let mut good = make("{do: calls}", "");
    good.complete().await;
    let loops: Vec<_> = (0..4).map(|_| tokio::spawn(spin())).collect();
    let mut polls = 0;
    let others = async {
        while loops.iter().any(|job| !job.is_finished()) {
            good.complete().await;
            polls += 1;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    others.await;
    for job in loops {
        assert_eq!(job.await.unwrap(), "timeout");
    }
    assert!(polls > 10, "{polls}");
}

/// A poll that is broken off from outside takes its instance with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_poll_that_is_dropped_leaves_nothing_behind() {
    let mut made: Made = make("{do: sleep, once: 'yes', at: 2}", "");
    made.complete().await;
    assert!(tokio::time::timeout(Duration::from_millis(100), made.poll()).await.is_err());
    made.complete().await;
    assert_eq!(made.counted("wasm_replaced"), 2.0);
}
