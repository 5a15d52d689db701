//! Points in, messages out: against the fake with the real SDK.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use steadyline_component::testkit::{TestExtensions, create, create_with, metrics};
use steadyline_component::{
    Attempt, Batch, Block, Clock, Encoded, Encoder, Exporter, Meter, Outcome, Sender, Tally, TraceParent,
};
use steadyline_receiver_awssqs::testkit::{EntryFault, FakeSqs, Fault};

use super::*;

const EVENTS: &str = r#"
region: us-east-1
access_key_id: AKID
secret_access_key: secret
events:
  - metrics: {done: onboarding_completed_steps, total: onboarding_total_steps}
    optional: [total]
    template: {type: onboarding_progress, env: "{env}", accountId: "{account_id}", completedSteps: "{done}", totalSteps: "{total}", id: "{event_id}", at: "{time_ms}"}
"#;

struct Bench {
    fake: FakeSqs,
    encoder: Box<dyn Encoder>,
    sender: Arc<dyn Sender>,
    tally: Tally,
}

impl Bench {
    async fn start(yaml: &str) -> Self {
        let fake = FakeSqs::start().await;
        let url = fake.queue("events", Duration::from_secs(30));
        let (yaml, clock) = (format!("queue_url: {url}\n{yaml}"), Clock::system());
        let made = create_with::<AwsSqsExporter>(&yaml, &mut TestExtensions::default(), &clock, &Meter::default());
        let made = made.unwrap();
        let Exporter::Queued { encoder, sender, .. } = made else { panic!("a queued exporter") };
        Self { fake, encoder, sender, tally: Tally::default() }
    }

    fn encode(&mut self, points: &str, shards: u32) -> Vec<Block> {
        let batch = Batch::metrics(metrics(points));
        let mut blocks = Vec::new();
        self.tally.incoming(batch.items());
        self.encoder.encode(&batch, shards, &mut Encoded { blocks: &mut blocks, tally: &self.tally });
        self.tally.outgoing(blocks.iter().map(|block| block.items).sum());
        assert_eq!(self.tally.balance().missing(), 0, "{:?}", self.tally.balance());
        blocks
    }

    fn bodies(&self) -> Vec<Value> {
        self.fake.messages("events").iter().map(|sent| serde_json::from_str(&sent.body).unwrap()).collect()
    }
}

fn accounts(count: usize) -> String {
    let line = |n: usize| format!("onboarding_completed_steps{{account_id=\"a{n}\",env=\"p\"}} {n} @60\n");
    (0..count).map(line).collect()
}

#[tokio::test]
async fn points_that_share_their_attributes_are_one_event() {
    let mut bench = Bench::start(EVENTS).await;
    let blocks = bench.encode(
        r#"
        resource{env="prod"}
        onboarding_completed_steps{account_id="a"} 3 @60
        onboarding_completed_steps{account_id="b"} 1 @60
        onboarding_completed_steps{account_id="a"} 4 @61
        onboarding_completed_steps{account_id="c"} stale @60
        onboarding_completed_steps{account_id="d"} held
        onboarding_completed_steps{other="x"} 7 @60
        onboarding_total_steps{account_id="a"} 8 @60
        onboarding_total_steps{account_id="e"} 8 @60
        something_else{account_id="a"} 1 @60
        "#,
        1,
    );
    assert_eq!(blocks.len(), 1);
    assert_eq!(bench.sender.send(&blocks[0], &Attempt::FIRST).await, Outcome::DELIVERED);
    let mut bodies = bench.bodies();
    let ids: Vec<Value> = bodies.iter_mut().map(|body| body.as_object_mut().unwrap().remove("id").unwrap()).collect();
    assert_eq!(
        bodies[0],
        json!({"type": "onboarding_progress", "env": "prod", "accountId": "a", "completedSteps": 4, "totalSteps": 8, "at": 61000})
    );
    assert_eq!(
        bodies[1],
        json!({"type": "onboarding_progress", "env": "prod", "accountId": "b", "completedSteps": 1, "at": 60000})
    );
    assert_eq!((bodies.len(), ids[0] == ids[1]), (2, false));
    let dropped = bench.tally.balance().dropped;
    for (reason, count) in [("incomplete_group", 2), ("no_recorded_value", 1), ("confirmation", 1), ("no_event", 1)] {
        assert_eq!(dropped.get(reason), Some(&count), "{reason}: {dropped:?}");
    }
    assert_eq!(bench.tally.balance().merged, 1);
}

