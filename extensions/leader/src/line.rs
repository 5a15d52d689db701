//! The time of the lines: it goes on from leader to leader, never backwards, and runs a tenth slower or faster than time
//! itself until it agrees with the wall clock at hand.

use std::time::Duration;

use steadyline_component::Now;

/// A wall clock that steps ahead by more than this is believed at once: it was wrong before.
const JUMP: Duration = Duration::from_secs(600);

const MILLISECOND: u64 = 1_000_000;

/// The time of a term's samples, nanoseconds since the Unix epoch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line {
    /// When it was last asked.
    asked: Now,
    /// What it said.
    time: u64,
}

impl Line {
    /// The time of a term that begins now, a whole millisecond above the `floor`. `known` is what the leader before would
    /// stamp a sample with now, if it was seen; it counts if it is further than `tolerance` from our wall clock.
    pub(crate) fn begin(now: Now, floor: u64, known: Option<u64>, tolerance: Duration) -> Line {
        let apart = |known: &u64| Duration::from_nanos(known.abs_diff(now.unix_nanos)) > tolerance;
        let time = known.filter(apart).unwrap_or(now.unix_nanos).max(floor.saturating_add(MILLISECOND));
        Line { asked: now, time }
    }

    /// What a sample of now is stamped with.
    pub(crate) fn advance(&mut self, now: Now) -> u64 {
        let passed = now.mono.saturating_sub(self.asked.mono);
        let by_wall = Duration::from_nanos(now.unix_nanos.saturating_sub(self.asked.unix_nanos));
        let behind = Duration::from_nanos(now.unix_nanos.saturating_sub(self.time));
        let stepped = by_wall > passed + JUMP && behind > JUMP;
        let step = if stepped { behind } else { behind.clamp(passed * 9 / 10, passed * 11 / 10) };
        self.time = self.time.saturating_add(step.as_nanos() as u64);
        self.asked = now;
        self.time
    }

    /// How many seconds it is ahead of the wall clock, as of when it was last asked.
    pub(crate) fn ahead(&self) -> f64 {
        (i128::from(self.time) - i128::from(self.asked.unix_nanos)) as f64 / 1e9
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_700_000_000_000_000_000;
    const SECOND: u64 = 1_000_000_000;
    const TOLERANCE: Duration = Duration::from_secs(20);

    /// Seconds on the monotonic clock; how far the wall clock is from START, in seconds.
    fn at(mono: u64, wall: i64) -> Now {
        Now { mono: Duration::from_secs(mono), unix_nanos: START.saturating_add_signed(wall * SECOND as i64) }
    }

    fn seconds(time: u64) -> f64 {
        (time as i64 - START as i64) as f64 / 1e9
    }

    #[test]
    fn where_a_term_begins() {
        // wall, floor, what the leader before would say, where the line begins
        let cases: [(i64, i64, Option<i64>, f64); 8] = [
            (0, -30, None, 0.0),
            (0, 10, None, 10.001),
            (0, 0, Some(5), 0.001),
            (0, -290, Some(-300), -289.999),
            (0, 290, Some(300), 300.0),
            (0, -2000, Some(-1000), -1000.0),
            (0, 990, Some(1000), 1000.0),
            (0, -2000, None, 0.0),
        ];
        for (wall, floor, known, expected) in cases {
            let nanos = |s: i64| START.saturating_add_signed(s * SECOND as i64);
            let line = Line::begin(at(0, wall), nanos(floor), known.map(nanos), TOLERANCE);
            assert!((seconds(line.time) - expected).abs() < 1e-6, "{wall} {floor} {known:?}: {}", seconds(line.time));
        }
    }

    #[test]
    fn it_follows_the_wall_clock_slowly_and_never_runs_backwards() {
        for offset in [-300_i64, -1, 0, 1, 300] {
            let mut line = Line { asked: at(0, 0), time: START.saturating_add_signed(-offset * SECOND as i64) };
            let mut last = line.time;
            for second in 1..=4000 {
                let time = line.advance(at(second, second as i64));
                let step = time - last;
                assert!((SECOND * 9 / 10..=SECOND * 11 / 10).contains(&step), "{offset}: {step}");
                last = time;
            }
            assert_eq!(seconds(last), 4000.0, "{offset}: they agree after ten times the difference");
        }
    }

    #[test]
    fn a_wall_clock_that_is_far_ahead_is_believed_and_one_that_steps_back_is_waited_for() {
        let mut line = Line::begin(at(0, 0), 0, None, TOLERANCE);
        assert_eq!(seconds(line.advance(at(1, 1000))), 1000.0);
        assert_eq!(seconds(line.advance(at(2, 2))), 1000.9);
        assert_eq!(seconds(line.advance(at(2, 2))), 1000.9, "asked twice, it says the same");
    }
}
