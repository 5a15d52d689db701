//! Lines of the log that data, backends or other people's programs can provoke: bounded in rate, and what was left out is
//! counted. Time is the component's own clock.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Clock;

/// One kind of line, written at most once a period: the first at once, and the next one says how many were left out.
#[derive(Debug, Clone)]
pub struct LogPause {
    period: Duration,
    last: Option<Duration>,
    left_out: u64,
}

impl LogPause {
    /// Nothing was written yet.
    pub const fn new(period: Duration) -> LogPause {
        LogPause { period, last: None, left_out: 0 }
    }

    /// Whether to write now, by monotonic time: `Some(n)` with how many were left out since the last line.
    pub fn pass(&mut self, now: Duration) -> Option<u64> {
        if self.last.is_some_and(|last| now.saturating_sub(last) < self.period) {
            self.left_out += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.left_out))
    }

    /// Forgets the last line, so that the next one is written at once; whether there was one.
    pub fn reset(&mut self) -> bool {
        self.left_out = 0;
        self.last.take().is_some()
    }
}

/// So many lines of somebody else's words are shown in one [`WINDOW`].
pub const WINDOW_LINES: u32 = 20;
/// See [`WINDOW_LINES`].
pub const WINDOW: Duration = Duration::from_secs(10);

/// What somebody else's program says through us, such as a plugin or a child process: a burst is shown, a flood is not.
/// Cheap to clone; all clones share one bound.
#[derive(Debug, Clone)]
pub struct LogWindow {
    clock: Clock,
    window: Arc<Mutex<Window>>,
}

#[derive(Debug, Default)]
struct Window {
    began: Duration,
    shown: u32,
    suppressed: u64,
}

impl LogWindow {
    /// A window in which nothing was shown yet.
    pub fn new(clock: &Clock) -> LogWindow {
        LogWindow { clock: clock.clone(), window: Arc::default() }
    }

    /// Whether one more line may be shown now: `Some(n)` with how many were not since the last one that was.
    pub fn pass(&self) -> Option<u64> {
        let now = self.clock.now().mono;
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_sub(window.began) >= WINDOW {
            (window.began, window.shown) = (now, 0);
        }
        if window.shown == WINDOW_LINES {
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
    fn one_a_minute_and_the_next_says_how_many_were_left_out() {
        let mut pause = LogPause::new(Duration::from_secs(60));
        let seconds = [0, 1, 59, 60, 61, 200];
        let seen = seconds.map(|second| pause.pass(Duration::from_secs(second)));
        assert_eq!(seen, [Some(0), None, None, Some(2), None, Some(1)]);
        assert!(pause.reset());
        assert!(!pause.reset());
        assert_eq!(pause.pass(Duration::from_secs(201)), Some(0));
    }

    #[test]
    fn a_flood_is_cut_until_the_next_window_and_counted() {
        let clock = Clock::manual(0);
        let window = LogWindow::new(&clock);
        let other = window.clone();
        assert_eq!((0..100).filter_map(|_| window.pass()).count(), WINDOW_LINES as usize);
        assert_eq!(other.pass(), None, "clones share the bound");
        clock.advance(WINDOW);
        assert_eq!(other.pass(), Some(101 - u64::from(WINDOW_LINES)));
        assert_eq!(window.pass(), Some(0));
    }
}
