//! Real databases: a file of SQLite here, a server of PostgreSQL in `postgres`.

mod postgres;
mod server;

use std::sync::Arc;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use prost::Message;
use steadyline_component::telemetry::Signal;
use steadyline_component::testkit::{MemoryStorage, TestExtensions, TestIntake, create, create_with, render};
use steadyline_component::{
    Batch, Board, Clock, Data, Extension, Header, Host, Instrument, Meter, Pass, PassEnd, PollError, PollOutput,
    Polling, Shutdown, Tick,
};

use crate::SqlQueryFactory;

/// A receiver under test.
struct Made {
    polling: Polling,
    clock: Clock,
    instruments: Vec<Arc<Instrument>>,
    signals: Vec<Signal>,
    /// What came of the last pass.
    batches: Vec<Batch>,
}

const TIME: u64 = 60_000_000_000;
const LONG: Duration = Duration::from_secs(60);

async fn make(yaml: &str, storage: Option<&MemoryStorage>) -> Made {
    let (clock, meter) = (Clock::system(), Meter::default());
    let mut extensions = TestExtensions::default();
    if let Some(storage) = storage {
        extensions.0.insert("memory".into(), Arc::new(storage.clone()) as Arc<dyn Extension>);
    }
    let mut polling =
        create_with::<SqlQueryFactory>(yaml, &mut extensions, &clock, &meter).unwrap_or_else(|words| panic!("{words}"));
    let (_trigger, shutdown) = Shutdown::new();
    let host = Host { clock: clock.clone(), board: Board::new(clock.clone()), shutdown };
    polling.poller.start(&host).await.unwrap();
    let signals = vec![Signal::Metrics, Signal::Logs];
    Made { polling, clock, instruments: meter.read(), signals, batches: Vec::new() }
}

impl Made {
    async fn poll(&mut self) -> Result<PassEnd, PollError> {
        self.poll_within(LONG).await
    }

    async fn poll_within(&mut self, limit: Duration) -> Result<PassEnd, PollError> {
        let intake = TestIntake::new(64 << 20);
        let pass = Pass { epoch: 1, time: TIME, interval: LONG, timeout: LONG, end: None };
        let header = Header { source: Arc::from("sqlquery"), pass: Some(pass), ..Header::default() };
        let output = PollOutput::of(intake.outputs(&self.signals), header);
        let (_trigger, shutdown) = Shutdown::new();
        let deadline = self.clock.now().mono + limit;
        let tick = Tick { epoch: 1, time: TIME, deadline, last_complete: None, shutdown };
        let end = self.polling.poller.poll(&tick, &output).await;
        self.batches = intake.take();
        end
    }

    /// The points of a complete pass.
    async fn lines(&mut self) -> Vec<String> {
        assert_eq!(self.poll().await.unwrap(), PassEnd::Complete);
        self.points()
    }

    fn points(&self) -> Vec<String> {
        self.batches.iter().filter_map(Batch::as_metrics).flat_map(render).collect()
    }

    /// The log records of the last pass.
    fn records(&self) -> Vec<Record> {
        let requests = self.batches.iter().filter_map(|batch| match &batch.data {
            Data::Opaque(opaque) => Some(ExportLogsServiceRequest::decode(opaque.bytes().clone()).unwrap()),
            Data::Metrics(_) => None,
        });
        let records = requests.flat_map(|mut request| request.resource_logs.remove(0).scope_logs.remove(0).log_records);
        let text = |value: Option<opentelemetry_proto::tonic::common::v1::AnyValue>| match value.unwrap().value.unwrap()
        {
            opentelemetry_proto::tonic::common::v1::any_value::Value::StringValue(text) => text,
            other => panic!("{other:?} is no text"),
        };
        records
            .map(|record| {
                assert_eq!(record.observed_time_unix_nano, TIME);
                let attributes = record.attributes.into_iter().map(|pair| (pair.key, text(pair.value))).collect();
                (record.time_unix_nano, text(record.body), attributes)
            })
            .collect()
    }

    fn rejected(&self) -> f64 {
        self.instruments.iter().map(|one| one.value()).sum()
    }
}

/// Time, body and attributes of a log record.
type Record = (u64, String, Vec<(String, String)>);

/// A file with a table of orders.
struct File {
    folder: tempfile::TempDir,
}

impl File {
    fn new(sql: &str) -> File {
        let file = File { folder: tempfile::tempdir().unwrap() };
        file.run(sql);
        file
    }

    fn run(&self, sql: &str) {
        rusqlite::Connection::open(self.path()).unwrap().execute_batch(sql).unwrap();
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("shop.db")
    }

