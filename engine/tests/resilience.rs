//! What makes delivery hold under a backend that fails, is slow, or refuses: joined requests, shards that follow the
//! load, the circuit, bisection, dead letters, the age limit, and order throughout. Time is tokio's, paused.
#![allow(clippy::unwrap_used, reason = "a panic is the failure it reports")]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use steadyline_component::{Batch, Clock, Header, Outcome, Until, testkit};
use support::lease::Lease;
use support::*;

fn one(name: &str, keys: &str, queue: &str) -> String {
    format!(
        "receivers: {{source: {{name: {name}}}}}\n\
         exporters: {{backend: {{name: {name}{keys}, sending_queue: {{{queue}}}}}}}\n\
         service:\n  shutdown_timeout: 20s\n  telemetry: {{metrics: {{level: none}}}}\n  \
         pipelines: {{metrics: {{receivers: [source], exporters: [backend]}}}}\n"
    )
}

fn retry() -> Outcome {
    Outcome::Retry { reason: "http_503".into(), message: "busy".into(), after: None }
}

#[tokio::test(start_paused = true)]
async fn what_waits_behind_a_slow_request_goes_in_one() {
    let (running, shared) = start(&one("joined", ", lanes: true", "max_shards: 1"), Clock::scaled(0, 1.0)).await;
    let (stage, out) = (stage("joined"), output("joined").await);
    stage.script.lock().unwrap().push_back(retry());
    for n in 0..12 {
        send(&out, &format!("a {n}"), Until::Enqueued).await.unwrap();
    }
    until("all are delivered", || stage.delivered.lock().unwrap().len() == 12).await;
    let sizes: Vec<usize> = stage.attempts.lock().unwrap().iter().map(|text| text.split(';').count()).collect();
    assert_eq!(sizes, [1, 1, 8, 3], "at most as many as the exporter says");
    let expected: Vec<String> = (0..12).map(|n| format!("a {n}")).collect();
    assert_eq!(*stage.delivered.lock().unwrap(), expected);
    running.shutdown().await;
    assert_conserved(&shared);
}

#[tokio::test(start_paused = true)]
async fn settled_waits_for_every_part_of_a_joined_request() {
    let (running, shared) = start(&one("joinset", ", lanes: true", "max_shards: 1"), Clock::scaled(0, 1.0)).await;
    let (stage, out) = (stage("joinset"), output("joinset").await);
    *stage.delay.lock().unwrap() = Duration::from_secs(1);
    *stage.refuse.lock().unwrap() = Some("bad");
    let first = tokio::spawn({
        let out = out.clone();
        async move { send(&out, "a 1", Until::Settled).await }
    });
    until("it is under way alone", || !stage.attempts.lock().unwrap().is_empty()).await;
    let rest = ["b 2", "c 3", "bad 4"].map(|text| send(&out, text, Until::Settled));
    let results = futures_util::future::join_all(rest).await;
    assert!(first.await.unwrap().is_ok());
    assert!(results.iter().all(Result::is_err), "one request, one answer: {results:?}");
    assert_eq!(stage.attempts.lock().unwrap().len(), 2);
    running.shutdown().await;
    assert_conserved(&shared);
}

#[tokio::test(start_paused = true)]
async fn bisection_delivers_all_but_the_offender_in_few_requests() {
    let (running, shared) = start(&one("bisect", "", "on_reject: bisect, max_shards: 1"), Clock::scaled(0, 1.0)).await;
    let (stage, out) = (stage("bisect"), output("bisect").await);
    *stage.refuse.lock().unwrap() = Some("bad");
    send(&out, "a 1\nb 2\nbad 3\nc 4\nd 5", Until::Enqueued).await.unwrap();
    send(&out, "e 6", Until::Enqueued).await.unwrap();
    until("the rest is delivered", || stage.delivered.lock().unwrap().len() == 5).await;
    assert_eq!(
        *stage.delivered.lock().unwrap(),
        ["a 1", "b 2", "c 4;d 5", "e 6"].join(";").split(';').collect::<Vec<_>>()
    );
    assert_eq!(dropped(&shared, "backend", "http_400"), 1);
    running.shutdown().await;
    assert_conserved(&shared);
}

