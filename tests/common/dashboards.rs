//! The dashboards as Grafana shows them: their panels, their variables, and their queries with the variables filled in.

use std::path::PathBuf;

use serde_json::Value;

use super::tools::root;

/// What Grafana fills in by itself, and the values that stand for it unless a test says otherwise.
const BUILT_IN: [(&str, &str); 3] = [("__interval", "1m"), ("__range", "1h"), ("__rate_interval", "5m")];

/// One file of `dashboards/`.
pub struct Dashboard {
    /// The file's name.
    pub file: String,
    /// Its content.
    pub json: Value,
}

/// Every dashboard, by name.
pub fn all() -> Vec<Dashboard> {
    let found: Vec<Dashboard> = files("json").into_iter().map(read).collect();
    assert!(!found.is_empty());
    found
}

/// The dashboard of this file.
pub fn named(file: &str) -> Dashboard {
    read(root().join("dashboards").join(file))
}

/// The files of `dashboards/` that end so.
pub fn files(ending: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join("dashboards")).expect("the folder is there");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("it can be listed").path()).collect();
    paths.retain(|path| path.to_string_lossy().ends_with(&format!(".{ending}")));
    paths.sort();
    paths
}

fn read(path: PathBuf) -> Dashboard {
    let file = path.file_name().expect("a file").to_string_lossy().into_owned();
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
    let json = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
    Dashboard { file, json }
}

impl Dashboard {
    /// Its panels.
    pub fn panels(&self) -> &[Value] {
        self.json["panels"].as_array().expect("panels")
    }

    /// Its variables, the data source among them.
    pub fn variables(&self) -> &[Value] {
        self.json["templating"]["list"].as_array().expect("variables")
    }

    /// The variable of this name.
    pub fn variable(&self, name: &str) -> &Value {
        let found = self.variables().iter().find(|variable| variable["name"] == name);
        found.unwrap_or_else(|| panic!("{}: no variable {name}", self.file))
    }

    /// Title and expression of every query.
    pub fn queries(&self) -> impl Iterator<Item = (&str, &str)> {
        self.panels().iter().flat_map(|panel| {
            let title = panel["title"].as_str().expect("a title");
            let targets = panel["targets"].as_array().expect("targets").iter();
            targets.map(move |target| (title, target["expr"].as_str().expect("an expression")))
        })
    }

    /// An expression with every variable filled in: from `values`, else what is chosen when the dashboard is opened.
    pub fn fill(&self, expression: &str, values: &[(&str, &str)]) -> String {
        let mut filled = String::new();
        let mut rest = expression;
        while let Some((before, after)) = rest.split_once('$') {
            let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let braced = after.strip_prefix('{').and_then(|after| after.split_once('}'));
            let (name, after) =
                braced.unwrap_or_else(|| after.split_at(after.find(|c| !is_part(c)).unwrap_or(after.len())));
            filled += before;
            let given = values.iter().chain(&BUILT_IN).find(|(given, _)| *given == name);
            filled += given.map_or_else(|| self.chosen(name), |(_, value)| value);
            rest = after;
        }
        filled + rest
    }

    fn chosen(&self, name: &str) -> &str {
        let variable = self.variable(name);
        let value = if variable["includeAll"] == true { &variable["allValue"] } else { &variable["current"]["value"] };
        value.as_str().unwrap_or_else(|| panic!("{}: nothing is chosen for {name}", self.file))
    }
}
