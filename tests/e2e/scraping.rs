//! What a sender of remote write must do in both versions, from the first scrape to SIGINT: the binary is started as the
//! Collector is, scrapes a target of the test, and a backend of the test looks at every request.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::Response;
use rustix::process::Signal;

use crate::common::backend::{Arrived, Backend};
use crate::common::exposition::Labels;
use crate::common::remote_write;
use crate::common::server::{Reply, Server};
use crate::common::steadyline::{Launch, unix_seconds};
use crate::common::wait::until_true;

/// A scrape may take as long, and the machine may be busy.
const INTERVAL: &str = "1s";

/// The version of remote write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    V1,
    V2,
}

const BOTH: [Version; 2] = [Version::V1, Version::V2];

impl Version {
    fn message(self) -> &'static str {
        match self {
            Version::V1 => "prometheus.WriteRequest",
            Version::V2 => "io.prometheus.write.v2.Request",
        }
    }
}

/// A target that counts its scrapes.
pub(crate) struct Target {
    server: Server,
    scrapes: Arc<AtomicUsize>,
}

impl Target {
    /// Answers scrape number `n`, from 0, with a body as plain text without a version, after a blank line.
    pub(crate) async fn start(body: impl Fn(usize) -> String + Send + Sync + 'static) -> Target {
        Self::of_type("text/plain; charset=utf-8", move |n| format!("\n{}", body(n))).await
    }

    /// The same with the body as it is, of a type.
    pub(crate) async fn of_type(kind: &'static str, body: impl Fn(usize) -> String + Send + Sync + 'static) -> Target {
        let scrapes = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&scrapes);
        let server = Server::start(move |_| {
            let mut response = Response::new(body(count.fetch_add(1, Ordering::SeqCst)).into());
            let kind = http::HeaderValue::from_static(kind);
            response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
            async move { Reply::Answer(response) }
        })
        .await;
        Target { server, scrapes }
    }

    pub(crate) fn scrapes(&self) -> usize {
        self.scrapes.load(Ordering::SeqCst)
    }
}

