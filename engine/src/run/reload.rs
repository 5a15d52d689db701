//! Reload: another config in the place of the one that runs. It is checked and made as a whole first; on any error what
//! runs stays as it is. What did not change goes on with its state, its queue and its listener.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use steadyline_component::{Extension, Shutdown, StartError, Status};
use steadyline_config::{ComponentId, Diagnostic, Diagnostics, Node};
use tokio::time::Instant;

use super::parts::RunningExtension;
use super::service::Running;
use super::starting::Started;
use super::stopping::{GRACE, within};
use super::swap::{PATIENCE, stop_receiver};
use crate::build::{BranchKey, Graph, Previous, PreviousPipeline, Shared, SourceKind, build, joint_name, rebuild};
use crate::config::TelemetryConfig;
use crate::delivery::Branch;
use crate::registry::Registry;

/// What became of a reload.
#[derive(Debug)]
pub enum Reloaded {
    /// The new config runs.
    Done(Changes),
    /// The config has errors, which are in the diagnostics; the old one runs on.
    Rejected,
    /// A component could not start; the old config runs on, as far as the words do not say otherwise.
    Failed(String),
}

/// How many components went on, and how many did not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Changes {
    /// Went on as they were.
    pub kept: usize,
    /// Began, as new or in another's place.
    pub begun: usize,
    /// Ended, or gave their place to another.
    pub ended: usize,
}

impl Running {
    /// Runs the config of `root` from now on. What is wrong with it is in the diagnostics, exactly as a check of it says.
    /// When `abort` fires, what is being started is given up.
    pub async fn reload(
        &mut self,
        root: &Node,
        registry: &Registry,
        abort: &Shutdown,
        diagnostics: &mut Diagnostics,
    ) -> Reloaded {
        // Once on its own, for its findings: what goes on is not made again, and would not say what it has to say.
        let alone = Shared::new(self.shared.clock.clone());
        let Some(checked) = build(root, registry, &alone, diagnostics) else { return Reloaded::Rejected };
        self.warn_of_what_stays(root, &checked.plan.service.telemetry, diagnostics);
        drop(checked);
        let outcome = match self.attempt(root, registry, abort).await {
            Err(Attempt::NotStarted { error, may_be_in_the_way: true }) if !abort.fired() => {
                tracing::debug!("{error}; once more, after what it replaces has stopped");
                self.vacate(root, registry).await;
                match self.attempt(root, registry, abort).await {
                    Ok(changes) => Ok(changes),
                    Err(again) => Err(self.go_back(again.words(), registry, abort).await),
                }
            }
            Err(failure) => Err(failure.words()),
            Ok(changes) => Ok(changes),
        };
        self.shared.books.tidy();
        outcome.map_or_else(Reloaded::Failed, Reloaded::Done)
    }

    /// Makes, starts and installs a graph of the config; nothing that runs is touched before all of it has started.
    async fn attempt(&mut self, root: &Node, registry: &Registry, abort: &Shutdown) -> Result<Changes, Attempt> {
        let mut graph = self.graph(root, registry).ok_or(Attempt::NotMade)?;
        let mut started = Started::default();
        let starting = async {
            started.outer(self, &graph).await?;
            self.keep_replaced(&graph).await;
            started.inner(self, &mut graph).await
        };
        let result = tokio::select! {
            biased;
            () = abort.wait() => Err(StartError("the process stops".into())),
            result = starting => result,
        };
        if let Err(error) = result {
            started.undo().await;
            self.resume_replaced(&graph).await;
            return Err(Attempt::NotStarted { may_be_in_the_way: self.is_anything_in_the_way(&graph), error });
        }
        let changes = self.changes(&graph);
        self.telemetry_config.logs = graph.plan.service.telemetry.logs.clone();
        self.swap(graph, started).await;
        Ok(changes)
    }

    /// A graph of the config around what runs.
    fn graph(&self, root: &Node, registry: &Registry) -> Option<Graph> {
        // Whoever asked has seen the findings.
        let mut seen = Diagnostics::default();
        rebuild(root, registry, &self.shared, &self.previous(), &mut seen)
    }

