//! Delivery end to end inside the engine: order, retry, split, refusal, back-pressure, fan-out, shutdown.
//! Time is tokio's, paused: waits are exact and cost nothing.
#![allow(clippy::unwrap_used, reason = "a panic is the failure it reports")]

mod support;

use std::time::Duration;

use steadyline_component::{Clock, Outcome, SendError, SettleError, Status, Until};
use support::*;

fn one_backend(name: &str, body: &str) -> String {
    format!(
        "receivers: {{source: {{name: {name}}}}}\n\
         exporters: {{backend: {{name: {name}{body}}}}}\n\
         service:\n  shutdown_timeout: 20s\n  telemetry: {{metrics: {{level: none}}}}\n  \
         pipelines: {{metrics: {{receivers: [source], exporters: [backend]}}}}\n"
    )
}

fn retry(after: Option<Duration>) -> Outcome {
    Outcome::Retry { reason: "http_503".into(), message: "busy".into(), after }
}

#[tokio::test(start_paused = true)]
async fn a_retry_holds_its_place_and_nothing_is_lost() {
    let (running, shared) = start(&one_backend("retry", ""), Clock::scaled(0, 1.0)).await;
    let (stage, out) = (stage("retry"), output("retry").await);
    stage.script.lock().unwrap().extend([retry(None), retry(Some(Duration::from_secs(30))), retry(None)]);
    let began = tokio::time::Instant::now();
    for n in 0..3 {
        send(&out, &format!("a {n}"), Until::Enqueued).await.unwrap();
    }
    until("all three are delivered", || stage.delivered.lock().unwrap().len() == 3).await;
    assert_eq!(*stage.delivered.lock().unwrap(), ["a 0", "a 1", "a 2"]);
    assert_eq!(stage.attempts.lock().unwrap().len(), 6);
    assert!(began.elapsed() >= Duration::from_secs(30), "Retry-After is obeyed");
    let report = running.shutdown().await;
    assert_eq!((report.delivered, report.dropped), (3, 0));
    assert_conserved(&shared);
}

#[tokio::test(start_paused = true)]
async fn too_large_goes_in_halves_and_a_refusal_is_final() {
    let (running, shared) = start(&one_backend("halves", ""), Clock::scaled(0, 1.0)).await;
    let (stage, out) = (stage("halves"), output("halves").await);
    let large = || Outcome::TooLarge { message: "1 MB".into() };
    let no = Outcome::Reject { reason: "http_400".into(), message: "out of order".into() };
    stage.script.lock().unwrap().extend([large(), Outcome::DELIVERED, large(), large(), no]);
    send(&out, "a 1\nb 2\nc 3", Until::Enqueued).await.unwrap();
    send(&out, "d 4", Until::Enqueued).await.unwrap();
    until("the last is delivered", || stage.delivered.lock().unwrap().last().is_some_and(|last| last == "d 4")).await;
    assert_eq!(*stage.delivered.lock().unwrap(), ["a 1", "d 4"]);
    // `b` alone cannot be split any more; `c` is refused by the script.
    assert_eq!((dropped(&shared, "backend", "too_large"), dropped(&shared, "backend", "http_400")), (1, 1));
    running.shutdown().await;
    assert_conserved(&shared);
}

