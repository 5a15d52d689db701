//! The slim binary loads the flagship pipeline, which the default distribution ships with an embedded table, and has
//! nothing that this pipeline does not name.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Output};

fn slim(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_slim")).args(arguments).env("DYNAMODB_ENDPOINT", "aws").output().unwrap()
}

/// `pipeline.yaml` of the repository without its embedded table.
fn pipeline(folder: &Path) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = std::fs::read_to_string(root.join("pipeline.yaml")).unwrap();
    let without: String = text
        .lines()
        .filter(|line| !line.starts_with("  embedded_dynamodb:"))
        .fold(String::new(), |text, line| text + line + "\n");
    assert!(without.len() < text.len());
    let path = folder.join("pipeline.yaml");
    std::fs::write(&path, without).unwrap();
    path.display().to_string()
}

#[test]
fn the_flagship_pipeline_loads_and_every_component_is_named_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = pipeline(folder.path());
    let done = slim(&["validate", "--config", &path]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let listed = slim(&["components"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    for name in ["dynamodb", "labels", "lastvalue", "prometheusremotewrite", "otlp", "sigv4auth", "health_check"] {
        assert!(listed.contains(name) && text.contains(name), "{name}: {listed}");
    }
    for name in ["embedded_dynamodb", "awssqs", "sqlquery", "hostmetrics"] {
        assert!(!listed.contains(name), "{name}: {listed}");
    }
}

#[test]
fn what_is_left_out_says_so() {
    let done = slim(&["lambda", "--config", "pipeline.yaml"]);
    assert!(!done.status.success());
}
