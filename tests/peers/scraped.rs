//! One target, scraped by the Go Collector and by Steadyline: what both write to remote write is the same.

use std::collections::BTreeSet;

use crate::collector::same;
use crate::common::remote_write::Series;
use crate::common::scraped::{ESCAPES, FAMILIES, LEVELS, TEXT_FORMAT, Target};
use crate::common::steadyline::Launch;
use crate::common::wait::until_true;
use crate::pair::collector;
use crate::receiver::{Receiver, lines};

/// What the page has besides what is compared with Prometheus too.
const COUNTERS: &str = r#"# TYPE plain_total counter
plain_total{code="200"} 3
django_http_requests_total_by_method_total{method="GET"} 9
"#;

const OPENMETRICS: &str = r#"# HELP served requests
# TYPE served counter
served_total{code="200"} 3 # {trace_id="abababababababababababababababab"} 1 1700000000.5
# TYPE build info
build_info{version="1.2.3"} 1
# TYPE took_seconds histogram
# UNIT took_seconds seconds
took_seconds_bucket{le="0.5"} 24 # {span_id="cdcdcdcdcdcdcdcd"} 0.25 1700000000.5
took_seconds_bucket{le="+Inf"} 144
took_seconds_sum 53.25
took_seconds_count 144
# TYPE mode stateset
mode{mode="on"} 1
mode{mode="off"} 0
# EOF
"#;

const LEAVES: &[u8] = b"# TYPE leaves gauge\nleaves{a=\"b\"} 1\n";

/// `io.prometheus.client.MetricFamily`, delimited: the gauge `leaves{a="b"} 1`.
const LEAVES_PROTOBUF: &[u8] =
    b"\x1f\x0a\x06leaves\x18\x01\x22\x13\x0a\x06\x0a\x01a\x12\x01b\x12\x09\x09\0\0\0\0\0\0\xf0\x3f";

fn config(target: &Target, receiver: &Receiver, exporter: &str) -> String {
    format!(
        "
receivers:
  prometheus:
    config:
      scrape_configs:
        - job_name: test
          scrape_interval: 1s
          scrape_native_histograms: true
          static_configs: [{{targets: [\"{}\"]}}]
exporters:
  prometheusremotewrite: {{endpoint: {}, add_metric_suffixes: false, disable_scope_info: true{exporter}}}
service:
  pipelines:
    metrics: {{receivers: [prometheus], exporters: [prometheusremotewrite]}}
",
        target.address(),
        receiver.url()
    )
}

/// Where they differ on purpose: the Collector calls an info metric by its family, and knows no address on loopback.
const THEIRS: [(&str, &str); 2] =
    [("build{", "build_info{"), (",server_port=", ",server_address=\"127.0.0.1\",server_port=")];

/// Everything that was ever written, without the times of scrapes, and without the values of what a scrape says of itself.
fn seen(receiver: &Receiver) -> Vec<String> {
    let timeless = |mut series: Series| {
        let own = series.name().starts_with("scrape_");
        series.histograms.iter_mut().for_each(|native| native.time = 0);
        // An exemplar without a time of its own has that of the scrape.
        let of_scrape = series.exemplars.iter_mut().filter(|one| one.time > 1_700_000_000_500);
        of_scrape.for_each(|exemplar| exemplar.time = 0);
        for sample in &mut series.samples {
            sample.time = 0;
            sample.value = if own { 0.0 } else { sample.value };
        }
        lines(&series, 0)
    };
    let all: BTreeSet<String> = receiver.series().into_iter().flat_map(timeless).collect();
    all.into_iter().collect()
}

fn ended(receiver: &Receiver) -> bool {
    seen(receiver).iter().any(|line| line.starts_with("leaves{") && line.ends_with(" stale"))
}

async fn compare(kind: &'static str, leaves: &[u8], page: &[u8], least: usize) {
    let target = Target::start(kind, leaves, page).await;
    let (theirs, ours) = (Receiver::start().await, Receiver::start().await);
    let folder = tempfile::tempdir().unwrap();
    let _collector = collector(&folder, &config(&target, &theirs, ""), 0).await;
    let mut steadyline = Launch::new(&config(&target, &ours, ", send_exemplars: true")).run().await;
    let sees = |receiver: &Receiver| seen(receiver).iter().any(|line| line.starts_with("leaves{"));
    until_true("both to have scraped", async || sees(&theirs) && sees(&ours)).await;
    target.leave();
    until_true("the series to end for both", async || ended(&theirs) && ended(&ours)).await;
    let as_ours = |line: String| THEIRS.iter().fold(line, |line, (theirs, ours)| line.replace(theirs, ours));
    let mut theirs: Vec<String> = seen(&theirs).into_iter().map(as_ours).collect();
    theirs.sort();
    same(&theirs, &seen(&ours));
    assert!(seen(&ours).len() >= least, "{:#?}", seen(&ours));
    steadyline.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the Go Collector, which tests/peers/run.sh builds"]
async fn text_format() {
    let page = [ESCAPES, LEVELS, FAMILIES, COUNTERS].concat();
    compare(TEXT_FORMAT, LEAVES, page.as_bytes(), 24).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the Go Collector, which tests/peers/run.sh builds"]
async fn openmetrics() {
    compare("application/openmetrics-text; version=1.0.0; charset=utf-8", LEAVES, OPENMETRICS.as_bytes(), 14).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the Go Collector, which tests/peers/run.sh builds"]
async fn protobuf_with_native_histograms() {
    const KIND: &str = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
    let seeds = crate::common::tools::root().join("fuzz/seeds/exposition_protobuf");
    let parts = ["classic", "native", "numbers", "summary"].map(|name| std::fs::read(seeds.join(name)).unwrap());
    compare(KIND, LEAVES_PROTOBUF, &parts.concat(), 10).await;
}