/// With more keys of the job and of the exporter.
pub(crate) fn config(target: &Target, backend: &Backend, job: &str, exporter: &str) -> String {
    format!(
        "
receivers:
  prometheus:
    config:
      scrape_configs:
        - job_name: test
          scrape_interval: {INTERVAL}
          {job}
          static_configs: [{{targets: [\"{}\"]}}]
processors:
  batch:
exporters:
  prometheusremotewrite:
    endpoint: {}
    add_metric_suffixes: false
    timeout: 20s
    {exporter}
service:
  pipelines:
    metrics: {{receivers: [prometheus], processors: [batch], exporters: [prometheusremotewrite]}}
",
        target.server.address,
        backend.url()
    )
}

/// Scrapes until the target was read so often and the backend has something of the last of them, then SIGINT.
async fn observe(
    version: Version,
    target: &Target,
    backend: &Backend,
    job: &str,
    scrapes: usize,
) -> BTreeMap<Labels, Vec<Arrived>> {
    let exporter = format!("protobuf_message: {}", version.message());
    let taken = watch(&config(target, backend, job, &exporter), target, backend, scrapes).await;
    let is_v2 = version == Version::V2;
    assert!(backend.requests().iter().all(|one| remote_write::is_v2(&one.request) == is_v2), "no other version");
    taken
}

/// The same of a config.
pub(crate) async fn watch(
    config: &str,
    target: &Target,
    backend: &Backend,
    scrapes: usize,
) -> BTreeMap<Labels, Vec<Arrived>> {
    let mut steadyline = Launch::new(config).spawn_like_the_collector();
    until_true("scrapes", async || target.scrapes() >= scrapes).await;
    until_true("their delivery", async || backend.taken().values().any(|series| series.len() + 1 >= scrapes)).await;
    steadyline.balanced_books().await;
    let (status, last) = steadyline.stop(Signal::INT).await;
    assert_eq!(status.code(), Some(0), "SIGINT flushes and ends with 0");
    assert_eq!(last["abandoned"], 0, "{last}");
    let words = steadyline.process.stderr().join("\n");
    assert!(!words.contains("panicked"), "{words}");
    backend.taken()
}

pub(crate) fn named(taken: &BTreeMap<Labels, Vec<Arrived>>, name: &str) -> Vec<(Labels, Vec<Arrived>)> {
    let is = |labels: &Labels| labels.get("__name__").is_some_and(|found| found == name);
    taken.iter().filter(|(labels, _)| is(labels)).map(|(labels, series)| (labels.clone(), series.clone())).collect()
}

pub(crate) fn only(taken: &BTreeMap<Labels, Vec<Arrived>>, name: &str) -> (Labels, Vec<Arrived>) {
    let mut found = named(taken, name);
    assert_eq!(found.len(), 1, "one series of {name}: {:?}", taken.keys().collect::<Vec<_>>());
    found.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_scrape_arrives_once_and_in_order_from_the_first_with_the_right_headers() {
    for version in BOTH {
        let target = Target::start(|n| {
            format!("# TYPE counter counter\ncounter {n}\n# TYPE gauge gauge\ngauge {:.0}\n", unix_seconds() * 1000.0)
        })
        .await;
        let backend = Backend::willing().await;
        let began = unix_seconds() * 1000.0;
        let taken = observe(version, &target, &backend, "", 5).await;
        let ended = unix_seconds() * 1000.0;
        let (labels, counter) = only(&taken, "counter");
        let values: Vec<f64> = counter.iter().map(|sample| sample.value).collect();
        let expected: Vec<f64> = (0..values.len()).map(|n| n as f64).collect();
        assert_eq!(values, expected, "each scrape once, in order, none left out");
        assert!(values.len() >= 4);
        assert_eq!(labels["job"], "test");
        for sample in &only(&taken, "gauge").1 {
            assert!((sample.value - sample.time as f64).abs() < sample.value * 0.01);
            assert!((began..=ended).contains(&(sample.time as f64)));
        }
        for request in backend.requests() {
            let header = |name: &str| request.request.headers()[name].to_str().unwrap().to_owned();
            assert_eq!(header("content-encoding"), "snappy");
            let (kind, number) = match version {
                Version::V1 => ("application/x-protobuf", "0.1.0"),
                Version::V2 => (remote_write::V2, "2.0.0"),
            };
            assert_eq!(header("content-type"), kind);
            assert_eq!(header("x-prometheus-remote-write-version"), number);
            assert!(header("user-agent").starts_with("steadyline/"));
        }
        let instance = target.server.address.to_string();
        for labels in taken.keys() {
            assert_eq!(
                (labels["instance"].as_str(), labels["job"].as_str()),
                (instance.as_str(), "test"),
                "{labels:?}"
            );
        }
        let (_, up) = only(&taken, "up");
        assert!(!up.is_empty() && up.iter().all(|sample| sample.value == 1.0));
        // The stream as a whole never goes back in time.
        let times: Vec<i64> = backend.requests().iter().flat_map(|one| one.samples.iter().map(|s| s.time)).collect();
        let mut newest = BTreeMap::new();
        for sample in backend.requests().into_iter().flat_map(|one| one.samples) {
            let last = newest.insert(sample.labels, sample.time);
            assert!(last.is_none_or(|last| last < sample.time), "time goes on in every series");
        }
        assert!(!times.is_empty() && taken.values().flatten().all(|sample| !sample.is_stale()), "a stop ends no line");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn distributions_arrive_whole_and_under_their_own_names() {
    for version in BOTH {
        let target = Target::start(|_| {
            "# TYPE histogram histogram\n\
             histogram_bucket{le=\"1\"} 4\nhistogram_bucket{le=\"2\"} 5\nhistogram_bucket{le=\"+Inf\"} 6\n\
             histogram_sum 45\nhistogram_count 6\n\
             # TYPE summary summary\n\
             summary{quantile=\"0.5\"} 2.0\nsummary{quantile=\"0.9\"} 6.0\nsummary{quantile=\"0.99\"} 9.5\n\
             summary_sum 45\nsummary_count 10\n"
                .into()
        })
        .await;
        let backend = Backend::willing().await;
        let taken = observe(version, &target, &backend, "", 5).await;
        let bounds = |name: &str, label: &str| -> Vec<(String, f64, usize)> {
            let series = named(&taken, name);
            series.into_iter().map(|(labels, s)| (labels[label].clone(), s[0].value, s.len())).collect()
        };
        let count = only(&taken, "histogram_count").1.len();
        let mut buckets = bounds("histogram_bucket", "le");
        buckets.sort_by(|a, b| a.1.total_cmp(&b.1));
        let expected = [("1", 4.0), ("2", 5.0), ("+Inf", 6.0)].map(|(le, value)| (le.to_string(), value, count));
        assert_eq!(buckets, expected, "an equal number of samples of each");
        assert_eq!(only(&taken, "histogram_sum").1.len(), count);
        let mut quantiles = bounds("summary", "quantile");
        quantiles.sort_by(|a, b| a.0.cmp(&b.0));
        let expected = [("0.5", 2.0), ("0.9", 6.0), ("0.99", 9.5)].map(|(q, value)| (q.to_string(), value, count));
        assert_eq!(quantiles, expected);
        assert_eq!((only(&taken, "summary_sum").1.len(), only(&taken, "summary_count").1.len()), (count, count));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_arrive_sorted_without_empty_ones_and_the_targets_win_over_exposed_ones() {
    for version in BOTH {
        let target = Target::start(|_| {
            "test{c=\"3\",b=\"2\",a=\"1\"} 1\nempty{a=\"\",b=\"x\"} 1\nclash{job=\"original\",instance=\"mine\"} 1\n"
                .into()
        })
        .await;
        let backend = Backend::willing().await;
        // That labels are sorted, and none is twice, the backend looks at in every series.
        let taken = observe(version, &target, &backend, "", 3).await;
        let plain = |name: &str| {
            let mut labels = only(&taken, name).0;
            labels.retain(|name, _| !["job", "instance", "__name__"].contains(&name.as_str()));
            labels.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",")
        };
        assert_eq!(plain("test"), "a=1,b=2,c=3");
        assert_eq!(plain("empty"), "b=x");
        assert_eq!(plain("clash"), "exported_instance=mine,exported_job=original");
        assert!(taken.keys().all(|labels| labels.values().all(|value| !value.is_empty())));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn honored_labels_stay() {
    for version in BOTH {
        let target = Target::start(|_| "clash{job=\"original\",instance=\"mine\"} 1\n".into()).await;
        let backend = Backend::willing().await;
        let taken = observe(version, &target, &backend, "honor_labels: true", 3).await;
        let (labels, _) = only(&taken, "clash");
        assert_eq!((labels["job"].as_str(), labels["instance"].as_str()), ("original", "mine"), "{labels:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_cannot_be_read_is_a_failed_scrape_of_which_nothing_is_kept() {
    for version in BOTH {
        let bodies =
            ["this is not valid\n", "good 1\nrepeated{a=\"1\",a=\"1\"} 1\n", "good 1\n{label=\"value\"} 1.0\n"];
        for body in bodies {
            let target = Target::start(|_| body.into()).await;
            let backend = Backend::willing().await;
            let taken = observe(version, &target, &backend, "", 4).await;
            let (_, up) = only(&taken, "up");
            assert!(up.iter().all(|sample| sample.value == 0.0), "{body}");
            for name in ["good", "repeated", "this"] {
                assert!(named(&taken, name).is_empty(), "{body}");
            }
            assert!(taken.keys().all(|labels| labels.contains_key("__name__")), "{body}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_series_that_is_gone_from_a_scrape_ends_with_one_marker() {
    for version in BOTH {
        let target = Target::start(|n| if n == 0 { "stays 1\nleaves 1\n".into() } else { "stays 1\n".into() }).await;
        let backend = Backend::willing().await;
        let taken = observe(version, &target, &backend, "", 5).await;
        let (_, leaves) = only(&taken, "leaves");
        assert_eq!(leaves.len(), 2, "{leaves:?}");
        assert!(!leaves[0].is_stale() && leaves[1].is_stale());
        assert!(only(&taken, "stays").1.iter().all(|sample| !sample.is_stale()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_500_is_tried_again_and_a_400_is_not() {
    for version in BOTH {
        for (status, arrives) in [(500, true), (400, false)] {
            let target = Target::start(|n| format!("counter {n}\n")).await;
            let backend = Backend::start(move |n| Reply::status(if n == 0 { status } else { 204 }, "")).await;
            let taken = observe(version, &target, &backend, "", 5).await;
            let (_, counter) = only(&taken, "counter");
            assert_eq!(counter[0].value == 0.0, arrives, "{status}: {counter:?}");
            let refused = &backend.requests()[0].samples;
            assert!(refused.iter().any(|sample| sample.value == 0.0), "the first request has the first scrape");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_receiver_sees_no_sample_twice_and_none_out_of_order() {
    for version in BOTH {
        let body: String = (0..1000).map(|n| format!("gauge{{n=\"{n}\"}} 1.0\n")).collect();
        let target = Target::start(move |_| body.clone()).await;
        // The next request of the shard has to wait, however long this one takes.
        let backend = Backend::start(|n| {
            let mut taken = Response::new(bytes::Bytes::new());
            *taken.status_mut() = http::StatusCode::NO_CONTENT;
            Reply::Late(Duration::from_millis(700 * (n as u64 % 4)), taken)
        })
        .await;
        let taken = observe(version, &target, &backend, "", 5).await;
        let series = named(&taken, "gauge");
        assert_eq!(series.len(), 1000);
        for (labels, samples) in series {
            let times: Vec<i64> = samples.iter().map(|sample| sample.time).collect();
            assert!(times.is_sorted_by(|a, b| a < b), "{labels:?}: {times:?}");
            assert!(samples.iter().all(|sample| sample.value == 1.0));
        }
    }
}
