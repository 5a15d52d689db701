//! `components`: what this binary contains, as YAML in the Collector's manner, or as JSON.

use clap::Args as ClapArgs;
use serde_json::{Value, json};
use steadyline_component::{Factory, Kind};
use steadyline_engine::Registry;

use super::{Failure, data};

/// Arguments of `components`.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// Print JSON instead of YAML.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, registry: &Registry) -> Result<(), Failure> {
    let mut document = serde_json::Map::new();
    document.insert("version".into(), env!("CARGO_PKG_VERSION").into());
    for kind in [Kind::Receiver, Kind::Processor, Kind::Exporter, Kind::Connector, Kind::Extension] {
        let entries: Vec<Value> = registry.of(kind).map(entry).collect();
        if !entries.is_empty() {
            document.insert(kind.section().into(), entries.into());
        }
    }
    let text =
        if args.json { serde_json::to_string_pretty(&document)? + "\n" } else { serde_yaml::to_string(&document)? };
    data(&text)
}

fn entry(factory: &Factory) -> Value {
    let spec = &factory.spec;
    let mut entry = json!({"name": spec.name, "summary": spec.summary});
    if !spec.aliases.is_empty() {
        entry["aliases"] = json!(spec.aliases);
    }
    if spec.signals.is_empty() {
        entry["stability"] = spec.stability.name().into();
    } else {
        for signal in spec.signals {
            entry["stability"][signal.name()] = spec.stability.name().into();
        }
    }
    entry
}
