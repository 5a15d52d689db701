//! When targets are scraped, and what happens when there is no time or no room.

use std::time::Duration;

use steadyline_component::{SendError, Until};
use steadyline_http::testkit::{Backend, Reply};

use crate::common::{INTERVAL, Rig, START, job, lines, metrics_of, target};

#[tokio::test]
async fn targets_are_spread_and_each_is_scraped_within_its_first_interval() {
    let backend = target(&["a 1\n"]).await;
    let paths: Vec<String> = (0..20)
        .map(|n| format!("{{targets: [\"{}\"], labels: {{__metrics_path__: /m{n}}}}}", backend.address))
        .collect();
    let config = format!(
        "config: {{scrape_configs: [{{job_name: test, scrape_interval: 10s, static_configs: [{}]}}]}}",
        paths.join(", ")
    );
    let rig = Rig::start(&config).await;
    for _ in 0..100 {
        rig.clock.advance(INTERVAL / 100);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    rig.intake.wait_for(20).await;
    let batches = rig.intake.take();
    assert_eq!(batches.len(), 20);
    assert!(batches.iter().all(|batch| &*batch.header.source == "prometheus" && batch.header.permit.is_some()));
    let times = batches.into_iter().map(|batch| metrics_of(batch).tables().points[0].time);
    let offsets: std::collections::BTreeSet<u64> = times.map(|time| time - START * 1_000_000_000).collect();
    assert!(offsets.len() > 10, "{offsets:?}");
    assert!(offsets.iter().all(|offset| *offset <= INTERVAL.as_nanos() as u64));
    assert_eq!(rig.intake.last_until().unwrap_or(Until::Enqueued), Until::Enqueued);
    assert_eq!(rig.count("prometheus_targets"), 20.0);
}

#[tokio::test]
async fn the_request_says_what_it_wants() {
    let backend = target(&["a 1\n"]).await;
    let keys = "metrics_path: /deep/metrics\nparams: {module: [a, b]}\nscrape_timeout: 1500ms\nhttp_headers: {X-Tenant: {values: [one]}}";
    let rig = Rig::start(&job(&backend, keys)).await;
    rig.scrape().await;
    let request = &backend.requests()[0];
    assert_eq!(request.line, "GET /deep/metrics");
    assert_eq!(request.header("x-prometheus-scrape-timeout-seconds"), "1.5");
    assert_eq!(request.header("x-tenant"), "one");
    assert!(request.header("user-agent").starts_with("steadyline/"));
    let accept = request.header("accept");
    assert!(
        accept.starts_with("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=")
            && accept.contains("*/*;q="),
        "{accept}"
    );
}

#[tokio::test]
async fn a_slow_scrape_skips_what_it_is_too_late_for() {
    let gate = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let open = std::sync::Arc::clone(&gate);
    let backend = Backend::start(move |_, number| match number {
        0 if !open.load(std::sync::atomic::Ordering::Relaxed) => Reply::Hang,
        _ => Reply::status(200, "a 1\n").with("content-type", "text/plain"),
    })
    .await;
    let rig = Rig::start(&job(&backend, "scrape_timeout: 10s")).await;
    rig.clock.advance(INTERVAL);
    crate::common::until(|| !backend.requests().is_empty()).await;
    // It hangs until its timeout, and the clock is three intervals on before anybody looks.
    rig.clock.advance(INTERVAL * 3);
    rig.intake.wait_for(1).await;
    assert_eq!(lines(&metrics_of(rig.intake.take().remove(0)))[1..], ["up 0"]);
    assert_eq!(rig.scrape().await[1..], ["a 1", "up 1"]);
    assert_eq!(backend.requests().len(), 2);
    assert_eq!(rig.count("prometheus_scrapes_skipped"), 3.0);
}

#[tokio::test]
async fn a_pipeline_without_room_is_waited_for_and_nothing_is_lost_or_doubled() {
    let backend = target(&["a 1\n", "a 2\n", "a 3\n"]).await;
    let rig = Rig::start(&job(&backend, "")).await;
    rig.intake.answer(Some(SendError::Busy { retry_after: None }));
    rig.clock.advance(INTERVAL);
    crate::common::until(|| rig.count("prometheus_scrapes") >= 1.0).await;
    rig.settle().await;
    assert!(rig.intake.take().is_empty());
    rig.intake.answer(None);
    rig.clock.advance(Duration::from_secs(1));
    rig.intake.wait_for(1).await;
    assert_eq!(lines(&metrics_of(rig.intake.take().remove(0)))[1..], ["a 1", "up 1"]);

    rig.intake.answer(Some(SendError::Busy { retry_after: None }));
    rig.clock.advance(INTERVAL);
    crate::common::until(|| rig.count("prometheus_scrapes") >= 2.0).await;
    let intake = rig.stop().await;
    assert_eq!(intake.take_refused(), [("shutting_down", 6)], "what was scraped and not taken is counted");
}

#[tokio::test]
async fn it_stops_at_once_also_in_the_middle_of_a_scrape() {
    let backend = Backend::start(|_, _| Reply::Hang).await;
    let rig = Rig::start(&job(&backend, "")).await;
    rig.clock.advance(INTERVAL);
    crate::common::until(|| !backend.requests().is_empty()).await;
    assert!(rig.stop().await.take().is_empty());
}

#[tokio::test]
async fn what_is_listed_twice_is_scraped_once() {
    let backend = target(&["a 1\n"]).await;
    let twice = format!(
        "static_configs: [{{targets: [\"{0}\", \"{0}\"]}}, {{targets: [\"{0}\"], labels: {{x: ''}}}}]",
        backend.address
    );
    let config =
        format!("config:\n  scrape_configs:\n    - job_name: test\n      scrape_interval: 10s\n      {twice}\n");
    let rig = Rig::start(&config).await;
    assert_eq!(rig.scrape().await[1..], ["a 1", "up 1"]);
    assert_eq!(rig.count("prometheus_targets"), 1.0);
}

#[tokio::test]
async fn a_scrape_waits_for_memory_and_then_goes_on() {
    let backend = target(&["a 1\n"]).await;
    let rig = Rig::with_budget(&job(&backend, ""), 1 << 20).await;
    for scrapes in 0..3 {
        let mut taken = Vec::new();
        while let Some(permit) = rig.budget.try_acquire(1 << 10) {
            taken.push(permit);
        }
        rig.clock.advance(INTERVAL);
        rig.settle().await;
        assert_eq!(backend.requests().len(), scrapes, "it does not even ask");
        assert!(rig.intake.take().is_empty());
        drop(taken);
        rig.intake.wait_for(1).await;
        assert_eq!(lines(&metrics_of(rig.intake.take().remove(0)))[1..], ["a 1", "up 1"]);
        rig.memory_is_given_back().await;
    }
}
