//! The commands besides `run`: standard output is data, standard error is words.

use serde_json::Value;

use crate::common::dynamodb::{Emulator, Table};
use crate::common::exposition::parse;
use crate::common::onboarding::{account, config, four_accounts, remote_write};
use crate::common::steadyline::{Launch, unix_seconds};

/// The shipped pipeline against real AWS, as far as that is offline.
fn real() -> Launch {
    Launch::shipped()
        .env("DYNAMODB_ENDPOINT", "aws")
        .env("EXPORTERS", "[prometheusremotewrite/amp, otlp]")
        .env("AMP_WRITER_ROLE_ARN", "arn:aws:iam::111122223333:role/amp-writer")
        .env("AMP_ENDPOINT", "https://aps-workspaces.us-east-1.amazonaws.com/workspaces/ws-0123/api/v1/remote_write")
        .env("OTLP_ENDPOINT", "https://otlp.example.com:4317")
        .env("OTLP_TOKEN", "hunter2-do-not-show")
        .with_keys()
}

#[tokio::test(flavor = "multi_thread")]
async fn once_prints_the_samples_that_would_be_sent() {
    let before = unix_seconds();
    let (code, out, words) = Launch::shipped().output(&["once"]).await;
    assert_eq!(code, 0, "{words}");
    let samples = parse(&out);
    let lines: Vec<_> = samples.iter().filter(|sample| sample.name == "onboarding_completed_steps").collect();
    assert_eq!(lines.len(), 9, "{out}");
    for line in lines {
        assert_eq!(line.labels.keys().collect::<Vec<_>>(), ["account_id", "env"]);
        let time = line.time.expect("each has its time") as f64 / 1000.0;
        assert!(time >= before - 1.0 && time <= unix_seconds() + 1.0, "{time}");
    }
    assert!(out.contains("# HELP onboarding_completed_steps checklist steps completed\n"), "{out}");
    assert!(words.contains("receiver dynamodb/onboarding"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn once_tries_a_mapping_offline() {
    let folder = crate::common::dynamodb::scratch();
    let path = folder.path().join("items.json");
    let items = serde_json::json!({"Items": [account("acct-x", "visited", 2), account("acct-y", "expired", 0)]});
    std::fs::write(&path, items.to_string()).unwrap();
    let file = path.to_str().unwrap();
    // Without table and credentials.
    let (code, out, words) = Launch::shipped().arg("--items").arg(file).output(&["once"]).await;
    assert_eq!(code, 0, "{words}");
    let lines: Vec<_> = parse(&out).into_iter().filter(|one| one.name == "onboarding_completed_steps").collect();
    assert_eq!(lines.len(), 1, "{out}");
    assert_eq!((lines[0].label("account_id"), lines[0].value), ("acct-x", 2.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn once_fails_when_the_table_cannot_be_read() {
    let table = Table::seeded("tables: [{name: other, key: {hash: id}}]").await;
    let config = config(&table.api.url, "1s", &remote_write("http://127.0.0.1:9/api/v1/write"));
    let (code, out, words) = Launch::new(&config).with_keys().output(&["once"]).await;
    assert_eq!((code, parse(&out).iter().filter(|one| one.name.starts_with("onboarding_completed")).count()), (1, 0));
    assert!(words.contains("onboarding"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn print_config_shows_what_is_understood_and_no_secret() {
    let (code, out, words) = real().output(&["print-config"]).await;
    assert_eq!(code, 0, "{words}");
    assert!(out.contains("arn:aws:iam::111122223333:role/amp-writer"), "{out}");
    assert!(!out.contains("hunter2") && !words.contains("hunter2"), "{out}");
    let tree: Value = serde_yaml::from_str(&out).unwrap();
    assert_eq!(tree["service"]["pipelines"]["metrics/onboarding"]["exporters"][0], "prometheusremotewrite/amp");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_takes_the_shipped_pipeline_and_refuses_mistakes() {
    let (code, schema, words) = Launch::bare().output(&["schema"]).await;
    assert_eq!(code, 0, "{words}");
    let schema = jsonschema::validator_for(&serde_json::from_str(&schema).unwrap()).unwrap();
    let (_, out, _) = Launch::shipped().output(&["print-config"]).await;
    let good: Value = serde_yaml::from_str(&out).unwrap();
    let errors: Vec<String> =
        schema.iter_errors(&good).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    for (place, value) in [
        ("/receivers/dynamodb~1onboarding/tabel", Value::from("t")),
        ("/receivers/dynamodb~1onboarding/metrics", Value::from(5)),
        ("/exporters/nothing", Value::Null),
        ("/service/pipelins", Value::Null),
    ] {
        let mut bad = good.clone();
        let (parent, key) = place.rsplit_once('/').unwrap();
        bad.pointer_mut(parent).unwrap()[key.replace("~1", "/")] = value;
        assert!(!schema.is_valid(&bad), "{place}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn components_lists_all_that_the_pipeline_uses() {
    let (code, out, words) = Launch::bare().output(&["components"]).await;
    assert_eq!(code, 0, "{words}");
    for name in ["dynamodb", "labels", "lastvalue", "prometheusremotewrite", "otlphttp", "sigv4auth", "health_check"] {
        assert!(out.contains(name), "{name}: {out}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_iam_policy_is_the_least_that_is_needed() {
    let (code, out, words) = real().output(&["iam-policy"]).await;
    assert_eq!(code, 0, "{words}");
    let policy: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(policy["Version"], "2012-10-17");
    let statements = policy["Statement"].as_array().unwrap();
    let find = |action: &str| {
        let has = |statement: &&Value| statement["Action"].to_string().contains(action);
        statements.iter().find(has).unwrap_or_else(|| panic!("{action}: {out}"))["Resource"].to_string()
    };
    assert!(find("dynamodb:Scan").contains("table/onboarding/index/gsi1"), "{out}");
    assert!(find("sts:AssumeRole").contains("arn:aws:iam::111122223333:role/amp-writer"), "{out}");
    assert!(!out.contains("\"*\"") && !out.contains("dynamodb:*") && !out.contains("dynamodb:Put"), "{out}");
}

/// Everything that speaks to AWS, in one config.
const ALL_OF_AWS: &str = r#"
extensions:
  dynamodb_storage: {table: state, region: us-east-1}
  leader/events: {dynamodb: {table: leases, lease: events, region: us-east-1}}
receivers:
  awssqs:
    queue_url: https://sqs.us-east-1.amazonaws.com/111122223333/in
    storage: dynamodb_storage
    leader: leader/events
    discriminator: ""
    types: {steps: {metrics: [{name: steps, value: steps}]}}
exporters:
  awssqs:
    queue_url: https://sqs.us-east-1.amazonaws.com/111122223333/out
    events: [{metrics: {steps: steps}, template: {steps: "{steps}"}}]
service:
  pipelines:
    metrics: {receivers: [awssqs], exporters: [awssqs]}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_iam_policy_covers_queues_state_and_leases() {
    let (code, out, words) = Launch::new(ALL_OF_AWS).output(&["iam-policy"]).await;
    assert_eq!(code, 0, "{words}");
    let policy: Value = serde_json::from_str(&out).unwrap();
    let mut found = Vec::new();
    for statement in policy["Statement"].as_array().unwrap() {
        let actions: Vec<&str> = statement["Action"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        found.push((statement["Resource"][0].as_str().unwrap().to_owned(), actions.join(" ")));
    }
    found.sort();
    let expected = [
        ("arn:aws:dynamodb:us-east-1:<account>:table/leases", "dynamodb:GetItem dynamodb:UpdateItem"),
        (
            "arn:aws:dynamodb:us-east-1:<account>:table/state",
            "dynamodb:ConditionCheckItem dynamodb:DeleteItem dynamodb:GetItem dynamodb:PutItem dynamodb:Query dynamodb:UpdateItem",
        ),
        ("arn:aws:kms:us-east-1:111122223333:key/*", "kms:Decrypt kms:GenerateDataKey"),
        (
            "arn:aws:sqs:us-east-1:111122223333:in",
            "sqs:ChangeMessageVisibility sqs:DeleteMessage sqs:GetQueueAttributes sqs:ReceiveMessage",
        ),
        ("arn:aws:sqs:us-east-1:111122223333:out", "sqs:GetQueueAttributes sqs:SendMessage"),
    ];
    assert_eq!(found, expected.map(|(resource, actions)| (resource.to_owned(), actions.to_owned())));
}

#[tokio::test(flavor = "multi_thread")]
async fn check_asks_the_table_and_the_backend() {
    let table = Table::onboarding(Emulator::Embedded).await;
    table.api.put(four_accounts()).await;
    let backend = crate::common::backend::Backend::willing().await;
    let good = config(&table.api.url, "1s", &remote_write(&backend.url()));
    let (code, out, words) = Launch::new(&good).with_keys().output(&["check"]).await;
    assert_eq!(code, 0, "{out}{words}");
    assert!(out.contains("receiver dynamodb/onboarding") && out.contains("exporter prometheusremotewrite"), "{out}");

    let bad = config(&table.api.url, "1s", &remote_write("http://127.0.0.1:9/api/v1/write"))
        .replace("table: onboarding", "table: missing");
    let (code, out, words) = Launch::new(&bad).with_keys().output(&["check", "--json"]).await;
    assert_eq!(code, 1, "{out}{words}");
    let rows: Value = serde_json::from_str(&out).unwrap();
    assert!(rows.to_string().contains("missing"), "{rows}");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_without_a_process_fails() {
    let port = crate::common::wait::free_port();
    let (code, _, words) = Launch::bare().output(&["health", "--endpoint", &format!("127.0.0.1:{port}")]).await;
    assert_eq!(code, 1);
    assert!(words.contains("no answer"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn completions_are_written_for_a_shell() {
    let (code, out, _) = Launch::bare().output(&["completions", "bash"]).await;
    assert!(code == 0 && out.contains("print-config"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_needs_no_file() {
    let launch = Launch::bare()
        .env("PIPELINE", &std::fs::read_to_string("pipeline.yaml").unwrap())
        .arg("--config")
        .arg("env:PIPELINE")
        .arg("--config")
        .arg("yaml:exporters::debug::verbosity: basic");
    let (code, out, words) = launch.output(&["validate"]).await;
    assert_eq!((code, out.as_str()), (0, "the config is valid; pipelines: metrics/onboarding\n"), "{words}");
}