#[tokio::test]
async fn requests_have_ten_events_and_so_many_bytes_at_most() {
    let mut bench = Bench::start(EVENTS).await;
    let blocks = bench.encode(&accounts(25), 1);
    assert_eq!(blocks.iter().map(|block| block.items).collect::<Vec<_>>(), [10, 10, 5]);
    let mut bench = Bench::start(&format!("max_request_size: 2048\n{EVENTS}")).await;
    let long = "x".repeat(3000);
    let blocks = bench
        .encode(&format!("{}onboarding_completed_steps{{account_id=\"{long}\",env=\"p\"}} 1 @60\n", accounts(6)), 1);
    assert_eq!(blocks.iter().map(|block| block.items).collect::<Vec<_>>(), [3, 3]);
    assert_eq!(bench.tally.balance().dropped["too_large"], 1);
    let shards = bench.encode(&accounts(40), 4);
    assert!(shards.iter().map(|block| block.shard).collect::<std::collections::BTreeSet<_>>().len() > 1);
}

#[tokio::test]
async fn what_fails_is_sent_again_alone_and_what_is_refused_is_counted() {
    let mut bench = Bench::start(EVENTS).await;
    let blocks = bench.encode(&accounts(4), 1);
    let busy = || Some(EntryFault { code: "InternalError", sender_fault: false });
    let wrong = || Some(EntryFault { code: "InvalidMessageContents", sender_fault: true });
    bench.fake.fail_entries("SendMessageBatch", [None, busy(), wrong(), None]);
    let outcome = bench.sender.send(&blocks[0], &Attempt::FIRST).await;
    assert_eq!(outcome, Outcome::Delivered { dropped: 1, message: "refused (InvalidMessageContents)".into() });
    let accounts: Vec<Value> = bench.bodies().iter().map(|body| body["accountId"].clone()).collect();
    assert_eq!(accounts, ["a0", "a3", "a1"], "each once");
    assert_eq!(bench.fake.calls("SendMessageBatch"), 2);
}

#[tokio::test]
async fn the_next_attempt_goes_on_where_the_last_one_ended() {
    let mut bench = Bench::start(EVENTS).await;
    let blocks = bench.encode(&accounts(2), 1);
    let busy = || Some(EntryFault { code: "InternalError", sender_fault: false });
    bench.fake.fail_entries("SendMessageBatch", [None, busy(), busy(), busy()]);
    let outcome = bench.sender.send(&blocks[0], &Attempt::FIRST).await;
    assert!(matches!(&outcome, Outcome::Retry { reason, .. } if reason == "partial_failure"), "{outcome:?}");
    bench.fake.fault("SendMessageBatch", [Fault::Error(400, "RequestThrottled")]);
    let outcome = bench.sender.send(&blocks[0], &Attempt { number: 1, trace: None }).await;
    assert!(matches!(&outcome, Outcome::Retry { reason, .. } if reason == "throttled"), "{outcome:?}");
    assert_eq!(bench.sender.send(&blocks[0], &Attempt { number: 2, trace: None }).await, Outcome::DELIVERED);
    assert_eq!(bench.bodies().len(), 2, "the first was not sent twice");
}