    /// What runs, as far as it is well.
    fn previous(&self) -> Previous {
        let board = self.shared.board.read();
        let is_well = |name: &str| !board.get(name).is_some_and(|entry| matches!(entry.status, Status::Failed(_)));
        let branches = self.branches.iter().map(|(key, running)| (key.clone(), Arc::clone(&running.branch)));
        let branches: BTreeMap<BranchKey, Arc<Branch>> = branches.collect();
        let leaving = self.leaving.iter().filter(|(_, leaving)| !leaving.is_over());
        let leaving = leaving.map(|(key, leaving)| (key.clone(), Arc::clone(&leaving.branch)));
        let running = branches.iter().map(|(key, branch)| (key.clone(), Arc::clone(branch)));
        let queues = running.chain(leaving).collect();
        let retired = self.retired.iter().filter_map(Weak::upgrade);
        let sinks = self.sinks.iter().filter(|((_, id), _)| is_well(&format!("exporter:{id}")));
        let joints = self.joints.iter().filter(|(key, _)| is_well(&joint_name(key)));
        let receivers = self.receivers.iter().filter(|(_, running)| !running.task.is_over());
        let pipelines = self.pipelines.iter().filter(|(id, _)| is_well(&format!("pipeline:{id}")));
        let pipeline = |running: &super::parts::RunningPipeline| PreviousPipeline {
            pipeline: Arc::clone(&running.pipeline),
            processors: running.processors.clone(),
        };
        Previous {
            root: Some(self.root.clone()),
            records: self.records.clone(),
            storages: retired
                .chain(self.extensions.iter().map(|of| Arc::clone(&of.extension)))
                .filter_map(Extension::as_storage)
                .collect(),
            extensions: self.extensions.iter().map(|of| (of.id.clone(), Arc::clone(&of.extension))).collect(),
            branches: branches.into_iter().filter(|(_, branch)| is_well(&branch.name)).collect(),
            queues,
            sinks: sinks.map(|(key, node)| (key.clone(), Arc::clone(node))).collect(),
            joints: joints.map(|(key, running)| (key.clone(), Arc::clone(&running.joint))).collect(),
            pipelines: pipelines.map(|(id, running)| (id.clone(), pipeline(running))).collect(),
            receivers: receivers.map(|(id, of)| (id.clone(), of.feeds.keys().copied().collect())).collect(),
        }
    }

    /// Whether something ends that may hold what the new one needs: an address, a file.
    fn is_anything_in_the_way(&self, graph: &Graph) -> bool {
        let receiver = |id: &ComponentId| {
            let node = graph.receivers.iter().find(|node| node.id == *id);
            !node.is_some_and(|node| matches!(node.source, SourceKind::Running))
        };
        self.receivers.iter().any(|(id, running)| receiver(id) && !running.task.is_over())
            || self.sinks.values().any(|old| !graph.sinks.values().any(|new| Arc::ptr_eq(old, new)))
            || self.extensions.iter().any(|old| !goes_on(old, graph))
    }

    /// Stops receivers, sinks and extensions that the graph of this config does not have. They are forgotten, so that the
    /// next attempt makes those anew that it needs.
    async fn vacate(&mut self, root: &Node, registry: &Registry) {
        let Some(graph) = self.graph(root, registry) else { return };
        let deadline = Instant::now() + PATIENCE;
        for (id, running) in &mut self.receivers {
            let node = graph.receivers.iter().find(|node| node.id == *id);
            if !node.is_some_and(|node| matches!(node.source, SourceKind::Running)) {
                running.stop.fire();
                stop_receiver(id, running, deadline).await;
            }
        }
        let stays = |old: &Arc<super::SinkNode>| graph.sinks.values().any(|new| Arc::ptr_eq(old, new));
        for (_, node) in self.sinks.extract_if(.., |_, old| !stays(old)) {
            within(GRACE, "an exporter", node.sink.shutdown()).await;
        }
        for old in self.extensions.extract_if(.., |old| !goes_on(old, &graph)).collect::<Vec<_>>().into_iter().rev() {
            self.retire(&old.extension);
            within(GRACE, "an extension", old.extension.shutdown()).await;
        }
    }

