//! OTLP to a backend that is not ours: what the official Python types decode is what was in the table.

use crate::common::dynamodb::{Emulator, Table};
use crate::common::onboarding::{account, config, four_accounts};
use crate::common::otlp::OtlpBackend;
use crate::common::steadyline::Launch;
use crate::common::wait::until_true;

/// Runs the four accounts into an exporter until the backend took their values and a changed one.
async fn delivers(backend: &OtlpBackend, exporter: &str, protocol: &str) {
    let table = Table::onboarding(Emulator::Embedded).await;
    table.api.put(four_accounts()).await;
    let config = config(&table.api.url, "1s", exporter);
    let mut steadyline = Launch::new(&config).with_keys().run().await;
    let has = |account: &str, value: f64| {
        let wanted = ("onboarding_completed_steps".to_string(), account.to_string(), value, 0);
        backend.points().contains(&wanted)
    };
    until_true("the values", async || has("acct-a", 3.0) && has("acct-b", 0.0) && has("acct-c", 1.0)).await;
    table.api.put([account("acct-a", "registered", 4)]).await;
    until_true("the changed value", async || has("acct-a", 4.0)).await;
    assert!(!backend.points().iter().any(|point| point.1 == "acct-d"));
    assert!(backend.points().iter().filter(|point| point.0 == "onboarding_total_steps").all(|point| point.2 == 8.0));

    let request = &backend.requests()[0];
    assert_eq!(request["protocol"], protocol);
    assert_eq!(request["headers"]["authorization"], "Bearer token-for-tests");
    let text = request.to_string();
    assert!(text.contains("\"unit\":\"{step}\"") && text.contains("\"stringValue\":\"test\""), "{text}");

    let books = steadyline.finish().await;
    let id = exporter.trim_start().split(':').next().unwrap();
    let account = books.of("exporter", id);
    assert!(account.outgoing >= 9.0, "{account:?}");
    assert_eq!(account.lost(), 0.0, "{account:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn over_grpc_after_a_refusal() {
    let backend = OtlpBackend::start(&["--refuse", "2"]).await;
    let exporter = format!(
        "  otlp:\n    endpoint: {}\n    tls: {{insecure: true}}\n    headers: {{authorization: Bearer token-for-tests}}\n    retry_on_failure: {{initial_interval: 100ms}}",
        backend.grpc
    );
    delivers(&backend, &exporter, "grpc").await;
    assert!(backend.requests().iter().take(2).all(|request| request["taken"] == false));
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http_as_protobuf_after_a_refusal() {
    let backend = OtlpBackend::start(&["--refuse", "2"]).await;
    let exporter = format!(
        "  otlphttp:\n    endpoint: {}\n    headers: {{authorization: Bearer token-for-tests}}\n    retry_on_failure: {{initial_interval: 100ms}}",
        backend.http
    );
    delivers(&backend, &exporter, "http/protobuf").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http_as_json() {
    let backend = OtlpBackend::start(&[]).await;
    let exporter = format!(
        "  otlphttp:\n    endpoint: {}\n    encoding: json\n    headers: {{authorization: Bearer token-for-tests}}",
        backend.http
    );
    delivers(&backend, &exporter, "http/json").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_backend_takes_in_part_is_counted() {
    let backend = OtlpBackend::start(&["--partial"]).await;
    let table = Table::onboarding(Emulator::Embedded).await;
    table.api.put(four_accounts()).await;
    let exporter = format!("  otlp:\n    endpoint: {}\n    tls: {{insecure: true}}", backend.grpc);
    let mut steadyline = Launch::new(&config(&table.api.url, "1s", &exporter)).with_keys().run().await;
    until_true("two requests", async || backend.requests().len() >= 2).await;
    until_true("the backend's words in the log", async || {
        steadyline.log().iter().any(|line| line.to_string().contains("one point is too old"))
    })
    .await;
    let account = steadyline.finish().await.of("exporter", "otlp");
    assert!(account.lost() >= 1.0 && account.outgoing > 0.0, "{account:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_series_that_ends_says_so_with_a_flag() {
    let backend = OtlpBackend::start(&[]).await;
    let table = Table::onboarding(Emulator::Embedded).await;
    table.api.put(four_accounts()).await;
    let exporter = format!("  otlp:\n    endpoint: {}\n    tls: {{insecure: true}}", backend.grpc);
    let mut steadyline = Launch::new(&config(&table.api.url, "1s", &exporter)).with_keys().run().await;
    let flags = |account: &str| -> Vec<u64> {
        let points = backend.points().into_iter();
        points.filter(|p| p.0 == "onboarding_completed_steps" && p.1 == account).map(|p| p.3).collect()
    };
    until_true("the line", async || !flags("acct-c").is_empty()).await;
    table.api.delete("acct-c").await;
    until_true("its end", async || flags("acct-c").last() == Some(&1)).await;
    until_true("more of the others", async || flags("acct-a").len() > 6).await;
    assert_eq!(flags("acct-c").iter().filter(|flag| **flag == 1).count(), 1, "one end");
    steadyline.finish().await;
}
