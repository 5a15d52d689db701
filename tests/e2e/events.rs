//! Events from a queue, by the config of docs/events.md in the built binary: nothing lost, nothing deleted early, nothing
//! counted twice, however it dies; one trace from the producer to the backend; and the same against moto.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use steadyline_receiver_awssqs::testkit::{FakeSqs, Sent};

use crate::common::backend::Backend;
use crate::common::dynamodb::{moto, scratch};
use crate::common::http;
use crate::common::otlp::OtlpBackend;
use crate::common::steadyline::Launch;
use crate::common::tools::root;
use crate::common::wait::until_true;

/// The config of the docs, quick to retry.
fn config() -> String {
    let page = std::fs::read_to_string(root().join("docs/events.md")).unwrap();
    let block = page.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    block.replace(
        "    storage: file_storage\n",
        "    storage: file_storage\n    wait_time_seconds: 1\n    retry: {initial_interval: 0s, max_interval: 1s}\n",
    )
}

fn launch(queue_url: &str, backend: &str, state: &std::path::Path) -> Launch {
    Launch::new(&config())
        .with_keys()
        .env("EVENTS_QUEUE_URL", queue_url)
        .env("BACKEND_URL", backend)
        .env("STATE_DIRECTORY", state.to_str().unwrap())
        .env("HOSTNAME", "host-1")
}

fn progress(account: usize, steps: usize) -> String {
    json!({"type": "onboarding_progress", "env": "prod", "accountId": format!("acct-{account}"), "completedSteps": steps,
        "totalSteps": 8, "messageId": format!("p-{account}-{steps}")})
    .to_string()
}

fn request(status: &str) -> String {
    json!({"type": "request", "account": "a", "index": "i", "status": status, "durationMs": 30}).to_string()
}

/// The values of a sum's line, in the order of their arrival; its labels are those given.
fn sums(backend: &Backend, name: &str, labels: &[(&str, &str)]) -> Vec<f64> {
    let wanted: Vec<(&str, &str)> = labels.iter().copied().chain([("__name__", name)]).collect();
    let taken = backend.taken().into_iter();
    let line = taken.filter(|(known, _)| wanted.iter().all(|(key, value)| known.get(*key).is_some_and(|v| v == value)));
    line.flat_map(|(_, samples)| samples).map(|sample| sample.value).collect()
}

