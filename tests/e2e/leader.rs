//! Two processes, one line: one leads, the other stands by and goes on where the first ended, whatever happened to it and
//! whatever their clocks say. Everything is as in production but ten times as fast: a lease of 2 s instead of 20 s, looks
//! every 0.5 s instead of 5 s, polls every second instead of every minute.

use std::collections::BTreeMap;

use rustix::process::Signal;

use crate::common::backend::{Arrived, Backend};
use crate::common::dynamodb::{Api, Table};
use crate::common::exposition::Labels;
use crate::common::onboarding::{account, config, four_accounts, remote_write};
use crate::common::steadyline::{Launch, Steadyline, unix_seconds};
use crate::common::wait::until_true;

const SEED: &str = "
tables:
  - name: onboarding
    key: {hash: system_account_id}
    indexes: [{name: gsi1, key: {hash: gsi1pk, range: gsi1sk}}]
  - {name: leases, key: {hash: lease}}
";
const STEPS: &str = "onboarding_completed_steps";

struct Pair {
    table: Table,
    backend: Backend,
}

impl Pair {
    async fn new() -> Pair {
        let table = Table::seeded(SEED).await;
        table.api.put(four_accounts()).await;
        Pair { table, backend: Backend::willing().await }
    }

    /// One of the two: a name by which the backend tells what it sent, and how far its clock is off.
    async fn start(&self, name: &str, off: f64) -> Steadyline {
        self.start_with(name, off, &self.table.api, "lease_duration: 2s, renew_interval: 500ms").await
    }

    async fn start_with(&self, name: &str, off: f64, leases: &Api, times: &str) -> Steadyline {
        let exporter = remote_write(&format!("{}?from={name}", self.backend.url()));
        let lease =
            format!("{{table: leases, lease: onboarding, instance: {name}, endpoint: \"{}\", {times}}}", leases.url);
        Launch::new(&config(&self.table.api.url, "1s", &exporter))
            .set("receivers.dynamodb/onboarding.leader", "leader/onboarding")
            .set("extensions", &format!("{{leader/onboarding: {{dynamodb: {lease}}}}}"))
            .env("STEADYLINE_CLOCK", &format!("start={:.3},factor=1", unix_seconds() + off))
            .with_keys()
            .run()
            .await
    }

    /// All that one of them sent and the backend took, by series, in order of arrival.
    fn from(&self, name: &str) -> BTreeMap<Labels, Vec<Arrived>> {
        let mut series: BTreeMap<Labels, Vec<Arrived>> = BTreeMap::new();
        let query = format!("from={name}");
        let its = |request: &http::Request<bytes::Bytes>| request.uri().query() == Some(query.as_str());
        for sample in self.backend.requests().into_iter().filter(|one| its(&one.request)).flat_map(|one| one.samples) {
            series.entry(sample.labels.clone()).or_default().push(sample);
        }
        series
    }

    /// Waits for so many more samples of an account's line, with this value, from one of them.
    async fn more(&self, name: &str, id: &str, value: f64, count: usize) {
        let have = || {
            let series = self.from(name);
            let its = series.iter().filter(|(labels, _)| labels["__name__"] == STEPS && labels["account_id"] == id);
            its.flat_map(|(_, samples)| samples).filter(|sample| sample.value == value).count()
        };
        let before = have();
        until_true(&format!("{count} samples {value} of {id} by {name}"), async || have() >= before + count).await;
    }

    /// What must hold of every line, whoever sent which part of it.
    fn one_steady_line(&self, longest_gap: f64) {
        let mut lines = 0;
        for (labels, mut samples) in self.backend.taken() {
            samples.sort_by_key(|sample| sample.time);
            assert!(samples.iter().all(|sample| !sample.is_stale()), "nobody ended a line: {labels:?}");
            for pair in samples.windows(2) {
                let (before, after) = (&pair[0], &pair[1]);
                let same = before.value.to_bits() == after.value.to_bits();
                assert!(before.time < after.time || same, "two values at {}: {labels:?}", before.time);
                if labels["__name__"] == STEPS {
                    let gap = (after.time - before.time) as f64 / 1000.0;
                    assert!(gap <= longest_gap, "a gap of {gap} s: {labels:?}");
                    lines += 1;
                }
            }
        }
        assert!(lines > 0);
    }

    /// All of the first's samples are older than all of the second's, series by series.
    fn follow_each_other(&self, first: &str, second: &str) {
        let second = self.from(second);
        let mut met = 0;
        for (labels, samples) in self.from(first) {
            let Some(later) = second.get(&labels) else { continue };
            let (last, next) = (samples.iter().map(|s| s.time).max(), later.iter().map(|s| s.time).min());
            assert!(last < next, "{last:?} {next:?} {labels:?}");
            met += 1;
        }
        assert!(met > 0);
    }
}

async fn leads(process: &mut Steadyline) -> bool {
    process.own("steadyline_leader", ("extension", "leader/onboarding")).await == 1.0
}

