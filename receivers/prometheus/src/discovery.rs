//! Where targets come from. Each provider tells the whole list it knows, as often as it changes; when it fails, what it
//! told last stays in force.

mod dns;
mod file;
mod glob;
mod server;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use steadyline_component::{Clock, Instrument};
use tokio::sync::mpsc;

use crate::config::StaticConfig;

pub(crate) use dns::{DnsProvider, system_resolver};
pub(crate) use file::FileProvider;
pub(crate) use glob::is_pattern;
pub(crate) use server::ServerProvider;

/// The labels of one target as it was found: `__address__`, `__meta_*` and those of its group.
pub(crate) type Found = BTreeMap<String, String>;

/// The label that holds a target's host and port.
pub(crate) const ADDRESS: &str = "__address__";

/// What providers need to run.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    /// The process's clock.
    pub(crate) clock: Clock,
    /// Where lists go.
    pub(crate) updates: mpsc::UnboundedSender<Update>,
    /// Which provider of which job this is.
    pub(crate) place: Place,
    /// Counts failures.
    pub(crate) failures: Arc<Instrument>,
}

/// Which provider of which job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// The job, by its place in the config.
    pub(crate) job: usize,
    /// Its provider.
    pub(crate) provider: usize,
}

/// The whole list of one provider.
#[derive(Debug)]
pub(crate) struct Update {
    /// Whose.
    pub(crate) place: Place,
    /// The targets.
    pub(crate) found: Vec<Found>,
}

impl Context {
    /// Tells a list. Nobody listens any more when the receiver stops.
    fn tell(&self, found: Vec<Found>) {
        let _ = self.updates.send(Update { place: self.place, found });
    }
}

/// One way of finding targets.
#[derive(Debug)]
pub(crate) enum Provider {
    /// They are in the config.
    Static(Vec<StaticConfig>),
    /// They are in files.
    File(FileProvider),
    /// A server lists them.
    Server(Box<ServerProvider>),
    /// DNS lists them.
    Dns(DnsProvider),
}

impl Provider {
    /// Finds targets until it is dropped.
    pub(crate) async fn run(self, context: Context) {
        match self {
            Provider::Static(groups) => {
                context.tell(groups.iter().flat_map(|group| group_targets(group, &[])).collect());
            }
            Provider::File(provider) => provider.run(context).await,
            Provider::Server(provider) => provider.run(context).await,
            Provider::Dns(provider) => provider.run(context).await,
        }
    }
}

/// The targets of a group; `meta` are labels that say where the group is from.
fn group_targets(group: &StaticConfig, meta: &[(&str, &str)]) -> Vec<Found> {
    let meta = meta.iter().map(|(name, value)| ((*name).to_string(), (*value).to_string()));
    let common: Found = group.labels.clone().into_iter().chain(meta).collect();
    let targets = group.targets.iter();
    targets
        .map(|address| {
            let mut found = common.clone();
            found.insert(ADDRESS.to_string(), address.clone());
            found
        })
        .collect()
}

/// A list of groups as files and servers have it.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
struct Groups(Vec<ListedGroup>);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListedGroup {
    #[serde(default)]
    targets: Option<Vec<String>>,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
}

impl Groups {
    fn into_groups(self) -> impl Iterator<Item = StaticConfig> {
        self.0.into_iter().map(|group| StaticConfig {
            targets: group.targets.unwrap_or_default(),
            labels: group.labels.unwrap_or_default(),
        })
    }
}