#[tokio::test]
async fn failures_of_whole_requests_say_what_is_to_be_done() {
    let mut bench = Bench::start(EVENTS).await;
    let block = bench.encode(&accounts(3), 1).remove(0);
    for (fault, expected) in [
        (Fault::Error(500, "InternalError"), "Retry"),
        (Fault::Broken, "Retry"),
        (Fault::Error(400, "BatchRequestTooLong"), "TooLarge"),
        (Fault::Error(403, "AccessDeniedException"), "Reject"),
    ] {
        bench.fake.fault("SendMessageBatch", [fault.clone()]);
        let outcome = format!("{:?}", bench.sender.send(&block, &Attempt::FIRST).await);
        assert!(outcome.starts_with(expected), "{fault:?}: {outcome}");
    }
    let (first, second) = bench.sender.split(&block).unwrap();
    assert_eq!((first.items, second.items), (1, 2));
    assert!(bench.sender.split(&first).is_none(), "one event cannot be split");
    assert_eq!(bench.sender.send(&second, &Attempt::FIRST).await, Outcome::DELIVERED);
}

#[tokio::test]
async fn the_own_span_goes_along_and_so_do_attributes() {
    let mut bench = Bench::start(&format!("message_attributes: {{source: steadyline}}\n{EVENTS}")).await;
    let block = bench.encode(&accounts(1), 1).remove(0);
    let trace = TraceParent { trace_id: [1; 16], span_id: [2; 8], sampled: true };
    bench.sender.send(&block, &Attempt { number: 0, trace: Some(trace) }).await;
    let attributes = &bench.fake.messages("events")[0].attributes;
    assert_eq!((attributes["source"].as_str(), &attributes["traceparent"]), ("steadyline", &trace.to_string()));
}

#[test]
fn mistakes_are_reported_at_their_keys() {
    let url = "queue_url: https://sqs.us-east-1.amazonaws.com/1/q\n";
    let event = |event: &str| format!("{url}events: [{event}]");
    let cases = [
        ("events: []".to_owned(), "awssqs.queue_url: no queue is named"),
        (url.to_owned(), "awssqs.events: no event is described"),
        (format!("{url}max_request_size: 2000000"), "awssqs.max_request_size"),
        (event("{template: {a: 1}}"), "awssqs.events[0].metrics: an event needs"),
        (event("{metrics: {n: m}, template: {a: 1}}"), "awssqs.events[0].template: {n}, a metric of the event"),
        (event("{metrics: {n: m}, template: {a: '{n'}}"), "awssqs.events[0].template: a brace"),
        (
            event("{metrics: {n: m}, optional: [x], template: {a: '{n}'}}"),
            "awssqs.events[0].optional: {x} does not occur",
        ),
        (event("{metrics: {time: m}, template: {a: '{time}'}}"), "has a meaning of its own"),
        (
            event("{metrics: {n: m}, template: {a: '{n}'}}, {metrics: {n: m}, template: {a: '{n}'}}"),
            "awssqs.events[1].metrics: m is in events[0]",
        ),
    ];
    for (yaml, expected) in cases {
        let text = create::<AwsSqsExporter>(&yaml).err().unwrap_or_default();
        assert!(text.contains(expected), "{yaml}: expected {expected:?} in\n{text}");
    }
}

#[test]
fn the_permissions_are_those_of_sending_to_one_queue() {
    let yaml = "queue_url: https://sqs.us-gov-west-1.amazonaws.com/123456789012/events\n\
                events: [{metrics: {n: m}, template: {a: '{n}'}}]";
    let Exporter::Queued { sender, .. } = create::<AwsSqsExporter>(yaml).unwrap() else { panic!("a queued exporter") };
    let statements = sender.permissions();
    assert_eq!(statements.len(), 2);
    assert_eq!(statements[0].actions, ["sqs:GetQueueAttributes", "sqs:SendMessage"]);
    assert_eq!(statements[0].resources, ["arn:aws-us-gov:sqs:us-gov-west-1:123456789012:events"]);
    assert_eq!(statements[1].actions, ["kms:Decrypt", "kms:GenerateDataKey"]);
    assert_eq!(statements[1].conditions[0].2, "sqs.us-gov-west-1.amazonaws.com");
}
