//! What goes on through a reload, and how data flows meanwhile.

use crate::rig::*;

#[tokio::test(start_paused = true)]
async fn what_did_not_change_goes_on_with_its_state() {
    let mut rig = Rig::start(&simple("state", "latest: {}, halves: {}", "latest, halves", "")).await;
    let out = output("state").await;
    send(&out, "a 1\nb 2", Until::Enqueued).await.unwrap();
    // Nothing changed; then the other processor did, then the exporter, then a new one stands before all.
    let all = rig.reload(&simple("state", "latest: {}, halves: {}", "latest, halves", "")).await;
    assert_eq!(all, Changes { kept: 4, begun: 0, ended: 0 });
    let one = rig.reload(&simple("state", "latest: {}, halves: {name: x}", "latest, halves", "")).await;
    assert_eq!(one, Changes { kept: 3, begun: 1, ended: 1 });
    let one =
        rig.reload(&simple("state", "latest: {}, halves: {name: x}", "latest, halves", ", max_elapsed: 9m")).await;
    assert_eq!(one, Changes { kept: 3, begun: 1, ended: 1 });
    let processors = "latest: {}, halves: {name: x}, halves/2: {}";
    rig.reload(&simple("state", processors, "halves/2, latest, halves", ", max_elapsed: 9m")).await;
    send(&out, "recall 1", Until::Enqueued).await.unwrap();
    until_delivered("state", &["a 1", "b 2", "a 1", "b 2", "recall 1"]).await;
    assert_eq!(stage("state").outputs.lock().unwrap().len(), 1, "the source was never stopped");
    // Another id, and the state is another's.
    rig.reload(&simple("state", "latest/other: {}", "latest/other", "")).await;
    send(&out, "recall 2", Until::Enqueued).await.unwrap();
    until("the recall", || delivered("state").last().is_some_and(|last| last == "recall 2")).await;
    assert_eq!(delivered("state").len(), 6);
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn connectors_lead_to_what_stands_behind_them_now() {
    let with = |halves: &str, list: &str| {
        config(
            "source: {name: joints}",
            &format!("halves: {{wait: true{halves}}}, latest: {{}}"),
            "backend: {name: joints}, backend/2: {name: joints_2}",
            &format!(
                "metrics/in: {{receivers: [source], processors: [latest, halves], exporters: [join]}}, \
                 metrics/out: {{receivers: [join], exporters: [{list}]}}"
            ),
        )
    };
    let mut rig = Rig::start(&with("", "backend")).await;
    let out = output("joints").await;
    send(&out, "a 1\nb 2", Until::Enqueued).await.unwrap();
    // The processor that holds them goes: they take the old way. What comes then takes the new one.
    rig.reload(&with(", name: x", "backend/2")).await;
    until_delivered("joints", &["a 1", "b 2"]).await;
    send(&out, "recall 1", Until::Enqueued).await.unwrap();
    rig.stop().await;
    assert_eq!(delivered("joints_2"), ["a 1", "b 2", "recall 1"]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_and_nothing_overtakes_through_many_reloads() {
    let variants = [
        simple("storm", "", "", ""),
        simple("storm", "halves: {}", "halves", ""),
        simple("storm", "halves: {}, latest: {}", "latest, halves", ", multiplier: 3"),
        simple("storm", "halves: {name: x}, latest: {}", "halves, latest", ", multiplier: 4"),
        config(
            "source: {name: storm}",
            "halves: {}",
            "backend: {name: storm}, backend/2: {name: storm_2}",
            "metrics: {receivers: [source], processors: [halves], exporters: [join]}, \
             metrics/2: {receivers: [join], exporters: [backend, backend/2]}",
        ),
    ];
    let mut rig = Rig::start(&variants[0]).await;
    let (out, backend) = (output("storm").await, stage("storm"));
    let feeding = tokio::spawn(async move {
        for n in 0..2_000_u32 {
            send(&out, &format!("a {n}"), Until::Enqueued).await.unwrap();
            if n % 7 == 0 {
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
        }
    });
    for round in 0..40_usize {
        let hiccup = Outcome::Retry { reason: "x".into(), message: "x".into(), after: None };
        backend.script.lock().unwrap().push_back(hiccup);
        rig.reload(&variants[round * 3 % variants.len()]).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    feeding.await.unwrap();
    until("all are delivered", || delivered("storm").len() == 2_000).await;
    let expected: Vec<String> = (0..2_000).map(|n| format!("a {n}")).collect();
    assert_eq!(delivered("storm"), expected, "in order, each once");
    assert_conserved(&rig.shared);
    rig.stop().await;
}
