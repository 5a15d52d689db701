//! The steady line, in a real Prometheus and in fast motion: stair-steps with the right values, no gap while polls fail,
//! no fork when a status changes, one end for an account that leaves.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::common::backend::Backend;
use crate::common::dynamodb::{Emulator, Table};
use crate::common::faults::{Fault, FaultProxy};
use crate::common::onboarding::{account, config, remote_write};
use crate::common::prometheus::{Line, Prometheus};
use crate::common::steadyline::{Launch, unix_seconds};
use crate::common::wait::{until, until_true};

/// So many times as fast; the clock starts an hour ago and the test is over before it could overtake Prometheus' own.
const FACTOR: f64 = 15.0;
/// Of polls, in seconds of the fast clock: long enough that a busy machine's pauses stay below it.
const INTERVAL: f64 = 30.0;
/// How long a series may be silent.
const SILENCE: f64 = 60.0;

struct Scene {
    prometheus: Prometheus,
    start: f64,
}

impl Scene {
    async fn line(&self, account: &str) -> Option<Line> {
        let selector = format!("onboarding_completed_steps{{account_id=\"{account}\"}}");
        let mut lines = self.prometheus.lines(&selector, self.start - 60.0, unix_seconds()).await;
        assert!(lines.len() <= 1, "one line an account: {lines:?}");
        lines.pop()
    }