    fn yaml(&self, rest: &str) -> String {
        format!("driver: sqlite\ndatasource: {}\n{rest}", self.path().display())
    }
}

const ORDERS: &str = "create table orders (id integer primary key, status text, amount real, at text);
    insert into orders values (1, 'open', 2.5, '1970-01-01T00:00:30Z'), (2, 'done', 7, '1970-01-01T00:00:40Z'), (3, null, null, null);";

#[tokio::test]
async fn rows_become_points() {
    let file = File::new(ORDERS);
    let queries = "
queries:
  - sql: select status, count(*) as n, sum(amount) as amount, '1500000000' as at from orders where status is not null group by status order by status
    metrics:
      - {metric_name: orders, value_column: n, attribute_columns: [status], static_attributes: {shop: a}, unit: '1', description: Orders.}
      - {metric_name: amount, value_column: amount, value_type: double, data_type: sum, monotonic: true, ts_column: at, start_ts_column: at}
      - {metric_name: change, value_column: n, data_type: sum, aggregation: delta, monotonic: true}
      - {metric_name: stock, value_column: n, data_type: sum}";
    let mut made = make(&file.yaml(queries), None).await;
    let expected = [
        "orders{shop=\"a\",status=\"done\"} 1 @60",
        "orders{shop=\"a\",status=\"open\"} 1 @60",
        "counter amount 7 @1.5",
        "counter amount 2.5 @1.5",
        "delta change 1 @60",
        "delta change 1 @60",
        "updown stock 1 @60",
        "updown stock 1 @60",
    ];
    assert_eq!(made.lines().await, expected);
    let metrics = made.batches[0].as_metrics().unwrap();
    let orders = &metrics.tables().metrics[0];
    assert_eq!((metrics.text(orders.unit), metrics.text(orders.description)), ("1", "Orders."));
    assert_eq!(metrics.tables().points[2].start, 1_500_000_000);
    assert!(made.batches[0].header.pass.is_some());
}

#[tokio::test]
async fn null_is_what_config_says() {
    let file = File::new(ORDERS);
    let query = |policy: &str| {
        file.yaml(&format!(
            "queries: [{{sql: 'select status, amount, id from orders order by id', metrics: [{{metric_name: a, value_column: amount, value_type: double, attribute_columns: [id, status], {policy}}}]}}]"
        ))
    };
    let known = ["a{id=\"1\",status=\"open\"} 2.5 @60", "a{id=\"2\",status=\"done\"} 7 @60"];
    let mut made = make(&query(""), None).await;
    assert_eq!(made.lines().await, [known[0], known[1], "a{id=\"3\"} held @60"]);
    let mut made = make(&query("on_null_value: skip"), None).await;
    assert_eq!(made.lines().await, known);
    for policy in ["on_null_value: error", "on_null_attribute: error"] {
        let mut made = make(&query(policy), None).await;
        assert_eq!(made.poll().await.unwrap(), PassEnd::Partial, "{policy}");
        assert_eq!((made.points(), made.rejected()), (known.map(str::to_string).to_vec(), 1.0));
    }
}

#[tokio::test]
async fn rows_that_do_not_fit_are_left_out() {
    let file = File::new(ORDERS);
    let queries = "
queries:
  - sql: select id, status, amount, at from orders where id < 3 order by id
    metrics:
      - {metric_name: text, value_column: status}
      - {metric_name: fraction, value_column: amount}
      - {metric_name: when, value_column: id, ts_column: status}
      - {metric_name: good, value_column: id, ts_column: at}";
    let mut made = make(&file.yaml(queries), None).await;
    assert_eq!(made.poll().await.unwrap(), PassEnd::Partial);
    assert_eq!(made.points(), ["fraction 7 @60", "good 1 @30", "good 2 @40"]);
    assert_eq!(made.rejected(), 5.0);
}

const EVENTS: &str = "create table events (id integer primary key, message text, severity text, amount integer);
    insert into events values (1, 'first', 'info', 10), (2, 'second', null, 20);";

const LOGS: &str = "
storage: memory
queries:
  - sql: select id, message, severity, 2000000000 as at from events where id > ?1 order by id
    tracking_column: id
    tracking_start_value: '0'
    logs: [{body_column: message, attribute_columns: [severity], ts_column: at}]";

