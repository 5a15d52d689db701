//! Reloads that do not come to pass: the old config runs on, and it is said why.

use crate::rig::*;

#[tokio::test(start_paused = true)]
async fn a_config_with_errors_changes_nothing_and_says_why() {
    let mut rig = Rig::start(&simple("bad", "latest: {}", "latest", "")).await;
    let out = output("bad").await;
    let wrong = simple("bad", "latest: {nmae: x}", "latest", ", queue: lots");
    let (verdict, diagnostics) = rig.try_reload(&wrong).await;
    assert!(matches!(verdict, Reloaded::Rejected), "{verdict:?}");
    let text = diagnostics.to_text(false);
    assert!(
        text.contains("test.yaml:2") && text.contains("`nmae`") && text.contains("exporters.backend.queue"),
        "{text}"
    );
    let (tree, mut alone) = load(&[Source::inline("test.yaml", wrong)], &[], &|_: &str| None);
    assert!(build(&tree.unwrap().root, &registry(), &Shared::new(Clock::manual(0)), &mut alone).is_none());
    assert_eq!(text, alone.to_text(false), "exactly what a check says");
    send(&out, "a 1", Until::Enqueued).await.unwrap();
    until_delivered("bad", &["a 1"]).await;
    assert!(rig.shared.board.read().values().all(|entry| entry.status == Status::Ok), "{:?}", rig.shared.board.read());
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_start_leaves_the_old_as_it_was() {
    let (receivers, more) = ("listener: {name: p1}", "listener: {name: p1}, source/2: {name: sad, fail_start: true}");
    let to = "exporters: [backend]";
    let old = config(receivers, "", "backend: {name: sad}", &format!("metrics: {{receivers: [listener], {to}}}"));
    let new = config(more, "", "backend: {name: sad}", &format!("metrics: {{receivers: [listener, source/2], {to}}}"));
    let mut rig = Rig::start(&old).await;
    let out = output("p1").await;
    let (verdict, _) = rig.try_reload(&new).await;
    assert!(
        matches!(&verdict, Reloaded::Failed(why) if why.contains("source/2") && why.contains("taken")),
        "{verdict:?}"
    );
    send(&out, "a 1", Until::Enqueued).await.unwrap();
    until_delivered("sad", &["a 1"]).await;
    assert_eq!(rig.reload(&old).await.begun, 0, "what runs is the old config, whole");
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_address_goes_from_the_old_to_the_new_and_back_if_that_fails() {
    let pipelines = |list: &str| format!("metrics: {{receivers: [{list}], exporters: [backend]}}");
    let one = |name: &str| {
        config(&format!("listener: {{name: {name}}}"), "", "backend: {name: port}", &pipelines("listener"))
    };
    let mut rig = Rig::start(&one("p2/a")).await;
    send(&output("p2/a").await, "a 1", Until::Enqueued).await.unwrap();
    rig.reload(&one("p2/b")).await;
    send(&output("p2/b").await, "a 2", Until::Enqueued).await.unwrap();
    // The same address for a changed one, and another that somebody else holds.
    PORTS.lock().unwrap().insert("p3".into());
    let two = config(
        "listener: {name: p2/c}, listener/3: {name: p3}",
        "",
        "backend: {name: port}",
        &pipelines("listener, listener/3"),
    );
    let (verdict, _) = rig.try_reload(&two).await;
    assert!(matches!(&verdict, Reloaded::Failed(why) if why.contains("p3 is in use")), "{verdict:?}");
    send(&output("p2/b").await, "a 3", Until::Enqueued).await.unwrap();
    assert_eq!(rig.shared.board.read()["receiver:listener"].status, Status::Ok);
    PORTS.lock().unwrap().remove("p3");
    rig.reload(&two).await;
    send(&output("p3").await, "a 4", Until::Enqueued).await.unwrap();
    until_delivered("port", &["a 1", "a 2", "a 3", "a 4"]).await;
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_put_back_is_told_and_tried_again() {
    let one = |name: &str| {
        config(
            &format!("listener: {{name: {name}}}"),
            "",
            "backend: {name: lost}",
            "metrics: {receivers: [listener], exporters: [backend]}",
        )
    };
    let mut rig = Rig::start(&one("p4/stolen")).await;
    output("p4/stolen").await;
    PORTS.lock().unwrap().insert("p5".into());
    let (verdict, _) = rig.try_reload(&one("p5")).await;
    let Reloaded::Failed(why) = verdict else { panic!("{verdict:?}") };
    assert!(why.contains("p5 is in use") && why.contains("p4 is in use"), "{why}");
    let status = rig.shared.board.read()["receiver:listener"].status.clone();
    assert!(matches!(&status, Status::Failed(words) if words.contains("p4")), "not ready, and it says why: {status:?}");
    PORTS.lock().unwrap().remove("p4");
    rig.reload(&one("p4/stolen")).await;
    send(&output("p4/stolen").await, "a 1", Until::Enqueued).await.unwrap();
    until_delivered("lost", &["a 1"]).await;
    assert_eq!(rig.shared.board.read()["receiver:listener"].status, Status::Ok);
    PORTS.lock().unwrap().remove("p5");
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_reload_that_is_given_up_leaves_everything_as_it_was() {
    let mut rig = Rig::start(&simple("abort", "", "", "")).await;
    let out = output("abort").await;
    let yaml = simple("abort", "halves: {}", "halves", "");
    let (tree, mut diagnostics) = load(&[Source::inline("test.yaml", yaml)], &[], &|_: &str| None);
    let (trigger, abort) = Shutdown::new();
    trigger.fire();
    let verdict = rig.running.reload(&tree.unwrap().root, &registry(), &abort, &mut diagnostics).await;
    assert!(matches!(&verdict, Reloaded::Failed(why) if why.contains("stops")), "{verdict:?}");
    send(&out, "a 1", Until::Enqueued).await.unwrap();
    until_delivered("abort", &["a 1"]).await;
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_set_up_once_is_said_to_wait_for_a_restart() {
    let mut rig = Rig::start(&simple("once", "", "", "")).await;
    let changed = simple("once", "", "", "")
        .replace("{metrics: {level: none}}", "{metrics: {level: basic}, logs: {level: debug}}");
    let (verdict, diagnostics) = rig.try_reload(&changed).await;
    assert!(matches!(verdict, Reloaded::Done(_)), "{verdict:?}");
    let found = diagnostics.sorted();
    let stays: Vec<&str> = found.iter().filter(|d| d.rule == "needs-restart").map(|d| d.path.as_str()).collect();
    assert_eq!(stays, ["service.telemetry.metrics"]);
    rig.stop().await;
}