    /// Waits until the newest sample of an account satisfies, and returns its time.
    async fn until(&self, what: &str, account: &str, holds: impl Fn(f64, f64) -> bool) -> f64 {
        until(what, async || {
            let last = *self.line(account).await?.samples.last()?;
            holds(last.0, last.1).then_some(last.0)
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_is_a_stair_without_gaps_forks_or_doubles() {
    let table = Table::onboarding(Emulator::Embedded).await;
    let accounts =
        [account("acct-a", "visited", 1), account("acct-b", "submitted", 5), account("acct-c", "visited", 2)];
    table.api.put(accounts).await;
    let proxy = FaultProxy::start(&table.api).await;
    let scene = Scene { prometheus: Prometheus::start().await, start: unix_seconds() - 3600.0 };
    let config = config(&proxy.url(), "30s", &remote_write(&scene.prometheus.write_url()));
    let mut steadyline = Launch::new(&config).with_keys().clock(3600, FACTOR).run().await;
    // The fast clock was started before this moment, so that it now shows at least this much.
    let ready = Instant::now();
    let at_least = |moment: Instant| scene.start + (moment - ready).as_secs_f64() * FACTOR;

    // A stair: 1, 2, 4.
    scene.until("the first value", "acct-a", |_, value| value == 1.0).await;
    let mut changed = Vec::new();
    for (status, steps) in [("registered", 2), ("submitted", 4)] {
        changed.push((steps as f64, at_least(Instant::now())));
        table.api.put([account("acct-a", status, steps)]).await;
        scene.until("the next step", "acct-a", |_, value| value == steps as f64).await;
    }

    // Polls fail for three minutes and more; the lines go on.
    proxy.set(Fault::InternalError);
    let failing = scene.until("one more sample", "acct-b", |_, _| true).await;
    scene.until("three minutes of failing polls", "acct-b", |time, _| time > failing + 190.0).await;
    proxy.set(Fault::None);
    let complete = steadyline.own("steadyline_receiver_polls_total", ("outcome", "complete")).await;
    until("polls that work again", async || {
        let now = steadyline.own("steadyline_receiver_polls_total", ("outcome", "complete")).await;
        (now > complete).then_some(())
    })
    .await;

    // One leaves; the others stay.
    table.api.delete("acct-c").await;
    let gone = until("the end of the account that left", async || {
        let now = scene.line("acct-a").await?.samples.last()?.0;
        let shown = scene.prometheus.instant("onboarding_completed_steps", now).await;
        (!shown.iter().any(|(labels, _)| labels["account_id"] == "acct-c")).then_some(now)
    })
    .await;
    let end = scene.until("the others to go on", "acct-a", |time, _| time > gone + 2.0 * INTERVAL).await;

    let a = scene.line("acct-a").await.unwrap();
    let mut steps: Vec<(f64, f64)> = a.samples.clone();
    steps.dedup_by_key(|sample| sample.1);
    assert_eq!(steps.iter().map(|sample| sample.1).collect::<Vec<_>>(), [1.0, 2.0, 4.0], "{:?}", a.samples);
    for ((steps, changed), (time, value)) in changed.iter().zip(&steps[1..]) {
        // A tick is stamped when its poll begins, which may be just before the change that it still sees.
        assert!(steps == value && *time >= changed - INTERVAL, "{value} at {time}, but it changed at {changed}");
    }
    for account in ["acct-a", "acct-b"] {
        let line = scene.line(account).await.unwrap();
        assert!(line.longest_gap() <= SILENCE + INTERVAL, "{account}: {} s in {:?}", line.longest_gap(), line.samples);
    }
    let start = scene.line("acct-b").await.unwrap().samples[0].0;
    no_moment_is_blank_or_double(&scene.prometheus, start, end).await;

    steadyline.finish().await;
    one_end_for_each_that_left(scene.prometheus).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_stays_away_ends_its_lines_once_and_may_come_back() {
    let table = Table::onboarding(Emulator::Embedded).await;
    table.api.put([account("acct-a", "visited", 1)]).await;
    let proxy = FaultProxy::start(&table.api).await;
    let backend = Backend::willing().await;
    let config = config(&proxy.url(), "30s", &remote_write(&backend.url()));
    let mut steadyline = Launch::new(&config).with_keys().clock(3600, 2.0 * FACTOR).run().await;
    let line = || backend.line("onboarding_completed_steps", "acct-a");
    until_true("the line", async || !line().is_empty()).await;
    proxy.set(Fault::InternalError);
    until_true("its end", async || line().iter().any(|sample| sample.is_stale())).await;
    proxy.set(Fault::None);
    until_true("the line again", async || line().last().is_some_and(|sample| !sample.is_stale())).await;

    let samples = line();
    let ends: Vec<usize> = (0..samples.len()).filter(|&at| samples[at].is_stale()).collect();
    assert_eq!(ends.len(), 1, "one end: {samples:?}");
    assert!(samples.windows(2).all(|pair| pair[0].time < pair[1].time), "{samples:?}");
    // Held for five minutes after the last complete pass, of which the data itself tells. What arrived before the end
    // counts: a pass that began before it may come through after it.
    let end = samples[ends[0]].time as f64 / 1000.0;
    let written = backend.requests().into_iter().filter(|one| one.taken);
    let before = written.take_while(|one| !one.samples.iter().any(|sample| sample.is_stale()));
    let passes = before.flat_map(|one| one.samples);
    let passes = passes.filter(|one| one.labels["__name__"].ends_with("_last_complete_pass_timestamp_seconds"));
    let confirmed = passes.map(|sample| sample.value).fold(0.0, f64::max);
    assert!(confirmed > 0.0 && end - confirmed >= 300.0, "confirmed at {confirmed}, ended at {end}");
    steadyline.finish().await;
}

/// A chart of the whole time has one value for each of the two accounts that stayed.
async fn no_moment_is_blank_or_double(prometheus: &Prometheus, start: f64, end: f64) {
    let mut at = start;
    while at < end {
        let shown = prometheus.instant("count by (account_id) (onboarding_completed_steps)", at).await;
        let count: BTreeMap<&str, f64> = shown.iter().map(|(labels, n)| (labels["account_id"].as_str(), *n)).collect();
        assert_eq!((count.get("acct-a"), count.get("acct-b")), (Some(&1.0), Some(&1.0)), "{count:?} at {at}");
        assert!(count.values().all(|n| *n == 1.0), "{count:?} at {at}");
        at += 15.0;
    }
}

/// In the storage: series that ended have one marker, and it is their last; the others have none.
async fn one_end_for_each_that_left(prometheus: Prometheus) {
    let mut series: BTreeMap<String, Vec<(i64, f64)>> = BTreeMap::new();
    for (labels, value, time) in prometheus.dump("{__name__=~\"onboarding_.*\"}").await {
        series.entry(labels).or_default().push((time, value));
    }
    assert!(series.len() >= 9, "{:?}", series.keys());
    for (labels, mut samples) in series {
        samples.sort_by_key(|sample| sample.0);
        let ends = samples.iter().filter(|sample| sample.1.is_nan()).count();
        // The account that left, and the info series of a status that passed.
        let left = labels.contains("acct-c");
        let passed = labels.contains("acct-a") && (labels.contains("visited") || labels.contains("registered"));
        assert_eq!(ends, usize::from(left || passed), "{labels}: {samples:?}");
        if ends == 1 {
            assert!(samples.last().unwrap().1.is_nan(), "nothing after the end of {labels}: {samples:?}");
        }
    }
}