#[tokio::test]
async fn tracked_logs_come_once_and_go_on_after_a_restart() {
    let (file, storage) = (File::new(EVENTS), MemoryStorage::default());
    let mut made = make(&file.yaml(LOGS), Some(&storage)).await;
    made.poll().await.unwrap();
    let severity = vec![("severity".to_string(), "info".to_string())];
    assert_eq!(made.records(), [(2_000_000_000, "first".into(), severity), (2_000_000_000, "second".into(), vec![])]);
    made.poll().await.unwrap();
    assert!(made.batches.is_empty(), "nothing is new");
    file.run("insert into events values (10, 'third', 'warn', 5)");
    made.poll().await.unwrap();
    assert_eq!(made.records()[0].1, "third");
    file.run("insert into events values (11, 'fourth', 'warn', 5)");
    let mut restarted = make(&file.yaml(LOGS), Some(&storage)).await;
    restarted.poll().await.unwrap();
    assert_eq!(restarted.records().len(), 1, "only what came since");
    assert_eq!(restarted.records()[0].1, "fourth");
    let mut forgetful = make(&file.yaml(&LOGS.replace("storage: memory", "")), None).await;
    forgetful.poll().await.unwrap();
    assert_eq!(forgetful.records().len(), 4);
    let changed = LOGS.replace("order by id", "order by id asc");
    let mut changed = make(&file.yaml(&changed), Some(&storage)).await;
    changed.poll().await.unwrap();
    assert_eq!(changed.records().len(), 4, "another query begins anew");
}

#[tokio::test]
async fn a_value_that_cannot_be_kept_is_told_and_goes_on_in_memory() {
    let (file, storage) = (File::new(EVENTS), MemoryStorage::default());
    let mut made = make(&file.yaml(LOGS), Some(&storage)).await;
    storage.fail(Some(steadyline_component::StorageError { message: "the disk is full".into(), retryable: true }));
    let error = made.poll().await.unwrap_err();
    assert!(error.reason == "storage" || error.message.contains("disk is full"), "{error}");
    assert_eq!(made.records().len(), 2);
    storage.fail(None);
    made.poll().await.unwrap();
    assert!(made.batches.is_empty());
}

#[tokio::test]
async fn tracked_metrics_are_news() {
    let file = File::new(EVENTS);
    let queries = "
queries:
  - sql: select id, amount from events where id > ? order by id
    tracking_column: id
    tracking_start_value: '0'
    metrics: [{metric_name: amount, value_column: amount, data_type: sum, aggregation: delta, monotonic: true}]
  - sql: select count(*) as n from events
    metrics: [{metric_name: events, value_column: n}]";
    let mut made = make(&file.yaml(queries), None).await;
    assert_eq!(made.lines().await, ["delta amount 10 @60", "delta amount 20 @60", "events 2 @60"]);
    let headers: Vec<_> =
        made.batches.iter().map(|batch| (&*batch.header.source, batch.header.pass.is_some())).collect();
    assert_eq!(headers, [("sqlquery/news", false), ("sqlquery", true)]);
    assert_eq!(made.lines().await, ["events 2 @60"], "a complete pass, though nothing is new");
}

#[tokio::test]
async fn what_nobody_wants_is_not_asked() {
    let file = File::new(EVENTS);
    let mut made = make(&file.yaml(&LOGS.replace("storage: memory", "")), None).await;
    made.signals = vec![Signal::Metrics];
    assert_eq!(made.poll().await.unwrap(), PassEnd::Complete);
    made.signals.push(Signal::Logs);
    made.poll().await.unwrap();
    assert_eq!(made.records().len(), 2);
}

#[tokio::test]
async fn large_results_come_in_pages_and_within_their_bound() {
    let file = File::new("create table t (n integer)");
    file.run(
        "with recursive c(n) as (select 1 union all select n + 1 from c where n < 2500) insert into t select n from c",
    );
    let query = "queries: [{sql: select n from t, metrics: [{metric_name: n, value_column: n}]}]";
    let mut made = make(&file.yaml(query), None).await;
    assert_eq!(made.lines().await.len(), 2500);
    assert_eq!(made.batches.len(), 3);
    let mut made = make(&file.yaml(&format!("max_rows: 2000\n{query}")), None).await;
    let error = made.poll().await.unwrap_err();
    assert_eq!((error.reason, made.points().len()), ("too_many_rows", 2000), "what came before counts");
    let mut made = make(&file.yaml(&format!("max_rows: 10\n{query}")), None).await;
    let error = made.poll().await.unwrap_err();
    assert!(error.reason == "too_many_rows" && error.message.contains("max_rows"), "{error}");
}

