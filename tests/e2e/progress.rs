//! The worked example of `docs/progress.md`, whole: its config runs in the built binary, a job reports, and what its dashboard
//! and its alerts are about arrives.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::common::backend::Backend;
use crate::common::dynamodb::scratch;
use crate::common::http;
use crate::common::steadyline::{Launch, Steadyline};
use crate::common::tools::root;
use crate::common::wait::until_true;

/// The page's first block of YAML.
fn config() -> String {
    let page = std::fs::read_to_string(root().join("docs/progress.md")).unwrap();
    let block = page.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next());
    block.unwrap().to_owned()
}

async fn run(backend: &Backend, folder: &str) -> (Steadyline, String) {
    let launch = Launch::new(&config()).env("REMOTE_WRITE_ENDPOINT", &backend.url()).env("STATE_DIRECTORY", folder);
    let mut steadyline = launch.set("receivers.otlp.protocols.http.endpoint", "127.0.0.1:0").run().await;
    let line = steadyline.wait_log("listening").await;
    let url = format!("http://{}/v1/metrics", line["endpoint"].as_str().unwrap());
    (steadyline, url)
}

/// The job says what is left.
async fn say(url: &str, left: i64) {
    let text = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let point = json!({"asInt": left.to_string(), "attributes": [text("account_id", "a")]});
    let metric = json!({"name": "sync.expand.actions_remaining", "unit": "{action}", "gauge": {"dataPoints": [point]}});
    let resource = json!({"attributes": [text("env", "prod")]});
    let body = json!({"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": [metric]}]}]});
    let answer = http::post(url, &[("content-type", "application/json")], body.to_string()).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// Says it, and waits until the counter arrives.
async fn counts(backend: &Backend, url: &str, left: i64, burned: f64) {
    let seen = backend.line("sync_expand_actions_remaining", "a").len();
    say(url, left).await;
    until_true(&format!("{left} left and {burned} burned"), async || {
        let arrived = backend.line("sync_expand_actions_remaining", "a");
        let counter = backend.line("sync_expand_actions_burned_total", "a");
        arrived.len() > seen && counter.last().is_some_and(|sample| sample.value == burned)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_counts_down_has_a_counter_that_outlives_a_restart() {
    let (backend, state) = (Backend::willing().await, scratch());
    let folder = state.path().join("kept");
    let (mut first, url) = run(&backend, folder.to_str().unwrap()).await;
    for (left, burned) in [(5, 0.0), (3, 2.0), (7, 2.0), (6, 3.0)] {
        counts(&backend, &url, left, burned).await;
    }
    first.finish().await;
    let (mut second, url) = run(&backend, folder.to_str().unwrap()).await;
    counts(&backend, &url, 1, 8.0).await;
    second.finish().await;

    let counter = backend.line("sync_expand_actions_burned_total", "a");
    assert!(
        counter.windows(2).all(|pair| pair[0].value <= pair[1].value && pair[0].time < pair[1].time),
        "{counter:?}"
    );
    let arrived: BTreeSet<String> = backend.taken().into_keys().map(|labels| labels["__name__"].clone()).collect();
    let shown = |text: &str| -> BTreeSet<String> {
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        words.filter(|word| word.starts_with("sync_expand_")).map(str::to_owned).collect()
    };
    for file in ["progress.json", "progress.rules.yml"] {
        let names = shown(&std::fs::read_to_string(root().join("dashboards").join(file)).unwrap());
        assert!(names.len() >= 3 && names.is_subset(&arrived), "{file}: {names:?}, but what arrives is {arrived:?}");
    }
    let labels: BTreeSet<Vec<String>> =
        backend.taken().into_keys().map(|labels| labels.into_keys().collect()).collect();
    let wanted: Vec<String> = ["__name__", "account_id", "env"].map(str::to_owned).into();
    assert!(labels.contains(&wanted), "{labels:?}");
    let dashboard: Value =
        serde_json::from_str(&std::fs::read_to_string(root().join("dashboards/progress.json")).unwrap()).unwrap();
    assert_eq!(dashboard["uid"], "steadyline-progress");
}
