//! What plugins say, in our log: bounded in rate and length, whatever they say it by.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use steadyline_component::Clock;

use crate::report::plain;

/// So many bytes of a line are shown.
const MAX_LINE: usize = 1000;
/// So many lines are shown in one [`WINDOW`].
const MAX_LINES: u32 = 20;
const WINDOW: Duration = Duration::from_secs(10);

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
    clock: Clock,
    window: Arc<Mutex<Window>>,
}

#[derive(Debug, Default)]
struct Window {
    began: Duration,
    shown: u32,
    suppressed: u64,
}

impl PluginLog {
    /// The log of a component's plugin.
    pub fn new(id: &str, clock: &Clock) -> PluginLog {
        PluginLog { component: id.into(), clock: clock.clone(), window: Arc::default() }
    }

    /// Writes a line, or counts it as suppressed.
    pub fn line(&self, level: Level, text: &str) {
        let Some(suppressed) = self.admit() else { return };
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

    /// Whether one more line may be shown now, and how many were not since the last one that was.
    fn admit(&self) -> Option<u64> {
        let now = self.clock.now().mono;
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_sub(window.began) >= WINDOW {
            (window.began, window.shown) = (now, 0);
        }
        if window.shown == MAX_LINES {
            window.suppressed += 1;
            return None;
        }
        window.shown += 1;
        Some(std::mem::take(&mut window.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chatterer_is_cut_short_until_the_next_window() {
        let clock = Clock::manual(0);
        let log = PluginLog::new("wasm", &clock);
        let admitted = (0..100).filter(|_| log.admit().is_some()).count();
        assert_eq!(admitted, MAX_LINES as usize);
        clock.advance(WINDOW);
        assert_eq!(log.admit(), Some(100 - u64::from(MAX_LINES)));
        log.line(Level::Debug, "x");
    }
}
