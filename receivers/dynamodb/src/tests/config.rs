//! Configs that make no receiver, each with its place; and the permissions that a config needs.

use steadyline_component::testkit::create;

use super::*;

fn errors(yaml: &str) -> String {
    match create::<DynamoDb>(yaml) {
        Ok(_) => String::new(),
        Err(text) => text,
    }
}

#[test]
fn mistakes_are_reported_at_their_keys() {
    let cases = [
        ("{}", "dynamodb.table: no table is named"),
        ("tabel: t", "did you mean"),
        ("segments: 0", "dynamodb.segments: a scan has 1 to 64 segments"),
        ("segments: 2\nquery: {key_condition: a = :a}", "dynamodb.segments: only scans have segments"),
        ("query: {key_condition: ''}", "dynamodb.query.key_condition: the condition is empty"),
        ("read_budget: {rru_per_second: 0}", "dynamodb.read_budget: a budget is a number"),
        ("collection_interval: 0s", "dynamodb.collection_interval: must be longer than 0"),
        ("timeout: 2m", "dynamodb.timeout: a poll that may take longer"),
        ("attempt_timeout: 1m", "dynamodb.attempt_timeout: an attempt cannot take longer"),
        ("max_attempts: 0", "dynamodb.max_attempts: a page is tried 1 to 10 times"),
        ("endpoint: embedded_dynamodb", "there is no extension `embedded_dynamodb`"),
        ("leader: leader/onboarding", "dynamodb.leader: there is no extension `leader/onboarding`"),
        ("endpoint: ':8000'", "`:8000` is no endpoint"),
        ("region: earth", "dynamodb.region: \"earth\" is no region"),
        ("access_key_id: A", "dynamodb.secret_access_key: missing"),
        ("where: status = 'x'", "dynamodb.where: at column"),
        ("where: size(a", "dynamodb.where: "),
        ("metrics: [{name: m}]", "dynamodb.metrics[0]: a metric needs `value` or `info`"),
        ("metrics: [{name: m, value: {sise: a}}]", "did you mean"),
        ("metrics: [{name: m, value: {size: a, date: b}}]", "a value takes only one of"),
        ("key: [a, b, c]", "dynamodb.key: a key is one or two attributes"),
        ("max_label_bytes: 0", "dynamodb.max_label_bytes"),
        ("statement: select", "PartiQL is not supported"),
    ];
    for (yaml, expected) in cases {
        let text = errors(yaml);
        assert!(text.contains(expected), "{yaml}: expected {expected:?} in\n{text}");
    }
}

#[test]
fn the_worked_example_is_valid() {
    let yaml = r#"
table: onboarding
index: gsi1
where: status in ["visited", "registered", "submitted", "completed"] || size(completed_steps) > 0
identity: {account_id: system_account_id}
resource: {env: dev}
metrics:
  - {name: onboarding_completed_steps, unit: "{step}", value: {size: completed_steps}, description: checklist steps completed}
  - {name: onboarding_total_steps, unit: "{step}", value: {count_of: [pixel_installed, pixel_receiving]}}
  - {name: onboarding_account_info, info: {account_name: account_name, status: status}}
"#;
    assert_eq!(errors(yaml), "");
}

#[test]
fn an_index_may_be_local_and_is_read_consistently_if_so_wished() {
    assert_eq!(errors(&format!("table: t\nindex: by_status\nconsistent_read: true\n{MAPPING}")), "");
}

#[test]
fn permissions_are_the_least_that_reading_needs() {
    let permissions = |yaml: &str| {
        let polling = create::<DynamoDb>(&format!("{yaml}\n{MAPPING}")).unwrap();
        let statements = polling.poller.permissions();
        statements
            .iter()
            .map(|statement| format!("{} on {}", statement.actions.join(","), statement.resources.join(",")))
            .collect::<Vec<_>>()
    };
    let table = "arn:aws:dynamodb:eu-west-1:<account>:table/t";
    assert_eq!(
        permissions("table: t\nregion: eu-west-1\nindex: gsi1"),
        [format!("dynamodb:Scan on {table}/index/gsi1"), format!("dynamodb:DescribeTable on {table}")]
    );
    assert_eq!(
        permissions("table: t\nkey: [id]\nquery: {key_condition: 'a = :a', values: {':a': 1}}"),
        ["dynamodb:Query on arn:aws:dynamodb:<region>:<account>:table/t"]
    );
    assert_eq!(
        permissions(
            "table: arn:aws:dynamodb:us-east-1:1:table/t\nkey: [id]\nassume_role: {arn: 'arn:aws:iam::123456789012:role/r'}"
        ),
        ["dynamodb:Scan on arn:aws:dynamodb:us-east-1:1:table/t", "sts:AssumeRole on arn:aws:iam::123456789012:role/r"]
    );
}
