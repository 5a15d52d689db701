//! The built binary as a Lambda function, against a fake of the runtime API: batches of a queue are answered message by
//! message, a schedule polls once, and nothing waits when the answer is given.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};

use crate::common::dynamodb::{Emulator, Table};
use crate::common::onboarding::account;
use crate::common::otlp::OtlpBackend;
use crate::common::process::Process;
use crate::common::server::{Reply, Server};
use crate::common::steadyline::Launch;
use crate::common::tools::root;
use crate::common::wait::until;

/// The runtime API: hands events out, one at a time, and keeps the answers.
struct RuntimeApi {
    server: Server,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    events: VecDeque<Value>,
    handed_out: usize,
    /// What came back: `response` or `error`, and the body.
    answers: Vec<(String, Value)>,
}

impl RuntimeApi {
    async fn start() -> RuntimeApi {
        let shared: Arc<Mutex<Shared>> = Arc::default();
        let known = Arc::clone(&shared);
        let server = Server::start(move |request: Request<Bytes>| {
            let known = Arc::clone(&known);
            async move { answer(&request, &mut known.lock().unwrap()) }
        })
        .await;
        RuntimeApi { server, shared }
    }

    /// Hands an event out and waits for what comes back.
    async fn call(&self, event: Value) -> (String, Value) {
        let before = {
            let mut shared = self.shared.lock().unwrap();
            shared.events.push_back(event);
            shared.answers.len()
        };
        until("the function's answer", async || self.shared.lock().unwrap().answers.get(before).cloned()).await
    }
}

fn answer(request: &Request<Bytes>, shared: &mut Shared) -> Reply {
    let path = request.uri().path();
    if path.ends_with("/invocation/next") {
        let Some(event) = shared.events.pop_front() else {
            // Real ones hold the request; the function asks again after this.
            return Reply::Late(std::time::Duration::from_millis(100), next(&json!({"Records": []}), 0));
        };
        shared.handed_out += 1;
        return Reply::Answer(next(&event, shared.handed_out));
    }
    let number: usize = path.split('/').rev().nth(1).and_then(|id| id.parse().ok()).unwrap_or(0);
    if number > 0 {
        let kind = path.rsplit('/').next().unwrap_or_default().to_owned();
        shared.answers.push((kind, serde_json::from_slice(request.body()).unwrap_or_default()));
    }
    Reply::status(202, "")
}

fn next(event: &Value, number: usize) -> http::Response<Bytes> {
    http::Response::builder()
        .header("lambda-runtime-aws-request-id", number.to_string())
        .header("lambda-runtime-deadline-ms", "4102444800000")
        .header("lambda-runtime-invoked-function-arn", "arn:aws:lambda:us-east-1:000000000000:function:steadyline")
        .header("lambda-runtime-trace-id", "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=0")
        .body(Bytes::from(event.to_string()))
        .unwrap()
}

fn function(config: &str, api: &RuntimeApi, backend: &str, endpoint: &str) -> Process {
    let launch = Launch::new(config)
        .with_keys()
        .env("AWS_LAMBDA_RUNTIME_API", &api.server.address.to_string())
        .env("AWS_LAMBDA_FUNCTION_NAME", "steadyline")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
        .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
        .env("EVENTS_QUEUE_URL", "https://sqs.us-east-1.amazonaws.com/000000000000/events")
        .env("ONBOARDING_TABLE", "onboarding")
        .env("AWS_ENDPOINT_URL_DYNAMODB", endpoint)
        .env("OTLP_ENDPOINT", backend);
    launch.start("lambda")
}

fn record(id: &str, body: &str) -> Value {
    json!({"messageId": id, "receiptHandle": "h", "body": body, "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:events",
        "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1790000000000"}, "messageAttributes": {}})
}

