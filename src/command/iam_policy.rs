//! `iam-policy`: the least that this config needs, with placeholders for what a config does not say.

use std::collections::BTreeSet;

use steadyline_component::{Clock, IamStatement};
use steadyline_engine::Registry;
use steadyline_engine::build::SourceKind;

use super::config::ConfigArgs;
use super::{Failure, data, message, runtime};

pub(super) fn run(args: &ConfigArgs, registry: &Registry) -> Result<(), Failure> {
    let runtime = runtime()?;
    let _inside = runtime.enter();
    let (graph, _) = args.graph(registry, Clock::system())?;
    let mut statements: BTreeSet<IamStatement> = BTreeSet::new();
    for receiver in &graph.receivers {
        match &receiver.source {
            SourceKind::Polled(polling) => statements.extend(polling.poller.permissions()),
            SourceKind::Pushed(receiver) => statements.extend(receiver.permissions()),
            SourceKind::Running => {}
        }
    }
    statements.extend(graph.branches.values().flat_map(|branch| branch.sender.permissions()));
    statements.extend(graph.extensions.iter().flat_map(|node| node.extension.permissions()));
    if statements.is_empty() {
        message("nothing in the enabled pipelines of this config speaks to AWS");
    }
    let statements: Vec<IamStatement> = statements.into_iter().collect();
    data(&(serde_json::to_string_pretty(&steadyline_aws::iam::policy(&statements))? + "\n"))
}
