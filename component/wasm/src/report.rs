//! Why calls of a plugin fail: counted by reason, told once per reason and interval.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use steadyline_component::{Clock, Instrument, LogPause, Meter};

/// The file cannot be read, is no component, or does not export what it must.
pub const NOT_LOADED: &str = "not_loaded";
/// The plugin did not start, or waits for its next try.
pub const NOT_STARTED: &str = "not_started";
/// It broke off: a panic, an instruction that cannot be, a stack that is full.
pub const TRAP: &str = "trap";
/// It did not answer in time.
pub const TIMEOUT: &str = "timeout";
/// It used more processor time, or fuel, than it may.
pub const CPU_TIME: &str = "cpu_time";
/// It wanted more memory than it may have.
pub const MEMORY: &str = "memory";
/// It handed over more than it may.
pub const TOO_LARGE: &str = "too_large";
/// What it handed over does not read.
pub const GARBAGE: &str = "garbage";
/// It said that it failed.
pub const PLUGIN: &str = "plugin_error";

/// Every reason.
pub const REASONS: [&str; 9] = [NOT_LOADED, NOT_STARTED, TRAP, TIMEOUT, CPU_TIME, MEMORY, TOO_LARGE, GARBAGE, PLUGIN];

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// One of [`REASONS`].
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

impl Failure {
    /// A failure; words of plugins are cut and lose their control characters.
    pub fn new(reason: &'static str, message: impl AsRef<str>) -> Failure {
        Failure { reason, message: plain(message.as_ref(), 2000) }
    }
}

/// Text as it may stand in a log: no control characters, at most so many bytes.
pub fn plain(text: &str, most: usize) -> String {
    let cut = text.floor_char_boundary(most.min(text.len()));
    let words: String = text[..cut].chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    words.trim_end().to_owned()
}

/// A failure that lasts is told so often.
const GAP: Duration = Duration::from_secs(60);

/// The books of one plugin. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Report {
    component: Arc<str>,
    clock: Clock,
    failures: Arc<BTreeMap<&'static str, Arc<Instrument>>>,
    calls: Arc<Instrument>,
    replaced: Arc<Instrument>,
    telling: Arc<Mutex<BTreeMap<&'static str, LogPause>>>,
}

impl Report {
    /// The books of the plugin of a component.
    pub fn new(id: &str, clock: &Clock, meter: &Meter) -> Report {
        let failure = |reason| {
            let help = "Calls of the plugin that came to nothing.";
            (reason, meter.counter("wasm_failures", help, &[("reason", reason)]))
        };
        Report {
            component: id.into(),
            clock: clock.clone(),
            failures: Arc::new(REASONS.map(failure).into()),
            calls: meter.counter("wasm_calls", "Calls of the plugin.", &[]),
            replaced: meter.counter("wasm_replaced", "Instances of the plugin that were replaced by new ones.", &[]),
            telling: Arc::default(),
        }
    }

    /// A call began.
    pub fn called(&self) {
        self.calls.add(1.0);
    }

    /// An instance is gone, a new one takes its place.
    pub fn replaced(&self) {
        self.replaced.add(1.0);
    }

    /// Counts a failure.
    pub fn count(&self, failure: &Failure) {
        if let Some(counter) = self.failures.get(failure.reason) {
            counter.add(1.0);
        }
    }

    /// Tells of a failure, unless one of its reason was told of late.
    pub fn tell(&self, failure: &Failure, what_happens: &str) {
        let now = self.clock.now().mono;
        let mut telling = self.telling.lock().unwrap_or_else(PoisonError::into_inner);
        let pause = telling.entry(failure.reason).or_insert(LogPause::new(GAP));
        let Some(more) = pause.pass(now) else { return };
        let (component, reason) = (&*self.component, failure.reason);
        tracing::warn!(component, reason, more, "{failure}; {what_happens}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_plugins_are_cut_and_plain() {
        assert_eq!(Failure::new(TRAP, "a\nb\u{7}c\n").message, "a b c");
        assert_eq!(plain("ééé", 3), "é");
    }

    #[test]
    fn failures_are_counted_by_reason() {
        let (clock, meter) = (Clock::manual(0), Meter::default());
        let report = Report::new("wasm/x", &clock, &meter);
        for reason in [TRAP, TRAP, TIMEOUT] {
            let failure = Failure::new(reason, "x");
            report.count(&failure);
            report.tell(&failure, "nothing happens");
        }
        let counted = |reason: &str| {
            let is = |one: &&Arc<Instrument>| one.labels.iter().any(|(_, value)| value == reason);
            meter.read().iter().find(is).unwrap().value()
        };
        assert_eq!((counted(TRAP), counted(TIMEOUT), counted(MEMORY)), (2.0, 1.0, 0.0));
        let mut telling = report.telling.lock().unwrap();
        assert_eq!(telling.get_mut(TRAP).unwrap().pass(clock.now().mono + GAP), Some(1), "the second was left out");
    }
}
