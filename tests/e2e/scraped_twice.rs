//! One target, scraped by Prometheus itself and by us: what we write into it is what it sees itself, series by series,
//! label by label, value by value, and what vanishes ends alike.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::Response;

use crate::common::prometheus::Prometheus;
use crate::common::server::{Reply, Server};
use crate::common::steadyline::{Launch, unix_seconds};
use crate::common::wait::until_true;

const PAGE: &str = r#"# HELP plain a counter with \\ and \n in its help
# TYPE plain counter
plain{path="C:\\x",quote="\"",line="a\nb",empty="",z="1",A="2"} 1027
plain_total{code="200"} 3
# TYPE level gauge
level{kind="nan"} NaN
level{kind="inf"} +Inf
level{kind="minus"} -Inf
level{kind="small"} 5e-324
level{kind="large"} 1.7976931348623157e308
level{kind="zero"} -0
# TYPE took_seconds histogram
took_seconds_bucket{route="/",le="0.5"} 24
took_seconds_bucket{route="/",le="1"} 33
took_seconds_bucket{route="/",le="+Inf"} 144
took_seconds_sum{route="/"} 53.25
took_seconds_count{route="/"} 144
# TYPE wait_seconds summary
wait_seconds{quantile="0.5"} 4.5
wait_seconds{quantile="0.99"} NaN
wait_seconds_sum 17
wait_seconds_count 2
untyped_thing{job="mine",instance="theirs",exported_job="both"} 7
:colons:in:a:name 1
"#;

/// Series without their job, as (labels, value's bits); what a scrape says of itself without its value.
async fn seen(prometheus: &Prometheus, job: &str) -> BTreeMap<String, String> {
    let found = prometheus.instant(&format!("{{job=\"{job}\"}}"), unix_seconds()).await;
    let series = found.into_iter().map(|(mut labels, value)| {
        labels.remove("job");
        let own = labels["__name__"].starts_with("scrape_");
        (format!("{labels:?}"), if own { String::new() } else { format!("{value:?}") })
    });
    series.filter(|(labels, _)| !labels.contains("\"target_info\"")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_and_we_see_the_same() {
    let leaves = Arc::new(AtomicBool::new(false));
    let gone = Arc::clone(&leaves);
    let target = Server::start(move |_| {
        let page = if gone.load(Ordering::SeqCst) { PAGE.to_string() } else { format!("{PAGE}leaves{{a=\"b\"}} 1\n") };
        let mut response = Response::new(page.into());
        let text = http::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        response.headers_mut().insert(http::header::CONTENT_TYPE, text);
        async move { Reply::Answer(response) }
    })
    .await;
    let prometheus = Prometheus::scraping(&target.address.to_string()).await;
    let config = format!(
        "
receivers:
  prometheus:
    config:
      scrape_configs:
        - {{job_name: ours, scrape_interval: 1s, static_configs: [{{targets: [\"{}\"]}}]}}
processors: {{batch: }}
exporters:
  prometheusremotewrite: {{endpoint: \"{}\", add_metric_suffixes: false}}
service:
  pipelines:
    metrics: {{receivers: [prometheus], processors: [batch], exporters: [prometheusremotewrite]}}
",
        target.address,
        prometheus.write_url()
    );
    let mut steadyline = Launch::new(&config).run().await;
    let both = async || (seen(&prometheus, "test").await, seen(&prometheus, "ours").await);
    until_true("both to have scraped", async || {
        let (theirs, ours) = both().await;
        theirs.len() >= 24 && ours.len() >= theirs.len()
    })
    .await;
    let (theirs, ours) = both().await;
    assert_eq!(ours, theirs);
    assert!(ours.keys().any(|labels| labels.contains("leaves")));

    leaves.store(true, Ordering::SeqCst);
    until_true("the series to end for both", async || {
        let (theirs, ours) = both().await;
        ![theirs, ours].iter().any(|series| series.keys().any(|labels| labels.contains("leaves")))
    })
    .await;
    let (theirs, ours) = both().await;
    assert_eq!(ours, theirs);
    steadyline.finish().await;
    let ends = prometheus.dump("leaves").await;
    let marked = |job: &str| {
        let of_job = ends.iter().filter(|(labels, _, _)| labels.contains(&format!("job=\"{job}\"")));
        of_job.filter(|(_, value, _)| value.is_nan()).count()
    };
    assert_eq!((marked("test"), marked("ours")), (1, 1), "{ends:?}");
}
