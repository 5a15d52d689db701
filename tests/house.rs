//! Rules of the house, held by a test: who may import whom, and what must not be in the dependency graph.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// The workspace as cargo sees it.
struct House {
    /// Folder by package name.
    folders: BTreeMap<String, String>,
    /// Packages of ours that a package imports, tests aside.
    imports: BTreeMap<String, BTreeSet<String>>,
    /// Every package of the whole graph.
    all: BTreeSet<String>,
}

fn house() -> House {
    let root = env!("CARGO_MANIFEST_DIR");
    // Of this platform only: what others need was never downloaded.
    let host = run(Command::new("rustc").arg("-vV"));
    let host = host.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let args = ["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", host];
    let metadata: Value = serde_json::from_str(&run(Command::new(env!("CARGO")).current_dir(root).args(args))).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let members = metadata["workspace_members"].as_array().unwrap();
    let name = |package: &Value| package["name"].as_str().unwrap().to_string();
    let ours: Vec<&Value> = packages.iter().filter(|package| members.contains(&package["id"])).collect();
    let folder = |package: &Value| {
        let manifest = Path::new(package["manifest_path"].as_str().unwrap());
        manifest.parent().unwrap().strip_prefix(root).unwrap().to_str().unwrap().to_string()
    };
    let folders: BTreeMap<String, String> = ours.iter().map(|package| (name(package), folder(package))).collect();
    let imports = |package: &Value| {
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        let real = dependencies.filter(|dependency| dependency["kind"] != "dev");
        real.map(|dependency| dependency["name"].as_str().unwrap().to_string())
            .filter(|name| folders.contains_key(name))
            .collect()
    };
    let imports = ours.iter().map(|package| (name(package), imports(package))).collect();
    House { imports, all: packages.iter().map(name).collect(), folders }
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What lives in a folder, by its first part.
fn room(folder: &str) -> &str {
    folder.split('/').next().unwrap()
}

#[test]
fn who_may_import_whom() {
    let house = house();
    let mut wrong = Vec::new();
    for (package, imports) in &house.imports {
        let from = house.folders[package].as_str();
        for import in imports {
            let to = house.folders[import].as_str();
            let allowed = match room(from) {
                // The binary, and what measures the whole.
                "" | "benches" => true,
                "telemetry" => false,
                "component" => matches!(room(to), "telemetry" | "component"),
                "aws" => matches!(room(to), "telemetry" | "component"),
                // As somebody else's distribution: the library, what component authors see, and components for its list.
                "examples" => !matches!(room(to), "engine" | "aws" | "benches" | "examples"),
                "engine" => matches!(room(to), "telemetry" | "component" | "engine"),
                "receivers" | "processors" | "exporters" | "connectors" | "extensions" => {
                    matches!(room(to), "telemetry" | "component" | "aws")
                }
                other => panic!("{other}: a new room needs a rule here"),
            };
            if !allowed {
                wrong.push(format!("{from} imports {to}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(house.imports["steadyline-component"].contains("steadyline-telemetry"), "the graph was read");
}

#[test]
fn only_the_binary_knows_every_component() {
    let house = house();
    let rooms = ["receivers", "processors", "exporters", "connectors", "extensions"];
    let component = |name: &String| rooms.contains(&room(&house.folders[name]));
    let components: BTreeSet<&String> = house.folders.keys().filter(|name| component(name)).collect();
    assert!(components.len() > 10);
    let known: BTreeSet<&String> = house.imports["steadyline"].iter().filter(|name| component(name)).collect();
    assert_eq!(known, components);
    for (package, imports) in &house.imports {
        let count = imports.iter().filter(|import| components.contains(import)).count();
        // A distribution that is an example names the few that it has.
        let may = ["steadyline", "steadyline-benches", "slim"].contains(&package.as_str());
        assert!(count == 0 || may, "{package}");
    }
}

/// One TLS stack with one source of cryptography, and none that needs a toolchain of its own.
#[test]
fn one_tls_stack() {
    let house = house();
    assert!(house.all.contains("rustls") && house.all.contains("ring"));
    for package in ["aws-lc-rs", "aws-lc-sys", "openssl", "openssl-sys", "native-tls"] {
        assert!(!house.all.contains(package), "{package}");
    }
}

/// Every file says what it is for before it says anything else.
#[test]
fn every_file_opens_with_what_it_is_for() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders: Vec<_> = house().folders.values().map(|folder| root.join(folder).join("src")).collect();
    folders.push(root.join("tests"));
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                assert!(text.starts_with("//! "), "{}", path.display());
                seen += 1;
            }
        }
    }
    assert!(seen > 100, "{seen}");
}
