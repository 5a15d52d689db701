//! `plugin new`: what it writes builds, passes its own tests, and runs.

use std::path::Path;
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

/// A workspace like this one, with the crate as one more member: what is not ours is not built again. Ours is, once, as cargo
/// tells crates apart by where they lie.
fn workspace_with(crate_folder: &Path, name: &str) -> TempDir {
    let overlay = scratch();
    for entry in std::fs::read_dir(root()).unwrap() {
        let entry = entry.unwrap();
        let own = ["Cargo.toml", "Cargo.lock", "target", ".git", ".tools"];
        if !own.iter().any(|own| entry.file_name() == *own) {
            std::os::unix::fs::symlink(entry.path(), overlay.path().join(entry.file_name())).unwrap();
        }
    }
    std::fs::copy(root().join("Cargo.lock"), overlay.path().join("Cargo.lock")).unwrap();
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let manifest = manifest.replacen("members = [", &format!("members = [\"{name}\", "), 1);
    std::fs::write(overlay.path().join("Cargo.toml"), manifest).unwrap();
    copy(crate_folder, &overlay.path().join(name));
    // A member has no workspace and no profile of its own.
    let path = overlay.path().join(name).join("Cargo.toml");
    let own = std::fs::read_to_string(&path).unwrap().replace("[workspace]\n", "");
    let own = own.split("# As in Steadyline").next().unwrap().replace(&root().display().to_string(), "..");
    std::fs::write(path, own).unwrap();
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
    for (name, _) in
        std::env::vars().filter(|(name, _)| name.starts_with("CARGO_PKG") || name.starts_with("CARGO_MANIFEST"))
    {
        command.env_remove(name);
    }
    let (code, said, words) = long_output(&mut command).await;
    assert_eq!(code, 0, "cargo {args:?}:\n{said}\n{words}");
    said + &words
}

/// As `output`, for builds: they take their time.
async fn long_output(command: &mut Command) -> (i32, String, String) {
    let mut command = tokio::process::Command::from(std::mem::replace(command, Command::new("true")));
    let done = tokio::time::timeout(std::time::Duration::from_secs(1200), command.kill_on_drop(true).output()).await;
    let output = done.expect("it ends").expect("cargo runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "compiles every crate of ours again: tests/run.sh -p steadyline --test e2e -- --ignored plugin"]
async fn crates_build_and_pass_their_tests() {
    for (name, kind, test) in [
        ("my-numbers", "receiver", "receiver::tests::lines_become_points"),
        ("floor", "processor", "processor::tests::lower_numbers_are_left_out"),
    ] {
        let folder = new(name, kind).await;
        let overlay = workspace_with(&folder.path().join(name), name);
        let said = cargo(overlay.path(), &["test", "--offline", "-p", name]).await;
        assert!(said.contains(&format!("test {test} ... ok")), "{said}");
        assert!(said.contains("the_page_is_fresh ... ok"), "{said}");
    }
}

/// The page that takes a reader from nothing to a receiver: what it says to type is typed here.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "compiles every crate of ours again: tests/run.sh -p steadyline --test e2e -- --ignored plugin"]
async fn the_receiver_of_the_docs_passes_its_tests() {
    let folder = new("dropbox", "receiver").await;
    let written = folder.path().join("dropbox");
    let page = std::fs::read_to_string(root().join("docs/writing-a-component.md")).unwrap();
    let (_, file) = page.split_once("```rust\n").unwrap();
    std::fs::write(written.join("src/receiver.rs"), file.split_once("```\n").unwrap().0).unwrap();
    let pipeline = std::fs::read_to_string(written.join("pipeline.yaml")).unwrap();
    std::fs::write(written.join("pipeline.yaml"), pipeline.replace("path: values.txt", "folders: [/tmp]")).unwrap();
    let overlay = workspace_with(&written, "dropbox");
    let run = ["run", "--offline", "-p", "dropbox", "--"];
    let with = |more: &[&'static str]| [&run[..], more].concat();
    cargo(overlay.path(), &with(&["reference", "--only", "dropbox", "dropbox/docs"])).await;
    let said = cargo(overlay.path(), &["test", "--offline", "-p", "dropbox"]).await;
    assert!(said.contains("files_are_counted ... ok") && said.contains("the_page_is_fresh ... ok"), "{said}");
    let said = cargo(overlay.path(), &with(&["once", "--config", "dropbox/pipeline.yaml"])).await;
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
