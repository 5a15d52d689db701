//! Warnings that data can provoke: at most one a minute for each place in the code, with a count of those left out.

use std::time::Duration;

use steadyline_component::Now;
use steadyline_component::config::ComponentId;

const INTERVAL: Duration = Duration::from_secs(60);

/// Lets one warning through per interval.
#[derive(Debug)]
pub(crate) struct Throttle {
    id: String,
    last: Option<Duration>,
    suppressed: u64,
}

impl Throttle {
    pub(crate) fn new(id: &ComponentId) -> Self {
        Throttle { id: id.to_string(), last: None, suppressed: 0 }
    }

    /// Calls `warn` with the component's id and how many warnings were left out since the last, if it is time.
    pub(crate) fn warn(&mut self, now: Now, warn: impl FnOnce(&str, u64)) {
        if self.last.is_some_and(|last| now.mono.saturating_sub(last) < INTERVAL) {
            self.suppressed += 1;
            return;
        }
        self.last = Some(now.mono);
        warn(&self.id, std::mem::take(&mut self.suppressed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_a_minute_and_the_next_says_how_many_were_left_out() {
        let mut throttle = Throttle::new(&"labels/x".parse().expect("an id"));
        let mut seen = Vec::new();
        for second in [0, 1, 59, 60, 61, 200] {
            let now = Now { mono: Duration::from_secs(second), unix_nanos: 0 };
            throttle.warn(now, |id, suppressed| seen.push((id.to_string(), second, suppressed)));
        }
        let row = |second, suppressed| ("labels/x".to_string(), second, suppressed);
        assert_eq!(seen, [row(0, 0), row(60, 2), row(200, 1)]);
    }
}
