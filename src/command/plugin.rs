//! `plugin new`: begins a component of one's own. What it writes are the examples of this repository under another name,
//! so every template is code that is built and tested where it stands.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use clap::{Args as ClapArgs, Subcommand, ValueEnum};

use super::plugin_wasm::{self, Template};
use super::{Failure, data};

/// What to do about components of one's own.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Write a folder with a component that builds and is tested, to go on from.
    New(New),
}

/// Arguments of `plugin new`.
#[derive(Debug, ClapArgs)]
pub(super) struct New {
    /// The component's type, as config will name it: small letters, digits, `_` and `-`, a letter first.
    name: String,
    /// What to write.
    #[arg(long, value_enum, default_value_t = Kind::Receiver)]
    kind: Kind,
    /// The folder in which the new folder is made.
    #[arg(long, default_value = ".")]
    path: PathBuf,
    /// A checkout of Steadyline, which a crate is built against. Unless given, the one that `--path` lies in or beside.
    #[arg(long)]
    steadyline: Option<PathBuf>,
}

/// What can be begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// A crate: a distribution with a receiver of its own, compiled in.
    Receiver,
    /// A crate: a distribution with a processor of its own, compiled in.
    Processor,
    /// A shell script for the receiver `exec`.
    ExecSh,
    /// A Python program for the receiver `exec`.
    ExecPython,
    /// A crate: a WASM plugin for the receiver `wasm`.
    WasmRust,
    /// A crate: a WASM plugin for the processor `wasm`.
    WasmRustProcessor,
    /// A WASM plugin in Python for the receiver `wasm`.
    WasmPython,
    /// A WASM plugin in Python for the processor `wasm`.
    WasmPythonProcessor,
}

impl Kind {
    /// The template of a WASM plugin.
    fn wasm(self) -> Option<Template> {
        Some(match self {
            Kind::WasmRust => plugin_wasm::RUST_RECEIVER,
            Kind::WasmRustProcessor => plugin_wasm::RUST_PROCESSOR,
            Kind::WasmPython => plugin_wasm::PYTHON_RECEIVER,
            Kind::WasmPythonProcessor => plugin_wasm::PYTHON_PROCESSOR,
            Kind::Receiver | Kind::Processor | Kind::ExecSh | Kind::ExecPython => return None,
        })
    }
}

/// A file to write: its path in the new folder, and its text.
pub(super) type File = (String, String);

const MAIN: &str = include_str!("../../examples/custom-distribution/src/main.rs");
const RECEIVER: [&str; 2] = [
    include_str!("../../examples/custom-distribution/src/receiver.rs"),
    include_str!("../../examples/custom-distribution/docs/receiver-keyvalue.md"),
];
const PROCESSOR: [&str; 2] = [
    include_str!("../../examples/custom-distribution/src/processor.rs"),
    include_str!("../../examples/custom-distribution/docs/processor-atleast.md"),
];
const SHELL: &str = include_str!("../../examples/exec/backlog.sh");
const PYTHON: &str = include_str!("../../examples/exec/spool.py");

pub(super) fn run(command: &Command) -> Result<(), Failure> {
    let Command::New(new) = command;
    data(&write(new)?)
}

/// Writes the files, and says which.
fn write(new: &New) -> anyhow::Result<String> {
    check_name(&new.name)?;
    let folder = new.path.join(&new.name);
    ensure!(!folder.exists(), "{} is there already; nothing was written", folder.display());
    let files = match (new.kind.wasm(), new.kind) {
        (Some(template), _) => template.files(&new.name),
        (None, Kind::ExecSh) => script_files(&new.name, "sh", SHELL, "backlog", "prometheus"),
        (None, Kind::ExecPython) => script_files(&new.name, "py", PYTHON, "spool", "json_lines"),
        (None, _) => crate_files(new)?,
    };
    for (path, text) in &files {
        let path = folder.join(path);
        let parent = path.parent().unwrap_or(&folder);
        std::fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let listed: String = files.iter().map(|(path, _)| format!("  {path}\n")).collect();
    Ok(format!("{} has\n{listed}{}", folder.display(), what_next(new)))
}

fn what_next(new: &New) -> String {
    let name = &new.name;
    if let Some(template) = new.kind.wasm() {
        let build = template.build(name);
        return format!(
            "Next: cd {name} && {build} && steadyline once --config pipeline.yaml\nREADME.md has the rest.\n"
        );
    }
    match new.kind {
        Kind::Receiver | Kind::Processor => {
            format!("Next: cd {name} && cargo test && cargo run -- once --config pipeline.yaml\n")
        }
        _ => format!("Next: cd {name} && steadyline once --config pipeline.yaml\n"),
    }
}

fn check_name(name: &str) -> anyhow::Result<()> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-');
    let is_name = name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(allowed) && name.len() <= 64;
    ensure!(is_name, "`{name}` cannot be the type of a component: small letters, digits, `_` and `-`, a letter first");
    // What a crate may not be called, and what would shadow what the templates use.
    let taken = [
        "steadyline",
        "steadyline-component",
        "schemars",
        "serde",
        "tempfile",
        "tokio",
        "test",
        "main",
        "self",
        "crate",
    ];
    ensure!(!taken.contains(&name), "`{name}` is taken; choose another name");
    Ok(())
}

