//! The lease in a real table, by the real SDK: take, keep, refuse, release, and what `check` and `validate` say.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use steadyline_component::receiver::ShutdownTrigger;
use steadyline_component::testkit::{TestExtensions, create_with};
use steadyline_component::{Board, Clock, Extension, Host, Leadership, Meter, Shutdown, Status, Term, Verdict};
use steadyline_extension_embedded_dynamodb::{EmbeddedTable, Options, Pace};
use steadyline_extension_leader::LeaderFactory;

const SEED: &str = "
tables:
  - {name: leases, key: {hash: lease}}
  - {name: wrong, key: {hash: id}}
  - name: damaged
    key: {hash: lease}
    items: [{lease: onboarding, lease_counter: many}]
";

async fn table() -> EmbeddedTable {
    let folder = tempfile::tempdir().unwrap();
    let seed = folder.path().join("seed.yaml");
    std::fs::write(&seed, SEED).unwrap();
    EmbeddedTable::start(Options { seed, port: 0, pace: Pace::Manual }).await.unwrap()
}

fn config(url: &str, table: &str) -> String {
    format!(
        "dynamodb: {{table: {table}, lease: onboarding, instance: here, endpoint: \"{url}\", region: us-east-1, \
         access_key_id: AKID, secret_access_key: secret, lease_duration: 1s, renew_interval: 100ms}}"
    )
}

fn made(yaml: &str) -> Arc<dyn Extension> {
    create_with::<LeaderFactory>(yaml, &mut TestExtensions(BTreeMap::new()), &Clock::system(), &Meter::default())
        .unwrap()
}

struct Process {
    extension: Arc<dyn Extension>,
    lease: Arc<dyn Leadership>,
    board: Board,
    _trigger: ShutdownTrigger,
}

async fn process(yaml: &str) -> Process {
    let extension = made(yaml);
    let board = Board::new(Clock::system());
    let (trigger, shutdown) = Shutdown::new();
    extension.start(&Host { clock: Clock::system(), board: board.clone(), shutdown }).await.unwrap();
    let lease = Arc::clone(&extension).as_leadership().unwrap();
    Process { extension, lease, board, _trigger: trigger }
}

impl Process {
    /// Waits for another term than `known`, or none.
    async fn next(&self, known: Option<&Term>) -> Option<Term> {
        tokio::time::timeout(Duration::from_secs(60), self.lease.changed(known)).await.unwrap()
    }

