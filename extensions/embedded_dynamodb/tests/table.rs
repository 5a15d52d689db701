//! The embedded table as its users meet it: through the AWS SDK, over HTTP, with the shipped demo
//! and with seeds of the tests' own. Time is moved by hand.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::Duration;

use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_dynamodb::types::AttributeValue;
use steadyline_component::{Board, Clock, Host, Shutdown, testkit};
use steadyline_extension_embedded_dynamodb::{DEMO_SEED, EmbeddedDynamoDb, EmbeddedTable, Error, Options, Pace};

type Item = HashMap<String, AttributeValue>;

fn client(table: &EmbeddedTable) -> aws_sdk_dynamodb::Client {
    client_of(table.endpoint(), table.region().to_owned())
}

fn client_of(url: String, region: String) -> aws_sdk_dynamodb::Client {
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(region))
        .endpoint_url(url)
        .credentials_provider(Credentials::new("embedded", "embedded", None, None, "tests"))
        .http_client(steadyline_aws::direct())
        .build();
    aws_sdk_dynamodb::Client::from_conf(config)
}

async fn start(seed: &str) -> Result<EmbeddedTable, Error> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("seed.yaml");
    std::fs::write(&path, seed).unwrap();
    start_file(&path).await
}

async fn start_file(seed: &Path) -> Result<EmbeddedTable, Error> {
    EmbeddedTable::start(Options { seed: seed.to_owned(), port: 0, pace: Pace::Manual }).await
}

/// Every item of a table or of an index, by the attribute that tells items apart.
async fn items(table: &EmbeddedTable, name: &str, index: Option<&str>, key: &str) -> BTreeMap<String, Item> {
    let client = client(table);
    let mut all = BTreeMap::new();
    let mut start = None;
    loop {
        let page = client
            .scan()
            .table_name(name)
            .set_index_name(index.map(str::to_owned))
            .set_exclusive_start_key(start)
            .limit(100)
            .send()
            .await
            .unwrap();
        start = page.last_evaluated_key().cloned();
        for item in page.items.unwrap_or_default() {
            all.insert(item[key].as_s().unwrap().clone(), item);
        }
        if start.is_none() {
            return all;
        }
    }
}

async fn accounts(table: &EmbeddedTable) -> BTreeMap<String, Item> {
    items(table, "onboarding", Some("gsi1"), "system_account_id").await
}

fn steps(item: &Item) -> usize {
    match item.get("completed_steps") {
        Some(AttributeValue::L(steps)) => steps.len(),
        Some(AttributeValue::Ss(steps)) => steps.len(),
        _ => 0,
    }
}

fn status(item: &Item) -> &str {
    item["status"].as_s().unwrap()
}

#[tokio::test]
async fn the_demo_is_in_the_binary_and_answers_a_query_on_its_index() {
    // Tests run in the folder of the crate, where there is no `demo/`.
    assert!(!Path::new(DEMO_SEED).exists());
    let table = start_file(Path::new(DEMO_SEED)).await.unwrap();
    let page = client(&table)
        .query()
        .table_name("onboarding")
        .index_name("gsi1")
        .key_condition_expression("gsi1pk = :kind")
        .expression_attribute_values(":kind", AttributeValue::S("ACCOUNT".into()))
        .send()
        .await
        .unwrap();
    assert_eq!(page.count(), 13);
    let first = &page.items()[0];
    assert_eq!(first["account_name"].as_s().unwrap(), "Old Mill Ceramics");
    let mut names: Vec<&str> = page.items().iter().flat_map(|item| item.keys().map(String::as_str)).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(
        names,
        ["account_name", "completed_steps", "gsi1pk", "gsi1sk", "status", "system_account_id", "visible_account_id"],
        "the index holds what its projection includes, and the keys"
    );
    table.stop().await.unwrap();
}

