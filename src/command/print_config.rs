//! `print-config`: the config as it is understood. Secrets are what some component decoded as one.

use clap::{Args as ClapArgs, ValueEnum};
use steadyline_component::{Clock, Kind};
use steadyline_config::{ComponentId, Diagnostics, Node, Redact, Tree, path_join, to_json, to_yaml};
use steadyline_engine::{Registry, Shared, build};

use super::config::{ConfigArgs, Output, report};
use super::{Failure, data};

/// Arguments of `print-config`.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Whether secrets are shown.
    #[arg(long, value_enum, default_value_t = Mode::Redacted)]
    mode: Mode,
    /// In which notation.
    #[arg(long, value_enum, default_value_t = Format::Yaml)]
    format: Format,
    /// Whether the config must be valid.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    validate: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    Redacted,
    Unredacted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Yaml,
    Json,
}

/// Decodes every component, also those that nothing uses: their secrets are secrets too.
fn decode_all(tree: &Tree, registry: &Registry) -> Diagnostics {
    let mut diagnostics = tree.diagnostics();
    for kind in [Kind::Receiver, Kind::Processor, Kind::Exporter, Kind::Connector, Kind::Extension] {
        for entry in tree.root.get(kind.section()).map(Node::entries).unwrap_or_default() {
            let id = entry.key.text.parse::<ComponentId>();
            if let Some(factory) = id.ok().and_then(|id| registry.of_id(kind, &id)) {
                let path = path_join(kind.section(), &entry.key.text);
                (factory.decode)(&entry.value, &path, &mut diagnostics);
            }
        }
    }
    diagnostics
}

pub(super) fn run(args: &Args, registry: &Registry) -> Result<(), Failure> {
    let (tree, mut diagnostics) = args.config.load();
    let graph =
        tree.as_ref().and_then(|tree| build(&tree.root, registry, &Shared::new(Clock::system()), &mut diagnostics));
    report(&diagnostics, Output::Text);
    let Some(tree) = tree else { return Err(Failure::Config) };
    if args.validate && graph.is_none() {
        return Err(Failure::Config);
    }
    let known = decode_all(&tree, registry);
    let redact = match args.mode {
        Mode::Redacted => Redact::Secrets(known.secrets()),
        Mode::Unredacted => Redact::Nothing,
    };
    let text = match args.format {
        Format::Yaml => to_yaml(&tree.root, redact),
        Format::Json => to_json(&tree.root, redact) + "\n",
    };
    data(&text)
}
