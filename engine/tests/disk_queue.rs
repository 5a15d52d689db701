//! The queue on disk inside the engine: what is accepted survives the process, is sent first after the next start, in
//! order, and is counted throughout. Files are real, so time is, too.
#![allow(clippy::unwrap_used, reason = "a panic is the failure it reports")]

mod support;

use std::path::Path;
use std::time::Duration;

use steadyline_component::{Clock, Outcome, Until};
use steadyline_engine::{Running, Shared};
use support::*;

fn config(name: &str, folder: &Path, keys: &str, queue: &str) -> String {
    format!(
        "extensions: {{folder: {{name: {}}}}}\n\
         receivers: {{source: {{name: {name}}}}}\n\
         exporters: {{backend: {{name: {name}{keys}, sending_queue: {{storage: folder, max_shards: 1, {queue}}}}}}}\n\
         service:\n  shutdown_timeout: 300ms\n  telemetry: {{metrics: {{level: none}}}}\n  \
         pipelines: {{metrics: {{receivers: [source], exporters: [backend]}}}}\n",
        folder.display()
    )
}

/// Starts anew, as the next process would.
async fn restart(yaml: &str, name: &str) -> (Running, Shared) {
    stage(name).outputs.lock().unwrap().clear();
    start(yaml, Clock::system()).await
}

fn created(shared: &Shared, why: &str) -> u64 {
    let books = shared.books.read();
    let account = books.iter().find(|account| account.id == "backend").unwrap();
    account.tally.balance().created.get(why).copied().unwrap_or(0)
}

async fn send_all(name: &str, numbers: std::ops::Range<u64>, how: Until) {
    let out = output(name).await;
    for n in numbers {
        send(&out, &format!("a {n}"), how).await.unwrap();
    }
}

fn expected(numbers: std::ops::Range<u64>) -> Vec<String> {
    numbers.map(|n| format!("a {n}")).collect()
}

#[tokio::test]
async fn what_is_left_at_a_stop_is_sent_first_after_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let yaml = config("kept", folder.path(), ", lanes: true", "memory_size: 1KiB");
    let stage = stage("kept");
    *stage.hang.lock().unwrap() = true;
    let (running, shared) = restart(&yaml, "kept").await;
    // Some of it stays in memory, most does not fit there.
    send_all("kept", 0..20, Until::Enqueued).await;
    let report = running.shutdown().await;
    assert_eq!((report.kept, report.dropped, report.abandoned), (20, 0, 0));
    assert_conserved(&shared);
    *stage.hang.lock().unwrap() = false;
    let (running, shared) = restart(&yaml, "kept").await;
    assert_eq!(created(&shared, "restored"), 20);
    send_all("kept", 20..25, Until::Enqueued).await;
    until("all are delivered", || stage.delivered.lock().unwrap().len() == 25).await;
    assert_eq!(*stage.delivered.lock().unwrap(), expected(0..25));
    let report = running.shutdown().await;
    assert_eq!((report.delivered, report.kept), (25, 0));
    assert_conserved(&shared);
    let (running, shared) = restart(&yaml, "kept").await;
    assert_eq!(created(&shared, "restored"), 0, "nothing is sent twice");
    running.shutdown().await;
}

#[tokio::test]
async fn durable_means_synced_before_it_counts_as_accepted_and_settled() {
    let folder = tempfile::tempdir().unwrap();
    let yaml = config("durable", folder.path(), "", "durable: true");
    let stage = stage("durable");
    *stage.hang.lock().unwrap() = true;
    let (running, _) = restart(&yaml, "durable").await;
    send_all("durable", 0..5, Until::Settled).await;
    // The process is gone from one moment to the next: nothing is put away.
    std::mem::forget(running);
    *stage.hang.lock().unwrap() = false;
    let copy = tempfile::tempdir().unwrap();
    copy_folder(folder.path(), copy.path());
    let (running, shared) = restart(&config("durable", copy.path(), "", "durable: true"), "durable").await;
    until("all are delivered", || stage.delivered.lock().unwrap().len() == 5).await;
    assert_eq!(*stage.delivered.lock().unwrap(), expected(0..5));
    running.shutdown().await;
    assert_conserved(&shared);
}

#[tokio::test]
async fn a_refused_replay_is_no_loss() {
    let folder = tempfile::tempdir().unwrap();
    let yaml = config("replay", folder.path(), "", "durable: true");
    let stage = stage("replay");
    *stage.hang.lock().unwrap() = true;
    let (running, _) = restart(&yaml, "replay").await;
    send_all("replay", 0..3, Until::Settled).await;
    std::mem::forget(running);
    let copy = tempfile::tempdir().unwrap();
    copy_folder(folder.path(), copy.path());
    *stage.hang.lock().unwrap() = false;
    let no = Outcome::Reject { reason: "http_400".into(), message: "out of order".into() };
    stage.script.lock().unwrap().push_back(no);
    let (running, shared) = restart(&config("replay", copy.path(), "", "durable: true"), "replay").await;
    until("the others are delivered", || stage.delivered.lock().unwrap().len() == 2).await;
    assert_eq!(*stage.delivered.lock().unwrap(), expected(1..3));
    assert_eq!(dropped(&shared, "backend", "http_400"), 0);
    let replayed = shared.meter.read().iter().find(|one| one.name == "exporter_replayed_items").map(|one| one.value());
    assert_eq!(replayed, Some(1.0));
    running.shutdown().await;
    assert_conserved(&shared);
}

