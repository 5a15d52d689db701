//! Remote write to a real Prometheus that speaks version 1.0 only: asked for 2.0, the exporter notices that nothing was
//! written, falls back, and nothing is lost.

use crate::common::dynamodb::{Emulator, Table};
use crate::common::onboarding::{config, four_accounts, remote_write};
use crate::common::prometheus::Prometheus;
use crate::common::steadyline::{Launch, unix_seconds};
use crate::common::wait::until_true;

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_without_version_2_gets_version_1() {
    let table = Table::onboarding(Emulator::Embedded).await;
    table.api.put(four_accounts()).await;
    let prometheus = Prometheus::start().await;
    let exporter = remote_write(&prometheus.write_url()) + "\n    protobuf_message: io.prometheus.write.v2.Request";
    let mut steadyline = Launch::new(&config(&table.api.url, "1s", &exporter)).with_keys().run().await;
    until_true("the lines", async || {
        let shown = prometheus.instant("sum(onboarding_completed_steps)", unix_seconds()).await;
        shown.first().map(|(_, sum)| *sum) == Some(4.0)
    })
    .await;
    steadyline.wait_log("falling back").await;
    let account = steadyline.finish().await.of("exporter", "prometheusremotewrite");
    assert_eq!(account.lost(), 0.0, "{account:?}");
}

/// A request in which every label and value is legal is never refused by a strict receiver, whose in-order rule is
/// absolute: no out-of-order window is configured.
#[tokio::test(flavor = "multi_thread")]
async fn a_strict_receiver_never_refuses() {
    let table = Table::onboarding(Emulator::Embedded).await;
    table.api.put(four_accounts()).await;
    let prometheus = Prometheus::start().await;
    let config = config(&table.api.url, "1s", &remote_write(&prometheus.write_url()));
    let mut steadyline = Launch::new(&config).with_keys().run().await;
    until_true("ten passes", async || {
        steadyline.own("steadyline_receiver_polls_total", ("outcome", "complete")).await >= 10.0
    })
    .await;
    let account = steadyline.finish().await.of("exporter", "prometheusremotewrite");
    assert_eq!((account.lost(), account.outgoing > 30.0), (0.0, true), "{account:?}");
    let shown = prometheus.lines("onboarding_completed_steps", unix_seconds() - 600.0, unix_seconds()).await;
    assert_eq!(shown.len(), 3, "{shown:?}");
    assert!(shown.iter().all(|line| line.samples.len() >= 10), "one sample a pass: {shown:?}");
}