#[tokio::test(start_paused = true)]
async fn settled_means_delivered() {
    let (running, shared) = start(&one_backend("settled", ""), Clock::scaled(0, 1.0)).await;
    let (stage, out) = (stage("settled"), output("settled").await);
    stage.script.lock().unwrap().push_back(retry(None));
    send(&out, "a 1", Until::Settled).await.unwrap();
    assert_eq!(*stage.delivered.lock().unwrap(), ["a 1"]);
    let no = Outcome::Reject { reason: "http_400".into(), message: "bad".into() };
    stage.script.lock().unwrap().push_back(no);
    let error = send(&out, "b 1", Until::Settled).await.unwrap_err();
    assert_eq!(error, SendError::NotSettled(SettleError::Final("bad".into())));
    let partial = Outcome::Delivered { dropped: 1, message: "one was odd".into() };
    stage.script.lock().unwrap().push_back(partial);
    assert!(send(&out, "c 1\nd 2", Until::Settled).await.is_err());
    assert_eq!(dropped(&shared, "backend", "partial_success"), 1);
    running.shutdown().await;
    assert_conserved(&shared);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_holds_the_source_and_loses_nothing() {
    let (running, shared) = start(&one_backend("full", ", queue: 600"), Clock::scaled(0, 1.0)).await;
    let (stage, out) = (stage("full"), output("full").await);
    *stage.hang.lock().unwrap() = true;
    send(&out, "a 1", Until::Enqueued).await.unwrap();
    send(&out, "b 1", Until::Enqueued).await.unwrap();
    let third = send(&out, "c 1", Until::Enqueued);
    tokio::pin!(third);
    assert!(tokio::time::timeout(Duration::from_secs(60), &mut third).await.is_err(), "there is no room");
    *stage.hang.lock().unwrap() = false;
    third.await.unwrap();
    until("all are delivered", || stage.delivered.lock().unwrap().len() == 3).await;
    assert_eq!(*stage.delivered.lock().unwrap(), ["a 1", "b 1", "c 1"]);
    running.shutdown().await;
    assert_conserved(&shared);
}

#[tokio::test(start_paused = true)]
async fn by_default_a_block_in_memory_is_given_up_after_an_hour_and_one_with_a_disk_never() {
    let folder = tempfile::tempdir().unwrap();
    let disk = format!("extensions: {{folder: {{name: {}}}}}\n", folder.path().display());
    let queue = |more: &str| format!(", sending_queue: {{storage: folder, max_shards: 1{more}}}");
    for (name, extensions, keys, delivered, lost) in [
        ("budget_memory", "", String::new(), 0, Some("retries_exhausted")),
        ("budget_disk", &disk, queue(""), 1, None),
        ("budget_age", &disk, queue(", max_age: 2h"), 0, Some("too_old")),
        ("budget_written", &disk, format!(", max_elapsed: 5m{}", queue("")), 0, Some("retries_exhausted")),
    ] {
        let yaml = one_backend(name, &keys) + extensions;
        let (running, shared) = start(&yaml, Clock::scaled(0, 1.0)).await;
        let stage = stage(name);
        *stage.flaky.lock().unwrap() = Some(1);
        send(&output(name).await, "a 1", Until::Enqueued).await.unwrap();
        // A whole afternoon.
        tokio::time::sleep(Duration::from_secs(4 * 3600)).await;
        assert_eq!(stage.attempts.lock().unwrap().len() > 180, lost != Some("retries_exhausted"), "{name}");
        *stage.flaky.lock().unwrap() = None;
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(stage.delivered.lock().unwrap().len(), delivered, "{name}");
        let account = shared.books.read().into_iter().find(|account| account.id == "backend").unwrap();
        let reasons: Vec<String> = account.tally.balance().dropped.keys().map(ToString::to_string).collect();
        assert_eq!(reasons, Vec::from_iter(lost), "{name}");
        running.shutdown().await;
        assert_conserved(&shared);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stuck_branch_costs_itself_only() {
    let yaml = "receivers: {source: {name: stuck}}\n\
         exporters: {backend/a: {name: stuck_a, queue: 300}, backend/b: {name: stuck_b}}\n\
         service:\n  shutdown_timeout: 1s\n  telemetry: {metrics: {level: none}}\n  \
         pipelines:\n    metrics/a: {receivers: [source], exporters: [backend/a]}\n    metrics/b: {receivers: [source], exporters: [backend/b]}\n";
    let (running, shared) = start(yaml, Clock::scaled(0, 1.0)).await;
    let (a, b, out) = (stage("stuck_a"), stage("stuck_b"), output("stuck").await);
    *a.hang.lock().unwrap() = true;
    let began = tokio::time::Instant::now();
    for n in 0..50 {
        send(&out, &format!("x {n}"), Until::Enqueued).await.unwrap();
    }
    let took = began.elapsed();
    assert!(
        took >= Duration::from_secs(5) && took < Duration::from_secs(11),
        "held once, then dropped at once: {took:?}"
    );
    until("the healthy branch has all", || b.delivered.lock().unwrap().len() == 50).await;
    assert_eq!(dropped(&shared, "backend/a", "queue_full"), 49);
    let report = running.shutdown().await;
    assert_eq!(report.abandoned, 1);
    assert_conserved(&shared);
}

#[tokio::test(start_paused = true)]
async fn shutdown_drains_and_counts_what_it_cannot() {
    let (running, shared) = start(&one_backend("drain", ""), Clock::scaled(0, 1.0)).await;
    let (stage, out) = (stage("drain"), output("drain").await);
    stage.script.lock().unwrap().push_back(retry(Some(Duration::from_secs(3))));
    for n in 0..3 {
        send(&out, &format!("a {n}"), Until::Enqueued).await.unwrap();
    }
    let report = running.shutdown().await;
    assert_eq!((report.delivered, report.dropped, report.abandoned), (3, 0, 0));
    assert!(send(&out, "late 1", Until::Settled).await.is_err());
    assert_conserved(&shared);
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_stays_down_is_given_up_after_the_budget() {
    let (running, shared) = start(&one_backend("down", ", max_elapsed: 1m"), Clock::scaled(0, 1.0)).await;
    let (stage, out) = (stage("down"), output("down").await);
    stage.script.lock().unwrap().extend((0..1000).map(|_| retry(None)));
    let error = send(&out, "a 1", Until::Settled).await.unwrap_err();
    assert!(matches!(error, SendError::NotSettled(SettleError::Retryable(_))), "{error}");
    assert_eq!(dropped(&shared, "backend", "retries_exhausted"), 1);
    let status = shared.board.read()["exporter:backend"].status.clone();
    assert!(matches!(status, Status::Degraded(_)), "{status:?}");
    running.shutdown().await;
    assert_conserved(&shared);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_gives_up_waiting_loses_nothing() {
    let (running, shared) = start(&one_backend("giveup", ", queue: 300"), Clock::scaled(0, 1.0)).await;
    let (stage, out) = (stage("giveup"), output("giveup").await);
    *stage.hang.lock().unwrap() = true;
    send(&out, "a 1", Until::Enqueued).await.unwrap();
    let second = send(&out, "b 1", Until::Enqueued);
    assert!(tokio::time::timeout(Duration::from_secs(20), second).await.is_err(), "there is no room");
    assert_conserved(&shared);
    *stage.hang.lock().unwrap() = false;
    until("both are delivered", || stage.delivered.lock().unwrap().len() == 2).await;
    running.shutdown().await;
    assert_conserved(&shared);
}

#[tokio::test(start_paused = true)]
async fn one_exporter_alone_never_drops_for_lack_of_room() {
    let yaml = "receivers: {source: {name: alone}}\nexporters: {backend: {name: alone, queue: 300}}\n\
         processors: {halves: {}}\n\
         service:\n  shutdown_timeout: 20s\n  telemetry: {metrics: {level: none}}\n  \
         pipelines: {metrics: {receivers: [source], processors: [halves], exporters: [backend]}}\n";
    let (running, shared) = start(yaml, Clock::scaled(0, 1.0)).await;
    let (stage, out) = (stage("alone"), output("alone").await);
    stage.script.lock().unwrap().push_back(retry(Some(Duration::from_secs(60))));
    // Each batch leaves the processor as two: the first of them has room, the second has not.
    send(&out, "a 1\nb 2", Until::Enqueued).await.unwrap();
    until("both are delivered", || stage.delivered.lock().unwrap().len() == 2).await;
    assert_eq!(dropped(&shared, "backend", "queue_full"), 0);
    running.shutdown().await;
    assert_conserved(&shared);
}

#[tokio::test(start_paused = true)]
async fn a_stuck_exporter_does_not_keep_a_healthy_pipeline_from_draining() {
    let yaml = "receivers: {source/a: {name: stop_a}, source/b: {name: stop_b}}\n\
         exporters: {backend/a: {name: stop_a, queue: 300}, backend/b: {name: stop_b}}\n\
         processors: {halves: {wait: true}}\n\
         service:\n  shutdown_timeout: 10s\n  telemetry: {metrics: {level: none}}\n  \
         pipelines:\n    metrics/a: {receivers: [source/a], exporters: [backend/a]}\n    \
         metrics/b: {receivers: [source/b], processors: [halves], exporters: [backend/b]}\n";
    let (running, shared) = start(yaml, Clock::scaled(0, 1.0)).await;
    let (a, b) = (output("stop_a").await, output("stop_b").await);
    *stage("stop_a").hang.lock().unwrap() = true;
    send(&a, "x 1", Until::Enqueued).await.unwrap();
    let waits = tokio::spawn(async move { send(&a, "y 2", Until::Enqueued).await });
    send(&b, "z 3", Until::Enqueued).await.unwrap();
    tokio::task::yield_now().await;
    let report = running.shutdown().await;
    assert_eq!(waits.await.unwrap(), Err(SendError::ShuttingDown));
    assert_eq!(*stage("stop_b").delivered.lock().unwrap(), ["z 3"], "what a processor held back is drained");
    assert_eq!((report.delivered, report.dropped, report.abandoned), (1, 2, 1));
    assert_conserved(&shared);
}

#[tokio::test(start_paused = true)]
async fn a_backend_cannot_silence_us_with_retry_after() {
    let (running, shared) = start(&one_backend("silence", ", max_elapsed: 1h"), Clock::scaled(0, 1.0)).await;
    let (stage, out) = (stage("silence"), output("silence").await);
    stage.script.lock().unwrap().extend([
        retry(None),
        retry(Some(Duration::MAX)),
        retry(Some(Duration::from_secs(7200))),
    ]);
    let began = tokio::time::Instant::now();
    send(&out, "a 1", Until::Settled).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(700), "{:?}", began.elapsed());
    running.shutdown().await;
    assert_conserved(&shared);
}

#[test]
fn delivery_keys_out_of_bounds_are_errors() {
    let text =
        graph(&one_backend("bounds", ", multiplier: 1e30, consumers: 4000000000"), Clock::manual(0)).err().unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "2 out-of-range exporters.backend.retry_on_failure.multiplier: 1000000000000000000000000000000 is not between 1 and 100",
            "2 out-of-range exporters.backend.sending_queue.num_consumers: 4000000000 is not between 1 and 200",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_connector_carries_data_from_one_pipeline_to_the_next() {
    let yaml = "receivers: {source: {name: joined}}\nexporters: {backend: {name: joined}}\nconnectors: {join: }\n\
         processors: {halves: {wait: true}}\n\
         service:\n  shutdown_timeout: 20s\n  telemetry: {metrics: {level: none}}\n  pipelines:\n    \
         metrics/in: {receivers: [source], processors: [halves], exporters: [join]}\n    \
         metrics/out: {receivers: [join], processors: [halves], exporters: [backend]}\n";
    let (running, shared) = start(yaml, Clock::scaled(0, 1.0)).await;
    let out = output("joined").await;
    send(&out, "a 1\nb 2", Until::Enqueued).await.unwrap();
    // Both pipelines hold everything back until they are drained, the second after the first.
    let report = running.shutdown().await;
    assert_eq!(*stage("joined").delivered.lock().unwrap(), ["a 1", "b 2"]);
    assert_eq!((report.delivered, report.dropped), (2, 0));
    assert_conserved(&shared);
}
