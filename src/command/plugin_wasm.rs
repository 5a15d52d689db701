//! `plugin new` for WASM plugins: the templates of `plugins/`, under another name, with the interfaces they are built against.

use super::plugin::{File, type_of};

/// The interfaces, as they are in `plugins/wit`.
const WIT: [(&str, &str); 4] = [
    ("types.wit", include_str!("../../plugins/wit/types.wit")),
    ("host.wit", include_str!("../../plugins/wit/host.wit")),
    ("receiver.wit", include_str!("../../plugins/wit/receiver.wit")),
    ("processor.wit", include_str!("../../plugins/wit/processor.wit")),
];

/// A template.
pub(super) struct Template {
    /// What the template is called where it stands.
    own: &'static str,
    world: &'static str,
    source: &'static str,
    /// Of a crate; none: Python.
    manifest: Option<&'static str>,
}

pub(super) const RUST_RECEIVER: Template = Template {
    own: "queues",
    world: "receiver",
    source: include_str!("../../plugins/templates/rust/src/lib.rs"),
    manifest: Some(include_str!("../../plugins/templates/rust/Cargo.toml")),
};
pub(super) const RUST_PROCESSOR: Template = Template {
    own: "classify",
    world: "processor",
    source: include_str!("../../plugins/templates/rust-processor/src/lib.rs"),
    manifest: Some(include_str!("../../plugins/templates/rust-processor/Cargo.toml")),
};
pub(super) const PYTHON_RECEIVER: Template = Template {
    own: "queues",
    world: "receiver",
    source: include_str!("../../plugins/templates/python/queues.py"),
    manifest: None,
};
pub(super) const PYTHON_PROCESSOR: Template = Template {
    own: "classify",
    world: "processor",
    source: include_str!("../../plugins/templates/python-processor/classify.py"),
    manifest: None,
};

impl Template {
    /// The files of a new plugin.
    pub(super) fn files(&self, name: &str) -> Vec<File> {
        let module = type_of(name);
        let mut files: Vec<File> = WIT.iter().map(|(file, text)| (format!("wit/{file}"), (*text).into())).collect();
        // Metric names and the template's subject stay: they are what is to be replaced.
        let title = format!("`{}`", self.own);
        let source = self.source.replace(&title, &format!("`{module}`")).replace("../../wit", "wit");
        match self.manifest {
            Some(manifest) => {
                let own = format!("name = \"{}\"", self.own);
                let manifest = manifest.replace(&own, &format!("name = \"{name}\""));
                files.push(("Cargo.toml".into(), manifest + STANDS_ALONE));
                files.push(("src/lib.rs".into(), source));
            }
            None => files.push((format!("{module}.py"), source)),
        }
        files.push(("README.md".into(), self.readme(name)));
        files.push(("pipeline.yaml".into(), self.pipeline(name)));
        if self.world == "receiver" {
            files.push((
                "queues.json".into(),
                "[{\"name\": \"mail\", \"length\": 3}, {\"name\": \"sms\", \"length\": null}]\n".into(),
            ));
        }
        files
    }

    /// The component's file, from the new folder.
    fn component(&self, name: &str) -> String {
        let module = type_of(name);
        match self.manifest {
            Some(_) => format!("target/wasm32-wasip2/release/{module}.wasm"),
            None => format!("{module}.wasm"),
        }
    }

    /// How it is built.
    pub(super) fn build(&self, name: &str) -> String {
        match self.manifest {
            Some(_) => "cargo build --release --target wasm32-wasip2".into(),
            None => {
                let module = type_of(name);
                format!("componentize-py -d wit -w {} componentize {module} -o {module}.wasm", self.world)
            }
        }
    }

    fn readme(&self, name: &str) -> String {
        let (kind, module, build) = (self.world, type_of(name), self.build(name));
        let (file, tools, test) = match self.manifest {
            Some(_) => ("src/lib.rs".into(), "rustup target add wasm32-wasip2", "cargo test\n"),
            None => (format!("{module}.py"), "pip install 'componentize-py==0.23.*'", ""),
        };
        let serve = if kind == "receiver" { "python3 -m http.server --bind 127.0.0.1 8000 &\n" } else { "" };
        format!(
            "# {name}

The {kind} `{module}` for Steadyline, as a WebAssembly plugin. It is in `{file}`; what it may call, and what it exports, is
in `wit/`.

```
{tools}
{test}{build}
{serve}steadyline once --config pipeline.yaml
```

Steadyline must be built with `--features wasm`.
"
        )
    }

    fn pipeline(&self, name: &str) -> String {
        let (id, path) = (format!("wasm/{}", type_of(name)), self.component(name));
        if self.world == "receiver" {
            return format!(
                "receivers:
  {id}:
    path: {path}
    config: {{url: \"http://127.0.0.1:8000/queues.json\"}}
    http: {{allow: [\"127.0.0.1:8000\"]}}
    identity: [queue]
exporters:
  debug: {{verbosity: detailed}}
service:
  pipelines:
    metrics: {{receivers: [{id}], exporters: [debug]}}
"
            );
        }
        format!(
            "receivers:
  exec:
    command: [printf, 'queue_length{{queue=\"mail\"}} 3\\nqueue_length{{queue=\"test\"}} 1\\n']
processors:
  {id}:
    path: {path}
    config: {{critical: [mail], ignore: [test]}}
    timeout: 30s
exporters:
  debug: {{verbosity: detailed}}
service:
  pipelines:
    metrics: {{receivers: [exec], processors: [{id}], exporters: [debug]}}
"
        )
    }
}

const STANDS_ALONE: &str = "
# Stands on its own, wherever it lies.
[workspace]

[profile.release]
opt-level = \"s\"
lto = true
codegen-units = 1
strip = \"debuginfo\"
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_has_its_name_and_its_interfaces() {
        for template in [RUST_RECEIVER, RUST_PROCESSOR, PYTHON_RECEIVER, PYTHON_PROCESSOR] {
            let files = template.files("my-own");
            let all: String = files.iter().map(|(path, text)| format!("{path}\n{text}")).collect();
            assert!(!all.contains("../../wit") && !all.contains(&format!("`{}`", template.own)), "{all}");
            for (file, text) in WIT {
                assert!(files.contains(&(format!("wit/{file}"), text.to_owned())));
            }
            assert!(all.contains("wasm/my_own:") && all.contains(&template.build("my-own")), "{all}");
            assert!(template.manifest.is_none() || all.contains("name = \"my-own\""), "{all}");
        }
    }
}
