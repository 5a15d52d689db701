//! The storage against the embedded table: what is kept, who is kept out, and what becomes of commits that are cut off.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_dynamodb::types::{AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType};
use bytes::Bytes;
use steadyline_aws::{TableConfig, TablePlace};
use steadyline_component::factory::Component;
use steadyline_component::testkit::{TestExtensions, create, create_with};
use steadyline_component::{
    Area, Board, Change, Clock, CreateContext, Extension, Host, Meter, Owner, Shutdown, Spec, Status, Storage, Verdict,
};
use steadyline_extension_embedded_dynamodb::{EmbeddedTable, Options, Pace};

use crate::table::Table;
use crate::{DynamoDbStorageFactory, journal};

/// Makes nothing but a table's place of the keys that say it.
struct PlaceFactory;

impl Component for PlaceFactory {
    type Config = TableConfig;
    type Made = TablePlace;

    const SPEC: Spec = DynamoDbStorageFactory::SPEC;

    fn create(config: TableConfig, context: &mut CreateContext<'_>) -> Option<TablePlace> {
        config.place(context, "")
    }
}

struct Bench {
    emulator: EmbeddedTable,
    extension: Arc<dyn Extension>,
    board: Board,
}

const SEED: &str = "tables: [{name: other, key: {hash: id}}]";

impl Bench {
    async fn start() -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let seed = folder.path().join("seed.yaml");
        std::fs::write(&seed, SEED).unwrap();
        let emulator = EmbeddedTable::start(Options { seed, port: 0, pace: Pace::Manual }).await.unwrap();
        create_table(&emulator).await;
        let (extension, board) = started(&emulator, "").await;
        Bench { emulator, extension, board }
    }

    fn storage(&self) -> Arc<dyn Storage> {
        Arc::clone(&self.extension).as_storage().unwrap()
    }

    async fn open(&self, id: &str) -> Arc<dyn Area> {
        self.storage().open(&owner(id)).await.unwrap()
    }

    /// The table as another process would have it.
    async fn table(&self) -> Table {
        let keys = yaml(&self.emulator, "").replace("table: state\n", "");
        Table::connect("state", &create::<PlaceFactory>(&keys).unwrap()).await.unwrap()
    }
}

fn yaml(emulator: &EmbeddedTable, more: &str) -> String {
    format!(
        "endpoint: {}\nregion: us-east-1\naccess_key_id: embedded\nsecret_access_key: embedded\n{}",
        emulator.endpoint(),
        if more.contains("table:") { more.to_owned() } else { format!("table: state\n{more}") }
    )
}

async fn started(emulator: &EmbeddedTable, more: &str) -> (Arc<dyn Extension>, Board) {
    let clock = Clock::system();
    let yaml = yaml(emulator, more);
    let made = create_with::<DynamoDbStorageFactory>(&yaml, &mut TestExtensions::default(), &clock, &Meter::default());
    let (extension, board) = (made.unwrap(), Board::new(clock.clone()));
    extension.start(&Host { clock, board: board.clone(), shutdown: Shutdown::new().1 }).await.unwrap();
    (extension, board)
}

async fn create_table(emulator: &EmbeddedTable) {
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("us-east-1"))
        .endpoint_url(emulator.endpoint())
        .credentials_provider(Credentials::new("embedded", "embedded", None, None, "tests"))
        .http_client(steadyline_aws::direct())
        .build();
    let attribute =
        |name: &str, kind| AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build().unwrap();
    let key = |name: &str, kind| KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap();
    aws_sdk_dynamodb::Client::from_conf(config)
        .create_table()
        .table_name("state")
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(attribute("owner", ScalarAttributeType::S))
        .attribute_definitions(attribute("key", ScalarAttributeType::B))
        .key_schema(key("owner", KeyType::Hash))
        .key_schema(key("key", KeyType::Range))
        .send()
        .await
        .unwrap();
}

fn owner(id: &str) -> Owner {
    Owner { kind: "processor", id: id.into(), place: "metrics".into() }
}

