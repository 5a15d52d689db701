//! What becomes of messages: types, fields, envelopes, times.

use super::*;

#[tokio::test]
async fn the_worked_examples_become_gauges_sums_and_histograms_in_one_batch() {
    let fake = FakeSqs::start().await;
    fake.queue("events", Duration::from_secs(30));
    for body in [
        r#"{"type": "onboarding_progress", "env": "prod", "accountId": "a1", "completedSteps": 3, "totalSteps": 8, "messageId": "u1"}"#,
        r#"{"type": "onboarding_progress", "env": "prod", "accountId": "a2", "completedSteps": 0, "messageId": "u2"}"#,
        r#"{"type": "request", "account": "a1", "index": "i", "status": "ok", "durationMs": 50}"#,
        r#"{"type": "request", "account": "a1", "index": "i", "status": "ok", "durationMs": 2000}"#,
        r#"{"type": "indexer_job", "index": "i", "outcome": "done", "durationSeconds": 30, "documents": 500}"#,
    ] {
        fake.send("events", body);
    }
    let bench = Bench::on(fake, TYPES, &mut TestExtensions::default()).await;
    bench.until_deleted(5).await;
    let lines = bench.lines();
    for expected in [
        r#"onboarding.completed_steps{account_id="a1",env="prod"} 3"#,
        r#"onboarding.completed_steps{account_id="a2",env="prod"} 0"#,
        r#"onboarding.total_steps{account_id="a1",env="prod"} 8"#,
        r#"counter search.requests{account="a1",index="i",status="ok"} 2"#,
        r#"counter indexer.jobs{index="i",outcome="done"} 1"#,
        r#"counter indexer.documents{index="i",outcome="done"} 500"#,
    ] {
        assert!(lines.iter().any(|line| line == expected), "{expected} is not in {lines:#?}");
    }
    assert!(
        !lines.iter().any(|line| line.starts_with("onboarding.total_steps{account_id=\"a2\"")),
        "an absent value is no point"
    );
    assert_eq!(lines.len(), 8, "{lines:#?}");
    bench.until("the summary", |_| bench.counted("awssqs_messages_emitted").values().sum::<u64>() == 5).await;
}