#[tokio::test(start_paused = true)]
async fn bisection_is_bounded_when_all_is_bad() {
    let (running, shared) = start(&one("allbad", "", "on_reject: bisect, max_shards: 1"), Clock::scaled(0, 1.0)).await;
    let (stage, out) = (stage("allbad"), output("allbad").await);
    *stage.refuse.lock().unwrap() = Some("bad");
    let points: Vec<String> = (0..500).map(|n| format!("bad_{n} {n}")).collect();
    send(&out, &points.join("\n"), Until::Settled).await.unwrap_err();
    assert_eq!(dropped(&shared, "backend", "http_400"), 500);
    assert!(stage.attempts.lock().unwrap().len() <= 65, "{}", stage.attempts.lock().unwrap().len());
    running.shutdown().await;
    assert_conserved(&shared);
}

#[tokio::test]
async fn a_refused_request_is_kept_where_config_says() {
    let folder = tempfile::tempdir().unwrap();
    let queue = format!("dead_letter: {{directory: {}}}", folder.path().display());
    let (running, shared) = start(&one("dead", "", &queue), Clock::scaled(0, 1.0)).await;
    *stage("dead").refuse.lock().unwrap() = Some("bad");
    send(&output("dead").await, "bad 1\nx 2", Until::Settled).await.unwrap_err();
    running.shutdown().await;
    let mut files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert_eq!(files.len(), 2);
    assert_eq!(std::fs::read(&files[0]).unwrap(), b"bad 1;x 2");
    let told: serde_json::Value = serde_json::from_slice(&std::fs::read(&files[1]).unwrap()).unwrap();
    assert_eq!((told["reason"].as_str(), told["items"].as_u64()), (Some("http_400"), Some(2)));
    assert_conserved(&shared);
}

#[tokio::test(start_paused = true)]
async fn what_is_too_old_is_not_sent_any_more() {
    let (running, shared) = start(&one("old", "", "max_age: 2m, max_shards: 1"), Clock::scaled(0, 1.0)).await;
    let (stage, out) = (stage("old"), output("old").await);
    *stage.hang.lock().unwrap() = true;
    for n in 0..3 {
        send(&out, &format!("a {n}"), Until::Enqueued).await.unwrap();
        tokio::time::sleep(Duration::from_secs(50)).await;
    }
    *stage.hang.lock().unwrap() = false;
    until("the newest is delivered", || !stage.delivered.lock().unwrap().is_empty()).await;
    let left = stage.delivered.lock().unwrap().clone();
    assert!(left.len() < 3 && left.last().is_some_and(|last| last == "a 2"), "{left:?}");
    until("nothing is left", || dropped(&shared, "backend", "too_old") + left.len() as u64 == 3).await;
    running.shutdown().await;
    assert_conserved(&shared);
}

#[tokio::test(start_paused = true)]
async fn by_choice_the_oldest_make_room() {
    let queue = "on_full: drop_oldest, max_shards: 1";
    let (running, shared) = start(&one("oldest", ", queue: 2600", queue), Clock::scaled(0, 1.0)).await;
    let (stage, out) = (stage("oldest"), output("oldest").await);
    *stage.hang.lock().unwrap() = true;
    for n in 0..20 {
        send(&out, &format!("a {n}"), Until::Enqueued).await.unwrap();
    }
    let lost = dropped(&shared, "backend", "queue_full");
    *stage.hang.lock().unwrap() = false;
    until("the rest is delivered", || stage.delivered.lock().unwrap().len() as u64 == 20 - lost).await;
    let delivered = stage.delivered.lock().unwrap().clone();
    assert_eq!(
        (delivered[0].as_str(), delivered.last().unwrap().as_str()),
        ("a 0", "a 19"),
        "but never what is under way"
    );
    assert!((9..=12).contains(&lost), "{lost}");
    running.shutdown().await;
    assert_conserved(&shared);
}

#[tokio::test(start_paused = true)]
async fn what_was_read_under_a_term_that_is_over_is_not_sent() {
    let (running, shared) = start(&one("term", "", "max_shards: 1"), Clock::scaled(0, 1.0)).await;
    let (stage, out) = (stage("term"), output("term").await);
    let lease = Arc::new(Lease::default());
    stage.script.lock().unwrap().push_back(Outcome::DELIVERED);
    stage.script.lock().unwrap().extend((0..3).map(|_| retry()));
    for n in 0..3 {
        let header = Header { term: Some(lease.term()), ..Header::default() };
        let batch = Batch { header, ..Batch::metrics(testkit::metrics(&format!("a {n}"))) };
        out.send(batch, Until::Enqueued).await.unwrap();
    }
    until("the second was tried", || stage.attempts.lock().unwrap().len() == 2).await;
    lease.end();
    send(&out, "b 1", Until::Settled).await.unwrap();
    assert_eq!(*stage.delivered.lock().unwrap(), ["a 0", "b 1"]);
    assert_eq!(dropped(&shared, "backend", "stepped_down"), 2);
    running.shutdown().await;
    assert_conserved(&shared);
}