#[tokio::test]
async fn the_demo_moves_on_within_a_minute() {
    let table = start_file(Path::new(DEMO_SEED)).await.unwrap();
    let before = accounts(&table).await;
    table.advance(Duration::from_secs(60)).await.unwrap();
    let after = accounts(&table).await;
    let stepped = after.iter().filter(|(id, item)| before.get(*id).is_some_and(|old| steps(old) < steps(item))).count();
    assert!(stepped >= 6, "{stepped} accounts stepped up");
    assert!(after.contains_key("acct-a6f4e1"), "one has signed up");
    assert!(!after.contains_key("acct-c3017e"), "one has left");
    assert_eq!(steps(&after["acct-7f3a91"]), 8);
    assert_eq!(status(&after["acct-7f3a91"]), "submitted");
    assert_eq!(status(&after["acct-2e74f8"]), "visited");
    assert_eq!(steps(&after["acct-5d60c7"]), steps(&before["acct-5d60c7"]));
}

#[tokio::test]
async fn the_demo_starts_over_with_its_loop_and_a_restart_gives_the_same_table() {
    let table = start_file(Path::new(DEMO_SEED)).await.unwrap();
    let seeded = accounts(&table).await;
    table.advance(Duration::from_secs(599)).await.unwrap();
    assert_ne!(accounts(&table).await, seeded);
    table.advance(Duration::from_secs(600)).await.unwrap();
    assert_eq!(accounts(&table).await, seeded);
    table.stop().await.unwrap();

    let again = start_file(Path::new(DEMO_SEED)).await.unwrap();
    assert_eq!(accounts(&again).await, seeded);
}

const GENERATED: &str = r#"
seed: 5
tables:
  - name: load
    key: {hash: id, range: created}
    key_types: {created: number}
    indexes:
      - {name: by_shard, key: {hash: shard}, projection: keys_only}
    items:
      - {id: fixed, created: 1, note: {M: {S: not a type}}}
    generate:
      - count: 6000
        item:
          id: "acct-{n:05}"
          created: {N: "{n+1000}"}
          shard: "{n%4}"
          status: {choose: [pending, visited]}
          steps: {SS: {first_of: [a, b, c]}}
          size: {integer: [1, 9]}
"#;

#[tokio::test]
async fn generated_items_follow_their_template_and_their_seed() {
    let table = start(GENERATED).await.unwrap();
    assert_eq!(table.items(), 6001);
    let all = items(&table, "load", None, "id").await;
    assert_eq!(all.len(), 6001);
    let item = &all["acct-00042"];
    assert_eq!(item["created"].as_n().unwrap(), "1042");
    assert_eq!(item["shard"].as_s().unwrap(), "2");
    assert!(all.values().any(|item| steps(item) == 0 && !item.contains_key("steps")));
    let indexed = items(&table, "load", Some("by_shard"), "id").await;
    assert_eq!(indexed.len(), 6000, "the index is sparse");
    assert!(!indexed["acct-00042"].contains_key("status"));

    let again = start(GENERATED).await.unwrap();
    assert_eq!(items(&again, "load", None, "id").await, all);
    let other = start(&GENERATED.replace("seed: 5", "seed: 6")).await.unwrap();
    assert_ne!(items(&other, "load", None, "id").await, all);
}

const SCRIPTED: &str = r#"
tables:
  - name: first
    key: {hash: id}
    items:
      - {id: a, status: one, tags: {SS: [x]}, old: true}
  - name: second
    key: {hash: id}
changes:
  - {after: 2s, table: first, update: {key: {id: a}, set: {when: "t{n}"}, remove: [old], next: {status: [one, two]}, append_next: {tags: {SS: [x, y]}}}}
  - {every: 3s, table: second, put: {id: "new-{n}"}}
  - {after: 7s, every: 3s, table: second, delete: {id: "new-{n}"}}
  - {after: 1s, table: first, update: {key: {id: nobody}, set: {x: 1}}}
"#;