#[tokio::test]
async fn the_event_time_is_the_one_that_is_configured_and_else_when_it_was_sent() {
    let bench =
        Bench::start("types: {t: {attributes: {id: id}, metrics: [{name: m, value: v}]}}\nevent_time: at\n").await;
    bench.fake.send("events", r#"{"type": "t", "id": "a", "v": 1, "at": "2026-09-30T12:00:00Z"}"#);
    bench.fake.send("events", r#"{"type": "t", "id": "b", "v": 2, "at": 1790769600.5}"#);
    bench.fake.send("events", r#"{"type": "t", "id": "c", "v": 3, "at": "noon"}"#);
    bench.until_deleted(2).await;
    let mut lines = bench.timed();
    lines.sort();
    assert_eq!(lines, [r#"m{id="a"} 1 @1790769600"#, r#"m{id="b"} 2 @1790769600.5"#]);
    assert!(bench.counted("awssqs_messages_failed").contains_key("bad_event_time"));

    let bench = Bench::start("types: {t: {metrics: [{name: m, value: v}]}}\n").await;
    let sent = crate::testkit::Sent { sent_ms: Some(1_790_000_000_000), ..r#"{"type": "t", "v": 1}"#.into() };
    bench.fake.send("events", sent);
    bench.until_deleted(1).await;
    assert_eq!(bench.timed(), ["m 1 @1790000000"]);
}

#[tokio::test]
async fn a_time_far_ahead_does_not_hide_every_later_value() {
    let bench =
        Bench::start("types: {t: {metrics: [{name: m, value: v}]}}\nevent_time: at\nevent_time_unit: ms\n").await;
    let before = Clock::system().now().unix_nanos / 1_000_000_000;
    bench.fake.send("events", r#"{"type": "t", "v": 1, "at": 9999076960000}"#);
    bench.until_deleted(1).await;
    let line = bench.timed().remove(0);
    let at: f64 = line.rsplit_once('@').unwrap().1.parse().unwrap();
    assert!((before as f64 - 1.0..before as f64 + 60.0).contains(&at), "{line}");
}

#[tokio::test]
async fn envelopes_are_opened_and_what_is_around_the_event_can_be_asked_for() {
    let yaml = r#"
discriminator: "has(_envelope.type) ? _envelope.type : type"
message_attributes: [tenant]
types:
  t:
    attributes: {from: _envelope.kind, tenant: _sqs.attributes.tenant, user: _sqs.baggage.user}
    metrics: [{name: m, value: v}]
"#;
    let bench = Bench::start(yaml).await;
    bench.fake.send(
        "events",
        r#"{"Type": "Notification", "MessageId": "n", "TopicArn": "a", "Message": "{\"type\": \"t\", \"v\": 1}"}"#,
    );
    bench.fake.send("events", r#"{"id": "e", "detail-type": "t", "source": "s", "detail": {"v": 2}}"#);
    let attributes =
        BTreeMap::from([("tenant".to_owned(), "acme".to_owned()), ("baggage".to_owned(), "user=u7".to_owned())]);
    bench.fake.send("events", crate::testkit::Sent { attributes, ..r#"{"type": "t", "v": 3}"#.into() });
    bench.until_deleted(3).await;
    assert_eq!(bench.lines(), [r#"m{from="eventbridge"} 2"#, r#"m{from="sns"} 1"#, r#"m{tenant="acme",user="u7"} 3"#]);
}

#[tokio::test]
async fn bad_messages_fail_alone_with_a_reason_and_go_where_the_redrive_policy_says() {
    let fake = FakeSqs::start().await;
    fake.queue("events", Duration::from_secs(30));
    fake.redrive("events", "dead", 2);
    let bodies = [
        ("not_json", "plain words"),
        ("not_an_object", "[1]"),
        ("no_type", r#"{"v": 1}"#),
        ("missing_field", r#"{"type": "request", "account": "a", "index": "i", "status": "ok"}"#),
        ("wrong_type", r#"{"type": "request", "account": "a", "index": "i", "status": "ok", "durationMs": "5"}"#),
        ("negative", r#"{"type": "indexer_job", "index": "i", "outcome": "x", "durationSeconds": 1, "documents": -1}"#),
    ];
    for (_, body) in bodies {
        fake.send("events", body);
    }
    let good =
        fake.send("events", r#"{"type": "request", "account": "a", "index": "i", "status": "ok", "durationMs": 5}"#);
    let bench = Bench::on(fake, TYPES, &mut TestExtensions::default()).await;
    bench.until("the redrive policy", |fake| fake.messages("dead").len() == 6).await;
    assert_eq!(bench.fake.deleted("events"), [good]);
    let failed = bench.counted("awssqs_messages_failed");
    for (reason, body) in bodies {
        assert_eq!(failed.get(reason), Some(&2), "{reason}: {body}: {failed:?}");
    }
    assert_eq!(bench.lines().len(), 2);
}

#[tokio::test]
async fn unknown_types_are_left_or_deleted_as_wished_and_counted() {
    for (choice, deleted) in [("leave", 1), ("delete", 2)] {
        let yaml = format!(
            "unknown_type: {choice}\nretry: {{initial_interval: 1h, max_interval: 1h}}\ntypes: {{t: {{metrics: [{{name: m, value: v}}]}}}}\n"
        );
        let bench = Bench::start(&yaml).await;
        bench.fake.send("events", r#"{"type": "other"}"#);
        bench.until("the unknown one", |_| bench.counted("awssqs_messages_skipped").contains_key("unknown_type")).await;
        bench.fake.send("events", r#"{"type": "t", "v": 1}"#);
        bench.until_deleted(deleted).await;
        assert_eq!(bench.lines(), ["m 1"], "{choice}");
        assert_eq!(bench.fake.deleted("events").len(), deleted, "{choice}");
    }
}

#[tokio::test]
async fn filters_leave_events_out_and_they_are_done_with() {
    let yaml = "spans: none\ntypes: {t: {where: v > 1, metrics: [{name: m, value: v}], log: {body: 'string(v)'}}}\n";
    let bench = Bench::start(yaml).await;
    bench.fake.send("events", r#"{"type": "t", "v": 1}"#);
    bench.fake.send("events", r#"{"type": "t", "v": 2}"#);
    bench.until_deleted(2).await;
    let batches = bench.intake.take();
    assert_eq!(batches.iter().map(Batch::items).sum::<u64>(), 2, "one point and one record");
    assert_eq!(bench.counted("awssqs_messages_skipped")["nothing_to_send"], 1);
}
