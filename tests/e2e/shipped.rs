//! The shipped pipeline as it stands, on the embedded table, in fast motion: what a user sees after the first command.

use std::collections::BTreeSet;

use crate::common::exposition::{Sample, parse};
use crate::common::http;
use crate::common::steadyline::{Launch, Steadyline};
use crate::common::wait::{free_port, until, until_true};

/// Accounts of the demo that engaged before the story begins.
const ENGAGED: [&str; 9] = [
    "acct-7f3a91",
    "acct-1c88d0",
    "acct-b20e56",
    "acct-44d7ab",
    "acct-e9512f",
    "acct-08bb3e",
    "acct-5d60c7",
    "acct-92ac14",
    "acct-c3017e",
];
/// Leads that never did anything, and those that expired.
const NEVER: [&str; 3] = ["acct-d15b90", "acct-6ab3c2", "acct-f80d25"];

struct Shown {
    steadyline: Steadyline,
    page: String,
    health: String,
}

impl Shown {
    /// Ten times as fast: the story of a minute in six seconds.
    async fn start() -> Shown {
        let (page, health) = (free_port(), free_port());
        let steadyline = Launch::shipped()
            .env("POLL_INTERVAL", "5s")
            .clock(3600, 10.0)
            .set("exporters.prometheus.endpoint", &format!("127.0.0.1:{page}"))
            .set("extensions.health_check.endpoint", &format!("127.0.0.1:{health}"))
            .run()
            .await;
        let page = format!("http://127.0.0.1:{page}/metrics");
        Shown { steadyline, page, health: format!("127.0.0.1:{health}") }
    }

    async fn samples(&self) -> Vec<Sample> {
        let answer = until("the page", async || http::get(&self.page).await).await;
        assert_eq!(answer.status, 200);
        parse(&answer.text())
    }

    async fn series(&self, name: &str) -> Vec<Sample> {
        self.samples().await.into_iter().filter(|sample| sample.name == name).collect()
    }

    async fn steps(&self, account: &str) -> Option<f64> {
        let lines = self.series("onboarding_completed_steps").await;
        let mut found = lines.iter().filter(|line| line.label("account_id") == account);
        let value = found.next().map(|line| line.value);
        assert!(found.next().is_none(), "{account} has two lines");
        value
    }
}

fn labels(sample: &Sample) -> Vec<&str> {
    sample.labels.keys().map(String::as_str).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_command_shows_a_line_for_each_account_that_engaged() {
    let mut shown = Shown::start().await;
    let lines = until("the lines", async || {
        let lines = shown.series("onboarding_completed_steps").await;
        (lines.len() >= ENGAGED.len()).then_some(lines)
    })
    .await;

    let accounts: BTreeSet<&str> = lines.iter().map(|line| line.label("account_id")).collect();
    assert!(ENGAGED.iter().all(|account| accounts.contains(account)), "{accounts:?}");
    assert!(NEVER.iter().all(|account| !accounts.contains(account)), "{accounts:?}");
    assert_eq!(accounts.len(), lines.len(), "one line an account");
    for line in &lines {
        assert_eq!(labels(line), ["account_id", "env"]);
        assert_eq!(line.label("env"), "dev");
    }
    let totals = shown.series("onboarding_total_steps").await;
    assert!(totals.len() >= ENGAGED.len());
    for total in &totals {
        assert_eq!((labels(total), total.value), (vec!["account_id", "env"], 8.0));
    }
    for info in shown.series("onboarding_account_info").await {
        assert_eq!((labels(&info), info.value), (vec!["account_id", "account_name", "env", "status"], 1.0));
    }
    assert_eq!(shown.steps("acct-08bb3e").await, Some(0.0), "engaged, and no step yet");

    let (code, words, _) = Launch::bare().output(&["health", "--endpoint", &shown.health]).await;
    assert_eq!(code, 0, "{words}");
    shown.steadyline.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_accounts_move_on_while_one_watches() {
    let mut shown = Shown::start().await;
    let mut before = until("a first value", async || shown.steps("acct-7f3a91").await).await;
    let mut seen = vec![before];
    until_true("all eight steps", async || {
        if let Some(now) = shown.steps("acct-7f3a91").await {
            assert!(now >= before, "steps are not undone: {before}, then {now}");
            if now > before {
                seen.push(now);
            }
            before = now;
        }
        before == 8.0
    })
    .await;
    assert!(seen.len() > 3, "a stair, not a jump: {seen:?}");
    until_true("a lead that opened its invitation", async || shown.steps("acct-2e74f8").await.is_some()).await;
    until_true("an account that left to be gone", async || shown.steps("acct-c3017e").await.is_none()).await;

    // A new name changes the info metric and leaves the line alone.
    let named = |name: &str| {
        let name = name.to_string();
        let shown = &shown;
        async move {
            let infos = shown.series("onboarding_account_info").await;
            let names: Vec<&str> = infos
                .iter()
                .filter(|info| info.label("account_id") == "acct-5d60c7")
                .map(|info| info.label("account_name"))
                .collect();
            names == [name.as_str()]
        }
    };
    until_true("the new name, and the old one gone", async || named("Sable & Finch").await).await;
    assert_eq!(shown.steps("acct-5d60c7").await, Some(2.0));

    // What changed is told on the terminal.
    let told = shown.steadyline.process.stdout().join("\n");
    assert!(told.contains("acct-7f3a91"), "{told}");
    shown.steadyline.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_negotiated() {
    let mut shown = Shown::start().await;
    until_true("the lines", async || !shown.series("onboarding_completed_steps").await.is_empty()).await;
    let request = ::http::Request::get(&shown.page).header("accept", "application/openmetrics-text;version=1.0.0");
    let answer = http::send(request.body(Default::default()).unwrap()).await.unwrap();
    assert!(answer.headers["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
    assert!(answer.text().ends_with("# EOF\n"));
    shown.steadyline.finish().await;
}
