//! `kill -9` at any moment, a disk that is full, files that are damaged: what was acknowledged with a durable queue arrives,
//! and no series leaves its order.
//!
//! The run in CI is short. The whole proof, 50,000 points a second and 50 kills:
//! `STEADYLINE_CRASH=full cargo test --release -p steadyline --test e2e crash::killed -- --nocapture --test-threads=1`.
//! What is random comes from a seed, which is printed and taken from `STEADYLINE_SEED`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, Signal, prlimit};
use tempfile::TempDir;

use crate::common::dice::{Dice, lasting_port};
use crate::common::dynamodb::scratch;
use crate::common::judge::{Judge, Mood, remote_write};
use crate::common::rising::{Load, Rising, To};
use crate::common::steadyline::{Launch, Steadyline};
use crate::common::wait::until_true;

/// How hard it is tried.
struct Effort {
    load: Load,
    kills: u32,
}

impl Effort {
    fn chosen() -> Effort {
        let every = Duration::from_millis(100);
        if std::env::var("STEADYLINE_CRASH").is_ok_and(|value| value == "full") {
            return Effort { load: Load { senders: 10, series: 500, every, padding: 0 }, kills: 50 };
        }
        Effort { load: Load { senders: 4, series: 50, every, padding: 0 }, kills: 10 }
    }
}

/// From OTLP at a port to an exporter with a durable queue in a folder.
pub fn durable(port: u16, folder: &Path, exporter: &str) -> String {
    let id = exporter.split(':').next().unwrap();
    format!(
        "extensions: {{file_storage: {{directory: '{}'}}}}\n\
         receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:{port}'}}}}}}}}\n\
         exporters:\n  {exporter}\n\
         service: {{shutdown_timeout: 2s, pipelines: {{metrics: {{receivers: [otlp], exporters: [{id}]}}}}}}\n",
        folder.display()
    )
}

const DURABLE: &str = "timeout: 3s, sending_queue: {storage: file_storage, durable: true, queue_size: 1GiB}";

async fn all_arrived(judge: &Judge, senders: &Rising) {
    let acknowledged = senders.acknowledged();
    until_true("all that was acknowledged", async || judge.missing(&acknowledged) == 0).await;
}