#[tokio::test]
async fn after_a_crash_that_may_have_cost_the_cursor_all_refusals_up_to_the_first_success_are_of_replays() {
    let folder = tempfile::tempdir().unwrap();
    let yaml = config("lagging", folder.path(), "", "durable: true");
    let stage = stage("lagging");
    *stage.hang.lock().unwrap() = true;
    let (running, _) = restart(&yaml, "lagging").await;
    send_all("lagging", 0..5, Until::Settled).await;
    std::mem::forget(running);
    let copy = tempfile::tempdir().unwrap();
    copy_folder(folder.path(), copy.path());
    remove_cursor(copy.path());
    *stage.hang.lock().unwrap() = false;
    let no = || Outcome::Reject { reason: "http_400".into(), message: "out of order".into() };
    stage.script.lock().unwrap().extend([no(), no(), Outcome::DELIVERED, no()]);
    let (running, shared) = restart(&config("lagging", copy.path(), "", "durable: true"), "lagging").await;
    until("what is left is delivered", || stage.delivered.lock().unwrap().len() == 2).await;
    assert_eq!(*stage.delivered.lock().unwrap(), [expected(2..3), expected(4..5)].concat());
    assert_eq!(dropped(&shared, "backend", "http_400"), 1);
    let replayed = shared.meter.read().iter().find(|one| one.name == "exporter_replayed_items").map(|one| one.value());
    assert_eq!(replayed, Some(2.0));
    running.shutdown().await;
    assert_conserved(&shared);
}

fn remove_cursor(folder: &Path) {
    let mut removed = 0;
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() {
            remove_cursor(&entry.path());
            removed += 1;
        } else if entry.file_name() == "cursor" {
            std::fs::remove_file(entry.path()).unwrap();
            removed += 1;
        }
    }
    assert!(removed > 0, "nothing in {}", folder.display());
}

#[tokio::test]
async fn order_holds_from_memory_to_disk_and_back() {
    let folder = tempfile::tempdir().unwrap();
    let stage = stage("order");
    *stage.delay.lock().unwrap() = Duration::from_millis(2);
    *stage.flaky.lock().unwrap() = Some(9);
    let yaml = config("order", folder.path(), ", lanes: true", "memory_size: 2KiB");
    let (running, shared) = restart(&yaml, "order").await;
    for round in 0..5 {
        send_all("order", round * 60..(round + 1) * 60, Until::Enqueued).await;
        let goal = (round * 60 + 30) as usize;
        until("half of them are delivered", || stage.delivered.lock().unwrap().len() >= goal).await;
    }
    until("all are delivered", || stage.delivered.lock().unwrap().len() == 300).await;
    assert_eq!(*stage.delivered.lock().unwrap(), expected(0..300));
    running.shutdown().await;
    assert_conserved(&shared);
}

#[tokio::test]
async fn the_disk_is_bounded_and_by_choice_the_oldest_make_room() {
    let folder = tempfile::tempdir().unwrap();
    let stage = stage("bounded");
    *stage.hang.lock().unwrap() = true;
    let yaml = config("bounded", folder.path(), ", queue: 8KiB", "durable: true, on_full: drop_oldest");
    let (running, shared) = restart(&yaml, "bounded").await;
    send_all("bounded", 0..60, Until::Enqueued).await;
    let lost = dropped(&shared, "backend", "queue_full");
    assert!(lost >= 29, "{lost}");
    *stage.hang.lock().unwrap() = false;
    until("the rest is delivered", || stage.delivered.lock().unwrap().len() as u64 == 60 - lost).await;
    let delivered = stage.delivered.lock().unwrap().clone();
    assert_eq!((delivered[0].as_str(), delivered.last().unwrap().as_str()), ("a 0", "a 59"));
    running.shutdown().await;
    assert_conserved(&shared);
}

#[tokio::test]
async fn a_damaged_record_costs_itself_and_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let stage = stage("damaged");
    *stage.hang.lock().unwrap() = true;
    let yaml = config("damaged", folder.path(), "", "durable: true");
    let (running, _) = restart(&yaml, "damaged").await;
    send_all("damaged", 0..5, Until::Settled).await;
    running.shutdown().await;
    let queue = folder.path().join("backend");
    let segment = std::fs::read_dir(&queue).unwrap().map(|entry| entry.unwrap().path());
    let (path, bytes, at) = segment
        .filter_map(|path| {
            let bytes = std::fs::read(&path).ok()?;
            let at = bytes.windows(3).position(|window| window == b"a 2")?;
            Some((path, bytes, at))
        })
        .next()
        .unwrap();
    let mut bytes = bytes;
    bytes[at] ^= 0xff;
    std::fs::write(path, bytes).unwrap();
    *stage.hang.lock().unwrap() = false;
    let (running, shared) = restart(&yaml, "damaged").await;
    until("the others are delivered", || stage.delivered.lock().unwrap().len() == 4).await;
    assert_eq!(*stage.delivered.lock().unwrap(), ["a 0", "a 1", "a 3", "a 4"]);
    assert_eq!((created(&shared, "restored"), dropped(&shared, "backend", "damaged")), (5, 1));
    running.shutdown().await;
    assert_conserved(&shared);
}

fn copy_folder(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if from.is_dir() {
            std::fs::create_dir(&to).unwrap();
            copy_folder(&from, &to);
        } else {
            std::fs::copy(from, to).unwrap();
        }
    }
}
