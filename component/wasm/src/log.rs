//! What plugins say, in our log: bounded in rate and length, whatever they say it by.

use std::sync::Arc;

use steadyline_component::{Clock, LogWindow};

use crate::report::plain;

/// So many bytes of a line are shown.
const MAX_LINE: usize = 1000;

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// For the plugin's author.
    Debug,
    /// For whoever wants to know.
    Info,
    /// For whoever runs it.
    Warn,
    /// Something failed.
    Error,
}

/// The log of one component's plugin, over all its instances. Cheap to clone.
#[derive(Debug, Clone)]
pub struct PluginLog {
    component: Arc<str>,
    window: LogWindow,
}

impl PluginLog {
    /// The log of a component's plugin.
    pub fn new(id: &str, clock: &Clock) -> PluginLog {
        PluginLog { component: id.into(), window: LogWindow::new(clock) }
    }

    /// Writes a line, or counts it as suppressed.
    pub fn line(&self, level: Level, text: &str) {
        let Some(suppressed) = self.window.pass() else { return };
        let (component, words) = (&*self.component, plain(text, MAX_LINE));
        if suppressed > 0 {
            tracing::warn!(component, suppressed, "the plugin said more than is shown");
        }
        match level {
            Level::Debug => tracing::debug!(component, "the plugin says: {words}"),
            Level::Info => tracing::info!(component, "the plugin says: {words}"),
            Level::Warn => tracing::warn!(component, "the plugin says: {words}"),
            Level::Error => tracing::error!(component, "the plugin says: {words}"),
        }
    }
}
