//! `validate`: everything that start-up checks, and nothing that needs the world.

use clap::Args as ClapArgs;
use steadyline_component::Clock;
use steadyline_engine::{Registry, Shared, build};

use super::config::{ConfigArgs, Output, report};
use super::{Failure, data};

/// Arguments of `validate`.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// How findings are printed, on standard error.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
    /// Treat warnings as errors.
    #[arg(long)]
    strict: bool,
}

pub(super) fn run(args: &Args, registry: &Registry) -> Result<(), Failure> {
    let (tree, mut diagnostics) = args.config.load();
    let graph = tree.and_then(|tree| build(&tree.root, registry, &Shared::new(Clock::system()), &mut diagnostics));
    report(&diagnostics, args.output);
    match graph {
        Some(graph) if !(args.strict && diagnostics.warning_count() > 0) => {
            let names: Vec<String> = graph.plan.pipelines.iter().map(|pipeline| pipeline.id.to_string()).collect();
            data(&format!("the config is valid; pipelines: {}\n", names.join(", ")))
        }
        _ => Err(Failure::Config),
    }
}
