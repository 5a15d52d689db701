//! Points that are not shown: each is counted under a reason, and each reason is logged once per interval with an example.

use steadyline_component::losses;
use steadyline_prometheus::native::Refusal;

/// Why a point is not shown. In the order of [`losses::Loss::ALL`].
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

impl losses::Loss for Loss {
    const ALL: &'static [Loss] = &[
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

    fn index(self) -> usize {
        self as usize
    }

    fn reason(self) -> &'static str {
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

    fn is_told(self) -> bool {
        self != Loss::Confirmation
    }
}

// None is missing in the list.
const _: () = assert!(<Loss as losses::Loss>::ALL.len() == Loss::SeriesLimit as usize + 1);

impl Loss {
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
pub(crate) type Losses = losses::Losses<Loss>;

/// The log's line for a reason.
pub(crate) fn warn(loss: Loss, points: u64, metric: &str) {
    use losses::Loss as _;
    tracing::warn!(reason = loss.reason(), points, metric, "points cannot be shown: {}", loss.advice());
}