    async fn status(&self, wanted: impl Fn(&Status) -> bool) {
        let reached = async {
            while !wanted(&self.board.read()["extension:leader"].status) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), reached).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_leads_until_it_stops_and_then_the_other_does() {
    let table = table().await;
    let yaml = config(&table.endpoint(), "leases");
    let a = process(&yaml).await;
    let first = a.next(None).await.unwrap();
    assert_eq!((first.number(), first.floor()), (1, 0));
    let b = process(&yaml).await;
    assert_eq!(b.lease.term(), None);
    let reserved = first.ceiling();
    let standing_by = async {
        while first.ceiling() == reserved {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(first.holds(), "renewed");
        a.extension.shutdown().await;
        assert!(!first.holds());
    };
    let (second, ()) = tokio::join!(b.next(None), standing_by);
    let second = second.unwrap();
    assert_eq!(second.number(), 2);
    assert!(second.floor() <= first.ceiling() && second.time() > second.floor());
    let shown: Vec<String> = b.extension.check().await.into_iter().map(|row| row.detail).collect();
    assert!(shown[0].starts_with("`here/") && shown[0].ends_with("leads or led last, term 2"), "{shown:?}");
    b.extension.shutdown().await;
    assert_eq!(b.extension.check().await[0].detail, "released after term 2");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_not_asked_for_takes_nothing() {
    let table = table().await;
    let yaml = config(&table.endpoint(), "leases");
    let idle = process(&yaml).await;
    let rows = idle.extension.check().await;
    assert!(rows.iter().all(|row| row.verdict == Verdict::Pass), "{rows:?}");
    assert_eq!(rows[0].detail, "nobody has led yet");
    assert_eq!(rows[1].what, "write lease `onboarding` in table `leases`");
    idle.extension.shutdown().await;
    assert_eq!(idle.extension.check().await[0].detail, "nobody has led yet");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_table_is_said_with_what_to_do() {
    let table = table().await;
    let cases = [
        (
            "missing",
            "aws dynamodb create-table --table-name missing --attribute-definitions AttributeName=lease,AttributeType=S \
             --key-schema AttributeName=lease,KeyType=HASH --billing-mode PAY_PER_REQUEST --region us-east-1",
        ),
        ("wrong", "the key of table `wrong` must be the string `lease`, alone"),
    ];
    for (name, advice) in cases {
        let process = process(&config(&table.endpoint(), name)).await;
        for row in process.extension.check().await {
            assert_eq!(row.verdict, Verdict::Fail);
            assert!(row.advice.ends_with(advice), "{row:?}");
        }
        let waiting = process.lease.changed(None);
        let said = process.status(|status| matches!(status, Status::Degraded(words) if words.contains(advice)));
        tokio::select! {
            term = waiting => panic!("{term:?}"),
            () = said => {}
        }
        process.extension.shutdown().await;
    }
    let damaged = process(&config(&table.endpoint(), "damaged")).await;
    let rows = damaged.extension.check().await;
    assert_eq!(rows[0].detail, "the row `onboarding` of table `damaged` is no lease: its `lease_counter` is no count");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_does_not_answer_is_no_failed_start() {
    let process = process(&config("http://127.0.0.1:1", "leases")).await;
    tokio::select! {
        term = process.lease.changed(None) => panic!("{term:?}"),
        () = process.status(|status| matches!(status, Status::Degraded(words) if words.contains("cannot take over"))) => {}
    }
    process.extension.shutdown().await;
}

#[test]
fn configs_that_cannot_work() {
    let lease = |more: &str| format!("dynamodb: {{table: t, lease: l{more}}}");
    let cases = [
        (String::new(), "dynamodb: no table is named"),
        ("dynamodb: {}".into(), "dynamodb.table: no table is named"),
        ("dynamodb: {table: t}".into(), "dynamodb.lease: no lease is named"),
        (lease(", lease_duration: 500ms"), "dynamodb.lease_duration: 500ms, expected 1s to 120s"),
        (lease(", lease_duration: 10m"), "dynamodb.lease_duration: 600s, expected 1s to 120s"),
        (
            lease(", renew_interval: 10s"),
            "dynamodb.renew_interval: 10s, expected 50ms to a third of `lease_duration` (6.6",
        ),
        (lease(", renew_interval: 0s"), "dynamodb.renew_interval: 0ns, expected 50ms"),
        (lease(", endpoint: nowhere"), "there is no extension `nowhere`"),
        (lease(", endpoint: \"//\""), "dynamodb.endpoint: `//` is no endpoint"),
        (lease(", region: earth"), "dynamodb.region: \"earth\" is no region"),
        (lease(", assume_role: {arn: x}"), "dynamodb.assume_role.arn: \"x\" is no role"),
        (format!("lease_name: x\n{}", lease("")), "it is called `dynamodb.lease` here"),
    ];
    for (yaml, expected) in cases {
        let made = create_with::<LeaderFactory>(
            &yaml,
            &mut TestExtensions(BTreeMap::new()),
            &Clock::manual(0),
            &Meter::default(),
        );
        let words = made.err().unwrap_or_else(|| panic!("{yaml} is taken"));
        assert!(words.contains(expected), "{yaml}:\n{words}");
    }
}

#[test]
fn it_needs_two_permissions_on_one_row() {
    let role = "arn:aws:iam::123456789012:role/leases";
    let extension = made(&format!("dynamodb: {{table: t, lease: l, region: us-east-1, assume_role: {{arn: {role}}}}}"));
    let statements = extension.permissions();
    assert_eq!(statements[0].actions, ["dynamodb:GetItem", "dynamodb:UpdateItem"]);
    assert_eq!(statements[0].resources, ["arn:aws:dynamodb:us-east-1:<account>:table/t"]);
    assert_eq!(statements[0].conditions[0].2, "l");
    assert_eq!((statements[1].actions[0].as_str(), statements[1].resources[0].as_str()), ("sts:AssumeRole", role));
}
