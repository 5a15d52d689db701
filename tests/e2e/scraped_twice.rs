//! One target, scraped by Prometheus itself and by us: what we write into it is what it sees itself, series by series,
//! label by label, value by value, and what vanishes ends alike.

use std::collections::BTreeMap;

use crate::common::prometheus::Prometheus;
use crate::common::scraped::{ESCAPES, FAMILIES, LEVELS, TEXT_FORMAT, Target};
use crate::common::steadyline::{Launch, unix_seconds};
use crate::common::wait::until_true;

/// What both scrape, besides what is gone after a while.
fn page() -> String {
    let (total, levels) = ("plain_total{code=\"200\"} 3\n", "level{kind=\"small\"} 5e-324\nlevel{kind=\"zero\"} -0\n");
    [ESCAPES, total, LEVELS, levels, FAMILIES, ":colons:in:a:name 1\n"].concat()
}

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
    let target = Target::start(TEXT_FORMAT, b"leaves{a=\"b\"} 1\n", page().as_bytes()).await;
    let prometheus = Prometheus::scraping(&target.address().to_string()).await;
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
        target.address(),
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

    target.leave();
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
