//! What `check` says of a queue, and what `iam-policy` says that reading it takes.

use steadyline_component::config::decode_text;
use steadyline_component::{CheckRow, Clock, IamStatement, Verdict};

use super::*;
use crate::config::Settings;
use crate::testkit::Fault;

const REAL: &str = "queue_url: https://sqs.eu-west-1.amazonaws.com/123456789012/events\n";

fn settings(yaml: &str) -> Settings {
    decode_text(yaml, &|_: &str| None).unwrap()
}

async fn checked(url: &str) -> Vec<CheckRow> {
    let yaml = format!("queue_url: {url}\nregion: us-east-1\naccess_key_id: A\nsecret_access_key: s\n");
    crate::check::check(&settings(&yaml), "awssqs", &Clock::system()).await
}

#[tokio::test]
async fn a_queue_that_is_well_is_said_to_be_and_loses_nothing() {
    let fake = FakeSqs::start().await;
    let url = fake.queue("events", Duration::from_secs(45));
    fake.queue("dead", Duration::from_secs(30));
    fake.redrive("events", "dead", 2);
    fake.send("events", r#"{"v": 1}"#.to_owned());
    let rows = checked(&url).await;
    let words: Vec<(&str, Verdict, &str)> =
        rows.iter().map(|row| (row.what.as_str(), row.verdict, row.detail.as_str())).collect();
    let expected = [
        ("read queue `events`", Verdict::Pass, "it hides messages for 45s"),
        ("delete from queue `events`", Verdict::Pass, "allowed"),
    ];
    assert_eq!(words, expected);
    assert_eq!((fake.calls("ReceiveMessage"), fake.messages("events").len()), (0, 1));
}

#[tokio::test]
async fn what_is_missing_is_named_with_what_to_do() {
    let fake = FakeSqs::start().await;
    let url = fake.queue("events", Duration::from_secs(30));
    let denied = |operation: &str| fake.fault(operation, [Fault::Error(403, "AccessDenied")]);
    denied("DeleteMessageBatch");
    let rows = checked(&url).await;
    let verdicts: Vec<Verdict> = rows.iter().map(|row| row.verdict).collect();
    assert_eq!(verdicts, [Verdict::Pass, Verdict::Warn, Verdict::Fail], "{rows:?}");
    assert!(rows[1].advice.contains("dead-letter queue"));
    assert!(rows[2].advice.contains("sqs:DeleteMessage"), "{rows:?}");
    denied("GetQueueAttributes");
    let rows = checked(&url).await;
    let verdicts: Vec<Verdict> = rows.iter().map(|row| row.verdict).collect();
    assert_eq!(verdicts, [Verdict::Warn, Verdict::Pass], "it reads without knowing what the queue is set to: {rows:?}");
    assert!(rows[0].advice.contains("iam-policy"), "{rows:?}");
    let rows = checked(&url.replace("events", "other")).await;
    assert!(rows.len() == 1 && rows[0].advice.contains("queue_url"), "{rows:?}");
}

#[test]
fn the_permissions_are_those_of_what_is_done_on_one_queue() {
    let [queue, key]: [IamStatement; 2] = crate::check::permissions(&settings(REAL)).try_into().unwrap();
    let read = ["sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes", "sqs:ReceiveMessage", "sqs:DeleteMessage"];
    assert_eq!(queue.actions, read);
    assert_eq!(queue.resources, ["arn:aws:sqs:eu-west-1:123456789012:events"]);
    assert_eq!(
        (&key.actions, &key.resources),
        (&vec!["kms:Decrypt".into()], &vec!["arn:aws:kms:eu-west-1:123456789012:key/*".into()])
    );
    assert_eq!(key.conditions[0].2, "sqs.eu-west-1.amazonaws.com");
    let looking = crate::check::permissions(&settings(&format!("{REAL}delete_messages: false\n")));
    assert!(!looking[0].actions.contains(&"sqs:DeleteMessage".to_owned()));
    let role = "arn:aws:iam::123456789012:role/events";
    let assumed = crate::check::permissions(&settings(&format!("{REAL}assume_role: {{arn: {role}}}\n")));
    assert_eq!((assumed[2].actions[0].as_str(), assumed[2].resources[0].as_str()), ("sts:AssumeRole", role));
}
