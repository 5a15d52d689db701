//! Points that are not shown: each is counted under a reason, and each reason is logged once per interval with an example.

use std::time::Duration;

use steadyline_component::Tally;
use steadyline_prometheus::native::Refusal;

/// Why a point is not shown. The discriminants index [`Losses`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// It is no data, but a confirmation by its source.
    Confirmation,
    /// It has neither a value nor the "no value" flag.
    NoValue,
    /// A sum or histogram since the last report.
    Delta,
    /// A sum or histogram that does not say since when it counts.
    NoTemporality,
    /// Bounds and counts do not fit.
    MalformedHistogram,
    /// Quantiles that are no numbers or stand twice.
    MalformedSummary,
    /// An exponential histogram below scale -4.
    HistogramTooCoarse,
    /// An exponential histogram without a sum.
    NoSum,
    /// A metric's name has no character that can be kept.
    NoName,
    /// An attribute's name has no character that can be kept.
    IllegalLabelName,
    /// The name belongs to a metric of another type.
    TypeConflict,
    /// There are as many series as may be.
    SeriesLimit,
}

const COUNT: usize = Loss::SeriesLimit as usize + 1;
const LOG_INTERVAL: Duration = Duration::from_secs(60);

const ALL: [Loss; COUNT] = [
    Loss::Confirmation,
    Loss::NoValue,
    Loss::Delta,
    Loss::NoTemporality,
    Loss::MalformedHistogram,
    Loss::MalformedSummary,
    Loss::HistogramTooCoarse,
    Loss::NoSum,
    Loss::NoName,
    Loss::IllegalLabelName,
    Loss::TypeConflict,
    Loss::SeriesLimit,
];

impl Loss {
    /// The word for counters.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Loss::Confirmation => "confirmation",
            Loss::NoValue => "no_value",
            Loss::Delta => "delta",
            Loss::NoTemporality => "no_temporality",
            Loss::MalformedHistogram => "malformed_histogram",
            Loss::MalformedSummary => "malformed_summary",
            Loss::HistogramTooCoarse => "histogram_too_coarse",
            Loss::NoSum => "no_sum",
            Loss::NoName => "no_name",
            Loss::IllegalLabelName => "illegal_label_name",
            Loss::TypeConflict => "type_conflict",
            Loss::SeriesLimit => "series_limit",
        }
    }

    /// What to do about it, for the log.
    fn advice(self) -> &'static str {
        match self {
            Loss::Confirmation => "",
            Loss::NoValue => "the source must set a value, or the flag that there is none",
            Loss::Delta => {
                "Prometheus knows cumulative data only: put the processor `deltatocumulative` in front, or configure the source for cumulative temporality"
            }
            Loss::NoTemporality => "the source must say cumulative or delta",
            Loss::MalformedHistogram => {
                "bounds must rise, there must be one count more than bounds, and the counts must not exceed the total"
            }
            Loss::MalformedSummary => "quantiles must be numbers, each standing once",
            Loss::HistogramTooCoarse => "the scale must be -4 or more",
            Loss::NoSum => "native histograms need a sum",
            Loss::NoName => "the metric needs a name with a letter or a digit",
            Loss::IllegalLabelName => "rename or drop the attribute: its name has no letter and no digit",
            Loss::TypeConflict => {
                "another metric has this name, or one that a histogram or summary writes: rename one of them"
            }
            Loss::SeriesLimit => "raise `max_series`, or drop the attribute that has too many values",
        }
    }
}

impl From<Refusal> for Loss {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::TooCoarse(_) => Loss::HistogramTooCoarse,
            Refusal::NoSum => Loss::NoSum,
            Refusal::IndexOverflow | Refusal::CountOverflow | Refusal::CountMismatch { .. } => Loss::MalformedHistogram,
        }
    }
}

/// Counts by reason for one batch, and when each reason was last logged.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    counts: [u64; COUNT],
    examples: [String; COUNT],
    logged: [Option<Duration>; COUNT],
}

impl Losses {
    /// Counts `points` of the metric `name`.
    pub(crate) fn add(&mut self, loss: Loss, points: u64, name: &str) {
        let at = loss as usize;
        if self.counts[at] == 0 {
            self.examples[at].clear();
            self.examples[at].push_str(name);
        }
        self.counts[at] += points;
    }

    /// Enters the batch's counts into the books and logs what was not logged for a while. `now` is monotonic time.
    pub(crate) fn settle(&mut self, tally: &Tally, now: Duration) {
        for loss in ALL {
            let at = loss as usize;
            let count = std::mem::take(&mut self.counts[at]);
            if count == 0 {
                continue;
            }
            tally.dropped(loss.reason(), count);
            let is_due = self.logged[at].is_none_or(|last| now.saturating_sub(last) >= LOG_INTERVAL);
            if is_due && loss != Loss::Confirmation {
                self.logged[at] = Some(now);
                let (metric, advice) = (&self.examples[at], loss.advice());
                tracing::warn!(reason = loss.reason(), points = count, metric, "points cannot be shown: {advice}");
            }
        }
    }
}