/// The steps of the accounts that arrived.
fn accounts(backend: &Backend) -> BTreeMap<String, f64> {
    let taken = backend.taken().into_iter();
    let lines = taken.filter(|(labels, _)| labels.get("__name__").is_some_and(|n| n == "onboarding_completed_steps"));
    lines.map(|(labels, samples)| (labels["account_id"].clone(), samples.last().unwrap().value)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_docs_config_makes_lines_of_three_kinds_of_event() {
    let fake = FakeSqs::start().await;
    let url = fake.queue("events", Duration::from_secs(30));
    // The later one arrives first: the time of the event decides.
    for (steps, ms) in [(5, 2_000), (3, 1_000)] {
        let now = (crate::common::steadyline::unix_seconds() * 1000.0) as u64 - 60_000;
        fake.send("events", Sent { sent_ms: Some(now + ms), ..progress(1, steps).into() });
    }
    for body in [request("ok"), request("ok"), request("failed"), "plain words".to_owned()] {
        fake.send("events", body);
    }
    fake.send(
        "events",
        r#"{"type": "indexer_job", "index": "i", "outcome": "done", "durationSeconds": 90, "documents": 500}"#,
    );
    fake.redrive("events", "dead", 2);
    let (backend, state) = (Backend::willing().await, scratch());
    let mut running = launch(&url, &backend.url(), state.path()).run().await;
    until_true("six deletions and a dead letter", async || {
        fake.deleted("events").len() == 6 && fake.messages("dead").len() == 1
    })
    .await;
    assert_eq!(accounts(&backend), BTreeMap::from([("acct-1".to_owned(), 5.0)]), "the later value, not the sum");
    let host = ("service_instance_id", "host-1");
    assert_eq!(sums(&backend, "search_requests", &[("status", "ok"), host]).last(), Some(&2.0), "the sum");
    assert_eq!(sums(&backend, "search_requests", &[("status", "failed"), host]).last(), Some(&1.0));
    assert_eq!(sums(&backend, "search_duration_count", &[("status", "ok"), host]).last(), Some(&2.0));
    assert_eq!(sums(&backend, "indexer_documents", &[("outcome", "done"), host]).last(), Some(&500.0));
    assert_eq!(sums(&backend, "indexer_duration_sum", &[host]).last(), Some(&90.0));
    assert!(running.own("steadyline_awssqs_messages_failed_total", ("reason", "not_json")).await >= 1.0);
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_it_loses_nothing_deletes_nothing_early_and_counts_nothing_twice() {
    const ROUNDS: usize = 6;
    const PER_ROUND: usize = 60;
    let fake = FakeSqs::start().await;
    let url = fake.queue("events", Duration::from_secs(30));
    let (backend, state) = (Backend::willing().await, scratch());
    let mut sent = 0;
    for round in 0..ROUNDS {
        for number in 0..PER_ROUND {
            fake.send("events", progress(round * PER_ROUND + number, number % 8));
            fake.send("events", request("ok"));
            sent += 2;
        }
        fake.deliver_twice("events", 10);
        let mut running = launch(&url, &backend.url(), state.path()).run().await;
        // Killed at another moment each round: as soon as something, much, or half of what there is is deleted.
        let enough = fake.deleted("events").len() + [1, 90, 40, 7, 60, 25][round];
        until_true("some deletions", async || fake.deleted("events").len() >= enough).await;
        running.process.signal(Signal::KILL);
        running.process.exit().await;
        let arrived: BTreeSet<String> = accounts(&backend).into_keys().collect();
        let requests = sums(&backend, "search_requests", &[]).last().copied().unwrap_or(0.0) as usize;
        let deleted = fake.deleted("events");
        // Odd ids are accounts, in their order; even ones are requests.
        let number = |id: &String| id[1..].parse::<usize>().unwrap();
        let missing: Vec<&String> = deleted
            .iter()
            .filter(|id| number(id) % 2 == 1 && !arrived.contains(&format!("acct-{}", number(id) / 2)))
            .collect();
        assert!(missing.is_empty(), "deleted before they were delivered: {missing:?}");
        let deleted_requests = deleted.iter().filter(|id| number(id) % 2 == 0).count();
        assert!(requests >= deleted_requests, "{deleted_requests} requests deleted, {requests} counted");
        fake.expire("events");
    }
    let mut running = launch(&url, &backend.url(), state.path()).run().await;
    until_true("the queue to be empty", async || fake.messages("events").is_empty()).await;
    assert_eq!(fake.deleted("events").len(), sent);
    assert_eq!(accounts(&backend).len(), ROUNDS * PER_ROUND);
    let values = sums(&backend, "search_requests", &[]);
    assert_eq!(values.last(), Some(&((ROUNDS * PER_ROUND) as f64)), "each counted once");
    assert!(values.windows(2).all(|pair| pair[0] <= pair[1]), "the sum never falls: {values:?}");
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_runs_from_the_producer_through_the_queue_to_the_backend() {
    let fake = FakeSqs::start().await;
    let url = fake.queue("audit", Duration::from_secs(30));
    let backend = OtlpBackend::start(&[]).await;
    let page = std::fs::read_to_string(root().join("docs/events.md")).unwrap();
    let block = page.split("```yaml\n").nth(2).and_then(|rest| rest.split("```").next()).unwrap();
    let config = block.replace("https://sqs.us-east-1.amazonaws.com/123456789012/audit", &url);
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let attributes = BTreeMap::from([("traceparent".to_owned(), format!("00-{trace}-b7ad6b7169203331-01"))]);
    fake.send("audit", Sent { attributes, ..r#"{"type": "login", "user": "u", "ok": false}"#.into() });
    let mut running = Launch::new(&config).with_keys().env("BACKEND_URL", &backend.http).run().await;
    let find = |path: [&str; 3]| {
        let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
        let requests = backend.requests();
        let resources = requests.iter().flat_map(|request| list(&request["request"], path[0]));
        let scopes = resources.flat_map(|resource| list(&resource, path[1]));
        scopes.flat_map(|scope| list(&scope, path[2])).next()
    };
    let mut both = None;
    until_true("the record and the span", async || {
        both = find(["resourceLogs", "scopeLogs", "logRecords"]).zip(find(["resourceSpans", "scopeSpans", "spans"]));
        both.is_some()
    })
    .await;
    let (log, span) = both.unwrap();
    assert_eq!((&span["kind"], &span["name"]), (&json!("SPAN_KIND_CONSUMER"), &json!("process audit")));
    assert_eq!(log["traceId"], span["traceId"]);
    assert_eq!(log["spanId"], span["spanId"]);
    assert_eq!((&log["body"]["stringValue"], &log["severityText"]), (&json!("login of u"), &json!("WARN")));
    // Protobuf's JSON has bytes as base64.
    assert_eq!((&span["traceId"], &span["parentSpanId"]), (&json!("CvdlGRbNQ92ESOshHIAxnA=="), &json!("t61rcWkgMzE=")));
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_against_moto() {
    let server = moto_server().await;
    let url =
        server.call("CreateQueue", &json!({"QueueName": "events"})).await["QueueUrl"].as_str().unwrap().to_owned();
    for number in 0..25 {
        let body = if number % 2 == 0 { progress(number, 3) } else { request("ok") };
        server.call("SendMessage", &json!({"QueueUrl": url, "MessageBody": body})).await;
    }
    let (backend, state) = (Backend::willing().await, scratch());
    let mut running = launch(&url, &backend.url(), state.path()).run().await;
    until_true("an empty queue", async || {
        let names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"];
        let answer = server.call("GetQueueAttributes", &json!({"QueueUrl": url, "AttributeNames": names})).await;
        names.iter().all(|name| answer["Attributes"][*name] == "0")
    })
    .await;
    assert_eq!(accounts(&backend).len(), 13);
    assert_eq!(sums(&backend, "search_requests", &[]).last(), Some(&12.0));
    running.finish().await;
}

/// moto's SQS, over its own API.
struct MotoSqs {
    #[expect(dead_code, reason = "held for its drop")]
    server: crate::common::dynamodb::Table,
    url: String,
}

async fn moto_server() -> MotoSqs {
    let server = moto().await;
    MotoSqs { url: server.api.url.clone(), server }
}

impl MotoSqs {
    async fn call(&self, operation: &str, input: &Value) -> Value {
        let target = format!("AmazonSQS.{operation}");
        let authorization = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260101/us-east-1/sqs/aws4_request, SignedHeaders=host, Signature=0";
        let headers = [
            ("x-amz-target", target.as_str()),
            ("content-type", "application/x-amz-json-1.0"),
            ("authorization", authorization),
        ];
        let answer = http::post(&self.url, &headers, input.to_string()).await.expect("moto answers");
        assert!((200..300).contains(&answer.status), "{operation}: {}", answer.text());
        answer.json()
    }
}
