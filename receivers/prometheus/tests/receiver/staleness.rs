//! What is marked as ended, when, and what is not.

use steadyline_component::telemetry::Metrics;
use steadyline_http::testkit::{Backend, Reply};

use crate::common::{INTERVAL, Rig, exposed, job, lines, metrics_of, target};

/// Answers 200 with a body, or 500 where there is none.
async fn moody(bodies: &[Option<&str>]) -> Backend {
    let bodies: Vec<Option<String>> = bodies.iter().map(|body| body.map(str::to_string)).collect();
    Backend::start(move |_, number| match &bodies[number.min(bodies.len() - 1)] {
        Some(body) => Reply::status(200, body).with("content-type", "text/plain"),
        None => Reply::status(500, "out of order"),
    })
    .await
}

#[tokio::test]
async fn a_scrape_that_fails_ends_everything_once_and_a_good_one_begins_anew() {
    let backend = moody(&[Some("a 1\nb{x=\"y\"} 2\n"), None, None, Some("a 3\n")]).await;
    let rig = Rig::start(&job(&backend, "")).await;
    rig.scrape().await;
    let lines = rig.scrape().await;
    assert_eq!(lines[1..], ["a stale", "b{x=\"y\"} stale", "up 0"]);
    assert_eq!(rig.scrape().await[1..], ["up 0"]);
    assert_eq!(rig.scrape().await[1..], ["a 3", "up 1"]);
}

#[tokio::test]
async fn a_receiver_that_a_reload_takes_away_ends_its_series_and_a_stop_does_not() {
    for is_removed in [true, false] {
        let backend = target(&["a 1\nb 2\n"]).await;
        let rig = Rig::start(&job(&backend, "")).await;
        rig.scrape().await;
        let intake = if is_removed { rig.remove().await } else { rig.stop().await };
        let ended = intake.take().into_iter().flat_map(|batch| lines(&metrics_of(batch)));
        let ended: Vec<String> = ended.filter(|line| !line.starts_with("resource")).collect();
        match is_removed {
            true => assert_eq!(ended[..3], ["a stale", "b stale", "up stale"], "{ended:?}"),
            false => assert_eq!(ended, [""; 0]),
        }
    }
}

#[tokio::test]
async fn half_a_body_counts_for_nothing() {
    let backend = target(&["a 1\nb 2\n", "b 3\nc 4\nd{ 5\n", "b 6\n"]).await;
    let rig = Rig::start(&job(&backend, "")).await;
    rig.scrape().await;
    assert_eq!(rig.scrape().await[1..], ["a stale", "b stale", "up 0"]);
    assert_eq!(rig.scrape().await[1..], ["b 6", "up 1"]);
}

#[tokio::test]
async fn series_with_times_of_their_own_are_marked_only_if_asked_for() {
    for (keys, expected) in [
        ("", vec!["a 1"]),
        ("track_timestamps_staleness: true", vec!["a 1", "b stale"]),
        ("honor_timestamps: false", vec!["a 1", "b stale"]),
    ] {
        let backend = target(&["a 1\nb 2 1600000000000\n", "a 1\n"]).await;
        let rig = Rig::start(&job(&backend, keys)).await;
        let first = rig.scrape_whole().await;
        let at = first.tables().points[1].time;
        assert_eq!(at == 1_600_000_000_000_000_000, keys != "honor_timestamps: false");
        assert_eq!(exposed(&rig.scrape_whole().await), expected, "{keys}");
    }
}

#[tokio::test]
async fn a_histogram_that_ends_names_its_buckets() {
    let whole = "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n";
    let backend = target(&[whole, "other 1\n"]).await;
    let rig = Rig::start(&job(&backend, "")).await;
    rig.scrape().await;
    let metrics = rig.scrape_whole().await;
    let stale: Vec<_> = metrics.tables().points.iter().filter(|point| point.is_no_value()).collect();
    assert_eq!(stale.len(), 1);
    let view = steadyline_component::telemetry::metrics::HistogramView::new(metrics.bytes(stale[0].body));
    assert_eq!(view.bounds().collect::<Vec<_>>(), [1.0]);
    assert_eq!(view.bucket_counts().collect::<Vec<_>>(), [0, 0]);
}

#[tokio::test]
async fn a_bucket_that_ends_ends_alone() {
    let two = "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n";
    let one = "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n";
    let backend = target(&[two, one]).await;
    let rig = Rig::start(&job(&backend, "")).await;
    rig.scrape().await;
    let lines = exposed(&rig.scrape_whole().await);
    assert!(lines[0].starts_with("histogram h body("), "{lines:?}");
    assert_eq!(lines[1..], ["h_bucket{le=\"1\"} stale"]);
}

