//! What the Go Collector and Steadyline write alike: fed by an application with OpenTelemetry's SDK and by hand, series by
//! series, label by label, value by value.

use std::process::Command;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;

use crate::common::process::output;
use crate::common::remote_write::Series;
use crate::common::steadyline::Launch;
use crate::common::tools::{python, script};
use crate::common::wait::free_port;
use crate::data::{
    CUMULATIVE, DELTA, SECOND, buckets, distributions, edges, exponential, gauge, histogram, metric, now, number,
    request, shop, spread, sum,
};
use crate::pair::{Pair, Side, collector};
use crate::receiver::sorted;

/// Panics with what only one of them has.
pub fn same(theirs: &[String], ours: &[String]) {
    let only = |a: &[String], b: &[String]| {
        a.iter().filter(|line| !b.contains(line)).map(|line| format!("  {line}\n")).collect::<String>()
    };
    let (missing, more) = (only(theirs, ours), only(ours, theirs));
    assert!(missing.is_empty() && more.is_empty(), "only theirs:\n{missing}only ours:\n{more}");
}

async fn both(pair: &Pair, request: &ExportMetricsServiceRequest) -> (Vec<Series>, Vec<Series>) {
    let (their_status, theirs) = pair.theirs.post(request).await;
    let (our_status, ours) = pair.ours.post(request).await;
    assert_eq!((their_status, our_status), (200, 200));
    (theirs, ours)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the Go Collector, which tests/peers/run.sh builds"]
async fn names_labels_and_values_at_the_edges_of_the_rules() {
    let mut pair = Pair::start("external_labels: {zone: eu}", "").await;
    let now = now();
    let (theirs, ours) = both(&pair, &edges(now)).await;
    let ms = (now / 1_000_000) as i64;
    same(&sorted(&theirs, ms), &sorted(&ours, ms));
    assert!(ours.len() > 45, "{}", ours.len());
    pair.steadyline.finish().await;
}

/// The application has traces and logs as well, which nobody takes here: how it ends says nothing. Its times are its own.
async fn send(side: &Side) -> Vec<String> {
    let endpoint = format!("127.0.0.1:{}", side.grpc);
    let mut command = Command::new(python());
    let _ = output(command.arg(script("otlp_sender.py")).args(["grpc", &endpoint, "gzip"]), None).await;
    let mut series = side.receiver.series();
    let timeless = series.iter_mut().map(|series| {
        series.samples.iter_mut().for_each(|sample| sample.time = 0);
        series.histograms.iter_mut().for_each(|native| native.time = 0);
        &*series
    });
    let mut lines = sorted(timeless, 0);
    lines.sort();
    lines.dedup();
    lines
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the Go Collector, which tests/peers/run.sh builds"]
async fn what_an_application_sends() {
    let mut pair = Pair::start("external_labels: {zone: eu}", "").await;
    let (theirs, ours) = (send(&pair.theirs).await, send(&pair.ours).await);
    same(&theirs, &ours);
    assert!(ours.len() > 10, "{ours:?}");
    pair.steadyline.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the Go Collector, which tests/peers/run.sh builds"]
async fn native_histograms_and_exemplars() {
    let mut pair = Pair::start("", "send_exemplars: true").await;
    let now = now();
    let (mut theirs, ours) = both(&pair, &request(shop(), Default::default(), distributions(now))).await;
    let ms = (now / 1_000_000) as i64;
    // Ours are sorted, as other labels are.
    theirs.iter_mut().flat_map(|series| &mut series.exemplars).for_each(|exemplar| exemplar.labels.sort());
    same(&sorted(&theirs, ms), &sorted(&ours, ms));
    let natives = ours.iter().filter(|series| !series.histograms.is_empty()).count();
    let exemplars: usize = ours.iter().map(|series| series.exemplars.len()).sum();
    assert_eq!((natives, exemplars), (5, 4));
    pair.steadyline.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the Go Collector, which tests/peers/run.sh builds"]
async fn metadata() {
    let mut pair = Pair::start("send_metadata: true", "").await;
    let now = now();
    let mut all = edges(now);
    all.resource_metrics[0].scope_metrics[0].metrics.extend(distributions(now));
    both(&pair, &all).await;
    let told = |side: &Side| {
        let mut families: Vec<String> = side.receiver.families().into_iter().map(|one| format!("{one:?}")).collect();
        families.sort();
        families
    };
    let (theirs, mut ours) = (told(&pair.theirs), told(&pair.ours));
    // Only ours says what that series is, which both write.
    let known = ours.len();
    ours.retain(|family| !family.contains("target_info"));
    assert_eq!(ours.len() + 1, known);
    same(&theirs, &ours);
    assert!(told(&pair.ours).len() > 40);
    pair.steadyline.finish().await;
}

/// Neither writes deltas; only ours says so, and counts them.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the Go Collector, which tests/peers/run.sh builds"]
async fn deltas_are_not_written() {
    let mut pair = Pair::start("", "").await;
    let now = now();
    let metrics = vec![
        metric("delta", "", sum(number(3.0, now), DELTA, true)),
        metric("delta_histogram", "", histogram(buckets(now), DELTA)),
        metric("delta_spread", "", exponential(spread(0, 0, &[1], now), DELTA)),
        metric("level", "", gauge(vec![number(1.0, now)])),
        metric("total", "", sum(number(1.0, now - SECOND), CUMULATIVE, false)),
    ];
    let (theirs, ours) = both(&pair, &request(Vec::new(), Default::default(), metrics)).await;
    let ms = (now / 1_000_000) as i64;
    same(&sorted(&theirs, ms), &sorted(&ours, ms));
    assert_eq!(ours.len(), 2);
    let account = pair.steadyline.finish().await.of("exporter", "prometheusremotewrite");
    assert_eq!(account.dropped.get("delta"), Some(&3.0), "each counted: {account:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the Go Collector, which tests/peers/run.sh builds"]
async fn an_endpoint_that_is_none_is_an_error_only_here() {
    let port = free_port();
    let config = format!(
        "
receivers: {{otlp: {{protocols: {{http: {{endpoint: \"127.0.0.1:{port}\"}}}}}}}}
exporters: {{prometheusremotewrite: {{endpoint: \"invalid://localhost:9999\"}}}}
service:
  pipelines: {{metrics: {{receivers: [otlp], exporters: [prometheusremotewrite]}}}}
"
    );
    let folder = tempfile::tempdir().unwrap();
    // It listens: it runs.
    let _runs = collector(&folder, &config, port).await;
    let (code, _, words) = Launch::new(&config).output(&["validate"]).await;
    assert!(code != 0 && words.contains("the scheme `invalid` is not supported"), "{code} {words}");
}
