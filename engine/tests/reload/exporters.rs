//! Exporters that change, go and come back: their queues are handed over, sent, or kept.

use crate::rig::*;

#[tokio::test(start_paused = true)]
async fn a_changed_exporter_hands_its_queue_over_in_order() {
    let mut rig = Rig::start(&simple("handover", "", "", "")).await;
    let (out, backend) = (output("handover").await, stage("handover"));
    *backend.hang.lock().unwrap() = true;
    for n in 0..3 {
        send(&out, &format!("a {n}"), Until::Enqueued).await.unwrap();
    }
    let settled = tokio::spawn({
        let out = out.clone();
        async move { send(&out, "a 3", Until::Settled).await }
    });
    until("an attempt", || !backend.attempts.lock().unwrap().is_empty()).await;
    let began = tokio::time::Instant::now();
    rig.reload(&simple("handover", "", "", ", multiplier: 3")).await;
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    *backend.hang.lock().unwrap() = false;
    send(&out, "a 4", Until::Enqueued).await.unwrap();
    until_delivered("handover", &["a 0", "a 1", "a 2", "a 3", "a 4"]).await;
    settled.await.unwrap().unwrap();
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_request_under_way_is_waited_for_and_not_repeated() {
    let mut rig = Rig::start(&simple("underway", "", "", "")).await;
    let (out, backend) = (output("underway").await, stage("underway"));
    let pause = Outcome::Retry { reason: "x".into(), message: "x".into(), after: Some(Duration::from_secs(60)) };
    backend.script.lock().unwrap().push_back(pause);
    send(&out, "a 1", Until::Enqueued).await.unwrap();
    until("the attempt", || backend.attempts.lock().unwrap().len() == 1).await;
    let began = tokio::time::Instant::now();
    rig.reload(&simple("underway", "", "", ", multiplier: 3")).await;
    assert!(began.elapsed() < Duration::from_secs(1), "nobody waits for a pause between attempts");
    until_delivered("underway", &["a 1"]).await;
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stuck_exporter_does_not_hold_a_reload() {
    let mut rig = Rig::start(&simple("stuck_reload", "latest: {}", "latest", ", queue: 600")).await;
    let (out, backend) = (output("stuck_reload").await, stage("stuck_reload"));
    *backend.hang.lock().unwrap() = true;
    send(&out, "a 1", Until::Enqueued).await.unwrap();
    send(&out, "b 2", Until::Enqueued).await.unwrap();
    let waits = tokio::spawn({
        let out = out.clone();
        async move { send(&out, "c 3", Until::Enqueued).await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let began = tokio::time::Instant::now();
    rig.reload(&simple("stuck_reload", "latest: {}, halves: {}", "latest, halves", ", queue: 700")).await;
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
    let told = waits.await.unwrap();
    assert!(matches!(told, Err(SendError::NotSettled(SettleError::Retryable(_)))), "try again: {told:?}");
    assert_eq!(dropped(&rig.shared, "backend", "reload"), 1);
    assert_conserved(&rig.shared);
    *backend.hang.lock().unwrap() = false;
    send(&out, "c 3\nrecall 1", Until::Enqueued).await.unwrap();
    until("the rest", || delivered("stuck_reload").len() >= 7).await;
    assert_eq!(delivered("stuck_reload"), ["a 1", "b 2", "a 1", "b 2", "c 3", "c 3", "recall 1"]);
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_removed_exporter_drains_and_is_given_up_at_the_deadline() {
    let with = |exporters: &str, list: &str| {
        let pipeline = format!("metrics: {{receivers: [source], exporters: [{list}]}}");
        config("source: {name: drains}", "", exporters, &pipeline)
    };
    let all = with(
        "backend: {name: drains}, backend/b: {name: drains_b}, backend/c: {name: drains_c}",
        "backend, backend/b, backend/c",
    );
    let one = with("backend: {name: drains}", "backend");
    let mut rig = Rig::start(&all).await;
    let out = output("drains").await;
    for name in ["drains_b", "drains_c"] {
        *stage(name).hang.lock().unwrap() = true;
    }
    send(&out, "a 1\nb 2", Until::Enqueued).await.unwrap();
    let began = tokio::time::Instant::now();
    rig.reload(&one).await;
    assert!(began.elapsed() < Duration::from_secs(6), "nobody waits for them: {:?}", began.elapsed());
    *stage("drains_b").hang.lock().unwrap() = false;
    send(&out, "c 3", Until::Enqueued).await.unwrap();
    until_delivered("drains_b", &["a 1", "b 2"]).await;
    until("the other is given up", || dropped(&rig.shared, "backend/c", "removed") == 2).await;
    assert!(began.elapsed() >= Duration::from_secs(20), "not before the deadline");
    until("it left the board", || !rig.shared.board.read().keys().any(|id| id.contains("backend/"))).await;
    assert_conserved(&rig.shared);
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_exporter_that_comes_back_in_time_goes_on_with_its_queue() {
    let with = |exporters: &str, list: &str| {
        let pipeline = format!("metrics: {{receivers: [source], exporters: [{list}]}}");
        config("source: {name: back}", "", exporters, &pipeline)
    };
    let both = with("backend: {name: back}, backend/b: {name: back_b}", "backend, backend/b");
    let mut rig = Rig::start(&both).await;
    let out = output("back").await;
    *stage("back_b").hang.lock().unwrap() = true;
    send(&out, "a 1", Until::Enqueued).await.unwrap();
    rig.reload(&with("backend: {name: back}", "backend")).await;
    send(&out, "b 2", Until::Enqueued).await.unwrap();
    rig.reload(&both).await;
    *stage("back_b").hang.lock().unwrap() = false;
    send(&out, "c 3", Until::Enqueued).await.unwrap();
    until_delivered("back_b", &["a 1", "c 3"]).await;
    rig.stop().await;
}

/// Files are real, so time is, too.
#[tokio::test]
async fn a_queue_on_disk_is_handed_over_and_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let with = |queue: &str| {
        simple("on_disk", "", "", &format!(", sending_queue: {{{queue}}}"))
            .replace("20s", "100ms")
            .replace("{memory: {name: memory}}", &format!("{{folder: {{name: {}}}}}", folder.path().display()))
    };
    let mut rig = Rig::start(&with("storage: folder, memory_size: 1KiB, max_shards: 1")).await;
    let (out, backend) = (output("on_disk").await, stage("on_disk"));
    let busy = || {
        let after = Some(Duration::from_secs(60));
        let busy = Outcome::Retry { reason: "x".into(), message: "x".into(), after };
        backend.script.lock().unwrap().push_back(busy);
    };
    let send_all = async |numbers: std::ops::Range<u64>| {
        for n in numbers {
            send(&out, &format!("a {n}"), Until::Enqueued).await.unwrap();
        }
    };
    let all = |numbers: std::ops::Range<u64>| numbers.map(|n| format!("a {n}")).collect::<Vec<_>>();
    busy();
    send_all(0..20).await;
    rig.reload(&with("storage: folder, memory_size: 2KiB, durable: true, max_shards: 1, max_age: 1h")).await;
    send_all(20..25).await;
    until("all are delivered", || delivered("on_disk").len() == 25).await;
    assert_eq!(delivered("on_disk"), all(0..25), "in order, each once");
    // Another place: what does not get away in time stays in the first, and is found there.
    let before = backend.attempts.lock().unwrap().len();
    busy();
    send_all(25..30).await;
    until("the attempt", || backend.attempts.lock().unwrap().len() > before).await;
    rig.reload(&with("max_shards: 1")).await;
    send_all(30..33).await;
    until("the new ones", || delivered("on_disk").len() == 28).await;
    until("the old ones are put away", || dropped(&rig.shared, "backend", "kept_on_disk") == 5).await;
    assert_conserved(&rig.shared);
    rig.reload(&with("storage: folder, max_shards: 1")).await;
    until("those that were kept", || delivered("on_disk").len() == 33).await;
    let mut found = delivered("on_disk").split_off(28);
    found.sort();
    assert_eq!(found, all(25..30));
    rig.stop().await;
}

/// What the exporter found on disk when it opened its queue, in all.
fn restored(shared: &Shared) -> u64 {
    let account = shared.books.read().into_iter().find(|account| account.id == "backend").unwrap();
    account.tally.balance().created.get("restored").copied().unwrap_or(0)
}

/// Files are real, so time is, too.
#[tokio::test]
async fn a_storage_that_changes_leaves_queues_where_they_are_or_lets_them_drain() {
    let [one, two, three] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let name = "storage_changes";
    let with = |id: &str, folder: &std::path::Path, more: &str| {
        let queue = format!(", lanes: true, sending_queue: {{storage: {id}, durable: true, max_shards: 1}}");
        let extension = format!("{{{id}: {{name: {}{more}}}}}", folder.display());
        simple(name, "", "", &queue).replace("{memory: {name: memory}}", &extension)
    };
    let backend = stage(name);
    let mut rig = Rig::start(&with("folder", one.path(), "")).await;
    let out = output(name).await;
    let mut sent = 0;
    // So that every reload finds something under way and something that waits.
    *backend.delay.lock().unwrap() = Duration::from_millis(20);
    let mut send_more = async || {
        for n in sent..sent + 30 {
            send(&out, &format!("a {n}"), Until::Enqueued).await.unwrap();
        }
        sent += 30;
    };
    send_more().await;
    // Other keys of the same folder: nothing begins anew.
    let changes = rig.reload(&with("folder", one.path(), ", interval: 5s")).await;
    assert_eq!(changes, Changes { kept: 3, begun: 0, ended: 0 });
    assert_eq!(*stage(one.path().to_str().unwrap()).attempts.lock().unwrap(), ["adapted"]);
    send_more().await;
    // One that does not adapt, and another id, for the same folder: the queue is handed over.
    let changes = rig.reload(&with("folder", one.path(), ", wait: true")).await;
    assert_eq!(changes, Changes { kept: 1, begun: 2, ended: 2 });
    send_more().await;
    rig.reload(&with("folder/2", one.path(), "")).await;
    send_more().await;
    let expected: Vec<String> = (0..120).map(|n| format!("a {n}")).collect();
    until("all are delivered", || delivered(name).len() == 120).await;
    assert_eq!(delivered(name), expected, "in order, each once");
    assert_eq!(restored(&rig.shared), 0, "the queue was never opened again");
    // Another folder, and back while the first still drains: it is taken up again, and the other drains beside it.
    *backend.delay.lock().unwrap() = Duration::from_millis(200);
    send_more().await;
    rig.reload(&with("folder/2", two.path(), "")).await;
    send_more().await;
    rig.reload(&with("folder/2", one.path(), "")).await;
    send_more().await;
    // Two more drain beside it then.
    rig.reload(&with("folder/2", three.path(), "")).await;
    send_more().await;
    let place = || rig.shared.board.read().get("exporter:backend").map(|entry| entry.status.clone());
    assert_eq!(place(), Some(Status::Ok));
    assert!(delivered(name).len() < 150, "the first folder drains still");
    until("all are delivered", || delivered(name).len() == 240).await;
    let mut all = delivered(name);
    let number = |line: &String| line[2..].parse::<u32>().unwrap();
    for numbers in [Vec::from_iter((0..150).chain(180..210)), Vec::from_iter(150..180), Vec::from_iter(210..240)] {
        let of: Vec<u32> = all.iter().map(number).filter(|n| numbers.contains(n)).collect();
        assert_eq!(of, numbers, "each folder in its order");
    }
    all.sort_by_key(number);
    assert_eq!(all, (0..240).map(|n| format!("a {n}")).collect::<Vec<_>>(), "each once");
    assert_eq!((restored(&rig.shared), place()), (0, Some(Status::Ok)), "those that left took no place with them");
    rig.stop().await;
}

/// Files are real, so time is, too.
#[tokio::test]
async fn a_reload_that_fails_leaves_what_a_new_exporter_found_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let queue = ", sending_queue: {storage: folder, durable: true, max_shards: 1}";
    let with = |queue: &str, halves: &str| {
        simple("found", &format!("halves: {{{halves}}}"), "halves", queue)
            .replace("20s", "100ms")
            .replace("{memory: {name: memory}}", &format!("{{folder: {{name: {}}}}}", folder.path().display()))
    };
    let rig = Rig::start(&with(queue, "")).await;
    *stage("found").hang.lock().unwrap() = true;
    send(&output("found").await, "a 1\nb 2", Until::Enqueued).await.unwrap();
    assert_eq!(rig.running.shutdown().await.kept, 2);
    *stage("found").hang.lock().unwrap() = false;
    stage("found").outputs.lock().unwrap().clear();
    let mut rig = Rig::start(&with("", "")).await;
    for _ in 0..2 {
        let (verdict, _) = rig.try_reload(&with(queue, "fail_start: true")).await;
        assert!(matches!(verdict, Reloaded::Failed(_)), "{verdict:?}");
        assert_conserved(&rig.shared);
    }
    assert_eq!(delivered("found"), [""; 0]);
    rig.reload(&with(queue, "name: x")).await;
    until_delivered("found", &["a 1", "b 2"]).await;
    rig.stop().await;
}
