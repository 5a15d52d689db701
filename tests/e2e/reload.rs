//! Reload of the real process: by SIGHUP, by a changed file, by `steadyline reload` with its verdict; good configs, bad
//! ones, a port that is taken; and under load.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;
use tempfile::TempDir;

use crate::common::backend::{Arrived, Backend};
use crate::common::dynamodb::{Emulator, Table};
use crate::common::http;
use crate::common::onboarding::{self, four_accounts};
use crate::common::server::Reply;
use crate::common::steadyline::{Launch, Steadyline, unix_seconds};
use crate::common::wait::{PATIENCE, free_port, until_true};

/// A process whose config the test rewrites.
struct Rig {
    folder: TempDir,
    steadyline: Steadyline,
}

impl Rig {
    async fn start(config: &str, args: &[&str]) -> Rig {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.yaml"), config).unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
        let launch =
            Launch::bare().arg("--config").arg(&path("config.yaml")).arg("--control").arg(&path("control.sock"));
        let launch = args.iter().fold(launch, |launch, arg| launch.arg(arg));
        Rig { steadyline: launch.with_keys().run().await, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, config: &str) {
        // As editors do it: a new file in the place of the old one.
        std::fs::write(self.path("config.new"), config).unwrap();
        std::fs::rename(self.path("config.new"), self.path("config.yaml")).unwrap();
    }

    /// Writes the config and asks for it: exit code, standard output, standard error.
    async fn reload(&self, config: &str) -> (i32, String, String) {
        self.write(config);
        Launch::bare().output(&["reload", "--control", self.path("control.sock").to_str().unwrap()]).await
    }

    /// How many reloads succeeded so far.
    fn reloads(&self) -> usize {
        self.steadyline.logged("reloaded").iter().filter(|line| line["message"] == "reloaded").count()
    }
}

/// OTLP in on this port, remote write out.
fn config(port: u16, backend: &Backend, processors: &str, list: &str) -> String {
    format!(
        "
receivers:
  otlp: {{protocols: {{http: {{endpoint: 127.0.0.1:{port}}}}}}}
processors: {{{processors}}}
exporters:
{}
service:
  pipelines:
    metrics: {{receivers: [otlp], processors: [{list}], exporters: [prometheusremotewrite]}}
",
        onboarding::remote_write(&backend.url())
    )
}

/// A request with 50 series of one sender, all with this value, a millisecond later for each.
fn request(sender: usize, value: usize, base: u64) -> String {
    let time = (base + value as u64 * 1_000_000).to_string();
    let text = |key: &str, value: String| json!({"key": key, "value": {"stringValue": value}});
    let point = |k: usize| {
        let attributes = [text("sender", sender.to_string()), text("k", k.to_string())];
        json!({"attributes": attributes, "timeUnixNano": time, "asDouble": value as f64})
    };
    let points: Vec<_> = (0..50).map(point).collect();
    json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": "load", "gauge": {"dataPoints": points}}]}]}]})
        .to_string()
}

/// Sends until it is taken; how often it was told to try again, or found nobody.
async fn post(port: u16, body: &str) -> usize {
    let url = format!("http://127.0.0.1:{port}/v1/metrics");
    let mut refusals = 0;
    let sending = async {
        loop {
            let answer = http::post(&url, &[("content-type", "application/json")], body.to_string()).await;
            let status = answer.as_ref().map_or(0, |answer| answer.status);
            assert!(matches!(status, 0 | 200 | 429 | 503), "nothing but try again: {status}");
            if status == 200 {
                return;
            }
            refusals += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, sending).await.expect("the request is taken in time");
    refusals
}

fn values(samples: &[Arrived]) -> Vec<f64> {
    samples.iter().map(|sample| sample.value).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_verdict_is_waited_for_and_a_config_that_is_no_good_changes_nothing() {
    let (port, backend) = (free_port(), Backend::willing().await);
    let good = config(port, &backend, "", "");
    let mut rig = Rig::start(&good, &[]).await;
    let base = (unix_seconds() * 1e9) as u64;
    post(port, &request(0, 0, base)).await;

    let (code, out, err) = rig.reload(&config(port, &backend, "batch:", "batch")).await;
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("reloaded: 2 components went on, 1 began, 0 ended"), "{out}");

    // With errors: 78, and the very words of `validate`.
    let bad = good.replace("timeout: 3s", "timeout: soon\n    tmieout: 3s");
    let (code, out, err) = rig.reload(&bad).await;
    assert_eq!((code, out.as_str()), (78, ""));
    let path = rig.path("config.yaml");
    let (_, _, validated) = Launch::bare().output(&["validate", "--config", path.to_str().unwrap()]).await;
    assert_eq!(err, validated);
    assert!(err.contains("tmieout") && err.contains("config.yaml:9"), "{err}");
    let line = rig.steadyline.wait_log("unknown key `tmieout`").await;
    assert!(line["place"].as_str().unwrap().contains("config.yaml:"), "{line}");
    rig.steadyline.wait_log("the new config has errors, the old one runs on").await;

    // A port that somebody else has: 1, and the old one listens where it did.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let (code, _, err) = rig.reload(&config(taken.local_addr().unwrap().port(), &backend, "", "")).await;
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("the old config runs on") && err.contains("receiver `otlp` could not start"), "{err}");
    post(port, &request(0, 1, base)).await;

    // Another port, and the first is free again.
    let other = free_port();
    let (code, _, err) = rig.reload(&config(other, &backend, "", "")).await;
    assert_eq!(code, 0, "{err}");
    post(other, &request(0, 2, base)).await;
    TcpListener::bind(("127.0.0.1", port)).expect("the old port is given back");
    until_true("all of it", async || backend.count() == 150).await;
    rig.steadyline.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_reloads_and_so_does_a_changed_file_by_choice() {
    let (port, backend) = (free_port(), Backend::willing().await);
    let with = |level: &str| format!("{}  telemetry: {{logs: {{level: {level}}}}}\n", config(port, &backend, "", ""));
    let mut rig = Rig::start(&with("info"), &["--watch"]).await;
    rig.write(&with("info").replace("timeout: 3s", "timeout: 4s"));
    rig.steadyline.wait_log("a file of the config changed").await;
    until_true("the verdict", async || rig.reloads() >= 1).await;
    rig.write("receivers: [");
    rig.steadyline.wait_log("the new config has errors").await;
    rig.write(&with("error"));
    rig.steadyline.process.signal(Signal::HUP);
    until_true("the verdict", async || rig.reloads() >= 2).await;
    // The level of the log holds at once: of this one there is no line.
    let (code, _, err) = rig.reload(&with("info")).await;
    assert_eq!(code, 0, "{err}");
    assert!(rig.steadyline.logged("`steadyline reload`: reading").is_empty());
    post(port, &request(0, 0, (unix_seconds() * 1e9) as u64)).await;
    until_true("the points", async || backend.count() == 50).await;
    rig.steadyline.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_of_the_user_is_found_and_of_several_one_must_be_named() {
    let runtime = tempfile::tempdir().unwrap();
    let folder = runtime.path().to_str().unwrap();
    let backend = Backend::willing().await;
    let start = async || {
        let config = config(free_port(), &backend, "", "");
        Launch::new(&config).env("XDG_RUNTIME_DIR", folder).run().await
    };
    let reload =
        async |args: &[&str]| Launch::bare().env("XDG_RUNTIME_DIR", folder).output(&[&["reload"], args].concat()).await;
    let (code, _, err) = reload(&[]).await;
    assert!(code == 1 && err.contains("no running process of this user was found"), "{err}");
    let mut one = start().await;
    let (code, out, _) = reload(&[]).await;
    assert!(code == 0 && out.contains("2 components went on, 0 began, 0 ended"), "{out}");
    let mut two = start().await;
    let (code, _, err) = reload(&[]).await;
    assert!(code == 1 && err.contains("--pid"), "{err}");
    let pid = err.split("this user runs ").nth(1).and_then(|rest| rest.split([',', ':']).next()).unwrap().to_string();
    let (code, _, err) = reload(&["--pid", &pid]).await;
    assert_eq!(code, 0, "{err}");
    one.finish().await;
    two.finish().await;
    let left: Vec<_> = std::fs::read_dir(runtime.path()).unwrap().flatten().collect();
    assert_eq!(left.len(), 1);
    assert_eq!(std::fs::read_dir(left[0].path()).unwrap().count(), 0, "the sockets are gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_go_on_through_reloads_and_end_with_their_receiver() {
    let table = Table::onboarding(Emulator::Embedded).await;
    table.api.put(four_accounts()).await;
    let (port, backend) = (free_port(), Backend::willing().await);
    let polled = onboarding::config(&table.api.url, "1s", &onboarding::remote_write(&backend.url()));
    let both = polled
        .replace(
            "processors:\n",
            &format!("  otlp: {{protocols: {{http: {{endpoint: 127.0.0.1:{port}}}}}}}\nprocessors:\n"),
        )
        .replace("[dynamodb/onboarding]", "[dynamodb/onboarding, otlp]");
    let mut rig = Rig::start(&both, &[]).await;
    let line = || backend.line("onboarding_completed_steps", "acct-a");
    until_true("the line", async || line().len() >= 2).await;
    // Another exporter config, another interval, another processor: the line goes on.
    for (from, to) in [("timeout: 3s", "timeout: 4s"), ("interval: 1s", "interval: 2s"), ("keep: [", "keep: [x, ")] {
        let (code, _, err) = rig.reload(&both.replace(from, to)).await;
        assert_eq!(code, 0, "{err}");
        let so_far = line().len();
        until_true("the line going on", async || line().len() > so_far).await;
    }
    assert!(!backend.taken().values().flatten().any(Arrived::is_stale), "no line ended");
    let gone = both.replace("[dynamodb/onboarding, otlp]", "[otlp]");
    let (code, _, err) = rig.reload(&gone).await;
    assert_eq!(code, 0, "{err}");
    until_true("the end of every line", async || {
        backend.taken().values().all(|samples| samples.last().is_some_and(Arrived::is_stale))
    })
    .await;
    for (labels, samples) in backend.taken() {
        let times: Vec<i64> = samples.iter().map(|sample| sample.time).collect();
        assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "{labels:?}: {times:?}");
        assert_eq!(samples.iter().filter(|sample| sample.is_stale()).count(), 1, "{labels:?} ends once");
    }
    rig.steadyline.finish().await;
}

/// OTLP in, last values and the queue in a folder, remote write out.
fn stored(port: u16, backend: &Backend, folder: &Path, more: &str) -> String {
    let config = config(port, backend, "labels: {}, lastvalue: {storage: file_storage}", "labels, lastvalue");
    let queue = "    sending_queue: {storage: file_storage, durable: true}\n    timeout: 3s";
    config.replace("    timeout: 3s", queue)
        + &format!("extensions: {{file_storage: {{directory: '{}'{more}}}}}\n", folder.display())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storage_that_changes_is_adapted_or_exchanged_and_nothing_is_lost() {
    let answer = || match Reply::status(204, "") {
        Reply::Answer(answer) => answer,
        other => panic!("{other:?}"),
    };
    let backend = Backend::start(move |_| Reply::Late(Duration::from_millis(30), answer())).await;
    let (port, one, two) = (free_port(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut rig = Rig::start(&stored(port, &backend, one.path(), ""), &[]).await;
    let (base, mut value) = ((unix_seconds() * 1e9) as u64, 0);
    let mut post_some = async || {
        for _ in 0..5 {
            value += 1;
            post(port, &request(0, value, base)).await;
        }
        value as f64
    };
    post_some().await;
    for (folder, more, adapted) in [
        (&one, ", timeout: 3s, fsync: true", true),
        (&one, ", max_size: 8MiB, directory_permissions: '0700'", true),
        (&two, "", false),
        (&one, "", false),
        (&one, ", fsync: true", true),
    ] {
        let (code, out, err) = rig.reload(&stored(port, &backend, folder.path(), more)).await;
        assert_eq!(code, 0, "{err}");
        assert_eq!(out.contains("0 began"), adapted, "{out}");
        let newest = post_some().await;
        until_true("the newest values", async || {
            let taken = backend.taken();
            taken.len() == 50 && taken.values().all(|samples| values(samples).contains(&newest))
        })
        .await;
    }
    let books = rig.steadyline.finish().await;
    let lost: f64 = books.0.values().map(|account| account.lost()).sum();
    assert_eq!(lost, 0.0, "{books:?}");
    // What was written at the end is there.
    let mut again = Launch::new(&stored(port, &backend, one.path(), "")).run().await;
    let loaded = again.wait_log("state was loaded").await;
    assert_eq!(loaded["restored"], 50, "{loaded}");
    again.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_reloads_under_load_lose_nothing_and_reorder_nothing() {
    // A backend that is slow now and then, so that there is something in the queue at a reload.
    let late = |n: usize| if n.is_multiple_of(5) { 40 } else { 1 };
    let answer = || match Reply::status(204, "") {
        Reply::Answer(answer) => answer,
        other => panic!("{other:?}"),
    };
    let backend = Backend::start(move |n| Reply::Late(Duration::from_millis(late(n)), answer())).await;
    let port = free_port();
    let plain = config(port, &backend, "", "");
    let joined = plain
        .replace("service:\n", "connectors: {forward: }\nservice:\n")
        .replace("processors: [], exporters: [prometheusremotewrite]", "processors: [], exporters: [forward]")
        + "    metrics/out: {receivers: [forward], exporters: [prometheusremotewrite]}\n";
    let variants = [
        config(port, &backend, "batch: {timeout: 50ms}", "batch"),
        config(port, &backend, "batch: {timeout: 70ms}", "batch").replace("timeout: 3s", "timeout: 4s"),
        plain.replace("timeout: 3s", "timeout: 5s"),
        // The same port for another instance.
        plain.replace("endpoint: 127.0.0.1:", "max_request_body_size: 3000000, endpoint: 127.0.0.1:"),
        joined,
    ];
    // Every line about a reload is wanted.
    let all_lines = |config: &str| format!("{config}  telemetry: {{logs: {{sampling: {{enabled: false}}}}}}\n");
    let mut rig = Rig::start(&all_lines(&plain), &[]).await;
    let (is_over, base) = (Arc::new(AtomicBool::new(false)), (unix_seconds() * 1e9) as u64);
    let senders: Vec<_> = (0..4)
        .map(|sender| {
            let is_over = Arc::clone(&is_over);
            tokio::spawn(async move {
                let (mut sent, mut refusals) = (0, 0);
                while !is_over.load(Ordering::Relaxed) {
                    refusals += post(port, &request(sender, sent, base)).await;
                    sent += 1;
                }
                (sent, refusals)
            })
        })
        .collect();
    for round in 0..20 {
        let so_far = backend.count();
        let (code, _, err) = rig.reload(&all_lines(&variants[round % variants.len()])).await;
        assert_eq!(code, 0, "{err}");
        until_true("data after the reload", async || backend.count() > so_far).await;
    }
    is_over.store(true, Ordering::Relaxed);
    let mut sent = BTreeMap::new();
    for (sender, task) in senders.into_iter().enumerate() {
        sent.insert(sender.to_string(), task.await.unwrap().0);
    }
    let total: usize = sent.values().sum();
    assert!(total >= 200, "there was load: {total} requests of 50 points");
    let complete = |samples: &[Arrived], sent: usize| {
        let mut values = values(samples);
        values.dedup();
        values.len() == sent
    };
    until_true("every point that was taken", async || {
        let taken = backend.taken();
        taken.len() == 200 && taken.iter().all(|(labels, samples)| complete(samples, sent[&labels["sender"]]))
    })
    .await;
    for (labels, samples) in backend.taken() {
        let times: Vec<i64> = samples.iter().map(|sample| sample.time).collect();
        assert!(times.is_sorted(), "in order: {labels:?} {times:?}");
    }
    assert_eq!(rig.reloads(), 20);
    let books = rig.steadyline.finish().await;
    let lost: f64 = books.0.values().map(|account| account.lost()).sum();
    assert_eq!(lost, 0.0, "{books:?}");
}
