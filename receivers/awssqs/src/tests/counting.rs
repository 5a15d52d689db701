//! Sums count every event once, however often it comes, and however often the receiver dies.

use std::sync::atomic::Ordering;

use steadyline_component::SendError;
use steadyline_component::SettleError;

use super::*;

const COUNT: &str = "types: {t: {attributes: {id: id}, metrics: [{name: n, type: sum}, {name: last, value: v}]}}\n";
const STORED: &str = "storage: file_storage\ntypes: {t: {attributes: {id: id}, metrics: [{name: n, type: sum}, {name: last, value: v}]}}\n";

fn event(v: u32) -> String {
    format!(r#"{{"type": "t", "id": "a", "v": {v}}}"#)
}

/// The last value of the sum.
fn sum(lines: &[String]) -> Option<u64> {
    lines
        .iter()
        .rev()
        .find(|line| line.starts_with("counter n{"))
        .map(|line| line.split(' ').nth(2).unwrap().parse().unwrap())
}

#[tokio::test]
async fn a_message_that_comes_twice_counts_once() {
    let bench = Bench::start(COUNT).await;
    bench.fake.deliver_twice("events", 1);
    bench.fake.send("events", event(1));
    bench.until_deleted(1).await;
    bench.fake.send("events", event(2));
    bench.until_deleted(2).await;
    assert_eq!(sum(&bench.timed()), Some(2));
}

#[tokio::test]
async fn the_idempotency_key_tells_events_apart_and_not_the_message() {
    let bench = Bench::start(&format!("idempotency_key: messageId\n{COUNT}")).await;
    let body = r#"{"type": "t", "id": "a", "v": 1, "messageId": "u1"}"#;
    bench.fake.send("events", body);
    bench.until_deleted(1).await;
    bench.fake.send("events", body);
    bench.fake.send("events", r#"{"type": "t", "id": "a", "v": 2, "messageId": "u2"}"#);
    bench.fake.send("events", r#"{"type": "t", "id": "a", "v": 3}"#);
    bench.until_deleted(3).await;
    assert_eq!(sum(&bench.timed()), Some(2));
    assert_eq!(bench.counted("awssqs_messages_skipped")["duplicate"], 1);
    bench
        .until("the one without key", |_| bench.counted("awssqs_messages_failed").contains_key("no_idempotency_key"))
        .await;
}

#[tokio::test]
async fn what_could_not_be_delivered_comes_again_and_counts_once() {
    let bench = Bench::start(COUNT).await;
    bench.intake.answer(Some(SendError::NotSettled(SettleError::Retryable("down".into()))));
    bench.fake.send("events", event(1));
    bench.until("a failure", |_| bench.counted("awssqs_messages_failed").contains_key("not_delivered")).await;
    assert_eq!(bench.fake.deleted("events"), [""; 0], "nothing is deleted before it is delivered");
    bench.intake.answer(None);
    bench.until_deleted(1).await;
    let lines = bench.timed();
    assert_eq!(sum(&lines), Some(1));
    assert!(lines.iter().any(|line| line.starts_with("last{")), "the gauge came again: {lines:?}");
}

#[tokio::test]
async fn what_was_counted_survives_a_crash_at_any_place() {
    let kept = Arc::new(TestStorage::default());
    let fake = FakeSqs::start().await;
    fake.queue("events", Duration::from_secs(30));
    // Dies after the event was counted and kept, before it was delivered.
    let bench = Bench::on(fake, STORED, &mut storage(&kept)).await;
    bench.intake.answer(Some(SendError::NotSettled(SettleError::Retryable("down".into()))));
    bench.fake.send("events", event(1));
    bench.until("a failure", |_| bench.counted("awssqs_messages_failed").contains_key("not_delivered")).await;
    let fake = bench.kill().await;
    fake.expire("events");
    let bench = Bench::on(fake, STORED, &mut storage(&kept)).await;
    bench.until_deleted(1).await;
    assert_eq!(sum(&bench.timed()), Some(1), "counted before the crash, not again");
    // Dies after delivery, before the message is deleted.
    bench.fake.fault("DeleteMessageBatch", [crate::testkit::Fault::Hang]);
    bench.fake.send("events", event(2));
    bench.until("the deletion", |fake| fake.calls("DeleteMessageBatch") == 2).await;
    assert_eq!(sum(&bench.timed()), Some(2));
    let fake = bench.kill().await;
    fake.expire("events");
    let bench = Bench::on(fake, STORED, &mut storage(&kept)).await;
    bench.until_deleted(2).await;
    bench.fake.send("events", event(3));
    bench.until_deleted(3).await;
    assert_eq!(sum(&bench.timed()), Some(3));
}

#[tokio::test]
async fn nothing_is_sent_or_deleted_that_was_not_kept() {
    let kept = Arc::new(TestStorage::default());
    kept.is_full.store(true, Ordering::Relaxed);
    let fake = FakeSqs::start().await;
    fake.queue("events", Duration::from_secs(30));
    let bench = Bench::on(fake, STORED, &mut storage(&kept)).await;
    bench.fake.send("events", event(1));
    bench.until("a failure", |_| bench.counted("awssqs_messages_failed").contains_key("storage")).await;
    assert_eq!((bench.timed().len(), bench.fake.deleted("events").len()), (0, 0));
    kept.is_full.store(false, Ordering::Relaxed);
    bench.until_deleted(1).await;
    assert_eq!(sum(&bench.timed()), Some(1));
}

#[tokio::test]
async fn without_storage_a_restart_begins_anew_with_another_start_time() {
    let bench = Bench::start(COUNT).await;
    bench.fake.send("events", event(1));
    bench.until_deleted(1).await;
    let fake = bench.stop().await;
    fake.send("events", event(2));
    let bench = Bench::on(fake, COUNT, &mut TestExtensions::default()).await;
    bench.until_deleted(2).await;
    assert_eq!(sum(&bench.timed()), Some(1));
}

#[tokio::test]
async fn two_events_in_one_flush_are_two_gauge_points_and_one_sum() {
    let fake = FakeSqs::start().await;
    fake.queue("events", Duration::from_secs(30));
    for (v, ms) in [(7, 2_000), (5, 1_000)] {
        let sent_ms = Some(1_790_000_000_000 + ms);
        fake.send("events", crate::testkit::Sent { sent_ms, ..event(v).into() });
    }
    let bench = Bench::on(fake, COUNT, &mut TestExtensions::default()).await;
    bench.until_deleted(2).await;
    let lines = bench.timed();
    assert_eq!(sum(&lines), Some(2));
    let gauges: Vec<&String> = lines.iter().filter(|line| line.starts_with("last{")).collect();
    assert_eq!(
        gauges,
        [r#"last{id="a"} 7 @1790000002"#, r#"last{id="a"} 5 @1790000001"#],
        "lastvalue takes the later one, 7"
    );
}

#[tokio::test]
async fn deltas_are_told_once_a_batch_and_their_times_rise() {
    let bench = Bench::start(&format!("temporality: delta\n{COUNT}")).await;
    for round in 1..=3 {
        bench.fake.send("events", event(round));
        bench.until_deleted(round as usize).await;
    }
    let lines = bench.timed();
    let deltas: Vec<&String> = lines.iter().filter(|line| line.starts_with("delta n{")).collect();
    assert_eq!(deltas.len(), 3, "{lines:?}");
    assert!(deltas.iter().all(|line| line.starts_with(r#"delta n{id="a"} 1 @"#)), "{deltas:?}");
    let times: Vec<&str> = deltas.iter().map(|line| line.rsplit_once('@').unwrap().1).collect();
    assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "{times:?}");
}

#[tokio::test]
async fn an_instance_names_the_sums_and_no_gauge() {
    let yaml = format!("instance: host-1\nsingle_consumer: false\n{COUNT}");
    let bench = Bench::start(&yaml).await;
    bench.fake.send("events", event(1));
    bench.until_deleted(1).await;
    assert_eq!(bench.lines(), [r#"counter n{id="a",service.instance.id="host-1"} 1"#, r#"last{id="a"} 1"#]);
}

#[tokio::test]
async fn series_are_bounded_and_the_known_ones_keep_their_places() {
    let bench = Bench::start(&format!("max_series: 1\n{COUNT}")).await;
    bench.fake.send("events", event(1));
    bench.until_deleted(1).await;
    bench.fake.send("events", r#"{"type": "t", "id": "b", "v": 1}"#);
    bench.until_deleted(2).await;
    bench.fake.send("events", event(2));
    bench.until_deleted(3).await;
    let lines = bench.timed();
    assert_eq!(sum(&lines), Some(2));
    assert!(
        lines.iter().any(|line| line.starts_with(r#"last{id="b"}"#))
            && !lines.iter().any(|line| line.starts_with(r#"counter n{id="b"}"#)),
        "{lines:?}"
    );
    assert_eq!(bench.counted("awssqs_points_skipped")["series_limit"], 1);
}

#[test]
fn sums_go_on_over_terms_of_ones_own_and_begin_anew_after_anothers() {
    let config: crate::config::Config =
        serde_json::from_str(r#"{"types": {"t": {"metrics": [{"name": "n", "type": "sum"}]}}}"#).unwrap();
    let plan = crate::plan::EventPlan::compile(&config).unwrap();
    let clock = Clock::manual(1_000_000_000);
    let ledger = crate::ledger::Ledger::new(&config, plan.outputs.clone(), clock.now());
    let mut books = ledger.lock();
    let event = |key: &str| crate::event::Event {
        message: crate::message::Received::default(),
        key: key.to_owned(),
        time: 1,
        points: vec![crate::event::EventPoint {
            output: 0,
            labels: Box::default(),
            value: steadyline_mapping::number::Number::Int(1),
        }],
        log: None,
        trace: None,
    };
    books.begin_term(7);
    books.admit(&event("a"), clock.now());
    for (term, series) in [(7, 1), (8, 1), (10, 0)] {
        books.begin_term(term);
        assert_eq!(books.series.len(), series, "term {term}");
    }
}
