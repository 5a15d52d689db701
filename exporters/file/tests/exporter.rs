//! The exporter as config makes it, against real files.
//! What is written is read back by other means: JSON, lengths, zstd.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use steadyline_component::telemetry::{Limits, Metrics, Opaque, Signal, wire};
use steadyline_component::testkit;
use steadyline_component::{
    Attempt, Batch, Board, Clock, Data, Encoded, Encoder, Exporter, Header, Host, Outcome, Sender, Shutdown,
    StartError, Tally,
};
use steadyline_exporter_file::FileFactory;

struct Made {
    encoder: Box<dyn Encoder>,
    sender: Arc<dyn Sender>,
}

fn make(signal: Signal, yaml: &str) -> Result<Made, String> {
    match testkit::create_for::<FileFactory>(signal, yaml)? {
        Exporter::Queued { encoder, sender, delivery } => {
            assert_eq!(delivery.timeout, Duration::ZERO);
            Ok(Made { encoder, sender })
        }
        Exporter::Direct(_) => panic!("not queued"),
    }
}

impl Made {
    async fn start(&self) -> Result<(), StartError> {
        let clock = Clock::manual(0);
        let host = Host { board: Board::new(clock.clone()), clock, shutdown: Shutdown::new().1 };
        self.sender.start(&host).await
    }

    async fn send(&mut self, batch: Batch) -> Vec<Outcome> {
        let tally = Tally::default();
        let mut blocks = Vec::new();
        self.encoder.encode(&batch, 1, &mut Encoded { blocks: &mut blocks, tally: &tally });
        let mut outcomes = Vec::new();
        for block in blocks {
            outcomes.push(self.sender.send(&block, &Attempt::FIRST).await);
        }
        outcomes
    }

    async fn write(&mut self, points: &str) {
        assert_eq!(self.send(Batch::metrics(testkit::metrics(points))).await, [Outcome::DELIVERED]);
    }
}

async fn started(yaml: &str) -> Made {
    let made = make(Signal::Metrics, yaml).unwrap();
    made.start().await.unwrap();
    made
}

fn lines(path: &Path) -> Vec<serde_json::Value> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The records of a file in which each stands behind its length.
fn records(path: &Path) -> Vec<Vec<u8>> {
    let bytes = fs::read(path).unwrap();
    let (mut rest, mut records) = (&bytes[..], Vec::new());
    while let Some((len, after)) = rest.split_first_chunk::<4>() {
        let (record, after) = after.split_at(u32::from_be_bytes(*len) as usize);
        records.push(record.to_vec());
        rest = after;
    }
    assert!(rest.is_empty());
    records
}

const POINTS: &str = "counter total{account=\"a\"} 9007199254740993 @1.5";

#[tokio::test]
async fn json_is_a_request_a_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("t.jsonl");
    let mut file = started(&format!("path: {}", path.display())).await;
    file.write(POINTS).await;
    file.write("up 1 @2").await;
    let lines = lines(&path);
    let point = &lines[0]["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]["sum"]["dataPoints"][0];
    assert_eq!((lines.len(), &point["asInt"]), (2, &serde_json::json!("9007199254740993")));
    assert_eq!(lines[1]["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]["name"], "up");
}

#[tokio::test]
async fn protobuf_and_compressed_requests_stand_behind_their_length() {
    let directory = tempfile::tempdir().unwrap();
    let points = |bytes: Vec<u8>| testkit::render(&Metrics::decode(bytes.into(), &Limits::default()).unwrap());
    for (name, format, compression) in
        [("a", "proto", "none"), ("b", "proto", "zstd"), ("c", "json", "zstd"), ("d", "proto", "\"\"")]
    {
        let path = directory.path().join(name);
        let yaml = format!("{{path: {}, format: {format}, compression: {compression}}}", path.display());
        let mut file = started(&yaml).await;
        file.write(POINTS).await;
        file.write("up 1 @2").await;
        let open =
            |record: Vec<u8>| if compression == "zstd" { zstd::decode_all(&record[..]).unwrap() } else { record };
        let plain: Vec<Vec<u8>> = records(&path).into_iter().map(open).collect();
        assert_eq!(plain.len(), 2, "{yaml}");
        if format == "proto" {
            assert_eq!(points(plain[0].clone()), [POINTS]);
            assert_eq!(points(plain[1].clone()), ["up 1 @2"]);
        } else {
            let json: serde_json::Value = serde_json::from_slice(&plain[1]).unwrap();
            assert_eq!(json["resourceMetrics"].as_array().map(Vec::len), Some(1));
        }
    }
}

#[tokio::test]
async fn a_file_is_begun_anew_or_appended_to() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("t.jsonl");
    for (yaml, expected) in [("", 1), ("", 1), ("append: true", 2), ("append: true", 3), ("", 1), ("rotation: {}", 2)] {
        let mut file = started(&format!("path: {}\n{yaml}", path.display())).await;
        file.write("up 1").await;
        assert_eq!(lines(&path).len(), expected, "{yaml}");
    }
}

#[tokio::test]
async fn all_signals_of_an_exporter_share_its_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("t.jsonl");
    let yaml = format!("path: {}", path.display());
    let (mut metrics, mut logs) = (make(Signal::Metrics, &yaml).unwrap(), make(Signal::Logs, &yaml).unwrap());
    metrics.start().await.unwrap();
    metrics.write("up 1").await;
    logs.start().await.unwrap();
    let mut request = Vec::new();
    // A resource with a scope with one record.
    wire::put_bytes(&mut request, 1, &[0x12, 2, 0x12, 0]);
    let opaque = Opaque::count(Signal::Logs, Bytes::from(request), &Limits::default()).unwrap();
    let batch = Batch { header: Header::default(), data: Data::Opaque(opaque) };
    assert_eq!(logs.send(batch).await, [Outcome::DELIVERED]);
    let lines = lines(&path);
    assert!(lines[0].get("resourceMetrics").is_some() && lines[1].get("resourceLogs").is_some());
}

