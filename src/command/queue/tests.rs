//! What the commands make of a real queue.

use std::path::Path;

use bytes::Bytes;
use steadyline_blocklog::{Log, Meta, Options, Record};

use super::*;

/// A queue with blocks 4 to 6 of an exporter, in a `file_storage`.
fn queue(storage: &Path) -> Queue {
    let folder = storage.join("exporter_otlp~a_metrics");
    let (mut log, _) = Log::open(RealDisk, &folder, Options::default()).unwrap();
    for seq in 1..=6 {
        let accepted = 1_700_000_000_000_000_000 + seq * 1_000_000_000;
        let meta = Meta { seq, items: seq * 10, accepted, time_range: (accepted, accepted + 1), ..Meta::default() };
        log.append(&[Record { meta, payload: Bytes::from(vec![seq as u8; 3]) }]).unwrap();
    }
    log.acknowledge(0, 3).unwrap();
    log.sync_job().run().unwrap();
    Queue { exporter: "otlp/a".into(), place: "metrics".into(), folder }
}

fn parse(args: &[&str]) -> Result<Args, clap::Error> {
    #[derive(Debug, clap::Parser)]
    struct Whole {
        #[command(flatten)]
        args: Args,
    }
    <Whole as clap::Parser>::try_parse_from(std::iter::once("queue").chain(args.iter().copied()))
        .map(|whole| whole.args)
}

fn which(args: &[&str]) -> Which {
    match parse(&[&["ls"][..], args].concat()).unwrap().command {
        Command::Ls { which, .. } => which,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_queue_is_found_by_its_folder_its_storage_and_its_config() {
    let storage = tempfile::tempdir().unwrap();
    let expected = vec![queue(storage.path())];
    let folder = expected[0].folder.to_str().unwrap().to_string();
    let directory = storage.path().to_str().unwrap().to_string();
    assert_eq!(which(&["--directory", &folder]).queues().unwrap(), expected);
    assert_eq!(which(&["--directory", &directory]).queues().unwrap(), expected);
    let path = storage.path().join("config.yaml");
    let text = format!(
        "extensions: {{file_storage/q: {{directory: {directory}}}}}\n\
         exporters: {{otlp/a: {{sending_queue: {{storage: file_storage/q}}}}, otlp/b: {{endpoint: x}}}}\n"
    );
    std::fs::write(&path, text).unwrap();
    let config = path.to_str().unwrap().to_string();
    assert_eq!(which(&["--config", &config]).queues().unwrap(), expected);
    assert_eq!(which(&["--config", &config, "--exporter", "otlp/a"]).queues().unwrap(), expected);
    for (args, words) in [
        (vec!["--config", config.as_str(), "--exporter", "otlp/b"], "exporter otlp/b has no disk queue there"),
        (vec!["--config", "yaml:exporters: {otlp/b: {}}"], "no exporter of this config has a disk queue"),
        (vec!["--config", "yaml:exporters: {a: {sending_queue: {storage: x}}}"], "there is no extension x"),
        (vec!["--directory", "/nowhere/at/all"], "is no folder"),
    ] {
        let Err(Failure::Run(error)) = which(&args).queues() else { panic!("{args:?}") };
        assert!(error.to_string().contains(words), "{error}");
    }
    assert!(parse(&["ls"]).is_err());
}

#[test]
fn what_waits_is_listed_for_people_and_for_programs() {
    let storage = tempfile::tempdir().unwrap();
    let seen = look(&[queue(storage.path())]).unwrap();
    let text = table(&seen);
    let line = text.lines().nth(1).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    let expected =
        ["otlp/a", "(metrics)", "3", "150", "9", "2023-11-14T22:13:24.000Z", "2023-11-14T22:13:26.000Z", "0", "0"];
    assert_eq!(words[..9], expected, "{text}");
    let summary = summary(&seen[0]);
    assert_eq!((summary["blocks"].as_u64(), summary["items"].as_u64()), (Some(3), Some(150)));
    assert_eq!(summary["oldest"], "2023-11-14T22:13:24.000Z");
    assert_eq!(summary["in_use"], false);
    let block = described(&seen[0].0, &seen[0].1.records[0]);
    assert_eq!((block["sequence"].as_u64(), block["latest"].as_str()), (Some(4), Some("2023-11-14T22:13:24.000Z")));
}

#[test]
fn what_waits_is_copied_with_a_manifest_to_an_empty_folder() {
    let storage = tempfile::tempdir().unwrap();
    let seen = look(&[queue(storage.path())]).unwrap();
    let to = storage.path().join("copy");
    assert_eq!(export::export(&seen, &to).unwrap(), (3, 0));
    let manifest = std::fs::read_to_string(to.join("manifest.jsonl")).unwrap();
    let lines: Vec<Value> = manifest.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    for (seq, line) in (4..).zip(&lines) {
        assert_eq!(line["sequence"], seq);
        assert_eq!(std::fs::read(to.join(line["file"].as_str().unwrap())).unwrap(), [seq as u8; 3]);
    }
    let error = export::export(&seen, &to).unwrap_err();
    assert!(error.to_string().contains("is not empty"), "{error}");
}

#[test]
fn purging_asks_first_and_waits_for_nobody() {
    let storage = tempfile::tempdir().unwrap();
    let queue = queue(storage.path());
    let blocks = || look(std::slice::from_ref(&queue)).unwrap()[0].1.pending.records;
    let Err(Failure::Run(error)) = purge::purge(std::slice::from_ref(&queue), false, false) else { panic!() };
    assert!(error.to_string().contains("`--yes` deletes these 3 blocks"), "{error}");
    let held = std::fs::File::options().write(true).open(queue.lock_file()).unwrap();
    held.lock().unwrap();
    assert!(queue.is_in_use());
    let Err(Failure::Run(error)) = purge::purge(std::slice::from_ref(&queue), false, true) else { panic!() };
    assert!(error.to_string().contains("stop it first"), "{error}");
    assert_eq!(blocks(), 3);
    drop(held);
    purge::purge(std::slice::from_ref(&queue), false, true).unwrap();
    assert_eq!(blocks(), 0);
    let (_, recovery) = Log::open(RealDisk, &queue.folder, Options::default()).unwrap();
    assert!(recovery.quarantined.is_empty(), "a purge is no damage: {:?}", recovery.quarantined);
    assert!(recovery.next_seq > 3);
}
