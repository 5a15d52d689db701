//! The receiver against a scripted DynamoDB on real sockets: the real SDK, every kind of page and failure.

mod config;
mod failures;
mod pages;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use steadyline_component::receiver::Intake;
use steadyline_component::testkit::{TestExtensions, create_with, render};
use steadyline_component::{
    Batch, Budget, Clock, Header, Meter, Output, PassEnd, PollError, PollOutput, Polling, SendError, Shutdown, Tick,
    Until, async_trait,
};
use steadyline_http::testkit::{Backend, Recorded, Reply};

use crate::DynamoDb;

/// 2026-09-21T14:13:20Z
const NOW: u64 = 1_790_000_000;

/// Keeps what the receiver sends.
struct Collector {
    budget: Budget,
    lines: Mutex<Vec<String>>,
}

#[async_trait]
impl Intake for Collector {
    async fn send(&self, batch: Batch, _: Until) -> Result<(), SendError> {
        self.lines.lock().unwrap().extend(batch.as_metrics().map(render).unwrap_or_default());
        Ok(())
    }

    fn budget(&self) -> &Budget {
        &self.budget
    }

    fn refused(&self, reason: &'static str, _: u64) {
        panic!("a poller refuses nothing: {reason}");
    }
}

/// A receiver under test.
struct Bench {
    polling: Polling,
    clock: Clock,
    meter: Meter,
    epoch: u64,
}

/// What a poll came to.
struct Poll {
    result: Result<PassEnd, PollError>,
    /// The points, without the resource and the time.
    lines: Vec<String>,
}

impl Poll {
    /// The lines that are not about the poll itself.
    fn data(&self) -> Vec<&str> {
        self.lines.iter().map(String::as_str).filter(|line| !line.starts_with("dynamodb_")).collect()
    }

    fn has(&self, line: &str) -> bool {
        self.lines.iter().any(|known| known == line)
    }
}

/// What every test's receiver has in common: keys, short time-outs, one metric.
const BASICS: &str = "region: us-east-1
access_key_id: AKID
secret_access_key: secret
attempt_timeout: 2s
operation_timeout: 4s
max_attempts: 1
";

const MAPPING: &str = "identity: {id: id}
metrics: [{name: m, value: {attribute: v}}]
aggregates: [{name: all, op: count}]
";

/// A receiver at `endpoint`, with a clock that runs `speed` times as fast as ours.
fn bench(endpoint: &str, speed: f64, yaml: &str) -> Bench {
    let clock = Clock::scaled(NOW * 1_000_000_000, speed);
    let meter = Meter::default();
    let yaml = format!("table: t\nendpoint: {endpoint}\n{BASICS}{yaml}");
    let polling = create_with::<DynamoDb>(&yaml, &mut TestExtensions::default(), &clock, &meter).unwrap();
    Bench { polling, clock, meter, epoch: 0 }
}

impl Bench {
    /// One poll of at most `timeout` of the bench's clock.
    async fn poll(&mut self, timeout: Duration) -> Poll {
        self.run(timeout, None).await
    }

    async fn run(&mut self, timeout: Duration, document: Option<&str>) -> Poll {
        self.epoch += 1;
        let (_trigger, shutdown) = Shutdown::new();
        let deadline = self.clock.now().mono + timeout;
        let tick = Tick { epoch: self.epoch, time: NOW * 1_000_000_000, deadline, last_complete: None, shutdown };
        let collector = Arc::new(Collector { budget: Budget::new(1 << 24), lines: Mutex::default() });
        let output = PollOutput::new(Output::new(collector.clone()), Header::default());
        let result = match document {
            None => self.polling.poller.poll(&tick, &output).await,
            Some(document) => self.polling.poller.replay(document.as_bytes(), &tick, &output).await,
        };
        let strip = |line: &String| line.strip_suffix(&format!(" @{NOW}")).unwrap_or(line).to_owned();
        let lines = collector.lines.lock().unwrap().iter().map(strip).collect();
        Poll { result, lines }
    }

    /// The value of an instrument, summed over its labels.
    fn metered(&self, name: &str) -> f64 {
        self.meter.read().iter().filter(|instrument| instrument.name == name).map(|instrument| instrument.value()).sum()
    }
}

/// A table that does not say its key, and answers reads by `script`, which gets the request and how many reads came before it.
async fn table(script: impl Fn(&Value, usize) -> Reply + Send + Sync + 'static) -> Backend {
    let reads = Mutex::new(0);
    Backend::start(move |request, _| {
        if operation(request) == "DescribeTable" {
            return refusal(
                "AccessDeniedException",
                "User: u is not authorized to perform: dynamodb:DescribeTable on resource: arn:aws:dynamodb:t",
            );
        }
        let number = {
            let mut reads = reads.lock().unwrap();
            *reads += 1;
            *reads - 1
        };
        script(&body(request), number)
    })
    .await
}

fn operation(request: &Recorded) -> String {
    request.header("x-amz-target").split('.').next_back().unwrap_or_default().to_owned()
}

fn body(request: &Recorded) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

/// The reads that arrived, as their bodies.
fn reads(backend: &Backend) -> Vec<Value> {
    backend.requests().iter().filter(|request| operation(request) != "DescribeTable").map(body).collect()
}

fn refusal(code: &str, message: &str) -> Reply {
    let body = json!({"__type": format!("com.amazonaws.dynamodb.v20120810#{code}"), "message": message});
    Reply::status(400, &body.to_string())
}

/// A page of items `(id, v)` and the key to go on from.
fn page(items: &[(&str, i64)], next: Option<&str>) -> Reply {
    let items: Vec<Value> = items.iter().map(|(id, v)| json!({"id": {"S": id}, "v": {"N": v.to_string()}})).collect();
    let mut answer = json!({"Items": items, "Count": items.len(), "ScannedCount": items.len(), "ConsumedCapacity": {"TableName": "t", "CapacityUnits": 1.5}});
    if let Some(next) = next {
        answer["LastEvaluatedKey"] = json!({"id": {"S": next}, "shard": {"N": "3"}});
    }
    Reply::status(200, &answer.to_string())
}

const MINUTE: Duration = Duration::from_secs(60);
