//! The docs hold: every YAML block loads, and the reference is what the config types say.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::common::steadyline::Launch;
use crate::common::tools::root;

/// A block of YAML in a page.
struct Block {
    place: String,
    text: String,
}

const SECTIONS: [&str; 6] = ["receivers", "processors", "exporters", "connectors", "extensions", "service"];

/// Blocks that open with ```` ```yaml ```` and nothing behind it are configs, or sections of one. What is no config says
/// so: ```` ```yaml seed ````.
#[tokio::test(flavor = "multi_thread")]
async fn every_yaml_block_loads() {
    let blocks: Vec<Block> = pages().iter().flat_map(|page| blocks(page)).collect();
    for block in &blocks {
        let config = whole(block);
        let mut launch = Launch::new(&config);
        for name in variables(&block.text) {
            launch = launch.env(&name, placeholder(&name));
        }
        let (code, _, words) = launch.output(&["validate"]).await;
        assert_eq!(code, 0, "{}:\n{words}", block.place);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_pipeline_is_valid_without_a_warning() {
    let (code, _, words) = Launch::shipped().output(&["validate"]).await;
    assert_eq!((code, words.as_str()), (0, ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reference_is_fresh() {
    let folder = crate::common::dynamodb::scratch();
    let (code, _, words) = Launch::bare().output(&["reference", folder.path().to_str().unwrap()]).await;
    assert_eq!(code, 0, "{words}");
    let (written, committed) = (files(folder.path()), files(&root().join("docs/reference")));
    let names = |files: &[PathBuf]| -> BTreeSet<String> {
        files.iter().map(|file| file.file_name().unwrap().to_string_lossy().into_owned()).collect()
    };
    let how = "run: cargo run -- reference docs/reference";
    assert_eq!(names(&written), names(&committed), "{how}");
    for name in names(&written) {
        let read = |folder: &Path| std::fs::read_to_string(folder.join(&name)).unwrap();
        assert!(read(folder.path()) == read(&root().join("docs/reference")), "{name} is stale; {how}");
    }
}

fn pages() -> Vec<PathBuf> {
    let mut pages = vec![root().join("README.md")];
    let mut folders = vec![root().join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    pages
}

fn files(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
}

fn blocks(page: &Path) -> Vec<Block> {
    let text = std::fs::read_to_string(page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
    let mut blocks = Vec::new();
    let mut open: Option<(usize, String)> = None;
    // A block in a list is indented, fences and all.
    let mut indent = 0;
    for (at, line) in text.lines().enumerate() {
        let fence = line.trim();
        if open.is_none() {
            indent = line.len() - line.trim_start().len();
        }
        let line = line.get(indent..).unwrap_or_default();
        match (&mut open, fence) {
            (None, "```yaml") => open = Some((at + 1, String::new())),
            (Some((start, text)), "```") => {
                blocks.push(Block { place: format!("{}:{start}", page.display()), text: std::mem::take(text) });
                open = None;
            }
            (Some((_, text)), _) => *text += &format!("{line}\n"),
            (None, _) => {}
        }
    }
    blocks
}

/// The block as a whole config: what it leaves out comes from here, and every component in it is used.
fn whole(block: &Block) -> String {
    let tree: Value = serde_yaml::from_str(&block.text).unwrap_or_else(|error| panic!("{}: {error}", block.place));
    let sections = tree.as_object().unwrap_or_else(|| panic!("{}: not a map", block.place));
    let foreign: Vec<&String> = sections.keys().filter(|key| !SECTIONS.contains(&key.as_str())).collect();
    assert!(
        foreign.is_empty(),
        "{}: {foreign:?} are no sections; say what the block is, as in ```yaml seed",
        block.place
    );
    if sections.contains_key("service") {
        return block.text.clone();
    }
    let ids = |section: &str| -> Vec<String> {
        sections.get(section).and_then(Value::as_object).into_iter().flat_map(Map::keys).cloned().collect()
    };
    let mut rest = json!({"service": {
        "extensions": ids("extensions"),
        "pipelines": {"metrics": {"receivers": ids("receivers"), "processors": ids("processors"), "exporters": ids("exporters")}},
    }});
    let metrics = "/service/pipelines/metrics";
    for (section, id, body) in [
        (
            "receivers",
            "dynamodb/docs",
            json!({"table": "t", "identity": {"id": "id"}, "metrics": [{"name": "m", "value": 1}]}),
        ),
        ("exporters", "debug", Value::Null),
    ] {
        if ids(section).is_empty() {
            rest[section] = json!({id: body});
            rest.pointer_mut(metrics).unwrap()[section] = json!([id]);
        }
    }
    format!("{}\n{}", block.text, serde_yaml::to_string(&rest).unwrap())
}

/// Variables without a default.
fn variables(text: &str) -> BTreeSet<String> {
    let after = text.split("${env:").skip(1).filter_map(|rest| rest.split_once('}'));
    after.map(|(inside, _)| inside).filter(|inside| !inside.contains(":-")).map(str::to_owned).collect()
}

fn placeholder(name: &str) -> &'static str {
    match name {
        // Where service and region are told from the host.
        "AWS_PROMETHEUS_ENDPOINT" => {
            "https://aps-workspaces.us-east-1.amazonaws.com/workspaces/ws-EXAMPLE/api/v1/remote_write"
        }
        _ if name.ends_with("ENDPOINT") || name.ends_with("URL") => "https://backend.example.com/api/v1/write",
        _ if name.ends_with("ARN") => "arn:aws:iam::123456789012:role/example",
        _ if name.ends_with("REGION") => "us-east-1",
        _ if name.ends_with("INTERVAL") => "60s",
        _ => "placeholder",
    }
}
