//! Configs that make no receiver, each with its place; and what is warned of.

use steadyline_component::config::decode_text;
use steadyline_component::testkit::create;

use super::*;

fn errors(yaml: &str) -> String {
    create::<AwsSqs>(yaml).err().unwrap_or_default()
}

const GOOD: &str = "queue_url: https://sqs.us-east-1.amazonaws.com/123456789012/events
types: {t: {metrics: [{name: m, value: v}]}}
";

#[test]
fn mistakes_are_reported_at_their_keys() {
    assert_eq!(errors(GOOD), "");
    let cases = [
        ("queue_url: ''", "awssqs.queue_url: no queue is named"),
        ("queue_url: events", "awssqs.queue_url: `events` is no queue's URL"),
        ("max_number_of_messages: 11", "awssqs.max_number_of_messages: 11 is out of range"),
        ("wait_time_seconds: 21", "awssqs.wait_time_seconds: 21 is out of range"),
        ("pollers: 0", "awssqs.pollers: 0 is out of range; at least 1, at most 64"),
        ("visibility_timeout: 13h", "awssqs.visibility_timeout: SQS hides messages for up to 12h"),
        ("retry: {initial_interval: 1h}", "awssqs.retry: `initial_interval` is at most"),
        ("types: {}", "awssqs.types: no type of event is configured"),
        ("types: {t: {}}", "awssqs.types.t: nothing is made of these events"),
        (
            "discriminator: ''\ntypes: {a: {metrics: [{name: m, value: v}]}, b: {metrics: [{name: m, value: v}]}}",
            "awssqs.discriminator: without it",
        ),
        ("types: {t: {metrics: [{name: m}]}}", "awssqs.types.t.metrics[0]: a metric needs `value`"),
        ("types: {t: {metrics: [{name: m, value: 'size(a'}]}}", "awssqs.types.t.metrics[0].value: "),
        ("types: {t: {where: 'a = 1', metrics: [{name: m, value: v}]}}", "awssqs.types.t.where: at column"),
        ("types: {t: {log: {body: 'size(a'}}}", "awssqs.types.t.log.body: "),
        (
            "types: {t: {required: {a: text}, metrics: [{name: m, value: v}]}}",
            "awssqs.types.t.required.a: unknown value `text`",
        ),
        (
            "temporality: delta\ntypes: {t: {metrics: [{name: m, type: histogram, value: v}]}}",
            "types.t.metrics[0].buckets: a histogram needs",
        ),
        ("types: {t: {metrics: [{name: m, value: v, buckets: [1]}]}}", "types.t.metrics[0].buckets: only a histogram"),
        (
            "temporality: delta\ntypes: {t: {metrics: [{name: m, type: histogram, value: v, buckets: [2, 1]}]}}",
            "bounds must be finite and rise",
        ),
        (
            "temporality: delta\ntypes: {a: {metrics: [{name: m, type: sum}]}, b: {metrics: [{name: m, value: v}]}}",
            "another metric is called m and has another type",
        ),
        (
            "types: {t: {metrics: [{name: n, type: sum}]}}",
            "awssqs.temporality: several processes that consume this queue",
        ),
        (
            "single_consumer: true\nstorage: file_storage\ntypes: {t: {metrics: [{name: n, type: sum}]}}",
            "there is no extension `file_storage`",
        ),
        ("leader: lease\ntypes: {t: {metrics: [{name: n, type: sum}]}}", "there is no extension `lease`"),
        (
            "instance: a\ntypes: {t: {attributes: {service.instance.id: x}, metrics: [{name: n, type: sum}]}}",
            "awssqs.instance_label: n has a label",
        ),
        ("access_key_id: A", "awssqs.secret_access_key: missing"),
        ("idempotency: {max_keys: 0}", "awssqs.idempotency.max_keys: 0 is out of range"),
        ("s3: {}", "events about objects in S3 are not read"),
    ];
    for (yaml, expected) in cases {
        let given = |key: &str| yaml.lines().any(|line| line.starts_with(&format!("{key}:")));
        let rest: String = GOOD
            .lines()
            .filter(|line| !given(line.split(':').next().unwrap()))
            .map(|line| format!("{line}\n"))
            .collect();
        let text = errors(&format!("{rest}{yaml}\n"));
        assert!(text.contains(expected), "{yaml}: expected {expected:?} in\n{text}");
    }
}

#[test]
fn secrets_do_not_print() {
    let text = "secret_access_key: hunter2\nsession_token: hunter3";
    let config: crate::config::Settings = decode_text(text, &|_: &str| None).unwrap();
    assert!(!format!("{config:?}").contains("hunter"));
}
