//! What a sender must do with what it scrapes, case by case, as far as the receiver has a part in it.

use steadyline_component::telemetry::metrics::{HistogramView, SummaryView};

use crate::common::{Rig, exposed, job, target};

const COUNTER: &str = "\n# HELP counter a counter\n# TYPE counter counter\ncounter 0\n";

#[tokio::test]
async fn each_scrape_of_a_counter_arrives_once_and_in_order() {
    let bodies: Vec<String> = (0..4).map(|n| format!("\n# TYPE counter counter\ncounter {n}\n")).collect();
    let backend = target(&bodies.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let rig = Rig::start(&job(&backend, "")).await;
    for n in 0..4 {
        let lines = rig.scrape().await;
        assert_eq!(lines[1], format!("counter counter {n}"), "{lines:?}");
    }
}

#[tokio::test]
async fn resource_and_report_say_which_target_it_was() {
    let backend = target(&[COUNTER]).await;
    let rig = Rig::start(&job(&backend, "")).await;
    let lines = rig.scrape().await;
    let (address, port) = (backend.address, backend.address.port());
    assert_eq!(
        lines,
        [
            format!(
                "resource{{server.address=\"127.0.0.1\",server.port=\"{port}\",service.instance.id=\"{address}\",service.name=\"test\",url.scheme=\"http\"}}"
            ),
            "counter counter 0".into(),
            "up 1".into(),
        ]
    );
}

#[tokio::test]
async fn histograms_and_summaries_are_put_together() {
    let body = "\n# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"2\"} 3\nh_bucket{le=\"+Inf\"} 5\nh_sum 7.5\nh_count 5\n\
                # TYPE s summary\ns{quantile=\"0.5\"} 1\ns{quantile=\"0.9\"} 2\ns{quantile=\"0.99\"} 3\ns_sum 10\ns_count 4\n";
    let backend = target(&[body]).await;
    let rig = Rig::start(&job(&backend, "")).await;
    let metrics = rig.scrape_whole().await;
    let tables = metrics.tables();
    let bodies: Vec<_> = tables.points[..2].iter().map(|point| metrics.bytes(point.body)).collect();
    let histogram = HistogramView::new(bodies[0]);
    assert_eq!((histogram.count, histogram.sum), (5, Some(7.5)));
    assert_eq!(histogram.bounds().collect::<Vec<_>>(), [1.0, 2.0]);
    assert_eq!(histogram.bucket_counts().collect::<Vec<_>>(), [2, 1, 2]);
    let summary = SummaryView::new(bodies[1]);
    assert_eq!((summary.count, summary.sum), (4, 10.0));
    assert_eq!(summary.quantiles().collect::<Vec<_>>(), [(0.5, 1.0), (0.9, 2.0), (0.99, 3.0)]);
    let names: Vec<_> = tables.metrics[..2].iter().map(|metric| metrics.text(metric.name)).collect();
    assert_eq!(names, ["h", "s"]);
}

#[tokio::test]
async fn a_body_that_is_wrong_counts_for_nothing() {
    for body in ["\nnot a metric at all {\n", "\na{a=\"1\",a=\"1\"} 1\n", "\n{label=\"value\"} 1.0\n", "good 1\nbad{\n"]
    {
        let backend = target(&[body]).await;
        let rig = Rig::start(&job(&backend, "")).await;
        let lines = rig.scrape().await;
        assert_eq!(lines[1..], ["up 0"], "{body}: {lines:?}");
        assert_eq!(rig.count("prometheus_scrapes_failed"), 1.0);
    }
}

#[tokio::test]
async fn labels_arrive_sorted_and_empty_ones_not_at_all() {
    let backend = target(&["\nt{z=\"1\",b=\"2\",a=\"\"} 1\n"]).await;
    let rig = Rig::start(&job(&backend, "")).await;
    assert_eq!(exposed(&rig.scrape_whole().await), ["t{b=\"2\",z=\"1\"} 1"]);
}

#[tokio::test]
async fn exposed_labels_give_way_unless_they_are_honoured() {
    let body = "\nt{instance=\"x\",job=\"y\"} 1\n";
    let backend = target(&[body]).await;
    let rig = Rig::start(&job(&backend, "")).await;
    let lines = exposed(&rig.scrape_whole().await);
    assert_eq!(lines, ["t{exported_instance=\"x\",exported_job=\"y\"} 1"]);

    let rig = Rig::start(&job(&backend, "honor_labels: true")).await;
    let lines = rig.scrape().await;
    assert!(lines[0].contains("service.instance.id=\"x\"") && lines[0].contains("service.name=\"y\""), "{lines:?}");
    assert_eq!(lines[1], "t 1");
    assert!(lines[2].contains("service.name=\"test\""), "{lines:?}");
    assert_eq!(lines[3], "up 1");
}

#[tokio::test]
async fn a_series_that_vanishes_is_marked_once() {
    let backend = target(&["\na 1\nb 2\n", "\na 1\n"]).await;
    let rig = Rig::start(&job(&backend, "")).await;
    assert_eq!(exposed(&rig.scrape_whole().await), ["a 1", "b 2"]);
    assert_eq!(exposed(&rig.scrape_whole().await), ["a 1", "b stale"]);
    assert_eq!(exposed(&rig.scrape_whole().await), ["a 1"]);
}

#[tokio::test]
async fn nothing_is_marked_at_the_end() {
    let backend = target(&["\na 1\n"]).await;
    let rig = Rig::start(&job(&backend, "")).await;
    rig.scrape().await;
    assert!(rig.stop().await.take().is_empty());
}

#[tokio::test]
async fn a_sample_has_the_time_of_its_scrape() {
    let backend = target(&["\ng 1\n"]).await;
    let rig = Rig::start(&job(&backend, "")).await;
    for _ in 0..3 {
        let metrics = rig.scrape_whole().await;
        // The clock stands still while the target answers.
        let now = rig.clock.now().unix_nanos;
        assert!(metrics.tables().points.iter().all(|point| point.time == now));
    }
}

#[tokio::test]
async fn a_thousand_series_rise_in_time_and_none_is_doubled() {
    let body: String = (0..1000).map(|n| format!("g{{n=\"{n}\"}} 1\n")).collect();
    let backend = target(&[&body]).await;
    let rig = Rig::start(&job(&backend, "")).await;
    let mut last = 0;
    for _ in 0..5 {
        let metrics = rig.scrape_whole().await;
        let lines: std::collections::BTreeSet<String> = exposed(&metrics).into_iter().collect();
        assert_eq!(lines.len(), 1000);
        assert_eq!(metrics.points(), 1005);
        let times: std::collections::BTreeSet<u64> = metrics.tables().points.iter().map(|point| point.time).collect();
        assert!(times.len() == 1 && times.first() > Some(&last));
        last = times.first().copied().unwrap();
    }
}
