//! The binary with the feature `wasm`: what `plugin new` writes is built and run to the letter, and the guide's configs load.
//! Run by `tests/wasm.sh`, which installs what it takes.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

const BINARY: &str = env!("CARGO_BIN_EXE_steadyline");

/// The output of a command that succeeds.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {text}");
    text
}

/// Where plugins are built, beside the binary: what was built there before is built no more.
fn target() -> PathBuf {
    Path::new(BINARY).ancestors().nth(2).unwrap().join("plugins")
}

/// Serves a folder's `queues.json`, however often it is asked for. Gives its address.
fn serve(folder: &Path) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let document = std::fs::read(folder.join("queues.json")).unwrap();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let read = connection.read(&mut [0; 4096]).unwrap();
            assert!(read > 0);
            let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", document.len());
            connection.write_all(&[head.as_bytes(), &document].concat()).unwrap();
        }
    });
    address
}

/// `plugin new`, its own build command, and `once` with its own config.
fn begin(kind: &str, build: impl FnOnce(&Path)) -> String {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().to_str().unwrap();
    run(Command::new(BINARY).args(["plugin", "new", "my-own", "--kind", kind, "--path", path]));
    let folder = scratch.path().join("my-own");
    build(&folder);
    let config = folder.join("pipeline.yaml");
    let mut text = std::fs::read_to_string(&config).unwrap();
    // A plugin in Python takes a while to compile, the first time.
    let cache = target().join("compiled");
    text = text.replace("    path: ", &format!("    cache_directory: {}\n    path: ", cache.display()));
    if folder.join("queues.json").exists() {
        text = text.replace("127.0.0.1:8000", &serve(&folder));
        text = text.replace("    path: ", "    collection_interval: 600s\n    path: ");
    }
    std::fs::write(&config, text).unwrap();
    run(Command::new(BINARY).current_dir(&folder).args(["validate", "--config", "pipeline.yaml"]));
    run(Command::new(BINARY).current_dir(&folder).args(["once", "--config", "pipeline.yaml"]))
}

/// As README says, but for the folder: it lies where the crates of other plugins were built.
fn by_cargo(folder: &Path) {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(folder).args(["build", "--quiet", "--release", "--target", "wasm32-wasip2"]);
    run(cargo.arg("--target-dir").arg(target()));
    let built = folder.join("target/wasm32-wasip2/release");
    std::fs::create_dir_all(&built).unwrap();
    std::fs::copy(target().join("wasm32-wasip2/release/my_own.wasm"), built.join("my_own.wasm")).unwrap();
}

fn by_componentize(folder: &Path, world: &str) {
    let program = std::env::var("STEADYLINE_COMPONENTIZE_PY").expect("tests/wasm.sh sets STEADYLINE_COMPONENTIZE_PY");
    let args = ["-d", "wit", "-w", world, "componentize", "my_own", "-o", "my_own.wasm"];
    run(Command::new(program).current_dir(folder).args(args));
}

fn is_receiver(text: &str) {
    assert!(text.contains("queue.length") && text.contains("mail"), "{text}");
}

fn is_processor(text: &str) {
    assert!(text.contains("critical") && text.contains("mail") && !text.contains("test"), "{text}");
}

// One after the other: crates are built in one place.
#[test]
fn crates_from_plugin_new_run_as_they_are() {
    is_receiver(&begin("wasm-rust", by_cargo));
    is_processor(&begin("wasm-rust-processor", by_cargo));
}

#[test]
fn python_from_plugin_new_runs_as_it_is() {
    is_receiver(&begin("wasm-python", |folder| by_componentize(folder, "receiver")));
    is_processor(&begin("wasm-python-processor", |folder| by_componentize(folder, "processor")));
}

#[test]
fn the_configs_of_the_guide_load() {
    let guide = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/wasm.md")).unwrap();
    let blocks: Vec<&str> = guide.split("```yaml wasm\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(blocks.len() > 1);
    let folder = tempfile::tempdir().unwrap();
    for block in blocks {
        let path = folder.path().join("config.yaml");
        std::fs::write(&path, block).unwrap();
        run(Command::new(BINARY).env("QUEUES_TOKEN", "x").arg("validate").arg("--config").arg(&path));
    }
}
