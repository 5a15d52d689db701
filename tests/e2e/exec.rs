//! The programs in `examples/exec`, run by the binary: what they print arrives, and what a hostile one does harms nobody else.

use std::path::Path;

use rustix::process::{Pid, Signal, test_kill_process};

use crate::common::backend::Backend;
use crate::common::dynamodb::scratch;
use crate::common::steadyline::Launch;
use crate::common::tools::root;
use crate::common::wait::until_true;

/// Receivers of one pipeline, under their ids, to a backend.
fn config(receivers: &str, ids: &str, backend: &Backend) -> String {
    format!(
        "receivers:\n{receivers}\nexporters:\n  prometheusremotewrite: {{endpoint: \"{}\", add_metric_suffixes: false}}\n\
         service:\n  pipelines:\n    metrics: {{receivers: [{ids}], exporters: [prometheusremotewrite]}}\n",
        backend.url()
    )
}

fn example(name: &str) -> String {
    root().join("examples/exec").join(name).display().to_string()
}

/// The last value of the series of this name with this label.
fn last(backend: &Backend, name: &str, label: (&str, &str)) -> Option<f64> {
    let taken = backend.taken();
    let series = taken
        .iter()
        .find(|(labels, _)| labels["__name__"] == name && labels.get(label.0).is_some_and(|v| v == label.1));
    series.and_then(|(_, samples)| samples.last()).map(|sample| sample.value)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_print_what_arrives() {
    let folder = scratch();
    for (name, text) in [("a.txt", "12345"), ("b.txt", "123"), ("c.log", "1")] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let at = folder.path().display();
    let (shell, python) = (example("backlog.sh"), example("spool.py"));
    let receivers = format!(
        "  exec/shell: {{command: [{shell}, {at}], collection_interval: 1s}}\n\
         \x20 exec/python: {{command: [python3, {python}, {at}], format: json_lines, collection_interval: 1s, resource: {{run: once}}}}\n\
         \x20 exec/loop: {{command: [python3, {python}, {at}, --loop], mode: long_running, trigger: now, format: json_lines, collection_interval: 1s, initial_delay: 0s}}"
    );
    let backend = Backend::willing().await;
    let mut steadyline = Launch::new(&config(&receivers, "exec/shell, exec/python, exec/loop", &backend)).run().await;
    let ending = |name: &'static str| ("ending", name);
    until_true("every example's points", async || {
        last(&backend, "backlog_files", ("folder", &at.to_string())) == Some(3.0)
            && last(&backend, "spool_size", ending("txt")) == Some(8.0)
            && last(&backend, "spool_size", ending("log")) == Some(1.0)
            && steadyline.own("otelcol_receiver_accepted_metric_points_total", ("receiver", "exec/loop")).await >= 2.0
            && steadyline.own("otelcol_receiver_accepted_metric_points_total", ("receiver", "exec/python")).await >= 2.0
    })
    .await;
    std::fs::write(folder.path().join("d.txt"), "12").unwrap();
    until_true("the next state", async || {
        last(&backend, "backlog_files", ("folder", &at.to_string())) == Some(4.0)
            && last(&backend, "spool_size", ending("txt")) == Some(10.0)
    })
    .await;
    steadyline.finish().await;
}

fn is_gone(file: &Path) -> bool {
    let pid = std::fs::read_to_string(file).ok().and_then(|text| Pid::from_raw(text.trim().parse().ok()?));
    pid.is_some_and(|pid| test_kill_process(pid).is_err())
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_programs_harm_nothing_but_themselves() {
    let folder = scratch();
    let at = folder.path().display();
    // In a config a dollar is written twice.
    let hostile = [
        ("loop", "interval", "echo $$$$ > loop.pid; while :; do :; done"),
        ("flood", "interval", "exec yes"),
        ("garbage", "interval", "head -c 100000 /dev/urandom"),
        ("slow", "interval", "sleep 600; echo a 1"),
        ("gone", "long_running", "exit 1"),
        (
            "forks",
            "long_running",
            "trap '' TERM; (while :; do sleep 1; done) & echo $$! > forks.pid; while :; do sleep 1; done",
        ),
        ("shouts", "long_running", "exec yes 'E! no' >&2"),
    ];
    let mut receivers = String::from("  exec/good: {command: [echo, good 1], collection_interval: 1s}\n");
    for (name, mode, script) in hostile {
        receivers += &format!(
            "  exec/{name}: {{command: [sh, -c, \"{script}\"], mode: {mode}, collection_interval: 1s, stop_grace: 200ms, working_directory: {at}}}\n"
        );
    }
    let ids: Vec<String> = hostile.iter().map(|(name, ..)| format!("exec/{name}")).collect();
    let backend = Backend::willing().await;
    let mut steadyline =
        Launch::new(&config(&receivers, &format!("exec/good, {}", ids.join(", ")), &backend)).run().await;
    for (name, reason) in [
        ("loop", "timeout"),
        ("flood", "too_large"),
        ("garbage", "garbage"),
        ("slow", "timeout"),
        ("gone", "exit_code"),
    ] {
        until_true(&format!("the failure of {name}"), async || {
            let samples = steadyline.own_metrics().await;
            let mut failures = samples.iter().filter(|one| one.name.contains("exec_failures"));
            failures.any(|one| {
                one.label("reason") == reason
                    && one.value >= 1.0
                    && one.labels.values().any(|v| v == &format!("exec/{name}"))
            })
        })
        .await;
    }
    let seen = backend.taken().values().map(Vec::len).sum::<usize>();
    until_true("the good one to go on", async || backend.taken().values().map(Vec::len).sum::<usize>() > seen + 1)
        .await;
    assert!(backend.taken().keys().all(|labels| labels["__name__"] == "good"), "{:?}", backend.taken().keys());
    until_true("a looping program's end", async || is_gone(&folder.path().join("loop.pid"))).await;
    steadyline.balanced_books().await;
    let (status, _) = steadyline.stop(Signal::TERM).await;
    assert_eq!(status.code(), Some(0));
    until_true("no program to be left", async || is_gone(&folder.path().join("forks.pid"))).await;
}
