//! A running engine that takes other configs.

pub use std::time::Duration;

pub use steadyline_component::testkit;
pub use steadyline_component::*;
pub use steadyline_config::{Diagnostics, Source, load};
pub use steadyline_engine::{Changes, Reloaded, Running, Shared, build};

pub use crate::components::{PORTS, registry};
pub use crate::support::{PollAct, assert_conserved, dropped, output, send, stage, until};
use crate::support::{reload_with, start_with};

/// A running engine.
pub struct Rig {
    pub running: Running,
    pub shared: Shared,
}

impl Rig {
    pub async fn start(yaml: &str) -> Rig {
        let (running, shared) = start_with(&registry(), yaml, Clock::scaled(1_000_000_000_000_000, 1.0)).await;
        Rig { running, shared }
    }

    pub async fn try_reload(&mut self, yaml: &str) -> (Reloaded, Diagnostics) {
        reload_with(&registry(), &mut self.running, yaml).await
    }

    pub async fn reload(&mut self, yaml: &str) -> Changes {
        match self.try_reload(yaml).await {
            (Reloaded::Done(changes), _) => changes,
            (other, diagnostics) => panic!("{other:?}: {}", diagnostics.to_text(false)),
        }
    }

    pub async fn stop(self) {
        self.running.shutdown().await;
        assert_conserved(&self.shared);
        for account in self.shared.books.read().iter().filter(|account| account.kind == Kind::Exporter) {
            assert_eq!(account.tally.balance().held, 0, "{}", account.id);
        }
    }
}

/// A config of receivers, processors and exporters, each one line of YAML, and pipelines.
pub fn config(receivers: &str, processors: &str, exporters: &str, pipelines: &str) -> String {
    format!(
        "receivers: {{{receivers}}}\nprocessors: {{{processors}}}\nexporters: {{{exporters}}}\nconnectors: {{join: }}\n\
         extensions: {{memory: {{name: memory}}}}\nservice:\n  shutdown_timeout: 20s\n  telemetry: {{metrics: {{level: none}}}}\n  pipelines: {{{pipelines}}}\n"
    )
}

/// One pipeline from one source through the processors to one backend.
pub fn simple(name: &str, processors: &str, list: &str, backend: &str) -> String {
    config(
        &format!("source: {{name: {name}}}"),
        processors,
        &format!("backend: {{name: {name}{backend}}}"),
        &format!("metrics: {{receivers: [source], processors: [{list}], exporters: [backend]}}"),
    )
}

pub fn delivered(name: &str) -> Vec<String> {
    stage(name).delivered.lock().unwrap().clone()
}

pub async fn until_delivered(name: &str, expected: &[&str]) {
    until(&format!("{expected:?} at {name}"), || delivered(name).len() >= expected.len()).await;
    assert_eq!(delivered(name), expected);
}
