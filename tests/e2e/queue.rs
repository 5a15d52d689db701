//! `steadyline queue`: what waits on disk is listed, shown, copied and deleted, beside a process that has it open or not.

use bytes::Bytes;
use serde_json::Value;
use steadyline_blocklog::{Log, Meta, Options, RealDisk, Record};

use crate::common::steadyline::Launch;

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_is_listed_shown_copied_and_emptied() {
    let storage = tempfile::tempdir().unwrap();
    let folder = storage.path().join("exporter_otlp~a_metrics");
    let (mut log, _) = Log::open(RealDisk, &folder, Options::default()).unwrap();
    for seq in 1..=5 {
        let meta = Meta { seq, items: 100, accepted: 1_700_000_000_000_000_000, ..Meta::default() };
        log.append(&[Record { meta, payload: Bytes::from(format!("body of request {seq}")) }]).unwrap();
    }
    log.acknowledge(0, 2).unwrap();
    log.sync_job().run().unwrap();
    // As a running process holds it.
    let lock = std::fs::File::create(folder.join("lock")).unwrap();
    lock.lock().unwrap();

    let config = format!(
        "extensions: {{file_storage: {{directory: {}}}}}\n\
         exporters: {{otlp/a: {{endpoint: localhost:4317, sending_queue: {{storage: file_storage}}}}}}\n",
        storage.path().display()
    );
    let ls = Launch::new(&config).arg("--output").arg("json").output(&["queue", "ls"]).await;
    assert_eq!(ls.0, 0, "{}", ls.2);
    let listed: Value = serde_json::from_str(&ls.1).unwrap();
    let queue = &listed[0];
    assert_eq!((&queue["exporter"], &queue["place"]), (&"otlp/a".into(), &"metrics".into()));
    assert_eq!((&queue["blocks"], &queue["items"], &queue["in_use"]), (&3.into(), &300.into(), &true.into()));

    let directory = storage.path().to_str().unwrap();
    let (code, text, words) = Launch::bare().output(&["queue", "ls", "--directory", directory]).await;
    assert_eq!(code, 0, "{words}");
    assert!(text.starts_with("QUEUE ") && text.contains("2023-11-14T22:13:20.000Z"), "{text}");
    let peek = ["queue", "peek", "--directory", directory, "-n", "1", "--payload", "raw"];
    assert_eq!(Launch::bare().output(&peek).await, (0, "body of request 3".into(), String::new()));

    let copy = storage.path().join("copy");
    let to = copy.to_str().unwrap();
    let (code, _, words) = Launch::bare().output(&["queue", "export", "--directory", directory, "--to", to]).await;
    assert_eq!((code, words.contains("3 blocks copied")), (0, true), "{words}");
    let manifest = std::fs::read_to_string(copy.join("manifest.jsonl")).unwrap();
    let last: Value = serde_json::from_str(manifest.lines().last().unwrap()).unwrap();
    let body = std::fs::read_to_string(copy.join(last["file"].as_str().unwrap())).unwrap();
    assert_eq!(body, "body of request 5");

    let purge = ["queue", "purge", "--directory", directory, "--yes"];
    let (code, _, words) = Launch::bare().output(&purge).await;
    assert_eq!((code, words.contains("stop it first")), (1, true), "{words}");
    drop((lock, log));
    let (code, _, words) = Launch::bare().output(&purge[..4]).await;
    assert_eq!((code, words.contains("`--yes`")), (1, true), "{words}");
    let (code, _, words) = Launch::bare().output(&purge).await;
    assert_eq!((code, words.contains("deleting 3 blocks with 300 items of otlp/a (metrics)")), (0, true), "{words}");
    let (_, text, _) = Launch::bare().output(&["queue", "ls", "--directory", directory, "--output", "json"]).await;
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()[0]["blocks"], 0);
}
