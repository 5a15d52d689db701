//! Health tells the truth: a backend that fails for long costs readiness, never liveness, and comes back with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::common::backend::Backend;
use crate::common::dynamodb::{Emulator, Table};
use crate::common::http;
use crate::common::onboarding::{config, four_accounts, remote_write};
use crate::common::server::Reply;
use crate::common::steadyline::Launch;
use crate::common::wait::{free_port, until_true};

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_backend_costs_readiness_and_never_liveness() {
    let table = Table::onboarding(Emulator::Embedded).await;
    table.api.put(four_accounts()).await;
    let fails = Arc::new(AtomicBool::new(false));
    let failing = Arc::clone(&fails);
    let backend = Backend::start(move |_| {
        if failing.load(Ordering::Relaxed) { Reply::status(503, "maintenance") } else { Reply::status(204, "") }
    })
    .await;
    let address = format!("127.0.0.1:{}", free_port());
    let extension = format!(
        "extensions:\n  health_check: {{endpoint: '{address}', component_health: {{recovery_duration: 1s}}}}\n"
    );
    let config = extension + &config(&table.api.url, "1s", &remote_write(&backend.url()));
    let mut steadyline = Launch::new(&config).with_keys().set("service.extensions", "[health_check]").run().await;
    let status = async |path: &str| http::get(&format!("http://{address}{path}")).await.map(|answer| answer.status);

    until_true("ready", async || backend.count() >= 9 && status("/").await == Some(200)).await;
    fails.store(true, Ordering::Relaxed);
    until_true("not ready", async || status("/").await == Some(503)).await;
    let answer = http::get(&format!("http://{address}/")).await.unwrap();
    assert!(
        answer.text().contains("prometheusremotewrite") && answer.text().contains("maintenance"),
        "{}",
        answer.text()
    );
    assert_eq!(status("/live").await, Some(200));
    let (code, _, words) = Launch::bare().output(&["health", "--endpoint", &address]).await;
    assert!(code == 1 && words.contains("503"), "{code} {words}");

    fails.store(false, Ordering::Relaxed);
    until_true("ready again", async || status("/").await == Some(200)).await;
    steadyline.finish().await;
}