#[tokio::test]
async fn changes_apply_in_order_of_time() {
    let table = start(SCRIPTED).await.unwrap();
    assert_eq!(table.advance(Duration::from_secs(1)).await.unwrap(), 0);
    assert_eq!(table.advance(Duration::from_secs(2)).await.unwrap(), 1);
    let item = items(&table, "first", None, "id").await.remove("a").unwrap();
    assert_eq!(status(&item), "two");
    assert_eq!(item["when"].as_s().unwrap(), "t0");
    assert_eq!(item["tags"].as_ss().unwrap().len(), 2);
    assert!(!item.contains_key("old"));

    assert_eq!(table.advance(Duration::from_secs(9)).await.unwrap(), 4);
    let left: Vec<String> = items(&table, "second", None, "id").await.into_keys().collect();
    assert_eq!(left, ["new-1", "new-2"]);
    assert_eq!(table.advance(Duration::from_secs(5)).await.unwrap(), 0, "going back does nothing");
}

#[tokio::test]
async fn a_stopped_table_frees_its_port() {
    let table = start(SCRIPTED).await.unwrap();
    let port = table.address().port();
    let taken = EmbeddedTable::start(Options { seed: DEMO_SEED.into(), port, pace: Pace::Manual }).await.unwrap_err();
    assert!(taken.to_string().contains(&format!("cannot listen on 127.0.0.1:{port}")), "{taken}");
    table.stop().await.unwrap();
    let next = EmbeddedTable::start(Options { seed: DEMO_SEED.into(), port, pace: Pace::Manual }).await.unwrap();
    assert_eq!(next.address().port(), port);
}

#[tokio::test]
async fn a_generator_that_repeats_a_key_is_refused_with_its_place() {
    let error = start(
        "tables:\n  - name: load\n    key: {hash: id}\n    generate:\n      - count: 3\n        item: {id: \"{n%2}\"}\n",
    )
    .await
    .unwrap_err()
    .to_string();
    assert!(error.contains("seed.yaml:6:15: tables[0].generate[0].item: item n = 2"), "{error}");
}

#[tokio::test]
async fn a_missing_seed_says_what_was_expected() {
    let error = start_file(Path::new("nowhere.yaml")).await.unwrap_err().to_string();
    assert!(error.contains("cannot read the seed file `nowhere.yaml`"), "{error}");
    assert!(error.contains("expected a YAML file with `tables`"), "{error}");
}

#[tokio::test]
async fn as_an_extension_it_gives_its_connection_while_it_runs_and_follows_the_clock() {
    let clock = Clock::manual(0);
    let extension = testkit::create::<EmbeddedDynamoDb>("port: 0").unwrap();
    let endpoint = extension.clone().as_aws_endpoint().unwrap();
    assert!(endpoint.connection().await.is_err(), "not started");
    let (_trigger, shutdown) = Shutdown::new();
    let host = Host { clock: clock.clone(), board: Board::new(clock.clone()), shutdown };
    extension.start(&host).await.unwrap();
    let connection = endpoint.connection().await.unwrap();
    assert!(connection.url.starts_with("http://127.0.0.1:"), "{connection:?}");
    assert_eq!(connection.region, "us-east-1");

    let client = client_of(connection.url, connection.region);
    assert!(!has_account(&client, "acct-a6f4e1").await);
    clock.advance(Duration::from_secs(21));
    let appears = async { while !has_account(&client, "acct-a6f4e1").await {} };
    tokio::time::timeout(Duration::from_secs(30), appears).await.expect("the script follows the clock");
    extension.shutdown().await;
    assert!(endpoint.connection().await.is_err(), "stopped");
}

#[test]
fn the_config_refuses_keys_and_values_that_it_does_not_know() {
    for (yaml, expected) in
        [("sed: x.yaml", "seed"), ("port: 70000", "port"), ("port: -1", "port"), ("changes: sometimes", "changes")]
    {
        let error = testkit::create::<EmbeddedDynamoDb>(yaml).err().unwrap();
        assert!(error.contains(expected), "{yaml}: {error}");
    }
}

async fn has_account(client: &aws_sdk_dynamodb::Client, id: &str) -> bool {
    let answer = client
        .get_item()
        .table_name("onboarding")
        .key("system_account_id", AttributeValue::S(id.into()))
        .send()
        .await
        .unwrap();
    answer.item().is_some()
}
