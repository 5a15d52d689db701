//! The main job as the tests see it: accounts as items, and the config that makes lines of them.

use serde_json::{Value, json};

/// The steps, in order.
pub const STEPS: [&str; 8] = [
    "pixel_installed",
    "pixel_receiving",
    "pixel_verified",
    "pixel_complete",
    "index_created",
    "index_associated",
    "docs_added",
    "pixel_customized",
];

/// An account as DynamoDB stores it; with 0 steps the attribute is absent, as it often is.
pub fn account(id: &str, status: &str, steps: usize) -> Value {
    let mut item = json!({
        "system_account_id": {"S": id},
        "visible_account_id": {"S": format!("v-{id}")},
        "account_name": {"S": format!("Name of {id}")},
        "status": {"S": status},
        "gsi1pk": {"S": "ACCOUNT"},
        "gsi1sk": {"S": format!("2026-03-01#{id}")},
    });
    if steps > 0 {
        item["completed_steps"] = json!({"SS": STEPS[..steps]});
    }
    item
}

/// Four accounts, of which two engaged, one finished a step before it expired, and one never began.
pub fn four_accounts() -> [Value; 4] {
    [
        account("acct-a", "registered", 3),
        account("acct-b", "visited", 0),
        account("acct-c", "expired", 1),
        account("acct-d", "expired", 0),
    ]
}

/// The extensions, receiver and processors of the shipped pipeline, reading from a URL. Exporters are the test's.
pub fn config(url: &str, interval: &str, exporters: &str) -> String {
    let steps = STEPS.join(", ");
    let names: Vec<&str> =
        exporters.lines().filter_map(|line| line.strip_prefix("  ")).filter(|line| !line.starts_with(' ')).collect();
    let names: Vec<&str> = names.iter().filter_map(|line| line.split_once(':')).map(|(name, _)| name).collect();
    format!(
        r#"
receivers:
  dynamodb/onboarding:
    table: onboarding
    index: gsi1
    endpoint: {url}
    collection_interval: {interval}
    where: status in ["visited", "registered", "submitted", "completed"] || size(completed_steps) > 0
    identity: {{account_id: system_account_id}}
    resource: {{env: test}}
    metrics:
      - {{name: onboarding_completed_steps, unit: "{{step}}", value: {{size: completed_steps}}}}
      - {{name: onboarding_total_steps, unit: "{{step}}", value: {{count_of: [{steps}]}}}}
      - {{name: onboarding_account_info, info: {{account_name: account_name, status: status}}}}
processors:
  labels: {{translation_strategy: UnderscoreEscapingWithoutSuffixes, keep: [account_id, account_name, status, env]}}
  lastvalue:
exporters:
{exporters}
service:
  pipelines:
    metrics/onboarding:
      receivers: [dynamodb/onboarding]
      processors: [labels, lastvalue]
      exporters: [{names}]
"#,
        names = names.join(", ")
    )
}

/// An exporter that sends by remote write. Retries come soon, so that a test of them is short.
pub fn remote_write(url: &str) -> String {
    format!(
        "  prometheusremotewrite:\n    endpoint: {url}\n    timeout: 3s\n    retry_on_failure: {{initial_interval: 100ms, max_interval: 500ms}}\n    target_info: {{enabled: false}}"
    )
}
