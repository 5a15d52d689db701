//! What remote write 2.0 asks of a sender beyond `scraping`: metadata and start times with every series, exemplars, bodies
//! that are hard to read, and silence after a refusal.

use rustix::process::Signal;

use crate::common::backend::Backend;
use crate::common::exposition::Labels;
use crate::common::remote_write::Exemplar;
use crate::common::server::Reply;
use crate::common::steadyline::Launch;
use crate::common::wait::until_true;
use crate::scraping::{Target, config, only, watch};

const V2: &str = "protobuf_message: io.prometheus.write.v2.Request";
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

const COUNTER: i32 = 1;
const GAUGE: i32 = 2;
const HISTOGRAM: i32 = 3;

#[tokio::test(flavor = "multi_thread")]
async fn every_series_says_what_it_is_when_it_began_and_where_a_trace_is() {
    let page = "# HELP served requests\n# TYPE served counter\n\
                served_total 3 # {trace_id=\"abc\"} 1 1700000000.5\nserved_created 1700000000.25\n\
                # TYPE took_seconds histogram\n# UNIT took_seconds seconds\n\
                took_seconds_bucket{le=\"0.5\"} 2 # {span_id=\"x\"} 0.25 1700000000.5\n\
                took_seconds_bucket{le=\"+Inf\"} 3\ntook_seconds_sum 4\ntook_seconds_count 3\n\
                # HELP level how high\n# TYPE level gauge\nlevel 1\n# EOF\n";
    let target = Target::of_type(OPENMETRICS, |_| page.into()).await;
    let backend = Backend::willing().await;
    let exporter = format!("{V2}\n    send_exemplars: true");
    watch(&config(&target, &backend, "", &exporter), &target, &backend, 3).await;
    let series = || backend.requests().into_iter().flat_map(|one| one.series);
    let told = |name: &str| {
        let mut all: Vec<(i32, String, String)> = series()
            .filter(|one| one.name() == name)
            .map(|one| (one.metadata.kind, one.metadata.help, one.metadata.unit))
            .collect();
        all.dedup();
        all
    };
    let expected = [
        ("served_total", (COUNTER, "requests", "")),
        ("took_seconds_bucket", (HISTOGRAM, "", "seconds")),
        ("took_seconds_sum", (HISTOGRAM, "", "seconds")),
        ("level", (GAUGE, "how high", "")),
    ];
    for (name, (kind, help, unit)) in expected {
        assert_eq!(told(name), [(kind, help.to_string(), unit.to_string())], "{name}");
    }
    let starts: Vec<i64> = series()
        .filter(|one| one.name() == "served_total")
        .flat_map(|one| one.samples.into_iter().map(|sample| sample.start))
        .collect();
    assert!(!starts.is_empty() && starts.iter().all(|start| *start == 1_700_000_000_250), "{starts:?}");
    for (name, label, value) in
        [("served_total", ("trace_id", "abc"), 1.0), ("took_seconds_bucket", ("span_id", "x"), 0.25)]
    {
        let labels = vec![(label.0.to_string(), label.1.to_string())];
        let wanted = Exemplar { labels, value, time: 1_700_000_000_500 };
        let of_name = series().filter(|one| one.name() == name);
        assert!(of_name.into_iter().any(|one| one.exemplars.contains(&wanted)), "{name}: {wanted:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_and_the_smallest_numbers_arrive_as_they_are() {
    let values = [f64::MAX, f64::MIN, f64::MIN_POSITIVE, -f64::MIN_POSITIVE, 5e-324, f64::INFINITY, -0.0];
    let target = Target::start(move |_| {
        let line = |(n, value): (usize, &f64)| format!("edge{{n=\"{n}\"}} {value:e}\n");
        values.iter().enumerate().map(line).collect::<String>().replace("inf", "+Inf")
    })
    .await;
    let backend = Backend::willing().await;
    let taken = watch(&config(&target, &backend, "", V2), &target, &backend, 3).await;
    for (n, value) in values.iter().enumerate() {
        let is = |labels: &Labels| labels.get("n").is_some_and(|found| *found == n.to_string());
        let (_, samples) = taken.iter().find(|(labels, _)| is(labels)).expect("the series");
        assert!(samples.iter().all(|sample| sample.value.to_bits() == value.to_bits()), "{value:e}: {samples:?}");
    }
}

/// What is hard to read and can be read, and what cannot.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_hard_to_read() {
    let whole: [(&'static str, &'static str, f64); 5] = [
        (TEXT, "good 1", 1.0),
        (TEXT, "# HELP good one\n# HELP good two\n# TYPE good counter\ngood 1\n", 1.0),
        (TEXT, "# TYPE good nonsense\ngood 1\n", 0.0),
        (TEXT, "good 1\nbad this is no value\n", 0.0),
        (OPENMETRICS, "good 1\n", 0.0),
    ];
    for (kind, body, up) in whole {
        let target = Target::of_type(kind, |_| body.into()).await;
        let backend = Backend::willing().await;
        let taken = watch(&config(&target, &backend, "", V2), &target, &backend, 3).await;
        let (_, seen) = only(&taken, "up");
        assert!(seen.iter().all(|sample| sample.value == up), "{body:?}: {seen:?}");
        let good = taken.iter().filter(|(labels, _)| labels["__name__"] == "good").count();
        assert_eq!(good, up as usize, "{body:?}");
    }
}

/// A counter of OpenMetrics without `_total`, and one whose time is the beginning of time.
#[tokio::test(flavor = "multi_thread")]
async fn samples_that_are_unusual_arrive() {
    let target = Target::of_type(OPENMETRICS, |_| "# TYPE odd counter\nodd 5\n# EOF\n".into()).await;
    let backend = Backend::willing().await;
    let taken = watch(&config(&target, &backend, "", V2), &target, &backend, 3).await;
    let (_, odd) = only(&taken, "odd");
    assert!(odd.iter().all(|sample| sample.value == 5.0), "{odd:?}");

    let target = Target::of_type(TEXT, |_| "old 1 0\nnew 2\n".into()).await;
    let backend = Backend::willing().await;
    let taken = watch(&config(&target, &backend, "", V2), &target, &backend, 3).await;
    let (_, old) = only(&taken, "old");
    assert!(old.iter().all(|sample| sample.time == 0), "{old:?}");
    assert!(only(&taken, "new").1.len() >= 2);
}

/// What is refused for good is not sent again, and what comes after it waits for its batch: two requests for eight scrapes.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_followed_by_nothing_but_the_next_batches() {
    let refused = async |status: u16| {
        let target = Target::start(|n| format!("counter {n}\n")).await;
        let backend = Backend::start(move |_| Reply::status(status, "no")).await;
        let config = config(&target, &backend, "", V2).replace("batch:", "batch: {timeout: 5s}");
        let mut steadyline = Launch::new(&config).spawn_like_the_collector();
        until_true("the first refusal", async || !backend.requests().is_empty()).await;
        let scrapes = target.scrapes();
        until_true("eight scrapes more", async || target.scrapes() >= scrapes + 8).await;
        let requests = backend.requests();
        let mut values: Vec<f64> = requests
            .iter()
            .flat_map(|one| one.samples.iter().filter(|sample| sample.labels["__name__"] == "counter"))
            .map(|sample| sample.value)
            .collect();
        let sent = values.len();
        values.dedup();
        assert_eq!(values.len(), sent, "{status}: none of them twice");
        assert!(requests.len() <= 3, "{status}: {} requests", requests.len());
        steadyline.balanced_books().await;
        let (code, _) = steadyline.stop(Signal::INT).await;
        assert_eq!(code.code(), Some(0));
    };
    tokio::join!(refused(400), refused(401), refused(404));
}