/// The takeover itself: a lease and a look, with much room for a machine that does other things too; and no clock in it.
const TAKEOVER: f64 = 30.0;

async fn killed(off_a: f64, off_b: f64) {
    let pair = Pair::new().await;
    let mut a = pair.start("a", off_a).await;
    until_true("that a leads", async || leads(&mut a).await).await;
    let mut b = pair.start("b", off_b).await;
    b.wait_log("another process leads").await;
    // Long enough for b to see a renew.
    pair.more("a", "acct-a", 3.0, 3).await;
    pair.table.api.put([account("acct-a", "submitted", 5)]).await;
    pair.more("a", "acct-a", 5.0, 2).await;
    assert!(pair.from("b").is_empty(), "one that stands by sends nothing");
    assert!(!leads(&mut b).await);

    a.process.signal(Signal::KILL);
    a.process.exit().await;
    until_true("that b leads", async || leads(&mut b).await).await;
    pair.more("b", "acct-a", 5.0, 3).await;
    pair.table.api.put([account("acct-a", "submitted", 6)]).await;
    pair.more("b", "acct-a", 6.0, 2).await;
    pair.one_steady_line(TAKEOVER);
    pair.follow_each_other("a", "b");
    assert_eq!(b.logged("this process leads").len(), 1, "each change is told once");
    b.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_is_killed() {
    killed(0.0, 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_is_killed_whose_clock_was_ten_minutes_ahead_of_the_others() {
    killed(300.0, -300.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_is_killed_whose_clock_was_ten_minutes_behind_the_others() {
    killed(-300.0, 300.0).await;
}

async fn paused(off_a: f64, off_b: f64) {
    let pair = Pair::new().await;
    let mut a = pair.start("a", off_a).await;
    until_true("that a leads", async || leads(&mut a).await).await;
    let mut b = pair.start("b", off_b).await;
    b.wait_log("another process leads").await;
    pair.more("a", "acct-a", 3.0, 3).await;

    a.process.signal(Signal::STOP);
    until_true("that b leads", async || leads(&mut b).await).await;
    pair.table.api.put([account("acct-a", "submitted", 5)]).await;
    pair.more("b", "acct-a", 5.0, 4).await;
    a.process.signal(Signal::CONT);
    a.wait_log("this process leads no longer").await;
    a.wait_log("another process leads").await;
    pair.more("b", "acct-a", 5.0, 3).await;
    assert!(!leads(&mut a).await && leads(&mut b).await);
    pair.one_steady_line(TAKEOVER);
    pair.follow_each_other("a", "b");

    // And back: the one that was paused goes on where the other stops.
    b.finish().await;
    until_true("that a leads again", async || leads(&mut a).await).await;
    pair.more("a", "acct-a", 5.0, 3).await;
    pair.one_steady_line(TAKEOVER);
    a.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_is_paused_beyond_its_lease() {
    paused(0.0, 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_is_paused_whose_clock_was_five_minutes_ahead() {
    paused(300.0, 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_is_paused_whose_clock_was_five_minutes_behind() {
    paused(-300.0, 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_told_to_stop_hands_over_without_waiting_for_the_lease_to_end() {
    let pair = Pair::new().await;
    let times = "lease_duration: 2m, renew_interval: 500ms";
    let mut a = pair.start_with("a", 0.0, &pair.table.api, times).await;
    until_true("that a leads", async || leads(&mut a).await).await;
    let mut b = pair.start_with("b", 0.0, &pair.table.api, times).await;
    b.wait_log("another process leads").await;
    pair.more("a", "acct-a", 3.0, 2).await;
    a.finish().await;
    assert_eq!(a.logged("the lease is released").len(), 1);
    // Waiting is bounded by less than the lease.
    let word = b.wait_log("this process leads").await;
    assert_eq!(word["message"], "this process leads: nobody held the lease");
    pair.more("b", "acct-a", 3.0, 2).await;
    pair.one_steady_line(TAKEOVER);
    pair.follow_each_other("a", "b");
    b.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_lease_s_table_nobody_leads_and_both_say_so() {
    let pair = Pair::new().await;
    let leases = Table::seeded(SEED).await;
    let times = "lease_duration: 2s, renew_interval: 500ms";
    let mut a = pair.start_with("a", 0.0, &leases.api, times).await;
    until_true("that a leads", async || leads(&mut a).await).await;
    let mut b = pair.start_with("b", 0.0, &leases.api, times).await;
    b.wait_log("another process leads").await;
    pair.more("a", "acct-a", 3.0, 2).await;
    drop(leases);
    a.wait_log("this process leads no longer: no renewal succeeded").await;
    b.wait_log("cannot take over until the table answers").await;
    until_true("that a says so too", async || !leads(&mut a).await).await;
    assert!(!leads(&mut b).await);
    assert!(pair.from("b").is_empty());
    pair.one_steady_line(TAKEOVER);
    a.finish().await;
    b.finish().await;
}