fn put(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Change {
    Change::Put(key.into(), value.into())
}

fn many(count: usize, value: u8) -> Vec<Change> {
    (0..count).map(|n| put(format!("key{n:05}"), vec![value; 60])).collect()
}

async fn all(area: &Arc<dyn Area>) -> BTreeMap<Bytes, Bytes> {
    let pairs = area.read_all().await.unwrap();
    assert!(pairs.is_sorted_by_key(|(key, _)| key.clone()));
    pairs.into_iter().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_is_there_again_and_owners_stay_apart() {
    let bench = Bench::start().await;
    let area = bench.open("a").await;
    assert!(all(&area).await.is_empty());
    area.commit(vec![put("b", "2"), put("a", vec![0, 255]), put("", "empty key"), put("c", "")]).await.unwrap();
    area.commit(vec![Change::Delete("b".into()), put("a", "3"), Change::Delete("missing".into())]).await.unwrap();
    area.commit(Vec::new()).await.unwrap();
    // The last change of a key is the one that is made.
    area.commit(vec![put("d", "1"), Change::Delete("d".into()), put("e", "1"), put("e", "2")]).await.unwrap();
    assert!(all(&bench.open("other").await).await.is_empty());
    let (elsewhere, _) = started(&bench.emulator, "prefix: test/").await;
    assert!(all(&elsewhere.as_storage().unwrap().open(&owner("a")).await.unwrap()).await.is_empty());
    let area = bench.open("a").await;
    let expected: [(&str, &str); 4] = [("", "empty key"), ("a", "3"), ("c", ""), ("e", "2")];
    assert_eq!(all(&area).await, expected.map(|(key, value)| (key.into(), value.into())).into());
    assert_eq!(area.get(b"a").await.unwrap().as_deref(), Some(&b"3"[..]));
    assert_eq!(area.get(b"b").await.unwrap(), None);
    assert!(bench.storage().folder(&owner("a")).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn large_commits_are_made_whole() {
    let bench = Bench::start().await;
    let area = bench.open("a").await;
    area.commit(many(1500, 1)).await.unwrap();
    let mut changes = many(1000, 2);
    changes.extend((1000..1400).map(|n| Change::Delete(format!("key{n:05}").into())));
    area.commit(changes).await.unwrap();
    // Few, and large: beyond one transaction by their bytes.
    area.commit((0..20).map(|n| put(format!("large{n}"), vec![n; 250_000])).collect()).await.unwrap();
    let pairs = all(&bench.open("a").await).await;
    assert_eq!(pairs.len(), 1000 + 100 + 20);
    assert_eq!((pairs[&b"key00999"[..]][0], pairs[&b"key01499"[..]][0], pairs[&b"large7"[..]].len()), (2, 1, 250_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_opens_it_takes_it_from_the_one_before() {
    let bench = Bench::start().await;
    let before = bench.open("a").await;
    before.commit(vec![put("a", "1")]).await.unwrap();
    let after = bench.open("a").await;
    for changes in [vec![put("a", "2")], many(300, 9)] {
        let refused = before.commit(changes).await.unwrap_err();
        assert!(!refused.retryable && refused.message.contains("another process has opened"), "{refused}");
    }
    assert_eq!(all(&after).await, [("a".into(), "1".into())].into());
    after.commit(many(300, 3)).await.unwrap();
    assert_eq!(all(&after).await.len(), 301);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_cut_off_is_made_whole_or_not_at_all() {
    let bench = Bench::start().await;
    let name = owner("a").to_string();
    bench.open("a").await.commit(many(10, 1)).await.unwrap();
    // A process that is killed before it says that its journal is whole, and after; and one that applied half of it.
    for (marked, applied) in [(false, 0), (true, 0), (true, 99)] {
        let table = bench.table().await;
        table.take(&name, "gone").await.unwrap();
        let changes = many(300, 7);
        let parts = journal::parts(&changes);
        for (number, part) in (0..).zip(&parts) {
            table.put_part(&name, "gone", number, part).await.unwrap();
        }
        if marked {
            assert!(table.set_journal(&name, "gone", Some(parts.len() as u32)).await.is_ok());
        }
        if applied > 0 {
            assert!(table.transact(&name, "gone", &changes[..applied]).await.is_ok());
        }
        let area = bench.open("a").await;
        let pairs = all(&area).await;
        let wanted = if marked { (300, 7) } else { (10, 1) };
        assert_eq!((pairs.len(), pairs[&b"key00000"[..]][0]), wanted, "{marked} {applied}");
        assert_eq!(table.take(&name, "next").await.unwrap(), None, "nothing is left to apply");
        assert!(table.part(&name, "gone", 0).await.unwrap().is_none(), "and no part is left over");
        let area = bench.open("a").await;
        area.commit((0..300).map(|n| Change::Delete(format!("key{n:05}").into())).collect()).await.unwrap();
        area.commit(many(10, 1)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_with_a_part_missing_is_an_error_in_words() {
    let bench = Bench::start().await;
    let name = owner("a").to_string();
    let table = bench.table().await;
    table.take(&name, "gone").await.unwrap();
    assert!(table.set_journal(&name, "gone", Some(2)).await.is_ok());
    let error = bench.storage().open(&owner("a")).await.err().unwrap();
    assert!(error.message.contains("part 0 of a commit is missing") && !error.retryable, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_refused_and_nothing_is_made() {
    let bench = Bench::start().await;
    let area = bench.open("a").await;
    for change in [put("big", vec![0; 300 * 1024]), put(vec![b'k'; 1001], "1")] {
        let refused = area.commit(vec![put("small", "1"), change]).await.unwrap_err();
        assert!(refused.message.contains("too large for a table") && !refused.retryable, "{refused}");
    }
    assert!(all(&area).await.is_empty());
    let status = || bench.board.read()["extension:dynamodb_storage"].status.clone();
    assert_eq!(status(), Status::Ok);
    area.commit(vec![put("big", vec![0; 300 * 1024])]).await.unwrap_err();
    assert!(matches!(status(), Status::Degraded(_)));
    area.commit(vec![put("small", "1")]).await.unwrap();
    assert_eq!(status(), Status::Ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_table_and_a_table_with_other_keys_are_said_in_words() {
    let bench = Bench::start().await;
    for (table, words) in
        [("missing", "must exist, with the string key `owner`"), ("other", "cannot open table `other`")]
    {
        let (extension, _) = started(&bench.emulator, &format!("table: {table}")).await;
        let error = Arc::clone(&extension).as_storage().unwrap().open(&owner("a")).await.err().unwrap();
        assert!(error.message.contains(words) && !error.retryable, "{error}");
        let rows = extension.check().await;
        assert!(rows.iter().any(|row| row.verdict == Verdict::Fail), "{rows:?}");
    }
    let rows = bench.extension.check().await;
    assert!(rows.iter().all(|row| row.verdict == Verdict::Pass), "{rows:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_does_not_answer_is_worth_another_try() {
    let bench = Bench::start().await;
    let area = bench.open("a").await;
    let storage = bench.storage();
    bench.emulator.stop().await.unwrap();
    let refused = area.commit(vec![put("a", "1")]).await.unwrap_err();
    assert!(refused.retryable && refused.message.contains("table `state`"), "{refused}");
    assert!(storage.open(&owner("b")).await.err().unwrap().retryable);
}

#[test]
fn config_and_permissions() {
    for (yaml, words) in [
        ("", "no table is named"),
        ("table: t\nendpoint: nowhere", "there is no extension `nowhere`"),
        ("table: t\nendpoint: '!'", "is no endpoint"),
        ("table: t\nregion: earth", "is no region"),
        ("table: t\nassume_role: {arn: me}", "is no role"),
        ("table: t\nttl: 5", "ttl"),
    ] {
        let error = create::<DynamoDbStorageFactory>(yaml).err().unwrap_or_default();
        assert!(error.contains(words), "{yaml}: {error}");
    }
    let role = "arn:aws:iam::123456789012:role/state";
    let made =
        create::<DynamoDbStorageFactory>(&format!("table: t\nregion: eu-west-1\nassume_role: {{arn: '{role}'}}"));
    let statements = made.unwrap().permissions();
    assert_eq!(statements[0].resources, ["arn:aws:dynamodb:eu-west-1:<account>:table/t"]);
    assert_eq!(statements[0].actions.len(), 6);
    assert_eq!(statements[1].actions, ["sts:AssumeRole"]);
    let secret = "table: t\naccess_key_id: a\nsecret_access_key: hunter2";
    assert!(!format!("{:?}", create::<DynamoDbStorageFactory>(secret).unwrap().permissions()).contains("hunter2"));
}
