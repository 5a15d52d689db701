//! Components for reloads: a processor with a memory, and a source that holds a port.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use steadyline_component::factory::Component;
use steadyline_component::testkit;
use steadyline_component::*;
use steadyline_engine::Registry;
use steadyline_telemetry::Signal;

use crate::keeper::{KeeperFactory, MemoryFactory};
use crate::support::{
    BackendFactory, FolderFactory, HalvesFactory, JoinFactory, NameConfig, PollFactory, SourceFactory, WitnessFactory,
    spec, stage,
};

/// Remembers the last line of each series and whose it is; says what it remembers when it is asked for `recall`, and
/// ends the series of a source that is removed.
#[derive(Default)]
struct Latest(BTreeMap<String, (Arc<str>, String)>);

struct LatestFactory;

impl Component for LatestFactory {
    type Config = NameConfig;
    type Made = Box<dyn Processor>;
    const SPEC: Spec = spec("latest");

    fn create(_: NameConfig, _: &mut CreateContext<'_>) -> Option<Self::Made> {
        Some(Box::<Latest>::default())
    }
}

impl Processor for Latest {
    fn process(&mut self, batch: Batch, work: &mut Work<'_>) {
        let header = batch.header.clone();
        let lines = batch.as_metrics().map(testkit::render).unwrap_or_default();
        if batch.pass_end() == Some(PassEnd::Removed) {
            self.0.retain(|series, (source, _)| {
                let is_over = *source == header.source;
                if is_over {
                    work.tally.created("stale", 1);
                    let data = Data::Metrics(testkit::metrics(&format!("{series} stale")));
                    work.emit(Batch { header: Header::default(), data });
                }
                !is_over
            });
        }
        for line in lines {
            let (series, _) = line.split_once(' ').unwrap();
            if series == "recall" {
                let known: Vec<&str> = self.0.values().map(|(_, line)| line.as_str()).collect();
                work.tally.created("recalled", known.len() as u64);
                let data = Data::Metrics(testkit::metrics(&known.join("\n")));
                work.emit(Batch { header: Header::default(), data });
            } else {
                self.0.insert(series.to_string(), (header.source.clone(), line.clone()));
            }
        }
        work.emit(batch);
    }

    fn series(&self) -> u64 {
        self.0.len() as u64
    }
}

pub static PORTS: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// A source that holds a port while it lives; the port is the part of its name before a slash.
struct Listener {
    port: Option<String>,
    name: String,
}

struct ListenerFactory;

impl Component for ListenerFactory {
    type Config = NameConfig;
    type Made = Box<dyn Receiver>;
    const SPEC: Spec = spec("listener");

    fn create(config: NameConfig, _: &mut CreateContext<'_>) -> Option<Self::Made> {
        Some(Box::new(Listener { port: None, name: config.name }))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(port) = &self.port {
            // Unless somebody takes it in that very moment.
            if !self.name.ends_with("/stolen") {
                PORTS.lock().unwrap().remove(port);
            }
        }
    }
}

#[async_trait]
impl Receiver for Listener {
    async fn start(&mut self, _: &Host) -> Result<(), StartError> {
        let port = self.name.split('/').next().unwrap_or_default().to_string();
        if !PORTS.lock().unwrap().insert(port.clone()) {
            return Err(StartError(format!("{port} is in use")));
        }
        self.port = Some(port);
        Ok(())
    }

    async fn run(self: Box<Self>, outputs: Outputs, shutdown: Shutdown) -> Result<(), StartError> {
        stage(&self.name).outputs.lock().unwrap().push(outputs.of(Signal::Metrics).unwrap().clone());
        shutdown.wait().await;
        stage(&self.name).outputs.lock().unwrap().clear();
        Ok(())
    }
}

pub fn registry() -> Registry {
    Registry::new([
        Factory::receiver::<SourceFactory>(),
        Factory::receiver::<ListenerFactory>(),
        Factory::poller::<PollFactory>(),
        Factory::processor::<HalvesFactory>(),
        Factory::processor::<LatestFactory>(),
        Factory::processor::<KeeperFactory>(),
        Factory::exporter::<BackendFactory>(),
        Factory::exporter::<WitnessFactory>(),
        Factory::connector::<JoinFactory>(&[(Signal::Metrics, Signal::Metrics)]),
        Factory::extension::<FolderFactory>(),
        Factory::extension::<MemoryFactory>(),
    ])
}
