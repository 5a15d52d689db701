//! Reading the config that the command line names, and telling what is wrong with it.

use std::io::IsTerminal;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use steadyline_component::Clock;
use steadyline_config::{Diagnostics, ProcessEnvironment, Source, Tree, load};
use steadyline_engine::{Graph, Registry, Shared};

use super::{Failure, message};

/// Which config.
#[derive(Debug, Clone, Args)]
pub(super) struct ConfigArgs {
    /// A file, or `file:PATH`, `env:VARIABLE` (its content), `yaml:a::b: c`. Repeated: merged in order.
    #[arg(long = "config", value_name = "SOURCE", required = true)]
    config: Vec<String>,
    /// A value to put over the config: `exporters.debug.verbosity=normal`. Repeated: in order.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// Feature gates of the Collector: read, so that its command lines work, and without effect.
    #[arg(long = "feature-gates", value_name = "GATES", value_delimiter = ',', hide = true)]
    feature_gates: Vec<String>,
}

/// How findings are printed.
#[derive(Debug, Clone, Copy, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Output {
    /// For people, with excerpts.
    #[default]
    Text,
    /// One JSON document.
    Json,
    /// Annotations for GitHub Actions.
    Github,
}

impl ConfigArgs {
    /// Reads, merges and expands the config.
    pub(super) fn load(&self) -> (Option<Tree>, Diagnostics) {
        if !self.feature_gates.is_empty() {
            let gates = self.feature_gates.join(", ");
            message(&format!("steadyline: feature gates have no effect here: {gates}"));
        }
        load(&self.sources(), &self.set, &ProcessEnvironment)
    }

    /// Where the config comes from.
    pub(super) fn sources(&self) -> Vec<Source> {
        self.config.iter().map(|argument| Source::parse(argument)).collect()
    }

    /// Reads the config and makes the graph; errors and warnings are printed.
    pub(super) fn graph(&self, registry: &Registry, clock: Clock) -> Result<(Graph, Tree), Failure> {
        self.build(|tree, diagnostics| steadyline_engine::build(&tree.root, registry, &Shared::new(clock), diagnostics))
    }

    /// Reads the config and makes something of it; errors and warnings are printed.
    pub(super) fn build<T>(
        &self,
        make: impl FnOnce(&Tree, &mut Diagnostics) -> Option<T>,
    ) -> Result<(T, Tree), Failure> {
        let (tree, mut diagnostics) = self.load();
        let made = tree.as_ref().and_then(|tree| make(tree, &mut diagnostics));
        report(&diagnostics, Output::Text);
        match (made, tree) {
            (Some(made), Some(tree)) if !diagnostics.has_errors() => Ok((made, tree)),
            _ => Err(Failure::Config),
        }
    }
}

/// Prints what was found, and how much of it.
pub(super) fn report(diagnostics: &Diagnostics, output: Output) {
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let text = rendered(diagnostics, output, colour);
    if !text.is_empty() {
        message(&text);
    }
}

/// What was found, as it is printed.
pub(super) fn rendered(diagnostics: &Diagnostics, output: Output, colour: bool) -> String {
    match output {
        Output::Text => diagnostics.to_text(colour).trim_end().to_string(),
        Output::Json => diagnostics.to_json(),
        Output::Github => diagnostics.to_github(),
    }
}
