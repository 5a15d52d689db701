//! The dashboard of the pipeline's own health: every panel finds data in a real Prometheus that scrapes the built binary
//! while one backend takes what it is sent and another is not there; and every metric of the alert rules exists.
//! Needs what `tests/setup.sh` installs; `tests/run.sh` does both.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub)]

#[path = "common"]
mod common {
    pub mod books;
    pub mod dashboards;
    pub mod exposition;
    pub mod http;
    pub mod process;
    pub mod prometheus;
    pub mod server;
    pub mod steadyline;
    pub mod tools;
    pub mod wait;
}

use std::collections::BTreeSet;
use std::net::SocketAddr;

use common::dashboards;
use common::prometheus::Prometheus;
use common::server::{Reply, Server};
use common::steadyline::{Launch, Steadyline, unix_seconds};
use common::tools::root;
use common::wait::{free_port, until};

/// Metrics that the pipeline here has no reason to have.
const NOT_HERE: [&str; 1] = ["steadyline_component_refused_items_total"];

/// Sends its own metrics to a backend that takes them and to one that is not there.
async fn run_between(taking: SocketAddr) -> Steadyline {
    let nobody = free_port();
    let config = format!(
        "receivers: {{internal: {{collection_interval: 1s, initial_delay: 0s}}}}\n\
         processors: {{lastvalue: {{}}}}\n\
         exporters:\n  \
           otlphttp/taking: {{endpoint: 'http://{taking}'}}\n  \
           otlphttp/missing: {{endpoint: 'http://127.0.0.1:{nobody}', \
             retry_on_failure: {{initial_interval: 100ms, max_interval: 100ms, max_elapsed_time: 1s}}}}\n\
         service:\n  \
           pipelines: {{metrics: {{receivers: [internal], processors: [lastvalue], \
             exporters: [otlphttp/taking, otlphttp/missing]}}}}\n"
    );
    Launch::new(&config).run().await
}

#[tokio::test]
async fn every_panel_finds_data_and_every_rule_is_about_metrics_that_exist() {
    let backend = Server::start(async |_| Reply::status(200, "")).await;
    let mut steadyline = run_between(backend.address).await;
    let line = steadyline.wait_log("own metrics are served").await;
    let prometheus = Prometheus::scraping(line["address"].as_str().unwrap()).await;
    let health = dashboards::named("steadyline.json");
    for (title, query) in health.queries() {
        let query = health.fill(query, &[("__rate_interval", "10s"), ("__range", "1m")]);
        until(&format!("data for {title}: {query}"), async || {
            let found = prometheus.instant(&query, unix_seconds()).await;
            (!found.is_empty()).then_some(())
        })
        .await;
    }
    // The one that is not there costs its own share and no other, and is told apart.
    let lost = "sum by (id) (steadyline_component_dropped_items_total) > 0";
    let lost = until("losses", async || Some(prometheus.instant(lost, unix_seconds()).await).filter(|l| !l.is_empty()));
    let lost: Vec<String> = lost.await.iter().map(|(labels, _)| labels["id"].clone()).collect();
    assert_eq!(lost, ["otlphttp/missing"]);
    let rules = std::fs::read_to_string(root().join("dashboards/steadyline.rules.yml")).unwrap();
    let words = rules.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let names: BTreeSet<&str> =
        words.filter(|word| word.starts_with("steadyline_") || word.starts_with("otelcol_")).collect();
    assert!(names.len() >= 9, "{names:?}");
    for name in names.into_iter().filter(|name| !NOT_HERE.contains(name)) {
        assert!(!prometheus.instant(name, unix_seconds()).await.is_empty(), "there is no {name}");
    }
}
