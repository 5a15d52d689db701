//! Targets that come and go.

use std::time::Duration;

use steadyline_http::testkit::{Backend, Reply};

use crate::common::{INTERVAL, Rig, target};

fn job(discovery: &str) -> String {
    format!("config:\n  scrape_configs:\n    - job_name: test\n      scrape_interval: 10s\n      {discovery}\n")
}

#[tokio::test]
async fn files_are_read_again_when_they_change_and_keep_their_targets_when_they_break() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("targets.yml");
    let backend = target(&["a 1\n"]).await;
    let list = |zone: &str| format!("- targets: ['{}']\n  labels: {{zone: {zone}}}\n", backend.address);
    std::fs::write(&file, list("one")).unwrap();
    let relabel = "\n      relabel_configs: [{source_labels: [__meta_filepath], regex: '.*/(.*)', target_label: file}]";
    let rig =
        Rig::start(&job(&format!("file_sd_configs: [{{files: ['{}/*.yml']}}]{relabel}", folder.path().display())))
            .await;
    assert_eq!(rig.scrape().await[1], "a{file=\"targets.yml\",zone=\"one\"} 1");
    std::fs::write(&file, "- targets: [").unwrap();
    rig.step(INTERVAL).await;
    assert_eq!(rig.count("prometheus_discovery_failures"), 1.0);
    assert_eq!(rig.count("prometheus_targets"), 1.0);
    std::fs::write(&file, list("number two")).unwrap();
    // Another label is another target: the first ends.
    let came = rig.step_until(INTERVAL, |lines| lines[1] == "a{file=\"targets.yml\",zone=\"one\"} stale").await;
    let is_new = |metrics: &_| crate::common::lines(metrics)[1] == "a{file=\"targets.yml\",zone=\"number two\"} 1";
    assert!(came.iter().any(is_new));
    std::fs::remove_file(&file).unwrap();
    rig.step_until(INTERVAL, |lines| lines[1] == "a{file=\"targets.yml\",zone=\"number two\"} stale").await;
    assert_eq!(rig.count("prometheus_targets"), 0.0);
}

#[tokio::test]
async fn a_server_lists_targets_and_its_failures_change_nothing() {
    let backend = target(&["a 1\n"]).await;
    let address = backend.address;
    let server = Backend::start(move |_, number| match number {
        0 => Reply::status(
            200,
            &format!("[{{\"targets\":[\"{address}\"],\"labels\":{{\"zone\":\"x\",\"__meta_kind\":\"k\"}}}}]"),
        )
        .with("content-type", "application/json; charset=utf-8"),
        1 => Reply::status(500, "no"),
        2 => Reply::status(200, "[]").with("content-type", "text/html"),
        3 => Reply::status(200, "{}").with("content-type", "application/json"),
        _ => Reply::status(200, "[]").with("content-type", "application/json"),
    })
    .await;
    let discovery = format!(
        "http_sd_configs: [{{url: \"{}/targets\", refresh_interval: 30s, basic_auth: {{username: u, password: p}}}}]\n      relabel_configs: [{{source_labels: [__meta_kind], target_label: kind}}]",
        server.url()
    );
    let rig = Rig::start(&job(&discovery)).await;
    rig.counted("prometheus_targets", 1.0).await;
    rig.step_until(INTERVAL, |lines| lines[1] == "a{kind=\"k\",zone=\"x\"} 1").await;
    for failures in [1.0, 2.0, 3.0] {
        while rig.count("prometheus_discovery_failures") < failures && server.requests().len() < failures as usize + 1 {
            rig.step(Duration::from_secs(1)).await;
        }
        rig.counted("prometheus_discovery_failures", failures).await;
    }
    assert_eq!(rig.count("prometheus_targets"), 1.0);
    while server.requests().len() < 5 {
        rig.step(Duration::from_secs(1)).await;
    }
    rig.counted("prometheus_targets", 0.0).await;
    rig.step_until(INTERVAL, |lines| lines[1] == "a{kind=\"k\",zone=\"x\"} stale").await;
    let request = &server.requests()[0];
    assert_eq!((request.line.as_str(), request.header("accept")), ("GET /targets", "application/json"));
    assert_eq!(request.header("x-prometheus-refresh-interval-seconds"), "30");
    assert_eq!(request.header("authorization"), "Basic dTpw");
}

#[tokio::test]
async fn what_is_no_target_is_left_out_and_the_others_are_scraped() {
    let backend = target(&["a 1\n"]).await;
    let folder = tempfile::tempdir().unwrap();
    let list = format!("[{{\"targets\": [\"http://x/y\", \"{}\", \"\"]}}]", backend.address);
    std::fs::write(folder.path().join("t.json"), list).unwrap();
    let rig = Rig::start(&job(&format!("file_sd_configs: [{{files: ['{}/t.json']}}]", folder.path().display()))).await;
    assert_eq!(rig.scrape().await[1..], ["a 1", "up 1"]);
    assert_eq!(rig.count("prometheus_targets"), 1.0);
}

#[tokio::test]
async fn a_target_that_only_moves_keeps_its_series() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t.json");
    let backend = target(&["a 1\n"]).await;
    let list = |path: &str| {
        let labels = format!("{{\"__metrics_path__\": \"{path}\"}}");
        std::fs::write(&file, format!("[{{\"targets\": [\"{}\"], \"labels\": {labels}}}]", backend.address)).unwrap();
    };
    list("/old");
    let rig = Rig::start(&job(&format!("file_sd_configs: [{{files: ['{}']}}]", file.display()))).await;
    let mut came = rig.step(INTERVAL).await;
    list("/much/newer");
    for _ in 0..10 {
        came.extend(rig.step(INTERVAL / 2).await);
    }
    let paths: std::collections::BTreeSet<String> =
        backend.requests().into_iter().map(|request| request.line).collect();
    assert_eq!(paths.into_iter().collect::<Vec<_>>(), ["GET /much/newer", "GET /old"]);
    assert!(came.len() >= 4);
    assert!(came.iter().all(|metrics| crate::common::lines(metrics)[1..] == ["a 1", "up 1"]));
}