    /// Runs the old config again, of which something was stopped; gives the words for what happened.
    async fn go_back(&mut self, why: String, registry: &Registry, abort: &Shutdown) -> String {
        let root = self.root.clone();
        match self.attempt(&root, registry, abort).await {
            Ok(_) => why,
            Err(failure) => {
                let lost = failure.words();
                tracing::error!("the old config could not be put back: {lost}");
                for (id, running) in self.receivers.iter().filter(|(_, running)| running.task.is_over()) {
                    let words =
                        format!("`{id}` was stopped for a reload that failed, and could not start again: {lost}");
                    running.task.status.begin(Status::Failed(words));
                }
                format!("{why}; and what was stopped for it could not be started again: {lost}")
            }
        }
    }

    fn changes(&self, graph: &Graph) -> Changes {
        let (mut kept, mut new) = (0, 0);
        let mut count = |is_kept: bool| if is_kept { kept += 1 } else { new += 1 };
        graph.extensions.iter().for_each(|node| count(self.extensions.iter().any(|old| same_extension(old, node))));
        graph.sinks.iter().for_each(|(key, new)| count(self.sinks.get(key).is_some_and(|old| Arc::ptr_eq(old, new))));
        for (key, new) in &graph.branches {
            count(self.branches.get(key).is_some_and(|old| Arc::ptr_eq(&old.branch, new)));
        }
        for (key, new) in &graph.joints {
            count(self.joints.get(key).is_some_and(|old| Arc::ptr_eq(&old.joint, &new.joint)));
        }
        graph.receivers.iter().for_each(|node| count(matches!(node.source, SourceKind::Running)));
        for (plan, node) in graph.plan.pipelines.iter().zip(&graph.pipelines) {
            let old = self.pipelines.get(&plan.id);
            let all = old.is_some_and(|old| Arc::ptr_eq(&old.pipeline, &node.pipeline));
            for at in 0..plan.processors.len() {
                count(all || node.inherits.iter().any(|(to, _)| *to == at));
            }
        }
        let processors: usize = self.pipelines.values().map(|running| running.processors.len()).sum();
        let others = self.extensions.len() + self.sinks.len() + self.branches.len();
        let old = processors + others + self.joints.len() + self.receivers.len();
        Changes { kept, begun: new, ended: old.saturating_sub(kept) }
    }

    /// The process's own telemetry is set up once, but for the level of its logs.
    fn warn_of_what_stays(&self, root: &Node, new: &TelemetryConfig, diagnostics: &mut Diagnostics) {
        let old = &self.telemetry_config;
        let level = logs_but_for_level(new) == logs_but_for_level(old);
        let parts = [
            ("metrics", new.metrics == old.metrics),
            ("traces", new.traces == old.traces),
            ("resource", new.resource == old.resource),
            ("logs", level),
        ];
        for (part, _) in parts.iter().filter(|(_, is_same)| !is_same) {
            let but = if *part == "logs" { ", but for the level," } else { "" };
            let words = format!("`{part}`{but} takes effect at the next start of the process, not at a reload");
            let path = format!("service.telemetry.{part}");
            diagnostics.push(Diagnostic::warning("needs-restart", words).at_node(root, "", &path).with_path(path));
        }
    }
}

fn logs_but_for_level(config: &TelemetryConfig) -> crate::config::LogsConfig {
    crate::config::LogsConfig { level: Default::default(), ..config.logs.clone() }
}

fn goes_on(old: &RunningExtension, graph: &Graph) -> bool {
    graph.extensions.iter().any(|new| same_extension(old, new))
}

fn same_extension(old: &RunningExtension, new: &crate::build::ExtensionNode) -> bool {
    old.id == new.id && Arc::ptr_eq(&old.extension, &new.extension)
}

/// Why a graph does not run.
enum Attempt {
    /// It could not be made though a check of its config found nothing.
    NotMade,
    /// A part could not start.
    NotStarted {
        /// Which one and why.
        error: StartError,
        /// Whether something that ends with it may hold what it needs.
        may_be_in_the_way: bool,
    },
}

impl Attempt {
    fn words(self) -> String {
        match self {
            Attempt::NotMade => "the graph could not be made from a config that was found good".into(),
            Attempt::NotStarted { error, .. } => error.to_string(),
        }
    }
}