fn shipped() -> String {
    std::fs::read_to_string(root().join("deploy/lambda/config.yaml")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_function_answers_batches_and_schedules_with_everything_flushed() {
    let table = Table::onboarding(Emulator::Embedded).await;
    table.api.put([account("acct-a", "visited", 3)]).await;
    let backend = OtlpBackend::start(&[]).await;
    let api = RuntimeApi::start().await;
    let _function = function(&shipped(), &api, &backend.http, &table.api.url);
    let good = r#"{"type": "request", "account": "a", "status": "ok", "durationMs": 5}"#;
    let records = [record("m1", good), record("m2", "plain words"), record("m3", good)];
    let (kind, answer) = api.call(json!({ "Records": records })).await;
    assert_eq!((kind.as_str(), &answer), ("response", &json!({"batchItemFailures": [{"itemIdentifier": "m2"}]})));
    // Flushed before it answered: it is there already.
    let sent = serde_json::to_string(&backend.requests()).unwrap();
    assert!(sent.contains("search_requests") && sent.contains("search_duration"), "{sent}");

    let (kind, answer) =
        api.call(json!({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}})).await;
    assert_eq!((kind.as_str(), &answer), ("response", &json!({"polled": ["dynamodb/onboarding"]})));
    let points = backend.points();
    assert!(points.iter().any(|(name, account, value, _)| {
        (name.as_str(), account.as_str(), *value) == ("onboarding_completed_steps", "acct-a", 3.0)
    }));

    let (kind, _) = api.call(json!({"Records": [{"messageId": "x", "eventSourceARN": "arn:aws:sqs:r:1:other"}]})).await;
    assert_eq!(kind, "error", "an event of another queue");
}

/// The shipped function with a `lastvalue` that says only what changes.
fn with_lastvalue(more: &str) -> String {
    let config = shipped().replace(
        "exporters:\n  otlphttp:\n",
        &format!("processors:\n  lastvalue: {{emit: on_change}}\nexporters:\n  otlphttp:\n{more}"),
    );
    config.replace("exporters: [otlphttp]}", "processors: [lastvalue], exporters: [otlphttp]}")
}

/// The steps that the backend was told of an account, in order; `None` where it was told that there is no value any more.
fn steps(backend: &OtlpBackend) -> Vec<Option<f64>> {
    let points = backend.points().into_iter().filter(|(name, ..)| name == "onboarding_completed_steps");
    points.map(|(_, _, value, flags)| (flags & 1 == 0).then_some(value)).collect()
}

fn tick() -> Value {
    json!({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}})
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_goes_on_from_call_to_call() {
    let table = Table::onboarding(Emulator::Embedded).await;
    table.api.put([account("acct-a", "visited", 3)]).await;
    let backend = OtlpBackend::start(&[]).await;
    let api = RuntimeApi::start().await;
    let _function = function(&with_lastvalue(""), &api, &backend.http, &table.api.url);
    for (change, expected) in [(None, vec![Some(3.0)]), (None, vec![Some(3.0)]), (Some(5), vec![Some(3.0), Some(5.0)])]
    {
        if let Some(steps) = change {
            table.api.put([account("acct-a", "visited", steps)]).await;
        }
        assert_eq!(api.call(tick()).await.0, "response");
        assert_eq!(steps(&backend), expected, "what did not change is not told again");
    }
    // Two complete passes without it end its line: both are needed, and they are two calls.
    table.api.delete("acct-a").await;
    assert_eq!(api.call(tick()).await.0, "response");
    assert_eq!(steps(&backend).len(), 2);
    assert_eq!(api.call(tick()).await.0, "response");
    assert_eq!(steps(&backend), [Some(3.0), Some(5.0), None]);

    // A message that comes again is recognised.
    let good = r#"{"type": "request", "account": "a", "status": "ok", "durationMs": 5}"#;
    let before = backend.requests().len();
    for _ in 0..2 {
        let (kind, answer) = api.call(json!({"Records": [record("m1", good)]})).await;
        assert_eq!((kind.as_str(), &answer), ("response", &json!({"batchItemFailures": []})));
        assert_eq!(backend.requests().len(), before + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn state_is_kept_before_the_answer_and_goes_on_in_another_environment() {
    let table = Table::onboarding(Emulator::Embedded).await;
    let attribute = |name: &str, kind: &str| json!({"AttributeName": name, "AttributeType": kind});
    let key = |name: &str, kind: &str| json!({"AttributeName": name, "KeyType": kind});
    let state = json!({"TableName": "state", "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [attribute("owner", "S"), attribute("key", "B")],
        "KeySchema": [key("owner", "HASH"), key("key", "RANGE")]});
    table.api.call("CreateTable", &state).await.unwrap();
    table.api.put([account("acct-a", "visited", 3)]).await;
    let backend = OtlpBackend::start(&[]).await;
    let api = RuntimeApi::start().await;
    let config = with_lastvalue("").replace("{emit: on_change}", "{emit: on_change, storage: dynamodb_storage}");
    let config = format!("extensions:\n  dynamodb_storage: {{table: state}}\n{config}");
    let mut kept = Vec::new();
    for (environment, steps) in [3, 5].into_iter().enumerate() {
        table.api.put([account("acct-a", "visited", steps)]).await;
        // The one before is gone without a word, as environments are.
        let _function = function(&config, &api, &backend.http, &table.api.url);
        assert_eq!(api.call(tick()).await.0, "response", "environment {environment}");
        let scanned = table.api.call("Scan", &json!({"TableName": "state"})).await.unwrap();
        assert!(scanned["Count"].as_u64() > Some(1), "more than the head: {scanned}");
        kept.push(scanned["Items"].to_string());
    }
    assert_ne!(kept[0], kept[1], "what the second call brought is there when it is answered");
    assert_eq!(steps(&backend).last(), Some(&Some(5.0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_graph_that_broke_is_made_anew_at_the_next_call() {
    let table = Table::onboarding(Emulator::Embedded).await;
    table.api.put([account("acct-a", "visited", 3)]).await;
    let backend = OtlpBackend::start(&["--refuse", "1"]).await;
    let api = RuntimeApi::start().await;
    // The one attempt that is refused is not followed by another one in time.
    let retry = "    retry_on_failure: {initial_interval: 30s, max_interval: 30s}\n";
    let config = with_lastvalue(retry).replace("shutdown_timeout: 20s", "shutdown_timeout: 1s");
    let _function = function(&config, &api, &backend.http, &table.api.url);
    let (kind, answer) = api.call(tick()).await;
    assert_eq!(kind, "error");
    assert!(answer["errorMessage"].as_str().unwrap().contains("could not be delivered within"), "{answer}");
    assert_eq!(steps(&backend), []);
    assert_eq!(api.call(tick()).await.0, "response");
    assert_eq!(steps(&backend), [Some(3.0)], "another lastvalue, which had told nobody");
    assert_eq!(api.call(tick()).await.0, "response");
    assert_eq!(steps(&backend), [Some(3.0)], "and this one stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_delivered_comes_again() {
    let backend = OtlpBackend::start(&["--refuse", "100000"]).await;
    let api = RuntimeApi::start().await;
    let config = shipped().replace(
        "    endpoint: ${env:OTLP_ENDPOINT}\n",
        "    endpoint: ${env:OTLP_ENDPOINT}\n    retry_on_failure: {initial_interval: 50ms, max_interval: 100ms, max_elapsed_time: 1s}\n",
    );
    let _function = function(&config, &api, &backend.http, "http://127.0.0.1:1");
    let good = r#"{"type": "request", "account": "a", "status": "ok", "durationMs": 5}"#;
    let (kind, answer) = api.call(json!({"Records": [record("m1", good)]})).await;
    assert_eq!((kind.as_str(), &answer), ("response", &json!({"batchItemFailures": [{"itemIdentifier": "m1"}]})));
    let (kind, _) = api.call(json!({"source": "aws.scheduler"})).await;
    assert_eq!(kind, "error", "the table cannot be read");
}

#[tokio::test(flavor = "multi_thread")]
async fn sums_that_a_function_would_forget_are_refused() {
    let api = RuntimeApi::start().await;
    let config = shipped().replace("    temporality: delta\n", "    single_consumer: true\n");
    let _function = function(&config, &api, "http://127.0.0.1:1", "http://127.0.0.1:1");
    let (kind, answer) = api.call(json!({"Records": [record("m1", "{}")]})).await;
    assert_eq!(kind, "error");
    assert!(answer["errorMessage"].as_str().unwrap().contains("temporality: delta"), "{answer}");
}
