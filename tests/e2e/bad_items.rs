//! Items as nobody wants them, and more of them than there is room for: one bad item costs itself and nothing else.

use serde_json::json;

use crate::common::backend::Backend;
use crate::common::dynamodb::{Emulator, Table};
use crate::common::onboarding::{STEPS, account, config, four_accounts, remote_write};
use crate::common::steadyline::Launch;
use crate::common::wait::until_true;

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_item_is_skipped_with_a_reason_and_the_others_are_not() {
    let table = Table::onboarding(Emulator::Embedded).await;
    table.api.put(four_accounts()).await;
    let mut long = account("acct-long", "visited", 2);
    long["account_name"] = json!({"S": "n".repeat(390 * 1024)});
    let mut wrong = account("acct-wrong", "visited", 0);
    wrong["completed_steps"] = json!({"BOOL": true});
    let mut nameless = account("acct-nameless", "visited", 1);
    nameless.as_object_mut().unwrap().remove("visible_account_id");
    table.api.put([long, wrong, nameless]).await;

    let backend = Backend::willing().await;
    let config = config(&table.api.url, "1s", &remote_write(&backend.url()))
        .replace("account_id: system_account_id", "account_id: visible_account_id");
    let mut steadyline = Launch::new(&config).with_keys().run().await;
    let value = |id: &str| backend.line("onboarding_completed_steps", id).last().map(|sample| sample.value);
    until_true("the good ones", async || value("v-acct-a") == Some(3.0) && value("v-acct-long") == Some(2.0)).await;
    assert_eq!(value("v-acct-wrong"), None);

    // Cut at the bound, in the info metric alone.
    for labels in backend.taken().keys() {
        assert!(labels.values().all(|value| value.len() <= 2048), "{:?}", labels["__name__"]);
    }
    let log = steadyline.log().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert!(log.contains("acct-nameless"), "the key of the item without an id is told: {log}");
    assert!(log.contains("acct-wrong"), "and of the one with a wrong type: {log}");
    steadyline.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_items_of_one_identity_are_never_added() {
    let table = Table::onboarding(Emulator::Embedded).await;
    let double = |id: &str, steps: usize| {
        let mut item = account(id, "visited", steps);
        item["visible_account_id"] = json!({"S": "v-one"});
        item
    };
    table.api.put([double("acct-1", 5), double("acct-2", 5), double("acct-3", 5)]).await;
    let backend = Backend::willing().await;
    let config = config(&table.api.url, "1s", &remote_write(&backend.url()))
        .replace("account_id: system_account_id", "account_id: visible_account_id");
    let mut steadyline = Launch::new(&config).with_keys().run().await;
    let line = || backend.line("onboarding_completed_steps", "v-one");
    until_true("several samples", async || line().len() >= 4).await;
    let samples = line();
    assert!(samples.iter().all(|sample| sample.value == 5.0), "{samples:?}");
    assert!(samples.windows(2).all(|pair| pair[0].time < pair[1].time), "{samples:?}");
    let log = steadyline.log().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert!(log.contains("acct-1") && log.contains("acct-2"), "both keys are told: {log}");
    steadyline.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_of_38_digits_arrive_as_near_as_a_double_comes() {
    let table = Table::onboarding(Emulator::Embedded).await;
    let digits = "12345678901234567890123456789012345678";
    let mut item = account("acct-big", "visited", 1);
    item["revenue"] = json!({"N": digits});
    table.api.put([item]).await;
    let backend = Backend::willing().await;
    let config = config(&table.api.url, "1s", &remote_write(&backend.url()))
        .replace("value: {size: completed_steps}", "value: {attribute: revenue}");
    let mut steadyline = Launch::new(&config).with_keys().run().await;
    let line = || backend.line("onboarding_completed_steps", "acct-big");
    until_true("the number", async || !line().is_empty()).await;
    assert_eq!(line()[0].value, digits.parse::<f64>().unwrap());
    steadyline.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_items_than_series_are_refused_and_counted() {
    let seed = format!(
        "
tables:
  - name: onboarding
    key: {{hash: system_account_id}}
    indexes: [{{name: gsi1, key: {{hash: gsi1pk, range: gsi1sk}}}}]
    generate:
      - count: 20000
        item:
          system_account_id: 'acct-{{n:05}}'
          account_name: 'Name {{n}}'
          status: visited
          completed_steps: [{}]
          gsi1pk: ACCOUNT
          gsi1sk: 's-{{n:05}}'
",
        STEPS[..3].join(", ")
    );
    let table = Table::seeded(&seed).await;
    let backend = Backend::willing().await;
    let config = config(&table.api.url, "60s", &remote_write(&backend.url()))
        .replace("  lastvalue:", "  lastvalue: {max_series: 1000}");
    let mut steadyline = Launch::new(&config).with_keys().run().await;
    until_true("a whole pass", async || {
        steadyline.own("steadyline_receiver_polls_total", ("outcome", "complete")).await >= 1.0
    })
    .await;
    // The table's own two series, up and the last complete pass, are taken beyond the limit.
    until_true("as many series as there is room for", async || backend.taken().len() == 1002).await;
    let account = steadyline.finish().await.of("processor", "lastvalue");
    let refused: f64 = account.dropped.values().sum();
    assert!(refused >= 60_000.0 - 1000.0, "{account:?}");
    assert_eq!(backend.taken().len(), 1002, "those admitted keep their places");
    let log = steadyline.log().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert!(log.contains("the table holds `max_series` series"), "{log}");
}
