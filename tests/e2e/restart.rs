//! Restarts with the state in a folder: killed or stopped, with the source down and the wall clock set back, the lines go
//! on; timestamps rise; what the source never says again ends once.

use std::path::Path;
use std::time::Instant;

use rustix::process::Signal;
use serde_json::json;

use crate::common::backend::{Arrived, Backend};
use crate::common::dynamodb::{Emulator, Table, scratch};
use crate::common::faults::{Fault, FaultProxy};
use crate::common::http;
use crate::common::onboarding::{account, config, remote_write};
use crate::common::steadyline::Launch;
use crate::common::wait::{until, until_true};

/// So many times as fast.
const FACTOR: f64 = 20.0;
/// How far back the first clock starts, in seconds: far enough that it is never ahead of ours.
const BACK: f64 = 7200.0;
const STEPS: &str = "onboarding_completed_steps";

/// The config, with the state in a folder.
fn kept(config: &str, folder: &Path) -> String {
    let config = config.replace("  lastvalue:\n", "  lastvalue: {storage: file_storage}\n");
    assert!(config.contains("storage: file_storage"));
    format!("extensions: {{file_storage: {{directory: '{}'}}}}\n{config}", folder.display())
}

/// A clock that goes on over several processes.
struct FastClock(Instant);

impl FastClock {
    fn start() -> FastClock {
        FastClock(Instant::now())
    }

    /// How many seconds ago it shows now, set back by so many more.
    fn seconds_ago(&self, set_back: f64) -> u64 {
        (BACK - self.0.elapsed().as_secs_f64() * (FACTOR - 1.0) + set_back).round() as u64
    }
}

fn rising(line: &[Arrived]) {
    assert!(line.windows(2).all(|pair| pair[0].time < pair[1].time), "timestamps rise: {line:?}");
}

