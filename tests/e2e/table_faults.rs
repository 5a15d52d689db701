//! Everything that a table can do to a poll. Whatever it is: the last values stay, nothing is marked as gone, the log says
//! what failed and what happens next, and the next good poll goes on as if nothing had been.

use serde_json::Value;

use crate::common::backend::Backend;
use crate::common::dynamodb::{Emulator, Table};
use crate::common::faults::{Fault, FaultProxy};
use crate::common::onboarding::{config, four_accounts, remote_write};
use crate::common::steadyline::{Launch, Steadyline};
use crate::common::wait::until_true;

struct Scene {
    _table: Table,
    proxy: FaultProxy,
    backend: Backend,
    steadyline: Steadyline,
}

impl Scene {
    async fn start() -> Scene {
        let table = Table::onboarding(Emulator::Embedded).await;
        table.api.put(four_accounts()).await;
        let proxy = FaultProxy::start(&table.api).await;
        let backend = Backend::willing().await;
        let config = config(&proxy.url(), "2s", &remote_write(&backend.url()));
        let steadyline = Launch::new(&config).with_keys().run().await;
        let mut scene = Scene { _table: table, proxy, backend, steadyline };
        scene.passes("complete", 1.0).await;
        scene
    }

    /// Waits for so many more passes that ended so.
    async fn passes(&mut self, outcome: &str, more: f64) {
        let start = self.count(outcome).await;
        let what = format!("{more} more {outcome} passes");
        until_true(&what, async || self.count(outcome).await >= start + more).await;
    }

    async fn count(&mut self, outcome: &str) -> f64 {
        self.steadyline.own("steadyline_receiver_polls_total", ("outcome", outcome)).await
    }

    /// Three passes with the fault, which end so; then it is over and a pass is complete again.
    async fn suffers(&mut self, fault: Fault, outcome: &str) -> Vec<Value> {
        let before = self.steadyline.log().len();
        self.proxy.set(fault);
        self.passes(outcome, 3.0).await;
        self.proxy.set(Fault::None);
        self.passes("complete", 1.0).await;
        let log = self.steadyline.log().split_off(before);
        log.into_iter().filter(|line| line["level"] != "INFO").collect()
    }

    fn nothing_is_gone(&self) {
        for (labels, samples) in self.backend.taken() {
            assert!(samples.iter().all(|sample| !sample.is_stale()), "{labels:?}");
        }
    }
}

/// A fault of every read: what the log has to say about it, in any case of letters.
async fn fails(fault: Fault, words: &[&str]) {
    let mut scene = Scene::start().await;
    let told = scene.suffers(fault, "failed").await;
    let text = told.iter().map(Value::to_string).collect::<Vec<_>>().join("\n").to_lowercase();
    for word in words {
        assert!(text.contains(&word.to_lowercase()), "{fault:?}: `{word}` is not in\n{text}");
    }
    scene.nothing_is_gone();
    scene.steadyline.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn throttled() {
    fails(Fault::Throttled, &["throttl", "next poll"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_the_service() {
    fails(Fault::InternalError, &["InternalServerError", "next poll"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hung() {
    fails(Fault::Hung, &["timeout"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_off() {
    fails(Fault::BrokenOff, &["next poll"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn truncated() {
    fails(Fault::TruncatedJson, &["next poll"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn access_denied_names_the_missing_action() {
    fails(Fault::AccessDenied, &["access_denied", "dynamodb:Scan", "next poll"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_credentials() {
    fails(Fault::ExpiredToken, &["expired", "next poll"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_missing() {
    fails(Fault::NoTable, &["onboarding", "us-east-1", "next poll"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_region() {
    fails(Fault::WrongRegion, &["valid region, not 'us-east-1'", "next poll"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_credentials_it_says_what_was_tried_and_goes_on_trying() {
    let table = Table::onboarding(Emulator::Embedded).await;
    let config = config(&table.api.url, "2s", "  debug:");
    let mut steadyline = Launch::new(&config).env("AWS_REGION", "us-east-1").run().await;
    until_true("two polls that failed", async || {
        steadyline.own("steadyline_receiver_polls_total", ("outcome", "failed")).await >= 2.0
    })
    .await;
    let told = steadyline.logged("a poll failed");
    assert_eq!(told.len(), 1, "once an interval: {told:?}");
    let text = told[0].to_string().to_lowercase();
    for word in ["credentials", "environment", "next poll"] {
        assert!(text.contains(word), "`{word}` is not in {text}");
    }
    steadyline.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_does_not_wait_for_a_poll_that_hangs() {
    let table = Table::onboarding(Emulator::Embedded).await;
    let proxy = FaultProxy::start(&table.api).await;
    proxy.set(Fault::Hung);
    let config = config(&proxy.url(), "1h", "  debug:");
    let mut steadyline = Launch::new(&config).with_keys().run().await;
    until_true("a read that hangs", async || proxy.reads() > 0).await;
    steadyline.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_page_that_fails_makes_the_pass_partial() {
    let mut scene = Scene::start().await;
    scene.suffers(Fault::SecondPageFails, "failed").await;
    scene.nothing_is_gone();
    scene.steadyline.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_repeats_is_an_error_and_not_the_end() {
    let mut scene = Scene::start().await;
    let reads = scene.proxy.reads();
    let told = scene.suffers(Fault::RepeatedKey, "failed").await;
    assert!(!told.is_empty());
    assert!(scene.proxy.reads() - reads < 100, "it does not go round in circles");
    scene.nothing_is_gone();
    scene.steadyline.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_pages_are_not_the_end() {
    let mut scene = Scene::start().await;
    for fault in [Fault::EmptyPageWithKey, Fault::KeyAfterLast] {
        scene.proxy.set(fault);
        let sent = scene.backend.count();
        scene.passes("complete", 3.0).await;
        until_true("samples of these passes", async || scene.backend.count() > sent).await;
    }
    assert_eq!(scene.count("failed").await + scene.count("partial").await, 0.0);
    scene.nothing_is_gone();
    scene.steadyline.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whether_a_line_is_true_or_held_can_be_seen_in_the_data() {
    let mut scene = Scene::start().await;
    let up = |backend: &Backend| {
        let taken = backend.taken();
        let up = taken.iter().find(|(labels, _)| labels["__name__"].ends_with("_up"));
        up.and_then(|(_, samples)| samples.last().map(|sample| sample.value))
    };
    until_true("up", async || up(&scene.backend) == Some(1.0)).await;
    scene.proxy.set(Fault::InternalError);
    until_true("down", async || up(&scene.backend) == Some(0.0)).await;
    scene.proxy.set(Fault::None);
    until_true("up again", async || up(&scene.backend) == Some(1.0)).await;
    scene.steadyline.finish().await;
}