/// The type of a component with `-` is written with `_`, as types in ids are.
pub(super) fn type_of(name: &str) -> String {
    name.replace('-', "_")
}

fn camel(name: &str) -> String {
    let words = name.split(['-', '_']).filter(|word| !word.is_empty());
    words.map(|word| word[..1].to_ascii_uppercase() + &word[1..]).collect()
}

fn crate_files(new: &New) -> anyhow::Result<Vec<File>> {
    let checkout = checkout(new)?;
    let (kind, other, own, [source, page]) = match new.kind {
        Kind::Processor => ("processor", "receiver", ("atleast", "AtLeast"), PROCESSOR),
        _ => ("receiver", "processor", ("keyvalue", "KeyValue"), RECEIVER),
    };
    let (name, camel) = (type_of(&new.name), camel(&new.name));
    let rename = |text: &str| text.replace(own.1, &camel).replace(own.0, &name);
    let main: String = MAIN.lines().filter(|line| !line.contains(other)).map(|line| format!("{line}\n")).collect();
    let pipeline = match new.kind {
        Kind::Processor => processor_pipeline(&name),
        _ => receiver_pipeline(&name),
    };
    let lock = checkout.join("Cargo.lock");
    let lock = std::fs::read_to_string(&lock).with_context(|| format!("cannot read {}", lock.display()))?;
    let mut files = vec![
        ("Cargo.toml".into(), manifest(&new.name, kind, &checkout)),
        // The same versions as there, so that what was built there fits here; cargo leaves out what is not used.
        ("Cargo.lock".into(), lock),
        ("README.md".into(), readme(&new.name, &name, kind)),
        ("pipeline.yaml".into(), pipeline),
        (format!("docs/{kind}-{name}.md"), rename(page)),
        ("src/main.rs".into(), main),
        (format!("src/{kind}.rs"), rename(source)),
    ];
    if new.kind == Kind::Receiver {
        files.push(("values.txt".into(), "first 1\nsecond 2.5\n".into()));
    }
    Ok(files)
}

/// Where Steadyline's crates are: a checkout that was named, or one around or beside the new folder.
fn checkout(new: &New) -> anyhow::Result<PathBuf> {
    let is_checkout = |folder: &Path| {
        let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
        manifest.contains("name = \"steadyline\"") && folder.join("component/Cargo.toml").is_file()
    };
    if let Some(folder) = &new.steadyline {
        let folder = folder.canonicalize().with_context(|| format!("cannot find {}", folder.display()))?;
        ensure!(is_checkout(&folder), "{} is no checkout of Steadyline", folder.display());
        return Ok(folder);
    }
    let start = new.path.canonicalize().with_context(|| format!("cannot find {}", new.path.display()))?;
    let around = start.ancestors().flat_map(|folder| [folder.to_path_buf(), folder.join("steadyline")]);
    match around.into_iter().find(|folder| is_checkout(folder)) {
        Some(folder) => Ok(folder),
        None => bail!("a crate is built against Steadyline's own crates: name a checkout of it by --steadyline"),
    }
}