async fn killed_many_times(test: &str, id: &str) {
    let Effort { load, kills } = Effort::chosen();
    let mut dice = Dice::thrown(test);
    let judge = Judge::start(Mood::Moody(dice.fork())).await;
    let (folder, port) = (scratch(), lasting_port());
    let config = durable(port, folder.path(), &judge.exporter(id, DURABLE));
    let mut senders = Rising::start(To::Http(port), load, 0);
    let (mut with_backlog, mut points) = (0, 0);
    for kill in 0..kills {
        let mut running = Launch::new(&config).spawn();
        // One in four does not live to be ready.
        if dice.once_in(4) {
            tokio::time::sleep(Duration::from_millis(dice.below(300))).await;
        } else {
            running.wait_log("everything is ready").await;
            tokio::time::sleep(Duration::from_millis(dice.below(1500))).await;
        }
        if running.logged("holds data from before").len() == 1 {
            with_backlog += 1;
        }
        running.process.signal(Signal::KILL);
        running.process.exit().await;
        assert!(!running.process.stderr().join("\n").contains("panicked"), "{:?}", running.process.stderr());
        assert!(running.logged("damaged").is_empty(), "kill {kill}: {:?}", running.logged("damaged"));
        assert_eq!(judge.wrong(), [""; 0], "kill {kill}");
        points = senders.points();
    }
    assert!(with_backlog > 0 && points > u64::from(kills * load.series), "{with_backlog} {points}");
    let mut last = Launch::new(&config).run().await;
    let before = senders.points();
    until_true("more", async || senders.points() > before).await;
    senders.stop().await;
    judge.set(Mood::Willing);
    all_arrived(&judge, &senders).await;
    let (_, repeated, refused) = judge.counts();
    assert!(refused > 0, "the backend was no trouble");
    assert_eq!(judge.wrong(), [""; 0], "{repeated} repeated");
    let books = last.finish().await;
    assert_eq!(books.of("exporter", id).lost(), 0.0, "{books:?}");
    let mut after = Launch::new(&config).run().await;
    assert_eq!(after.own("steadyline_component_created_items_total", ("why", "restored")).await, 0.0);
    after.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_many_times_nothing_acknowledged_is_lost_by_remote_write() {
    killed_many_times("killed, remote write", "prometheusremotewrite").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_many_times_nothing_acknowledged_is_lost_by_otlp() {
    killed_many_times("killed, OTLP", "otlphttp").await;
}

const FEW: Load = Load { senders: 2, series: 50, every: Duration::from_millis(20), padding: 400 };

/// The disk is full by `fill`, and has room again by `free`: meanwhile nothing is acknowledged, and nothing is lost.
async fn full_disk(folder: &Path, fill: impl FnOnce(&Steadyline), free: impl FnOnce(&Steadyline)) {
    let judge = Judge::start(Mood::Down).await;
    let port = lasting_port();
    let config = durable(port, folder, &judge.exporter("prometheusremotewrite", DURABLE));
    let mut running = Launch::new(&config).run().await;
    let mut senders = Rising::start(To::Http(port), FEW, 0);
    until_true("some that is acknowledged", async || senders.points() > 500).await;
    fill(&running);
    running.wait_log("cannot be written").await;
    let full = senders.points();
    free(&running);
    until_true("more, when there is room again", async || senders.points() > full + 500).await;
    judge.set(Mood::Willing);
    all_arrived(&judge, &senders).await;
    senders.stop().await;
    all_arrived(&judge, &senders).await;
    assert_eq!(judge.wrong(), [""; 0]);
    let books = running.finish().await;
    assert_eq!(books.of("exporter", "prometheusremotewrite").lost(), 0.0, "{books:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_on_files_holds_the_senders_and_loses_nothing() {
    let folder = scratch();
    let limit = |running: &Steadyline, current| {
        prlimit(Some(running.process.pid()), Resource::Fsize, Rlimit { current, maximum: None }).unwrap();
    };
    full_disk(folder.path(), |running| limit(running, Some(4096)), |running| limit(running, None)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_on_files_from_the_start_is_an_error_and_not_the_end() {
    let (judge, folder, port) = (Judge::start(Mood::Down).await, scratch(), lasting_port());
    let config = durable(port, folder.path(), &judge.exporter("prometheusremotewrite", DURABLE));
    let mut running = Launch::new(&config).under(&["prlimit", "--fsize=4096"]).run().await;
    let senders = Rising::start(To::Http(port), FEW, 0);
    running.wait_log("cannot be written").await;
    let (status, last) = running.stop(Signal::TERM).await;
    assert!(status.success(), "{status:?} {last}");
    assert!(last["kept"].as_u64().unwrap() >= senders.points(), "what was acknowledged is kept: {last}");
}

/// A small file system, as long as it is needed.
struct Small(TempDir);

impl Small {
    /// `None`: the machine does not let us.
    fn mount() -> Option<Small> {
        let folder = scratch();
        let mut command = std::process::Command::new("mount");
        let status = command.args(["-t", "tmpfs", "-o", "size=24m", "tmpfs"]).arg(folder.path()).status();
        status.is_ok_and(|status| status.success()).then_some(Small(folder))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Lazily: the process may still be at it if the test failed.
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_file_system_holds_the_senders_and_loses_nothing() {
    let Some(small) = Small::mount() else {
        eprintln!("skipped: this user may not mount a small file system; the limit on files stands in for it");
        return;
    };
    let ballast = small.0.path().join("ballast");
    let fill = |_: &Steadyline| {
        let mut file = std::fs::File::create(&ballast).unwrap();
        let zeros = vec![0; 1 << 16];
        while std::io::Write::write_all(&mut file, &zeros).is_ok() {}
    };
    full_disk(small.0.path(), fill, |_| std::fs::remove_file(&ballast).unwrap()).await;
}

/// A record in a segment, found by the format as the block log's documentation has it.
struct Found {
    range: std::ops::Range<usize>,
    payload: std::ops::Range<usize>,
}

fn records(segment: &[u8]) -> Vec<Found> {
    let number = |at: usize| u32::from_le_bytes(segment[at..at + 4].try_into().unwrap()) as usize;
    let mut found = Vec::new();
    let mut at = 64;
    while at + 104 <= segment.len() && segment[at..].starts_with(b"SLrc") {
        let (payload, end) = (at + 104..at + 104 + number(at + 12), (at + 104 + number(at + 12)).next_multiple_of(64));
        found.push(Found { range: at..end, payload });
        at = end;
    }
    found
}

/// Damages files of a queue at random places; says which points may be lost for that.
fn damage(queue: &Path, dice: &mut Dice) -> Vec<(u32, u64)> {
    let mut lost = Vec::new();
    let mut files: Vec<PathBuf> = std::fs::read_dir(queue).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for path in files.iter().filter(|path| path.extension().is_some_and(|end| end == "log")) {
        let mut bytes = std::fs::read(path).unwrap();
        let records = records(&bytes);
        let end = records.last().map_or(64, |last| last.range.end);
        let mut hit = BTreeMap::new();
        for _ in 0..1 + dice.below(6) {
            let start = dice.below(end as u64) as usize;
            let length = [1, 8, 100, 1000][dice.below(4) as usize];
            let range = start..(start + length).min(end);
            for (index, record) in records.iter().enumerate() {
                if record.range.start < range.end && range.start < record.range.end {
                    hit.insert(index, record);
                }
            }
            range.for_each(|at| bytes[at] ^= (1 + dice.below(255)) as u8);
        }
        let whole = std::fs::read(path).unwrap();
        let of = hit.values().flat_map(|record| remote_write(&whole[record.payload.clone()]));
        lost.extend(of.map(|(series, value, _)| (series, value)));
        std::fs::write(path, bytes).unwrap();
    }
    if dice.once_in(2) {
        let path = queue.join(["cursor", "segments"][dice.below(2) as usize]);
        let mut bytes = std::fs::read(&path).unwrap();
        let at = dice.below(bytes.len() as u64) as usize;
        bytes[at] ^= (1 + dice.below(255)) as u8;
        std::fs::write(path, bytes).unwrap();
    }
    lost
}

async fn damaged_once(dice: &mut Dice) {
    let (folder, port) = (scratch(), lasting_port());
    let down = Judge::start(Mood::Down).await;
    let stopped = Launch::new(&durable(port, folder.path(), &down.exporter("prometheusremotewrite", DURABLE)));
    let mut first = stopped.run().await;
    let mut senders = Rising::start(To::Http(port), FEW, 0);
    until_true("a backlog", async || senders.points() > 3000).await;
    senders.stop().await;
    let (status, last) = first.stop(Signal::TERM).await;
    assert!(status.success() && last["kept"] == senders.points(), "{last}");

    let queue = folder.path().join("exporter_prometheusremotewrite_metrics");
    let lost = damage(&queue, dice);
    let judge = Judge::start(Mood::Willing).await;
    let mut second =
        Launch::new(&durable(port, folder.path(), &judge.exporter("prometheusremotewrite", DURABLE))).run().await;
    let acknowledged = senders.acknowledged();
    let values = acknowledged.iter().flat_map(|(series, newest)| (1..=*newest).map(|value| (*series, value)));
    let whole: Vec<(u32, u64)> = values.filter(|point| !lost.contains(point)).collect();
    until_true("all that was not damaged", async || whole.iter().all(|(series, value)| judge.has(*series, *value)))
        .await;
    until_true("an empty queue", async || second.books().await.of("exporter", "prometheusremotewrite").held == 0.0)
        .await;
    let told = second.logged("damaged").len();
    assert!(lost.is_empty() || told > 0, "{} points were damaged and nothing was told", lost.len());
    let books = second.finish().await;
    let account = books.of("exporter", "prometheusremotewrite");
    assert!(account.lost() <= lost.len() as f64, "{account:?}, {} were damaged", lost.len());
    assert!(account.dropped.keys().all(|reason| reason == "damaged"), "{account:?}");
    assert!(
        account.outgoing >= judge.points() as f64 && account.created["restored"] >= account.outgoing,
        "{account:?}"
    );
    assert_eq!(judge.wrong(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_files_cost_no_more_than_their_damaged_records() {
    let mut dice = Dice::thrown("damaged files");
    for _ in 0..5 {
        damaged_once(&mut dice).await;
    }
}