#[tokio::test]
async fn an_endless_query_is_interrupted() {
    let file = File::new(ORDERS);
    let query = "queries: [{sql: with recursive c(n) as (select 1 union all select n + 1 from c) select max(n) as n from c, metrics: [{metric_name: n, value_column: n}]}]";
    let mut made = make(&file.yaml(query), None).await;
    let error = made.poll_within(Duration::from_millis(300)).await.unwrap_err();
    assert_eq!(error.reason, "timeout");
    // The runtime of the test ends only when the thread has: else this test hangs.
}

#[tokio::test]
async fn failures_say_what_failed() {
    let file = File::new(ORDERS);
    let cases = [
        ("select missing from orders", "no such column"),
        ("select id as n from orders where id > ?1", "parameters"),
        ("select id as other from orders", "no column `n`; it has: other"),
        ("delete from orders", "readonly"),
    ];
    for (sql, word) in cases {
        let query = format!("queries: [{{sql: \"{sql}\", metrics: [{{metric_name: n, value_column: n}}]}}]");
        let error = make(&file.yaml(&query), None).await.poll().await.unwrap_err();
        assert!(error.reason == "query" && error.message.contains(word), "{sql}: {error}");
    }
    let query = "queries: [{sql: select 1 as n, metrics: [{metric_name: n, value_column: n}]}, {sql: nonsense, metrics: [{metric_name: n, value_column: n}]}]";
    let mut made = make(&file.yaml(query), None).await;
    assert_eq!(made.poll().await.unwrap(), PassEnd::Partial, "the other query counts");
    assert_eq!(made.points(), ["n 1 @60"]);
    let missing = "driver: sqlite\ndatabase: /does/not/exist.db\nqueries: [{sql: select 1 as n, metrics: [{metric_name: n, value_column: n}]}]";
    let error = make(missing, None).await.poll().await.unwrap_err();
    assert!(error.reason == "connect" && error.message.contains("/does/not/exist.db"), "{error}");
}

#[tokio::test]
async fn a_check_asks_every_query() {
    let file = File::new(ORDERS);
    let query = "queries: [{sql: select id as n from orders, metrics: [{metric_name: n, value_column: n}]}, {sql: nonsense, metrics: [{metric_name: n, value_column: n}]}]";
    let rows = make(&file.yaml(query), None).await.polling.poller.check().await;
    let verdicts: Vec<_> = rows.iter().map(|row| row.verdict).collect();
    assert_eq!(verdicts, [steadyline_component::Verdict::Pass, steadyline_component::Verdict::Fail]);
}

#[test]
fn bad_config_is_refused_in_words() {
    let wrong = |yaml: &str| create::<SqlQueryFactory>(yaml).err().unwrap();
    let query = "queries: [{sql: select 1, metrics: [{metric_name: n, value_column: n}]}]";
    for (yaml, word) in [
        (format!("driver: mysql\n{query}"), "`mysql` is not supported"),
        (format!("driver: other\n{query}"), "no driver `other`"),
        (query.to_string(), "expected `postgres` or `sqlite`"),
        (format!("driver: sqlite\n{query}"), "path of the file"),
        (format!("driver: postgres\n{query}"), "host"),
        (format!("driver: postgres\ndatasource: \"host=a bad=option\"\n{query}"), "datasource"),
        (format!("driver: postgres\ndatasource: host=a\nhost: b\n{query}"), "one or the other"),
        (format!("driver: sqlite\ndatabase: x\nhost: b\n{query}"), "without a host"),
        ("driver: sqlite\ndatabase: x".into(), "at least one query"),
        (format!("driver: sqlite\ndatabase: x\ncollection_interval: 1ms\n{query}"), "at least 1s"),
        (format!("driver: sqlite\ndatabase: x\nstorage: nowhere\n{query}"), "nowhere"),
        ("driver: sqlite\ndatabase: x\nqueries: [{sql: select 1}]".into(), "queries.0.metrics"),
        ("driver: sqlite\ndatabase: x\nqueries: [{metrics: [{metric_name: n}]}]".into(), "value_column"),
        ("driver: sqlite\ndatabase: x\nqueries: [{sql: s, logs: [{}]}]".into(), "body_column"),
        (
            "driver: sqlite\ndatabase: x\nqueries: [{sql: s, metrics: [{metric_name: n, value_column: n, monotonic: true}]}]".into(),
            "data_type: sum",
        ),
        (
            "driver: sqlite\ndatabase: x\nqueries: [{sql: s, tracking_start_value: '1', metrics: [{metric_name: n, value_column: n}]}]".into(),
            "tracking_column",
        ),
    ] {
        let words = wrong(&yaml);
        assert!(words.contains(word), "{yaml}: {words}");
        assert!(!words.contains("bad=option"), "a data source may hold a password");
    }
}