#[tokio::test]
async fn labels_in_another_order_are_the_same_series() {
    let backend =
        target(&["a{x=\"1\",y=\"2\"} 1\n", "a{y=\"2\", x=\"1\"} 2\n", "a{y=\"2\",x=\"1\"} 3\na{x=\"1\",y=\"2\"} 4\n"])
            .await;
    let rig = Rig::start(&job(&backend, "")).await;
    rig.scrape().await;
    assert_eq!(exposed(&rig.scrape_whole().await), ["a{x=\"1\",y=\"2\"} 2"]);
    // And twice in one body, it is there once.
    assert_eq!(exposed(&rig.scrape_whole().await), ["a{x=\"1\",y=\"2\"} 3"]);
    assert_eq!(rig.count("prometheus_samples_duplicate"), 1.0);
}

fn listed(folder: &std::path::Path, targets: &[&Backend]) {
    let list: Vec<String> = targets.iter().map(|target| format!("\"{}\"", target.address)).collect();
    // In one step, as whoever writes such files should.
    let new = folder.join("new");
    std::fs::write(&new, format!("[{{\"targets\": [{}]}}]", list.join(","))).unwrap();
    std::fs::rename(new, folder.join("targets.json")).unwrap();
}

fn by_file(folder: &std::path::Path) -> String {
    format!(
        "config:\n  scrape_configs:\n    - job_name: test\n      scrape_interval: 10s\n      file_sd_configs: [{{files: [\"{}/*.json\"]}}]\n",
        folder.display()
    )
}

/// The scrapes of one target, told by its address in the resource.
fn of<'b>(came: &'b [Metrics], backend: &Backend) -> Vec<&'b Metrics> {
    came.iter().filter(|metrics| lines(metrics)[0].contains(&backend.address.to_string())).collect()
}

#[tokio::test]
async fn a_target_that_goes_is_marked_at_the_scrape_it_missed_and_the_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let (goes, stays) = (target(&["a 1\n"]).await, target(&["b 1\n"]).await);
    listed(folder.path(), &[&goes, &stays]);
    let rig = Rig::start(&by_file(folder.path())).await;
    let mut came = rig.step(INTERVAL).await;
    assert_eq!(came.len(), 2);

    listed(folder.path(), &[&stays]);
    came.extend(rig.step_until(INTERVAL / 10, |lines| lines[1] == "a stale").await);
    let (end, good): (Vec<&Metrics>, Vec<&Metrics>) =
        of(&came, &goes).into_iter().partition(|metrics| lines(metrics)[1] == "a stale");
    assert_eq!(lines(end[0])[1..], ["a stale", "up stale"]);
    assert_eq!(good.len(), goes.requests().len(), "every scrape counted");
    let (scraped, marked) = (good.last().unwrap().tables().points[0].time, end[0].tables().points[0].time);
    let interval = INTERVAL.as_nanos() as u64;
    assert!(end[0].tables().points.iter().all(|point| point.time == marked));
    assert!(marked > scraped && marked <= scraped + interval, "{marked} {scraped}");
    let now = rig.clock.now().unix_nanos;
    assert!(now >= marked + interval + interval / 10, "{now} {marked}");
    came.extend(rig.step(INTERVAL).await);
    assert!(of(&came, &stays).len() >= 3);
    assert!(of(&came, &stays).iter().all(|metrics| lines(metrics)[1..] == ["b 1", "up 1"]));
}

#[tokio::test]
async fn a_target_that_comes_back_in_time_is_not_marked() {
    let folder = tempfile::tempdir().unwrap();
    let backend = target(&["a 1\n"]).await;
    listed(folder.path(), &[&backend]);
    let rig = Rig::start(&by_file(folder.path())).await;
    let mut came = rig.step(INTERVAL).await;
    listed(folder.path(), &[]);
    while rig.count("prometheus_targets") > 0.0 {
        came.extend(rig.step(INTERVAL / 10).await);
    }
    listed(folder.path(), &[&backend]);
    let before = came.len();
    while came.len() < before + 3 {
        came.extend(rig.step(INTERVAL / 10).await);
        assert!(rig.clock.now().mono < INTERVAL * 20, "it is not scraped again");
    }
    assert!(came.iter().all(|metrics| lines(metrics)[1..] == ["a 1", "up 1"]));
}

#[tokio::test]
async fn a_target_with_ever_new_series_is_forgotten_in_time_and_no_end_is_missed() {
    let bodies: Vec<String> = (0..6)
        .map(|turn| (0..6000).map(|n| format!("a{{turn=\"{turn}\",n=\"{n}\"}} 1\n")).collect::<String>() + "steady 1\n")
        .collect();
    let backend = target(&bodies.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let rig = Rig::start(&job(&backend, "")).await;
    for turn in 0..6 {
        let came = rig.step(INTERVAL).await;
        let points: Vec<_> = came.iter().flat_map(|metrics| &metrics.tables().points).collect();
        let stale = points.iter().filter(|point| point.is_no_value()).count();
        assert_eq!(stale, if turn == 0 { 0 } else { 6000 }, "turn {turn}");
        assert_eq!(points.len() - stale, 6001 + 5, "turn {turn}");
        assert!(came.iter().all(|metrics| metrics.points() <= 10_005));
    }
}
