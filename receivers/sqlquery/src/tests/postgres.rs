//! The same against a server of PostgreSQL, one for all cases: starting one takes seconds.

use std::time::Duration;

use steadyline_component::PassEnd;
use steadyline_component::testkit::MemoryStorage;

use super::make;
use super::server::Server;

const TYPES: &str = "create type mood as enum ('good', 'bad');
    create domain positive as integer check (value > 0);
    create table kinds (id bigint, small smallint, price numeric(10, 2), real4 real, yes boolean, day date, at timestamptz, name varchar, mood mood, p positive, doc jsonb, u uuid, raw bytea, nothing integer, place point);
    insert into kinds values (1, 2, 12.50, 0.1, true, '2000-01-02', '1970-01-01T00:00:30Z', 'a', 'good', 7, '{\"a\": 1}', '00000000-0000-0000-0000-0000000000ab', '\\x0aff', null, '(1,2)');
    create table events (id bigint primary key, message text);
    insert into events values (1, 'one'), (2, 'two');";

/// Every receiver that the cases make, at the socket.
fn at_socket(server: &Server, rest: &str) -> String {
    let (folder, port) = (server.folder().display(), server.port);
    format!(
        "driver: postgres\nhost: {folder}\nport: {port}\nusername: postgres\npassword: s3cret\ndatabase: postgres\n{rest}"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server() {
    let server = Server::start().await;
    server.run(TYPES).await;
    every_type(&server).await;
    tracking(&server).await;
    failures(&server).await;
    a_slow_query(&server).await;
    a_lost_connection(&server).await;
    secured(&server).await;
}

async fn every_type(server: &Server) {
    let columns = ["small", "price", "real4", "yes", "day", "at", "name", "mood", "p", "doc", "u", "raw", "nothing"];
    let columns = columns.join(", ");
    let query = format!(
        "queries: [{{sql: \"select * from kinds\", metrics: [\
         {{metric_name: int, value_column: ID, attribute_columns: [{columns}], ts_column: at}}, \
         {{metric_name: price, value_column: price, value_type: double}}, \
         {{metric_name: yes, value_column: yes}}, {{metric_name: nothing, value_column: nothing}}]}}]"
    );
    let without_point = query.replace("select *", &format!("select id, {columns}"));
    let mut made = make(&at_socket(server, &without_point), None).await;
    let labels = "small=\"2\",price=\"12.50\",real4=\"0.1\",yes=\"true\",day=\"2000-01-02T00:00:00Z\",\
         at=\"1970-01-01T00:00:30Z\",name=\"a\",mood=\"good\",p=\"7\",doc=\"{\"a\": 1}\",\
         u=\"00000000-0000-0000-0000-0000000000ab\",raw=\"0aff\"";
    let expected =
        [format!("int{{{labels}}} 1 @30"), "price 12.5 @60".into(), "yes 1 @60".into(), "nothing held @60".into()];
    assert_eq!(made.lines().await, expected);
    let error = make(&at_socket(server, &query), None).await.poll().await.unwrap_err();
    assert!(error.message.contains("column::text"), "{error}");
}

async fn tracking(server: &Server) {
    let rest = "storage: memory\nqueries: [{sql: \"select id, message from events where id > $$1 order by id\", \
         tracking_column: id, tracking_start_value: '0', logs: [{body_column: message}]}]";
    let storage = MemoryStorage::default();
    let mut made = make(&at_socket(server, rest), Some(&storage)).await;
    made.poll().await.unwrap();
    assert_eq!(made.records().len(), 2);
    server.run("insert into events values (3, 'three')").await;
    let mut restarted = make(&at_socket(server, rest), Some(&storage)).await;
    restarted.poll().await.unwrap();
    assert_eq!(restarted.records(), [(0, "three".into(), vec![])]);
}

async fn failures(server: &Server) {
    let query = "queries: [{sql: select missing from events, metrics: [{metric_name: n, value_column: n}]}]";
    let error = make(&at_socket(server, query), None).await.poll().await.unwrap_err();
    assert!(error.reason == "query" && error.message.contains("42703") && error.message.contains("missing"), "{error}");
    let wrong = at_socket(server, query).replace("s3cret", "wr0ng");
    let error = make(&wrong, None).await.poll().await.unwrap_err();
    assert!(error.reason == "connect" && error.message.contains("password authentication failed"), "{error}");
    assert!(!error.message.contains("wr0ng"), "{error}");
    let nobody = "driver: postgres\ndatasource: \"host=127.0.0.1 port=1 user=a password=wr0ng sslmode=disable\"\n";
    let error = make(&format!("{nobody}{query}"), None).await.poll().await.unwrap_err();
    assert!(error.reason == "connect" && error.message.contains("127.0.0.1:1"), "{error}");
    assert!(!error.message.contains("wr0ng"), "{error}");
}

async fn a_slow_query(server: &Server) {
    let query = "queries: [{sql: select 1 as n from pg_sleep(600), metrics: [{metric_name: n, value_column: n}]}]";
    let mut made = make(&at_socket(server, query), None).await;
    let error = made.poll_within(Duration::from_millis(500)).await.unwrap_err();
    assert_eq!(error.reason, "timeout");
    let quick =
        "timeout: 1s\nqueries: [{sql: select 1 as n from pg_sleep(600), metrics: [{metric_name: n, value_column: n}]}]";
    let error = make(&at_socket(server, quick), None).await.poll().await.unwrap_err();
    assert!(error.message.contains("statement timeout"), "the server itself ends it: {error}");
}

async fn a_lost_connection(server: &Server) {
    let query = "queries: [{sql: select 1 as n, metrics: [{metric_name: n, value_column: n}]}]";
    let mut made = make(&at_socket(server, query), None).await;
    assert_eq!(made.lines().await, ["n 1 @60"]);
    server.run("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'steadyline'").await;
    assert_eq!(made.lines().await, ["n 1 @60"], "connected anew");
}

async fn secured(server: &Server) {
    let query = "queries: [{sql: \"select count(*) as n from pg_stat_ssl where pid = pg_backend_pid() and ssl\", metrics: [{metric_name: n, value_column: n}]}]";
    let over = |host: &str, tls: &str| {
        format!(
            "driver: postgres\ndatasource: \"host={host} port={} user=postgres password=s3cret\"\n{tls}\n{query}",
            server.port
        )
    };
    let ca = server.folder().join("ca.pem");
    std::fs::write(&ca, &server.certificates.ca).unwrap();
    let trusted = format!("tls: {{ca_file: {}}}", ca.display());
    assert_eq!(make(&over("127.0.0.1", &trusted), None).await.lines().await, ["n 1 @60"]);
    let named = format!("tls: {{ca_file: {}, server_name_override: other}}", ca.display());
    for (tls, word) in [("", "certificate"), (named.as_str(), "certificate")] {
        let error = make(&over("127.0.0.1", tls), None).await.poll().await.unwrap_err();
        assert!(error.reason == "connect" && error.message.contains(word), "{error}");
    }
    assert_eq!(make(&over("127.0.0.1", "tls: {insecure_skip_verify: true}"), None).await.lines().await, ["n 1 @60"]);
    let mut plain = make(&over("127.0.0.1", "tls: {insecure: true}"), None).await;
    assert_eq!((plain.poll().await.unwrap(), plain.points()), (PassEnd::Complete, vec!["n 0 @60".to_string()]));
}
