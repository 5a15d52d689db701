//! Time inside the table: ticks of 100 ms on the monotonic clock, in 32 bits for 13 years.

use std::time::Duration;

/// How many milliseconds a tick lasts.
const TICK_MS: u128 = 100;

/// A moment or a span on the monotonic clock, in ticks.
pub(crate) type Ticks = u32;

/// The tick of a moment, or the whole ticks of a span.
pub(crate) fn ticks(time: Duration) -> Ticks {
    u32::try_from(time.as_millis() / TICK_MS).unwrap_or(u32::MAX)
}

/// When a tick begins.
pub(crate) fn moment(tick: Ticks) -> Duration {
    Duration::from_millis(u64::from(tick) * TICK_MS as u64)
}

/// The timestamp to send: the wanted one, or one millisecond above the newest sent, because receivers count in
/// milliseconds and a sample that does not rise is refused. Nanoseconds in and out.
pub(crate) fn stamp(wanted: u64, sent_ms: u64) -> u64 {
    if wanted / NANOS_PER_MS > sent_ms { wanted } else { (sent_ms + 1) * NANOS_PER_MS }
}

/// Nanoseconds in a millisecond.
pub(crate) const NANOS_PER_MS: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_rise_by_milliseconds() {
        for (wanted, sent_ms, stamped) in
            [(5_000_001, 0, 5_000_001), (5_999_999, 5, 6_000_000), (6_000_001, 5, 6_000_001), (1, 9, 10_000_000)]
        {
            assert_eq!(stamp(wanted, sent_ms), stamped);
        }
    }

    #[test]
    fn a_tick_begins_at_its_moment() {
        assert_eq!(ticks(Duration::from_millis(250)), 2);
        assert_eq!(ticks(moment(77)), 77);
        assert_eq!(ticks(Duration::MAX), u32::MAX);
    }
}
