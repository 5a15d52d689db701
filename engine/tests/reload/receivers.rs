//! Receivers that change or go: whose series end.

use crate::rig::*;

#[tokio::test(start_paused = true)]
async fn a_removed_receiver_ends_its_series_a_changed_one_and_a_stop_do_not() {
    let with = |receivers: &str, list: &str| {
        let exporters = "backend: {name: ends}, witness: {name: ends_seen}";
        let pipeline = format!("metrics: {{receivers: [{list}], processors: [latest], exporters: [backend, witness]}}");
        config(receivers, "latest: {}", exporters, &pipeline)
    };
    stage("ends_a").poll_script.lock().unwrap().extend([PollAct::Points("a 1"), PollAct::Points("a 2")]);
    stage("ends_b").poll_script.lock().unwrap().push_back(PollAct::Points("b 1"));
    let polls = |seconds: u32| {
        format!("poll/a: {{name: ends_a, interval: {seconds}s}}, poll/b: {{name: ends_b}}, source: {{name: ends}}")
    };
    let mut rig = Rig::start(&with(&polls(30), "poll/a, poll/b, source")).await;
    until("both polls", || delivered("ends").len() == 2).await;
    rig.reload(&with(&polls(20), "poll/a, poll/b, source")).await;
    until("the changed one polls", || delivered("ends").len() == 3).await;
    assert!(!delivered("ends").iter().any(|line| line.contains("stale")), "{:?}", delivered("ends"));
    let epochs: Vec<u64> = stage("ends_a").polls.lock().unwrap().iter().map(|(epoch, _)| *epoch).collect();
    assert_eq!(epochs[..2], [1, 2], "passes of a source are counted on");
    // Two go: one that polls and one that was told nothing of passes.
    let out = output("ends").await;
    let header = Header { source: "source".into(), ..Header::default() };
    out.send(Batch { header, data: Data::Metrics(testkit::metrics("c 9")) }, Until::Enqueued).await.unwrap();
    let only_b = "poll/b: {name: ends_b}";
    rig.reload(&with(only_b, "poll/b")).await;
    until("the markers", || delivered("ends").iter().filter(|line| line.contains("stale")).count() == 2).await;
    let mut tail = delivered("ends").split_off(4);
    tail.sort();
    assert_eq!(tail, ["a stale", "c stale"]);
    assert!(!rig.shared.board.read().keys().any(|id| id.contains("poll/a")), "it left the board");
    let ends = stage("ends_seen").passes.lock().unwrap().clone();
    assert!(ends.iter().any(|(epoch, end)| *end == PassEnd::Removed && *epoch >= 2), "{ends:?}");
    rig.stop().await;
    assert_eq!(delivered("ends").iter().filter(|line| line.contains("stale")).count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_that_goes_with_its_receiver_ends_the_series_too() {
    let both = config(
        "source: {name: gone}, poll: {name: gone_poll}",
        "latest: {}, halves: {wait: true}",
        "backend: {name: gone}",
        "metrics/a: {receivers: [source], exporters: [backend]}, \
         metrics/b: {receivers: [poll], processors: [latest, halves], exporters: [backend]}",
    );
    let one = config(
        "source: {name: gone}",
        "",
        "backend: {name: gone}",
        "metrics/a: {receivers: [source], exporters: [backend]}",
    );
    stage("gone_poll").poll_script.lock().unwrap().push_back(PollAct::Points("a 1"));
    let mut rig = Rig::start(&both).await;
    let is_held = |shared: &Shared| shared.books.read().iter().any(|a| a.id == "halves" && a.tally.balance().held == 1);
    until("the point is held", || is_held(&rig.shared)).await;
    rig.reload(&one).await;
    // What the processor held back, and the marker behind it.
    until_delivered("gone", &["a 1", "a stale"]).await;
    rig.stop().await;
}