fn manifest(name: &str, kind: &str, checkout: &Path) -> String {
    let at = |folder: PathBuf| toml_text(&folder.display().to_string());
    let (steadyline, component) = (at(checkout.to_path_buf()), at(checkout.join("component")));
    let tempfile = if kind == "receiver" { "tempfile = \"3\"\n" } else { "" };
    format!(
        "[package]
name = \"{name}\"
description = \"Steadyline with the {kind} {type_name}.\"
version = \"0.1.0\"
edition = \"2024\"

# Stands on its own, wherever it lies.
[workspace]

[dependencies]
steadyline = {{ path = {steadyline} }}
steadyline-component = {{ path = {component} }}
schemars = {{ version = \"1\", default-features = false, features = [\"derive\", \"std\"] }}
serde = {{ version = \"1\", features = [\"derive\"] }}

[dev-dependencies]
{tempfile}tokio = {{ version = \"1\", features = [\"macros\", \"rt\"] }}

# As in Steadyline, so that what was built there can be used here (CARGO_TARGET_DIR).
[profile.dev]
debug = \"line-tables-only\"
[profile.dev.package.dynoxide-rs]
opt-level = 2
[profile.dev.package.libsqlite3-sys]
opt-level = 2
[profile.dev.package.rusqlite]
opt-level = 2
",
        type_name = type_of(name),
    )
}

/// A basic string of TOML.
fn toml_text(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn readme(name: &str, type_name: &str, kind: &str) -> String {
    format!(
        "# {name}

Steadyline with the {kind} `{type_name}`, which is in `src/{kind}.rs`.

```
cargo test                                        # its tests, and that its page is fresh
cargo run -- once --config pipeline.yaml          # one pass, printed
cargo run -- --config pipeline.yaml               # for good
cargo run -- reference --only {type_name} docs    # its page, from its config's comments
```
"
    )
}

fn receiver_pipeline(name: &str) -> String {
    format!(
        "receivers:
  {name}:
    path: values.txt
exporters:
  debug: {{verbosity: detailed}}
service:
  pipelines:
    metrics: {{receivers: [{name}], exporters: [debug]}}
"
    )
}

fn processor_pipeline(name: &str) -> String {
    format!(
        "receivers:
  hostmetrics: {{scrapers: {{load: }}}}
processors:
  {name}: {{min: 0}}
exporters:
  debug: {{verbosity: detailed}}
service:
  pipelines:
    metrics: {{receivers: [hostmetrics], processors: [{name}], exporters: [debug]}}
"
    )
}

fn script_files(name: &str, ending: &str, text: &str, own: &str, format: &str) -> Vec<File> {
    let type_name = type_of(name);
    let program = if ending == "sh" { "sh" } else { "python3" };
    let pipeline = format!(
        "receivers:
  exec/{name}:
    command: [{program}, {name}.{ending}, .]
    format: {format}
    collection_interval: 60s
    timeout: 20s
exporters:
  debug: {{verbosity: detailed}}
service:
  pipelines:
    metrics: {{receivers: [exec/{name}], exporters: [debug]}}
"
    );
    let readme = format!(
        "# {name}

A program for the receiver `exec`, and a config that runs it.

```
{program} {name}.{ending} .
steadyline once --config pipeline.yaml
```
"
    );
    vec![
        ("README.md".into(), readme),
        (format!("{name}.{ending}"), text.replace(own, &type_name)),
        ("pipeline.yaml".into(), pipeline),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_types_and_crates() {
        for name in ["a", "queue-depth", "s3_usage"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in ["", "A", "1st", "a b", "../x", "a.b", "serde", &"x".repeat(65)] {
            assert!(check_name(name).is_err(), "{name}");
        }
        assert_eq!((camel("queue-depth_2").as_str(), type_of("queue-depth").as_str()), ("QueueDepth2", "queue_depth"));
    }

    #[test]
    fn a_template_keeps_nothing_of_its_example() {
        let new = |kind| New { name: "my-own".into(), kind, path: ".".into(), steadyline: Some(".".into()) };
        for (kind, names) in [(Kind::Receiver, ["keyvalue", "KeyValue"]), (Kind::Processor, ["atleast", "AtLeast"])] {
            let files = crate_files(&new(kind)).expect("this is a checkout");
            for (path, text) in files.iter().filter(|(path, _)| path != "Cargo.lock") {
                assert!(names.iter().all(|name| !text.contains(name) && !path.contains(name)), "{path}: {text}");
                assert!(!text.contains("custom-distribution"), "{path}");
            }
            let (_, main) = files.iter().find(|(path, _)| path == "src/main.rs").expect("there is a main");
            assert_eq!(main.matches("FACTORY").count(), 1, "{main}");
        }
        for files in
            [script_files("my-own", "sh", SHELL, "backlog", "x"), script_files("my-own", "py", PYTHON, "spool", "x")]
        {
            assert!(files.iter().all(|(_, text)| !text.contains("backlog") && !text.contains("spool")), "{files:?}");
            assert!(files.iter().any(|(_, text)| text.contains("my_own")));
        }
    }
}
