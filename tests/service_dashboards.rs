//! The dashboards of scraped applications: every panel finds data in a real Prometheus that got them through the built
//! binary's own scrapes, the figures are right, and an application that rests divides nothing by zero.
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

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use common::dashboards;
use common::prometheus::Prometheus;
use common::server::{Reply, Server};
use common::steadyline::{Launch, unix_seconds};
use common::wait::until_true;
use serde_json::Value;

/// How many panels each has.
const PANELS: [(&str, usize); 4] =
    [("api-performance.json", 6), ("background-tasks.json", 8), ("database.json", 6), ("errors.json", 8)];

/// The prefix of the business metrics of the application here; not the one that the dashboards open with.
const PREFIX: &str = "shop";

/// A metrics page as a Django application, its task queue and its database would serve it, together. Counters stand at
/// `turn` times their step.
struct Page {
    text: String,
    turn: u64,
}

impl Page {
    /// The whole page.
    fn of(turn: u64) -> String {
        let mut page = Page { text: String::new(), turn };
        page.requests();
        page.database();
        page.tasks();
        page.business();
        page.text
    }

    fn requests(&mut self) {
        self.counter("django_http_requests_total_by_method_total", r#"method="GET""#, 60);
        self.counter("django_http_requests_total_by_method_total", r#"method="POST""#, 40);
        // Of 100 answers 10 are errors, 4 of them the server's.
        for (status, step) in [("200", 85), ("301", 5), ("404", 4), ("429", 2), ("500", 3), ("503", 1)] {
            self.counter("django_http_responses_total_by_status_total", &format!(r#"status="{status}""#), step);
        }
        let seconds = [("0.1", 50), ("0.25", 40), ("0.5", 6), ("1.0", 4)];
        self.histogram("django_http_requests_latency_including_middlewares_seconds", "", &seconds);
        // Twelve views, each slower and worse than the one before.
        for at in 0..12 {
            let view = if at == 0 { "<unnamed view>".to_owned() } else { format!("api:v1:view-{at:02}") };
            let labels = format!(r#"method="GET",view="{view}""#);
            let seconds = [("0.1", 100 - 8 * at), ("0.5", 4 * at), ("2.5", 4 * at)];
            self.histogram("django_http_requests_latency_seconds_by_view_method", &labels, &seconds);
            let all = format!(r#"method="GET",transport="https",view="{view}""#);
            self.counter("django_http_requests_total_by_view_transport_method_total", &all, 100 + at);
            for (status, step) in [("200", 100), ("500", at)] {
                let labels = format!(r#"{labels},status="{status}""#);
                self.counter("django_http_responses_total_by_status_view_method_total", &labels, step);
            }
        }
    }

    fn database(&mut self) {
        let labels = r#"alias="default",vendor="postgresql""#;
        for (name, step) in
            [("execute", 300), ("execute_many", 7), ("new_connections", 3), ("new_connection_errors", 1)]
        {
            self.counter(&format!("django_db_{name}_total"), labels, step);
        }
        self.histogram("django_db_query_duration_seconds", labels, &[("0.01", 90), ("0.1", 9), ("1.0", 1)]);
        self.gauge("pg_stat_activity_count", r#"datname="app",state="active""#, 5);
        self.gauge("pg_stat_activity_count", r#"datname="app",state="idle""#, 40);
        self.gauge(&format!("{PREFIX}_db_connections_active"), r#"alias="default""#, 4);
    }

    fn tasks(&mut self) {
        for (name, failed) in [("billing.charge", 3), ("reports.weekly", 0)] {
            let labels = format!(r#"hostname="worker-1",name="{name}",queue_name="celery""#);
            self.counter("celery_task_started_total", &labels, 50);
            self.counter("celery_task_succeeded_total", &labels, 50 - failed);
            // The exporter makes a line without an exception for every task.
            self.counter("celery_task_failed_total", &format!(r#"{labels},exception="""#), 0);
            self.counter("celery_task_failed_total", &format!(r#"{labels},exception="TimeoutError""#), failed);
            self.histogram("celery_task_runtime", &labels, &[("0.5", 40), ("2.5", 8), ("10.0", 2)]);
        }
    }

    fn business(&mut self) {
        for at in 1..=12 {
            let customer = format!(r#"customer="customer-{at:02}""#);
            self.counter(&format!("{PREFIX}_api_calls_total"), &customer, 10 * at);
            self.counter(&format!("{PREFIX}_rate_limit_hits_total"), &customer, at);
            let check = if at % 2 == 0 { "schema" } else { "freshness" };
            let labels = format!(r#"check="{check}",{customer}"#);
            self.counter(&format!("{PREFIX}_data_quality_failures_total"), &labels, at);
        }
        for (status, step) in [("accepted", 500), ("duplicate", 20), ("rejected", 5)] {
            self.counter(&format!("{PREFIX}_records_ingested_total"), &format!(r#"status="{status}""#), step);
        }
        for (channel, status, step) in [("email", "delivered", 20), ("slack", "delivered", 9), ("slack", "failed", 1)] {
            let labels = format!(r#"channel="{channel}",status="{status}""#);
            self.counter(&format!("{PREFIX}_alert_deliveries_total"), &labels, step);
        }
        let seconds = [("1.0", 60), ("5.0", 35), ("30.0", 5)];
        self.histogram(&format!("{PREFIX}_ingestion_duration_seconds"), "", &seconds);
        self.histogram(&format!("{PREFIX}_report_generation_duration_seconds"), "", &seconds);
    }

    fn counter(&mut self, name: &str, labels: &str, step: u64) {
        let value = step * self.turn;
        self.line(name, "counter", "", labels, value);
    }

    fn gauge(&mut self, name: &str, labels: &str, value: u64) {
        self.line(name, "gauge", "", labels, value);
    }

    /// `buckets` have a bound and how many fall between it and the one before.
    fn histogram(&mut self, name: &str, labels: &str, buckets: &[(&str, u64)]) {
        let comma = if labels.is_empty() { "" } else { "," };
        let (mut count, mut sum) = (0, 0.0);
        for (bound, step) in buckets {
            count += step * self.turn;
            sum += bound.parse::<f64>().unwrap() * (step * self.turn) as f64;
            self.line(name, "histogram", "_bucket", &format!(r#"{labels}{comma}le="{bound}""#), count);
        }
        self.line(name, "histogram", "_bucket", &format!(r#"{labels}{comma}le="+Inf""#), count);
        self.line(name, "histogram", "_count", labels, count);
        self.line(name, "histogram", "_sum", labels, sum);
    }

    fn line(&mut self, name: &str, kind: &str, suffix: &str, labels: &str, value: impl std::fmt::Display) {
        let head = format!("# TYPE {name} {kind}\n");
        if !self.text.contains(&head) {
            self.text += &head;
        }
        writeln!(self.text, "{name}{suffix}{{{labels}}} {value}").unwrap();
    }
}

/// Answers scrapes: at `/busy` every counter has moved since the last one, at `/idle` none ever does.
async fn application() -> Server {
    let turn = AtomicU64::new(0);
    Server::start(move |request| {
        let page = match request.uri().path() {
            "/busy" => Page::of(turn.fetch_add(1, Ordering::Relaxed) + 1),
            _ => Page::of(1000),
        };
        async move { Reply::status(200, page).with("content-type", "text/plain; version=0.0.4") }
    })
    .await
}

/// Scraped names stay as the application has them: `add_metric_suffixes` would move every `total` to the end.
fn pipeline(application: &Server, prometheus: &Prometheus) -> String {
    let job = |name: &str| {
        let target = application.address;
        format!(
            "{{job_name: {name}, metrics_path: /{name}, scrape_interval: 1s, scrape_timeout: 1s, \
             static_configs: [{{targets: ['{target}'], labels: {{env: test}}}}]}}"
        )
    };
    format!(
        "
receivers:
  prometheus: {{config: {{scrape_configs: [{}, {}]}}}}
processors:
  batch: {{timeout: 200ms}}
exporters:
  prometheusremotewrite: {{endpoint: '{}', add_metric_suffixes: false}}
service:
  pipelines:
    metrics: {{receivers: [prometheus], processors: [batch], exporters: [prometheusremotewrite]}}
",
        job("busy"),
        job("idle"),
        prometheus.write_url()
    )
}

/// Every query with what is chosen in its dashboard: one job, and windows that fit scrapes of a second. Before each, where
/// it is shown: file, panel, legend.
fn queries(job: &str) -> Vec<(String, String)> {
    let chosen = [("env", "test"), ("job", job), ("prefix", PREFIX), ("__rate_interval", "10s"), ("__range", "1m")];
    let mut queries = Vec::new();
    for (file, _) in PANELS {
        let dashboard = dashboards::named(file);
        for panel in dashboard.panels() {
            for target in panel["targets"].as_array().unwrap() {
                let word = |value: &Value| value.as_str().unwrap().to_owned();
                let place = format!("{file}: {}: {}", word(&panel["title"]), word(&target["legendFormat"]));
                queries.push((place, dashboard.fill(&word(&target["expr"]), &chosen)));
            }
        }
    }
    queries
}

/// What must be shown where it does not depend on when exactly a scrape came.
const FIGURES: [(&str, f64); 6] = [
    ("api-performance.json: Latency: p50", 0.1),
    ("api-performance.json: Latency: p95", 0.25 + 0.25 * 5.0 / 6.0),
    ("api-performance.json: Latency: p99", 0.5 + 0.5 * 3.0 / 4.0),
    ("background-tasks.json: Success rate: success rate", 97.0),
    ("errors.json: Error rate: all errors", 10.0),
    ("errors.json: Error rate: server errors", 4.0),
];

#[test]
fn every_dashboard_has_its_panels_and_the_variables_of_a_service() {
    for (file, panels) in PANELS {
        let dashboard = dashboards::named(file);
        assert_eq!(dashboard.panels().len(), panels, "{file}");
        for name in ["env", "job", "prefix"] {
            dashboard.variable(name);
        }
        for (title, query) in dashboard.queries() {
            assert!(query.contains(r#"env=~"$env", job=~"$job""#), "{file}: {title} takes no notice of what is chosen");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_panel_shows_what_was_scraped() {
    let (application, prometheus) = (application().await, Prometheus::start().await);
    let mut steadyline = Launch::new(&pipeline(&application, &prometheus)).run().await;
    let there = r#"count(rate(celery_task_failed_total{exception="TimeoutError"}[10s]))"#;
    until_true("both jobs, scraped twice", async || {
        prometheus.instant(there, unix_seconds()).await.first().is_some_and(|(_, jobs)| *jobs == 4.0)
    })
    .await;

    let mut checked = 0;
    for (place, query) in queries("busy") {
        let found = prometheus.instant(&query, unix_seconds()).await;
        assert!(found.iter().any(|(_, value)| *value > 0.0), "{place} shows nothing: {query}: {found:?}");
        assert!(found.iter().all(|(_, value)| value.is_finite() && *value >= 0.0), "{place}: {query}: {found:?}");
        if let Some((_, expected)) = FIGURES.iter().find(|(known, _)| *known == place) {
            assert!((found[0].1 - expected).abs() < 1e-6, "{place}: {found:?}, not {expected}");
            checked += 1;
        }
    }
    assert_eq!(checked, FIGURES.len());

    // Nothing moves there, and there is nothing at all elsewhere: lines at 0 or none, but no 0 divided by 0.
    for (place, query) in queries("idle").into_iter().chain(queries("nobody")) {
        let found = prometheus.instant(&query, unix_seconds()).await;
        assert!(found.iter().all(|(_, value)| value.is_finite()), "{place}: {query}: {found:?}");
    }
    steadyline.finish().await;
}

/// The ten that a panel shows are the right ten, in the right order.
#[tokio::test(flavor = "multi_thread")]
async fn the_worst_endpoints_are_the_worst() {
    let (application, prometheus) = (application().await, Prometheus::start().await);
    let mut steadyline = Launch::new(&pipeline(&application, &prometheus)).run().await;
    let worst = queries("busy").into_iter().find(|(place, _)| place.contains("Ten worst endpoints")).unwrap().1;
    let slowest = queries("busy").into_iter().find(|(place, _)| place.contains("Ten slowest endpoints")).unwrap().1;
    let expected: Vec<String> = (2..12).rev().map(|at| format!("api:v1:view-{at:02}")).collect();
    for query in [worst, slowest] {
        until_true("ten views in order", async || {
            let found = prometheus.instant(&query, unix_seconds()).await;
            found.iter().map(|(labels, _)| labels["view"].as_str()).eq(expected.iter().map(String::as_str))
        })
        .await;
    }
    steadyline.finish().await;
}