/// Every series' values in the order in which they were delivered.
fn by_series(delivered: &[String]) -> BTreeMap<&str, Vec<u64>> {
    let mut series: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for line in delivered {
        let (name, value) = line.split_once(' ').unwrap();
        series.entry(name).or_default().push(value.parse().unwrap());
    }
    series
}

/// Every series got its values from 0 to 599 in their order, by as many requests at once as there may be.
fn assert_in_order_and_abreast(stage: &Stage) {
    let delivered = stage.delivered.lock().unwrap();
    for (series, values) in by_series(&delivered) {
        assert_eq!(values, (0..600).collect::<Vec<u64>>(), "{series}");
    }
    assert_eq!(stage.under_way.lock().unwrap().1, 8, "as many requests at once as there may be");
}

#[tokio::test(start_paused = true)]
async fn shards_follow_the_load_and_no_series_leaves_its_order() {
    let queue = "min_shards: 1, max_shards: 8, queue_size: 64MiB";
    let (running, shared) = start(&one("lanes", ", lanes: true, max_elapsed: 1h", queue), Clock::scaled(0, 1.0)).await;
    let (stage, out) = (stage("lanes"), output("lanes").await);
    *stage.delay.lock().unwrap() = Duration::from_millis(500);
    *stage.flaky.lock().unwrap() = Some(7);
    // One shard of a backend that takes half a second delivers 16 points a second of the 160 that come.
    for n in 0..600 {
        let points: Vec<String> = (0..16).map(|s| format!("s{s} {n}")).collect();
        send(&out, &points.join("\n"), Until::Enqueued).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    until("all are delivered", || stage.delivered.lock().unwrap().len() == 600 * 16).await;
    assert_in_order_and_abreast(&stage);
    running.shutdown().await;
    assert_conserved(&shared);
}

#[tokio::test(start_paused = true)]
async fn a_backlog_in_one_shard_goes_out_abreast_and_no_series_leaves_its_order() {
    let keys = ", lanes: true, apart: true, max_elapsed: 1h";
    let queue = "min_shards: 1, max_shards: 8, queue_size: 64MiB";
    let (running, shared) = start(&one("abreast", keys, queue), Clock::scaled(0, 1.0)).await;
    let (stage, out) = (stage("abreast"), output("abreast").await);
    *stage.delay.lock().unwrap() = Duration::from_millis(500);
    *stage.flaky.lock().unwrap() = Some(7);
    // All at once, so that all of it is in the one shard there is. Alone it would need ten minutes.
    for n in 0..600 {
        let points: Vec<String> = (0..16).map(|s| format!("s{s} {n}")).collect();
        send(&out, &points.join("\n"), Until::Enqueued).await.unwrap();
    }
    let start = tokio::time::Instant::now();
    until("all are delivered", || stage.delivered.lock().unwrap().len() == 600 * 16).await;
    assert!(start.elapsed() < Duration::from_secs(600 * 16 / 8 / 4), "{:?}", start.elapsed());
    assert_in_order_and_abreast(&stage);
    running.shutdown().await;
    assert_conserved(&shared);
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_is_down_is_asked_with_one_request_at_a_time() {
    let queue = "min_shards: 8, max_shards: 8";
    let (running, shared) = start(&one("open", ", lanes: true, max_elapsed: 1h", queue), Clock::scaled(0, 1.0)).await;
    let (stage, out) = (stage("open"), output("open").await);
    *stage.delay.lock().unwrap() = Duration::from_millis(100);
    stage.script.lock().unwrap().extend((0..60).map(|_| retry()));
    let points: Vec<String> = (0..64).map(|s| format!("s{s} 1")).collect();
    send(&out, &points.join("\n"), Until::Enqueued).await.unwrap();
    until("the circuit is open", || shared.board.read()["exporter:backend"].status != steadyline_component::Status::Ok)
        .await;
    until("many were refused", || stage.attempts.lock().unwrap().len() >= 12).await;
    stage.under_way.lock().unwrap().1 = 0;
    until("more were refused", || stage.attempts.lock().unwrap().len() >= 20).await;
    assert_eq!(stage.under_way.lock().unwrap().1, 1);
    stage.script.lock().unwrap().clear();
    until("all are delivered", || stage.delivered.lock().unwrap().len() == 64).await;
    running.shutdown().await;
    assert_conserved(&shared);
}
