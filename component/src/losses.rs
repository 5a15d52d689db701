//! Points that an exporter cannot send or show: each is counted under a reason, and each reason is logged once a minute
//! with an example.

use std::time::Duration;

use crate::quiet::LogPause;
use crate::tally::Tally;

const PERIOD: Duration = Duration::from_secs(60);

/// Why a point is lost: an enum whose variants are in the order of [`Loss::ALL`].
pub trait Loss: Copy + 'static {
    /// All of them.
    const ALL: &'static [Self];

    /// Where it stands in [`Loss::ALL`].
    fn index(self) -> usize;

    /// The word for counters.
    fn reason(self) -> &'static str;

    /// Whether the log says so: not if nothing is amiss.
    fn is_told(self) -> bool;
}

/// Counts by reason for one batch, and when each reason was last logged.
#[derive(Debug)]
pub struct Losses<L> {
    rows: Box<[Row<L>]>,
}

#[derive(Debug)]
struct Row<L> {
    loss: L,
    count: u64,
    example: String,
    pause: LogPause,
}

impl<L: Loss> Default for Losses<L> {
    fn default() -> Self {
        let row = |&loss| Row { loss, count: 0, example: String::new(), pause: LogPause::new(PERIOD) };
        Losses { rows: L::ALL.iter().map(row).collect() }
    }
}

impl<L: Loss> Losses<L> {
    /// Counts `points` of the metric `name`.
    pub fn add(&mut self, loss: L, points: u64, name: &str) {
        let row = &mut self.rows[loss.index()];
        if row.count == 0 {
            row.example.clear();
            row.example.push_str(name);
        }
        row.count += points;
    }

    /// Enters the batch's counts into the books, and hands what was not logged for a while to `warn`: the loss, the number
    /// of points, and the name of a metric that had some. `now` is monotonic time.
    pub fn settle(&mut self, tally: &Tally, now: Duration, mut warn: impl FnMut(L, u64, &str)) {
        for row in &mut self.rows {
            let count = std::mem::take(&mut row.count);
            if count == 0 {
                continue;
            }
            tally.dropped(row.loss.reason(), count);
            if row.loss.is_told() && row.pause.pass(now).is_some() {
                warn(row.loss, count, &row.example);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Why {
        Fine,
        Bad,
    }

    impl Loss for Why {
        const ALL: &'static [Why] = &[Why::Fine, Why::Bad];

        fn index(self) -> usize {
            self as usize
        }

        fn reason(self) -> &'static str {
            if self == Why::Fine { "fine" } else { "bad" }
        }

        fn is_told(self) -> bool {
            self == Why::Bad
        }
    }

    #[test]
    fn all_are_counted_and_each_reason_is_told_once_a_minute_with_its_first_example() {
        let (tally, mut losses, mut told) = (Tally::default(), Losses::default(), Vec::new());
        for second in [0, 59, 60] {
            losses.add(Why::Fine, 1, "up");
            losses.add(Why::Bad, 2, "a");
            losses.add(Why::Bad, 3, "b");
            losses.settle(&tally, Duration::from_secs(second), |why, points, name| {
                told.push((second, why, points, name.to_owned()));
            });
        }
        assert_eq!(told, [(0, Why::Bad, 5, "a".to_owned()), (60, Why::Bad, 5, "a".to_owned())]);
        let dropped = tally.balance().dropped;
        assert_eq!((dropped["fine"], dropped["bad"]), (3, 15));
    }
}