fn last(line: &[Arrived]) -> Option<i64> {
    line.last().map(|sample| sample.time)
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_and_started_again_while_the_table_is_away() {
    let table = Table::onboarding(Emulator::Embedded).await;
    table.api.put([account("acct-a", "visited", 3), account("acct-b", "submitted", 5)]).await;
    let proxy = FaultProxy::start(&table.api).await;
    let backend = Backend::willing().await;
    let state = scratch();
    let config = kept(&config(&proxy.url(), "10s", &remote_write(&backend.url())), state.path());
    let clock = FastClock::start();
    let launch = || Launch::new(&config).with_keys();
    let mut first = launch().clock(clock.seconds_ago(0.0), FACTOR).run().await;
    let line = |account: &str| backend.line(STEPS, account);
    // State is written every five seconds of its clock: what is three passes old is there.
    until_true("a minute of lines", async || {
        ["acct-a", "acct-b"].iter().all(|account| {
            let line = line(account);
            line.first().zip(line.last()).is_some_and(|(first, last)| last.time - first.time > 60_000)
        })
    })
    .await;
    proxy.set(Fault::InternalError);
    first.process.signal(Signal::KILL);
    first.process.exit().await;
    let before = ["acct-a", "acct-b"].map(|account| line(account).len());
    let ended = last(&line("acct-a")).unwrap();

    // The table is still away, and the wall clock was set back by an hour meanwhile.
    let mut second = launch().clock(clock.seconds_ago(3600.0), FACTOR).run().await;
    for (account, count) in ["acct-a", "acct-b"].into_iter().zip(before) {
        until_true("the line to go on", async || line(account).len() > count + 1).await;
    }
    let (a, b) = (line("acct-a"), line("acct-b"));
    assert!(a.iter().all(|sample| sample.value == 3.0) && b.iter().all(|sample| sample.value == 5.0), "{a:?} {b:?}");
    // The next one after the end is at most the mark's lead ahead of it.
    let next = a.iter().map(|sample| sample.time).find(|time| *time > ended).unwrap();
    assert!(next - ended < 60_000, "{ended}, then {next}");
    let restored = second.own("steadyline_component_created_items_total", ("why", "restored")).await;
    assert!(restored >= 4.0, "{restored}");

    // It comes back with another value, and without one account.
    table.api.delete("acct-b").await;
    table.api.put([account("acct-a", "visited", 4)]).await;
    proxy.set(Fault::None);
    until_true("the new value", async || line("acct-a").last().is_some_and(|sample| sample.value == 4.0)).await;
    until_true("the end of the one that left", async || line("acct-b").last().is_some_and(Arrived::is_stale)).await;
    for account in ["acct-a", "acct-b"] {
        let line = line(account);
        rising(&line);
        let ends = line.iter().filter(|sample| sample.is_stale()).count();
        assert_eq!(ends, usize::from(account == "acct-b"), "{line:?}");
    }
    second.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_never_comes_back_ends_its_lines_once_across_many_restarts() {
    let table = Table::onboarding(Emulator::Embedded).await;
    table.api.put([account("acct-a", "visited", 3)]).await;
    let proxy = FaultProxy::start(&table.api).await;
    let backend = Backend::willing().await;
    let state = scratch();
    let config = kept(&config(&proxy.url(), "10s", &remote_write(&backend.url())), state.path());
    let clock = FastClock::start();
    let line = || backend.line(STEPS, "acct-a");
    let mut running = Launch::new(&config).with_keys().clock(clock.seconds_ago(0.0), FACTOR).run().await;
    until_true("a minute of the line", async || {
        let line = line();
        line.first().zip(line.last()).is_some_and(|(first, last)| last.time - first.time > 60_000)
    })
    .await;
    proxy.set(Fault::InternalError);
    let confirmed = last(&line()).unwrap();
    let mut restarts = 0;
    while !line().iter().any(Arrived::is_stale) {
        let count = line().len();
        running.process.signal(Signal::KILL);
        running.process.exit().await;
        running = Launch::new(&config).with_keys().clock(clock.seconds_ago(0.0), FACTOR).run().await;
        restarts += 1;
        // While it is held it goes on at once; when the hold is over it ends, or nothing is left of it.
        let moved = until("a sample, or the end", async || {
            if line().len() > count {
                return Some(true);
            }
            running.log().iter().any(|entry| entry["expired"].as_u64().is_some_and(|n| n > 0)).then_some(false)
        })
        .await;
        if !moved {
            break;
        }
        // Let more than a minute of its clock go by.
        let since = last(&line()).unwrap();
        until_true("more of the line, or its end", async || {
            line().last().is_some_and(|sample| sample.is_stale() || sample.time > since + 60_000)
        })
        .await;
    }
    let line = line();
    rising(&line);
    assert!(restarts >= 2, "{restarts}");
    // Held for five minutes after the last pass that worked, and not for five minutes after each restart. A pass more may
    // have been under way, and the mark's lead is on top.
    let end = last(&line).unwrap() - confirmed;
    assert!(end < 300_000 + 60_000, "{end} ms after the last confirmation, with {restarts} restarts: {line:?}");
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_in_order_and_started_again_without_its_sender() {
    let (backend, state) = (Backend::willing().await, scratch());
    let config = format!(
        "extensions: {{file_storage: {{directory: '{}'}}}}\n\
         receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:0'}}}}}}}}\n\
         processors: {{labels: {{}}, lastvalue: {{storage: file_storage}}}}\n\
         exporters:\n{}\n\
         service: {{pipelines: {{metrics: {{receivers: [otlp], processors: [labels, lastvalue], exporters: [prometheusremotewrite]}}}}}}\n",
        state.path().display(),
        remote_write(&backend.url())
    );
    let mut first = Launch::new(&config).run().await;
    let listening = first.wait_log("listening").await;
    let url = format!("http://{}/v1/metrics", listening["endpoint"].as_str().unwrap());
    let attributes = json!([{"key": "account_id", "value": {"stringValue": "a"}}]);
    let gauge = |value: u32| {
        let point = json!({"asInt": value.to_string(), "attributes": attributes});
        json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": "depth", "gauge": {"dataPoints": [point]}}]}]}]})
    };
    for value in [1, 2] {
        let answer = http::post(&url, &[("content-type", "application/json")], gauge(value).to_string()).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        until_true("the value", async || {
            backend.line("depth", "a").last().is_some_and(|sample| sample.value == f64::from(value))
        })
        .await;
    }
    first.finish().await;
    let before = backend.line("depth", "a");
    let mut second = Launch::new(&config).run().await;
    until_true("the line to go on", async || backend.line("depth", "a").len() > before.len()).await;
    let line = backend.line("depth", "a");
    rising(&line);
    assert_eq!(line.last().unwrap().value, 2.0, "what came a moment before the stop was kept: {line:?}");

    // The folder is for one process: another one says who is in its way, and where.
    let (code, _, words) = Launch::new(&config).output(&["run"]).await;
    assert_ne!(code, 0);
    assert!(words.contains("processor_lastvalue") && words.contains("did not let go of it"), "{words}");
    second.finish().await;
}
