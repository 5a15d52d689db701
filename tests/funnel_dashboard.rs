//! The worked example of `docs/funnel.md`, whole: its config runs in the built binary, steps come as records and spans, and
//! every panel of the dashboard shows in a real Prometheus what was sent.
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
    pub mod steadyline;
    pub mod tools;
    pub mod wait;
}

use common::prometheus::Prometheus;
use common::steadyline::{Launch, Steadyline, unix_seconds};
use common::wait::until_true;
use common::{dashboards, http, tools};
use serde_json::{Value, json};

/// The page's one block of YAML.
fn config() -> String {
    let page = std::fs::read_to_string(tools::root().join("docs/funnel.md")).unwrap();
    let block = page.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next());
    block.unwrap().to_owned()
}

/// Runs it; with it the address where it takes OTLP over HTTP.
async fn run(prometheus: &Prometheus) -> (Steadyline, String) {
    let any_port = "127.0.0.1:0";
    let launch = Launch::new(&config())
        .env("REMOTE_WRITE_ENDPOINT", &prometheus.write_url())
        .set("receivers.otlp.protocols.grpc.endpoint", any_port)
        .set("receivers.otlp.protocols.http.endpoint", any_port);
    let steadyline = launch.run().await;
    let listens = |line: &&Value| line["protocol"] == "http";
    let line = steadyline.logged("listening").into_iter().find(|line| listens(&line)).unwrap();
    let address = format!("http://{}", line["endpoint"].as_str().unwrap());
    (steadyline, address)
}

/// An application's instance takes a step so many times.
async fn take(address: &str, signal: &str, instance: &str, step: &str, times: usize) {
    let text = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let resource = json!({"attributes": [
        text("service.name", "shop"),
        text("service.instance.id", instance),
        text("deployment.environment.name", "prod"),
    ]});
    let attributes = json!([text("step", step)]);
    let body = match signal {
        "logs" => {
            let records = vec![json!({"severityNumber": 9, "attributes": attributes}); times];
            json!({"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": records}]}]})
        }
        _ => {
            let (trace, span) = ("5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174");
            let spans = vec![json!({"traceId": trace, "spanId": span, "name": step, "attributes": attributes}); times];
            json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]})
        }
    };
    let url = format!("{address}/v1/{signal}");
    let answer = http::post(&url, &[("content-type", "application/json")], body.to_string()).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// What each panel must show: by its title and the legend.
const FIGURES: [(&str, &str, f64); 15] = [
    ("Funnel", "organization created", 8.0),
    ("Funnel", "device registered", 6.0),
    ("Funnel", "first device data", 3.0),
    ("Funnel", "first dashboard widget", 1.0),
    ("Whole funnel", "Whole funnel", 12.5),
    ("Organization to device", "Organization to device", 75.0),
    ("Device to data", "Device to data", 50.0),
    ("Data to widget", "Data to widget", 100.0 / 3.0),
    ("Conversion between steps", "device registered", 75.0),
    ("Conversion between steps", "first device data", 50.0),
    ("Conversion between steps", "first dashboard widget", 100.0 / 3.0),
    ("Steps by hour", "organization created", 8.0),
    ("Steps by hour", "first dashboard widget", 1.0),
    ("Steps so far", "{{step}}", 8.0),
    ("By environment and job", "", 12.5),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_panel_shows_the_steps_that_were_taken() {
    let prometheus = Prometheus::start().await;
    let (mut steadyline, address) = run(&prometheus).await;
    take(&address, "logs", "one", "OrgCreated", 5).await;
    take(&address, "logs", "two", "OrgCreated", 3).await;
    take(&address, "logs", "two", "Checkout", 7).await;
    take(&address, "logs", "one", "DeviceRegistered", 6).await;
    take(&address, "traces", "three", "FirstDeviceData", 3).await;
    take(&address, "traces", "three", "GET /", 4).await;
    take(&address, "logs", "one", "FirstDashboardWidget", 1).await;
    until_true("all steps", async || {
        let found = prometheus.instant("sum(funnel_events_total)", unix_seconds()).await;
        found.first().is_some_and(|(_, value)| *value == 18.0)
    })
    .await;

    let series = prometheus.instant("funnel_events_total", unix_seconds()).await;
    assert_eq!(series.len(), 4, "one line for each step, whatever the instance: {series:?}");
    let dashboard = dashboards::named("funnel.json");
    let mut checked = 0;
    for panel in dashboard.panels() {
        for target in panel["targets"].as_array().unwrap() {
            let [title, legend] = [&panel["title"], &target["legendFormat"]].map(|value| value.as_str().unwrap());
            let query = dashboard.fill(target["expr"].as_str().unwrap(), &[("env", "prod"), ("job", "shop")]);
            let found = prometheus.instant(&query, unix_seconds()).await;
            assert!(!found.is_empty(), "{title} shows nothing: {query}");
            if let Some((.., expected)) = FIGURES.iter().find(|(t, l, _)| (*t, *l) == (title, legend)) {
                let most = found.iter().map(|(_, value)| *value).fold(f64::MIN, f64::max);
                assert!((most - expected).abs() < 1e-6, "{title}: {legend}: {found:?}, not {expected}");
                checked += 1;
            }
            let nobody = dashboard.fill(target["expr"].as_str().unwrap(), &[("job", "nobody")]);
            let found = prometheus.instant(&nobody, unix_seconds()).await;
            assert!(found.is_empty(), "{title} shows something of nobody: {found:?}");
        }
    }
    assert_eq!(checked, FIGURES.len());
    steadyline.finish().await;
}
