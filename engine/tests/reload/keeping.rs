//! State in a storage at the end of a processor: at a stop, when a reload removes or replaces it, when that fails.

use crate::keeper::storage;
use crate::rig::*;

/// One pipeline through keepers of state in the storage of this name.
fn keeping(name: &str, processors: &str, list: &str) -> String {
    simple(name, processors, list, "").replace("memory: {name: memory}", &format!("memory: {{name: {name}}}"))
}

fn one(name: &str) -> String {
    keeping(name, "keeper: {}", "keeper")
}

fn owner() -> Owner {
    Owner { kind: "processor", id: "keeper".into(), place: "metrics".into() }
}

fn kept(name: &str) -> Vec<String> {
    storage(name).pairs(&owner()).values().map(|line| String::from_utf8(line.to_vec()).unwrap()).collect()
}

fn losses(shared: &Shared) -> f64 {
    shared.meter.read().iter().filter(|one| one.name == "processor_state_losses").map(|one| one.value()).sum()
}

#[tokio::test(start_paused = true)]
async fn what_is_written_at_a_stop_is_there_after_the_restart() {
    let rig = Rig::start(&one("kept_at_stop")).await;
    let out = output("kept_at_stop").await;
    send(&out, "a 1\nb 2", Until::Enqueued).await.unwrap();
    storage("kept_at_stop").delay(Duration::from_secs(12));
    let shared = rig.shared.clone();
    rig.stop().await;
    assert_eq!((kept("kept_at_stop"), losses(&shared)), (vec!["a 1".into(), "b 2".into()], 0.0));
    storage("kept_at_stop").delay(Duration::ZERO);
    stage("kept_at_stop").outputs.lock().unwrap().clear();
    let rig = Rig::start(&one("kept_at_stop")).await;
    send(&output("kept_at_stop").await, "recall 1", Until::Enqueued).await.unwrap();
    until_delivered("kept_at_stop", &["a 1", "b 2", "a 1", "b 2", "recall 1"]).await;
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_storage_that_never_answers_does_not_hold_a_stop_and_is_counted() {
    let rig = Rig::start(&one("never_kept")).await;
    send(&output("never_kept").await, "a 1", Until::Enqueued).await.unwrap();
    until_delivered("never_kept", &["a 1"]).await;
    storage("never_kept").delay(Duration::from_secs(100_000));
    let (shared, began) = (rig.shared.clone(), tokio::time::Instant::now());
    rig.stop().await;
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(20) && took < Duration::from_secs(25), "{took:?}");
    assert_eq!((kept("never_kept"), losses(&shared)), (vec![], 1.0));
}

#[tokio::test(start_paused = true)]
async fn a_storage_that_fails_at_the_stop_is_counted() {
    let rig = Rig::start(&one("fails_at_stop")).await;
    send(&output("fails_at_stop").await, "a 1", Until::Enqueued).await.unwrap();
    storage("fails_at_stop").fail(Some(StorageError { message: "the disk is full".into(), retryable: true }));
    let (shared, began) = (rig.shared.clone(), tokio::time::Instant::now());
    rig.stop().await;
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(losses(&shared), 1.0);
}

#[tokio::test(start_paused = true)]
async fn a_processor_that_a_reload_removes_keeps_its_state_first() {
    let mut rig = Rig::start(&one("kept_removed")).await;
    let out = output("kept_removed").await;
    send(&out, "a 1", Until::Enqueued).await.unwrap();
    storage("kept_removed").delay(Duration::from_secs(3));
    rig.reload(&keeping("kept_removed", "", "")).await;
    assert_eq!(kept("kept_removed"), ["a 1"]);
    storage("kept_removed").delay(Duration::ZERO);
    rig.reload(&one("kept_removed")).await;
    send(&out, "recall 1", Until::Enqueued).await.unwrap();
    until_delivered("kept_removed", &["a 1", "a 1", "recall 1"]).await;
    assert_eq!(losses(&rig.shared), 0.0);
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_takes_the_place_of_another_begins_with_its_state() {
    let mut rig = Rig::start(&one("kept_replaced")).await;
    let out = output("kept_replaced").await;
    send(&out, "a 1\nb 2", Until::Enqueued).await.unwrap();
    storage("kept_replaced").delay(Duration::from_secs(3));
    rig.reload(&keeping("kept_replaced", "keeper: {name: x}", "keeper")).await;
    send(&out, "recall 1", Until::Enqueued).await.unwrap();
    until_delivered("kept_replaced", &["a 1", "b 2", "a 1", "b 2", "recall 1"]).await;
    assert_eq!(losses(&rig.shared), 0.0);
    // One that takes too long does not hold the reload.
    send(&out, "c 3", Until::Enqueued).await.unwrap();
    storage("kept_replaced").delay(Duration::from_secs(1000));
    let began = tokio::time::Instant::now();
    rig.reload(&keeping("kept_replaced", "keeper: {name: y}", "keeper")).await;
    assert!(began.elapsed() < Duration::from_secs(12), "{:?}", began.elapsed());
    assert_eq!(losses(&rig.shared), 1.0);
    storage("kept_replaced").delay(Duration::ZERO);
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_reload_that_fails_leaves_the_state_with_who_has_it() {
    let mut rig = Rig::start(&one("kept_anyway")).await;
    let out = output("kept_anyway").await;
    send(&out, "a 1", Until::Enqueued).await.unwrap();
    let (verdict, _) = rig.try_reload(&keeping("kept_anyway", "keeper: {fail_start: true}", "keeper")).await;
    assert!(matches!(&verdict, Reloaded::Failed(why) if why.contains("thought better")), "{verdict:?}");
    send(&out, "a 2\nb 3", Until::Enqueued).await.unwrap();
    let shared = rig.shared.clone();
    rig.stop().await;
    assert_eq!((kept("kept_anyway"), losses(&shared)), (vec!["a 2".into(), "b 3".into()], 0.0));
}
