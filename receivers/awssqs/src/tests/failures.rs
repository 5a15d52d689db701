//! SQS that answers slowly, wrongly or not at all, and batches of which a part fails.

use steadyline_component::config::decode_text;
use steadyline_component::{SendError, SettleError};

use super::*;
use crate::testkit::{EntryFault, Fault};

const GAUGE: &str = "types: {t: {attributes: {id: id}, metrics: [{name: m, value: v}]}}\n";

fn event(id: u32) -> String {
    format!(r#"{{"type": "t", "id": "{id}", "v": {id}}}"#)
}

#[tokio::test]
async fn entries_that_fail_to_be_deleted_are_tried_again_and_they_alone() {
    let fake = FakeSqs::start().await;
    fake.queue("events", Duration::from_secs(30));
    let ids: Vec<String> = (0..10).map(|n| fake.send("events", event(n))).collect();
    let busy = || Some(EntryFault { code: "InternalError", sender_fault: false });
    fake.fail_entries("DeleteMessageBatch", [None, busy(), None, busy(), None, None, None, None, None, None, busy()]);
    let bench = Bench::on(fake, GAUGE, &mut TestExtensions::default()).await;
    bench.until_deleted(10).await;
    let mut deleted = bench.fake.deleted("events");
    deleted.sort();
    assert_eq!(deleted, ids);
    assert_eq!(bench.fake.calls("DeleteMessageBatch"), 3, "all, then two, then one");
    assert_eq!(bench.lines().len(), 10, "nothing was sent twice");
}

#[tokio::test]
async fn an_answer_that_says_nothing_about_an_entry_deletes_nothing_for_sure() {
    let bench = Bench::start(GAUGE).await;
    bench.fake.fault("DeleteMessageBatch", [Fault::Silent]);
    bench.fake.send("events", event(1));
    bench.until("a second request", |fake| fake.calls("DeleteMessageBatch") == 2).await;
}

#[tokio::test]
async fn a_handle_that_is_refused_for_good_is_not_tried_again_and_the_event_is_recognised() {
    let bench = Bench::start(GAUGE).await;
    let refused = EntryFault { code: "ReceiptHandleIsInvalid", sender_fault: true };
    bench.fake.fail_entries("DeleteMessageBatch", [Some(refused)]);
    bench.fake.send("events", event(1));
    let counted = || bench.counted("awssqs_delete_errors").contains_key("receipt_handle_is_invalid");
    bench.until("the refusal", |_| counted()).await;
    bench.fake.expire("events");
    bench.until_deleted(1).await;
    assert_eq!(bench.lines().len(), 1, "it was delivered once");
    assert_eq!(bench.counted("awssqs_messages_skipped")["duplicate"], 1);
}

#[tokio::test]
async fn requests_for_messages_that_fail_are_made_again() {
    let fake = FakeSqs::start().await;
    fake.queue("events", Duration::from_secs(30));
    let faults = [Fault::Error(400, "RequestThrottled"), Fault::Error(500, "InternalError"), Fault::Broken];
    fake.fault("ReceiveMessage", faults);
    fake.send("events", event(1));
    let bench = Bench::on(fake, &format!("pollers: 1\n{GAUGE}"), &mut TestExtensions::default()).await;
    bench.until_deleted(1).await;
    let errors = bench.counted("awssqs_receive_errors");
    assert_eq!(errors.values().sum::<u64>(), 3, "{errors:?}");
    assert!(errors.contains_key("throttled") && errors.contains_key("server_error"), "{errors:?}");
}

#[tokio::test]
async fn visibility_is_extended_until_the_message_is_deleted() {
    let fake = FakeSqs::start().await;
    fake.queue("events", Duration::from_secs(2));
    fake.send("events", event(1));
    fake.fault("DeleteMessageBatch", [Fault::Slow(Duration::from_secs(3))]);
    let bench = Bench::on(fake, GAUGE, &mut TestExtensions::default()).await;
    bench.until_deleted(1).await;
    assert_eq!(bench.lines().len(), 1, "it was not received twice");
    assert!(bench.fake.calls("ChangeMessageVisibilityBatch") >= 1);
    assert_eq!(bench.fake.calls("DeleteMessageBatch"), 1);
}

#[tokio::test]
async fn a_message_in_flight_is_hidden_from_others_again_and_again() {
    let bench = Bench::start(GAUGE).await;
    let queue = crate::queue::Queue::connect(
        &decode_text(
            &format!(
                "queue_url: \"{}\"\nregion: us-east-1\naccess_key_id: A\nsecret_access_key: s\nwait_time_seconds: 0",
                bench.fake.queue("slow", Duration::from_secs(2))
            ),
            &|_: &str| None,
        )
        .unwrap(),
        "slow",
        &Clock::system(),
    )
    .await
    .unwrap();
    bench.fake.send("slow", event(1));
    let flights = Arc::new(crate::flight::Flights::new(Duration::from_secs(2)));
    let clock = Clock::system();
    let message = queue.receive(Duration::from_secs(2)).await.unwrap().remove(0);
    assert!(flights.begin(&message, clock.now().mono));
    let report = Arc::new(crate::report::Report::new("t", &clock, &bench.meter));
    let keeper = tokio::spawn(Arc::clone(&flights).keep_hidden(queue.clone(), clock.clone(), report));
    bench.until("three extensions", |fake| fake.calls("ChangeMessageVisibilityBatch") >= 3).await;
    assert_eq!(queue.receive(Duration::ZERO).await.unwrap(), [], "nobody else sees it, well after its two seconds");
    assert!(flights.end(&message.id).is_some());
    keeper.abort();
}

#[tokio::test]
async fn a_message_that_came_again_in_flight_is_deleted_by_its_newest_handle() {
    let clock = Clock::system();
    let flights = crate::flight::Flights::new(Duration::from_secs(30));
    let message =
        |handle: &str| crate::message::Received { id: "m".into(), handle: handle.into(), ..Default::default() };
    assert!(flights.begin(&message("old"), clock.now().mono));
    assert!(!flights.begin(&message("new"), clock.now().mono));
    assert_eq!((flights.end("m"), flights.end("m")), (Some("new".to_owned()), None));
}

#[tokio::test]
async fn what_the_backend_refuses_for_good_fails_alone() {
    let fake = FakeSqs::start().await;
    fake.queue("events", Duration::from_secs(30));
    fake.redrive("events", "dead", 2);
    (0..8).for_each(|n| drop(fake.send("events", event(n))));
    let picky = Arc::new(Picky { inner: TestIntake::new(64 << 20), refused: r#"m{id="5"} 5"# });
    let bench = Bench::with_intake(fake, GAUGE, picky.clone()).await;
    bench.until("the redrive policy", |fake| fake.messages("dead").len() == 1).await;
    bench.until_deleted(7).await;
    assert!(bench.fake.messages("dead")[0].body.contains(r#""id": "5""#));
    let mut lines: Vec<String> = picky.inner.take().iter().filter_map(Batch::as_metrics).flat_map(render).collect();
    lines.sort();
    assert_eq!(lines.len(), 7, "the others once each: {lines:#?}");
    assert_eq!(bench.counted("awssqs_messages_failed")["refused"], 2);
}

/// Refuses every batch in which a certain point is.
struct Picky {
    inner: Arc<TestIntake>,
    refused: &'static str,
}

#[async_trait]
impl steadyline_component::receiver::Intake for Picky {
    async fn send(&self, batch: Batch, until: steadyline_component::Until) -> Result<(), SendError> {
        let lines = batch.as_metrics().map(render).unwrap_or_default();
        if lines.iter().any(|line| line.starts_with(self.refused)) {
            return Err(SendError::NotSettled(SettleError::Final("400".into())));
        }
        self.inner.send(batch, until).await
    }

    fn budget(&self) -> &steadyline_component::Budget {
        self.inner.budget()
    }

    fn refused(&self, _: &'static str, _: u64) {}
}

#[tokio::test]
async fn at_the_end_everything_in_hand_is_finished() {
    let bench = Bench::start(GAUGE).await;
    for n in 0..200 {
        bench.fake.send("events", event(n));
    }
    bench.until_deleted(20).await;
    let fake = bench.stop().await;
    let deleted = fake.deleted("events").len();
    assert_eq!(deleted + fake.messages("events").len(), 200, "nothing is lost");
}
