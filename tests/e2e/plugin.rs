//! `plugin new`: what it writes builds, passes its own tests, and runs.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::common::dynamodb::scratch;
use crate::common::process::output;
use crate::common::steadyline::Launch;
use crate::common::tools::root;

/// Writes a component of this kind into a new folder.
async fn new(name: &str, kind: &str) -> TempDir {
    let folder = scratch();
    let (path, checkout) = (folder.path().display().to_string(), root().display().to_string());
    let launch = Launch::bare().arg(name).arg("--kind").arg(kind).arg("--path").arg(&path);
    let (code, said, words) = launch.arg("--steadyline").arg(&checkout).output(&["plugin", "new"]).await;
    assert_eq!(code, 0, "{words}");
    assert!(said.contains("README.md") && said.contains("Next: "), "{said}");
    folder
}

/// A workspace like this one, with these crates as further members: what is not ours is not built again. Ours is, as cargo
/// tells crates apart by where they lie; so it always lies in the same place, where the next run finds it built.
fn workspace_with(crates: &[(&str, PathBuf)]) -> PathBuf {
    let overlay = Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugins");
    let _ = std::fs::remove_dir_all(&overlay);
    std::fs::create_dir_all(&overlay).unwrap();
    for entry in std::fs::read_dir(root()).unwrap() {
        let entry = entry.unwrap();
        let own = ["Cargo.toml", "Cargo.lock", "target", ".git", ".tools"];
        if !own.iter().any(|own| entry.file_name() == *own) {
            std::os::unix::fs::symlink(entry.path(), overlay.join(entry.file_name())).unwrap();
        }
    }
    std::fs::copy(root().join("Cargo.lock"), overlay.join("Cargo.lock")).unwrap();
    let names: String = crates.iter().map(|(name, _)| format!("\"{name}\", ")).collect();
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let manifest = manifest.replacen("members = [", &format!("members = [{names}"), 1);
    std::fs::write(overlay.join("Cargo.toml"), manifest).unwrap();
    for (name, written) in crates {
        copy(written, &overlay.join(name));
        // A member has no workspace, no profile and no versions of its own.
        let path = overlay.join(name).join("Cargo.toml");
        let own = std::fs::read_to_string(&path).unwrap().replace("[workspace]\n", "");
        let own = own.split("# As in Steadyline").next().unwrap().replace(&root().display().to_string(), "..");
        std::fs::write(path, own).unwrap();
        std::fs::remove_file(overlay.join(name).join("Cargo.lock")).unwrap();
    }
    overlay
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            std::fs::copy(&from, &to).unwrap();
        }
    }
}

/// Runs cargo there, offline, on what was built for this test.
async fn cargo(folder: &Path, args: &[&str]) -> String {
    // The binary under test lies in the folder of a profile in the target folder.
    let target = Path::new(env!("CARGO_BIN_EXE_steadyline")).parent().unwrap().parent().unwrap();
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(folder).args(args).env("CARGO_TARGET_DIR", target).env("CARGO_NET_OFFLINE", "true");
    // What cargo tells the test about its own package would make it build half of everything again, for another package.
    let told = |name: &str| {
        name == "OUT_DIR" || ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"].iter().any(|begin| name.starts_with(begin))
    };
    for (name, _) in std::env::vars().filter(|(name, _)| told(name)) {
        command.env_remove(name);
    }
    let (code, said, words) = long_output(&mut command).await;
    assert_eq!(code, 0, "cargo {args:?}:\n{said}\n{words}");
    said + &words
}

/// As `output`, for builds: they take their time.
async fn long_output(command: &mut Command) -> (i32, String, String) {
    let mut command = tokio::process::Command::from(std::mem::replace(command, Command::new("true")));
    let done = tokio::time::timeout(std::time::Duration::from_secs(3600), command.kill_on_drop(true).output()).await;
    let output = done.expect("it ends").expect("cargo runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

/// Crates as they are written, and the page that takes a reader from nothing to a receiver: what it says to type is typed
/// here.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "compiles every crate of ours again: tests/run.sh -p steadyline --test e2e -- --ignored plugin"]
async fn crates_and_the_receiver_of_the_docs_pass_their_tests() {
    let written = [("my-numbers", "receiver"), ("floor", "processor"), ("dropbox", "receiver")];
    let mut crates = Vec::new();
    for (name, kind) in written {
        crates.push((name, new(name, kind).await));
    }
    let dropbox = crates[2].1.path().join("dropbox");
    let page = std::fs::read_to_string(root().join("docs/writing-a-component.md")).unwrap();
    let (_, file) = page.split_once("```rust\n").unwrap();
    std::fs::write(dropbox.join("src/receiver.rs"), file.split_once("```\n").unwrap().0).unwrap();
    let pipeline = std::fs::read_to_string(dropbox.join("pipeline.yaml")).unwrap();
    std::fs::write(dropbox.join("pipeline.yaml"), pipeline.replace("path: values.txt", "folders: [/tmp]")).unwrap();

    let folders: Vec<(&str, PathBuf)> = crates.iter().map(|(name, at)| (*name, at.path().join(name))).collect();
    let overlay = workspace_with(&folders);
    let dropbox = |more: &[&'static str]| [&["run", "--offline", "-p", "dropbox", "--"][..], more].concat();
    cargo(&overlay, &dropbox(&["reference", "--only", "dropbox", "dropbox/docs"])).await;
    let all = ["test", "--offline", "-p", "my-numbers", "-p", "floor", "-p", "dropbox"];
    let said = cargo(&overlay, &all).await;
    for test in ["lines_become_points", "lower_numbers_are_left_out", "files_are_counted"] {
        assert!(said.contains(&format!("::tests::{test} ... ok")), "{said}");
    }
    assert_eq!(said.matches("the_page_is_fresh ... ok").count(), 3, "{said}");
    cargo(&overlay, &dropbox(&["validate", "--config", "dropbox/pipeline.yaml"])).await;
    let said = cargo(&overlay, &dropbox(&["once", "--config", "dropbox/pipeline.yaml"])).await;
    assert!(said.contains("dropbox.files"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_run_as_they_are_written() {
    for (name, kind, sample) in
        [("waiting", "exec-sh", "waiting_files"), ("lying-about", "exec-python", "lying_about.size")]
    {
        let folder = new(name, kind).await;
        let mut command = Command::new(env!("CARGO_BIN_EXE_steadyline"));
        command.current_dir(folder.path().join(name)).args(["once", "--config", "pipeline.yaml"]);
        let (code, said, words) = output(&mut command, None).await;
        assert_eq!(code, 0, "{words}");
        assert!(said.contains(sample), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_begun_says_so() {
    let folder = scratch();
    let path = folder.path().display().to_string();
    let attempt = async |name: &str, kind: &str| {
        let launch = Launch::bare().arg(name).arg("--kind").arg(kind).arg("--path").arg(&path);
        let (code, _, words) = launch.output(&["plugin", "new"]).await;
        (code, words)
    };
    for (name, kind, word) in [
        ("Bad Name", "exec-sh", "cannot be the type of a component"),
        ("serde", "receiver", "is taken"),
        ("lonely", "receiver", "--steadyline"),
    ] {
        let (code, words) = attempt(name, kind).await;
        assert_eq!(code, 1, "{words}");
        assert!(words.contains(word), "{words}");
    }
    assert_eq!(attempt("twice", "exec-sh").await.0, 0);
    let (code, words) = attempt("twice", "exec-sh").await;
    assert!(code == 1 && words.contains("is there already"), "{words}");
}
