//! The main job against three tables that are not alike: the embedded one, moto, and Amazon's DynamoDB Local.
//!
//! They differ in what a read costs, never in what it says: the embedded table and DynamoDB Local count units by size,
//! moto one a request; DynamoDB Local starts in seconds, because it is a Java program. The lines are the same.

use crate::common::backend::Backend;
use crate::common::dynamodb::{Emulator, Table};
use crate::common::faults::{Fault, FaultProxy};
use crate::common::onboarding::{account, config, four_accounts, remote_write};
use crate::common::steadyline::Launch;
use crate::common::wait::until_true;

const POLLS: &str = "steadyline_receiver_polls_total";

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_table() {
    main_job(Emulator::Embedded).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn moto() {
    main_job(Emulator::Moto).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dynamodb_local() {
    main_job(Emulator::DynamoDbLocal).await;
}

async fn main_job(emulator: Emulator) {
    let table = Table::onboarding(emulator).await;
    table.api.put(four_accounts()).await;
    let proxy = FaultProxy::start(&table.api).await;
    let backend = Backend::willing().await;
    let config = config(&proxy.url(), "1s", &remote_write(&backend.url()));
    let mut steadyline = Launch::new(&config).with_keys().run().await;
    let values = |account: &str| -> Vec<f64> {
        let line = backend.line("onboarding_completed_steps", account);
        let mut values: Vec<f64> = line.iter().filter(|sample| !sample.is_stale()).map(|sample| sample.value).collect();
        values.dedup();
        values
    };

    until_true("the first values", async || ["acct-a", "acct-b", "acct-c"].iter().all(|id| !values(id).is_empty()))
        .await;
    table.api.put([account("acct-a", "submitted", 5), account("acct-d", "visited", 0)]).await;
    until_true("the new values", async || values("acct-a") == [3.0, 5.0] && values("acct-d") == [0.0]).await;
    // Their pages may end anywhere and their reads may fail; nothing is taken for gone.
    for (fault, outcome) in
        [(Fault::EmptyPageWithKey, "complete"), (Fault::SecondPageFails, "failed"), (Fault::KeyAfterLast, "complete")]
    {
        let start = steadyline.own(POLLS, ("outcome", outcome)).await;
        proxy.set(fault);
        let what = format!("passes with {fault:?}");
        until_true(&what, async || steadyline.own(POLLS, ("outcome", outcome)).await >= start + 3.0).await;
    }
    proxy.set(Fault::None);
    assert!(backend.line("onboarding_completed_steps", "acct-c").iter().all(|sample| !sample.is_stale()));
    table.api.delete("acct-c").await;
    until_true("the end of the line of an account that is gone", async || {
        backend.line("onboarding_completed_steps", "acct-c").iter().any(|sample| sample.is_stale())
    })
    .await;
    assert_eq!((values("acct-b"), values("acct-c")), (vec![0.0], vec![1.0]));

    let totals = backend.line("onboarding_total_steps", "acct-a");
    assert!(totals.iter().all(|sample| sample.value == 8.0), "{totals:?}");
    for (labels, samples) in backend.taken() {
        let names: Vec<&str> = labels.keys().map(String::as_str).collect();
        match labels["__name__"].as_str() {
            "onboarding_completed_steps" | "onboarding_total_steps" => {
                assert_eq!(names, ["__name__", "account_id", "env"]);
            }
            "onboarding_account_info" => {
                assert_eq!(names, ["__name__", "account_id", "account_name", "env", "status"]);
            }
            _ => {}
        }
        let times: Vec<i64> = samples.iter().map(|sample| sample.time).collect();
        assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "each sample is newer: {labels:?} {times:?}");
        assert!(samples.iter().filter(|sample| sample.is_stale()).count() <= 1, "{labels:?}");
    }
    steadyline.finish().await;
}