#[tokio::test]
async fn a_full_file_is_put_aside_and_the_oldest_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("t.bin");
    let rotation = "rotation: {max_megabytes: 1, max_backups: 2}";
    let mut file = started(&format!("format: proto\npath: {}\n{rotation}", path.display())).await;
    // Two fit into a file, three do not.
    for n in 0..9 {
        file.write(&format!("m{{n={n},text=\"{}\"}} 1", "x".repeat(400_000))).await;
    }
    let mut names: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    let counts: Vec<usize> = names.iter().map(|path| records(path).len()).collect();
    assert_eq!(counts, [2, 2, 1]);
    assert_eq!(names[2], path);
    // One that is too large for any file has one to itself.
    file.write(&format!("m{{text=\"{}\"}} 1", "x".repeat(2_000_000))).await;
    file.write("up 1").await;
    assert_eq!(records(&path).len(), 1);
}

#[tokio::test]
async fn directories_are_made_if_wanted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a/b/t.jsonl");
    let file = make(Signal::Metrics, &format!("path: {}", path.display())).unwrap();
    let error = file.start().await.unwrap_err().to_string();
    assert!(error.contains("cannot write to `") && error.contains("No such file"), "{error}");
    drop(file);
    let mut file = started(&format!("create_directory: true\npath: {}", path.display())).await;
    file.write("up 1").await;
    assert_eq!(lines(&path).len(), 1);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_is_tried_again_and_named() {
    let mut file = started("path: /dev/full").await;
    let outcomes = file.send(Batch::metrics(testkit::metrics("up 1"))).await;
    let [Outcome::Retry { reason, message, .. }] = &outcomes[..] else { panic!("{outcomes:?}") };
    assert_eq!(reason, "disk_full");
    assert!(message.contains("cannot write to `/dev/full`: No space left"), "{message}");
    drop(file);
    let rotated = make(Signal::Metrics, "{path: /dev/full, rotation: {}}").unwrap();
    let error = rotated.start().await.unwrap_err().to_string();
    assert!(error.contains("no regular file, so it cannot be rotated"), "{error}");
}

#[test]
fn what_cannot_be_is_said_at_load() {
    for (yaml, message) in [
        ("", "path: must be set"),
        ("path: logs/", "path: this is a directory"),
        ("{path: a, append: true, compression: zstd}", "append: a compressed file cannot be appended to"),
        ("{path: a, append: true, rotation: {}}", "append: a file that is rotated is always appended to"),
        ("{path: a, rotation: {max_megabytes: 0}}", "rotation.max_megabytes: must be at least 1"),
        ("{path: a, directory_permissions: rwx}", "`rwx` is not permissions in octal"),
        ("{path: a, format: xml}", "format"),
        ("{path: a, compression: gzip}", "compression"),
        ("{path: a, group_by: {enabled: true}}", "all data goes into one file"),
        ("{path: a, encoding: otlp_json}", "files are written as OTLP"),
    ] {
        let text = make(Signal::Metrics, yaml).err().unwrap();
        assert!(text.contains(message), "{yaml}: {text}");
    }
    assert!(make(Signal::Metrics, "{path: b, flush_interval: 5s, sending_queue: {queue_size: 1MiB}}").is_ok());
}
